//! Where a salvage goes: a folder of its own. In a repository that is in use it would bring back what was removed on purpose.

use crate::{
    error::{Error, Result},
    id::RepoId,
    store::{ObjectName, Store},
};

/// The object that marks a store as what was salvaged of a repository: its id as text, or nothing when nobody knew.
const MARK: &str = "salvaged";
/// Bytes of it, at most.
const MARK_LEN: u64 = 64;

/// Marks an empty store, and accepts one that is marked for the same repository.
pub(super) fn claim(store: &dyn Store, repo: Option<RepoId>) -> Result<()> {
    let mark = ObjectName::of_parts(&[MARK]);
    let text = repo.map(|repo| repo.to_string()).unwrap_or_default();
    let refused = |why: &str| {
        Err(Error::refused(format!("{} {why}: give a new folder, or that of an earlier try", store.place())))
    };
    match store.get(&mark, MARK_LEN) {
        // Who cannot tell may go on, and so may who can where the first try could not.
        Ok(found) if found.is_empty() || text.is_empty() || found == text.as_bytes() => return Ok(()),
        Ok(_) => return refused("holds what was salvaged of another repository"),
        Err(Error::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut any = false;
    store.list("", &mut |_| {
        any = true;
        Ok(())
    })?;
    if any {
        return refused("is not empty, and was not made by a salvage");
    }
    store.put(&mark, text.as_bytes())?;
    store.sync()
}
