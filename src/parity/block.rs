//! Blocks of a sidecar's table: each says what it belongs to, and proves itself.

use super::{Geometry, Percent, SECTOR};
use crate::{
    error::{Error, Result},
    hash::object_name,
    id::{ID_LEN, RepoId},
    object::{self, HEADER_LEN, Kind},
};

/// Bytes before the payload: the header that all objects have, and what the block belongs to.
pub const BLOCK_HEAD: usize = HEADER_LEN + 64;
/// Bytes of the table in one block: a multiple of 64, as the code needs it.
pub const PAYLOAD: usize = SECTOR - BLOCK_HEAD - ID_LEN;

/// A block, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The repository.
    pub repo: RepoId,
    /// First half of the hash of the set's table.
    pub set: [u8; 16],
    /// Its number; those from [`Geometry::table`] on are recovery blocks.
    pub number: u32,
    /// The set's shape.
    pub geometry: Geometry,
    /// What was asked for.
    pub percent: Percent,
}

impl Block {
    /// The block's bytes.
    pub fn seal(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(SECTOR);
        out.extend_from_slice(&object::header(Kind::Sidecar, self.repo));
        out.extend_from_slice(&self.set);
        let Geometry { shards, groups, recovery, table } = self.geometry;
        for number in [self.number, shards, groups, recovery, table] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.percent.hundredths().to_le_bytes());
        out.resize(BLOCK_HEAD, 0);
        out.extend_from_slice(payload);
        out.resize(SECTOR - ID_LEN, 0);
        let sum = object_name(&out);
        out.extend_from_slice(&sum);
        out
    }
}

/// Reads a block and proves it; returns its payload too. `object` names it in errors.
pub fn open_block<'b>(bytes: &'b [u8], object: &dyn std::fmt::Display) -> Result<(Block, &'b [u8])> {
    let damaged = || Error::corrupt(object, "a block of its table is not what it was");
    let (said, sum) = bytes.split_last_chunk::<ID_LEN>().ok_or_else(damaged)?;
    if bytes.len() != SECTOR {
        return Err(damaged());
    }
    // Before the hash, which takes longer: most sectors of a device that is searched are something else.
    let repo = object::read_header(said, Kind::Sidecar, object)?;
    if object_name(said) != *sum {
        return Err(damaged());
    }
    let (head, payload) = said.split_at(BLOCK_HEAD);
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    let geometry = Geometry { shards: number(52), groups: number(56), recovery: number(60), table: number(64) };
    let percent = Percent::new(u16::from_le_bytes([head[68], head[69]]));
    let percent = percent.ok_or_else(|| Error::corrupt(object, "it has an impossible percentage"))?;
    geometry.validate(object)?;
    let block =
        Block { repo, set: std::array::from_fn(|i| head[HEADER_LEN + i]), number: number(48), geometry, percent };
    if block.number >= 2 * geometry.table || head[70..] != [0; BLOCK_HEAD - 70] {
        return Err(Error::corrupt(object, "a block of its table has reserved bytes set, or a number beyond the end"));
    }
    Ok((block, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_and_any_flipped_bit_shows() {
        let geometry = Geometry { shards: 100, groups: 3, recovery: 4, table: 2 };
        let percent = Percent::new(300).unwrap();
        let block = Block { repo: RepoId([7; 16]), set: [9; 16], number: 3, geometry, percent };
        let payload: Vec<u8> = (0..PAYLOAD).map(|i| i as u8).collect();
        let bytes = block.seal(&payload);
        assert_eq!(bytes.len(), SECTOR);
        assert_eq!(open_block(&bytes, &"x").unwrap(), (block, &payload[..]));
        for at in 0..SECTOR {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(open_block(&wrong, &"x").is_err(), "byte {at}");
        }
        assert!(open_block(&bytes[..100], &"x").is_err());
        assert_eq!(PAYLOAD % 64, 0);
    }
}
