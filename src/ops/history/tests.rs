use super::*;
use crate::{
    model::node::{Body, Node, Xattr},
    name::Name,
    ops::fixture::{self, Fixture},
};

fn node(body: Body) -> Node {
    let fixture = Fixture::new();
    let listed = fixture.snapshot("h/-/s", 1, vec![("x", fixture::other(body))]);
    listed.snapshot.sources[0].root.clone()
}

#[test]
fn positions_of_what_is_there() {
    let ranges = Ranges::new(&[false, true, true, false, true, false]);
    assert_eq!((ranges.len(), ranges.newest()), (3, Some(4)));
    for (first, last, within) in [
        (0, 5, Some((1, 4, 3))),
        (0, 1, Some((1, 1, 1))),
        (0, 0, None),
        (3, 3, None),
        (2, 3, Some((2, 2, 1))),
        (5, 5, None),
        (4, 9, None),
    ] {
        assert_eq!(ranges.within(first, last), within, "{first} {last}");
    }
    // Versions at 0-0, 1-2, 3-3 and 4-4.
    assert_eq!(ranges.distinct(&[0, 1, 3, 4], 4), 2);
    assert!(Ranges::new(&[]).is_empty());
}

#[test]
fn versions_differ_in_what_people_see() {
    let link = |target: &str| node(Body::Symlink { target: target.into() });
    let one = Facts::of(&link("a"));
    assert_eq!(one.changes(&Facts::of(&link("b"))), ["content"]);
    let mut other = link("a");
    (other.meta.inode, other.meta.ctime.sec, other.meta.links) = (99, 99, 2);
    assert_eq!(Facts::of(&other), one);
    other.meta.xattrs = vec![Xattr { name: b"user.x".to_vec(), value: b"1".to_vec() }];
    (other.meta.mode, other.meta.gid, other.meta.mtime.sec) = (0, 0, 0);
    assert_eq!(one.changes(&Facts::of(&other)), ["mode", "owner", "attributes", "time"]);
    let swapped = |name: &str, value: &str| {
        let mut node = link("a");
        node.meta.xattrs = vec![Xattr { name: name.into(), value: value.into() }];
        Facts::of(&node).attributes
    };
    assert_ne!(swapped("user.ab", "c"), swapped("user.a", "bc"));
    let device = |minor| Facts::of(&node(Body::CharDevice { major: 1, minor }));
    assert_eq!(device(2).changes(&device(3)), ["content"]);
    assert_eq!(device(2).changes(&Facts::of(&node(Body::Fifo))), ["type"]);
    assert_eq!((device(2).kind.letter(), device(2).kind.word()), ('c', "char"));
    assert_eq!(Facts::of(&Node { name: Name::new(*b"y").unwrap(), ..link("a") }), one);
}
