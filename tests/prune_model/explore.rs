//! All reachable states, breadth first.

use super::{model::Model, state::State};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

/// Takes hashes as they are.
#[derive(Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 are hashed")
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

pub struct Outcome {
    pub states: usize,
    /// The first wrong state in the fewest steps: what is wrong, and the steps that lead there.
    pub violation: Option<(&'static str, Vec<String>)>,
}

/// States are told apart by a 64-bit hash: among some millions, two with the same hash have a chance of one in a million.
fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Looks at every state.
pub fn explore(model: &Model) -> Outcome {
    let start = model.start();
    let mut parents: HashMap<u64, u64, BuildHasherDefault<Same>> = HashMap::default();
    parents.insert(fingerprint(&start), 0);
    let (mut layer, mut next) = (vec![start], Vec::new());
    let mut out = Vec::new();
    while !layer.is_empty() {
        for state in layer.drain(..) {
            let wrong =
                model.violation(&state).or_else(|| model.scene.litter.then(|| model.leaves_litter(&state)).flatten());
            let print = fingerprint(&state);
            if let Some(what) = wrong {
                let steps = steps_to(model, &parents, print);
                return Outcome { states: parents.len(), violation: Some((what, steps)) };
            }
            model.next(&state, &mut out);
            for (_, state) in out.drain(..) {
                if let Entry::Vacant(entry) = parents.entry(fingerprint(&state)) {
                    entry.insert(print);
                    next.push(state);
                }
            }
        }
        std::mem::swap(&mut layer, &mut next);
    }
    Outcome { states: parents.len(), violation: None }
}

/// Walks the way again that leads to a state.
fn steps_to(model: &Model, parents: &HashMap<u64, u64, BuildHasherDefault<Same>>, last: u64) -> Vec<String> {
    let mut way = vec![last];
    while let Some(&parent) = way.last().and_then(|print| parents.get(print)).filter(|parent| **parent != 0) {
        way.push(parent);
    }
    let mut state = model.start();
    let mut steps = Vec::new();
    let mut out = Vec::new();
    for print in way.into_iter().rev().skip(1) {
        model.next(&state, &mut out);
        let (who, next) =
            out.drain(..).find(|(_, next)| fingerprint(next) == print).expect("the way was walked before");
        steps.push(model.describe(&state, who));
        state = next;
    }
    steps
}
