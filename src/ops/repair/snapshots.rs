//! Snapshots of which something is lost: a new one beside each, of all the rest, that names what is lost. The damaged one stays.

use super::{
    Donor, Request,
    health::Sound,
    objects::{Donated, Found, Unreadable},
    survey::{Pages, judge, lost_of, survey},
};
use crate::{
    error::Result,
    id::SnapshotId,
    index::BlobIndex,
    model::{
        limits,
        node::{Body, Node},
        paging::TreeBuilder,
        snapshot::{Problem, REPAIRED, Snapshot, Source, SourceKind, Totals, repaired_description},
    },
    monitor::{Monitor, Phase},
    name::Shown,
    object::Kind,
    ops::{
        check::losses::{LostPath, SnapshotLoss, Unseen},
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
    for mut one in unreadable {
        let donated = one.donated.take();
        match donated {
            Some(donated) => repaired.push(bring_back(&session, &trusted, one, donated, &mut listed, dry_run)?),
            None => repaired.push(one.beyond_repair()),
        }
    }
    let here = BlobReader::new(repo, sound.index);
    let there = donor.map(|donor| BlobReader::new(donor.repo, donor.index));
    let pages = Pages::new(&here, there.as_ref());
    let damaged = survey(repo, &pages, sound, listed.iter(), monitor)?.damaged;
    for (listed, _) in listed.iter().zip(damaged).filter(|(_, damaged)| *damaged) {
        if stood_in_for.contains(&listed.id) {
            continue;
        }
        monitor.phase(Phase::Publishing);
        let rest = Rest { repo, pages: &pages, sound, monitor };
        let mut loss = SnapshotLoss::new(listed.id, Some(listed.snapshot.head.time.sec));
        let options = WriteOptions { pretend: dry_run, ..WriteOptions::default() };
        let (snapshot, written) = session.write(&trusted, options, monitor, |writer| {
            let mut lane = writer.lane(Kind::TreePack)?;
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

/// A directory that is being made anew.
struct Level {
    node: Node,
    owner: (Option<String>, Option<String>),
    builder: TreeBuilder,
    entries: u64,
    bytes: u64,
    unseen: Unseen,
    lost: bool,
}

/// What is left of snapshots.
struct Rest<'a, 'r> {
    repo: &'a Repository,
    pages: &'a Pages<'a, 'r>,
    sound: &'a Sound<'a>,
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
        let mut totals = Totals::default();
        let Some(mut level) = self.level(source.root.clone(), source.owner.clone()) else {
            let kept = self.keep(&source.root, source.root.name.as_bytes(), &mut totals, told)?;
            return Ok(kept.then(|| (source.root.clone(), totals)));
        };
        totals.directories += 1;
        let Body::Directory { tree, .. } = level.node.body else { return Ok(None) };
        let mut above: Vec<Level> = Vec::new();
        let mut walk = TreeWalk::salvaging(self.pages, tree, source.root.name.as_bytes());
        while let Some(event) = walk.next_event() {
            self.monitor.check()?;
            match event {
                Event::Entry { node, user, group } => {
                    level.unseen.see(&node);
                    let owner = (user, group);
                    match self.level((*node).clone(), owner.clone()) {
                        Some(below) => {
                            totals.directories += 1;
                            above.push(std::mem::replace(&mut level, below));
                        }
                        None if self.keep(&node, walk.path(), &mut totals, told)? => {
                            level.push(&node, &owner, lane)?;
                        }
                        None => {}
                    }
                }
                Event::Unreadable(error) => {
                    judge(self.repo, error)?;
                    level.lost = true;
                }
                Event::Leave => {
                    if level.lost {
                        told(level.unseen.lost(walk.path()));
                    }
                    let Some(parent) = above.pop() else { break };
                    let done = std::mem::replace(&mut level, parent);
                    let owner = done.owner.clone();
                    let node = done.finish(lane)?;
                    level.push(&node, &owner, lane)?;
                }
            }
        }
        Ok(Some((level.finish(lane)?, totals)))
    }

    /// A directory to be made anew; `None` for what is none.
    fn level(&self, node: Node, owner: (Option<String>, Option<String>)) -> Option<Level> {
        let Body::Directory { entries, bytes, .. } = node.body else { return None };
        let builder = TreeBuilder::new(self.repo.keys().page_key());
        let unseen = Unseen::below(entries, bytes);
        Some(Level { node, owner, builder, entries: 0, bytes: 0, unseen, lost: false })
    }

    /// Counts what is no directory; false when it is lost.
    fn keep(&self, node: &Node, path: &[u8], totals: &mut Totals, told: &mut dyn FnMut(LostPath)) -> Result<bool> {
        let Body::File { size, .. } = node.body else {
            totals.others += 1;
            return Ok(true);
        };
        match lost_of(self.repo, self.pages, self.sound, node, &mut |_| ())? {
            Some(lost) => {
                told(LostPath { path: path.to_vec(), entries: 1, size, lost });
                Ok(false)
            }
            None => {
                totals.files += 1;
                totals.bytes = totals.bytes.saturating_add(size);
                Ok(true)
            }
        }
    }
}

impl Level {
    fn push(&mut self, node: &Node, owner: &(Option<String>, Option<String>), lane: &mut Lane<'_>) -> Result<()> {
        self.entries = self.entries.saturating_add(node.entries());
        self.bytes = self.bytes.saturating_add(node.bytes());
        self.builder.push(node, owner.0.as_deref(), owner.1.as_deref(), lane)
    }

    fn finish(self, lane: &mut Lane<'_>) -> Result<Node> {
        let tree = self.builder.finish(lane)?;
        let body = Body::Directory { tree, entries: self.entries, bytes: self.bytes };
        Ok(Node { body, ..self.node })
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
