//! Whole sidecars: put together from a table and recovery sectors, and read again although parts are lost.

use super::{
    Block, Encoder, Geometry, Mark, PAYLOAD, Percent, SECTOR, Table, Wanting, block::open_block, code::decode,
};
use crate::{
    error::{Error, Result},
    hash::object_name as hash,
    id::{ID_LEN, RepoId, hex},
    store::{ObjectName, Store},
};
use std::collections::BTreeMap;

/// The folder of sidecars.
pub const FOLDER: &str = "parity";

/// A sidecar's name in the store.
pub fn object_name(id: &[u8; ID_LEN]) -> ObjectName {
    ObjectName::of_parts(&[FOLDER, &hex(id)])
}

/// True for a name in the folder of sidecars.
pub fn is_sidecar(name: &str) -> bool {
    name.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// What a sidecar says of itself, and where its objects' sectors begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Any of its blocks.
    pub block: Block,
    /// Its table.
    pub table: Table,
    /// The number of each object's first sector.
    pub starts: Vec<u32>,
}

impl Layout {
    fn new(block: Block, table: Table) -> Self {
        let mut next = 0;
        let starts = table
            .objects
            .iter()
            .map(|object| {
                let start = next;
                next += object.sectors() as u32;
                start
            })
            .collect();
        Layout { block, table, starts }
    }

    /// Its shape.
    pub fn geometry(&self) -> &Geometry {
        &self.block.geometry
    }

    /// The object that a sector belongs to, and which of its sectors it is.
    pub fn place(&self, sector: u32) -> Option<(usize, u32)> {
        let object = self.starts.partition_point(|start| *start <= sector).checked_sub(1)?;
        Some((object, sector - self.starts.get(object)?))
    }

    /// The mark of a recovery sector.
    pub fn recovery_mark(&self, group: u32, number: u32) -> Option<&Mark> {
        self.table.recovery.get((number * self.geometry().groups + group) as usize)
    }

    /// The number of an object's first sector, and that after its last; empty for none.
    pub fn range(&self, object: usize) -> std::ops::Range<u32> {
        match (self.starts.get(object), self.table.objects.get(object)) {
            (Some(start), Some(covered)) => *start..*start + covered.sectors() as u32,
            _ => 0..0,
        }
    }
}

/// A sidecar that lies in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: ObjectName,
    /// What it says.
    pub layout: Layout,
    /// Blocks of its table that are lost.
    pub lost_blocks: u32,
}

/// The blocks of a table: its own, then as many recovery blocks.
pub fn pieces(repo: RepoId, geometry: Geometry, percent: Percent, table: &Table) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = table.encode();
    let id = hash(&bytes);
    bytes.resize(geometry.table as usize * PAYLOAD, 0);
    let block = |number| {
        let set = std::array::from_fn(|i| id[i]);
        Block { repo, set, number, geometry, percent }
    };
    let payloads: Vec<&[u8]> = bytes.chunks(PAYLOAD).collect();
    let recovery = recovery_payloads(&payloads);
    let sealed = |first: u32, payloads: &mut dyn Iterator<Item = &[u8]>| {
        payloads.zip(first..).flat_map(|(payload, number)| block(number).seal(payload)).collect::<Vec<u8>>()
    };
    let front = sealed(0, &mut payloads.iter().copied());
    let back = sealed(geometry.table, &mut recovery.chunks(PAYLOAD));
    Ok((front, back))
}

/// The same code as for sectors, over payloads that are filled up to one with zeros, of which nothing is kept.
fn recovery_payloads(payloads: &[&[u8]]) -> Vec<u8> {
    let (mut encoder, mut work) = (Encoder::new(payloads.len() as u32), Vec::new());
    let mut padded = vec![0; encoder.chunk() * SECTOR];
    for (number, chunk) in payloads.chunks(encoder.chunk()).enumerate() {
        for (into, payload) in padded.chunks_mut(SECTOR).zip(chunk) {
            into[..PAYLOAD].copy_from_slice(payload);
        }
        encoder.take(number, padded.chunks(SECTOR).take(chunk.len()), &mut work);
    }
    encoder.finish().chunks(SECTOR).flat_map(|sector| sector[..PAYLOAD].to_vec()).collect()
}

/// A table from those of its blocks that are left, by number; all of one set.
pub fn assemble(block: &Block, payloads: &BTreeMap<u32, Vec<u8>>, object: &dyn std::fmt::Display) -> Result<Layout> {
    let count = block.geometry.table;
    let mut bytes = vec![0; count as usize * PAYLOAD];
    let mut put = |number: u32, payload: &[u8]| {
        if let Some(into) = bytes.chunks_mut(PAYLOAD).nth(number as usize) {
            into.copy_from_slice(payload);
        }
    };
    let mut group = Wanting::new(count, count, PAYLOAD)?;
    for (number, payload) in payloads.range(..count) {
        group.original(*number, payload)?;
        put(*number, payload);
    }
    for (number, payload) in payloads.range(count..2 * count) {
        group.recovery(*number - count, payload)?;
    }
    if group.lacks() > 0 {
        return Err(Error::corrupt(object, "too much of its table is lost"));
    }
    decode(group, &mut |number, payload| {
        put(number, payload);
        Ok(())
    })?;
    let table = Table::decode(&bytes, &block.geometry, object)?;
    if hash(&table.encode())[..16] != block.set {
        return Err(Error::corrupt(object, "its table is not what it was"));
    }
    Ok(Layout::new(*block, table))
}

/// Sectors at either end of a sidecar among which the first block that is whole is looked for.
const SEARCHED: u64 = 16_384;

/// Any block of a sidecar, from its front or its back. `read` fills a buffer from this sector on, and says how much it could.
pub fn front_and_back(
    count: u64,
    read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    object: &dyn std::fmt::Display,
) -> Result<Block> {
    let mut sector = vec![0; SECTOR];
    let front = 0..count.min(SEARCHED);
    let back = (count.saturating_sub(SEARCHED).max(front.end)..count).rev();
    let mut why = None;
    for at in front.chain(back) {
        if !read(at, &mut sector) {
            continue;
        }
        match open_block(&sector, object) {
            Ok((block, _)) => return Ok(block),
            Err(error @ Error::Unsupported { .. }) => why = why.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(why.unwrap_or_else(|| Error::corrupt(object, "nothing of its table can be read")))
}

/// Reads the table of a sidecar of this repository, of which much may be lost.
pub fn open(store: &dyn Store, name: &ObjectName, repo: RepoId) -> Result<Set> {
    let entry = store.stat(name)?.ok_or_else(|| Error::Missing { object: name.to_string() })?;
    let mut read = |at: u64, out: &mut [u8]| store.get_range(name, at * SECTOR as u64, out).is_ok();
    let block = front_and_back(entry.len / SECTOR as u64, &mut read, name)?;
    if block.repo != repo {
        return Err(Error::corrupt(name, "it belongs to another repository"));
    }
    let mut payloads = BTreeMap::new();
    let mut sector = vec![0; SECTOR];
    for number in 0..2 * block.geometry.table {
        // The second half is only for what is lost of the first.
        if number == block.geometry.table && payloads.len() == number as usize {
            break;
        }
        if read(block.geometry.block_at(number), &mut sector)
            && let Ok((found, payload)) = open_block(&sector, name)
            && found == (Block { number, ..block })
        {
            payloads.insert(number, payload.to_vec());
        }
    }
    let lost_blocks = block.geometry.table.saturating_sub(payloads.range(..block.geometry.table).count() as u32);
    Ok(Set { name: name.clone(), layout: assemble(&block, &payloads, name)?, lost_blocks })
}

/// Reads what a sidecar covers: the beginning of its table, and no marks. All of it, as [`open`] does, only where blocks are lost.
pub fn glance(store: &dyn Store, name: &ObjectName, repo: RepoId) -> Result<Set> {
    match beginning(store, name, repo) {
        Ok(Some(layout)) => Ok(Set { name: name.clone(), layout, lost_blocks: 0 }),
        Ok(None) | Err(Error::Corrupt { .. } | Error::Store { .. }) => open(store, name, repo),
        Err(error) => Err(error),
    }
}

fn beginning(store: &dyn Store, name: &ObjectName, repo: RepoId) -> Result<Option<Layout>> {
    let mut sector = vec![0; SECTOR];
    store.get_range(name, 0, &mut sector)?;
    let (block, payload) = open_block(&sector, name)?;
    if block.repo != repo || block.number != 0 {
        return Ok(None);
    }
    let (mut bytes, mut number, mut enough) = (payload.to_vec(), 1, 1);
    loop {
        let error = match Table::decode_objects(&bytes, &block.geometry, name) {
            Ok((objects, _)) => return Ok(Some(Layout::new(block, Table { objects, ..Table::default() }))),
            Err(error) => error,
        };
        if number == block.geometry.table {
            return Err(error);
        }
        // Twice as many each time, so that all attempts together cost little more than the last.
        enough = (enough * 2).min(block.geometry.table);
        while number < enough {
            store.get_range(name, u64::from(number) * SECTOR as u64, &mut sector)?;
            let (found, payload) = open_block(&sector, name)?;
            if found != (Block { number, ..block }) {
                return Ok(None);
            }
            bytes.extend_from_slice(payload);
            number += 1;
        }
    }
}
