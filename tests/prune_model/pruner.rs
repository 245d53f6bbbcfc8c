//! A pruner: runs that mark and runs that sweep, and one who forgets. One step for each thing that is asked of the store.

use super::{model::Model, rules::Rules, state::*};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Mark,
    Sweep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// S1
    FindMarks,
    FindSessions,
    /// S2
    StoreNotice,
    /// V1 to V6
    ListIntents,
    ListNotes,
    ReadNotes,
    ListSnapshots,
    ListTombstones,
    ListIndexes,
    ReadIndexes,
    ListPacks,
    /// M2, as often as there is something to do
    Publish,
    DropIntent,
    RemoveForgotten,
    /// M3, M4, M5
    StoreCopies,
    IndexCopies,
    StoreMark,
    /// S4, as often as there is something to do
    RemovePack,
    /// S5, S6
    StoreIndex,
    RemoveOldIndex,
    /// S7
    RemoveNote,
    RemoveSession,
    End,
}
use Op::*;

// What a pruner remembers of a survey.
const INTENTS: usize = 0;
const NOTES_SEEN: usize = 1;
const NAMED: usize = 2;
const SNAPSHOTS: usize = 3;
const GONE: usize = 4;
const INDEXES_SEEN: usize = 5;
const LISTED: usize = 6;
// And of S1.
const MARKS: usize = 7;
const OLD: usize = 8;
const EXPIRED: usize = 9;
/// And what it knows to be marked.
const MARKED: usize = 7;
const MARKED_BESIDE: usize = 11;
// The plan, in the place of the survey.
const PUBLISH: usize = 0;
const DROP: usize = 1;
const FORGOTTEN: usize = 2;
const COPY: usize = 3;
const CONDEMNED: usize = 4;
/// The copies hold what is damaged.
const TAINTED: usize = 5;
const REMOVE: usize = 0;
const ENTRIES: usize = 1;
const NOTES_DONE: usize = 2;

fn survey(rules: &Rules) -> Vec<Op> {
    let intents = [ListIntents];
    let notes = [ListNotes, ReadNotes];
    let snapshots = [ListSnapshots, ListTombstones];
    let packs = [ListIndexes, ReadIndexes, ListPacks];
    if !rules.intents_before_snapshots {
        [&snapshots[..], &intents, &notes, &packs].concat()
    } else if !rules.intents_before_notes {
        [&notes[..], &intents, &snapshots, &packs].concat()
    } else if !rules.notes_before_packs {
        // What is planned is planned with the last of them.
        [&intents[..], &snapshots, &packs, &notes].concat()
    } else {
        [&intents[..], &notes, &snapshots, &packs].concat()
    }
}

pub fn program(rules: &Rules, run: Run) -> Vec<Op> {
    let survey = survey(rules);
    match run {
        Run::Mark => {
            let copies = if rules.copies_are_indexed { vec![StoreCopies, IndexCopies] } else { vec![StoreCopies] };
            [&survey[..], &[Publish, DropIntent, RemoveForgotten, RemoveSession], &copies, &[StoreMark, End]].concat()
        }
        Run::Sweep => {
            let find = [FindMarks, FindSessions];
            let before = match rules.notice_before_survey {
                true => [&find[..], &[StoreNotice], &survey].concat(),
                false => [&find[..], &survey, &[StoreNotice]].concat(),
            };
            let index = match rules.index_before_old_index {
                true => [StoreIndex, RemoveOldIndex],
                false => [RemoveOldIndex, StoreIndex],
            };
            [&before[..], &[RemovePack], &index, &[RemoveNote, RemoveSession, End]].concat()
        }
    }
}

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
                    Run::Sweep => m[MARKED_BESIDE] = marked,
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

/// V7, and what the run makes of it. True when it ends here: a snapshot's blob is not to be found.
fn plan(model: &Model, state: &mut State, who: usize) -> bool {
    let (rules, scene) = (&model.rules, &model.scene);
    let State { store, actors, .. } = state;
    let actor = &mut actors[who];
    let (run, highest) = (usize::from(actor.run), who != LAST && scene.pruners[who - PRUNER].1);
    let m = actor.memory;
    let sweep = runs(model, who)[run] == Run::Sweep;
    let own = match sweep {
        true if scene.notice_any && who != LAST => names_of_own(model, store, who, run),
        true => store.named(m[MARKS] | m[OLD]) | names_of_own(model, store, who, run),
        false => 0,
    };
    let found = m[LISTED] & m[10];
    let named = if rules.noticed_copies_do_not_count { m[NAMED] | own } else { own };
    let usable = found & !named;
    let have = store.blobs_in(usable);
    let anywhere = store.blobs_in(found);

    let mut live = 0u8;
    for s in each(m[SNAPSHOTS] & !m[GONE]) {
        live |= scene.wants[s];
    }
    if live & !anywhere != 0 {
        return true;
    }
    let (mut publish, mut drop) = (0, 0);
    for s in each(m[INTENTS]) {
        let wants = scene.wants[s];
        let whole = wants & !have == 0;
        let broken = wants & !anywhere != 0 || m[GONE] & bit(s) != 0;
        if broken || (whole && !rules.intents_are_finished) || (!whole && !rules.held_intents_stay) {
            drop |= bit(s);
        } else {
            if whole {
                publish |= bit(s);
            }
            if rules.intents_are_roots {
                live |= wants;
            }
        }
    }
    let mut next = Memory::default();
    if !sweep {
        (next[PUBLISH], next[DROP]) = (publish, drop);
        next[FORGOTTEN] = m[SNAPSHOTS] & m[GONE];
        if who == LAST {
            next[EXPIRED] = store.sessions;
        }
        let mut keep = 0;
        for blob in each_blob(live & have) {
            let mut holders = store.holders(blob, usable);
            // Nothing would be lost without it, since S4 spares what is nowhere else unmarked; but nothing would ever be freed.
            if holders & !m[MARKED] != 0 {
                holders &= !m[MARKED];
            }
            if holders & keep == 0 {
                keep |= if highest { bit(15 - holders.leading_zeros() as usize) } else { pop(&mut { holders }) };
            }
        }
        let mut copy = if rules.live_blobs_are_copied_out { live & !have } else { 0 };
        let mut tainted = false;
        for pack in each(keep) {
            let is_marked = scene.marks_stay && m[MARKED] & bit(pack) != 0;
            let is_damaged = store.damaged & bit(pack) != 0;
            // What is damaged is moved from where it is, or not at all.
            if (is_marked || scene.repack && store.blobs[pack] & !live != 0)
                && !(is_damaged && rules.damaged_is_not_moved)
            {
                keep &= !bit(pack);
                copy |= store.blobs[pack] & live;
                tainted |= is_damaged;
            }
        }
        copy &= !store.blobs_in(keep);
        let sound = store.blobs_in(found & !store.damaged);
        if rules.damaged_is_not_moved {
            // What is nowhere else stays where it is.
            each_blob(copy & !sound).for_each(|blob| keep |= store.holders(blob, usable));
            copy &= sound;
        }
        next[TAINTED] = Mask::from(tainted || copy & !sound != 0);
        next[COPY] = Mask::from(copy);
        next[CONDEMNED] = m[10] & !keep & !m[NAMED];
    } else {
        let mut spared = 0;
        if rules.live_packs_are_spared {
            let lasting = if rules.marked_copies_do_not_count { usable & !m[MARKED_BESIDE] } else { usable };
            for blob in each_blob(live & !store.blobs_in(lasting)) {
                spared |= store.holders(blob, found);
            }
        }
        let remove = own & m[10] & !spared;
        let left = m[10] & !remove;
        next[REMOVE] = remove;
        let kept = if rules.index_keeps_present_packs { found & !remove } else { found & !own };
        let covered = !rules.own_index_covers && each(m[INDEXES_SEEN]).any(|x| store.lists[x] & kept == kept);
        if covered {
            // The lowest or the highest that holds everything stays.
            let mut all = each(m[INDEXES_SEEN]).filter(|x| store.lists[*x] & kept == kept);
            let stays = if highest { all.last() } else { all.next() };
            next[INDEXES_SEEN] = m[INDEXES_SEEN] & !stays.map_or(0, bit);
        } else if kept != m[LISTED] || m[INDEXES_SEEN].count_ones() > 1 {
            next[ENTRIES] = kept;
            next[INDEXES_SEEN] = m[INDEXES_SEEN];
        }
        let mut done = 0;
        for note in each(m[MARKS]) {
            if !scene.marks_stay || !rules.marks_last || store.names[note] & left == 0 {
                done |= bit(note);
            }
        }
        for note in each(m[OLD]) {
            if !rules.notices_stay || store.names[note] & left == 0 {
                done |= bit(note);
            }
        }
        if !rules.own_notice_stays && own & left == 0 {
            done |= bit(model.note_slot(store, who, run));
        }
        next[NOTES_DONE] = done;
        next[EXPIRED] = m[EXPIRED];
        if !rules.notice_before_survey {
            (next[MARKS], next[OLD]) = (m[MARKS], m[OLD]);
        }
    }
    actor.memory = next;
    false
}

fn names_of_own(model: &Model, store: &Store, who: usize, run: usize) -> Mask {
    if who == LAST { 0 } else { store.named(bit(model.note_slot(store, who, run))) }
}

/// F1, F2: forgets snapshots of the scene, each as soon as it is there.
pub fn forget_op(model: &Model, state: &State) -> Option<usize> {
    let actor = &state.actors[FORGETTER];
    let target = *model.scene.forgets.get(usize::from(actor.run))?;
    let visible = (state.store.snapshots & !state.store.gone) & bit(target) != 0;
    (actor.step > 0 || visible).then_some(target)
}

pub fn forget(model: &Model, before: &State, target: usize) -> State {
    let rules = &model.rules;
    let mut state = before.clone();
    let actor = &mut state.actors[FORGETTER];
    let tombstone_now = (actor.step == 0) == rules.tombstone_before_removal;
    if tombstone_now && rules.forget_leaves_tombstone {
        state.store.gone |= bit(target);
    }
    if !tombstone_now {
        state.store.snapshots &= !bit(target);
        // Asked for by its owner, so no longer owed to anybody.
        state.acknowledged &= !bit(target);
    }
    if actor.step == 0 {
        actor.step = 1;
    } else {
        *actor = Actor { run: actor.run + 1, ..Actor::default() };
    }
    state
}
