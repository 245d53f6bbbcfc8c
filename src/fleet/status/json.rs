//! The status for programs.

use super::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

fn time(sec: Option<i64>) -> Value {
    match sec.and_then(|sec| Timestamp::from_second(sec).ok()) {
        Some(time) => time.to_string().into(),
        None => Value::Null,
    }
}

/// All of it; times in RFC 3339, durations in seconds.
pub fn of(status: &Status) -> Value {
    let apps: Vec<Value> = status
        .apps
        .iter()
        .map(|app| {
            json!({
                "series": app.series,
                "type": app.recipe,
                "state": if app.red.is_empty() { "ok" } else { "red" },
                "red": app.red,
                "odd": app.odd,
                "good": time(app.good),
                "newest": time(app.newest),
                "age_seconds": app.good.map(|good| (status.time - good).max(0)),
                "copies": app.places.len(),
                "places": app.places,
                "sites": app.sites,
                "checked": time(app.checked),
                "drilled": time(app.drilled),
                "restore_seconds": app.rto,
                "bytes": app.sizes.first(),
                "promised": {
                    "rpo_seconds": app.slo.rpo,
                    "rto_seconds": app.slo.rto,
                    "copies": app.slo.copies,
                    "sites": app.slo.sites,
                    "check_seconds": app.slo.check,
                    "drill_seconds": app.slo.drill,
                },
            })
        })
        .collect();
    let holders: Vec<Value> = status
        .holders
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "kind": one.kind.word(),
                "site": one.site,
                "applications": one.held.len(),
                "snapshots": one.snapshots(),
                "foreign_series": one.foreign,
                "synced": time(one.synced),
                "red": one.red,
            })
        })
        .collect();
    json!({
        "fleet": status.name,
        "time": time(Some(status.time)),
        "state": if status.is_red() { "red" } else { "ok" },
        "red_applications": status.red_apps(),
        "applications": apps,
        "holders": holders,
        "jobs": status.jobs,
        "last_run": time(status.run.as_ref().map(|run| run.tried)),
    })
}
