//! The configuration's payload; one that is valid must be fit to cut by.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    chunk::Chunker,
    model::{codec, config::Config, limits},
};
use vault_fuzz::{assert_canonical, keys};

fuzz_target!(|data: &[u8]| {
    let Ok(config) = codec::decode::<Config>(data) else { return };
    assert_canonical(&config, data);
    if config.validate().map_err(|e| e.to_string()).is_ok() {
        let chunker = Chunker::new(&config.chunker, &keys().chunker_table());
        assert!(chunker.min() <= chunker.max() && chunker.max() <= limits::BLOB_MAX);
        let bytes = data.repeat(40);
        assert!((1..=bytes.len()).contains(&chunker.cut(&bytes)));
    }
});
