//! What a pruner does, in which order: one step for each thing that is asked of the store.

use crate::rules::Rules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Mark,
    Sweep,
    /// Makes room on a full store: removes packs that an older notice names, and then has no room for one of its own.
    Room,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// S1, when only older notices count
    FindNotices,
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
        Run::Room => [&[FindNotices], &survey[..], &[RemovePack, End]].concat(),
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
