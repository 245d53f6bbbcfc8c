//! Headers and sealed envelopes: as they come from the store, and with a fuzzed plaintext under the right key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    object::{self, ENVELOPE_STEP, HEADER_LEN, Kind, NONCE_LEN, TAG_LEN},
    world::SeededEntropy,
};
use vault_fuzz::{keys, sealed};

const KINDS: [Kind; 12] = [
    Kind::Config,
    Kind::Slot,
    Kind::DataPack,
    Kind::TreePack,
    Kind::Index,
    Kind::Snapshot,
    Kind::Session,
    Kind::Note,
    Kind::Tombstone,
    Kind::Annotation,
    Kind::Medium,
    Kind::Sidecar,
];

fuzz_target!(|data: &[u8]| {
    let (repo, key) = (keys().repo(), keys().index_key());
    for kind in KINDS {
        if let Ok(found) = object::read_header(data, kind, &"object") {
            assert_eq!(object::header(kind, found), data[..HEADER_LEN]);
            assert_eq!(object::expect_header(data, kind, repo, &"object").is_ok(), found == repo);
        }
        let _ = object::open_envelope(kind, repo, &key, data, &"object").map_err(|e| e.to_string());
    }

    let mut plain = data.to_vec();
    let around = HEADER_LEN + NONCE_LEN + TAG_LEN;
    plain.resize((plain.len() + around).next_multiple_of(ENVELOPE_STEP) - around, 0);
    let header = object::header(Kind::Index, repo);
    let whole = [&header[..], &sealed(&key, &header, &plain)].concat();
    if let Ok(payload) = object::open_envelope(Kind::Index, repo, &key, &whole, &"object") {
        assert!(object::pad(&payload, around - TAG_LEN, TAG_LEN, ENVELOPE_STEP).len() <= plain.len());
        assert_eq!(plain[4..4 + payload.len()], payload);
    }

    let whole = object::seal_envelope(Kind::Index, repo, &key, data, &SeededEntropy::new(0)).unwrap();
    assert_eq!(object::open_envelope(Kind::Index, repo, &key, &whole, &"object").unwrap(), data);
});
