//! What an application inherits, and what that means.

use super::{
    read,
    schema::APP_DEFAULTS,
    value::{Kind, Table, Value},
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    fleet::app::{Hooks, Quiesce, Slo},
    model::annotation::check_tag,
    ops::forget::policy::{Every, Policy, Reach, Rule},
    series::parse_age,
};

/// Lists that add up from level to level.
const ADDED: [&str; 2] = ["exclude", "tags"];

/// What counts when nothing is said.
pub fn defaults(of: &[(&str, &str)]) -> Result<Table> {
    let mut out = Table::default();
    for (path, text) in of {
        out.put(path, read::parse_default(text)?);
    }
    Ok(out)
}

/// What applications start from.
pub fn app_defaults() -> Result<Table> {
    defaults(APP_DEFAULTS)
}

/// What counts below a level that says `nearer`.
pub fn inherit(farther: &Table, nearer: &Table) -> Table {
    let mut out = farther.clone();
    out.overlay(nearer);
    for name in ADDED {
        if let (Some(first), Some(more)) = (farther.get(name), nearer.get(name)) {
            let items = |value: &Value| match &value.kind {
                Kind::List(list) => list.clone(),
                _ => vec![value.clone()],
            };
            let mut list = items(first);
            for item in items(more) {
                if !list.iter().any(|known| known.kind == item.kind) {
                    list.push(item);
                }
            }
            out.0.insert(name.to_owned(), Value { kind: Kind::List(list), origin: more.origin.clone() });
        }
    }
    out
}

pub fn texts(table: &Table, key: &str) -> Result<Vec<String>> {
    Ok(table.texts(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
}

fn reach(table: &Table, key: &str) -> Result<Option<Reach>> {
    let Some(value) = table.get(key) else { return Ok(None) };
    match &value.kind {
        Kind::Integer(0) => Ok(None),
        Kind::Integer(n) => Ok(u64::try_from(*n).ok().map(Reach::Count)),
        Kind::Text(text) => match parse_age(text) {
            Some(0) => Ok(None),
            Some(seconds) => Ok(Some(Reach::Within(seconds))),
            None => Err(value.wrong(key, "write a number of periods, or a duration such as \"30d\"")),
        },
        _ => Err(value.wrong(key, "write a number of periods, or a duration such as \"30d\"")),
    }
}

/// What is kept; empty when nothing is said.
pub fn retention(table: &Table) -> Result<Policy> {
    let Some(said) = table.table("retention")? else { return Ok(Policy::default()) };
    let mut policy = Policy { tags: texts(said, "tags")?, ..Policy::default() };
    for (key, every) in [
        ("last", Every::Snapshot),
        ("within", Every::Snapshot),
        ("hourly", Every::Hour),
        ("daily", Every::Day),
        ("weekly", Every::Week),
        ("monthly", Every::Month),
        ("yearly", Every::Year),
    ] {
        if let Some(reach) = reach(said, key)? {
            policy.rules.push(Rule { every, reach });
        }
    }
    Ok(policy)
}

fn number(table: &Table, key: &str) -> Result<Option<u64>> {
    match table.integer(key)? {
        Some(number) => Ok(u64::try_from(number).ok()),
        None => Ok(None),
    }
}

/// A number of the user's, which is not negative.
pub fn natural(table: &Table, key: &str) -> Result<Option<u64>> {
    number(table, key)
}

pub fn slo(table: &Table) -> Result<Slo> {
    let empty = Table::default();
    let said = table.table("slo")?.unwrap_or(&empty);
    let missing = |key: &str| Error::usage(format!("slo.{key} is missing"));
    Ok(Slo {
        rpo: said.duration("rpo")?.ok_or_else(|| missing("rpo"))?,
        rto: said.duration("rto")?,
        copies: number(said, "copies")?.unwrap_or(1),
        sites: number(said, "sites")?.unwrap_or(1),
        check: said.duration("check")?.ok_or_else(|| missing("check"))?,
        drill: said.duration("drill")?,
    })
}

pub fn hooks(table: &Table) -> Result<Hooks> {
    let Some(said) = table.table("hooks")? else { return Ok(Hooks::default()) };
    Ok(Hooks { before: texts(said, "before")?, after: texts(said, "after")?, on_error: texts(said, "on-error")? })
}

pub fn quiesce(table: &Table) -> Result<Quiesce> {
    Ok(match table.text("quiesce")? {
        Some("lvm") => Quiesce::Lvm { size: table.text("quiesce-size")?.unwrap_or("10%ORIGIN").to_owned() },
        Some("btrfs") => Quiesce::Btrfs,
        Some("zfs") => Quiesce::Zfs,
        _ => Quiesce::None,
    })
}

pub fn compression(table: &Table) -> Result<Compression> {
    let Some(value) = table.get("compression") else { return Ok(Compression::Auto) };
    match &value.kind {
        Kind::Text(text) if text == "none" => Ok(Compression::None),
        Kind::Text(text) if text == "auto" => Ok(Compression::Auto),
        Kind::Integer(level @ 1..=19) => Ok(Compression::Level(*level as i32)),
        _ => Err(value.wrong("compression", "write \"none\", \"auto\", or a level from 1 to 19")),
    }
}

/// Words for snapshots, which must be such.
pub fn tags(table: &Table) -> Result<Vec<String>> {
    let tags = texts(table, "tags")?;
    for tag in &tags {
        if let (Err(why), Some(value)) = (check_tag(tag), table.get("tags")) {
            return Err(value.wrong("tags", why));
        }
    }
    Ok(tags)
}
