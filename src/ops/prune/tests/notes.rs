//! What notes say, and to whom.

use super::*;
use crate::{
    hash,
    id::{NoteId, PackId},
    model::gc::Step,
    repo::gc::object_name,
    store::{
        faulty::{Fault, FaultyStore, Op},
        interrupted::Interrupted,
    },
};
use std::{collections::HashSet, io, sync::Arc};

fn packs(numbers: &[u8]) -> HashSet<PackId> {
    numbers.iter().map(|number| PackId([*number; 32])).collect()
}

fn note(repo: &Repository, step: Step, numbers: &[u8]) -> NoteId {
    repo.note(step, packs(numbers).into_iter().collect()).unwrap()
}

#[test]
fn what_is_news_is_told_from_what_was_seen_or_passed_over() {
    let Fixture { repo, store, .. } = &Fixture::new();
    let all = HashSet::new();
    assert_eq!((repo.noticed_since(&[], &[]).unwrap(), repo.named_since(&all).unwrap()), (None, Some(packs(&[]))));
    let mark = note(repo, Step::Mark, &[1]);
    assert_eq!(repo.noticed_since(&[], &[]).unwrap(), None, "a mark removes nothing");
    let notice = note(repo, Step::Notice, &[2, 3]);
    assert_eq!(repo.noticed_since(&[], &[]).unwrap(), Some(packs(&[2, 3])));
    assert_eq!(repo.noticed_since(&[notice], &[]).unwrap(), None);
    assert_eq!(repo.named_since(&all).unwrap(), Some(packs(&[1, 2, 3])));
    assert_eq!(repo.named_since(&HashSet::from([mark])).unwrap(), Some(packs(&[2, 3])));
    let empty = note(repo, Step::Notice, &[]);
    assert_eq!(repo.noticed_since(&[notice], &[]).unwrap(), Some(packs(&[])), "a sweep has begun");

    // What nobody here has made says nothing; what is damaged may have said anything.
    let foreign = NoteId(hash::object_name(b"of somebody else"));
    store.put(&object_name(&foreign), b"of somebody else").unwrap();
    for stray in [&["gc", "more", &empty.to_string()][..], &["gc", "readme"]] {
        store.put(&ObjectName::of_parts(stray), b"stray").unwrap();
    }
    assert_eq!(repo.named_since(&all).unwrap(), Some(packs(&[1, 2, 3])));
    let damaged = object_name(&empty);
    assert!(store.tamper(&damaged, |bytes| bytes[40] ^= 1));
    let mut seen = [mark, notice];
    seen.sort_unstable();
    assert!(matches!(repo.noticed_since(&seen, &[]), Err(Error::Corrupt { .. })));
    assert_eq!(repo.noticed_since(&seen, std::slice::from_ref(&damaged)).unwrap(), None);
    assert_eq!(repo.named_since(&all).unwrap(), None);
    assert_eq!(repo.named_since(&HashSet::from([empty])).unwrap(), Some(packs(&[1, 2, 3])));
    let notes = repo.notes().unwrap();
    let mut names = [mark, notice, foreign];
    names.sort_unstable();
    assert_eq!((notes.names, notes.noted.len(), notes.foreign.len()), (names.to_vec(), 2, 1));
    assert_eq!((notes.damaged.len(), &notes.damaged[0].name), (1, &damaged));

    // Without bytes it was on its way, and nobody was told of it.
    assert!(store.tamper(&damaged, Vec::clear));
    assert_eq!(repo.noticed_since(&seen, &[]).unwrap(), None);
    assert_eq!(repo.named_since(&HashSet::from(seen)).unwrap(), Some(packs(&[])));
    let notes = repo.notes().unwrap();
    assert_eq!((notes.names, notes.damaged.len(), notes.hollow), (names.to_vec(), 0, vec![damaged]));
}

/// A repository with one notice, where after `nth` operations more this one goes and another comes.
fn replaced(nth: u64) -> (Repository, Fixture, NoteId) {
    let fixture = Fixture::new();
    let counting = Arc::new(FaultyStore::new(fixture.store.clone()));
    drop(fixture.reopen(counting.clone()));
    let (first, store) = (note(&fixture.repo, Step::Notice, &[1]), fixture.store.clone());
    let other = fixture.reopen(Arc::new(store.clone()));
    let event = move || {
        note(&other, Step::Mark, &[2]);
        store.remove(&object_name(&first)).unwrap();
    };
    let store = Interrupted::new(fixture.store.clone(), counting.total() + nth, event);
    (fixture.reopen(store), fixture, first)
}

#[test]
fn a_note_that_goes_while_it_is_read_is_not_passed_over_in_silence() {
    // It was listed, and is to be read.
    let (repo, fixture, _) = replaced(2);
    assert_eq!(repo.noticed_since(&[], &[]).unwrap(), Some(packs(&[])), "its packs have gone");
    assert_eq!(fixture.names("gc/").len(), 1);
    let (repo, ..) = replaced(2);
    assert_eq!(repo.named_since(&HashSet::new()).unwrap(), Some(packs(&[])));
    let (repo, _, first) = replaced(2);
    let notes = repo.notes().unwrap();
    assert_eq!((notes.named(), notes.names.contains(&first)), (packs(&[2]), false));
}

#[test]
fn a_note_is_made_when_it_lasts() {
    let fixture = Fixture::new();
    let store = Arc::new(FaultyStore::new(fixture.store.clone()));
    let repo = fixture.reopen(store.clone());
    store.plan(Fault::on(Op::Sync, 1, io::ErrorKind::Other));
    assert!(repo.mark(packs(&[1])).is_err());
    assert_eq!(repo.mark(packs(&[])).unwrap(), []);
    assert_eq!(repo.mark(packs(&[1, 2])).unwrap().len(), 1);
    assert_eq!(repo.notes().unwrap().named(), packs(&[1, 2]));
}
