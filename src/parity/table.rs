//! A sidecar's table: which objects it covers, and how each sector is known.

use super::{Geometry, Mark, SECTOR, sectors};
use crate::{
    error::{Error, Result},
    id::ID_LEN,
    store::ObjectName,
};

/// An object as a table names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Its name in the store.
    pub name: ObjectName,
    /// Its length in bytes, not zero.
    pub len: u64,
    /// The hash of its bytes.
    pub sum: [u8; ID_LEN],
}

impl Covered {
    /// The sectors that it takes in its set.
    pub fn sectors(&self) -> u64 {
        sectors(self.len)
    }
}

/// What a sidecar says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The objects in the order of their sectors; each begins with a sector of its own.
    pub objects: Vec<Covered>,
    /// The mark of each of their sectors; the last of an object is filled up with zeros.
    pub data: Vec<Mark>,
    /// The mark of each recovery sector, in the order in which they lie in the sidecar.
    pub recovery: Vec<Mark>,
}

impl Table {
    /// Bytes of a table whose objects take `objects` bytes in it.
    pub fn encoded_len(objects: usize, shards: u32, recovery: u32) -> usize {
        4 + objects + (shards as usize + recovery as usize) * size_of::<Mark>()
    }

    /// Bytes that an object takes in a table.
    pub fn entry_len(name: &ObjectName) -> usize {
        1 + name.as_str().len() + 8 + ID_LEN
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let objects = self.objects.iter().map(|object| Table::entry_len(&object.name)).sum();
        let mut out =
            Vec::with_capacity(Table::encoded_len(objects, self.data.len() as u32, self.recovery.len() as u32));
        out.extend_from_slice(&(self.objects.len() as u32).to_le_bytes());
        for Covered { name, len, sum } in &self.objects {
            // Names are at most 255 bytes long.
            out.push(name.as_str().len() as u8);
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(sum);
        }
        out.extend_from_slice(self.data.as_flattened());
        out.extend_from_slice(self.recovery.as_flattened());
        out
    }

    /// Reads a table of a set of this shape, which zeros follow.
    pub fn decode(bytes: &[u8], geometry: &Geometry, object: &dyn std::fmt::Display) -> Result<Self> {
        let (objects, mut rest) = Table::decode_objects(bytes, geometry, object)?;
        let mut marks = |count: u32| {
            let marks = rest.split_at_checked(count as usize * size_of::<Mark>());
            let (marks, after) = marks.ok_or_else(|| wrong(object, SHORT))?;
            rest = after;
            Ok::<_, Error>(marks.as_chunks().0.to_vec())
        };
        let (data, recovery) = (marks(geometry.shards)?, marks(geometry.recovery_total())?);
        if rest.iter().any(|&byte| byte != 0) {
            return Err(wrong(object, "bytes follow its end"));
        }
        Ok(Table { objects, data, recovery })
    }

    /// The objects that begin a table, and what follows them.
    pub fn decode_objects<'b>(
        bytes: &'b [u8],
        geometry: &Geometry,
        object: &dyn std::fmt::Display,
    ) -> Result<(Vec<Covered>, &'b [u8])> {
        let short = || wrong(object, SHORT);
        let (count, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
        let count = u32::from_le_bytes(*count);
        // Each has a sector at least, and takes more bytes here than this.
        if count > geometry.shards || count as usize > rest.len() / (1 + 8 + ID_LEN) {
            return Err(wrong(object, "it names more objects than it has room for"));
        }
        let mut objects: Vec<Covered> = Vec::with_capacity(count as usize);
        let mut all = 0u64;
        for _ in 0..count {
            let (&len, after) = rest.split_first().ok_or_else(short)?;
            let (name, after) = after.split_at_checked(len as usize).ok_or_else(short)?;
            let (len, after) = after.split_first_chunk::<8>().ok_or_else(short)?;
            let (sum, after) = after.split_first_chunk::<ID_LEN>().ok_or_else(short)?;
            let name = std::str::from_utf8(name).ok().and_then(ObjectName::new);
            let name = name.ok_or_else(|| wrong(object, "a name is none"))?;
            let len = u64::from_le_bytes(*len);
            if len == 0 || len > u64::from(geometry.shards) * SECTOR as u64 {
                return Err(wrong(object, "an object is empty, or longer than the set"));
            }
            all += sectors(len);
            objects.push(Covered { name, len, sum: *sum });
            rest = after;
        }
        if all != u64::from(geometry.shards) {
            return Err(wrong(object, "the objects' sectors are not those of the set"));
        }
        let mut names: Vec<&ObjectName> = objects.iter().map(|object| &object.name).collect();
        names.sort();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(wrong(object, "it names an object twice"));
        }
        Ok((objects, rest))
    }
}

const SHORT: &str = "it ends too early";

fn wrong(object: &dyn std::fmt::Display, what: &str) -> Error {
    Error::corrupt(object, format_args!("its table is wrong: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Table, Geometry) {
        let covered = |name: &str, len| Covered { name: ObjectName::new(name).unwrap(), len, sum: [3; ID_LEN] };
        let objects = vec![covered("config", 4096), covered("keys/a", 512), covered("packs/aa/b", 3 * 4096 + 1)];
        let data = (0..6).map(|n| [n; 8]).collect();
        let recovery = (0..4).map(|n| [100 + n; 8]).collect();
        (Table { objects, data, recovery }, Geometry { shards: 6, groups: 2, recovery: 2, table: 1 })
    }

    #[test]
    fn a_table_reads_back_whatever_zeros_follow() {
        let (table, geometry) = table();
        let mut bytes = table.encode();
        for _ in 0..3 {
            assert_eq!(Table::decode(&bytes, &geometry, &"x").unwrap(), table);
            bytes.push(0);
        }
        bytes.push(1);
        assert!(Table::decode(&bytes, &geometry, &"x").is_err());
    }

    #[test]
    fn tables_that_no_writer_makes_are_refused() {
        let (good, geometry) = table();
        let refused = |table: &Table, geometry: &Geometry| Table::decode(&table.encode(), geometry, &"x").is_err();
        assert!(!refused(&good, &geometry));
        for len in 0..good.encode().len() {
            assert!(Table::decode(&good.encode()[..len], &geometry, &"x").is_err(), "{len}");
        }
        let with = |change: &dyn Fn(&mut Vec<Covered>)| {
            let mut table = good.clone();
            change(&mut table.objects);
            refused(&table, &geometry)
        };
        assert!(with(&|objects| objects[1].len = 0));
        assert!(with(&|objects| objects[1].len = 5000));
        assert!(with(&|objects| objects[1].len = u64::MAX));
        assert!(with(&|objects| objects[1].name = objects[0].name.clone()));
        assert!(with(&|objects| drop(objects.pop())));
        let mut bytes = good.encode();
        bytes[5] = b'/';
        assert!(Table::decode(&bytes, &geometry, &"x").is_err());
        bytes[..4].fill(0xff);
        assert!(Table::decode(&bytes, &geometry, &"x").is_err());
    }
}
