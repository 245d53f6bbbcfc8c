//! What came and what went are laid side by side: what holds the same was moved.

use super::{Change, Difference};
use crate::{
    id::BLOB_ID_LEN,
    ops::compare::{What, content_key, tree_of},
};
use std::collections::{HashMap, VecDeque};

/// Directories with the same pages below them: all that is in them is the same, down to the inodes.
pub(super) fn directories(all: &mut Vec<Difference>) {
    pair(all, |node| tree_of(node).filter(|_| node.entries() > 1).map(|tree| tree.0));
}

/// Files with the same contents, unless these are empty.
pub(super) fn files(all: &mut Vec<Difference>) {
    pair(all, |node| content_key(&node.body));
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Makes one difference of two: of several that went with the same contents the one with the same name is taken, else the first.
fn pair(all: &mut Vec<Difference>, key: impl Fn(&crate::model::node::Node) -> Option<[u8; BLOB_ID_LEN]>) {
    let mut gone: HashMap<[u8; BLOB_ID_LEN], VecDeque<usize>> = HashMap::new();
    for (at, difference) in all.iter().enumerate() {
        if let Change::Removed(node) = &difference.change
            && let Some(key) = key(node)
        {
            gone.entry(key).or_default().push_back(at);
        }
    }
    let mut taken = vec![false; all.len()];
    let mut moved = Vec::new();
    for (at, difference) in all.iter().enumerate() {
        let Change::Added(after) = &difference.change else { continue };
        let Some(candidates) = key(after).and_then(|key| gone.get_mut(&key)) else { continue };
        let name = name_of(&difference.path);
        let same_name =
            candidates.iter().position(|&from| all.get(from).is_some_and(|from| name_of(&from.path) == name));
        let Some(from_at) = candidates.remove(same_name.unwrap_or(0)) else { continue };
        let Some(Difference { path: from, change: Change::Removed(before) }) = all.get(from_at) else { continue };
        let what = What::of(before, after, || true);
        let change = Change::Moved { from: from.clone(), before: before.clone(), after: after.clone(), what };
        moved.push((at, change));
        if let Some(taken) = taken.get_mut(from_at) {
            *taken = true;
        }
    }
    for (at, change) in moved {
        if let Some(difference) = all.get_mut(at) {
            difference.change = change;
        }
    }
    let mut taken = taken.into_iter();
    all.retain(|_| !taken.next().unwrap_or(false));
}
