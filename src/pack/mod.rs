//! Packs: objects of many segments and a sealed directory. Layout: `format-spec/03-packs.md`.

pub mod directory;
pub mod read;
pub mod write;

pub use directory::{Directory, PackEntry, SegmentEntry};
pub use read::{is_whole, read_directory};
pub use write::PackWriter;

use crate::{hash::BlobKind, id::PackId, object::Kind, store::ObjectName};

/// Length of the footer in bytes.
pub const FOOTER_LEN: usize = 32;
const FOOTER_MAGIC: [u8; 8] = *b"VAULTEND";
/// The plaintext of a directory is padded to a multiple of this many bytes.
const DIRECTORY_STEP: usize = 1024;

/// The kind of pack that blobs of a kind live in.
pub fn home_of(kind: BlobKind) -> Kind {
    match kind {
        BlobKind::Data => Kind::DataPack,
        BlobKind::Tree | BlobKind::List => Kind::TreePack,
    }
}

/// A pack's name in the store.
pub fn object_name(id: &PackId) -> ObjectName {
    let hex = id.to_string();
    ObjectName::of_parts(&["packs", &hex[..2], &hex])
}

/// A pack's length is brought up to a multiple of this many bytes: a 32nd of the power of two at or below it, 4 to 64 KiB. In a
/// long pack no one blob shows in the length any more, and padding is to cost next to nothing.
fn padding_step(len: u64) -> u64 {
    (1u64 << (63 - len.max(1).leading_zeros()) >> 5).clamp(4096, 64 << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn padding_costs_at_most_a_32nd_beyond_the_smallest() {
        for len in [1u64, 4096, 5000, 131_072, 200_000, 1 << 20, (64 << 20) + 1, 1 << 30] {
            let step = super::padding_step(len);
            let padded = len.next_multiple_of(step);
            assert!(step.is_power_of_two() && step >= 4096);
            assert!(padded - len < 4096 || (padded - len) * 32 <= len, "{len} {padded}");
        }
    }
}
