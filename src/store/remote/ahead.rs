//! Reading ahead: whoever reads an object from its beginning in whole pieces gets the next ones sent before they are asked for, so that
//! a long way does not slow down a long object.

use super::{
    link::{Link, Ticket},
    wire::{PIECE, Request},
};
use crate::store::ObjectName;
use std::collections::{HashMap, VecDeque};

/// Pieces of one object that are on their way beforehand.
const WINDOW: usize = 4;
/// Pieces of all objects: so many MiB may wait here to be fetched.
const PIECES_MAX: usize = 32;
/// An object that was not asked for while others were so many times is not read to its end. What was sent of it is lost, so this is
/// not to happen to one that is only slow.
const STALE: u64 = 1024;

/// Objects that are read ahead.
#[derive(Default)]
pub(super) struct Ahead {
    objects: HashMap<ObjectName, Object>,
    /// Grows with each use.
    uses: u64,
}

struct Object {
    total: u64,
    /// Where the first piece begins that is not asked for.
    next: u64,
    pieces: VecDeque<(u64, Ticket)>,
    used: u64,
}

impl Ahead {
    /// The piece that begins here, if it is on its way; the next ones are asked for.
    pub(super) fn take(&mut self, link: &Link, name: &ObjectName, offset: u64, len: usize) -> Option<Ticket> {
        let object = self.objects.get_mut(name)?;
        let fits = object.pieces.front().is_some_and(|(at, _)| *at == offset)
            && len as u64 == (object.total - offset).min(PIECE as u64);
        if !fits {
            // Somebody reads it in another way.
            self.objects.remove(name);
            return None;
        }
        let ticket = object.pieces.pop_front().map(|(_, ticket)| ticket);
        self.ask(link, name);
        ticket
    }

    /// The first piece of an object came, and its length is known.
    pub(super) fn begin(&mut self, link: &Link, name: &ObjectName, total: u64) {
        if total <= PIECE as u64 {
            return;
        }
        let object = Object { total, next: PIECE as u64, pieces: VecDeque::new(), used: 0 };
        self.objects.insert(name.clone(), object);
        self.ask(link, name);
    }

    /// Nothing more of it is wanted.
    pub(super) fn forget(&mut self, name: &ObjectName) {
        self.objects.remove(name);
    }

    /// Nothing that was asked for comes any more.
    pub(super) fn clear(&mut self) {
        self.objects.clear();
    }

    fn ask(&mut self, link: &Link, name: &ObjectName) {
        self.uses += 1;
        let uses = self.uses;
        let Some(object) = self.objects.get_mut(name) else { return };
        object.used = uses;
        let mut on_their_way: usize = self.objects.values().map(|object| object.pieces.len()).sum();
        while on_their_way >= PIECES_MAX {
            let oldest = self.objects.iter().min_by_key(|(_, object)| object.used);
            let stale = oldest.filter(|(_, object)| object.used + STALE < uses).map(|(oldest, _)| oldest.clone());
            let Some(oldest) = stale else { break };
            on_their_way -= self.objects.remove(&oldest).map_or(0, |object| object.pieces.len());
        }
        let Some(object) = self.objects.get_mut(name) else { return };
        while object.pieces.len() < WINDOW && object.next < object.total && on_their_way < PIECES_MAX {
            let (offset, len) = (object.next, (object.total - object.next).min(PIECE as u64) as u32);
            object.pieces.push_back((offset, link.ask(Request::Read { name: name.clone(), offset, len })));
            object.next += u64::from(len);
            on_their_way += 1;
        }
        if object.pieces.is_empty() && object.next >= object.total {
            self.objects.remove(name);
        }
    }
}
