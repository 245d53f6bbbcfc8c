//! `vault media sync`

use super::shown;
use crate::{
    cli::{
        copy::slowed,
        exit::{Done, Failure, Outcome},
        host, human,
        session::Session,
    },
    error::{Error, Result},
    ops::media::{self as op, Catalogue, Medium, Report, System},
};
use serde_json::{Value, json};
use std::{
    io,
    time::{Duration, Instant},
};

pub fn sync(
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
