//! Markers of media: raw objects, and fuzzed payloads under the right key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    model::{codec, medium::Marker},
    object::{self, Kind},
    repo::media::{open_marker, seal_marker},
    world::SeededEntropy,
};
use vault_fuzz::{assert_canonical, keys};

fuzz_target!(|data: &[u8]| {
    let entropy = SeededEntropy::new(0);
    let _ = open_marker(keys(), data, &"marker").map_err(|e| e.to_string());
    let object = object::seal_envelope(Kind::Medium, keys().repo(), &keys().medium_key(), data, &entropy).unwrap();
    let opened = open_marker(keys(), &object, &"marker");
    match codec::decode::<Marker>(data) {
        Ok(marker) => {
            assert_canonical(&marker, data);
            assert_eq!(opened.is_ok(), marker.validate().is_ok());
            assert_eq!(seal_marker(keys(), &marker, &entropy).is_ok(), opened.is_ok());
        }
        Err(_) => assert!(opened.is_err()),
    }
});
