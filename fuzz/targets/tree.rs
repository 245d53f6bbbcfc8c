//! Pages of directories: each by itself, and as a directory whose pages name one another as they like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::model::{
    lazy::LazyPage,
    paging::{TreeLeaves, find_node},
    tree::TreePage,
};
use vault_fuzz::{Pages, assert_canonical};

fuzz_target!(|data: &[u8]| {
    let pages = Pages::read(data);
    for bytes in &pages.0 {
        let lazy = match LazyPage::parse(bytes.to_vec()) {
            Ok(LazyPage::Leaf(leaf)) => (0..leaf.len()).map(|at| leaf.node(at).ok()).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let Ok(page) = TreePage::decode(bytes).map_err(|e| e.to_string()) else {
            assert!(lazy.is_none(), "only the one that decodes by parts takes it");
            continue;
        };
        assert_canonical(&page, bytes);
        if let TreePage::Leaf(leaf) = page {
            assert_eq!(lazy.as_ref(), Some(&leaf.nodes));
            for node in &leaf.nodes {
                let _ = (node.bytes(), node.entries(), node.is_dir(), node.name.to_string());
                let _ = (leaf.user(node.meta.uid), leaf.group(node.meta.gid));
            }
        }
    }

    let mut leaves = TreeLeaves::new(&pages, pages.root());
    let mut names = Vec::new();
    let whole = loop {
        match leaves.next_leaf() {
            Ok(Some(leaf)) => names.extend(leaf.nodes.into_iter().map(|node| node.name)),
            end => break end.is_ok(),
        }
    };
    assert!(names.is_sorted_by(|a, b| a < b));
    if !whole {
        return;
    }
    for name in names.iter().step_by(7) {
        let (node, _) = find_node(&pages, pages.root(), name.as_bytes()).unwrap().expect("what was listed is found");
        assert_eq!(node.name, *name);
    }
});
