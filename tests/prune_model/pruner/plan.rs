//! V7: what a survey comes to, and what the run makes of it.

use super::{Run, memory::*, pop, runs};
use crate::{model::Model, state::*};

/// V7, and what the run makes of it. True when it ends here: a snapshot's blob is not to be found.
pub fn plan(model: &Model, state: &mut State, who: usize) -> bool {
    let (rules, scene) = (&model.rules, &model.scene);
    let State { store, actors, .. } = state;
    let actor = &mut actors[who];
    let (run, highest) = (usize::from(actor.run), who != LAST && scene.pruners[who - PRUNER].1);
    let m = actor.memory;
    let room = runs(model, who)[run] == Run::Room;
    let sweep = room || runs(model, who)[run] == Run::Sweep;
    let own = match sweep {
        true if room && !rules.room_looks_after_notices => m[NAMED],
        true if room => store.named(m[OLD]),
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
        if room {
            actor.memory = next;
            return false;
        }
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
