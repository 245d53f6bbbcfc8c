//! Files under temporary names, and what was left of some.

use super::*;

#[test]
fn an_unfinished_file_is_taken_by_nobody_until_it_is_done() {
    let place = Place::new();
    let root = &place.root;
    let only = || match &root.unfinished().unwrap()[..] {
        [only] => (only.clone(), root.stat(only).unwrap().unwrap()),
        names => panic!("{names:?}"),
    };
    let temp = root.temp_file().unwrap();
    let (at_work, found) = only();
    assert!(root.left(&at_work, &found).is_none(), "somebody is writing it");
    root.discard(temp).unwrap();
    assert_eq!(root.list().unwrap(), []);
    let temp = root.temp_file().unwrap();
    drop(root.rename_over(temp, &name("a")).unwrap());
    assert_eq!((root.unfinished().unwrap(), root.list().unwrap()), (vec![], vec![name("a")]));

    // Nobody writes this one any more; whoever looks first has it.
    fs::write(place.inside(&format!(".vault-restore-{}", "0".repeat(32))), b"beg").unwrap();
    let (left, found) = only();
    let held = root.left(&left, &found).unwrap();
    assert!(root.left(&left, &found).is_none());
    drop(held);
    assert!(root.left(&left, &found).is_some());
    // One of that kind with another name, and another kind with such a name.
    assert!(root.left(&name("a"), &found).is_none());
    let pipe = name(format!(".vault-restore-{}", "1".repeat(32)));
    root.special(&pipe, Special::Fifo).unwrap();
    assert!(root.left(&pipe, &root.stat(&pipe).unwrap().unwrap()).is_none());
}
