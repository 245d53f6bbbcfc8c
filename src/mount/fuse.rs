//! The kernel's requests, handed to a [`View`].

use super::{
    ahead::STEP,
    content::Sought,
    listing::Listing,
    view::{Answer, No, Told, View},
};
use crossbeam_channel::Sender;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsStr,
    io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long the kernel may take what never changes for what it was.
const LASTING: Duration = Duration::from_secs(365 * 86400);
/// The same of what may change: folders of snapshots, and links to the newest.
const PASSING: Duration = Duration::from_secs(1);
/// Requests that the kernel may have sent ahead of its readers.
const BACKGROUND: u16 = 64;
/// Longest extended attribute that the kernel takes, in bytes.
const XATTR_MAX: usize = 64 << 10;
const GENERATION: Generation = Generation(0);

impl From<No> for Errno {
    fn from(no: No) -> Self {
        match no {
            No::Entry | No::EntryYet => Errno::ENOENT,
            No::Stale => Errno::ESTALE,
            No::Invalid => Errno::EINVAL,
            No::Directory => Errno::ENOTDIR,
            No::Beyond => Errno::ENXIO,
            No::Unreadable => Errno::EIO,
        }
    }
}

/// A stretch of a file that is to be opened ahead of its reader.
pub type Stretch = (u64, Range<u64>);

/// Answers the kernel.
pub struct Fuse {
    pub view: Arc<View<'static>>,
    /// To those who open files ahead.
    pub ahead: Sender<Stretch>,
    /// To the one who tells the kernel to let go of what it need not know.
    pub full: Sender<()>,
    /// Access control lists are the kernel's to enforce.
    pub enforce: bool,
    pub listings: Mutex<HashMap<u64, Arc<Listing>>>,
    pub opened: AtomicU64,
}

fn life(told: &Told) -> &'static Duration {
    if told.lasting { &LASTING } else { &PASSING }
}

/// An entry that the kernel takes for: there is none of this name, and never will be.
fn nothing() -> FileAttr {
    let time = std::time::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

impl Fuse {
    fn listings(&self) -> MutexGuard<'_, HashMap<u64, Arc<Listing>>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self, handle: FileHandle) -> Answer<Arc<Listing>> {
        self.listings().get(&handle.0).cloned().ok_or(No::Stale)
    }

    fn room(&self) {
        if self.view.table().is_full() {
            // When one such message waits already, one is enough.
            let _ = self.full.try_send(());
        }
    }
}

/// Sends a value of which the kernel may have asked the length only.
fn reply_sized(reply: ReplyXattr, value: &[u8], size: u32) {
    match size {
        0 if value.len() <= XATTR_MAX => reply.size(value.len() as u32),
        0 => reply.error(Errno::E2BIG),
        size if value.len() <= size as usize => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

impl Filesystem for Fuse {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
        ];
        if self.enforce {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for one in wanted {
            // An old kernel does without, and is slower; but not without what keeps others out.
            if config.add_capabilities(one).is_err() && one == InitFlags::FUSE_POSIX_ACL {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel enforces no access control lists"));
            }
        }
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.view.lookup(parent.0, name.as_bytes()) {
            Ok(told) => reply.entry(life(&told), &told.attr, GENERATION),
            Err(No::Entry) => reply.entry(&LASTING, &nothing(), GENERATION),
            Err(no) => reply.error(no.into()),
        }
        self.room();
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        self.view.forget(number.0, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.view.attributes(number.0) {
            Ok(told) => reply.attr(life(&told), &told.attr),
            Err(no) => reply.error(no.into()),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.view.link(number.0) {
            Ok(target) => reply.data(&target),
            Err(no) => reply.error(no.into()),
        }
    }

    /// Files need no handles: the kernel, told so once, opens and closes them by itself and keeps what it has read of them.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        thread_local! {
            /// Each thread has one, as large as the largest that the kernel asks for.
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            match self.view.read(number.0, offset, size as usize, buffer) {
                Ok(next) => {
                    for begin in next.clone().step_by(STEP as usize) {
                        let stretch = begin..next.end.min(begin + STEP);
                        // When those who open ahead have their hands full, it is opened when it is read.
                        let _ = self.ahead.try_send((number.0, stretch));
                    }
                    reply.data(buffer);
                }
                Err(no) => reply.error(no.into()),
            }
        });
    }

    fn lseek(&self, _: &Request, number: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        // As linux/fs.h has them.
        let sought = match whence {
            3 => Sought::Data,
            4 => Sought::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(offset) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        match self.view.seek(number.0, offset, sought) {
            Ok(at) => reply.offset(at as i64),
            Err(no) => reply.error(no.into()),
        }
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.view.open_directory(number.0) {
            Ok(listing) => {
                let flags = if listing.is_lasting() {
                    FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR
                } else {
                    FopenFlags::empty()
                };
                let handle = self.opened.fetch_add(1, Ordering::Relaxed);
                self.listings().insert(handle, Arc::new(listing));
                reply.opened(FileHandle(handle), flags);
            }
            Err(no) => reply.error(no.into()),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.listing(handle).and_then(|listing| {
            self.view.list(&listing, offset, false, &mut |item| {
                let FileAttr { ino, kind, .. } = item.told.attr;
                !reply.add(ino, item.next, kind, OsStr::from_bytes(item.name))
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(no) => reply.error(no.into()),
        }
    }

    fn readdirplus(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.listing(handle).and_then(|listing| {
            self.view.list(&listing, offset, true, &mut |item| {
                let name = OsStr::from_bytes(item.name);
                let Told { attr, .. } = &item.told;
                !reply.add(attr.ino, item.next, name, life(&item.told), attr, GENERATION)
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(no) => reply.error(no.into()),
        }
        self.room();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, crate::name::NAME_MAX as u32, 4096);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut found = None;
        let looked = self.view.attributes_beyond(number.0, &mut |other, value| {
            if other == name.as_bytes() {
                found = Some(value.to_vec());
            }
        });
        match (looked, found) {
            (Ok(()), Some(value)) => reply_sized(reply, &value, size),
            (Ok(()), None) => reply.error(Errno::NO_XATTR),
            (Err(no), _) => reply.error(no.into()),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let mut names = Vec::new();
        let looked = self.view.attributes_beyond(number.0, &mut |name, _| {
            names.extend_from_slice(name);
            names.push(0);
        });
        match looked {
            Ok(()) => reply_sized(reply, &names, size),
            Err(no) => reply.error(no.into()),
        }
    }
}
