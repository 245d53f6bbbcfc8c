//! The derived table: read in place from bytes of which only the header is checked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    id::{BLOB_ID_LEN, BlobId},
    index::{Run, run},
};

fuzz_target!(|data: &[u8]| {
    let _ = Run::in_memory(data.to_vec());

    // The header proves itself: without help none would be passed.
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(128), 0);
    bytes[..8].copy_from_slice(b"VAULTRN5");
    let sum = blake3::hash(&bytes[..96]);
    bytes[96..128].copy_from_slice(sum.as_bytes());
    let Some(table) = Run::in_memory(bytes.clone()) else { return };
    let _ = (table.sources().count(), table.packs().count(), table.is_empty());
    let ids = bytes.windows(BLOB_ID_LEN).step_by(2).take(4096).chain([&[0; BLOB_ID_LEN][..], &[255; BLOB_ID_LEN]]);
    let mut found = 0;
    for id in ids {
        let id = BlobId(id.try_into().unwrap());
        for row in table.find(&id).take(8) {
            found += 1;
            let _ = (table.locate(row.segment), table.pack_of(row.segment), table.position(row.segment));
        }
        assert_eq!(table.contains(&id), table.find(&id).next().is_some());
    }
    assert!(found == 0 || !table.is_empty());
    for segment in [0, 1, u32::MAX] {
        let _ = (table.locate(segment), table.pack_of(segment), table.position(segment));
    }
    let mut merged = Vec::new();
    run::merge(&[&table, &table], &mut merged).unwrap();
    assert_eq!(Run::in_memory(merged).expect("a table that was just made opens").len(), 2 * table.len());
});
