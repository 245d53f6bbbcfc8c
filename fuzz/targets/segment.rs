//! Segments: fuzzed bytes sealed under the right key with a fuzzed recipe, with and without bases; and sound ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use vault::{
    compress::Compression,
    model::limits,
    object::{self, Kind},
    seal::{self, SealKey},
    segment::{CODEC_RAW, Envelope, Opener, Recipe, Sealer},
};
use vault_fuzz::{Input, keys};
use zstd::zstd_safe::find_frame_compressed_size;

thread_local! {
    static CONTEXTS: RefCell<(Sealer, Opener)> =
        RefCell::new((Sealer::new(Compression::Level(1)), Opener::default()));
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let [codec] = input.array();
    // A directory that admits to more is refused before a segment is read.
    let raw = u32::from_le_bytes(input.array()) % (limits::SEGMENT_MAX as u32 + 1);
    let prefix = input.part();
    let recipe = Recipe { codec, raw, counter: 7 };
    let (header, key) = (object::header(Kind::DataPack, keys().repo()), SealKey::new([3; 32]));
    let ad = [&header[..], &[codec], &raw.to_le_bytes()].concat();

    let mut sealed = input.0.to_vec();
    seal::seal_segment(&key, 7, &ad, &mut sealed);
    CONTEXTS.with_borrow_mut(|(sealer, opener)| {
        let mut plain = Vec::new();
        let opened = opener.open(Envelope { header: &header, key: &key, prefix }, recipe, &mut sealed, &mut plain);
        assert!(codec == CODEC_RAW || plain.capacity() <= raw as usize, "more memory than was admitted to");
        if opened.map_err(|e| e.to_string()).is_ok() {
            assert_eq!(plain.len(), raw as usize);
            if codec != CODEC_RAW {
                assert_eq!(input.0[..4], [0x28, 0xb5, 0x2f, 0xfd], "not a frame of Zstandard");
                assert_eq!(find_frame_compressed_size(input.0), Ok(input.0.len()), "more than one frame");
            }
        }

        for prefix in [&[][..], prefix] {
            let envelope = Envelope { header: &header, key: &key, prefix };
            let mut sealed = Vec::new();
            let recipe = sealer.seal(envelope, 1, input.0, &mut sealed).unwrap();
            opener.open(envelope, recipe, &mut sealed, &mut plain).unwrap();
            assert_eq!(plain, input.0);
        }
    });
});
