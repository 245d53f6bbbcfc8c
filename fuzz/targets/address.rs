//! What users type to name snapshots: addresses, series, versions, ages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::series::{Address, Series, Version, parse_age};

fuzz_target!(|data: &[u8]| {
    match Address::parse(data) {
        Ok(address) => {
            let path = address.path.as_deref().map_or(0, |path| path.len() + 1);
            assert!(path == 0 || data.ends_with(address.path.as_deref().unwrap()));
            if let Some(series) = &address.series {
                let head = std::str::from_utf8(&data[..data.len() - path]).unwrap();
                assert!(series.is_under(series.as_str()) && series.is_under("") && head.starts_with(series.as_str()));
            }
        }
        Err(e) => assert!(!e.to_string().chars().any(char::is_control), "a message steers a terminal"),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(series) = Series::parse(text) {
        assert_eq!(series.to_string(), text);
        assert_eq!(Address::parse(data).unwrap().series, Some(series));
    }
    match Version::parse(text) {
        Ok(Version::Age(age)) => assert_eq!(parse_age(text), Some(age)),
        Ok(Version::Id(id)) => assert_eq!(id, text),
        Ok(Version::At(at)) => assert_eq!(at, text),
        Ok(Version::Latest) => assert_eq!(text, "latest"),
        Err(e) => assert!(!e.to_string().chars().any(char::is_control), "a message steers a terminal"),
    }
});
