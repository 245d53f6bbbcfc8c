//! Key slots: raw bytes, a good slot with changed bytes, and fuzzed keys and notes sealed as the specification says. No
//! passphrases: only key files, which cost nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use vault::{
    keys::{
        Role,
        slot::{Costs, Note, SLOT_LEN, Secret, Slot},
    },
    object::{self, Kind},
    seal::SealKey,
    world::SeededEntropy,
};
use vault_fuzz::{Input, keys, sealed};

fn secret() -> Secret {
    Secret::KeyFile(SealKey::new([5; 32]))
}

fn good() -> &'static Slot {
    static SLOT: OnceLock<Slot> = OnceLock::new();
    SLOT.get_or_init(|| {
        let note = Note { role: Role::Owner, created: 1_800_000_000, label: "fuzz".into() };
        Slot::seal(keys(), &secret(), Costs::LOW, &note, &SeededEntropy::new(0)).unwrap()
    })
}

/// Reads and opens; true when the slot's keys and its note are fine.
fn is_fine(bytes: &[u8]) -> bool {
    let Ok(Some(slot)) = Slot::read(bytes, keys().repo(), &"slot").map_err(|e| e.to_string()) else { return false };
    let opened = !slot.takes_passphrase() && matches!(slot.open(&secret(), &"slot"), Ok(Some(_)));
    opened & slot.note(keys(), &"slot").is_ok()
}

/// A slot with these keys and this note, by `format-spec/02-keys.md` alone.
fn compose(plain: &[u8; 128], note: &[u8; 192]) -> Vec<u8> {
    let repo = keys().repo();
    let under = |context: &str, secret: &[u8]| SealKey::new(blake3::derive_key(context, secret));
    let mut slot = object::header(Kind::Slot, repo).to_vec();
    slot.extend([2, 0, 0, 0]);
    slot.resize(48, 0);
    let salt = [9; 32];
    slot.extend(salt);
    let stretched = under("vault v1 key file", &[[5; 32], salt].concat());
    let committing = under("vault v1 slot commitment", stretched.expose());
    let commitment = blake3::keyed_hash(committing.expose(), &slot);
    slot.extend_from_slice(commitment.as_bytes());
    slot.extend(sealed(&under("vault v1 slot keys", stretched.expose()), &slot, plain));
    let root = keys().root().unwrap();
    let writer = under("vault v1 writer root", &[root.expose(), &repo.as_bytes()[..]].concat());
    let noting = under("vault v1 slot note", &[writer.expose(), &repo.as_bytes()[..]].concat());
    slot.extend(sealed(&noting, &slot, note));
    slot
}

fuzz_target!(|data: &[u8]| {
    is_fine(data);

    let mut bytes = *good().bytes();
    for (byte, change) in bytes.iter_mut().zip(data) {
        *byte ^= change;
    }
    assert_eq!(is_fine(&bytes), bytes == *good().bytes());
    let mut bytes = *good().bytes();
    for change in data.chunks_exact(3).take(32) {
        bytes[usize::from(u16::from_le_bytes([change[0], change[1]])) % SLOT_LEN] ^= change[2];
    }
    assert_eq!(is_fine(&bytes), bytes == *good().bytes());

    let mut input = Input(data);
    let (plain, note) = (input.array(), input.array());
    let bytes = compose(&plain, &note);
    let slot = Slot::read(&bytes, keys().repo(), &"slot").unwrap().unwrap();
    if let Ok(opened) = slot.open(&secret(), &"slot") {
        let opened = opened.unwrap();
        assert_eq!(opened.role() as u8, plain[0]);
        if opened.role() == Role::Owner {
            assert_eq!(opened.root().unwrap().expose()[..], plain[8..40]);
            assert!(plain[40..].iter().all(|&b| b == 0), "unused bytes are set");
        }
    }
    if let Ok(Note { role, created, label }) = slot.note(keys(), &"slot") {
        let mut again = [0; 192];
        again[..2].copy_from_slice(&[role as u8, label.len() as u8]);
        again[8..16].copy_from_slice(&created.to_le_bytes());
        again[16..16 + label.len()].copy_from_slice(label.as_bytes());
        assert_eq!(again, note, "unused bytes are set");
        let slot = Slot::seal(keys(), &secret(), Costs::LOW, &Note { role, created, label }, &SeededEntropy::new(0));
        slot.expect("a label that was read can be written");
    }
});
