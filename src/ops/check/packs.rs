//! The index against the store: every pack that is listed is there, in its length.

use super::{findings::Findings, objects::Stored};
use crate::{
    error::{Error, Result},
    id::{IndexId, PackId},
    index::object::object_name,
    model::codec,
    pack::{self, PackEntry},
    repo::BlobReader,
};
use std::collections::{HashMap, HashSet};

/// The packs that the index lists.
pub(super) struct Packs {
    /// With half a hash of what is said of each.
    listed: HashMap<PackId, [u8; 16]>,
    /// The index objects that could be read.
    objects: Vec<IndexId>,
    /// Packs that are there in another length.
    pub(super) odd: HashSet<PackId>,
}

impl Packs {
    /// Compares what the index lists with what is stored.
    pub(super) fn compare(found: &Findings<'_>, reader: &BlobReader<'_>, stored: &Stored) -> Result<Self> {
        let index = reader.index();
        let objects: HashSet<IndexId> = index
            .runs()
            .iter()
            .flat_map(|run| run.sources().map(|source| source.id).collect::<Vec<IndexId>>())
            .collect();
        let mut packs = Packs { listed: HashMap::new(), objects: objects.into_iter().collect(), odd: HashSet::new() };
        packs.objects.sort();
        let (mut listed, mut odd) = (HashMap::new(), HashSet::new());
        packs.each(found, &mut |object, entry| {
            let said = digest(&entry);
            if let Some(before) = listed.insert(entry.id, said) {
                if before != said {
                    let what = format!("it lists pack {} otherwise than another index object", entry.id.short());
                    found.add(object_name(object).as_str(), what);
                }
                return Ok(());
            }
            let name = pack::object_name(&entry.id).to_string();
            match stored.packs.get(&entry.id) {
                None if reader.was_pruned(&entry.id) => {}
                None => {
                    // A prune that was killed, or a writer that woke up after its packs were swept, leaves such.
                    let number = found.add(&name, "the index lists it, but it is not in the store");
                    found.doubt(number);
                    found.damage().packs.insert(entry.id, number);
                }
                Some(len) if *len != entry.len => {
                    found.add(&name, format!("it has {len} bytes in place of {}", entry.len));
                    odd.insert(entry.id);
                }
                Some(_) => {}
            }
            for segment in &entry.directory.segments {
                if let Some(base) = segment.bases.iter().find(|base| index.place(base).is_none()) {
                    let what = format!(
                        "the segment at {} leans on blob {}, which no index object lists",
                        segment.offset,
                        base.short()
                    );
                    let number = found.add(&name, what);
                    // A prune removes what nothing needs before what leans on it: that may lie beside what is needed, and stay.
                    found.doubt(number);
                    found.damage().segments.insert((entry.id, segment.offset), number);
                }
            }
            Ok(())
        })?;
        (packs.listed, packs.odd) = (listed, odd);
        Ok(packs)
    }

    /// Calls `each` with every pack of every index object, one object in memory at a time.
    pub(super) fn each(
        &self,
        found: &Findings<'_>,
        each: &mut dyn FnMut(&IndexId, PackEntry) -> Result<()>,
    ) -> Result<()> {
        for id in &self.objects {
            found.monitor.check()?;
            match found.repo.read_index_object(id) {
                Ok(object) => object.packs.into_iter().try_for_each(|entry| each(id, entry))?,
                Err(Error::Missing { .. }) => {
                    found.note(format!("{}: a prune has replaced it meanwhile", object_name(id)));
                }
                // It could be read a moment ago.
                Err(error) => {
                    found.judge(object_name(id).as_str(), error)?;
                }
            }
        }
        Ok(())
    }

    /// True when an index object of this name could be read at first.
    pub(super) fn has_object(&self, id: &[u8; 32]) -> bool {
        self.objects.binary_search(&IndexId(*id)).is_ok()
    }

    /// True when the index lists the pack.
    pub(super) fn lists(&self, id: &PackId) -> bool {
        self.listed.contains_key(id)
    }

    /// Number of packs in the index.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// The packs in the index, in no order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &PackId> {
        self.listed.keys()
    }
}

/// Half a hash of an entry.
fn digest(entry: &PackEntry) -> [u8; 16] {
    let hash = blake3::hash(&codec::encode(entry));
    std::array::from_fn(|i| hash.as_bytes()[i])
}
