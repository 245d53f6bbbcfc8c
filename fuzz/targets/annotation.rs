//! Annotations: raw objects, and fuzzed payloads under the right key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    model::{annotation::Annotation, codec},
    object::{self, Kind},
    repo::annotations::{open_annotation, seal_annotation},
    world::SeededEntropy,
};
use vault_fuzz::{assert_canonical, keys, series_tag};

fuzz_target!(|data: &[u8]| {
    let (repo, key, entropy) = (keys().repo(), keys().annotation_key().unwrap(), SeededEntropy::new(0));
    let _ = open_annotation(keys(), data, &series_tag(), &"annotation").map_err(|e| e.to_string());
    let object = object::seal_envelope(Kind::Annotation, repo, &key, data, &entropy).unwrap();
    let opened = open_annotation(keys(), &object, &series_tag(), &"annotation").map_err(|e| e.to_string());

    let Ok(annotation) = codec::decode::<Annotation>(data) else {
        assert!(opened.is_err());
        return;
    };
    assert_canonical(&annotation, data);
    let again = open_annotation(keys(), &object, &annotation.series, &"annotation");
    assert_eq!(again.is_ok(), annotation.validate().is_ok());
    if let Ok(again) = again {
        assert_eq!(again, annotation);
        seal_annotation(keys(), &annotation, &entropy).unwrap();
    }
});
