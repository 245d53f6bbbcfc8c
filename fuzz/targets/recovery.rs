//! Recovery sheets as people type them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{keys::recovery, seal::SealKey};
use vault_fuzz::{Input, SHEET};

fn text(root: &SealKey) -> String {
    recovery::lines(root).iter().map(|line| line.to_string() + "\n").collect()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(sheet) = std::str::from_utf8(data) {
        match recovery::parse(sheet) {
            Ok(root) => assert_eq!(recovery::parse(&text(&root)).unwrap(), root),
            Err(e) => assert!(!e.to_string().chars().any(char::is_control)),
        }
        // A line before and after which do not belong there.
        let _ = recovery::parse(&format!("{sheet}\n{SHEET}{sheet}"));
    }
    let root = SealKey::new(Input(data).array());
    assert_eq!(recovery::parse(&text(&root)).unwrap(), root);
});
