//! Pages of lists of extents: each by itself, and as a list whose pages name one another as they like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    error::Error,
    model::{
        node::{Content, Extent},
        paging::each_extent,
        tree::ListPage,
    },
};
use vault_fuzz::{Pages, assert_canonical};

fuzz_target!(|data: &[u8]| {
    let pages = Pages::read(data);
    let mut size = 0;
    for bytes in &pages.0 {
        let Ok(page) = ListPage::decode(bytes).map_err(|e| e.to_string()) else { continue };
        assert_canonical(&page, bytes);
        // That of the last page, which is the root.
        size = match page {
            ListPage::Leaf(extents) => extents.iter().map(Extent::len).sum(),
            ListPage::Inner(children) => children.iter().map(|child| child.len).sum(),
        };
    }
    let (mut sum, mut count) = (0u64, 0);
    let result = each_extent(&pages, &Content::Paged(pages.root()), size, &mut |extent| {
        assert!(!extent.is_empty());
        sum += extent.len();
        count += 1;
        // Few pages can stand for very many extents: whoever reads them must be able to stop.
        if count > 10_000 { Err(Error::Cancelled) } else { Ok(()) }
    });
    assert!(sum <= size);
    assert!(result.is_err() || sum == size);
});
