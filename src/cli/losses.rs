//! What is lost, as people read it: by series, then snapshot, then path.

use super::{human, json};
use crate::{
    name::Shown,
    ops::check::losses::{LostPath, SeriesLoss, SnapshotLoss},
    world::Time,
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Paths that are printed for a snapshot; JSON has more.
const PATHS: usize = 8;

/// Prints all of it. Snapshots that have lost the same stand together.
pub fn print(out: &mut dyn Write, losses: &[SeriesLoss]) -> io::Result<()> {
    for series in losses {
        let name = if series.series.is_empty() { "a series of which no snapshot can be read" } else { &series.series };
        writeln!(out, "  {}", Shown(name.as_bytes()))?;
        for same in series.snapshots.chunk_by(alike) {
            for one in same {
                writeln!(out, "    {}", head(one))?;
            }
            if let Some(first) = same.first() {
                paths(out, first)?;
            }
        }
    }
    Ok(())
}

fn alike(a: &SnapshotLoss, b: &SnapshotLoss) -> bool {
    (a.whole, a.entries, a.bytes, &a.paths) == (b.whole, b.entries, b.bytes, &b.paths)
}

/// `1a2b3c4d  2026-03-02 04:05:06  3 entries, 1.25 MiB`
pub fn head(loss: &SnapshotLoss) -> String {
    let time = loss.time.map_or_else(|| "time unknown       ".into(), human::local_time);
    let what = match loss {
        SnapshotLoss { whole: true, .. } => "the snapshot itself cannot be read".into(),
        loss => format!("{}, {}", human::counted(loss.entries, "entry", "entries"), human::bytes(loss.bytes)),
    };
    format!("{}  {time}  {what}", loss.id.short())
}

/// Paths with what is lost of each.
pub fn paths(out: &mut dyn Write, loss: &SnapshotLoss) -> io::Result<()> {
    let shown = &loss.paths[..loss.paths.len().min(PATHS)];
    let names: Vec<String> = shown.iter().map(|lost| Shown(&lost.path).to_string()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(60);
    for (name, lost) in names.iter().zip(shown) {
        writeln!(out, "      {name:<width$}  {}", share(lost))?;
    }
    let told: u64 = shown.iter().map(|lost| lost.entries).sum();
    let more = loss.entries.saturating_sub(told);
    if more > 0 {
        writeln!(out, "      and {}", human::counted(more, "entry more", "entries more"))?;
    }
    Ok(())
}

fn share(lost: &LostPath) -> String {
    if lost.path.ends_with(b"/") {
        let entries = human::counted(lost.entries, "entry", "entries");
        format!("{entries} in it that nothing names any more, {}", human::bytes(lost.lost))
    } else if lost.lost < lost.size {
        format!("{} of {}", human::bytes(lost.lost), human::bytes(lost.size))
    } else {
        human::bytes(lost.size)
    }
}

/// What of a snapshot is lost, for programs.
pub fn of_snapshot(loss: &SnapshotLoss) -> Value {
    let path = |lost: &LostPath| {
        let mut object = Map::new();
        json::put_bytes(&mut object, "path", &lost.path);
        object.insert("entries".into(), lost.entries.into());
        object.insert("size".into(), lost.size.into());
        object.insert("lost".into(), lost.lost.into());
        Value::Object(object)
    };
    json!({
        "snapshot": loss.id.to_string(),
        "time": loss.time.map(|sec| json::time(Time::from_sec(sec))),
        "whole": loss.whole,
        "entries": loss.entries,
        "bytes": loss.bytes,
        "paths": loss.paths.iter().map(path).collect::<Vec<Value>>(),
    })
}

/// What is lost of each series, for programs.
pub fn of_series(losses: &[SeriesLoss]) -> Value {
    let one = |series: &SeriesLoss| {
        let snapshots: Vec<Value> = series.snapshots.iter().map(of_snapshot).collect();
        json!({ "series": series.series, "snapshots": snapshots })
    };
    losses.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SnapshotId;

    #[test]
    fn snapshots_that_lost_the_same_stand_together() {
        let path = |path: &str, size, lost| LostPath { path: path.into(), entries: 1, size, lost };
        let loss = |n: u8, paths: Vec<LostPath>| {
            let mut loss = SnapshotLoss::new(SnapshotId([n; 32]), None);
            paths.into_iter().for_each(|path| loss.add(path));
            loss
        };
        let same = || vec![path("app/a\n", 2048, 1024), path("app/dir/x", 10, 10)];
        let gone = SnapshotLoss { whole: true, ..loss(3, vec![]) };
        let rest = LostPath { path: b"app/".to_vec(), entries: 7, size: 9, lost: 9 };
        let snapshots = vec![loss(1, same()), loss(2, same()), gone, loss(4, vec![rest])];
        let losses = [SeriesLoss { series: "h/-/s".into(), snapshots }];
        let mut out = Vec::new();
        print(&mut out, &losses).unwrap();
        let expected = "  h/-/s
    01010101  time unknown         2 entries, 1.01 KiB
    02020202  time unknown         2 entries, 1.01 KiB
      app/a\\n    1.00 KiB of 2.00 KiB
      app/dir/x  10 B
    03030303  time unknown         the snapshot itself cannot be read
    04040404  time unknown         7 entries, 9 B
      app/  7 entries in it that nothing names any more, 9 B
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
