//! The Reed-Solomon code of one group: of `k` sectors and `m` recovery sectors any `k` give back the rest.
//!
//! Encoding goes on as sectors come, `n` at a time (`n` = `m`, rounded up to a power of two), with `n` sectors of memory: what the
//! crate's own encoder does in one step, it wants all `k` in memory for.

use crate::error::{Error, Result};
use reed_solomon_simd::{
    engine::{DefaultEngine, Engine, ShardsRefMut},
    rate::{HighRateDecoder, RateDecoder},
};

use super::SECTOR;

const UNITS: usize = SECTOR / 64;

/// Makes recovery sectors of a group.
pub struct Encoder {
    chunk: usize,
    recovery: usize,
    sum: Vec<[u8; 64]>,
}

impl Encoder {
    /// For this many recovery sectors.
    pub fn new(recovery: u32) -> Self {
        let recovery = recovery as usize;
        let chunk = recovery.next_power_of_two();
        Encoder { chunk, recovery, sum: vec![[0; 64]; chunk * UNITS] }
    }

    /// Sectors that are taken at a time.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Takes the `number`th chunk, of which the last may be shorter. `work` is scratch space.
    pub fn take<'s>(&mut self, number: usize, sectors: impl Iterator<Item = &'s [u8]>, work: &mut Vec<[u8; 64]>) {
        work.resize(self.chunk * UNITS, [0; 64]);
        let (bytes, mut count) = (work.as_flattened_mut(), 0);
        for (into, sector) in bytes.chunks_exact_mut(SECTOR).zip(sectors) {
            into.copy_from_slice(sector);
            count += 1;
        }
        if count == 0 {
            return;
        }
        bytes[count * SECTOR..].fill(0);
        let mut shards = ShardsRefMut::new(self.chunk, UNITS, work);
        DefaultEngine::new().ifft(&mut shards, 0, self.chunk, count, (number + 1) * self.chunk);
        for (sum, part) in self.sum.as_flattened_mut().iter_mut().zip(work.as_flattened()) {
            *sum ^= part;
        }
    }

    /// The recovery sectors, one after another.
    pub fn finish(mut self) -> Vec<u8> {
        let mut shards = ShardsRefMut::new(self.chunk, UNITS, &mut self.sum);
        DefaultEngine::new().fft(&mut shards, 0, self.chunk, self.recovery, 0);
        let mut bytes = std::mem::take(&mut self.sum).into_flattened();
        bytes.truncate(self.recovery * SECTOR);
        bytes
    }
}

/// A group of which some is lost, as it is filled with what is left.
pub struct Wanting {
    decoder: HighRateDecoder<DefaultEngine>,
    left: usize,
}

impl Wanting {
    /// A group of this many sectors, which are `len` bytes long (a multiple of 64), and recovery sectors.
    pub fn new(shards: u32, recovery: u32, len: usize) -> Result<Self> {
        let (shards, recovery) = (shards as usize, recovery as usize);
        let decoder = HighRateDecoder::new(shards, recovery, len, DefaultEngine::new(), None).map_err(wrong)?;
        Ok(Wanting { decoder, left: shards })
    }

    /// A sector that is what it was.
    pub fn original(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        self.left = self.left.saturating_sub(1);
        self.decoder.add_original_shard(number as usize, bytes).map_err(wrong)
    }

    /// A recovery sector that is what it was. More than are needed are passed over.
    pub fn recovery(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        self.decoder.add_recovery_shard(number as usize, bytes).map_err(wrong)
    }

    /// How many more are needed.
    pub fn lacks(&self) -> usize {
        self.left
    }
}

/// Calls `each` with every sector that was not given.
pub fn decode(mut group: Wanting, each: &mut dyn FnMut(u32, &[u8]) -> Result<()>) -> Result<()> {
    let found = group.decoder.decode().map_err(wrong)?;
    for (number, bytes) in found.restored_original_iter() {
        each(number as u32, bytes)?;
    }
    Ok(())
}

fn wrong(error: reed_solomon_simd::Error) -> Error {
    Error::corrupt("parity", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reed_solomon_simd::rate::{HighRateEncoder, RateEncoder};

    fn noise(count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|i| {
                let mut out = vec![0; SECTOR];
                blake3::Hasher::new().update(&i.to_le_bytes()).finalize_xof().fill(&mut out);
                out
            })
            .collect()
    }

    fn encode(data: &[Vec<u8>], recovery: u32) -> Vec<u8> {
        let (mut encoder, mut work) = (Encoder::new(recovery), Vec::new());
        for (number, chunk) in data.chunks(encoder.chunk()).enumerate() {
            encoder.take(number, chunk.iter().map(Vec::as_slice), &mut work);
        }
        encoder.finish()
    }

    #[test]
    fn bit_by_bit_what_the_whole_encoder_makes() {
        for (count, recovery) in [(1, 1), (1, 3), (3, 2), (64, 5), (65, 8), (200, 7), (100, 100), (5, 130)] {
            let data = noise(count);
            let mut whole = HighRateEncoder::new(count, recovery as usize, SECTOR, DefaultEngine::new(), None).unwrap();
            data.iter().for_each(|sector| whole.add_original_shard(sector).unwrap());
            let expected: Vec<u8> = whole.encode().unwrap().recovery_iter().flatten().copied().collect();
            assert!(encode(&data, recovery) == expected, "{count} {recovery}");
        }
    }

    #[test]
    fn any_k_sectors_give_back_the_rest() {
        let data = noise(50);
        let parity = encode(&data, 9);
        for first in 0..41 {
            let mut group = Wanting::new(50, 9, SECTOR).unwrap();
            for (i, sector) in data.iter().enumerate().filter(|(i, _)| !(first..first + 9).contains(i)) {
                group.original(i as u32, sector).unwrap();
            }
            assert_eq!(group.lacks(), 9);
            for (i, sector) in parity.chunks(SECTOR).enumerate() {
                group.recovery(i as u32, sector).unwrap();
            }
            let mut found = 0;
            decode(group, &mut |number, bytes| {
                assert!(bytes == data[number as usize]);
                found += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(found, 9);
        }
    }

    #[test]
    fn one_too_few_is_an_error() {
        let data = noise(50);
        let mut group = Wanting::new(50, 9, SECTOR).unwrap();
        data.iter().enumerate().skip(1).for_each(|(i, sector)| group.original(i as u32, sector).unwrap());
        assert!(decode(group, &mut |_, _| Ok(())).is_err());
    }
}
