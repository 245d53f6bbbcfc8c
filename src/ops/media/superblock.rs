//! The UUID of a file system, from its first bytes: where nobody keeps `/dev/disk/by-uuid`, and for two that have the same.

use crate::id::hex;

/// Bytes of a device that are looked at.
pub(super) const LEN: usize = 2048;

/// The UUID as `/dev/disk/by-uuid` writes it: of ext2 to ext4, XFS, exFAT and FAT. `None` for what is none of these.
pub(super) fn uuid(bytes: &[u8; LEN]) -> Option<String> {
    let long = |at: usize| {
        let text = hex(bytes.get(at..at + 16)?);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| text.get(part).unwrap_or_default().to_owned());
        Some(parts.join("-"))
    };
    // Four bytes, the last one first.
    let short = |at: usize| {
        let serial: Vec<u8> = bytes.get(at..at + 4)?.iter().rev().copied().collect();
        let text = hex(&serial).to_uppercase();
        Some(format!("{}-{}", text.get(..4)?, text.get(4..)?))
    };
    let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
    if has(1024 + 0x38, &[0x53, 0xef]) {
        long(1024 + 0x68)
    } else if has(0, b"XFSB") {
        long(32)
    } else if has(3, b"EXFAT   ") {
        short(0x64)
    } else if has(82, b"FAT32   ") {
        short(0x43)
    } else if has(54, b"FAT1") {
        short(0x27)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(parts: &[(usize, &[u8])]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        parts.iter().for_each(|(at, part)| bytes[*at..at + part.len()].copy_from_slice(part));
        bytes
    }

    #[test]
    fn file_systems_are_known_by_their_first_bytes() {
        let id: Vec<u8> = (0..16).collect();
        let long = Some("00010203-0405-0607-0809-0a0b0c0d0e0f".to_owned());
        assert_eq!(uuid(&device(&[(1024 + 0x38, &[0x53, 0xef]), (1024 + 0x68, &id)])), long);
        assert_eq!(uuid(&device(&[(0, b"XFSB"), (32, &id)])), long);
        let serial: &[u8] = &[0xef, 0xbe, 0xad, 0x5e];
        let short = Some("5EAD-BEEF".to_owned());
        assert_eq!(uuid(&device(&[(3, b"EXFAT   "), (0x64, serial)])), short);
        assert_eq!(uuid(&device(&[(82, b"FAT32   "), (0x43, serial)])), short);
        assert_eq!(uuid(&device(&[(54, b"FAT16   "), (0x27, serial)])), short);
        assert_eq!(uuid(&device(&[])), None);
    }
}
