//! Whose the restored entries are: numbers of the source become numbers here as their names are met.

use super::Owners;
use crate::fs::target::{NameMap, Ownership, Policy};
use std::collections::HashMap;

/// Names that are kept; a tree with more of them than this is nobody's.
const NAMES_MAX: usize = 16 << 10;

/// Users and groups met so far, and what follows from them.
pub(super) struct Names {
    by_name: bool,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    stale: bool,
    policy: Policy,
}

impl Names {
    pub fn new(owners: Owners) -> Self {
        let ownership = match owners {
            Owners::Numeric => Ownership::Numeric,
            Owners::ByName => Ownership::ByName(NameMap::default()),
            Owners::Skip => Ownership::Skip,
        };
        let policy = Policy { ownership, privileges: true };
        let by_name = owners == Owners::ByName;
        Names { by_name, users: HashMap::new(), groups: HashMap::new(), stale: false, policy }
    }

    /// Learns the names of an entry's owner and group.
    pub fn learn(&mut self, uid: u32, user: Option<&str>, gid: u32, group: Option<&str>) {
        if !self.by_name {
            return;
        }
        for (names, id, name) in [(&mut self.users, uid, user), (&mut self.groups, gid, group)] {
            if let Some(name) = name
                && names.len() < NAMES_MAX
                && !names.contains_key(&id)
            {
                names.insert(id, name.to_owned());
                self.stale = true;
            }
        }
    }

    /// What the metadata becomes, by all that is known.
    pub fn policy(&mut self) -> &Policy {
        if std::mem::take(&mut self.stale) {
            // Without /etc/passwd no name is known here, and numbers it is.
            let map = NameMap::from_system(
                self.users.iter().map(|(id, name)| (*id, name.as_str())),
                self.groups.iter().map(|(id, name)| (*id, name.as_str())),
            );
            self.policy.ownership = Ownership::ByName(map.unwrap_or_default());
        }
        &self.policy
    }
}
