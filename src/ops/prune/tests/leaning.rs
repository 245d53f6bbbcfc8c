//! What leans on what, as a hostile index may tell it.

use super::*;
use crate::{
    id::{BLOB_ID_LEN, BlobId},
    ops::prune::live::{Live, Standing},
};

fn blob(number: u8) -> (BlobId, [u8; 1]) {
    (BlobId([number; BLOB_ID_LEN]), [number])
}

/// Lists a pack with one blob that leans on these.
fn list(fixture: &Fixture, number: u8, on: &[u8]) {
    let ((id, bytes), bases) = (blob(number), on.iter().map(|base| blob(*base)).collect::<Vec<_>>());
    let bases: Vec<(BlobId, &[u8])> = bases.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
    fixture.forge_pack(&[(id, &bytes)], &bases);
}

fn need(fixture: &Fixture, number: u8) -> Option<Standing> {
    Live::new(&fixture.index(), &|_, _| Standing::Kept).need(&blob(number).0)
}

#[test]
fn a_chain_is_followed_so_far_and_a_circle_leads_nowhere() {
    let fixture = Fixture::new();
    list(&fixture, 1, &[]);
    for number in 2..=34 {
        list(&fixture, number, &[number - 1]);
    }
    // Four times as far as a reader goes; no further, whatever a stack holds.
    assert_eq!(need(&fixture, 33), Some(Standing::Kept));
    assert_eq!(need(&fixture, 34), None);
    list(&fixture, 101, &[1, 102]);
    list(&fixture, 102, &[101]);
    for number in [101, 102] {
        assert_eq!(need(&fixture, number), None);
    }
    // Where there is another place, it is found there.
    list(&fixture, 102, &[1]);
    assert_eq!(need(&fixture, 101), Some(Standing::Kept));
}

/// What was given up on the way from somewhere deep is looked at anew from elsewhere.
#[test]
fn what_only_seemed_to_be_nowhere_is_found_afterwards() {
    let fixture = Fixture::new();
    list(&fixture, 1, &[]);
    for number in 2..=34 {
        list(&fixture, number, &[number - 1]);
    }
    let live = Live::new(&fixture.index(), &|_, _| Standing::Kept);
    assert_eq!(live.need(&blob(34).0), None);
    for number in 1..=33 {
        assert_eq!(live.need(&blob(number).0), Some(Standing::Kept), "{number}");
    }
}

#[test]
fn many_side_by_side_are_no_chain() {
    let fixture = Fixture::new();
    let all: Vec<u8> = (1..=40).collect();
    all.iter().for_each(|number| list(&fixture, *number, &[]));
    list(&fixture, 100, &all);
    assert_eq!(need(&fixture, 100), Some(Standing::Kept));
}

/// Two places for each, and two below each of these: thirty levels are as many ways as there are bytes in a gibibyte.
#[test]
fn an_index_that_is_a_maze_is_given_up() {
    let fixture = Fixture::new();
    for number in 2..=31 {
        for _ in 0..2 {
            list(&fixture, number, &[number - 1]);
        }
    }
    assert_eq!(need(&fixture, 31), None);
}
