//! `vault media find`

use super::shown;
use crate::{
    cli::{
        address,
        exit::{Done, Failure},
        human::{self, Align, Table},
        json as shapes,
        session::Session,
    },
    error::Error,
    name::Shown,
    ops::media::{self as op, Catalogue, Medium, Place, System, locate},
    series::Address,
};
use serde_json::{Value, json};
use std::{ffi::OsString, io, os::unix::ffi::OsStrExt};

pub fn find(text: &OsString, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
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
