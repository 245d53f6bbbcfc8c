//! The first look at a medium: where objects begin, where packs end, which tables of sidecars are there. By magic, without a file system.

use super::medium::{Medium, read_around};
use crate::{
    error::Result,
    id::RepoId,
    monitor::{Counter, Monitor, Phase},
    object::{self, HEADER_LEN},
    pack::{self, FOOTER_LEN},
    parity::{self, Block, Geometry, Layout, SECTOR},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where file systems let files begin: at multiples of this many bytes of the medium.
pub const ALIGNED: u64 = 512;
/// Bytes that are read at a time.
const BLOCK: u64 = 4 << 20;

/// What was seen.
#[derive(Default)]
pub struct Scan {
    /// Objects that begin here, by kind and repository.
    pub heads: BTreeMap<u64, (u8, RepoId)>,
    /// Packs that begin and end as they should, by their first byte, with their lengths. Nothing is known of what lies between.
    pub packs: BTreeMap<u64, u64>,
    /// Sidecars of which the table is there.
    pub sets: Vec<Layout>,
    /// Sidecars of which too much of the table is lost.
    pub lost_sets: u64,
    /// What the beginnings of objects are, modulo a sector: where sectors are looked for.
    pub phases: BTreeSet<u64>,
    /// Stretches that cannot be read, first byte and length.
    pub bad: Vec<(u64, u64)>,
}

impl Scan {
    /// The repositories that objects belong to, and of each how many.
    pub fn repositories(&self) -> HashMap<RepoId, u64> {
        let mut out = HashMap::new();
        for (_, repo) in self.heads.values() {
            *out.entry(*repo).or_insert(0) += 1;
        }
        for set in &self.sets {
            *out.entry(set.block.repo).or_insert(0) += 1;
        }
        out
    }
}

/// Reads all of it once.
pub fn scan(medium: &dyn Medium, monitor: &dyn Monitor) -> Result<Scan> {
    monitor.phase(Phase::Planning);
    monitor.expect(Counter::Stored, medium.length());
    let mut out = Scan::default();
    let mut blocks: HashMap<Key, Found> = HashMap::new();
    let mut ends: Vec<(u64, u64)> = Vec::new();
    // Each block is read with the sector that follows it, so that none is cut in two.
    let mut bytes = vec![0; BLOCK as usize + SECTOR];
    let mut at = 0;
    while at < medium.length() {
        monitor.check()?;
        let len = (BLOCK + SECTOR as u64).min(medium.length() - at) as usize;
        let part = bytes.get_mut(..len).unwrap_or_default();
        let own = at + BLOCK;
        read_around(medium, at, part, &mut |from, len| {
            if from < own {
                out.bad.push((from, len));
            }
        });
        for (place, unit) in (at..own).step_by(ALIGNED as usize).zip(part.chunks(ALIGNED as usize)) {
            look(&mut out, &mut blocks, &mut ends, place, unit, part.get((place - at) as usize..).unwrap_or_default());
        }
        monitor.add(Counter::Stored, BLOCK.min(medium.length() - at));
        at += BLOCK;
    }
    for (begin, len) in ends {
        let is_pack = out.heads.get(&begin).is_some_and(|(kind, _)| object::Kind::of_pack(*kind).is_some());
        if is_pack {
            // The first end that fits: another would reach over it into other objects.
            out.packs.entry(begin).or_insert(len);
        }
    }
    tables(medium, blocks, &mut out);
    Ok(out)
}

/// What the blocks of one table have in common.
type Key = ([u8; 16], RepoId, Geometry);

/// Blocks of one table.
struct Found {
    block: Block,
    places: BTreeMap<u32, u64>,
}

fn look(
    out: &mut Scan,
    blocks: &mut HashMap<Key, Found>,
    ends: &mut Vec<(u64, u64)>,
    place: u64,
    unit: &[u8],
    rest: &[u8],
) {
    if let Ok((kind, repo)) = object::read_any_header(unit.get(..HEADER_LEN).unwrap_or_default(), &"") {
        out.phases.insert(place % SECTOR as u64);
        if kind == object::Kind::Sidecar as u8 {
            if let Some(Ok((block, _))) = rest.get(..SECTOR).map(|sector| parity::open_block(sector, &"")) {
                // By its shape too: a stray block does not decide what the others are.
                let key = (block.set, repo, block.geometry);
                let found = blocks.entry(key).or_insert_with(|| Found { block, places: BTreeMap::new() });
                found.places.entry(block.number).or_insert(place);
            }
        } else {
            out.heads.insert(place, (kind, repo));
        }
    }
    if unit.len() as u64 == ALIGNED
        && let Some(footer) = unit.last_chunk::<FOOTER_LEN>()
    {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| footer.get(at + i).copied().unwrap_or(0)));
        let len = number(0).checked_add(number(8)).and_then(|sum| sum.checked_add(FOOTER_LEN as u64));
        if let Some(len) = len.filter(|len| pack::read::parse_footer(footer, *len).is_some())
            && let Some(begin) = (place + ALIGNED).checked_sub(len)
        {
            ends.push((begin, len));
        }
    }
}

fn tables(medium: &dyn Medium, blocks: HashMap<Key, Found>, out: &mut Scan) {
    let mut sets: Vec<_> = blocks.into_iter().collect();
    sets.sort_by_key(|((set, _, geometry), _)| (*set, *geometry));
    for ((set, ..), Found { block, places }) in sets {
        let name = crate::id::hex(&set);
        let mut payloads = BTreeMap::new();
        let mut sector = vec![0; SECTOR];
        for (number, place) in places {
            if medium.read(place, &mut sector).is_ok()
                && let Ok((_, payload)) = parity::open_block(&sector, &name)
            {
                payloads.insert(number, payload.to_vec());
            }
        }
        match parity::assemble(&block, &payloads, &name) {
            Ok(layout) => out.sets.push(layout),
            Err(_) => out.lost_sets += 1,
        }
    }
}
