//! `vault.toml` as people write it, what a snapshot holds of it, and the lines of a history.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vault::{
    fleet::{
        config::{StoredConfig, check, of_table, read, show},
        history,
        recipe::Recipes,
    },
    series::Series,
};

static RECIPES: LazyLock<Recipes> = LazyLock::new(Recipes::builtin);

fuzz_target!(|data: &[u8]| {
    let series = Series::parse("alpha/web1/shop").unwrap();
    match StoredConfig::decode(&series, data) {
        // What was read is written as it was.
        Ok(stored) => {
            let again = StoredConfig::decode(&series, &stored.encode()).unwrap();
            assert_eq!((again.facts, again.table, again.recipe), (stored.facts, stored.table, stored.recipe));
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read::parse(text, &read::From::Snapshot) {
        Ok(table) => {
            for fault in check::faults(&table, &*RECIPES) {
                assert!(!fault.to_string().chars().any(char::is_control));
            }
            if let Err(error) = of_table(table.clone(), &*RECIPES) {
                assert!(!error.to_string().chars().any(char::is_control));
            }
            let shown = show::render(&show::without_secrets(&table, &*RECIPES), "");
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
            assert!(read::parse(&shown, &read::From::Snapshot).is_ok(), "{shown}");
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
    for line in text.lines() {
        if let Some(entry) = history::parse(line) {
            let once = history::parse(&entry.to_string()).expect("what is written is read");
            assert_eq!(history::parse(&once.to_string()).as_ref(), Some(&once));
        }
        let _ = history::series_of(line);
    }
});
