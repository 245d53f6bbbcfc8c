//! Packs: footers, directories, and whole ones read from a store.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::{
    id::PackId,
    model::codec,
    object::{self, Kind},
    pack::{self, Directory, FOOTER_LEN, PackEntry, read},
    store::{Store, memory::MemoryStore},
};
use vault_fuzz::{assert_canonical, keys, sealed};

fn read_back(bytes: &[u8]) -> Option<PackEntry> {
    let (store, id) = (MemoryStore::new(), PackId([3; 32]));
    store.put(&pack::object_name(&id), bytes).unwrap();
    pack::read_directory(&store, &id, keys().repo(), &keys().directory_key()).map_err(|e| e.to_string()).ok()
}

fuzz_target!(|data: &[u8]| {
    if let Some(footer) = data.last_chunk::<FOOTER_LEN>() {
        let lengths = [data.len() as u64, u64::from_le_bytes(*footer.first_chunk().unwrap())];
        for len in lengths {
            if let Some((offset, directory)) = read::parse_footer(footer, len) {
                assert_eq!(offset + directory as u64 + FOOTER_LEN as u64, len);
            }
        }
    }
    read_back(data);

    let Ok(directory) = codec::decode::<Directory>(data) else { return };
    assert_canonical(&directory, data);
    for kind in [Kind::DataPack, Kind::TreePack] {
        // The pack that the directory describes, if it is a short one; its segments are zeros.
        let end = directory.segments.last().map_or(32, |s| s.offset.saturating_add(u64::from(s.stored)));
        let header = object::header(kind, keys().repo());
        let plain = object::pad(data, 0, 0, 1024);
        let offset = end.clamp(32, 1 << 16);
        let mut footer = [0; FOOTER_LEN];
        footer[..8].copy_from_slice(&offset.to_le_bytes());
        footer[8..16].copy_from_slice(&(plain.len() as u64 + 40).to_le_bytes());
        footer[16..24].copy_from_slice(b"VAULTEND");
        let mut bytes = header.to_vec();
        bytes.resize(offset as usize, 0);
        bytes.extend(sealed(&keys().directory_key(), &[&header[..], &footer[..16]].concat(), &plain));
        bytes.extend_from_slice(&footer);
        let found = read_back(&bytes);

        let mut entry =
            PackEntry { id: PackId([3; 32]), len: bytes.len() as u64, kind: kind as u8, directory: directory.clone() };
        match entry.validate(&"pack") {
            Ok(_) => assert_eq!(found.as_ref(), Some(&entry)),
            Err(_) => assert_eq!(found, None),
        }
        entry.len = 1 << 30;
        if entry.validate(&"pack").map_err(|e| e.to_string()).is_ok() {
            let blobs: usize = entry.directory.segments.iter().map(|segment| segment.blobs.len()).sum();
            assert_eq!(entry.blob_count(), blobs);
        }
    }
});
