//! What the kernel knows by number: each entry for as long as the kernel counts on it.
//!
//! The kernel keeps what it has seen until its own memory runs short, which may be never: after a `find` over all snapshots it would
//! hold millions of entries, and so would this table. So it asks back: when it holds more than [`HIGH`] entries, the oldest are named
//! to whoever tells the kernel to let go of them, which the kernel does of all that nobody uses.

use super::{
    entry::What,
    number::{self, Identity, ROOT},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Entries above which the oldest are to go: some 100 bytes each.
pub const HIGH: usize = 200_000;
/// Entries that are left then.
pub const LOW: usize = 100_000;

struct Slot {
    what: What,
    check: u64,
    /// How often the kernel was told this number and did not say that it forgot it.
    lookups: u64,
}

#[derive(Default)]
struct State {
    slots: HashMap<u64, Slot>,
    /// Numbers in the order in which they came; some may be gone, and some may be there twice.
    order: VecDeque<u64>,
    /// No entry is named again to be let go of before so many are there.
    patience: usize,
}

/// The entries that the kernel knows.
pub struct Table(Mutex<State>);

impl Table {
    /// Only the root, which the kernel never forgets.
    pub fn new(root: What) -> Self {
        let mut state = State { patience: HIGH, ..State::default() };
        state.slots.insert(ROOT, Slot { what: root, check: 0, lookups: u64::MAX / 2 });
        Table(Mutex::new(state))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that the kernel is told of an entry, and gives the number to tell it.
    pub fn enter(&self, identity: Identity, what: impl FnOnce() -> What) -> u64 {
        let mut state = self.lock();
        let mut number = identity.number;
        loop {
            match state.slots.get_mut(&number) {
                Some(slot) if slot.check == identity.check => {
                    slot.lookups += 1;
                    return number;
                }
                Some(_) => number = number::next(number),
                None => break,
            }
        }
        state.slots.insert(number, Slot { what: what(), check: identity.check, lookups: 1 });
        state.order.push_back(number);
        if state.order.len() > 2 * state.slots.len() + 1024 {
            let State { slots, order, .. } = &mut *state;
            order.retain(|number| slots.contains_key(number));
        }
        number
    }

    /// What a number stands for.
    pub fn get(&self, number: u64) -> Option<What> {
        self.lock().slots.get(&number).map(|slot| slot.what.clone())
    }

    /// The kernel forgot `lookups` of the times that it was told.
    pub fn forget(&self, number: u64, lookups: u64) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(&number) {
            slot.lookups = slot.lookups.saturating_sub(lookups);
            if slot.lookups == 0 {
                state.slots.remove(&number);
                if state.slots.capacity() > 4 * state.slots.len() + 4096 {
                    state.slots.shrink_to_fit();
                    state.order.shrink_to_fit();
                }
            }
        }
    }

    /// Entries that the kernel knows.
    pub fn count(&self) -> usize {
        self.lock().slots.len()
    }

    /// True when [`Table::surplus`] would name some.
    pub fn is_full(&self) -> bool {
        let state = self.lock();
        state.slots.len() > state.patience
    }

    /// The entries that the kernel is to let go of, each with its parent's number: the oldest, and files before directories, of which
    /// somebody may be in one. They count as new again. When the kernel keeps them all the same, none are named before many more came.
    pub fn surplus(&self) -> Vec<(u64, What)> {
        let mut state = self.lock();
        let wanted = state.slots.len().saturating_sub(LOW);
        let State { slots, order, .. } = &mut *state;
        let mut out = Vec::new();
        for directories in [false, true] {
            for _ in 0..order.len() {
                if out.len() >= wanted {
                    break;
                }
                let Some(number) = order.pop_front() else { break };
                let Some(slot) = slots.get(&number) else { continue };
                order.push_back(number);
                if slot.what.is_stored() && slot.what.is_directory() == directories {
                    out.push((number, slot.what.clone()));
                }
            }
        }
        state.patience = state.slots.len() + (HIGH - LOW);
        out
    }

    /// The kernel was told of all that [`Table::surplus`] named: what it still holds is used.
    pub fn settle(&self) {
        let mut state = self.lock();
        state.patience = (state.slots.len() + (HIGH - LOW) / 2).max(HIGH);
    }
}
