//! Who takes part, on what, under which rules; what must hold in every state.

use super::{
    pruner::{self, Run},
    rules::Rules,
    state::*,
    writer,
};

/// Blobs.
pub const A: u8 = 1;
pub const B: u8 = 2;
pub const C: u8 = 4;

/// What there is in the beginning, and who comes.
#[derive(Clone, Copy)]
pub struct Scene {
    pub name: &'static str,
    /// Packs 0 to 2, by what they hold, and the index objects that list them.
    pub packs: &'static [u8],
    pub indexes: &'static [Mask],
    /// What each snapshot refers to; 1 is the first writer's, 2 the second's if there is one.
    pub wants: [u8; 3],
    pub writers: usize,
    /// Runs of each pruner; and whether of equal copies it keeps the one in the highest pack, not the lowest.
    pub pruners: &'static [(&'static [Run], bool)],
    /// Snapshots that are forgotten, in this order.
    pub forgets: &'static [usize],
    /// Packs that are live in part are copied.
    pub repack: bool,
    /// Marks stay as long as any of their packs is there, and what is live in these is copied.
    pub marks_stay: bool,
    /// Packs that are listed and absent.
    pub lost: Mask,
    /// Packs whose bytes are damaged; marks that are there from the start, each by the packs that it names; and snapshots that need what
    /// only damaged packs hold, which nobody can help.
    pub damaged: Mask,
    pub marks: &'static [Mask],
    pub holed: Mask,
    /// A notice may leave packs out that its marks name.
    pub notice_any: bool,
    /// Snapshots that are there; of the three those that no writer makes.
    pub snapshots: Mask,
    /// Of several marks each may be too young to be swept.
    pub young: bool,
    /// Each state is asked, too, what remains when all are killed there.
    pub litter: bool,
}

pub struct Model {
    pub scene: Scene,
    pub rules: Rules,
    pub writer: Vec<writer::Op>,
    /// The writer's step after it found that it cannot succeed.
    pub give_up: u8,
    /// By [`Run`].
    pub pruner: [Vec<pruner::Op>; 3],
}

impl Model {
    pub fn new(scene: Scene, rules: Rules) -> Self {
        let writer = writer::program(&rules);
        let give_up = 1 + writer.iter().position(|op| *op == writer::Op::End).unwrap() as u8;
        let pruner = [Run::Mark, Run::Sweep, Run::Room].map(|run| pruner::program(&rules, run));
        Model { scene, rules, writer, give_up, pruner }
    }

    pub fn start(&self) -> State {
        let mut state = State::default();
        let store = &mut state.store;
        for (n, blobs) in self.scene.packs.iter().enumerate() {
            store.packs |= bit(n);
            store.blobs[n] = *blobs;
        }
        for (n, lists) in self.scene.indexes.iter().enumerate() {
            store.indexes |= bit(n);
            store.lists[n] = *lists;
        }
        store.packs &= !self.scene.lost;
        store.damaged = self.scene.damaged;
        for (n, names) in self.scene.marks.iter().enumerate() {
            store.notes |= bit(NOTES - 1 - n);
            store.names[NOTES - 1 - n] = *names;
        }
        store.snapshots = self.scene.snapshots;
        state.acknowledged = self.scene.snapshots;
        state
    }

    // Each run has names of its own for what it stores.

    pub fn pack_slot(&self, who: usize, run: usize) -> usize {
        match who {
            PRUNER.. => {
                let before = pruner::runs(self, who)[..run].iter().filter(|run| **run == Run::Mark).count();
                5 + 3 * (who - PRUNER) + before
            }
            _ => 3 + who,
        }
    }

    pub fn index_slot(&self, who: usize, run: usize) -> usize {
        match who {
            PRUNER.. => 6 + 5 * (who - PRUNER) + run,
            _ => 2 + 2 * who + run,
        }
    }

    /// The last one to come takes names that nobody uses.
    pub fn free_pack(&self, store: &Store, who: usize, run: usize) -> usize {
        let used = store.packs | store.listed(Mask::MAX) | store.named(Mask::MAX);
        if who == LAST { used.trailing_ones() as usize } else { self.pack_slot(who, run) }
    }

    pub fn free_index(&self, store: &Store, who: usize, run: usize) -> usize {
        if who == LAST { store.indexes.trailing_ones() as usize } else { self.index_slot(who, run) }
    }

    pub fn note_slot(&self, store: &Store, who: usize, run: usize) -> usize {
        if who == LAST { store.notes.trailing_ones() as usize } else { 5 * (who - PRUNER) + run }
    }

    /// All states that one step of one actor leads to, with a word for the step. An actor that is stopped or killed takes no more steps,
    /// so all that others do meanwhile is among these.
    pub fn next(&self, state: &State, out: &mut Vec<(usize, State)>) {
        let mut states = Vec::new();
        for who in 0..self.scene.writers {
            if writer::op(self, state, who).is_some() {
                let mut next = state.clone();
                writer::step(self, &mut next, who);
                out.push((who, next));
            }
        }
        for who in PRUNER..FORGETTER {
            if pruner::op(self, state, who).is_some() {
                pruner::step(self, state, who, &mut states);
                assert!(!states.is_empty(), "no step waits");
                out.extend(states.drain(..).map(|next| (who, next)));
            }
        }
        if let Some(target) = pruner::forget_op(self, state) {
            out.push((FORGETTER, pruner::forget(self, state, target)));
        }
        out.iter_mut().for_each(|(_, state)| state.store.settle());
    }

    /// What the next step of an actor is called.
    pub fn describe(&self, state: &State, who: usize) -> String {
        match who {
            PRUNER..FORGETTER | LAST => format!("pruner {} {:?}", who - PRUNER, pruner::op(self, state, who)),
            FORGETTER => format!("forget {:?}", pruner::forget_op(self, state)),
            _ => format!("writer {who} {:?}", writer::op(self, state, who)),
        }
    }

    /// What is wrong with a state.
    pub fn violation(&self, state: &State) -> Option<&'static str> {
        let store = &state.store;
        let readable = store.blobs_in(store.packs & store.listed(store.indexes) & !store.damaged);
        if each(store.snapshots & !store.gone & !self.scene.holed).any(|s| self.scene.wants[s] & !readable != 0) {
            return Some("a snapshot has holes");
        }
        if state.acknowledged & !store.gone & !store.snapshots != 0 {
            return Some("an acknowledged snapshot is lost");
        }
        if state.failed & !(state.expired << 1) != 0 {
            return Some("a writer had to give up while its session was alive");
        }
        None
    }

    /// All others are killed now. A pruner that comes alone must find everything in order after some runs.
    pub fn leaves_litter(&self, state: &State) -> Option<&'static str> {
        let mut state = state.clone();
        let mut out = Vec::new();
        while pruner::op(self, &state, LAST).is_some() {
            pruner::step(self, &state, LAST, &mut out);
            state = out.pop().expect("no step waits");
            state.store.settle();
            assert!(out.is_empty());
            if let Some(what) = self.violation(&state) {
                return Some(what);
            }
        }
        let store = &state.store;
        let live = each(store.snapshots & !store.gone).fold(0, |all, s| all | self.scene.wants[s]);
        let idle = each(store.packs).any(|pack| store.blobs[pack] & live == 0);
        if idle || store.packs & !store.listed(store.indexes) != 0 {
            return Some("garbage stays");
        }
        if store.intents != 0 || store.sessions != 0 || store.snapshots & store.gone != 0 {
            return Some("an intent, a session or a forgotten snapshot stays");
        }
        // What is damaged, and needed, and nowhere else, stays under its mark.
        let helpless = store.packs & store.damaged;
        if each(store.notes & !store.notices).any(|note| store.names[note] & helpless == 0) {
            return Some("a mark stays");
        }
        // Notices of which nothing is left go with the next sweep that has something to do.
        (store.named(store.notices) & store.packs & !helpless != 0).then_some("a noticed pack stays")
    }
}
