//! `vault media recover`

use super::super::{
    args::Global,
    exit::{Done, Failure},
    human, json as shapes, losses,
    session::Session,
};
use crate::{
    error::Error,
    id::RepoId,
    monitor::Monitor,
    name::Shown,
    ops::{
        check::{self, ReadData, losses::SeriesLoss},
        recover::{self as op, FileMedium, Salvaged, Scan},
        repair,
    },
    repo::{Listed, Repository, Surroundings},
    store::{SharedStore, Store, open as stores, open::Place},
    world::Time,
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Instant,
};

const EXAMPLES: &str = "\
Examples:
  vault media recover /mnt/usb/vault --to /srv/salvage               the file system still works, more or less
  vault media recover /dev/sdb1 --image /srv/sdb1.img --to /srv/salvage
                                                                     read the failing disk once, then work on the image
  vault media recover /srv/sdb1.img --to /srv/salvage --list         and say, with the passphrase, what can be restored
  vault restore h/-/srv/wiki --repo /srv/salvage --target /tmp/wiki

From nothing but a disk, or its image, and the recovery sheet, on a new machine:
  vault media recover disk.img --to salvage --list --recovery-file sheet.txt
  vault check --read-data --repo salvage --recovery-file sheet.txt
  vault snapshots --repo salvage --recovery-file sheet.txt
  vault restore h/-/srv/wiki --repo salvage --recovery-file sheet.txt --target restored --verify

What comes out is a repository in a new folder; the medium is only read. No key is needed but for --list. A disk that reads badly gets worse:
copy it first (--image); an interrupted copy goes on where it stopped. Without a file system, whatever parity covers is found, in however
many pieces it lies; of the rest, packs and snapshots that lie in one piece are.";

/// Bring back what is left of a repository on a damaged disk, or an image of one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A device or an image of one, read without its file system; or the folder of a repository
    #[arg(value_name = "DEVICE|IMAGE|FOLDER", value_hint = ValueHint::AnyPath)]
    from: PathBuf,
    /// Folder for what is found: new, or that of an earlier try
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    to: PathBuf,
    /// First copy the device to FILE, around what cannot be read; FILE.map lists that
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    image: Option<PathBuf>,
    /// Of several repositories on it, this one [default: the one with most objects]
    #[arg(long, value_name = "ID", value_parser = RepoId::parse)]
    repository: Option<RepoId>,
    /// Open what was found, look for snapshots, tombstones, tags and pins that no parity covers, make a lost index anew, and list what can be restored
    #[arg(long)]
    list: bool,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let is_folder = args.from.is_dir();
    if is_folder && args.image.is_some() {
        return Err(Error::usage("a folder has no image: leave out --image, or name the device").into());
    }
    // Before anything is written anywhere.
    if is_folder {
        refuse_itself(&args)?;
    } else {
        FileMedium::open(&args.from)?;
        refuse_on_it(&args)?;
    }
    let store: SharedStore = stores::create(&Place::Local(args.to.clone()))?;
    let (salvaged, medium) = if is_folder {
        let from = stores::open_untouched(&Place::Local(args.from.clone()))?;
        let progress = session.progress();
        let salvaged = op::salvage_folder(&*from, &*store, progress.monitor());
        drop(progress);
        (salvaged?, None)
    } else {
        let (salvaged, medium, scan) = from_device(&args, &*store, session)?;
        (salvaged, Some((medium, scan)))
    };
    if !session.screen.json {
        print(session, &args, &salvaged)?;
    }
    let list = match args.list {
        true => Some(list(&args, store, medium.as_ref(), session)?),
        false => None,
    };
    if let Some(list) = list.as_ref().filter(|_| !session.screen.json) {
        print_list(list)?;
    }
    let partial: Vec<Value> = salvaged
        .partial
        .iter()
        .map(|(object, lost, of)| json!({ "object": object, "sectors_lost": lost, "sectors": of }))
        .collect();
    let bad = medium.as_ref().map_or(&[][..], |(_, scan)| &scan.bad);
    let is_short = !salvaged.partial.is_empty() || !salvaged.lost.is_empty();
    let result = json!({
        "repository": salvaged.repo.map(|id| id.to_string()),
        "place": store_place(&args.to),
        "objects": salvaged.whole,
        "bytes": salvaged.bytes,
        "mended": salvaged.mended,
        "carved": salvaged.carved,
        "partial": partial,
        "lost": salvaged.lost,
        "unclear": salvaged.unclear,
        "unreadable_bytes": bad.iter().map(|(_, len)| len).sum::<u64>(),
        "list": list.as_ref().map(list_json),
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(is_short || list.is_some_and(|list| !list.losses.is_empty()), result))
}

fn store_place(to: &Path) -> String {
    super::super::secrets::shown(to)
}

/// What is read must not be what is written.
fn refuse_itself(args: &Args) -> Result<(), Failure> {
    let absolute = std::path::absolute(&args.to).unwrap_or_else(|_| args.to.clone());
    let stands = absolute.ancestors().find_map(|above| above.canonicalize().ok().map(|real| (real, above == absolute)));
    match (args.from.canonicalize(), stands) {
        (Ok(from), Some((to, is_there))) if to.starts_with(&from) || is_there && from.starts_with(&to) => {
            Err(Error::usage("--to lies in the folder that is to be read, or around it: give one on another disk")
                .into())
        }
        _ => Ok(()),
    }
}

/// What lies on the device that is read must not be written to; nor must the image be what is read.
fn refuse_on_it(args: &Args) -> Result<(), Failure> {
    let Ok(from) = std::fs::metadata(&args.from) else { return Ok(()) };
    let is_device = from.file_type().is_block_device();
    for (option, path) in [("--to", Some(&args.to)), ("--image", args.image.as_ref())] {
        let Some(path) = path else { continue };
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let Some(there) = absolute.ancestors().find_map(|above| std::fs::metadata(above).ok()) else { continue };
        let is_on_it = is_device && (there.dev() == from.rdev() || disk_of(there.dev()) == Some(from.rdev()));
        if is_on_it {
            let why = format!("{option} lies on the device that is to be read: give a place on another disk");
            return Err(Error::usage(why).into());
        }
        if (there.dev(), there.ino()) == (from.dev(), from.ino()) {
            return Err(Error::usage(format!("{option} is what is to be read: give another place")).into());
        }
    }
    Ok(())
}

/// The disk that a partition is of.
fn disk_of(partition: u64) -> Option<u64> {
    let (major, minor) = (rustix::fs::major(partition), rustix::fs::minor(partition));
    let folder = format!("/sys/dev/block/{major}:{minor}");
    std::fs::metadata(format!("{folder}/partition")).ok()?;
    let text = std::fs::read_to_string(format!("{folder}/../dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

fn from_device(args: &Args, store: &dyn Store, session: &Session) -> Result<(Salvaged, FileMedium, Scan), Failure> {
    let progress = session.progress();
    let monitor: &dyn Monitor = progress.monitor();
    let mut medium = FileMedium::open(&args.from)?;
    if let Some(image) = &args.image {
        let copied = op::copy(&medium, image, monitor)?;
        if copied.lost() > 0 {
            monitor.note(&format!(
                "{} cannot be read; see {}",
                human::bytes(copied.lost()),
                store_place(&op::map_of(image))
            ));
        }
        medium = FileMedium::open(image)?;
    }
    let scan = op::scan(&medium, monitor)?;
    let salvaged = op::salvage(&medium, &scan, args.repository, store, monitor)?;
    drop(progress);
    Ok((salvaged, medium, scan))
}

fn print(session: &Session, args: &Args, salvaged: &Salvaged) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    for (object, lost, of) in &salvaged.partial {
        match lost {
            0 => writeln!(out, "{object}: it is damaged; what is left of it is kept")?,
            _ => writeln!(out, "{object}: {lost} of {of} sectors are lost; what is left of it is kept")?,
        }
    }
    for object in &salvaged.lost {
        writeln!(out, "{object}: lost")?;
    }
    if session.global.quiet {
        return Ok(());
    }
    let mut facts = vec![(
        "whole",
        format!("{}, {}", human::counted(salvaged.whole, "object", "objects"), human::bytes(salvaged.bytes)),
    )];
    facts.push(("mended", human::counted(salvaged.mended, "of them", "of them")));
    if salvaged.carved > 0 {
        facts.push((
            "carved",
            format!("{}: no parity covers them", human::counted(salvaged.carved, "of them", "of them")),
        ));
    }
    facts.push(("damaged", human::counted(salvaged.partial.len() as u64, "object", "objects")));
    facts.push(("lost", human::counted(salvaged.lost.len() as u64, "object", "objects")));
    human::print_facts(out, &facts)?;
    if !args.list {
        let place = store_place(&args.to);
        session.screen.note(&format!("see `vault repair --read-data --repo {place}`, then `vault snapshots`, `check`, `restore` with the same --repo"));
    }
    if salvaged.unclear > 0 && !args.list {
        session.screen.note(&format!(
            "{} may be snapshots: --list looks, with a key",
            human::counted(salvaged.unclear, "more beginning of an object", "more beginnings of objects")
        ));
    }
    Ok(())
}

/// What can be restored.
struct List {
    /// By series, oldest first.
    snapshots: Vec<Listed>,
    losses: Vec<SeriesLoss>,
}

/// Opens what was salvaged. It has no history on this machine, so nothing is remembered of it.
fn list(
    args: &Args,
    store: SharedStore,
    medium: Option<&(FileMedium, Scan)>,
    session: &Session,
) -> Result<List, Failure> {
    let own = Session {
        global: Global { repo: Some(args.to.clone().into()), ..session.global.clone() },
        screen: session.screen.clone(),
        interrupts: session.interrupts.clone(),
        command: session.command,
        told_absent: Default::default(),
        passed_over: Default::default(),
        media: Default::default(),
    };
    let (_, unlock) = own.unlock(store.clone())?;
    let around = Surroundings { cache: None, state: None, ..own.surroundings() };
    let repo = Repository::open(store, &unlock, around)?;
    let progress = session.progress();
    let monitor = progress.monitor();
    if let Some((medium, scan)) = medium {
        op::marks(medium, scan, &repo, monitor)?;
        op::snapshots(medium, scan, &repo, monitor)?;
    }
    // All of it, but for snapshots of the rest: they would be listed beside what they stand for.
    let what = repair::What { index: true, packs: true, snapshots: false };
    let host = super::super::host::fqdn();
    let request = repair::Request { what, from: None, read_data: true, host: &host, dry_run: false };
    repair::repair(&repo, &request, monitor)?;
    let report = check::check(&repo, ReadData::Percent(100.0), 0, monitor)?;
    let snapshots = repo.snapshots(None)?.listed;
    drop(progress);
    Ok(List { snapshots, losses: report.losses })
}

fn by_series(list: &List) -> BTreeMap<&str, Vec<&Listed>> {
    let mut out: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    for listed in &list.snapshots {
        out.entry(listed.snapshot.series.as_str()).or_default().push(listed);
    }
    out
}

fn print_list(list: &List) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let short: BTreeSet<_> = list.losses.iter().flat_map(|series| series.snapshots.iter().map(|one| one.id)).collect();
    writeln!(out, "can be restored:")?;
    for (series, snapshots) in by_series(list) {
        writeln!(out, "  {}", Shown(series.as_bytes()))?;
        for one in snapshots {
            let how = if short.contains(&one.id) { "in part, see below" } else { "whole" };
            writeln!(out, "    {}  {}  {how}", one.id.short(), human::local_time(one.snapshot.head.time.sec))?;
        }
    }
    if !list.losses.is_empty() {
        writeln!(out, "is lost:")?;
        losses::print(out, &list.losses)?;
    }
    Ok(())
}

fn list_json(list: &List) -> Value {
    let snapshots: Vec<Value> = list
        .snapshots
        .iter()
        .map(|one| {
            json!({
                "series": one.snapshot.series,
                "snapshot": one.id.to_string(),
                "time": shapes::time(Time::from_sec(one.snapshot.head.time.sec)),
            })
        })
        .collect();
    json!({ "snapshots": snapshots, "losses": losses::of_series(&list.losses) })
}
