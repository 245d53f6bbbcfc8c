//! Snapshots: raw objects, and fuzzed heads and bodies under the right keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use vault::{
    keys::wrap::WrappedKey,
    model::{codec, snapshot::Snapshot},
    object::{self, Kind},
    repo::snapshots::{open_head, open_snapshot, seal_snapshot},
    seal::SealKey,
    series::Series,
    world::SeededEntropy,
};
use vault_fuzz::{assert_canonical, keys, sealed, series_tag};

/// An object with this head and this body, by `format-spec/06-snapshots.md` alone.
fn compose(head: &[u8], body: &[u8]) -> Vec<u8> {
    static KEY: OnceLock<(SealKey, WrappedKey)> = OnceLock::new();
    let (key, wrapped) = KEY.get_or_init(|| keys().fresh_key(Kind::Snapshot, &SeededEntropy::new(0)).unwrap());
    let mut object = object::header(Kind::Snapshot, keys().repo()).to_vec();
    object.extend(wrapped.to_bytes());
    object.extend(sealed(&keys().head_key(), &object, &object::pad(head, 0, 0, 128)));
    object.extend(sealed(key, &object, &object::pad(body, 304, 16, 4096)));
    object
}

fuzz_target!(|data: &[u8]| {
    let tag = series_tag();
    let _ = open_head(keys(), data, &"snapshot").map_err(|e| e.to_string());
    let _ = open_snapshot(keys(), data, &tag, &"snapshot").map_err(|e| e.to_string());
    let _ = open_head(keys(), &compose(&data[..data.len().min(120)], &[]), &"snapshot").map_err(|e| e.to_string());

    let Ok(snapshot) = codec::decode::<Snapshot>(data) else { return };
    assert_canonical(&snapshot, data);
    let tag = Series::parse(&snapshot.series).map_or(tag, |series| keys().series_tag(&series));
    let opened = open_snapshot(keys(), &compose(&codec::encode(&snapshot.head), data), &tag, &"snapshot");
    if let Ok(opened) = opened {
        assert_eq!(opened, snapshot);
        let object = seal_snapshot(keys(), &snapshot, &SeededEntropy::new(0)).unwrap();
        assert_eq!(open_head(keys(), &object, &"snapshot").unwrap(), snapshot.head);
        assert_eq!(open_snapshot(keys(), &object, &tag, &"snapshot").unwrap(), snapshot);
    }
});
