//! The link to another machine: frames of either side, a server that gets fuzzed requests, places as users type them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{io::Write, sync::OnceLock};
use vault::{
    server,
    store::{
        ObjectName, Store,
        memory::MemoryStore,
        remote::{
            ssh::{SCHEME, SshPlace},
            wire::{self, ANSWER_MAX, Answer, REQUEST_MAX, Request},
        },
    },
};

fn store() -> &'static MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = MemoryStore::new();
        for name in ["config", "packs/aa/bb", "keys/secret"] {
            store.put(&ObjectName::new(name).unwrap(), name.as_bytes()).unwrap();
        }
        store
    })
}

/// What a server writes, which a client must understand.
struct Understood(Vec<u8>);

impl Write for Understood {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut from = data;
    while let Ok(Some(frame)) = wire::read_frame(&mut from, REQUEST_MAX) {
        let id = frame.request;
        let Ok(request) = Request::of(frame) else { break };
        let mut again = Vec::new();
        request.write(&mut again, id).unwrap();
        let frame = wire::read_frame(&mut &again[..], REQUEST_MAX).unwrap().unwrap();
        assert_eq!(Request::of(frame).unwrap(), request);
    }
    let mut from = data;
    while let Ok(Some(frame)) = wire::read_frame(&mut from, ANSWER_MAX) {
        let id = frame.request;
        let Ok(mut answer) = Answer::of(frame) else { break };
        let mut again = Vec::new();
        answer.write(&mut again, id).unwrap();
        let frame = wire::read_frame(&mut &again[..], ANSWER_MAX).unwrap().unwrap();
        assert_eq!(Answer::of(frame).unwrap(), answer);
    }
    let input = [&wire::greeting()[..], data].concat();
    let mut output = Understood(Vec::new());
    let admits = |name: &ObjectName| !name.as_str().starts_with("keys/");
    let _ = server::serve(Ok(store()), &admits, &mut &input[..], &mut output);
    let mut said = output.0.strip_prefix(&wire::greeting()).unwrap();
    while let Some(frame) = wire::read_frame(&mut said, ANSWER_MAX).unwrap() {
        let answer = Answer::of(frame).unwrap();
        if let Answer::Entries(entries) = &answer {
            assert!(entries.iter().all(|entry| admits(&entry.name)));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match SshPlace::parse(text) {
        Ok(place) => {
            assert!(!place.host.starts_with('-') && place.path.starts_with('/'));
            let shown = place.to_string();
            if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_control() || b == b'\\') {
                assert_eq!(SshPlace::parse(shown.strip_prefix(SCHEME).unwrap()).unwrap(), place);
            }
        }
        Err(e) => assert!(!e.to_string().chars().any(char::is_control), "a message steers a terminal"),
    }
});
