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
    ops::walk::each_entry,
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
    /// One object of each class.
    classes: BTreeMap<&'static str, Vec<ObjectName>>,
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
    let listed: Vec<Listed> = (0..2).map(|n| fixture.snapshot(SERIES, n, sources(n as u64))).collect();
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
    }
    fixture.as_maintainer();
    for one in &listed {
        let intent = fixture.store.get(&fixture.object(SERIES, &one.id), u64::MAX).unwrap();
        assert_eq!(fixture.store.put(&intent_name(&one.id), &intent).unwrap(), Put::Created);
    }
    for _ in 0..2 {
        std::mem::forget(fixture.repo.begin("host", false, &Silent).unwrap());
        fixture.repo.note(Step::Mark, vec![PackId([7; 32])]).unwrap();
    }
    for generation in 1..3 {
        let (medium, parity) = ([1; 16], false);
        let marker = Marker { medium, generation, name: text(), time, host: text(), parity };
        let sealed = crate::repo::media::seal_marker(fixture.repo.keys(), &marker, fixture.repo.entropy()).unwrap();
        let id = crate::id::hex(&crate::hash::object_name(&sealed));
        fixture.store.put(&ObjectName::of_parts(&["media", &id]), &sealed).unwrap();
    }
    let mut classes: BTreeMap<&'static str, Vec<ObjectName>> = BTreeMap::new();
    for name in fixture.store.names() {
        let kind = fixture.store.get(&name, u64::MAX).unwrap()[10];
        let class = match (name.as_str().split('/').next().unwrap(), kind) {
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
            (folder, kind) => panic!("{folder} {kind}"),
        };
        classes.entry(class).or_default().push(name);
    }
    assert_eq!(classes.len(), 12, "{classes:?}");
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
    for (path, truth) in truth {
        let lost = || lost.iter().any(|one| path == one || path.starts_with(&format!("{one}/")));
        match found.get(path) {
            Some(Ok(bytes)) if bytes != truth => return Err(format!("{path} has other bytes")),
            Some(Ok(_)) => {}
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

#[test]
fn the_matrix_of_damage() {
    let sample = sample();
    let fixture = &sample.fixture;
    assert_eq!(whole(fixture).findings, []);
    let (mut cells, mut missed) = (0, Vec::new());
    for (class, names) in &sample.classes {
        let name = &names[0];
        let before = bytes(fixture, name);
        let mut row = |region: &str, way: &str, changed: Vec<u8>| {
            assert_ne!(changed, before, "{class}: {region}: {way}");
            fixture.store.tamper(name, |bytes| *bytes = changed);
            let judged = judge(&sample, name);
            fixture.store.tamper(name, |bytes| bytes.clone_from(&before));
            cells += 1;
            println!("{class:14} {region:18} {way:9} {}", judged.as_deref().unwrap_or_else(|why| why));
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
        if let Some(other) = names.get(1) {
            row("whole", "swap", bytes(fixture, other));
        }
        let mut longer = before.clone();
        longer.resize(before.len() + 4096, 0);
        row("end", "extend", longer);
    }
    println!("{cells} cells, {} missed", missed.len());
    assert!(cells > 500, "{cells}");
    assert!(missed.is_empty(), "{} of {cells} missed:\n{}", missed.len(), missed.join("\n"));
    assert_eq!(whole(fixture).findings, []);
}
