//! `vault media`

mod recover;

use super::{
    address,
    args::size,
    check::percent,
    copy::slowed,
    exit::{Done, Failure, Outcome},
    host, human,
    human::{Align, Table},
    json as shapes,
    session::Session,
};
use crate::{
    error::{Error, Result},
    id::hex,
    name::Shown,
    ops::{
        check::{ReadData, keyless},
        media::{self as op, Catalogue, Medium, New, Place, Report, System, locate},
    },
    series::{Address, parse_age},
    world::{KernelEntropy, SystemClock, Time},
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::{Duration, Instant},
};

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
        Verb::List { all } => list(all, &catalogue, session),
        Verb::Sync { names, bandwidth } => sync(&names, bandwidth, &catalogue, session),
        Verb::Check { name, read_data } => check(&name, read_data, &catalogue, session),
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
        Verb::Find { address } => find(&address, &catalogue, session),
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

fn now() -> i64 {
    use crate::world::Clock;
    SystemClock.now().sec
}

fn ago(time: Option<i64>) -> String {
    match time {
        Some(time) => format!("{} ago", human::duration(Duration::from_secs(u64::try_from(now() - time).unwrap_or(0)))),
        None => "never".into(),
    }
}

fn state_of(medium: &Medium) -> &'static str {
    if medium.retired {
        "retired"
    } else if medium.is_overdue(now()) {
        "overdue"
    } else {
        "ok"
    }
}

fn full_in(medium: &Medium) -> String {
    medium.days_until_full().map_or("?".into(), |days| human::counted(days, "night", "nights"))
}

fn shown(text: &str) -> String {
    Shown(text.as_bytes()).to_string()
}

fn list(all: bool, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
    let mut media = catalogue.media()?;
    media.retain(|medium| all || !medium.retired);
    if !session.screen.json {
        let (colours, mut out) = (session.screen.stdout_colours(), io::stdout().lock());
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("SITE", Align::Left),
            ("LAST SYNC", Align::Left),
            ("CHECKED", Align::Left),
            ("SNAPSHOTS", Align::Right),
            ("FREE", Align::Right),
            ("FULL IN", Align::Right),
            ("STATE", Align::Left),
        ]);
        for medium in &media {
            let checked = medium.checked.map(|checked| {
                let bad = if checked.findings > 0 { format!(", {} damaged", checked.findings) } else { String::new() };
                ago(Some(checked.time)) + &bad
            });
            table.row(vec![
                shown(&medium.name),
                shown(&medium.site),
                ago(medium.synced()),
                checked.unwrap_or_else(|| "never".into()),
                human::count(medium.snapshots.len() as u64),
                human::bytes(medium.space.0),
                full_in(medium),
                state_of(medium).into(),
            ]);
        }
        table.print(&mut out, colours)?;
        let mut newest = Table::new(&[("NAME", Align::Left), ("SERIES", Align::Left), ("NEWEST", Align::Left)]);
        for medium in &media {
            for held in medium.newest() {
                newest.row(vec![shown(&medium.name), shown(&held.series), human::local_time(held.time)]);
            }
        }
        if media.iter().any(|medium| !medium.snapshots.is_empty()) {
            io::Write::write_all(&mut out, b"\n")?;
            newest.print(&mut out, colours)?;
        }
    }
    let media: Vec<Value> = media.iter().map(medium_json).collect();
    Ok(Done::good(json!({ "media": media })))
}

fn medium_json(medium: &Medium) -> Value {
    let time = |sec: i64| shapes::time(Time::from_sec(sec));
    let newest: Vec<Value> = medium
        .newest()
        .into_iter()
        .map(|held| json!({ "series": held.series, "snapshot": held.id.to_string(), "time": time(held.time) }))
        .collect();
    json!({
        "medium": medium.name,
        "id": hex(&medium.id),
        "uuid": medium.uuid,
        "site": medium.site,
        "parity": medium.parity,
        "retired": medium.retired,
        "generation": medium.generation,
        "last_sync": medium.synced().map(time),
        "overdue": medium.is_overdue(now()),
        "checked": medium.checked.map(|checked| json!({ "time": time(checked.time), "findings": checked.findings })),
        "snapshots": medium.snapshots.len(),
        "newest": newest,
        "free": medium.space.0,
        "size": medium.space.1,
        "nights_until_full": medium.days_until_full(),
    })
}

fn sync(
    names: &[String],
    bandwidth: Option<u64>,
    catalogue: &Catalogue<'_>,
    session: &Session,
) -> Result<Done, Failure> {
    let chosen: Vec<Medium> = match names {
        [] => catalogue.media()?.into_iter().filter(|medium| !medium.retired).collect(),
        names => names.iter().map(|name| catalogue.find(name)).collect::<Result<_>>()?,
    };
    if chosen.is_empty() {
        return Err(Error::usage("no medium is known: see `vault media add`").into());
    }
    let (mut results, mut absent, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut bad = false;
    for medium in &chosen {
        match one(medium, bandwidth, catalogue, session) {
            Ok((report, took)) => {
                bad |= report.damaged + report.unfit + report.failed > 0;
                session.print_result(|| print(session, medium, &report, took));
                results.push(report_json(medium, &report, took));
            }
            // All that are there were asked for.
            Err(error @ Error::Absent { .. }) if names.is_empty() => absent.push(error),
            Err(error @ Error::Cancelled) => return Err(error.into()),
            // The others of the rotation are not to wait for this one.
            Err(error) => failed.push((medium, error)),
        }
    }
    // The last one is the failure when nothing else came of it.
    let failure = match (results.is_empty(), failed.len()) {
        (true, 1) => failed.pop().map(|(_, error)| error),
        (true, 0) => absent.pop(),
        _ => None,
    };
    let mut rolled_back = false;
    for (medium, error) in &failed {
        rolled_back |= matches!(error, Error::Rollback { .. });
        session.screen.error(&format!("medium {}: {error}", shown(&medium.name)));
        results.push(json!({ "medium": medium.name, "error": error.to_string() }));
    }
    absent.iter().for_each(|error| session.screen.note(&error.to_string()));
    match failure {
        Some(error) => Err(error.into()),
        None => {
            let done = Done::unless(bad || !failed.is_empty(), json!({ "media": results }));
            Ok(if rolled_back { Done { outcome: Outcome::RolledBack, ..done } } else { done })
        }
    }
}

fn one(
    medium: &Medium,
    bandwidth: Option<u64>,
    catalogue: &Catalogue<'_>,
    session: &Session,
) -> Result<(Report, Duration)> {
    let begun = Instant::now();
    let request = op::Request {
        medium,
        accept_rollback: session.global.accept_rollback,
        around: &|store| slowed(store, bandwidth, session),
        client: &host::fqdn(),
    };
    let progress = session.progress();
    let report = op::sync(catalogue, &System, &request, progress.monitor())?;
    Ok((report, begun.elapsed()))
}

fn print(session: &Session, medium: &Medium, report: &Report, took: Duration) -> io::Result<()> {
    let name = shown(&medium.name);
    let mut facts = vec![
        ("snapshots", format!("{} new, {} on it", human::count(report.snapshots), human::count(report.held))),
        (
            "written",
            format!(
                "{} in {}, all read back",
                human::bytes(report.bytes),
                human::counted(report.objects, "object", "objects")
            ),
        ),
    ];
    if report.parity.0 > 0 {
        facts.push((
            "parity",
            format!(
                "{} of it, {}",
                human::bytes(report.parity.1),
                human::counted(report.parity.0, "sidecar or second copy", "sidecars and second copies")
            ),
        ));
    }
    facts.push(("free", human::bytes(report.space.0)));
    facts.push(("time", human::duration(took)));
    if report.damaged > 0 {
        facts.push((
            "damaged",
            format!("{} here, not copied: see `vault check`", human::counted(report.damaged, "object", "objects")),
        ));
    }
    if report.unfit > 0 {
        facts.push((
            "damaged",
            format!(
                "{} on it, told above: see `vault repair --repo usb:{name}`",
                human::counted(report.unfit, "object", "objects")
            ),
        ));
    }
    if report.failed > 0 {
        facts.push(("failed", format!("{}, told above", human::counted(report.failed, "snapshot", "snapshots"))));
    }
    let state = match report.damaged + report.unfit + report.failed {
        0 => "is up to date",
        _ => "has all that could be copied",
    };
    session.screen.print(&format!("{name} {state}"))?;
    human::print_facts(&mut io::stdout().lock(), &facts)?;
    let next = match report.unmounted {
        true => format!("{name} is unmounted and safe to unplug"),
        false => format!("all of it has reached {name}; before you unplug it: vault media eject {name}"),
    };
    session.screen.print(&next)
}

fn report_json(medium: &Medium, report: &Report, took: Duration) -> Value {
    json!({
        "medium": medium.name,
        "snapshots": report.snapshots,
        "held": report.held,
        "objects": report.objects,
        "bytes": report.bytes,
        "parity_objects": report.parity.0,
        "parity_bytes": report.parity.1,
        "read_back": report.read_back,
        "damaged": report.damaged,
        "unfit": report.unfit,
        "failed": report.failed,
        "free": report.space.0,
        "generation": report.generation,
        "unmounted": report.unmounted,
        "seconds": took.as_secs_f64(),
    })
}

fn check(name: &str, read: Option<f64>, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
    let medium = catalogue.find(name)?;
    let surroundings = session.surroundings();
    // Read dates of each medium are its own.
    let cache = surroundings.cache.map(|cache| cache.join("media").join(hex(&medium.id)));
    let around = keyless::Around { clock: &SystemClock, entropy: &KernelEntropy, cache: cache.as_deref() };
    let read = read.map_or(ReadData::None, ReadData::Percent);
    let progress = session.progress();
    let report = op::check(catalogue, &System, &medium, read, &around, progress.monitor());
    drop(progress);
    let report = report?;
    let findings: Vec<Value> =
        report.findings.iter().map(|finding| json!({ "object": finding.object, "what": finding.what })).collect();
    session.print_result(|| {
        let objects = human::counted(report.objects, "object", "objects");
        match report.findings.len() as u64 {
            0 => session.screen.print(&format!("{objects} on {name} are what their names say")),
            n => session.screen.print(&format!("{} of {objects} on {name} are damaged; the next sync brings back those of a wrong length, `vault repair --repo usb:{name} --from REPO` the others", human::count(n))),
        }
    });
    let result = json!({
        "medium": name,
        "objects": report.objects,
        "packs_read": report.packs,
        "bytes_read": report.bytes,
        "findings": findings,
    });
    Ok(Done::unless(!report.findings.is_empty(), result))
}

fn find(text: &OsString, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
    let address = Address::parse(text.as_bytes())?;
    let mut unread = 0;
    let mut problem = |medium: &Medium, error: &Error| {
        unread += 1;
        session.screen.warn(&format!("what is known of {} cannot be read: {error}", shown(&medium.name)));
    };
    let instant = |text: &str| address::instant(text, jiff::tz::TimeZone::system());
    let places = op::find(catalogue, &address, &instant, &mut problem)?;
    if places.is_empty() {
        return Err(Error::usage(format!("no medium holds {}: see `vault media list`", Shown(text.as_bytes()))).into());
    }
    let is_there = |medium: &Medium| locate(catalogue, &System, medium, false).is_ok();
    let there: Vec<bool> = places.iter().map(|place| is_there(&place.medium)).collect();
    if !session.screen.json {
        let mut table = Table::new(&[
            ("MEDIUM", Align::Left),
            ("SITE", Align::Left),
            ("SNAPSHOT", Align::Left),
            ("TIME", Align::Left),
            ("SIZE", Align::Right),
            ("NOW", Align::Left),
        ]);
        for (place, there) in places.iter().zip(&there) {
            let Place { medium, listed, entry } = place;
            let size = entry.as_ref().map_or(listed.snapshot.totals.bytes, |entry| entry.node.bytes());
            table.row(vec![
                shown(&medium.name),
                shown(&medium.site),
                listed.id.short(),
                human::local_time(listed.snapshot.head.time.sec),
                human::bytes(size),
                if *there { "plugged in" } else { "absent" }.into(),
            ]);
        }
        table.print(&mut io::stdout().lock(), session.screen.stdout_colours())?;
    }
    let found: Vec<Value> = places
        .iter()
        .zip(&there)
        .map(|(Place { medium, listed, entry }, there)| {
            json!({
                "medium": medium.name,
                "site": medium.site,
                "present": there,
                "series": listed.snapshot.series,
                "snapshot": listed.id.to_string(),
                "time": shapes::time(listed.snapshot.head.time),
                "bytes": entry.as_ref().map_or(listed.snapshot.totals.bytes, |entry| entry.node.bytes()),
            })
        })
        .collect();
    Ok(Done::unless(unread > 0, json!({ "found": found, "unread": unread })))
}
