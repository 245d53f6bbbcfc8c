//! A pruner: runs that mark and runs that sweep, and one who forgets.

mod forgetter;
mod memory;
mod plan;
mod program;

pub use forgetter::{forget, forget_op};
pub use program::{Op, Run, program};

use crate::{model::Model, state::*};
use Op::*;
use memory::*;
use plan::plan;

pub fn runs(model: &Model, who: usize) -> &[Run] {
    match who {
        LAST => &[Run::Mark, Run::Sweep, Run::Mark, Run::Sweep, Run::Mark, Run::Sweep, Run::Mark, Run::Sweep],
        _ => model.scene.pruners.get(who - PRUNER).map_or(&[], |(runs, _)| runs),
    }
}

/// `None` when it has ended.
pub fn op(model: &Model, state: &State, who: usize) -> Option<Op> {
    let actor = &state.actors[who];
    let run = runs(model, who).get(usize::from(actor.run))?;
    Some(model.pruner[*run as usize][usize::from(actor.step)])
}

/// Takes the lowest name off a set.
fn pop(set: &mut Mask) -> Mask {
    let lowest = *set & set.wrapping_neg();
    *set &= !lowest;
    lowest
}

/// What follows a step: each way that it may go on is a state of its own.
pub fn step(model: &Model, before: &State, who: usize, out: &mut Vec<State>) {
    let rules = &model.rules;
    let Some(op) = op(model, before, who) else { return };
    let mut state = before.clone();
    let State { store, actors, .. } = &mut state;
    let actor = &mut actors[who];
    let run = usize::from(actor.run);
    let m = &mut actor.memory;
    let mut again = false;
    let mut ends = false;
    match op {
        FindNotices => {
            m[OLD] = store.notes & store.notices;
            ends = rules.room_looks_after_notices && store.named(m[OLD]) & store.packs == 0;
        }
        FindMarks => {
            let all = store.notes & !store.notices;
            m[OLD] = store.notes & store.notices;
            // Of several any may be too young yet.
            for marks in (1..=all)
                .rev()
                .filter(|marks| all & marks == *marks && ((model.scene.young && who != LAST) || *marks == all))
            {
                let mut state = before.clone();
                state.actors[who].memory[OLD] = m[OLD];
                state.actors[who].memory[MARKS] = marks;
                advance(model, &mut state, who, false);
                out.push(state);
            }
            if !out.is_empty() {
                return;
            }
            ends = store.named(m[OLD]) & store.packs == 0;
        }
        FindSessions => {
            // Of each session that has not seen all marks it is open whether it is still kept alive.
            let marks = m[MARKS];
            let old = m[OLD];
            let late: Vec<usize> = each(store.sessions).filter(|w| marks & !store.seen[*w] != 0).collect();
            for alive in 0..1u16 << late.len() {
                let mut state = before.clone();
                let alive = late.iter().enumerate().filter(|(n, _)| alive & bit(*n) != 0).map(|(_, w)| *w);
                let alive: Mask = alive.fold(0, |all, w| all | bit(w));
                if who == LAST && alive != 0 {
                    continue;
                }
                let mut sweepable = marks;
                if rules.sessions_hold_sweeps {
                    each(alive).for_each(|w| sweepable &= state.store.seen[w]);
                }
                let expired = late.iter().fold(0, |all, w| all | bit(*w)) & !alive;
                state.expired |= expired;
                // The mark is as old as the grace time: who still stands at its beginning stands still.
                for w in 0..model.scene.writers {
                    if super::writer::may_miss(model, &state, w, sweepable) {
                        state.expired |= bit(w);
                    }
                }
                let actor = &mut state.actors[who];
                actor.memory[MARKS] = sweepable;
                actor.memory[EXPIRED] = if who == LAST { state.store.sessions } else { expired };
                let none = sweepable == 0 && before.store.named(old) & before.store.packs == 0;
                advance(model, &mut state, who, none);
                out.push(state);
            }
            return;
        }
        StoreNotice => {
            let slot = model.note_slot(store, who, run);
            store.notes |= bit(slot);
            store.notices |= bit(slot);
            store.names[slot] = store.named(m[MARKS] | m[OLD]) & store.packs;
            if model.scene.notice_any && who != LAST {
                let (all, old) = (store.names[slot], store.named(m[OLD]));
                for some in (0..all).filter(|some| some & !all == 0 && some & old == old & all) {
                    let mut state = state.clone();
                    state.store.names[slot] = some;
                    advance(model, &mut state, who, false);
                    out.push(state);
                }
            }
        }
        ListIntents => m[INTENTS] = store.intents,
        ListNotes => m[NOTES_SEEN] = store.notes,
        ReadNotes => {
            m[NAMED] = store.named(m[NOTES_SEEN] & store.notices);
            if model.scene.marks_stay {
                let marked = store.named(m[NOTES_SEEN] & !store.notices);
                match runs(model, who)[run] {
                    Run::Mark => m[MARKED] = marked,
                    Run::Sweep | Run::Room => m[MARKED_BESIDE] = marked,
                }
            }
            m[NOTES_SEEN] = 0;
            if !rules.notes_before_packs {
                ends = plan(model, &mut state, who);
            }
        }
        ListSnapshots => m[SNAPSHOTS] = store.snapshots,
        ListTombstones => m[GONE] = store.gone,
        ListIndexes => m[INDEXES_SEEN] = store.indexes,
        ReadIndexes => {
            m[LISTED] = store.listed(m[INDEXES_SEEN]);
            // Another run has replaced it.
            ends = m[INDEXES_SEEN] & !store.indexes != 0;
        }
        ListPacks => {
            m[10] = store.packs;
            if rules.notes_before_packs {
                ends = plan(model, &mut state, who);
            }
        }
        Publish => {
            // Stored, then the intent is removed.
            let lowest = m[PUBLISH] & m[PUBLISH].wrapping_neg();
            if m[11] == 0 {
                store.snapshots |= lowest;
                m[11] = 1;
            } else {
                store.intents &= !pop(&mut m[PUBLISH]);
                m[11] = 0;
            }
            again = true;
        }
        DropIntent => {
            store.intents &= !pop(&mut m[DROP]);
            again = true;
        }
        RemoveForgotten => {
            store.snapshots &= !pop(&mut m[FORGOTTEN]);
            again = true;
        }
        StoreCopies => {
            let slot = model.free_pack(store, who, run);
            store.packs |= bit(slot);
            store.blobs[slot] = m[COPY] as u8;
            if m[TAINTED] != 0 {
                store.damaged |= bit(slot);
            }
            m[COPY] = bit(slot);
            m[TAINTED] = 0;
        }
        IndexCopies => {
            let slot = model.free_index(store, who, run);
            store.indexes |= bit(slot);
            store.lists[slot] = m[COPY];
            m[COPY] = 0;
        }
        StoreMark => {
            let slot = model.note_slot(store, who, run);
            store.notes |= bit(slot);
            store.notices &= !bit(slot);
            store.names[slot] = m[CONDEMNED];
            m[CONDEMNED] = 0;
        }
        RemovePack => {
            store.packs &= !pop(&mut m[REMOVE]);
            again = true;
        }
        StoreIndex => {
            let slot = model.free_index(store, who, run);
            store.indexes |= bit(slot);
            store.lists[slot] = m[ENTRIES];
            m[ENTRIES] = 0;
        }
        RemoveOldIndex => {
            store.remove_index(pop(&mut m[INDEXES_SEEN]));
            again = true;
        }
        RemoveNote => {
            store.remove_note(pop(&mut m[NOTES_DONE]));
            again = true;
        }
        RemoveSession => {
            store.sessions &= !pop(&mut m[EXPIRED]);
            again = true;
        }
        End => {}
    }
    if !again {
        advance(model, &mut state, who, ends);
    } else {
        settle(model, &mut state, who);
    }
    out.push(state);
}

fn advance(model: &Model, state: &mut State, who: usize, ends: bool) {
    let actor = &mut state.actors[who];
    if ends {
        *actor = Actor { run: actor.run + 1, ..Actor::default() };
    } else {
        actor.step += 1;
        settle(model, state, who);
    }
}

/// Passes over steps that have nothing to do.
fn settle(model: &Model, state: &mut State, who: usize) {
    while let Some(op) = op(model, state, who) {
        let actor = &mut state.actors[who];
        let m = &actor.memory;
        let idle = match op {
            Publish => m[PUBLISH] == 0,
            DropIntent => m[DROP] == 0,
            RemoveForgotten => m[FORGOTTEN] == 0,
            StoreCopies | IndexCopies => m[COPY] == 0,
            StoreMark => m[CONDEMNED] == 0,
            RemovePack => m[REMOVE] == 0,
            StoreIndex => m[ENTRIES] == 0,
            RemoveOldIndex => m[INDEXES_SEEN] == 0,
            RemoveNote => m[NOTES_DONE] == 0,
            RemoveSession => m[EXPIRED] == 0,
            End => {
                *actor = Actor { run: actor.run + 1, ..Actor::default() };
                return;
            }
            _ => false,
        };
        if !idle {
            return;
        }
        actor.step += 1;
    }
}
