//! A writer, one step for each thing that it asks of the store.

use super::{model::Model, rules::Rules, state::*};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// W1
    ListNotes,
    ReadNotes,
    /// W2
    OpenSession,
    /// W3
    ListIndexes,
    ReadIndexes,
    /// W4
    ListPacks,
    /// W5
    ReadUnlisted,
    IndexAdopted,
    /// W6, W7
    StorePack,
    IndexPack,
    /// W8
    StoreIntent,
    /// W9
    ListNotesAgain,
    ReadNewNotes,
    /// W10
    ListPacksAgain,
    /// W11; success is told at once, which is the worst that can be
    StoreSnapshot,
    /// W12
    EndIntent,
    EndSession,
    End,
    /// W13
    GiveUpIntent,
    GiveUpSession,
    GaveUp,
}
use Op::*;

// What a writer remembers.
const SEEN: usize = 0;
const NAMED: usize = 1;
const INDEXES_SEEN: usize = 2;
const USABLE: usize = 3;
const UNLISTED: usize = 4;
const RELIED: usize = 5;
const TO_STORE: usize = 6;
const NEW: usize = 7;
const LOST: usize = 8;
const CHANGED: usize = 9;

pub fn program(rules: &Rules) -> Vec<Op> {
    let mut ops = Vec::new();
    let load = [ListIndexes, ReadIndexes, ListPacks];
    if rules.writer_lists_notes_first {
        ops.extend([ListNotes, ReadNotes, OpenSession]);
        ops.extend(load);
    } else {
        ops.extend(load);
        ops.extend([ListNotes, ReadNotes, OpenSession]);
    }
    ops.extend([ReadUnlisted, IndexAdopted]);
    let packs = [StorePack, IndexPack];
    if rules.packs_before_intent {
        ops.extend(packs);
    }
    let check = match rules.check_lists_notes_first {
        true => [ListNotesAgain, ReadNewNotes, ListPacksAgain],
        false => [ListPacksAgain, ListNotesAgain, ReadNewNotes],
    };
    match rules.intent_before_check {
        true => {
            ops.push(StoreIntent);
            ops.extend(check);
        }
        false => {
            ops.extend(check);
            ops.push(StoreIntent);
        }
    }
    if rules.snapshot_before_intent_ends {
        ops.extend([StoreSnapshot, EndIntent]);
    } else {
        ops.extend([EndIntent, StoreSnapshot]);
    }
    if !rules.packs_before_intent {
        ops.extend(packs);
    }
    ops.extend([EndSession, End, GiveUpIntent, GiveUpSession, GaveUp]);
    let off = |op: &Op| match op {
        OpenSession => !rules.writer_opens_session,
        StoreIntent => !rules.writer_stores_intent,
        GiveUpIntent => rules.given_up_intents_stay,
        ListNotesAgain | ReadNewNotes => !rules.writer_checks,
        ListPacksAgain => !rules.writer_checks || !rules.check_lists_packs,
        _ => false,
    };
    ops.retain(|op| !off(op));
    ops
}

/// Stands between W1 and W2, and has not seen all of these notes: its session does not hold a sweep yet.
pub fn may_miss(model: &Model, state: &State, who: usize, notes: Mask) -> bool {
    let actor = &state.actors[who];
    let op = model.writer[usize::from(actor.step)];
    matches!(op, ReadNotes | OpenSession) && notes & !actor.memory[SEEN] != 0
}

/// `None` when it has ended.
pub fn op(model: &Model, state: &State, who: usize) -> Option<Op> {
    let op = model.writer[usize::from(state.actors[who].step)];
    (who < model.scene.writers && !matches!(op, End | GaveUp)).then_some(op)
}

pub fn step(model: &Model, state: &mut State, who: usize) {
    let rules = &model.rules;
    let wanted = model.scene.wants[who + 1];
    let snapshot = bit(who + 1);
    let State { store, actors, acknowledged, failed, .. } = state;
    let actor = &mut actors[who];
    let m = &mut actor.memory;
    let op = model.writer[usize::from(actor.step)];
    let mut give_up = false;
    let judge = |m: &Memory, present: Mask| {
        let own = bit(model.pack_slot(who, 0)) | m[UNLISTED];
        let relied = if rules.check_covers_own_packs { m[RELIED] } else { m[RELIED] & !own };
        relied & (m[LOST] | !present) != 0
    };
    match op {
        ListNotes => m[SEEN] = store.notes,
        ReadNotes if rules.notes_are_listed_until_read && m[SEEN] & !store.notes != 0 => {
            // A sweep has gone on meanwhile; what it noticed stands in a note that was not listed.
            m[SEEN] = 0;
            actor.step -= 1;
            return;
        }
        ReadNotes => {
            let mut counts = 0;
            if rules.noticed_counts_as_missing {
                counts |= store.named(m[SEEN] & store.notices);
            }
            if rules.marked_counts_as_missing {
                counts |= store.named(m[SEEN] & !store.notices);
            }
            m[NAMED] = counts;
        }
        OpenSession => {
            store.sessions |= bit(who);
            store.seen[who] = m[SEEN];
        }
        ListIndexes => m[INDEXES_SEEN] = store.indexes,
        ReadIndexes => {
            // Objects that went away since are taken for empty: what they listed is stored again.
            m[USABLE] = store.listed(m[INDEXES_SEEN]);
            m[INDEXES_SEEN] = 0;
        }
        ListPacks => {
            m[UNLISTED] = store.packs & !m[USABLE];
            if rules.absent_counts_as_missing {
                m[USABLE] &= store.packs;
            }
        }
        // Reading finds out which are whole.
        ReadUnlisted => {
            if rules.named_is_not_adopted {
                m[UNLISTED] &= !m[NAMED];
            }
            m[UNLISTED] &= store.packs;
            let usable = (m[USABLE] & !m[NAMED]) | m[UNLISTED];
            for blob in each_blob(wanted) {
                match each(store.holders(blob, usable)).next() {
                    Some(pack) => m[RELIED] |= bit(pack),
                    None => m[TO_STORE] |= Mask::from(blob),
                }
            }
            (m[USABLE], m[NAMED]) = (0, 0);
        }
        IndexAdopted => {
            if m[UNLISTED] != 0 {
                let slot = model.index_slot(who, 0);
                store.indexes |= bit(slot);
                store.lists[slot] = m[UNLISTED];
            }
        }
        StorePack => {
            if m[TO_STORE] != 0 {
                let slot = model.pack_slot(who, 0);
                store.packs |= bit(slot);
                store.blobs[slot] = m[TO_STORE] as u8;
                m[RELIED] |= bit(slot);
            }
        }
        IndexPack => {
            if m[TO_STORE] != 0 {
                let slot = model.index_slot(who, 1);
                store.indexes |= bit(slot);
                store.lists[slot] = bit(model.pack_slot(who, 0));
                m[TO_STORE] = 0;
            }
        }
        StoreIntent => store.intents |= snapshot,
        ListNotesAgain => {
            m[NEW] = store.notes & !m[SEEN];
        }
        ReadNewNotes => {
            // One that has gone since may have been a notice.
            m[CHANGED] = Mask::from(m[NEW] & (store.notices | !store.notes) != 0);
            m[LOST] = store.named(m[NEW] & store.notices);
            m[NEW] = 0;
            if !rules.check_lists_packs || !rules.check_lists_notes_first {
                // The packs were listed before, or are not.
                give_up = judge(m, m[USABLE] | if rules.check_lists_packs { 0 } else { Mask::MAX });
            } else if m[CHANGED] == 0 {
                // Quiet: W10 is left out.
                actor.step += 1;
            }
        }
        ListPacksAgain if rules.check_lists_notes_first => give_up = judge(m, store.packs),
        ListPacksAgain => m[USABLE] = store.packs,
        StoreSnapshot => {
            store.snapshots |= snapshot;
            *acknowledged |= snapshot;
            *m = Memory::default();
        }
        EndIntent | GiveUpIntent => store.intents &= !snapshot,
        EndSession | GiveUpSession => store.sessions &= !bit(who),
        End | GaveUp => return,
    }
    let m = &mut actor.memory;
    if give_up {
        *m = Memory::default();
        *failed |= snapshot;
        actor.step = model.give_up;
    } else {
        actor.step += 1;
    }
}
