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
//! | `difference` | `diff`: for each | `path`, `change` (`added` `removed` `changed` `moved`), `from`, `what` (words of `type` `content` `target` `device` `mode` `owner` `attributes` `time`), `before` and `after` (`type`, `size`, `mode`, `uid`, `gid`, `mtime`) |
//! | `match` | `find`: for each | `series`, `path`, `type`, `size`, `mode`, `mtime` (of its newest version), `first` and `last` (`id`, `sequence`, `time`), `snapshots`, `versions`, `present` (in the newest snapshot) |
//! | `job` | `run`: each, when it ends | `job` (`snapshot` `forget` `copy` `medium` `pull` `prune` `check` `drill`), `object`, `outcome` (`done` `incomplete` `absent` `skipped` `planned` `failed`), `seconds`; `message`, or `snapshot`, `files`, `bytes`, `bytes_new`, `bytes_stored` |
//! | `result` | last, always | `command`, `exit_code`, then what the command tells; after a failure `error` with `kind` and `message` |
//!
//! | command | its result |
//! |---|---|
//! | `init` | `repository`, `place`, `recovery_sheet` (the file it went to, or null) |
//! | `snapshot` | `snapshot` (an object as below, `id` null after a dry run), `files_unchanged`, `files_opened`, `files_gone`, `data_packs`, `tree_packs`, `bytes_new`, `bytes_stored`, `leaning` (`bytes_new`, `bytes_stored`), `seconds`, `dry_run` |
//! | `snapshots` | `snapshots` (objects as below, with `tags` as `tag` left them, and `pinned`: null, or `reason`, `time`, `user`, `host`; `rewritten`: `from`, `what`, `time`, `user`, `host` for each time that something was taken out), `unreadable` (`object`, `message`), `rollbacks` |
//! | `forget` | `series` (`series`, `snapshots`: `id`, `sequence`, `time`, `complete`, `bytes`, `tags`, `forget`, `kept_by`; `guards`: `suspicion` (`shrunken` `future` `backwards`), `suspects`; `held`; `illegible`), `forgotten` (ids), `kept`, `finished`, `pinned_meanwhile`, `failed` and `unreadable` (`object`, `message`), `dry_run` |
//! | `tag …`, `pin`, `unpin` | `changed`, `unchanged` (ids) |
//! | `restore` | `snapshot`, `totals`, `files_unchanged`, `files_written`, `bytes_written`, `bytes_fetched`, `deleted`, `sockets`, `shortfall`, `problem_count`, `problems`, `actions`, `seconds` |
//! | `ls` | `snapshot`, `entries`, `unreadable` (`path`, `message`) |
//! | `dump` | none: its output is the data (with `--output`: `snapshot`, `bytes`) |
//! | `diff` | `before`, `after` (ids), `equal`, `added`, `removed`, `changed`, `metadata`, `moved`, `bytes_added`, `bytes_removed`, `unreadable` (`path`, `what`) |
//! | `find` | `series`, `snapshots`, `matches` (numbers), `unreadable` (messages) |
//! | `log` | `series`, `path`, `snapshots`, `versions` (`version`, `since` and `until`: `id`, `sequence`, `time`; `snapshots`, `gone`, `what`, `type`, `size`, `mode`, `uid`, `gid`, `mtime`), `unreadable` (messages) |
//! | `stats` | `series` (`series`, `snapshots`, `newest`, `files`, `bytes`, `bytes_all`, `bytes_new`, `bytes_stored`, `nights`: `time`, `bytes`, `bytes_new`, `bytes_stored`; `sources`: `name`, `snapshots`, `files`, `bytes`, `bytes_all`, `bytes_new`, `nights`: new bytes in the same nights) and sums |
//! | `mount` | `folder`; a `note` tells when it is mounted |
//! | `check` | `snapshots`, `packs`, `blobs`, `packs_read`, `bytes_read`, `findings` (`object`, `what`, `lost`, `lost_count`), `losses` (by series: `series`, `snapshots`, each a loss as below), `notes`, `rollbacks`; with `--keyless`: `repository`, `objects`, `packs_read`, `bytes_read`, `findings` (`object`, `what`), `notes` |
//! | `repair` | `dry_run`, `index` (`listed`, `recovered`, `blobs`, `unreadable`, `unusable`), `packs` (`damaged`: `object`, `what`, `segments`, `whole`, `known`; `read`, `moved`, `moved_bytes`, `fetched`, `fetched_bytes`, `missing`, `marked`), `snapshots` (`snapshot`, `series`, `time`, `what`, `new`, `made`, `lost`: a loss as below), each null when it was not asked for; `shortfall` |
//! | `rewrite` | `dry_run`, `looked_at`, `rewritten` (`series`, `new`, `pinned`, `taken`: a loss as below), `remains` (`freed`, `still_needed`, `segments_anew`, `bytes_anew`, `packs_marked`; null when the originals stay) |
//! | `copy` | `mode`: `replica` (`repository`, `created`, `snapshots`, `packs`, `objects`, `bytes`, `replaced`, `forgotten`, `extra_keys`, `damaged`: `object`, `what`) or `logical` (`copied`: `snapshot`, `series`, `time`, `new`; `present`, `forgotten`, `failed`: `object`, `what`; `marked`, `bytes_new`, `bytes_stored`); `dry_run`, `seconds` |
//! | `media list` | `media` (`medium`, `id`, `uuid`, `site`, `parity`, `retired`, `generation`, `last_sync`, `overdue`, `checked`: `time`, `findings`; `snapshots`, `newest`: `series`, `snapshot`, `time`; `free`, `size`, `nights_until_full`) |
//! | `media sync` | `media` (`medium`, `snapshots`, `held`, `objects`, `bytes`, `read_back`, `damaged`, `failed`, `free`, `generation`, `unmounted`, `seconds`) |
//! | `media check` | `medium`, `objects`, `packs_read`, `bytes_read`, `findings` (`object`, `what`) |
//! | `media find` | `found` (`medium`, `site`, `present`, `series`, `snapshot`, `time`, `bytes`) |
//! | `media add`, `eject`, `retire` | `medium`, and `uuid` and `id`, or `unmounted` |
//! | `move` | `from`, `to`, `dry_run`, `reordered`; `moved`: each `series` and `snapshot` as it was, `new`, `sequence` |
//! | `pull` | as `copy` with mode `pull`; `server`, `from`, `to`, `shown` and `known` (snapshots that the source shows, and that it is known to have shown), `lost` and `unburied` (objects that it hides) |
//! | `key rekey` | as `copy` with mode `logical`; `repository` |
//! | `key …` | `keys`, or `key` and `key_file` |
//! | `run` | `jobs` (as the events), `notes`, `wrong` (their number), `dry_run`, `seconds` |
//! | `status` | `fleet`, `time`, `state` (`ok` `red`), `red_applications`, `applications` (`series`, `type`, `state`, `red` and `odd` (texts), `good`, `newest`, `age_seconds`, `copies`, `places`, `sites`, `checked`, `drilled`, `restore_seconds`, `bytes`, `promised`: `rpo_seconds`, `rto_seconds`, `copies`, `sites`, `check_seconds`, `drill_seconds`), `holders` (`name`, `kind`: `repository` `medium`; `site`, `applications`, `snapshots`, `foreign_series`, `synced`, `red`), `jobs` (texts), `last_run` |
//! | `history` | `history` (`time`, `series`, `outcome`: `good` `incomplete` `failed`; `snapshot`, `files`, `bytes`, `bytes_new`, `bytes_stored`, `seconds`, `problems`, `why`) |
//! | `config check` | `faults` (texts), `applications`; `config show`: `toml` |
//! | `schedule …` | `scheduler`, `written`; `files` (`path`, `text`); `removed` |
//!
//! A **snapshot** has `id`, `series`, `sequence`, `previous`, `time`, `finished`, `complete`, `host`, `user`, `program`, `tags`,
//! `description`, `totals` (`files` `directories` `others` `bytes`), `work` (`files_read` `bytes_read` `bytes_new` `bytes_stored`),
//! `sources` (`name`, `kind`: `tree` or `stream`, `path` or `command`, `totals`, `bytes_new`, `excludes`), `problem_count`, `problems` (`path`, `what`).
//!
//! A **rollback** has `series`, `missing` (ids), `seen` and `newest` (the highest number that this machine has seen, and that is there),
//! `message`.
//!
//! A **loss** has `snapshot`, `time`, `whole` (true when the snapshot itself cannot be read), `entries`, `bytes`, and `paths` (the first 100: `path`,
//! `entries`, `size`, `lost`; a path that ends in `/` stands for entries of that directory that nothing names any more).
//!
//! Sizes are bytes. Times are RFC 3339 in UTC. Characters that would steer a terminal are always escaped. A name or path is a string; where it is not UTF-8 the string has escapes, and
//! `<field>_hex` beside it holds the exact bytes.

use crate::{
    id::{SnapshotId, hex},
    model::snapshot::{DeviceClass, Problem, Snapshot, SourceKind, Totals},
    name::{Shown, is_unsafe},
    repo::{Listed, Rollback},
    world::Time,
};
use serde_json::{Map, Value, json};
use std::{
    fmt,
    io::{self, Write},
};

/// An object on one line, which steers no terminal: characters that would are escaped, as JSON allows for any.
pub struct Line<'a>(pub &'a Value);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let mut rest = &text[..];
        while let Some(at) = rest.find(is_unsafe) {
            let (plain, from) = rest.split_at(at);
            f.write_str(plain)?;
            let mut after = from.chars();
            for unit in after.next().into_iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(f, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        f.write_str(rest)
    }
}

/// Prints one object on a line of its own.
pub fn print(out: &mut dyn Write, object: &Value) -> io::Result<()> {
    out.write_all(format!("{}\n", Line(object)).as_bytes())?;
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
            object.insert("bytes_new".into(), source.bytes_new.into());
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

    #[test]
    fn a_line_steers_no_terminal_and_says_the_same() {
        let object = json!({ "a\u{9b}b": "\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{202e} ä \\u009b \u{1f600}" });
        let line = Line(&object).to_string();
        assert!(!line.chars().any(is_unsafe), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
    }
}
