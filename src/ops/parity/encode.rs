//! One set: its objects are read once, in order, hashed and held against their names; groups are encoded side by side.

use super::{add::Request, is_as_named, is_whole, put_in_place};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    id::RepoId,
    monitor::{Counter, Monitor},
    ops::naming,
    parity::{self, Covered, Encoder, Geometry, Mark, SECTOR, Table},
    store::{ObjectName, Store},
};
use rayon::prelude::*;
use std::{sync::mpsc, thread};

/// Bytes that are read at a time.
const PIECE: usize = 4 << 20;

/// What came of a set.
pub(super) enum Made {
    /// It is in the store under this name, and this long. Durable after the next sync.
    Stored { name: ObjectName, len: u64 },
    /// This object is not what its name says, or cannot be read: nothing was stored.
    Unfit { name: ObjectName, why: String, gone: bool },
}

enum Failed {
    Unfit(Made),
    Run(Error),
}

/// Makes the sidecar of these objects.
pub(super) fn encode(
    store: &dyn Store,
    repo: RepoId,
    objects: &[(ObjectName, u64)],
    request: &Request,
    monitor: &dyn Monitor,
) -> Result<Made> {
    let shards: u64 = objects.iter().map(|(_, len)| parity::sectors(*len)).sum();
    let shards = u32::try_from(shards).ok().filter(|n| *n <= parity::SETS_SHARDS_MAX);
    let shards = shards.ok_or_else(|| Error::usage("an object is too long for a sidecar"))?;
    let mut geometry = Geometry::plan(shards, 1, request.percent);
    let names = objects.iter().map(|(name, _)| Table::entry_len(name)).sum();
    let table_len = Table::encoded_len(names, shards, geometry.recovery_total());
    geometry = Geometry::plan(shards, table_len, request.percent);

    let groups = geometry.groups as usize;
    let mut encoders: Vec<Encoder> = (0..groups).map(|_| Encoder::new(geometry.recovery)).collect();
    let row = encoders.first().map_or(1, Encoder::chunk) * groups * SECTOR;
    let mut table = Table { data: Vec::with_capacity(shards as usize), ..Table::default() };

    // One row is read while the one before is encoded.
    let covered = thread::scope(|scope| {
        let (filled, to_encode) = mpsc::sync_channel::<Vec<u8>>(0);
        let (emptied, to_fill) = mpsc::channel::<Vec<u8>>();
        let read = thread::Builder::new().name("parity".into()).spawn_scoped(scope, move || {
            let mut rows = Rows { row, current: Vec::new(), filled, to_fill };
            read_all(store, objects, &mut rows, monitor)
        });
        let read = read.map_err(|e| Failed::Run(Error::store("start a thread for", "parity", e)))?;
        for (number, bytes) in to_encode.iter().enumerate() {
            table.data.par_extend(bytes.par_chunks(SECTOR).map(parity::mark));
            encoders.par_iter_mut().enumerate().for_each_init(Vec::new, |work, (group, encoder)| {
                encoder.take(number, bytes.chunks(SECTOR).skip(group).step_by(groups), work);
            });
            // Nobody fills it when the last row was read.
            let _ = emptied.send(bytes);
        }
        drop(emptied);
        read.join().map_err(|_| Failed::Run(Error::Hardware { what: "a thread died".into() }))?
    });
    table.objects = match covered {
        Ok(covered) => covered,
        Err(Failed::Unfit(made)) => return Ok(made),
        Err(Failed::Run(error)) => return Err(error),
    };
    let recovery: Vec<Vec<u8>> = encoders.into_par_iter().map(Encoder::finish).collect();
    let (name, len) = put(store, repo, geometry, request, table, &recovery)?;
    Ok(Made::Stored { name, len })
}

/// Stores a sidecar, and gives its name and length; the table's recovery marks are filled in.
fn put(
    store: &dyn Store,
    repo: RepoId,
    geometry: Geometry,
    request: &Request,
    mut table: Table,
    recovery: &[Vec<u8>],
) -> Result<(ObjectName, u64)> {
    let side_by_side = || {
        (0..geometry.recovery as usize)
            .flat_map(|number| recovery.iter().filter_map(move |group| group.chunks(SECTOR).nth(number)))
    };
    table.recovery = side_by_side().map(parity::mark).collect::<Vec<Mark>>();
    let (front, back) = parity::pieces(repo, geometry, request.percent, &table)?;
    let (mut upload, mut hasher, mut len) = (store.upload()?, ObjectHasher::default(), 0);
    let mut piece = Vec::with_capacity(PIECE);
    let parts = std::iter::once(&front[..]).chain(side_by_side()).chain(std::iter::once(&back[..]));
    for part in parts {
        piece.extend_from_slice(part);
        if piece.len() >= PIECE {
            hasher.update(&piece);
            upload.append(&piece)?;
            len += piece.len() as u64;
            piece.clear();
        }
    }
    hasher.update(&piece);
    upload.append(&piece)?;
    len += piece.len() as u64;
    let name = parity::object_name(&hasher.finish());
    // The same objects make the same sidecar: that of a run that was interrupted is as good, a damaged one is not.
    // The same objects make the same sidecar: what lies there may be damaged, or cut short.
    match store.stat(&name)?.is_some() && !is_whole(store, &name)? {
        true => put_in_place(store, &name, upload)?,
        false => drop(upload.finish(&name)?),
    }
    Ok((name, len))
}

/// Rows on their way to the encoders.
struct Rows {
    row: usize,
    current: Vec<u8>,
    filled: mpsc::SyncSender<Vec<u8>>,
    to_fill: mpsc::Receiver<Vec<u8>>,
}

impl Rows {
    /// Room for more bytes, at most `want` and at least one.
    fn room(&mut self, want: usize) -> Result<&mut [u8], Error> {
        if self.current.len() == self.row {
            self.send()?;
        }
        let begin = self.current.len();
        self.current.resize((begin + want).min(self.row), 0);
        Ok(&mut self.current[begin..])
    }

    fn send(&mut self) -> Result<(), Error> {
        let mut next = self.to_fill.try_recv().unwrap_or_default();
        next.clear();
        next.reserve_exact(self.row);
        let full = std::mem::replace(&mut self.current, next);
        self.filled.send(full).map_err(|_| Error::Hardware { what: "a thread died".into() })
    }
}

fn read_all(
    store: &dyn Store,
    objects: &[(ObjectName, u64)],
    rows: &mut Rows,
    monitor: &dyn Monitor,
) -> Result<Vec<Covered>, Failed> {
    let mut covered = Vec::with_capacity(objects.len());
    for (name, len) in objects {
        let sum = read_one(store, name, *len, rows, monitor)?;
        covered.push(Covered { name: name.clone(), len: *len, sum });
        monitor.add(Counter::Objects, 1);
    }
    if !rows.current.is_empty() {
        rows.send().map_err(Failed::Run)?;
    }
    Ok(covered)
}

fn read_one(
    store: &dyn Store,
    name: &ObjectName,
    len: u64,
    rows: &mut Rows,
    monitor: &dyn Monitor,
) -> Result<[u8; 32], Failed> {
    let unfit = |why: String, gone| Failed::Unfit(Made::Unfit { name: name.clone(), why, gone });
    let (mut hasher, mut at) = (ObjectHasher::default(), 0);
    let mut end = Vec::new();
    while at < len {
        monitor.check().map_err(Failed::Run)?;
        let want = (len - at).min(PIECE as u64) as usize;
        let part = rows.room(want).map_err(Failed::Run)?;
        if let Err(error) = store.get_range(name, at, part) {
            return Err(match error {
                Error::Missing { .. } => unfit("it is gone".into(), true),
                Error::Corrupt { what, .. } => unfit(what, false),
                // A bad sector is its own; a store that does not even tell of it any more is lost as a whole.
                Error::Store { .. } if store.stat(name).is_ok_and(|entry| entry.is_some()) => {
                    unfit(error.to_string(), false)
                }
                error => Failed::Run(error),
            });
        }
        hasher.update(part);
        if len <= crate::model::limits::MARK_MAX && naming::class(name.as_str()).is_none_or(|(_, hash)| hash.is_none())
        {
            end.extend_from_slice(part);
        }
        at += part.len() as u64;
        monitor.add(Counter::Stored, part.len() as u64);
    }
    let sum = hasher.finish();
    if !is_as_named(name.as_str(), &sum, || naming::ends_with_sum(&end)) {
        return Err(unfit("its bytes are not those of its name".into(), false));
    }
    let mut padding = (parity::sectors(len) * SECTOR as u64 - len) as usize;
    while padding > 0 {
        let part = rows.room(padding).map_err(Failed::Run)?;
        padding -= part.len();
    }
    Ok(sum)
}
