//! One who forgets.

use crate::{model::Model, state::*};

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
