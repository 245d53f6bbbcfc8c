//! `vault media list`

use super::shown;
use crate::{
    cli::{
        exit::{Done, Failure},
        human::{self, Align, Table},
        json as shapes,
        session::Session,
    },
    id::hex,
    ops::media::{Catalogue, Medium},
    world::{Clock, SystemClock, Time},
};
use serde_json::{Value, json};
use std::{io, time::Duration};

fn now() -> i64 {
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

pub fn list(all: bool, catalogue: &Catalogue<'_>, session: &Session) -> Result<Done, Failure> {
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
