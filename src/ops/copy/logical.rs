//! Snapshots under other keys: what they hold is read, verified, and sealed anew.
//!
//! A snapshot keeps its series, number, time and everything that was said of it; ids differ, since names of blobs are keyed. One
//! that the other repository has, or had and forgot, is not copied again: it is known by its series, number and time.
//! With the same keys on both sides ids are the same, and a snapshot is stored byte for byte.

use super::{
    along::take_along,
    lanes::{Lanes, Trouble},
    rely::Reliance,
    rewrite::Rewriter,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::{self, BlobKind},
    id::{SeriesTag, SnapshotId},
    index::BlobIndex,
    keys::Role,
    model::{
        annotation::{Annotation, Change},
        limits,
        snapshot::{Head, Snapshot, Source},
    },
    monitor::{Counter, Monitor, Phase},
    name::Shown,
    repo::{
        Annotations, BlobReader, Listed, Marks, Repository, Session, WriteOptions, Written,
        snapshots::{object_name, seal_snapshot},
    },
    series::Series,
    store::ObjectName,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Plaintext that is read before snapshots are published, in bytes: many small ones share packs.
const BATCH: u64 = 512 << 20;

/// What is to be copied.
pub struct Request<'a> {
    /// Where from: an owner's key is needed.
    pub from: &'a Repository,
    /// Where to.
    pub to: &'a Repository,
    /// These snapshots; `None` for all.
    pub chosen: Option<&'a [Listed]>,
    /// How hard to compress.
    pub compression: Compression,
    /// The machine that does it.
    pub host: &'a str,
    /// Tell what would be copied, and store nothing.
    pub dry_run: bool,
    /// Worker threads; 0 for one a core.
    pub threads: usize,
}

/// A snapshot that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The snapshot in the source.
    pub from: SnapshotId,
    /// Its series.
    pub series: String,
    /// When it was begun.
    pub time: i64,
    /// Its id in the copy; `None` after a dry run.
    pub id: Option<SnapshotId>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots that were copied.
    pub copied: Vec<Copied>,
    /// Snapshots that were there before.
    pub present: u64,
    /// Snapshots that were forgotten in the copy, and so are not copied again.
    pub forgotten: u64,
    /// Snapshots that cannot be copied, with the reason.
    pub failed: Vec<(String, String)>,
    /// Snapshots whose tags or pins were taken over.
    pub marked: u64,
    /// What was stored.
    pub written: Written,
}

/// True when both have the same keys: blobs have the same names then.
pub fn same_keys(one: &Repository, other: &Repository) -> bool {
    let probe = |repo: &Repository| repo.namer().name(BlobKind::Data, b"same keys?");
    one.keys().repo() == other.keys().repo() && probe(one) == probe(other)
}

/// What tells a snapshot from others of its series, whatever its id is.
type Mark = (SeriesTag, u64, crate::world::Time);

fn mark(tag: SeriesTag, head: &Head) -> Mark {
    (tag, head.sequence, head.time)
}

/// What the copy has.
struct There {
    living: HashMap<Mark, SnapshotId>,
    forgotten: HashMap<Mark, SnapshotId>,
}

impl There {
    fn of(to: &Repository, wanted: &HashSet<SeriesTag>) -> Result<Self> {
        let mut out = There { living: HashMap::new(), forgotten: HashMap::new() };
        for (tag, id, _) in to.living(None)?.names.into_iter().filter(|(tag, ..)| wanted.contains(tag)) {
            match to.head(&tag, &id) {
                Ok(head) => drop(out.living.insert(mark(tag, &head), id)),
                // A damaged one is copied again, beside it.
                Err(Error::Corrupt { .. } | Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for (tag, id) in to.tombstone_names(None)?.into_iter().filter(|(tag, _)| wanted.contains(tag)) {
            match to.prove_forgotten(&tag, &id) {
                Ok(gone) => drop(out.forgotten.insert(mark(tag, &gone.head), id)),
                Err(Error::Corrupt { .. } | Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(out)
    }
}

/// Copies snapshots that the copy lacks. Of a snapshot that cannot be read nothing is published, which the report tells. Fails
/// when a store does, or when the source is not what this client has seen of it.
pub fn copy(request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    let Request { from, to, .. } = *request;
    monitor.phase(Phase::Opening);
    from.keys().expect(Role::Owner, "read contents, which a copy under other keys does")?;
    let mut report = Report::default();
    let mut chosen = match request.chosen {
        Some(chosen) => chosen.to_vec(),
        None => {
            if let Some(rollback) = from.look(None, false)?.pop() {
                return Err(rollback.into());
            }
            let all = from.snapshots(None)?;
            report.failed = all.unreadable.into_iter().map(|(object, error)| (object, error.to_string())).collect();
            all.listed
        }
    };
    chosen.sort_by(|a, b| {
        let key = |l: &Listed| (l.snapshot.head.sequence, l.id);
        a.snapshot.series.cmp(&b.snapshot.series).then(key(a).cmp(&key(b)))
    });
    chosen.dedup_by_key(|listed| listed.id);
    let mut tags = BTreeMap::new();
    for listed in &chosen {
        let series = Series::parse(&listed.snapshot.series)?;
        tags.insert(
            listed.snapshot.series.clone(),
            (from.keys().series_tag(&series), to.keys().series_tag(&series), series),
        );
    }
    // The index after the snapshots: it then has all that they refer to.
    let (index, unreadable) = from.load_index(false)?;
    for (object, error) in &unreadable {
        monitor.problem(&format!("{object}: {error}; see `vault check`"));
    }
    let same = same_keys(from, to);
    if same && !request.dry_run {
        take_along(from, to, monitor)?;
    }
    let there = There::of(to, &tags.values().map(|(_, tag, _)| *tag).collect())?;
    let session = to.begin(request.host, request.dry_run, monitor)?;
    let usable = session.load_index(monitor)?;
    if !request.dry_run {
        session.adopt(&usable, monitor)?;
    }
    let marks = match to.keys().role() {
        Role::Writer => {
            monitor.note("tags and pins are not copied: that takes a maintainer or owner key of the copy");
            Annotations::default()
        }
        _ => from.annotations(None)?,
    };
    let run = Run { request, same, tags, marks, session: &session, index: &usable.index, monitor };
    run.all(chosen, &index, &there, &mut report)?;
    Ok(report)
}

struct Run<'a> {
    request: &'a Request<'a>,
    same: bool,
    /// Of each series its folder here, its folder there, and itself.
    tags: BTreeMap<String, (SeriesTag, SeriesTag, Series)>,
    marks: Annotations,
    session: &'a Session<'a>,
    index: &'a BlobIndex,
    monitor: &'a dyn Monitor,
}

/// A snapshot that is in both, by which the next one of its series finds what has not changed.
struct Pair {
    series: String,
    here: Snapshot,
    there: Snapshot,
}

impl Run<'_> {
    fn all(&self, chosen: Vec<Listed>, index: &BlobIndex, there: &There, report: &mut Report) -> Result<()> {
        let Request { from, to, .. } = *self.request;
        let reader = BlobReader::new(from, index);
        let pages = BlobReader::new(to, self.index);
        let data = BlobReader::new(to, self.index);
        let mut rewriter = Rewriter::new(&reader, to.keys().page_key(), self.monitor);
        let mut reliance = Reliance::new(self.index);
        let mut ids: HashMap<SnapshotId, SnapshotId> = HashMap::new();
        let mut todo: Vec<(Listed, Option<Pair>)> = Vec::new();
        let mut before: Option<(Listed, SnapshotId)> = None;
        for listed in chosen {
            let Some((_, tag, _)) = self.tags.get(&listed.snapshot.series) else { continue };
            let mark = mark(*tag, &listed.snapshot.head);
            if let Some(id) = there.living.get(&mark) {
                report.present += 1;
                ids.insert(listed.id, *id);
                before = Some((listed, *id));
                continue;
            }
            if let Some(id) = there.forgotten.get(&mark) {
                report.forgotten += 1;
                ids.insert(listed.id, *id);
                continue;
            }
            let of_series = before.take().filter(|(before, _)| before.snapshot.series == listed.snapshot.series);
            todo.push((listed, of_series.and_then(|(here, id)| self.pair(here, id))));
        }
        let sum = |total: u64, (listed, _): &(Listed, Option<Pair>)| total.saturating_add(listed.snapshot.totals.bytes);
        self.monitor.expect(Counter::Bytes, todo.iter().fold(0, sum));
        self.monitor.expect(Counter::Objects, todo.len() as u64);
        let options = WriteOptions { compression: self.request.compression, pretend: self.request.dry_run };
        let mut todo = todo.into_iter().peekable();
        let mut last: Option<Pair> = None;
        while todo.peek().is_some() {
            self.monitor.phase(Phase::Storing);
            let (made, written) = self.session.write(self.index, options, self.monitor, |writer| {
                let leans_on = (to.keys().role() >= Role::Owner).then_some(&data);
                let mut lanes = Lanes::new(writer, leans_on, self.request.threads);
                let mut made: Vec<(Listed, Vec<Source>)> = Vec::new();
                let begun = rewriter.carried();
                while rewriter.carried() - begun < BATCH
                    && let Some((listed, pair)) = todo.next()
                {
                    self.monitor.at(listed.snapshot.series.as_bytes());
                    if let Some(pair) = pair {
                        // What is not looked at again must be there to stay.
                        last = reliance.rely_on(&pages, &pair.there, self.monitor)?.then_some(pair);
                    }
                    let pair = last.as_ref().filter(|pair| pair.series == listed.snapshot.series);
                    match rewriter.snapshot(
                        &mut lanes,
                        &pages,
                        &listed.snapshot,
                        pair.map(|pair| (&pair.here, &pair.there)),
                    ) {
                        Ok(sources) => made.push((listed, sources)),
                        Err(Trouble::Lost(error)) => {
                            self.monitor.problem(&format!("{}: {error}; it is not copied", shown(&listed)));
                            report.failed.push((shown(&listed), error.to_string()));
                        }
                        Err(Trouble::Fatal(error)) => return Err(error),
                    }
                    self.monitor.add(Counter::Objects, 1);
                }
                lanes.flush()?;
                Ok(made)
            })?;
            add(&mut report.written, &written);
            self.monitor.phase(Phase::Publishing);
            for (listed, sources) in made {
                let copied = self.publish(&listed, sources, &mut ids, report)?;
                report.copied.push(copied);
            }
        }
        Ok(())
    }

    fn pair(&self, here: Listed, id: SnapshotId) -> Option<Pair> {
        let (_, tag, _) = self.tags.get(&here.snapshot.series)?;
        // A writer cannot, and reads everything.
        let there = self.request.to.read_snapshot(tag, &id).ok()?.snapshot;
        Some(Pair { series: here.snapshot.series.clone(), here: here.snapshot, there })
    }

    /// Stores a snapshot whose blobs are durable, with what was said of it.
    fn publish(
        &self,
        listed: &Listed,
        sources: Vec<Source>,
        ids: &mut HashMap<SnapshotId, SnapshotId>,
        report: &mut Report,
    ) -> Result<Copied> {
        let Request { from, to, .. } = *self.request;
        let (series, time) = (listed.snapshot.series.clone(), listed.snapshot.head.time.sec);
        let copied = Copied { from: listed.id, series, time, id: None };
        let Some((here, tag, series)) = self.tags.get(&listed.snapshot.series).filter(|_| !self.request.dry_run) else {
            return Ok(copied);
        };
        let verbatim = match self.same && sources == listed.snapshot.sources && self.follows(listed, tag, ids)? {
            true => Some(from.store().get(&object_name(here, &listed.id), limits::META_MAX)?),
            false => None,
        };
        // It was read before: what the store gives now may be something else.
        let bytes = if let Some(bytes) = verbatim.filter(|bytes| hash::object_name(bytes) == listed.id.0) {
            bytes
        } else {
            // What the one before it is there: it may have been left out, or forgotten.
            let previous = listed.snapshot.head.previous.and_then(|id| ids.get(&id).copied());
            let head = Head { previous, ..listed.snapshot.head.clone() };
            seal_snapshot(to.keys(), &Snapshot { head, sources, ..listed.snapshot.clone() }, to.entropy())?
        };
        let id = SnapshotId(hash::object_name(&bytes));
        // Before it is there: a pinned snapshot is never seen without its pin.
        let same_id = self.same && id == listed.id;
        if !same_id && self.annotate(tag, &id, &self.marks.of(here, &listed.id))? {
            report.marked += 1;
        }
        self.make_way(&object_name(tag, &id), &id)?;
        self.session.publish_sealed(tag, &bytes, self.index)?;
        ids.insert(listed.id, id);
        if let Err(error) = to.saw(series, &id, &to.head(tag, &id)?) {
            self.monitor.note(&format!("{error}; were this snapshot to vanish, this machine would not notice"));
        }
        Ok(Copied { id: Some(id), ..copied })
    }

    /// True when the one before a snapshot is in the copy, or its tombstone is: else the snapshot would point into a gap.
    fn follows(&self, listed: &Listed, tag: &SeriesTag, ids: &HashMap<SnapshotId, SnapshotId>) -> Result<bool> {
        let Some(previous) = listed.snapshot.head.previous else { return Ok(true) };
        let to = self.request.to;
        if ids.get(&previous) == Some(&previous) || to.store().stat(&object_name(tag, &previous))?.is_some() {
            return Ok(true);
        }
        match to.prove_forgotten(tag, &previous) {
            Ok(_) => Ok(true),
            Err(Error::Missing { .. } | Error::Corrupt { .. } | Error::Unsupported { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a damaged object that has the name of what is to be stored.
    fn make_way(&self, name: &ObjectName, id: &SnapshotId) -> Result<()> {
        let store = self.request.to.store();
        match store.get(name, limits::META_MAX) {
            Ok(bytes) if hash::object_name(&bytes) == id.0 => Ok(()),
            Ok(_) | Err(Error::Corrupt { .. }) => store.remove(name),
            Err(Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn annotate(&self, tag: &SeriesTag, id: &SnapshotId, marks: &Marks) -> Result<bool> {
        let to = self.request.to;
        let mut counter = 0;
        let mut say = |changes: Vec<Change>, of: Option<(crate::world::Time, &str, &str)>| {
            counter += 1;
            let (time, host, user) = of.unwrap_or_else(|| (to.clock().now(), self.request.host, ""));
            let host = crate::name::cut_text(host, limits::REASON_MAX).to_owned();
            let annotation =
                Annotation { series: *tag, snapshot: *id, counter, time, host, user: user.to_owned(), changes };
            to.annotate(&annotation).map(drop)
        };
        let tags: Vec<Change> = marks.tags.iter().map(|(tag, on)| Change::Tag { tag: tag.clone(), on: *on }).collect();
        for some in tags.chunks(limits::CHANGES_MAX) {
            say(some.to_vec(), None)?;
        }
        if let Some(pin) = &marks.pin {
            let change = Change::Pin { on: true, reason: pin.reason.clone() };
            say(vec![change], Some((pin.time, &pin.host, &pin.user)))?;
        }
        Ok(counter > 0)
    }
}

fn shown(listed: &Listed) -> String {
    format!("snapshot {} of {}", listed.id.short(), Shown(listed.snapshot.series.as_bytes()))
}

fn add(sum: &mut Written, more: &Written) {
    sum.data_packs += more.data_packs;
    sum.tree_packs += more.tree_packs;
    sum.bytes_new += more.bytes_new;
    sum.bytes_stored += more.bytes_stored;
    sum.leaning_new += more.leaning_new;
    sum.leaning_stored += more.leaning_stored;
}
