//! Tombstones: raw objects, and fuzzed heads and bodies under the right keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    hash,
    id::SnapshotId,
    model::{
        codec,
        tombstone::{GoneHead, Tombstone},
    },
    object::{self, Kind},
    repo::tombstones::{open_head, open_tombstone, seal_tombstone},
    world::SeededEntropy,
};
use vault_fuzz::{assert_canonical, keys, sealed, series_tag};

/// An object with this head and this body, by `format-spec/13-forgetting.md` alone.
fn compose(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut object = object::header(Kind::Tombstone, keys().repo()).to_vec();
    object.extend(sealed(&keys().tombstone_head_key(), &object, &object::pad(head, 0, 0, 128)));
    object.extend(sealed(&keys().tombstone_key().unwrap(), &object, &object::pad(body, 224, 48, 4096)));
    let sum = hash::object_name(&object);
    object.extend(sum);
    object
}

fuzz_target!(|data: &[u8]| {
    let (tag, id) = (series_tag(), SnapshotId([1; 32]));
    let _ = open_tombstone(keys(), data, &tag, &id, &"tombstone").map_err(|e| e.to_string());
    let object = compose(&data[..data.len().min(124)], data);
    let _ = open_head(keys(), &object, &tag, &id, &"tombstone").map_err(|e| e.to_string());

    if let Ok(head) = codec::decode::<GoneHead>(data) {
        assert_canonical(&head, data);
    }
    let Ok(tombstone) = codec::decode::<Tombstone>(data) else { return };
    assert_canonical(&tombstone, data);
    let GoneHead { series, snapshot, .. } = &tombstone.head;
    let opened =
        open_tombstone(keys(), &compose(&codec::encode(&tombstone.head), data), series, snapshot, &"tombstone");
    if let Ok(opened) = opened {
        assert_eq!(opened, tombstone);
        let object = seal_tombstone(keys(), &tombstone, &SeededEntropy::new(0)).unwrap();
        assert_eq!(open_tombstone(keys(), &object, series, snapshot, &"tombstone").unwrap(), tombstone);
    }
});
