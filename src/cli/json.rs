//! The lines of `--json`: one object a line, on stdout.
//!
//! Each object has `event`; fields may be added, and events that a program does not know are to be skipped.
//!
//! | event | when | fields |
//! |---|---|---|
//! | `progress` | every second of a long operation | `phase` (`opening` `storing` `publishing` `planning` `restoring` `verifying`), `seconds`, `entries`, `bytes`, `read`, `new`, `stored`, `objects`, each with `…_expected` once a total is known; `path`, `eta_seconds` when known |
//! | `problem` | as it occurs | `message` |
//! | `note` | as it occurs | `message` |
//! | `entry` | `ls`: for each entry | `path`, `type` (`file` `dir` `symlink` `fifo` `socket` `char` `block`), `size`, `mode` (octal text), `uid`, `gid`, `user`, `group`, `mtime`, `links`, `inode`, `target` |
//! | `result` | last, always | `command`, `exit_code`, then what the command tells; after a failure `error` with `kind` and `message` |
//!
//! | command | its result |
//! |---|---|
//! | `init` | `repository`, `place`, `recovery_sheet` (the file it went to, or null) |
//! | `snapshot` | `snapshot` (an object as below, `id` null after a dry run), `files_unchanged`, `files_opened`, `data_packs`, `tree_packs`, `bytes_new`, `bytes_stored`, `leaning` (`bytes_new`, `bytes_stored`), `seconds`, `dry_run` |
//! | `snapshots` | `snapshots` (objects as below, with `tags` as `tag` left them, and `pinned`: null, or `reason`, `time`, `user`, `host`), `unreadable` (`object`, `message`), `rollbacks` |
//! | `forget` | `series` (`series`, `snapshots`: `id`, `sequence`, `time`, `complete`, `bytes`, `tags`, `forget`, `kept_by`; `guards`: `suspicion` (`shrunken` `future` `backwards`), `suspects`; `held`; `illegible`), `forgotten` (ids), `kept`, `finished`, `pinned_meanwhile`, `failed` and `unreadable` (`object`, `message`), `dry_run` |
//! | `tag …`, `pin`, `unpin` | `changed`, `unchanged` (ids) |
//! | `restore` | `snapshot`, `totals`, `files_unchanged`, `files_written`, `bytes_written`, `bytes_fetched`, `deleted`, `sockets`, `shortfall`, `problem_count`, `problems`, `actions`, `seconds` |
//! | `ls` | `snapshot`, `entries`, `unreadable` (`path`, `message`) |
//! | `dump` | none: its output is the data (with `--output`: `snapshot`, `bytes`) |
//! | `mount` | `folder`; a `note` tells when it is mounted |
//! | `stats` | `series` and sums |
//! | `check` | `snapshots`, `packs`, `blobs`, `packs_read`, `bytes_read`, `findings` (`object`, `what`, `lost`, `lost_count`), `losses` (by series: `series`, `snapshots`, each a loss as below), `notes`, `rollbacks`; with `--keyless`: `repository`, `objects`, `packs_read`, `bytes_read`, `findings` (`object`, `what`), `notes` |
//! | `repair` | `dry_run`, `index` (`listed`, `recovered`, `blobs`, `unreadable`, `unusable`), `packs` (`damaged`: `object`, `what`, `segments`, `whole`, `known`; `read`, `moved`, `moved_bytes`, `fetched`, `fetched_bytes`, `missing`, `marked`), `snapshots` (`snapshot`, `series`, `time`, `what`, `new`, `made`, `lost`: a loss as below), each null when it was not asked for; `shortfall` |
//! | `key …` | `keys`, or `key` and `key_file` |
//!
//! A **snapshot** has `id`, `series`, `sequence`, `previous`, `time`, `finished`, `complete`, `host`, `user`, `program`, `tags`,
//! `description`, `totals` (`files` `directories` `others` `bytes`), `work` (`files_read` `bytes_read` `bytes_new` `bytes_stored`),
//! `sources` (`name`, `kind`: `tree` or `stream`, `path` or `command`, `totals`, `excludes`), `problem_count`, `problems` (`path`, `what`).
//!
//! A **rollback** has `series`, `missing` (ids), `seen` and `newest` (the highest number that this machine has seen, and that is there),
//! `message`.
//!
//! A **loss** has `snapshot`, `time`, `whole` (true when the snapshot itself cannot be read), `entries`, `bytes`, and `paths` (the first 100: `path`,
//! `entries`, `size`, `lost`; a path that ends in `/` stands for entries of that directory that nothing names any more).
//!
//! Sizes are bytes. Times are RFC 3339 in UTC. A name or path is a string; where it is not UTF-8 the string has escapes, and
//! `<field>_hex` beside it holds the exact bytes.

use crate::{
    id::{SnapshotId, hex},
    model::snapshot::{DeviceClass, Problem, Snapshot, SourceKind, Totals},
    name::Shown,
    repo::{Listed, Rollback},
    world::Time,
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Prints one object on a line of its own.
pub fn print(out: &mut dyn Write, object: &Value) -> io::Result<()> {
    let mut line = object.to_string();
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Series that are not what they were.
pub fn rollbacks(rollbacks: &[Rollback]) -> Value {
    let each = rollbacks.iter().map(|rollback| {
        let missing: Vec<String> = rollback.missing.iter().map(|missing| missing.id.to_string()).collect();
        let (seen, newest) = rollback.numbers;
        json!({
            "series": rollback.series,
            "missing": missing,
            "seen": seen,
            "newest": newest,
            "message": rollback.to_string(),
        })
    });
    each.collect()
}

/// Puts bytes that are mostly text into an object.
pub fn put_bytes(object: &mut Map<String, Value>, field: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            object.insert(field.into(), text.into());
        }
        Err(_) => {
            object.insert(field.into(), Shown(bytes).to_string().into());
            object.insert(format!("{field}_hex"), hex(bytes).into());
        }
    }
}

/// A time in UTC; null when no calendar has it.
pub fn time(time: Time) -> Value {
    match jiff::Timestamp::new(time.sec, time.nsec.min(999_999_999) as i32) {
        Ok(time) => time.to_string().into(),
        Err(_) => Value::Null,
    }
}

/// Sums.
pub fn totals(totals: &Totals) -> Value {
    json!({ "files": totals.files, "directories": totals.directories, "others": totals.others, "bytes": totals.bytes })
}

/// A list of problems.
pub fn problems(problems: &[Problem]) -> Value {
    let one = |problem: &Problem| {
        let mut object = Map::new();
        put_bytes(&mut object, "path", &problem.path);
        object.insert("what".into(), problem.what.clone().into());
        Value::Object(object)
    };
    problems.iter().map(one).collect()
}

/// A snapshot with its name.
pub fn listed(listed: &Listed) -> Value {
    snapshot(Some(&listed.id), &listed.snapshot)
}

/// A snapshot.
pub fn snapshot(id: Option<&SnapshotId>, snapshot: &Snapshot) -> Value {
    let sources: Vec<Value> = snapshot
        .sources
        .iter()
        .map(|source| {
            let mut object = Map::new();
            put_bytes(&mut object, "name", source.root.name.as_bytes());
            match &source.kind {
                SourceKind::Tree { path, device } => {
                    object.insert("kind".into(), "tree".into());
                    put_bytes(&mut object, "path", path);
                    let device = match device {
                        DeviceClass::Unknown => Value::Null,
                        DeviceClass::SolidState => "solid-state".into(),
                        DeviceClass::Rotational => "rotational".into(),
                    };
                    object.insert("device".into(), device);
                }
                SourceKind::Stream { command } => {
                    object.insert("kind".into(), "stream".into());
                    let command: Vec<String> = command.iter().map(|word| Shown(word).to_string()).collect();
                    object.insert("command".into(), command.into());
                }
            }
            object.insert("totals".into(), totals(&source.totals));
            object.insert("excludes".into(), source.excludes.clone().into());
            Value::Object(object)
        })
        .collect();
    let work = &snapshot.work;
    json!({
        "id": id.map(ToString::to_string),
        "series": snapshot.series,
        "sequence": snapshot.head.sequence,
        "previous": snapshot.head.previous.map(|id| id.to_string()),
        "time": time(snapshot.head.time),
        "finished": time(snapshot.finished),
        "complete": snapshot.head.complete,
        "host": snapshot.host,
        "user": snapshot.user,
        "program": snapshot.program,
        "tags": snapshot.tags,
        "description": snapshot.description,
        "totals": totals(&snapshot.totals),
        "work": {
            "files_read": work.files_read,
            "bytes_read": work.bytes_read,
            "bytes_new": work.bytes_new,
            "bytes_stored": work.bytes_stored,
        },
        "sources": sources,
        "problem_count": snapshot.problem_count,
        "problems": problems(&snapshot.problems),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_kept_beside_it() {
        let mut object = Map::new();
        put_bytes(&mut object, "path", "ä\n".as_bytes());
        put_bytes(&mut object, "name", b"a\xff");
        assert_eq!(Value::Object(object), json!({ "path": "ä\n", "name": "a\\xff", "name_hex": "61ff" }));
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Time { sec: 1772424306, nsec: 5_000_000 }), "2026-03-02T04:05:06.005Z");
        assert_eq!(time(Time::from_sec(i64::MAX)), Value::Null);
    }

    #[test]
    fn a_line_is_one_line() {
        let mut out = Vec::new();
        print(&mut out, &json!({ "message": "a\nb" })).unwrap();
        assert_eq!(out, b"{\"message\":\"a\\nb\"}\n");
    }
}
