//! Sidecars: raw blocks, tables under a shape, and tables put together from blocks of which some are missing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use vault::parity::{Block, Geometry, PAYLOAD, Percent, SECTOR, Table, assemble, open_block};
use vault_fuzz::{Input, keys};

fuzz_target!(|data: &[u8]| {
    for block in data.chunks(SECTOR) {
        if let Ok((block, payload)) = open_block(block, &"block") {
            assert!(open_block(&block.seal(payload), &"block").is_ok_and(|(again, _)| again == block));
        }
    }
    // Small shapes: what is rejected for its size is so before memory is taken.
    let mut input = Input(data);
    let [shards, groups, recovery, number, lost] = input.array::<5>();
    let (shards, groups, recovery) = (u32::from(shards), u32::from(groups), u32::from(recovery));
    let table = (input.0.len().div_ceil(PAYLOAD) as u32).max(1);
    let geometry = Geometry { shards, groups, recovery, table };
    if geometry.validate(&"shape").is_err() {
        return;
    }
    if let Ok(table) = Table::decode(input.0, &geometry, &"table") {
        let again = table.encode();
        assert!(input.0.starts_with(&again) && input.0[again.len()..].iter().all(|byte| *byte == 0));
    }
    let percent = Percent::new(300).unwrap();
    let set = std::array::from_fn(|i| *blake3_of(input.0).get(i).unwrap_or(&0));
    let block = Block { repo: keys().repo(), set, number: u32::from(number), geometry, percent };
    let mut padded = input.0.to_vec();
    padded.resize(table as usize * PAYLOAD, 0);
    let mut payloads: BTreeMap<u32, Vec<u8>> = (0..).zip(padded.chunks(PAYLOAD).map(<[u8]>::to_vec)).collect();
    payloads.remove(&u32::from(lost));
    let _ = assemble(&block, &payloads, &"sidecar").map_err(|e| e.to_string());
});

fn blake3_of(bytes: &[u8]) -> [u8; 32] {
    vault::hash::object_name(bytes)
}
