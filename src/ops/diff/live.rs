//! A snapshot beside the file system.

use super::{
    super::{
        compare::{What, tree_of},
        lookup::{Found, lookup},
        ls::plain_path,
        walk::{Event, TreeWalk},
    },
    Change, Difference, Each, Report, Side,
};
use crate::{
    error::{Error, Result},
    fs::{
        dir::{self, Dir},
        error::PathError,
        exclude::{ExcludeOptions, Excludes},
        listing::Listing,
        metadata,
        stat::{Kind, Stat},
    },
    hash::BlobKind,
    id::{BLOB_ID_LEN, BlobId},
    model::{
        node::{Body, Content, Extent, Meta, Node, Xattr},
        paging::{TreeLeaves, each_extent},
        snapshot::{Problem, Source},
    },
    monitor::{Counter, Monitor, Phase},
    name::Name,
    repo::BlobReader,
};
use std::{
    fs::File,
    io::{self, Read},
    vec::IntoIter,
};

/// What of the file system is looked at, and how closely.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// A file or folder; for a snapshot of several sources the folder that has one entry for each, by its name.
    pub path: &'a [u8],
    /// Reads files whose size is right, rather than to trust their time.
    pub content: bool,
    /// A directory that is left out: the repository, by device and inode.
    pub protect: Option<(u64, u64)>,
}

/// Compares what was stored with what is there. What the source leaves out of its snapshots is left out here.
pub fn diff_live(
    reader: &BlobReader<'_>,
    before: Side<'_>,
    live: Live<'_>,
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Verifying);
    let sources = &before.listed.snapshot.sources;
    let mut beside = Beside { reader, live, each, report: Report::default(), monitor };
    let found = lookup(reader, &before.listed.snapshot, before.path)?;
    match (found, sources.as_slice()) {
        (Found::Entry(entry), _) => {
            let path = plain_path(before.path.unwrap_or_default());
            let below = path.iter().position(|&b| b == b'/').and_then(|at| path.get(at + 1..)).unwrap_or_default();
            let source = sources.get(entry.source);
            let excludes = excludes(source)?;
            beside.top(&entry.node, live.path, &path, below.to_vec(), &excludes)?;
        }
        (Found::Snapshot, [only]) => {
            let name = only.root.name.as_bytes().to_vec();
            beside.top(&only.root, live.path, &name, Vec::new(), &excludes(Some(only))?)?;
        }
        (Found::Snapshot, many) => {
            for source in many {
                let name = source.root.name.as_bytes();
                let path = [live.path, b"/", name].concat();
                beside.top(&source.root, &path, name, Vec::new(), &excludes(Some(source))?)?;
            }
        }
    }
    Ok(beside.report)
}

fn excludes(source: Option<&Source>) -> Result<Excludes> {
    let patterns = source.map(|source| source.excludes.clone()).unwrap_or_default();
    Excludes::new(&ExcludeOptions { patterns, ..ExcludeOptions::default() })
}

struct Beside<'a, 'e> {
    reader: &'a BlobReader<'a>,
    live: Live<'a>,
    each: &'a mut Each<'e>,
    report: Report,
    monitor: &'a dyn Monitor,
}

/// A directory of both sides.
struct Frame<'a> {
    /// What is stored; nothing of a directory that is only there.
    stored: Option<TreeLeaves<'a>>,
    nodes: std::iter::Peekable<IntoIter<Node>>,
    dir: Dir,
    listing: Listing,
    next: usize,
    path_len: usize,
    below_len: usize,
}

impl<'a> Beside<'a, '_> {
    /// Compares one entry and all that is in it. `path` is that in the snapshot, `below` that within its source.
    fn top(&mut self, stored: &Node, live: &[u8], path: &[u8], below: Vec<u8>, excludes: &Excludes) -> Result<()> {
        let opened = dir::stat_path(live).and_then(|stat| match stat.kind {
            Kind::Dir => Dir::open(live).map(|dir| (stat, Some(dir), None)),
            _ => Dir::open_parent(live).map(|(dir, name)| (stat, Some(dir), Some(name))),
        });
        let (stat, dir, name) = match opened {
            Ok(opened) => opened,
            Err(error) if error.is_missing() => {
                return Err(Error::usage(format!("{error}: --live takes what is there")));
            }
            Err(error) => return self.cannot(path, &error),
        };
        let Some(dir) = dir else { return Ok(()) };
        let attributes = match &name {
            Some(name) => metadata::xattrs(&dir, name.as_bytes()),
            None => metadata::xattrs_of_dir(&dir),
        };
        let Some(found) = self.found(stored.name.clone(), &stat, attributes, path, || match &name {
            Some(name) => dir.read_link(name.as_bytes()),
            None => Ok(Vec::new()),
        })?
        else {
            return Ok(());
        };
        let entry = name.as_ref().map(|name| (&dir, name.as_bytes()));
        self.both(path, stored, found, entry)?;
        match (&stored.body, name) {
            (Body::Directory { tree, .. }, None) => self.tree(Some(*tree), dir, path, below, excludes),
            (Body::Directory { tree, .. }, Some(_)) => self.removed_below(*tree, path),
            (_, None) => self.tree(None, dir, path, below, excludes),
            _ => Ok(()),
        }
    }

    fn tree(&mut self, tree: Option<BlobId>, dir: Dir, path: &[u8], below: Vec<u8>, excludes: &Excludes) -> Result<()> {
        let (mut path, mut below) = (path.to_vec(), below);
        let mut frames: Vec<Frame<'a>> = Vec::new();
        let mut pending = Some((tree, dir));
        loop {
            if let Some((tree, dir)) = pending.take() {
                match dir.list() {
                    Ok(listing) => frames.push(Frame {
                        stored: tree.map(|tree| TreeLeaves::new(self.reader, tree)),
                        nodes: Vec::new().into_iter().peekable(),
                        dir,
                        listing,
                        next: 0,
                        path_len: path.len(),
                        below_len: below.len(),
                    }),
                    Err(error) => self.cannot(&path, &error)?,
                }
            }
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            path.truncate(frame.path_len);
            below.truncate(frame.below_len);
            if let Err(error) = frame.fill() {
                self.report.unreadable.push(Problem { path: path.clone(), what: error.to_string() });
                frames.pop();
                continue;
            }
            let (stored, name) = frame.pair();
            let Some(name) = name else {
                frames.pop();
                continue;
            };
            self.monitor.check()?;
            self.monitor.add(Counter::Entries, 1);
            for text in [&mut path, &mut below] {
                if !text.is_empty() {
                    text.push(b'/');
                }
                text.extend_from_slice(&name);
            }
            let dir = &frame.dir;
            let there = match dir.stat(&name) {
                Ok(stat) => Some(stat),
                Err(error) if error.is_missing() => None,
                Err(error) => {
                    self.cannot(&path, &error)?;
                    continue;
                }
            };
            let is_dir = there.as_ref().is_some_and(|stat| stat.kind == Kind::Dir);
            let there = there.filter(|stat| {
                let protected = is_dir && self.live.protect == Some((stat.device, stat.inode));
                !protected && (stored.is_some() || !excludes.leaves_out(&below, is_dir))
            });
            let Some(stat) = there else {
                if let Some(node) = stored {
                    self.removed(&path, node)?;
                }
                continue;
            };
            let Ok(name) = Name::new(&*name) else { continue };
            let attributes = metadata::xattrs(dir, name.as_bytes());
            let link = || dir.read_link(name.as_bytes());
            let Some(found) = self.found(name.clone(), &stat, attributes, &path, link)? else { continue };
            let tree = stored.as_ref().and_then(tree_of);
            match stored {
                Some(node) => {
                    self.both(&path, &node, found, Some((dir, name.as_bytes())))?;
                    if let (Some(tree), false) = (tree, is_dir) {
                        self.removed_below(tree, &path)?;
                    }
                }
                None => self.tell(&path, Change::Added(Box::new(found)))?,
            }
            if is_dir {
                match dir.open_child(&name) {
                    Ok(child) => pending = Some((tree, child)),
                    Err(error) => self.cannot(&path, &error)?,
                }
            }
        }
    }

    /// An entry of the file system as a node; of contents only the size is known.
    fn found(
        &mut self,
        name: Name,
        stat: &Stat,
        xattrs: Result<Vec<Xattr>, PathError>,
        path: &[u8],
        link: impl FnOnce() -> Result<Vec<u8>, PathError>,
    ) -> Result<Option<Node>> {
        let (major, minor) = stat.rdev;
        let body = match stat.kind {
            Kind::File => Body::File { size: stat.size, content: Content::Extents(Vec::new()) },
            Kind::Dir => Body::Directory { tree: BlobId([0; BLOB_ID_LEN]), entries: 0, bytes: 0 },
            Kind::Symlink => match link() {
                Ok(target) => Body::Symlink { target },
                Err(error) => return self.cannot(path, &error).map(|()| None),
            },
            Kind::Fifo => Body::Fifo,
            Kind::Socket => Body::Socket,
            Kind::Char => Body::CharDevice { major, minor },
            Kind::Block => Body::BlockDevice { major, minor },
        };
        let xattrs = match xattrs {
            Ok(xattrs) => xattrs,
            Err(error) => return self.cannot(path, &error).map(|()| None),
        };
        let meta = Meta {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime,
            ctime: stat.ctime,
            atime: None,
            inode: stat.inode,
            device: 0,
            links: stat.links,
            xattrs,
        };
        Ok(Some(Node { name, meta, body }))
    }

    fn both(&mut self, path: &[u8], stored: &Node, found: Node, at: Option<(&Dir, &[u8])>) -> Result<()> {
        let mut failed = None;
        let same = || match (&stored.body, &found.body) {
            (Body::File { size: was, content }, Body::File { size: is, .. }) => {
                was == is
                    && if self.live.content {
                        match at.map(|(dir, name)| self.reads_the_same(dir, name, content, *was)) {
                            Some(Ok(same)) => same,
                            Some(Err(why)) => {
                                failed = Some(why);
                                true
                            }
                            None => true,
                        }
                    } else {
                        // Contents do not change without the time, unless somebody sets it back.
                        stored.meta.mtime == found.meta.mtime
                    }
            }
            _ => true,
        };
        let what = What::of(stored, &found, same);
        match failed {
            Some(Failed::Stored(error @ (Error::Corrupt { .. } | Error::Missing { .. }))) => {
                self.report.unreadable.push(Problem { path: path.to_vec(), what: error.to_string() });
            }
            Some(Failed::Stored(error)) => return Err(error),
            Some(Failed::There(error)) => self.cannot(path, &error)?,
            None => {}
        }
        if what.is_nothing() {
            return Ok(());
        }
        self.tell(path, Change::Changed { before: Box::new(stored.clone()), after: Box::new(found), what })
    }

    /// Reads a file along the list of its blobs, whose names say what they hold: no blob is fetched.
    fn reads_the_same(&self, dir: &Dir, name: &[u8], content: &Content, size: u64) -> Result<bool, Failed> {
        let (mut file, _) = dir.open_file(name).map_err(Failed::There)?;
        let (mut same, mut buffer) = (true, Vec::new());
        let mut broken = None;
        let walked = each_extent(self.reader, content, size, &mut |extent| {
            self.monitor.check()?;
            match same_stretch(&mut file, &extent, self.reader, &mut buffer) {
                Ok(is_same) => same &= is_same,
                Err(error) => broken = Some(error),
            }
            // Ends the walk: nothing is broken.
            if same && broken.is_none() { Ok(()) } else { Err(Error::Cancelled) }
        });
        match (broken, walked) {
            (Some(error), _) => Err(Failed::There(PathError::new(dir.path_of(name), "read", error))),
            (None, Err(Error::Cancelled)) if !same => Ok(false),
            (None, Err(error)) => Err(Failed::Stored(error)),
            (None, Ok(())) => Ok(same),
        }
    }

    fn removed(&mut self, path: &[u8], node: Node) -> Result<()> {
        let tree = tree_of(&node);
        self.tell(path, Change::Removed(Box::new(node)))?;
        tree.map_or(Ok(()), |tree| self.removed_below(tree, path))
    }

    fn removed_below(&mut self, tree: BlobId, path: &[u8]) -> Result<()> {
        let mut walk = TreeWalk::new(self.reader, tree, path);
        while let Some(event) = walk.next_event() {
            match event {
                Event::Entry { node, .. } => {
                    self.monitor.check()?;
                    self.tell(walk.path(), Change::Removed(node))?;
                }
                Event::Leave => {}
                Event::Unreadable(error) => {
                    self.report.unreadable.push(Problem { path: walk.path().to_vec(), what: error.to_string() });
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, path: &[u8], change: Change) -> Result<()> {
        self.report.count(&change);
        (self.each)(&Difference { path: path.to_vec(), change })
    }

    /// What of the file system cannot be read is told, and the rest is compared.
    fn cannot(&mut self, path: &[u8], error: &PathError) -> Result<()> {
        self.report.unreadable.push(Problem { path: path.to_vec(), what: error.to_string() });
        Ok(())
    }
}

/// Why two files could not be compared.
enum Failed {
    There(PathError),
    Stored(Error),
}

impl Frame<'_> {
    /// Reads the next page when the one before is done.
    fn fill(&mut self) -> Result<()> {
        while self.nodes.peek().is_none() {
            let Some(leaves) = &mut self.stored else { return Ok(()) };
            match leaves.next_leaf()? {
                Some(leaf) => self.nodes = leaf.nodes.into_iter().peekable(),
                None => self.stored = None,
            }
        }
        Ok(())
    }

    /// The name that comes next, and the entry that is stored under it.
    fn pair(&mut self) -> (Option<Node>, Option<Vec<u8>>) {
        let there = self.listing.name(self.next);
        let stored = self.nodes.peek().map(|node| node.name.as_bytes());
        let name = match (stored, there) {
            (Some(stored), Some(there)) => stored.min(there).to_vec(),
            (Some(only), None) | (None, Some(only)) => only.to_vec(),
            (None, None) => return (None, None),
        };
        if there == Some(&*name) {
            self.next += 1;
        }
        (self.nodes.next_if(|node| node.name.as_bytes() == &*name), Some(name))
    }
}

fn same_stretch(file: &mut File, extent: &Extent, reader: &BlobReader<'_>, buffer: &mut Vec<u8>) -> io::Result<bool> {
    match extent {
        Extent::Data { id, len, .. } => {
            buffer.resize(*len as usize, 0);
            match file.read_exact(buffer) {
                Ok(()) => Ok(reader.repo().namer().name(BlobKind::Data, buffer) == *id),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                Err(e) => Err(e),
            }
        }
        Extent::Hole { len } => {
            let mut left = *len;
            buffer.resize(64 << 10, 0);
            while left > 0 {
                let part = left.min(buffer.len() as u64) as usize;
                let Some(part) = buffer.get_mut(..part) else { return Ok(false) };
                match file.read_exact(part) {
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                    read => read?,
                }
                if part.iter().any(|&b| b != 0) {
                    return Ok(false);
                }
                left -= part.len() as u64;
            }
            Ok(true)
        }
    }
}
