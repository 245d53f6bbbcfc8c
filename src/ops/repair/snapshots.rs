//! Snapshots of which something is lost: a new one beside each, of all the rest, that names what is lost. The damaged one stays.

use super::{
    Donor, Request,
    health::Sound,
    objects::{Donated, Found, Unreadable},
    survey::{Pages, judge, lost_of, survey},
};
use crate::{
    error::{Error, Result},
    id::{BlobId, SnapshotId},
    index::BlobIndex,
    model::{
        limits,
        node::{Body, Node},
        paging::PageSource,
        snapshot::{Problem, REPAIRED, Snapshot, Source, SourceKind, Totals, repaired_description},
    },
    monitor::{Monitor, Phase},
    name::Shown,
    object::Kind,
    ops::{
        check::losses::{LostPath, SnapshotLoss},
        rebuild::{Fate, Judge, Remembering, each_blob, rebuild},
        walk::{Event, TreeWalk},
    },
    repo::{BlobReader, Lane, Listed, Repository, Session, WriteOptions, Written},
};

/// A snapshot of which something is lost, or that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// `server/vm/relpath`, where it is known.
    pub series: Option<String>,
    /// What of it is lost.
    pub loss: SnapshotLoss,
    /// What is wrong with the snapshot's own object, or that something in it is lost. Safe to print.
    pub what: String,
    /// The snapshot that was made in its place, or the same one when it was brought back under its own name; `None` when none was
    /// made (or in a dry run, which makes none).
    pub new: Option<SnapshotId>,
    /// True when one is made, or would be in a dry run.
    pub made: bool,
}

impl Repaired {
    /// True when something stays lost.
    pub fn is_short(&self) -> bool {
        !self.made || self.loss.entries > 0
    }
}

/// Repairs all snapshots that need it and have not been repaired before.
pub(super) fn repair(
    repo: &Repository,
    sound: &Sound<'_>,
    donor: Option<&Donor<'_>>,
    found: Found,
    request: &Request<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<Repaired>> {
    let dry_run = request.dry_run;
    let mut repaired = Vec::new();
    let Found { mut listed, unreadable, stood_in_for } = found;
    let session = repo.begin(request.host, dry_run, monitor)?;
    // Pages of new trees are not to rely on packs that are damaged.
    let trusted = session.load_index_without(&sound.bad.keys().copied().collect(), monitor)?.index;
    let here = BlobReader::new(repo, sound.index);
    let there = donor.map(|donor| BlobReader::new(donor.repo, donor.index));
    for mut one in unreadable {
        let donated = one.donated.take();
        match donated {
            Some(donated) => {
                rely_on_all(&here, &trusted, &donated.listed.snapshot, monitor)?;
                repaired.push(bring_back(&session, &trusted, one, donated, &mut listed, dry_run)?);
            }
            None => repaired.push(one.beyond_repair()),
        }
    }
    let pages = Pages::new(&here, there.as_ref());
    let damaged = survey(repo, &pages, sound, listed.iter(), monitor)?.damaged;
    for (listed, _) in listed.iter().zip(damaged).filter(|(_, damaged)| *damaged) {
        if stood_in_for.contains(&listed.id) {
            continue;
        }
        monitor.phase(Phase::Publishing);
        let rest = Rest { repo, pages: &pages, sound, trusted: &trusted, monitor };
        let mut loss = SnapshotLoss::new(listed.id, Some(listed.snapshot.head.time.sec));
        let options = WriteOptions { pretend: dry_run, ..WriteOptions::default() };
        let (snapshot, written) = session.write(&trusted, options, monitor, |writer| {
            let mut lane = writer.lane(Kind::TreePack);
            let snapshot = rest.of(listed, &mut loss, &mut lane)?;
            lane.flush()?;
            Ok(snapshot)
        })?;
        let series = Some(listed.snapshot.series.clone());
        let what = "something in it is lost".to_owned();
        let made = !snapshot.sources.is_empty();
        let new = match made && !dry_run {
            // The damaged one may become whole again, and what is asked for by its series must not be less without anybody being told.
            true => Some(session.publish_before(&snapshot, &listed.id, &trusted, &written)?),
            false => None,
        };
        repaired.push(Repaired { series, loss, what, new, made });
    }
    Ok(repaired)
}

impl Unreadable {
    /// The object is damaged, and there is nothing to repair it from.
    fn beyond_repair(self) -> Repaired {
        let loss = SnapshotLoss { whole: true, ..SnapshotLoss::new(self.id, self.time) };
        Repaired { series: self.series, loss, what: self.why, new: None, made: false }
    }
}

/// Counts on all that a snapshot needs and that is here to last: whether prune removes it is asked before it is published. What
/// is lost is told later.
fn rely_on_all(pages: &dyn PageSource, trusted: &BlobIndex, snapshot: &Snapshot, monitor: &dyn Monitor) -> Result<()> {
    let pages = Remembering::new(pages);
    let rely = |id: &BlobId| {
        trusted.lasting(id);
    };
    let of_file = |node: &Node| {
        // One of which not all can be read is lost in part, as the others are counted on.
        let _ = each_blob(&pages, node, &mut |_, id| {
            rely(id);
            Ok(())
        });
    };
    for source in &snapshot.sources {
        of_file(&source.root);
        let Body::Directory { tree, .. } = source.root.body else { continue };
        let mut walk = TreeWalk::salvaging(&pages, tree, source.root.name.as_bytes());
        while let Some(event) = walk.next_event() {
            monitor.check()?;
            if let Event::Entry { node, .. } = event {
                of_file(&node);
            }
            pages.take().iter().for_each(|(_, id)| rely(id));
        }
    }
    Ok(())
}

/// Takes over what the other repository has in the place of an object that is gone or damaged.
fn bring_back(
    session: &Session<'_>,
    trusted: &BlobIndex,
    one: Unreadable,
    donated: Donated,
    listed: &mut Vec<Listed>,
    dry_run: bool,
) -> Result<Repaired> {
    let loss = SnapshotLoss::new(one.id, Some(donated.listed.snapshot.head.time.sec));
    let series = Some(donated.listed.snapshot.series.clone());
    if !one.gone {
        // Its name is taken by what is damaged.
        let mut snapshot = donated.listed.snapshot;
        mark_repaired(&mut snapshot, &one.id, "all of it, from another repository");
        let new = if dry_run {
            None
        } else {
            Some(session.publish_before(&snapshot, &one.id, trusted, &Written::default())?)
        };
        listed.push(Listed { id: new.unwrap_or(one.id), len: donated.listed.len, snapshot });
        return Ok(Repaired { series, loss, what: one.why, new, made: true });
    }
    // The same bytes under the same name.
    if !dry_run {
        session.publish_sealed(&one.tag, &donated.bytes, trusted)?;
    }
    let new = (!dry_run).then_some(one.id);
    listed.push(donated.listed);
    Ok(Repaired { series, loss, what: one.why, new, made: true })
}

fn mark_repaired(snapshot: &mut Snapshot, from: &SnapshotId, what: &str) {
    let more = match &snapshot.description {
        Some(description) => format!("{what}; {description}"),
        None => what.to_owned(),
    };
    snapshot.description = Some(repaired_description(from, &more));
    snapshot.tags.push(REPAIRED.to_owned());
    snapshot.tags.sort();
    snapshot.tags.dedup();
}

/// What is left of snapshots.
struct Rest<'a, 'r> {
    repo: &'a Repository,
    pages: &'a Pages<'a, 'r>,
    sound: &'a Sound<'a>,
    trusted: &'a BlobIndex,
    monitor: &'a dyn Monitor,
}

impl Rest<'_, '_> {
    /// A snapshot of what is left of one.
    fn of(&self, listed: &Listed, loss: &mut SnapshotLoss, lane: &mut Lane<'_>) -> Result<Snapshot> {
        let mut snapshot = listed.snapshot.clone();
        let mut problems = Vec::new();
        let mut sources = Vec::new();
        for source in std::mem::take(&mut snapshot.sources) {
            let before = loss.entries;
            let mut told = |lost: LostPath| {
                if problems.len() < limits::PROBLEMS_MAX {
                    problems.push(Problem { path: path_on_source(&source, &lost.path), what: lost_text(&lost) });
                }
                loss.add(lost);
            };
            if let Some((root, totals)) = self.source(&source, &mut told, lane)? {
                sources.push(Source { root, totals, ..source });
            }
            self.monitor.note(&format!(
                "{}@{}: {} entries are left out",
                Shown(snapshot.series.as_bytes()),
                listed.id.short(),
                loss.entries - before
            ));
        }
        snapshot.sources = sources;
        snapshot.totals = Totals::default();
        snapshot.sources.iter().for_each(|source| snapshot.totals.add(&source.totals));
        snapshot.head.complete = false;
        snapshot.problem_count = snapshot.problem_count.saturating_add(loss.entries);
        problems.append(&mut snapshot.problems);
        problems.truncate(limits::PROBLEMS_MAX);
        snapshot.problems = problems;
        let what = format!("{} entries with {} bytes are lost", loss.entries, loss.bytes);
        mark_repaired(&mut snapshot, &listed.id, &what);
        Ok(snapshot)
    }

    /// What is left of a source; `None` when nothing is.
    fn source(
        &self,
        source: &Source,
        told: &mut dyn FnMut(LostPath),
        lane: &mut Lane<'_>,
    ) -> Result<Option<(Node, Totals)>> {
        let mut judge = Readable { rest: self, told, totals: Totals::default() };
        let page_key = self.repo.keys().page_key();
        let root = rebuild(self.pages, page_key, &source.root, &mut judge, lane, self.monitor)?;
        Ok(root.map(|root| (root, judge.totals)))
    }
}

/// Leaves out what cannot be read.
struct Readable<'a, 'b, 'r> {
    rest: &'a Rest<'b, 'r>,
    told: &'a mut dyn FnMut(LostPath),
    totals: Totals,
}

impl Judge for Readable<'_, '_, '_> {
    fn meet(&mut self, node: &Node, path: &[u8]) -> Result<Fate> {
        let Rest { repo, pages, sound, trusted, .. } = *self.rest;
        match node.body {
            Body::Directory { .. } => self.totals.directories += 1,
            Body::File { size, .. } => {
                if let Some(lost) = lost_of(repo, pages, sound, node, &mut |_| ())? {
                    (self.told)(LostPath { path: path.to_vec(), entries: 1, size, lost });
                    return Ok(Fate::Drop);
                }
                // What stays is counted on.
                each_blob(pages, node, &mut |_, id| {
                    trusted.lasting(id);
                    Ok(())
                })?;
                self.totals.files += 1;
                self.totals.bytes = self.totals.bytes.saturating_add(size);
            }
            _ => self.totals.others += 1,
        }
        Ok(Fate::Keep)
    }

    fn unreadable(&mut self, error: Error) -> Result<()> {
        judge(self.rest.repo, error).map(drop)
    }

    fn lost(&mut self, lost: LostPath) {
        (self.told)(lost);
    }
}

/// The path that a lost entry had in the source's file system.
fn path_on_source(source: &Source, path: &[u8]) -> Vec<u8> {
    let below = path.strip_prefix(source.root.name.as_bytes()).unwrap_or_default();
    match &source.kind {
        SourceKind::Tree { path, .. } => [path, below].concat(),
        SourceKind::Stream { .. } => path.to_vec(),
    }
}

fn lost_text(lost: &LostPath) -> String {
    if lost.path.ends_with(b"/") {
        format!(
            "lost from the repository: {} entries with {} bytes that nothing names any more",
            lost.entries, lost.lost
        )
    } else {
        format!("lost from the repository: {} of {} bytes", lost.lost, lost.size)
    }
}
