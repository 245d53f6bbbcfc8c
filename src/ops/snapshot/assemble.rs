//! Puts the tree together: takes the walker's steps in order, waits for what files turned out to hold, writes pages.

use super::{
    flow::{Control, Done, Facts, Step, Stopped, Ticket},
    job::Job,
    recall::Recall,
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
    repo::{BlobReader, Lane, files::ListKey},
};
use crossbeam_channel::Receiver;
use std::collections::{BTreeMap, HashMap};

/// A file's contents and metadata, and under what the pages of its list are remembered; `None` when it could not be read.
type Outcome = Option<(Box<Facts>, Content, ListKey)>;

/// A file that comes in parts.
struct Parts {
    list: ListBuilder,
    list_key: ListKey,
    next: u64,
    early: BTreeMap<u64, Vec<Extent>>,
    end: Option<(u64, Box<Facts>)>,
}

impl Parts {
    fn new(recall: Option<&Recall<'_>>) -> Self {
        let list_key = recall.map(Recall::list_key).unwrap_or_default();
        Parts { list: ListBuilder::default(), list_key, next: 0, early: BTreeMap::new(), end: None }
    }
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

/// Stores pages of a list of extents, which are remembered as well.
struct Lists<'l, 'w, 'a> {
    lane: &'l mut Lane<'w>,
    recall: Option<&'a Recall<'a>>,
    key: ListKey,
}

impl PageSink for Lists<'_, '_, '_> {
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
        let id = self.lane.store(kind, &bytes)?;
        if let Some(recall) = self.recall {
            recall.remember_page(&self.key, &id, &bytes);
        }
        Ok(id)
    }
}

/// What came of a source.
#[derive(Default)]
pub struct Taken {
    /// The root, unless it could not be read.
    pub root: Option<Node>,
    /// Sums over what is below.
    pub totals: Totals,
    /// Plaintext, in bytes, that was new to the repository with it.
    pub bytes_new: u64,
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
    recall: Option<&'a Recall<'a>>,
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
            recall: job.recall,
            outcomes: HashMap::new(),
            parts: HashMap::new(),
            shared: HashMap::new(),
            frames: Vec::new(),
            totals: Totals::default(),
            root: None,
        }
    }

    /// Works until the walk is over.
    pub fn run(mut self, steps: &Receiver<Vec<Step>>, results: &Receiver<Vec<Done>>) -> Result<Taken, Stopped> {
        while let Some(steps) = self.control.receive(steps)? {
            for step in steps {
                // Results are taken up as they come, so that files in parts become pages early.
                while let Ok(done) = results.try_recv() {
                    self.take_up(done)?;
                }
                self.step(step, results)?;
            }
        }
        self.control.guard(self.lane.flush())?;
        Ok(Taken { root: self.root, totals: self.totals, bytes_new: self.lane.take_new() })
    }

    fn step(&mut self, step: Step, results: &Receiver<Vec<Done>>) -> Result<(), Stopped> {
        match step {
            Step::Enter { before } => {
                let builder = TreeBuilder::new(self.page_key);
                self.frames.push(Frame { builder, before, entries: 0, bytes: 0 });
            }
            Step::Entry(node) => self.add(node)?,
            Step::Forget { ticket } => {
                self.shared.remove(&ticket);
            }
            Step::File { node, ticket, more, place } => {
                if let Some((node, list)) = self.file(*node, ticket, more, results)? {
                    if let (Some(recall), Some(place)) = (self.recall, &place) {
                        recall.remember(place, &node, list);
                    }
                    self.add(node)?;
                }
            }
            Step::Leave(mut node) => {
                let Some(frame) = self.frames.pop() else { return Ok(()) };
                let mut over = Over { lane: &mut self.lane, pages: self.pages, before: frame.before };
                let tree = self.control.guard(frame.builder.finish(&mut over))?;
                node.body = Body::Directory { tree, entries: frame.entries, bytes: frame.bytes };
                self.add(*node)?;
            }
        }
        Ok(())
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
    ) -> Result<Option<(Node, ListKey)>, Stopped> {
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
        Ok(outcome.map(|(facts, content, list)| {
            node.meta = meta_of(&facts.stat, node.meta.device, facts.xattrs, self.with_atime);
            node.body = Body::File { size: facts.stat.size, content };
            (node, list)
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
                    let Parts { mut list, list_key, .. } = Parts::new(self.recall);
                    let mut sink = Lists { lane: &mut self.lane, recall: self.recall, key: list_key };
                    for extent in extents {
                        self.control.guard(list.push(extent, &mut sink))?;
                    }
                    let content = self.control.guard(list.finish(&mut sink))?;
                    self.outcomes.insert(ticket, Some((facts, content, list_key)));
                }
                Done::Part { ticket, number, extents } => {
                    let parts = self.parts.entry(ticket).or_insert_with(|| Parts::new(self.recall));
                    parts.early.insert(number, extents);
                    self.go_on_with(ticket)?;
                }
                Done::End { ticket, parts: count, facts } => {
                    let parts = self.parts.entry(ticket).or_insert_with(|| Parts::new(self.recall));
                    parts.end = Some((count, facts));
                    self.go_on_with(ticket)?;
                }
            }
        }
        Ok(())
    }

    /// Appends the parts of a file that have come in order, and completes it after the last.
    fn go_on_with(&mut self, ticket: Ticket) -> Result<(), Stopped> {
        let Some(parts) = self.parts.get_mut(&ticket) else { return Ok(()) };
        let mut sink = Lists { lane: &mut self.lane, recall: self.recall, key: parts.list_key };
        while let Some(extents) = parts.early.remove(&parts.next) {
            parts.next += 1;
            for extent in extents {
                self.control.guard(parts.list.push(extent, &mut sink))?;
            }
        }
        if parts.end.as_ref().is_none_or(|(count, _)| *count > parts.next) {
            return Ok(());
        }
        if let Some(Parts { list, list_key, end: Some((_, facts)), .. }) = self.parts.remove(&ticket) {
            let content = self.control.guard(list.finish(&mut sink))?;
            self.outcomes.insert(ticket, Some((facts, content, list_key)));
        }
        Ok(())
    }
}

fn clone(outcome: &Outcome) -> Outcome {
    let (facts, content, list) = outcome.as_ref()?;
    Some((Box::new(Facts { stat: facts.stat, xattrs: facts.xattrs.clone() }), content.clone(), *list))
}
