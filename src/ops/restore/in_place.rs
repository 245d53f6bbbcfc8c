//! Collecting a file: what of it is there already, and what has to be fetched.

use super::{
    collect::Collector,
    dirs::DirId,
    files::{How, Item},
    tally::{count, is_whole, reason},
    window::{LinkKey, Want, weight_of},
};
use crate::{
    error::{Error, Result},
    fs::{
        PathError,
        target::{Existing, Identity, Kind, has_data, punch_hole, set_len, write_at},
    },
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Body, Content, Extent, Node},
        paging::each_extent,
    },
    monitor::Counter,
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Mutex, atomic::Ordering},
};

/// What is to be done for a file.
enum Decision {
    /// Nothing more: it is right.
    Right(Identity),
    /// This, with the file whose bytes are compared, and whether its metadata differ.
    Make(How, Option<File>, bool),
}

/// Why a file's stretches are not gone through to the end.
enum Stop {
    /// This file cannot be restored.
    File(String),
    /// The restore ends.
    All(Error),
}

/// True when a file may not be opened for writing, whatever its directory allows.
fn must_be_replaced(error: &PathError) -> bool {
    matches!(error.source.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ExecutableFileBusy)
}

impl Collector<'_> {
    /// Collects a regular file.
    pub fn file(&mut self, dir: DirId, fresh: bool, node: Node, link: Option<LinkKey>) -> Result<()> {
        let decided = self.decide(dir, fresh, &node);
        let Body::File { size, content } = node.body else { return Ok(()) };
        let (how, old, differs) = match decided {
            Ok(Decision::Make(how, old, differs)) => (how, old, differs),
            other => {
                let id = match other {
                    Ok(Decision::Right(id)) => {
                        count(&self.job.tally.unchanged, 1);
                        self.job.monitor.add(Counter::Bytes, size);
                        Some(id)
                    }
                    Ok(Decision::Make(..)) => None,
                    Err(error) => {
                        self.job.tally.path_error(error);
                        None
                    }
                };
                if let Some(key) = link {
                    self.firsts.settle(key, id);
                }
                self.job.monitor.add(Counter::Entries, 1);
                return Ok(());
            }
        };
        let in_place = matches!(how, How::InPlace);
        self.window.temporary += usize::from(matches!(how, How::Replace(_)));
        self.window.bytes += weight_of(&node.name, &node.meta);
        let mut item = Item::new(dir, node.name, node.meta, size, how, link);
        item.changed |= old.as_ref().is_some_and(|old| old.metadata().is_ok_and(|found| found.len() != size));
        self.window.items.push(item);

        let reader = self.job.reader;
        let (mut at, mut stop) = (0, None);
        let streamed = each_extent(reader, &content, size, &mut |extent| {
            let step = self.extent(extent, at, old.as_ref(), in_place);
            at += extent.len();
            step.map_err(|reason| {
                stop = Some(reason);
                Error::Cancelled
            })
        });
        let failed = match (stop, streamed) {
            (Some(Stop::All(error)), _) => return Err(error),
            (Some(Stop::File(why)), _) => Some(why),
            (None, Err(error)) => Some(error.to_string()),
            (None, Ok(())) => None,
        };
        self.collected(failed, differs);
        Ok(())
    }

    /// All stretches of the last file were gone through.
    fn collected(&mut self, failed: Option<String>, differs: bool) {
        let number = (self.window.items.len() as u32).saturating_sub(1);
        let Some(item) = self.window.items.last_mut() else { return };
        item.more = false;
        if let Some(why) = failed {
            let _ = item.failed.set(why);
            while self.window.wants.pop_if(|want| want.item == number).is_some() {
                *item.pending.get_mut() -= 1;
            }
        }
        if !self.job.request.dry_run {
            return;
        }
        let (dir, name, changed) = (item.dir, item.name.clone(), item.changed);
        let created = matches!(item.how, How::Whole | How::New);
        match item.failed.get() {
            Some(why) => self.job.tally.problem(self.dirs.path(dir, Some(&name)), why.clone()),
            None if changed => count(&self.job.tally.written, 1),
            None => count(&self.job.tally.unchanged, 1),
        }
        if item.failed.get().is_none() && (changed || differs) {
            self.act(if created { "create" } else { "update" }, dir, &name);
        }
        self.job.monitor.add(Counter::Entries, 1);
    }

    fn decide(&mut self, dir: DirId, fresh: bool, node: &Node) -> Result<Decision, PathError> {
        let Body::File { size, content } = &node.body else {
            return Ok(Decision::Make(How::New, None, true));
        };
        let name = &node.name;
        let make = match content {
            Content::Extents(extents) if matches!(extents.as_slice(), [Extent::Data { .. }]) => How::Whole,
            _ => How::New,
        };
        if fresh {
            return Ok(Decision::Make(make, None, true));
        }
        let (request, at) = (self.job.request, self.dirs.get(dir)?);
        let found = match at.stat(name)? {
            None => return Ok(Decision::Make(make, None, true)),
            Some(found) if found.kind != Kind::File => {
                self.clear(&at, dir, name, &found)?;
                return Ok(Decision::Make(make, None, true));
            }
            Some(found) => found,
        };
        let shared = found.links > 1 || node.meta.links > 1;
        // Size and time of an inode that has the wrong names tell little: it may be another of the snapshot's files.
        let known = !request.verify && (found.links < 2 || node.meta.links > 1);
        let mut right = known && !found.contents_differ(node);
        if !right && shared && found.size == *size {
            right = self.same_contents(&at.open_to_compare(name)?, content, *size);
        }
        let differs = self.differs(&at, Some(name), &found, &node.meta)?;
        if right && (found.links < 2 || !differs) {
            if differs {
                self.act("update", dir, name);
            }
            if differs && !request.dry_run {
                self.job.tally.applied(at.apply_to(name, Kind::File, &node.meta, self.names.policy()));
            }
            return Ok(Decision::Right(found.id));
        }
        self.prepare(dir, node, &found, *size, (shared, differs))
    }

    /// Opens what is compared and changed.
    fn prepare(
        &mut self,
        dir: DirId,
        node: &Node,
        found: &Existing,
        size: u64,
        (shared, differs): (bool, bool),
    ) -> Result<Decision, PathError> {
        let (dry_run, at, name) = (self.job.request.dry_run, self.dirs.get(dir)?, &node.name);
        let failed = |e| PathError::new(at.path_of(name), "set the length of", e);
        // What may not be written in place (read-only, or a program that runs) can still be replaced.
        let opened = match (shared, dry_run) {
            (true, _) => None,
            (_, true) => Some(at.open_to_compare(name)?),
            _ => match at.open_existing(name) {
                Err(error) if must_be_replaced(&error) => None,
                opened => Some(opened?),
            },
        };
        let Some(old) = opened else {
            let old = match at.open_to_compare(name) {
                Err(error) if must_be_replaced(&error) => None,
                old => Some(old?),
            };
            if dry_run {
                return Ok(Decision::Make(How::Replace(Mutex::new(None)), old, differs));
            }
            let temp = at.temp_file()?;
            if let Err(error) = set_len(temp.file(), size) {
                at.discard(temp)?;
                return Err(failed(error));
            }
            return Ok(Decision::Make(How::Replace(Mutex::new(Some(temp))), old, differs));
        };
        if !dry_run && found.size < size {
            set_len(&old, size).map_err(failed)?;
        }
        Ok(Decision::Make(How::InPlace, Some(old), differs))
    }

    /// True when a file has these contents, holes aside.
    fn same_contents(&mut self, file: &File, content: &Content, size: u64) -> bool {
        let (reader, mut at) = (self.job.reader, 0);
        let compared = each_extent(reader, content, size, &mut |extent| {
            let same = match extent {
                Extent::Data { id, len, .. } => self.holds(file, at, len, &id),
                Extent::Hole { len } => !has_data(file, at, len),
            };
            at += extent.len();
            if same && !self.job.tally.stop() { Ok(()) } else { Err(Error::Cancelled) }
        });
        compared.is_ok()
    }

    /// True when a file has a blob's bytes at `at`; they are in the buffer then.
    fn holds(&mut self, file: &File, at: u64, len: u32, id: &BlobId) -> bool {
        self.buffer.resize(len as usize, 0);
        file.read_exact_at(&mut self.buffer, at).is_ok()
            && self.job.reader.repo().namer().name(BlobKind::Data, &self.buffer) == *id
    }

    /// Collects one stretch of the last file.
    fn extent(&mut self, extent: Extent, at: u64, old: Option<&File>, in_place: bool) -> Result<(), Stop> {
        self.job.tally.check().map_err(Stop::All)?;
        if self.window.items.last().is_none_or(|item| item.failed.get().is_some()) {
            return Err(Stop::File("it could not be written".into()));
        }
        let refuse = |error: std::io::Error| {
            let error = PathError::new(&b""[..], "write", error);
            let why = reason(&error);
            if is_whole(&error) {
                self.job.tally.path_error(error);
            }
            Stop::File(why)
        };
        let dry_run = self.job.request.dry_run;
        let (id, len) = match extent {
            Extent::Data { id, len, .. } => (id, len),
            Extent::Hole { len } => {
                if let Some(old) = old.filter(|old| in_place && has_data(old, at, len)) {
                    if !dry_run {
                        punch_hole(old, at, len).map_err(refuse)?;
                    }
                    self.change_last();
                }
                self.job.monitor.add(Counter::Bytes, len);
                return Ok(());
            }
        };
        if let Some(old) = old
            && self.holds(old, at, len, &id)
        {
            if let Some(How::Replace(temp)) = self.window.items.last().map(|item| &item.how)
                && let Some(temp) = &*temp.lock().unwrap_or_else(|e| e.into_inner())
            {
                write_at(temp.file(), &self.buffer, at).map_err(refuse)?;
            }
            self.job.monitor.add(Counter::Bytes, u64::from(len));
            return Ok(());
        }
        self.want(id, len, at)?;
        self.change_last();
        if dry_run {
            count(&self.job.tally.bytes_written, u64::from(len));
        }
        if self.window.wants.len() >= self.job.limits.extents {
            self.run(true).map_err(Stop::All)?;
        }
        Ok(())
    }

    fn change_last(&mut self) {
        if let Some(item) = self.window.items.last_mut() {
            item.changed = true;
        }
    }

    /// Finds a blob and wants it for the last file.
    fn want(&mut self, id: BlobId, len: u32, at: u64) -> Result<(), Stop> {
        let index = self.job.reader.index();
        let place = match index.place(&id) {
            Some(place) if place.row.len == len => place,
            Some(_) => match index.places(&id).into_iter().find(|place| place.row.len == len) {
                Some(place) => place,
                None => return Err(Stop::File(format!("data {} has another length than its file says", id.short()))),
            },
            None => {
                let what = format!("data {}, which no index lists,", id.short());
                return Err(Stop::File(Error::Missing { object: what }.to_string()));
            }
        };
        let item = (self.window.items.len() as u32).saturating_sub(1);
        let (run, segment, offset) = (place.run, place.row.segment, place.row.offset);
        self.window.wants.push(Want { run, segment, offset, len, id, item, at });
        if let Some(last) = self.window.items.last_mut() {
            last.pending.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
