//! `vault media`

mod check;
mod find;
mod list;
mod recover;
mod sync;

use super::{
    args::size,
    check::percent,
    exit::{Done, Failure},
    host,
    session::Session,
};
use crate::{
    error::Error,
    id::hex,
    name::Shown,
    ops::media::{self as op, Catalogue, New, System},
    series::parse_age,
};
use clap::ValueHint;
use serde_json::json;
use std::{ffi::OsString, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  vault media add /mnt/usb/vault --name blue --site 'safe, 2nd floor' --mount /mnt/usb
  vault media sync                      all media that are plugged in: in a nightly job; exit code 75 when none is
  vault media list                      where they are, how old, how full, what is overdue
  vault media find mail/-/home@2026-03-02:data/inbox      which disk holds it? No disk need be there
  vault ls --repo usb:blue mail/-/home                    what is on an absent disk
  vault media recover /dev/sdb1 --image /srv/sdb1.img --to /srv/salvage     what is left on a broken one";

/// USB disks that carry copies out of the house
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a medium known, which is mounted now
    #[command(
        after_help = "Example:\n  vault media add /mnt/usb/vault --name blue --site 'safe, 2nd floor' --mount /mnt/usb"
    )]
    Add(Add),
    /// List media: site, last sync, newest snapshots, space left
    #[command(after_help = "Example:\n  vault media list")]
    List {
        /// Also those that were retired
        #[arg(long)]
        all: bool,
    },
    /// Copy what is new onto media, and read it back from the disk
    #[command(after_help = "\
Examples:
  vault media sync                 all that are plugged in
  vault media sync blue --bandwidth 10M")]
    Sync {
        /// Only these [default: all that are plugged in]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Write so many bytes a second at most
        #[arg(long, value_name = "SIZE", value_parser = size)]
        bandwidth: Option<u64>,
    },
    /// Hold the objects on a medium against their names
    #[command(after_help = "Examples:\n  vault media check blue\n  vault media check blue --read-data=10%")]
    Check {
        /// The medium
        #[arg(value_name = "NAME")]
        name: String,
        /// Only this share of its packs, those first that were not read for the longest time
        #[arg(long, value_name = "PERCENT%", require_equals = true, value_parser = percent)]
        read_data: Option<f64>,
    },
    /// Flush a medium and unmount it
    #[command(after_help = "Example:\n  vault media eject blue")]
    Eject {
        /// The medium
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// A medium is not to be used any more; what lies on it stays known
    #[command(after_help = "Example:\n  vault media retire blue")]
    Retire {
        /// The medium
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Which medium holds it, and where is that medium?
    #[command(after_help = "Example:\n  vault media find mail/-/home@2026-03-02:data/inbox")]
    Find {
        /// SERIES[@VERSION][:PATH] or a snapshot's id
        #[arg(value_name = "ADDRESS")]
        address: OsString,
    },
    Recover(recover::Args),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The folder of the copy on the medium, made when it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// What to call it: one word
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where it is kept
    #[arg(long, value_name = "TEXT", default_value = "")]
    site: String,
    /// Mount it here for a sync, and unmount it again
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    mount: Option<PathBuf>,
    /// Overdue when not synced for so long
    #[arg(long, value_name = "AGE", default_value = "8d", value_parser = age)]
    overdue_after: u64,
    /// Keep no parity on it; without this each sync makes sidecars (3 %) for what is new, and second copies of metadata
    #[arg(long)]
    no_parity: bool,
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "write a number and a unit: 36h, 8d, 2w".into())
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add(_) => "media add",
            Verb::List { .. } => "media list",
            Verb::Sync { .. } => "media sync",
            Verb::Check { .. } => "media check",
            Verb::Eject { .. } => "media eject",
            Verb::Retire { .. } => "media retire",
            Verb::Find { .. } => "media find",
            Verb::Recover(_) => "media recover",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let verb = match args.verb {
        // Needs no repository that works.
        Verb::Recover(args) => return recover::run(args, session),
        verb => verb,
    };
    let state = session
        .state_folder()
        .ok_or_else(|| Error::usage("media have nowhere to be remembered: give --state-dir, or set HOME"))?;
    let repo = session.open()?;
    let catalogue = Catalogue::open(&repo, &state)?;
    match verb {
        Verb::Recover(args) => recover::run(args, session),
        Verb::Add(new) => add(new, &catalogue, session),
        Verb::List { all } => list::list(all, &catalogue, session),
        Verb::Sync { names, bandwidth } => sync::sync(&names, bandwidth, &catalogue, session),
        Verb::Check { name, read_data } => check::check(&name, read_data, &catalogue, session),
        Verb::Eject { name } => {
            let points = op::eject(&catalogue, &System, &catalogue.find(&name)?)?;
            let points: Vec<_> = points.iter().map(|point| point.to_string_lossy()).collect();
            session.print_result(|| session.screen.print(&format!("{name} is unmounted and may be unplugged")));
            Ok(Done::good(json!({ "medium": name, "unmounted": points })))
        }
        Verb::Retire { name } => {
            op::retire(&catalogue, &catalogue.find(&name)?)?;
            session
                .print_result(|| session.screen.print(&format!("{name} is retired; what lies on it is still found")));
            Ok(Done::good(json!({ "medium": name })))
        }
        Verb::Find { address } => find::find(&address, &catalogue, session),
    }
}

fn add(args: Add, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
    let new = New {
        folder: &args.folder,
        name: &args.name,
        site: &args.site,
        mount_at: args.mount.as_deref(),
        parity: !args.no_parity,
        overdue_after: args.overdue_after,
        client: &host::fqdn(),
    };
    let medium = op::add(catalogue, &System, &new)?;
    session.print_result(|| {
        let uuid = &medium.uuid;
        session
            .screen
            .print(&format!("{} is known by the UUID {uuid}; next: vault media sync {}", medium.name, medium.name))
    });
    Ok(Done::good(json!({ "medium": medium.name, "uuid": medium.uuid, "id": hex(&medium.id) })))
}

fn shown(text: &str) -> String {
    Shown(text.as_bytes()).to_string()
}
