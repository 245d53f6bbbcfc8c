//! The payload of index objects; what is valid must make a table in which every blob is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    id::IndexId,
    index::{IndexObject, Run, run},
};
use vault_fuzz::assert_canonical;

fuzz_target!(|data: &[u8]| {
    let Ok(index) = IndexObject::decode(data, &"index").map_err(|e| e.to_string()) else { return };
    assert_canonical(&index, data);
    let mut table = Vec::new();
    run::build(&[run::Source { id: IndexId([1; 32]), len: 4096 }], &index.packs, &mut table).unwrap();
    let table = Run::in_memory(table).expect("a table that was just made opens");
    for pack in &index.packs {
        for segment in &pack.directory.segments {
            let mut offset = 0;
            for blob in &segment.blobs {
                let found = table.find(&blob.id).any(|row| {
                    let located = table.locate(row.segment).expect("a row's segment is there");
                    (located.pack, located.offset, row.offset, row.len) == (pack.id, segment.offset, offset, blob.len)
                        && located.recipe == segment.recipe()
                        && located.bases == segment.bases
                        && located.stored == segment.stored
                        && located.key == pack.directory.keys[segment.key as usize]
                });
                assert!(found, "{blob:?}");
                offset += blob.len;
            }
        }
    }
});
