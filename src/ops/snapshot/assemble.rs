//! Puts the tree together: takes the walker's steps in order, waits for what files turned out to hold, writes pages.

use super::{
    flow::{Control, Done, Facts, Step, Stopped, Ticket},
    job::Job,
    scan::meta_of,
};
use crate::{
    error::Result,
    fs::metadata::Owners,
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Body, Content, Extent, Node},
        paging::{ListBuilder, PageSink, TreeBuilder, find_leaf},
        snapshot::Totals,
    },
    name::Name,
    repo::{BlobReader, Lane},
};
use crossbeam_channel::Receiver;
use std::collections::{BTreeMap, HashMap};

/// A file's contents and metadata; `None` when it could not be read.
type Outcome = Option<(Box<Facts>, Content)>;

/// A file that comes in parts.
#[derive(Default)]
struct Parts {
    list: ListBuilder,
    next: u64,
    early: BTreeMap<u64, Vec<Extent>>,
    end: Option<(u64, Box<Facts>)>,
}

struct Frame {
    builder: TreeBuilder,
    /// The root page of the directory's version before.
    before: Option<BlobId>,
    entries: u64,
    bytes: u64,
}

/// Shorter pages are stored by themselves.
const LEAN_MIN: usize = 1 << 10;

/// Stores pages of a directory over those of its version before.
struct Over<'l, 'w, 'a> {
    lane: &'l mut Lane<'w>,
    pages: Option<&'a BlobReader<'a>>,
    before: Option<BlobId>,
}

impl PageSink for Over<'_, '_, '_> {
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
        self.lane.store_near(kind, &bytes, || self.before.into_iter().collect())
    }

    fn store_leaf(&mut self, first: Option<&Name>, bytes: Vec<u8>) -> Result<BlobId> {
        // What cannot be read is nothing to lean on, and to name a base takes as much as a short page.
        let near = || {
            if bytes.len() < LEAN_MIN {
                return None;
            }
            let (pages, root) = (self.pages?, self.before?);
            let (leaf, _) = find_leaf(pages, root, first.map_or(&[][..], Name::as_bytes)).ok()??;
            Some(leaf)
        };
        self.lane.store_near(BlobKind::Tree, &bytes, || near().into_iter().collect())
    }
}

/// Assembles one source.
pub struct Assembler<'a, 'w> {
    control: &'a Control<'a>,
    owners: &'a Owners,
    with_atime: bool,
    page_key: [u8; 32],
    lane: Lane<'w>,
    /// Reads the pages of the snapshot before, on which new ones may lean.
    pages: Option<&'a BlobReader<'a>>,
    outcomes: HashMap<Ticket, Outcome>,
    parts: HashMap<Ticket, Parts>,
    /// Outcomes of files of which further names may come.
    shared: HashMap<Ticket, Outcome>,
    frames: Vec<Frame>,
    totals: Totals,
    root: Option<Node>,
}

impl<'a, 'w> Assembler<'a, 'w> {
    /// Starts without a tree. `lane` takes the pages.
    pub fn new(job: &'a Job<'a>, owners: &'a Owners, lane: Lane<'w>) -> Self {
        Assembler {
            control: job.control,
            owners,
            with_atime: job.with_atime,
            page_key: job.repo.keys().page_key(),
            lane,
            pages: job.bases.pages,
            outcomes: HashMap::new(),
            parts: HashMap::new(),
            shared: HashMap::new(),
            frames: Vec::new(),
            totals: Totals::default(),
            root: None,
        }
    }

    /// Works until the walk is over; returns the root, unless it could not be read, and the totals.
    pub fn run(
        mut self,
        steps: &Receiver<Step>,
        results: &Receiver<Vec<Done>>,
    ) -> Result<(Option<Node>, Totals), Stopped> {
        while let Some(step) = self.control.receive(steps)? {
            // Results are taken up as they come, so that files in parts become pages early.
            while let Ok(done) = results.try_recv() {
                self.take_up(done)?;
            }
            match step {
                Step::Enter { before } => {
                    let builder = TreeBuilder::new(self.page_key);
                    self.frames.push(Frame { builder, before, entries: 0, bytes: 0 });
                }
                Step::Entry(node) => self.add(*node)?,
                Step::Forget { ticket } => {
                    self.shared.remove(&ticket);
                }
                Step::File { node, ticket, more } => {
                    if let Some(node) = self.file(*node, ticket, more, results)? {
                        self.add(node)?;
                    }
                }
                Step::Leave(mut node) => {
                    let Some(frame) = self.frames.pop() else { continue };
                    let mut over = Over { lane: &mut self.lane, pages: self.pages, before: frame.before };
                    let tree = self.control.guard(frame.builder.finish(&mut over))?;
                    node.body = Body::Directory { tree, entries: frame.entries, bytes: frame.bytes };
                    self.add(*node)?;
                }
            }
        }
        self.control.guard(self.lane.flush())?;
        Ok((self.root, self.totals))
    }

    fn add(&mut self, node: Node) -> Result<(), Stopped> {
        match &node.body {
            Body::File { size, .. } => {
                self.totals.files += 1;
                self.totals.bytes += size;
            }
            Body::Directory { .. } => self.totals.directories += 1,
            _ => self.totals.others += 1,
        }
        match self.frames.last_mut() {
            Some(frame) => {
                frame.entries += node.entries();
                frame.bytes += node.bytes();
                let (user, group) = (self.owners.user(node.meta.uid), self.owners.group(node.meta.gid));
                let mut over = Over { lane: &mut self.lane, pages: self.pages, before: frame.before };
                self.control.guard(frame.builder.push(&node, user, group, &mut over))
            }
            None => {
                self.root = Some(node);
                Ok(())
            }
        }
    }

    /// Completes a file's node; `None` when it could not be read.
    fn file(
        &mut self,
        mut node: Node,
        ticket: Ticket,
        more: bool,
        results: &Receiver<Vec<Done>>,
    ) -> Result<Option<Node>, Stopped> {
        let outcome = match self.shared.remove(&ticket) {
            Some(outcome) => outcome,
            None => loop {
                if let Some(outcome) = self.outcomes.remove(&ticket) {
                    break outcome;
                }
                match self.control.receive(results)? {
                    Some(done) => self.take_up(done)?,
                    None => return Err(Stopped),
                }
            },
        };
        if more {
            self.shared.insert(ticket, clone(&outcome));
        }
        Ok(outcome.map(|(facts, content)| {
            node.meta = meta_of(&facts.stat, node.meta.device, facts.xattrs, self.with_atime);
            node.body = Body::File { size: facts.stat.size, content };
            node
        }))
    }

    fn take_up(&mut self, done: Vec<Done>) -> Result<(), Stopped> {
        for done in done {
            match done {
                Done::Failed { ticket } => {
                    self.parts.remove(&ticket);
                    self.outcomes.insert(ticket, None);
                }
                Done::Whole { ticket, facts, extents } => {
                    let mut list = ListBuilder::default();
                    for extent in extents {
                        self.control.guard(list.push(extent, &mut self.lane))?;
                    }
                    let content = self.control.guard(list.finish(&mut self.lane))?;
                    self.outcomes.insert(ticket, Some((facts, content)));
                }
                Done::Part { ticket, number, extents } => {
                    self.parts.entry(ticket).or_default().early.insert(number, extents);
                    self.go_on_with(ticket)?;
                }
                Done::End { ticket, parts, facts } => {
                    self.parts.entry(ticket).or_default().end = Some((parts, facts));
                    self.go_on_with(ticket)?;
                }
            }
        }
        Ok(())
    }

    /// Appends the parts of a file that have come in order, and completes it after the last.
    fn go_on_with(&mut self, ticket: Ticket) -> Result<(), Stopped> {
        let Some(parts) = self.parts.get_mut(&ticket) else { return Ok(()) };
        while let Some(extents) = parts.early.remove(&parts.next) {
            parts.next += 1;
            for extent in extents {
                self.control.guard(parts.list.push(extent, &mut self.lane))?;
            }
        }
        if parts.end.as_ref().is_none_or(|(count, _)| *count > parts.next) {
            return Ok(());
        }
        if let Some(Parts { list, end: Some((_, facts)), .. }) = self.parts.remove(&ticket) {
            let content = self.control.guard(list.finish(&mut self.lane))?;
            self.outcomes.insert(ticket, Some((facts, content)));
        }
        Ok(())
    }
}

fn clone(outcome: &Outcome) -> Outcome {
    let (facts, content) = outcome.as_ref()?;
    Some((Box::new(Facts { stat: facts.stat, xattrs: facts.xattrs.clone() }), content.clone()))
}
