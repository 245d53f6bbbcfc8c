//! Sessions and notes of prune: raw objects, and fuzzed payloads under the right keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    model::{
        codec,
        gc::{Note, Session},
    },
    object::{self, Kind},
    repo::{
        gc::{open_note, seal_note},
        session::{open_session, seal_session},
        snapshots::open_intent,
    },
    world::SeededEntropy,
};
use vault_fuzz::{assert_canonical, keys};

fuzz_target!(|data: &[u8]| {
    let (repo, entropy) = (keys().repo(), SeededEntropy::new(0));
    let _ = open_session(keys(), data, &"session").map_err(|e| e.to_string());
    let _ = open_note(keys(), data, &"note").map_err(|e| e.to_string());
    let _ = open_intent(keys(), data, &"intent").map_err(|e| e.to_string());

    let object = object::seal_envelope(Kind::Session, repo, &keys().session_key(), data, &entropy).unwrap();
    let opened = open_session(keys(), &object, &"session");
    match codec::decode::<Session>(data) {
        Ok(session) => {
            assert_canonical(&session, data);
            assert_eq!(opened.is_ok(), session.validate().is_ok());
            assert_eq!(seal_session(keys(), &session, &entropy).is_ok(), opened.is_ok());
        }
        Err(_) => assert!(opened.is_err()),
    }
    let object = object::seal_envelope(Kind::Note, repo, &keys().gc_key(), data, &entropy).unwrap();
    let opened = open_note(keys(), &object, &"note");
    match codec::decode::<Note>(data) {
        Ok(note) => {
            assert_canonical(&note, data);
            assert_eq!(opened.is_ok(), note.validate().is_ok());
            assert_eq!(seal_note(keys(), &note, &entropy).is_ok(), opened.is_ok());
        }
        Err(_) => assert!(opened.is_err()),
    }
});
