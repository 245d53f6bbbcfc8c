//! The protocol of `format-spec/12-prune.md`, checked: every order of every step of writers, pruners and one who forgets, each of whom may
//! stop for any time or for ever at any step. And each rule is needed: without it the same search finds a way to harm.
//!
//! What is looked at in each state: every snapshot that a reader sees can be restored; what a writer was told is saved stays until it is
//! forgotten; no actor waits; a writer whose session is alive is never made to begin again; and when all are killed there, a pruner that
//! comes later can clear away whatever is not needed.
//!
//! Listings and reads are steps of their own. A listing of one folder is taken to be consistent: it shows what was there at one instant.

mod explore;
mod model;
mod pruner;
mod rules;
mod scenes;
mod state;
mod writer;

use explore::explore;
use model::{Model, Scene};
use rules::Rules;

fn scene_of(name: &str) -> Scene {
    *scenes::ALL.iter().find(|scene| scene.name == name).expect("a scene has this name")
}

fn holds(name: &str) {
    let outcome = explore(&Model::new(scene_of(name), Rules::ALL));
    println!("{name}: {} states", outcome.states);
    if let Some((what, steps)) = outcome.violation {
        panic!("{name}: {what} after {} steps:\n{}", steps.len(), steps.join("\n"));
    }
}

macro_rules! scenes_hold {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            holds(stringify!($name));
        }
    )*};
}

scenes_hold! {
    one_writer left_over lost_pack repacking marks_stay many_runs two_forgotten copies merging two_writers copies_and_writer two_pruners taking_over damaged_pack damaged_copy crossing_marks making_room room_among_copies room_beside_marks
}

/// Looks at a share of the rules: each fourth, from this one on.
fn needed(share: usize) {
    let mut needless = Vec::new();
    for (name, scene, rules) in Rules::mutants().into_iter().skip(share).step_by(4) {
        let outcome = explore(&Model::new(scene_of(scene), rules));
        let found = outcome.violation.map(|(what, steps)| (scene, what, steps.len(), outcome.states));
        match found {
            Some((scene, what, steps, states)) => println!("{name}: {what} ({scene}, {steps} steps, {states} states)"),
            None => needless.push(name),
        }
    }
    assert!(needless.is_empty(), "nothing goes wrong without {needless:?}");
}

/// In parts, so that they are looked at side by side.
mod every_rule_is_needed {
    use super::needed;

    #[test]
    fn first_quarter() {
        needed(0);
    }

    #[test]
    fn second_quarter() {
        needed(1);
    }

    #[test]
    fn third_quarter() {
        needed(2);
    }

    #[test]
    fn fourth_quarter() {
        needed(3);
    }
}
