//! `vault media check`

use crate::{
    cli::{
        exit::{Done, Failure},
        human,
        session::Session,
    },
    id::hex,
    ops::{
        check::{ReadData, keyless},
        media::{self as op, Catalogue, System},
    },
    world::{KernelEntropy, SystemClock},
};
use serde_json::{Value, json};

pub fn check(name: &str, read: Option<f64>, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
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
