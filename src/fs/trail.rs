//! The path of an open directory, shared with its parents: each directory adds its own name only, so that a chain of
//! 16 384 open directories holds 4 MiB of names and not 32 GiB of paths.

use std::sync::Arc;

/// A path, as its last part and the trail of its parent.
#[derive(Debug)]
pub(super) struct Trail {
    parent: Option<Arc<Trail>>,
    part: Box<[u8]>,
}

impl Trail {
    /// A trail that starts at a path which the user gave; empty for the working directory.
    pub fn root(path: &[u8]) -> Arc<Self> {
        Arc::new(Trail { parent: None, part: path.into() })
    }

    /// The trail of an entry.
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        Arc::new(Trail { parent: Some(self.clone()), part: name.into() })
    }

    /// The path in full, of the directory itself or of its entry `name`.
    pub fn path(&self, name: Option<&[u8]>) -> Vec<u8> {
        let mut parts = vec![&*self.part];
        let mut at = self;
        while let Some(parent) = &at.parent {
            parts.push(&parent.part);
            at = parent;
        }
        let len = parts.iter().copied().chain(name).map(|part| part.len() + 1).sum();
        let mut path = Vec::with_capacity(len);
        for part in parts.into_iter().rev().chain(name) {
            if !path.is_empty() && !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        if path.is_empty() {
            path.push(b'.');
        }
        path
    }
}

impl Drop for Trail {
    /// Frees the parents in a loop: one inside the other would overflow the stack of a deep tree's reader.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut trail| trail.parent.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_with_one_slash() {
        assert_eq!(Trail::root(b"/").child(b"etc").path(Some(b"passwd")), b"/etc/passwd");
        assert_eq!(Trail::root(b"/srv/").path(Some(b"x")), b"/srv/x");
        assert_eq!(Trail::root(b"srv").child(b"a").path(None), b"srv/a");
        assert_eq!(Trail::root(b"").path(None), b".");
        assert_eq!(Trail::root(b"").path(Some(b"x")), b"x");
    }

    #[test]
    fn very_deep_trail_is_freed_without_deep_recursion() {
        let mut trail = Trail::root(b"/");
        for _ in 0..1_000_000 {
            trail = trail.child(b"d");
        }
        drop(trail);
    }
}
