//! The chunker: whatever the sizes and the table, blobs cover all bytes within their bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    chunk::{Chunker, TABLE_LEN},
    model::config::{ChunkerConfig, Config},
};
use vault_fuzz::Input;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let [average, min, max, seed] = input.array();
    let average = 256u32 << (average % 8);
    let (min, max) = (64.max(average * u32::from(min) / 256) & !1, (average + average * u32::from(max) / 32) & !1);
    let chunker = ChunkerConfig { algorithm: 1, min, average, max };
    Config { chunker: chunker.clone(), ..Config::default() }.validate().unwrap();
    // Tables that no key gives, all zeros and all ones among them, must not harm either.
    let table = match seed {
        0 | 255 => [seed; TABLE_LEN],
        _ => {
            let mut table = [0; TABLE_LEN];
            blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut table);
            table
        }
    };
    let chunker = Chunker::new(&chunker, &table);
    let mut rest = input.0;
    while !rest.is_empty() {
        let len = chunker.cut(rest);
        assert!(len >= 1 && len <= rest.len() && len <= chunker.max());
        assert!(len >= chunker.min() || len == rest.len());
        // A window is enough.
        if rest.len() > chunker.max() {
            assert_eq!(chunker.cut(&rest[..chunker.max()]), len);
        }
        rest = &rest[len..];
    }
});
