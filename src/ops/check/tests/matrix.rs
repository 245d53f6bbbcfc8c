//! Every class of objects, in every region, damaged in every way: found, by name, without a panic; and what is not said to be lost comes
//! back to the last byte. `cargo test matrix -- --nocapture` prints the table.

use super::*;
use crate::{
    model::{
        annotation::{Annotation, Change},
        gc::Step,
        medium::Marker,
        tombstone::{GoneHead, Tombstone},
    },
    object,
    ops::{
        naming::{self, MIRROR},
        parity::{self, Addition},
        walk::each_entry,
    },
    parity::{Percent, SECTOR},
    repo::{BlobReader, Listed, session::intent_name},
    store::Put,
    world::Time,
};
use std::collections::{BTreeMap, BTreeSet};

const SERIES: &str = "h/-/s";

/// A region of an object: its name, and from where to where.
type Region = (&'static str, usize, usize);

const HEADER: [Region; 6] = [
    ("magic", 0, 8),
    ("version", 8, 10),
    ("kind", 10, 11),
    ("suite", 11, 12),
    ("reserved", 12, 16),
    ("repository", 16, 32),
];

fn regions(class: &str, bytes: &[u8]) -> Vec<Region> {
    let class = class.strip_prefix("copy of ").unwrap_or(class);
    let len = bytes.len();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let rest: Vec<Region> = match class {
        "slot" => vec![
            ("method", 32, 36),
            ("costs", 36, 48),
            ("salt", 48, 80),
            ("commitment", 80, 112),
            ("nonce", 112, 136),
            ("ciphertext", 136, 264),
            ("tag", 264, 280),
            ("second nonce", 280, 304),
            ("second ciphertext", 304, 496),
            ("second tag", 496, 512),
        ],
        "snapshot" | "intent" => vec![
            ("wrapped key", 32, 112),
            ("nonce", 112, 136),
            ("ciphertext", 136, 264),
            ("tag", 264, 280),
            ("second nonce", 280, 304),
            ("second ciphertext", 304, 404),
            ("padding", len - 116, len - 16),
            ("second tag", len - 16, len),
        ],
        "tombstone" => vec![
            ("nonce", 32, 56),
            ("ciphertext", 56, 184),
            ("tag", 184, 200),
            ("second nonce", 200, 224),
            ("second ciphertext", 224, 300),
            ("padding", len - 148, len - 48),
            ("second tag", len - 48, len - 32),
            ("sum", len - 32, len),
        ],
        "data pack" | "tree pack" => {
            let (at, sealed) = (number(len - 32), number(len - 24));
            vec![
                ("ciphertext", 32, 132),
                ("padding", at - 8, at),
                ("directory nonce", at, at + 24),
                ("directory", at + 24, at + sealed - 16),
                ("directory tag", at + sealed - 16, at + sealed),
                ("footer: place", len - 32, len - 24),
                ("footer: length", len - 24, len - 16),
                ("footer: magic", len - 16, len - 8),
                ("footer: rest", len - 8, len),
            ]
        }
        // One block of its table, recovery sectors, one recovery block.
        "sidecar" => {
            let last = len - SECTOR;
            vec![
                ("set", 32, 48),
                ("number", 48, 52),
                ("shape", 52, 68),
                ("percentage", 68, 70),
                ("more reserved", 70, 96),
                ("table", 96, 400),
                ("sum of block", SECTOR - 32, SECTOR),
                ("recovery sectors", SECTOR, last),
                ("second header", last, last + 32),
                ("recovery block", last + 96, len - 32),
                ("second sum", len - 32, len),
            ]
        }
        _ => vec![("nonce", 32, 56), ("ciphertext", 56, 156), ("padding", len - 116, len - 16), ("tag", len - 16, len)],
    };
    HEADER.into_iter().chain(rest).collect()
}

/// Ways to damage a region.
const WAYS: [&str; 4] = ["flip", "zero", "truncate", "extend"];

fn damage(bytes: &mut Vec<u8>, way: &str, (_, start, end): Region) {
    match way {
        "flip" => bytes[(start + end) / 2] ^= 0x40,
        "zero" if bytes[start..end].iter().all(|byte| *byte == 0) => bytes[start..end].fill(0xff),
        "zero" => bytes[start..end].fill(0),
        "truncate" => bytes.truncate(start),
        _ => bytes.insert(start, 0),
    }
}

/// A repository with objects of every class, and what was removed from it.
struct Sample {
    fixture: Fixture,
    /// Objects of each class, the oldest first.
    classes: BTreeMap<String, Vec<ObjectName>>,
    contents: BTreeMap<String, Vec<u8>>,
}

fn text() -> String {
    "text".into()
}

fn sample() -> Sample {
    let fixture = Fixture::new();
    let sources = |version: u64| {
        let files = (0..12).map(|n| (format!("f{n}"), fixture::file(&fixture::noise(3000, 100 * version + n))));
        vec![("app", fixture::dir(files.collect())), ("db", fixture::file(&fixture::noise(9000, version)))]
    };
    let percent = Percent::new(1000).unwrap();
    let add_parity = || {
        let addition = Addition { percent, mirror: true, drop_missing: false, replace: BTreeSet::new() };
        parity::add(&fixture.store, &addition, &Silent).unwrap();
    };
    // In the order in which they came.
    let mut aged: Vec<ObjectName> = Vec::new();
    let mut age = || {
        let new = fixture.store.names().into_iter().filter(|name| !aged.contains(name)).collect::<Vec<_>>();
        aged.extend(new);
    };
    let mut listed: Vec<Listed> = Vec::new();
    for n in 0..2 {
        listed.push(fixture.snapshot(SERIES, n, sources(n as u64)));
        add_parity();
        age();
    }
    let (series, time) = (fixture.tag(SERIES), Time::from_sec(9));
    for n in 0..2 {
        let gone = fixture.snapshot(SERIES, 9 + n, vec![("f", fixture::file(&[n as u8]))]);
        let head = GoneHead { series, snapshot: gone.id, head: gone.snapshot.head.clone() };
        fixture.repo.bury(&Tombstone { head, time, host: text(), user: text(), reason: text() }).unwrap();
        fixture.store.remove(&fixture.object(SERIES, &gone.id)).unwrap();
        let changes = vec![Change::Tag { tag: format!("t{n}"), on: true }];
        let snapshot = listed[n as usize].id;
        let note = Annotation { series, snapshot, counter: 1, time, host: text(), user: text(), changes };
        fixture.repo.annotate(&note).unwrap();
        age();
    }
    fixture.as_maintainer();
    for one in &listed {
        let intent = fixture.store.get(&fixture.object(SERIES, &one.id), u64::MAX).unwrap();
        assert_eq!(fixture.store.put(&intent_name(&one.id), &intent).unwrap(), Put::Created);
        age();
    }
    for _ in 0..2 {
        std::mem::forget(fixture.repo.begin("host", false, &Silent).unwrap());
        fixture.repo.note(Step::Mark, vec![PackId([7; 32])]).unwrap();
        age();
    }
    for generation in 1..3 {
        let (medium, parity) = ([1; 16], false);
        let marker = Marker { medium, generation, name: text(), time, host: text(), parity };
        let sealed = crate::repo::media::seal_marker(fixture.repo.keys(), &marker, fixture.repo.entropy()).unwrap();
        let id = crate::id::hex(&crate::hash::object_name(&sealed));
        fixture.store.put(&ObjectName::of_parts(&["media", &id]), &sealed).unwrap();
        age();
    }
    add_parity();
    age();
    let mut classes: BTreeMap<String, Vec<ObjectName>> = BTreeMap::new();
    for name in aged {
        let kind = fixture.store.get(&name, u64::MAX).unwrap()[10];
        let first = name.as_str().strip_prefix(MIRROR);
        let class = match (first.unwrap_or(name.as_str()).split('/').next().unwrap(), kind) {
            ("config", _) => "config",
            ("keys", _) => "slot",
            ("packs", 3) => "data pack",
            ("packs", _) => "tree pack",
            ("index", _) => "index",
            ("snapshots", _) => "snapshot",
            ("gone", _) => "tombstone",
            ("notes", _) => "annotation",
            ("sessions", 6) => "intent",
            ("sessions", _) => "session",
            ("gc", _) => "note of prune",
            ("media", _) => "marker",
            ("parity", _) => "sidecar",
            (folder, kind) => panic!("{folder} {kind}"),
        };
        let class = if first.is_some() { format!("copy of {class}") } else { class.to_owned() };
        classes.entry(class).or_default().push(name);
    }
    assert_eq!(classes.len(), 13 + 7, "{classes:?}");
    let contents = contents(&fixture).into_iter().map(|(path, bytes)| (path, bytes.unwrap())).collect();
    Sample { fixture, classes, contents }
}

/// All files of all snapshots, by path, as a restore would read them.
fn contents(fixture: &Fixture) -> BTreeMap<String, Result<Vec<u8>>> {
    let mut out = BTreeMap::new();
    let Ok((index, _)) = fixture.repo.load_index(true) else { return out };
    let reader = BlobReader::new(&fixture.repo, &index);
    for Listed { id, snapshot, .. } in fixture.repo.snapshots(None).map(|all| all.listed).unwrap_or_default() {
        for source in &snapshot.sources {
            let name = source.root.name.as_bytes();
            let mut take = |path: &[u8], node: &crate::model::node::Node| {
                if let Body::File { size, content } = &node.body {
                    let path = format!("{SERIES}@{}:{}", id.short(), String::from_utf8_lossy(path));
                    out.insert(path, fixture::contents_of(&reader, *size, content));
                }
                Ok(())
            };
            take(name, &source.root).unwrap();
            if let Body::Directory { tree, .. } = source.root.body {
                // A tree that cannot be read has no files that could be wrong; what it costs is in the report.
                let _ = each_entry(&reader, tree, name, &mut take);
            }
        }
    }
    out
}

/// Looks at a repository of which `name` was changed: says how the change was found, or fails when it was not.
fn judge(sample: &Sample, name: &ObjectName) -> std::result::Result<&'static str, String> {
    let Sample { fixture, contents: truth, .. } = sample;
    let (how, lost): (_, BTreeSet<String>) = match check(&fixture.repo, ReadData::Percent(100.0), 1, &Silent) {
        Ok(report) => {
            let finding = report.findings.iter().any(|finding| finding.object == name.as_str());
            let note = report.notes.iter().any(|note| note.contains(name.as_str()));
            let lost = report.findings.into_iter().flat_map(|finding| finding.lost).collect();
            (
                if finding {
                    "finding"
                } else if note {
                    "note"
                } else {
                    "nothing"
                },
                lost,
            )
        }
        Err(Error::Unsupported { .. }) => ("unsupported", BTreeSet::new()),
        Err(error) => {
            (if error.to_string().contains(name.as_str()) { "error" } else { "other error" }, BTreeSet::new())
        }
    };
    if how == "nothing" || how == "other error" {
        return Err(format!("{how} is said"));
    }
    let found = contents(fixture);
    let is_beside = name.as_str().starts_with(MIRROR) || name.as_str().starts_with("parity/");
    for (path, truth) in truth {
        let lost =
            || lost.iter().any(|one| path == one || path.starts_with(&format!("{}/", one.trim_end_matches('/'))));
        match found.get(path) {
            Some(Ok(bytes)) if bytes != truth => return Err(format!("{path} has other bytes")),
            Some(Ok(_)) => {}
            Some(Err(_)) | None if is_beside => return Err(format!("{path} is lost")),
            // A snapshot that cannot be read, and all where config or index cannot, are lost as a whole.
            Some(Err(_)) | None if !lost() && how != "unsupported" && name.as_str().starts_with("packs/") => {
                return Err(format!("{path} is lost, and not said to be"));
            }
            Some(Err(_)) | None => {}
        }
    }
    match found.keys().find(|path| !truth.contains_key(*path)) {
        Some(path) => Err(format!("{path} was never there")),
        None => Ok(how),
    }
}

/// A config under the same keys that says something else. None is ever written over, so nobody has an earlier one but who can seal it.
fn earlier_config(fixture: &Fixture) -> Vec<u8> {
    let mut config = fixture.repo.config().clone();
    config.pack_target *= 2;
    let keys = fixture.repo.keys();
    let payload = crate::model::codec::encode(&config);
    object::seal_envelope(Kind::Config, keys.repo(), &keys.config_key(), &payload, fixture.repo.entropy()).unwrap()
}

/// Another tombstone of the same snapshot says the same: which of both came first is nobody's business.
#[test]
fn an_earlier_tombstone_of_the_same_snapshot_is_as_good() {
    let sample = sample();
    let name = sample.classes["tombstone"].last().unwrap();
    let parts: Vec<&str> = name.as_str().split('/').collect();
    let (tag, id) = (sample.fixture.tag(SERIES), crate::id::SnapshotId::parse(parts[2]).unwrap());
    let repo = &sample.fixture.repo;
    let earlier = Tombstone { time: Time::from_sec(1), ..repo.tombstone(&tag, &id).unwrap() };
    let sealed = crate::repo::tombstones::seal_tombstone(repo.keys(), &earlier, repo.entropy()).unwrap();
    for name in [name, &ObjectName::new(format!("{MIRROR}{name}")).unwrap()] {
        sample.fixture.store.tamper(name, |bytes| bytes.clone_from(&sealed));
    }
    assert_eq!(whole(&sample.fixture).findings, []);
    assert_eq!(repo.tombstone(&tag, &id).unwrap().time, Time::from_sec(1));
}

#[test]
fn the_matrix_of_damage() {
    let sample = sample();
    let fixture = &sample.fixture;
    assert_eq!(whole(fixture).findings, []);
    let (mut cells, mut missed) = (0, Vec::new());
    for (class, names) in &sample.classes {
        let name = names.last().unwrap();
        let before = bytes(fixture, name);
        let mut row = |region: &str, way: &str, changed: Vec<u8>| {
            assert_ne!(changed, before, "{class}: {region}: {way}");
            fixture.store.tamper(name, |bytes| *bytes = changed);
            let judged = judge(&sample, name);
            fixture.store.tamper(name, |bytes| bytes.clone_from(&before));
            cells += 1;
            println!("{class:18} {region:18} {way:9} {}", judged.as_deref().unwrap_or_else(|why| why));
            if let Err(why) = judged {
                missed.push(format!("{class}: {region}: {way}: {why}"));
            }
        };
        for region in regions(class, &before) {
            for way in WAYS {
                let mut changed = before.clone();
                damage(&mut changed, way, region);
                row(region.0, way, changed);
            }
        }
        for (way, other) in [("replay", names.first()), ("swap", names.iter().rev().nth(1))] {
            if let Some(other) = other.filter(|other| *other != name) {
                row("whole", way, bytes(fixture, other));
            }
        }
        if matches!(naming::class(name.as_str()), Some((naming::Class::Config, _))) {
            row("whole", "replay", earlier_config(fixture));
        }
        let mut longer = before.clone();
        longer.resize(before.len() + 4096, 0);
        row("end", "extend", longer);
    }
    println!("{cells} cells, {} missed", missed.len());
    assert!(cells > 900, "{cells}");
    assert!(missed.is_empty(), "{} of {cells} missed:\n{}", missed.len(), missed.join("\n"));
    assert_eq!(whole(fixture).findings, []);
}
