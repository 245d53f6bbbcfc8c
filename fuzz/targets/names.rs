//! Places of stores, names of objects, ids, names of directory entries, and how names are shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    id::{BlobId, PackId, SeriesTag},
    name::{NAME_MAX, Name, Shown},
    store::{ObjectName, open::parse_place},
};

fuzz_target!(|data: &[u8]| {
    assert!(!Shown(data).to_string().chars().any(char::is_control), "a name steers a terminal");
    if let Ok(name) = Name::new(data) {
        assert!((1..=NAME_MAX).contains(&data.len()) && !data.contains(&b'/') && !data.contains(&0));
        assert_eq!(name.as_bytes(), data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_place(text) {
        Ok(place) => assert!(!place.to_string().chars().any(char::is_control)),
        Err(e) => assert!(!e.to_string().chars().any(char::is_control), "a message steers a terminal"),
    }
    if let Some(name) = ObjectName::new(text) {
        let joined = [name.folder(), name.leaf()].join("/");
        assert_eq!(joined.trim_start_matches('/'), text);
        assert!(text.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
    }
    if let Ok(id) = BlobId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = PackId::parse(text) {
        assert_eq!(id.to_string(), text);
        assert!(BlobId::parse(text).is_err(), "ids of blobs are shorter");
    }
    if let Ok(tag) = SeriesTag::parse(text) {
        assert_eq!(tag.to_string(), text);
    }
});
