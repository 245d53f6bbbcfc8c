//! Files with several names: read once, by whichever name is met first.

use crate::{fs::stat::Stat, ops::snapshot::flow::Ticket, world::Time};
use std::collections::HashMap;

/// Files with several names that are remembered at once: beyond, each name is read by itself, and the store knows the contents.
const LINKS_MAX: usize = 32 << 10;

/// A file of which further names may come: they share its contents.
struct Link {
    ticket: Ticket,
    /// Size and times when its first name was met. An inode number is given to another file once its own is gone.
    seen: (u64, Time, Time),
    /// Names that may still come.
    left: u32,
}

/// The files of which further names may come, by device and inode.
#[derive(Default)]
pub struct Links(HashMap<(u32, u64), Link>);

/// What is known of a file by another name.
pub enum Met {
    /// Nothing.
    New,
    /// It is being read for this ticket; whether more names may come.
    Again { ticket: Ticket, more: bool },
    /// The one that was read for this ticket is another file by now.
    Replaced { ticket: Ticket },
}

impl Links {
    /// A file is met.
    pub fn meet(&mut self, file: (u32, u64), stat: &Stat) -> Met {
        if stat.links <= 1 {
            return Met::New;
        }
        let Some(link) = self.0.get_mut(&file) else { return Met::New };
        let ticket = link.ticket;
        if link.seen != seen(stat) {
            self.0.remove(&file);
            return Met::Replaced { ticket };
        }
        link.left = link.left.saturating_sub(1);
        let more = link.left > 0;
        if !more {
            self.0.remove(&file);
        }
        Met::Again { ticket, more }
    }

    /// Remembers a new file that is to be read. False when no other name of it will be known.
    pub fn expect_more(&mut self, file: (u32, u64), stat: &Stat, ticket: Ticket) -> bool {
        let more = stat.links > 1 && self.0.len() < LINKS_MAX;
        if more {
            self.0.insert(file, Link { ticket, seen: seen(stat), left: stat.links - 1 });
        }
        more
    }
}

fn seen(stat: &Stat) -> (u64, Time, Time) {
    (stat.size, stat.mtime, stat.ctime)
}
