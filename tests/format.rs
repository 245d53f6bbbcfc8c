//! The specification's vectors and its sample repository, held against the program.
//!
//! `VAULT_WRITE_VECTORS=1 cargo test --test format` writes both anew after a change of the format: review the difference.

mod common;

use common::{Repo, json_file, seeded_repository};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use vault::{
    chunk::Chunker,
    hash::{BlobKind, object_name},
    id::{NoteId, PackId, RepoId, SnapshotId, hex},
    keys::{
        Keyring, Role, recovery,
        slot::{Costs, Note, Secret, Slot},
        wrap,
    },
    model::{
        annotation::{Annotation, Change},
        codec,
        config::ChunkerConfig,
        gc::{Note as GcNote, Session, Step},
        medium::Marker,
        snapshot::Head,
        tombstone::{GoneHead, Tombstone},
    },
    object::{self, Kind},
    parity::{Covered, Encoder, Geometry, Percent, SECTOR, Table, mark, pieces, recovery_for},
    repo::{
        annotations::{open_annotation, seal_annotation},
        gc::{open_note, seal_note},
        media::{open_marker, seal_marker},
        session::{open_session, seal_session},
        tombstones::{open_tombstone, seal_tombstone},
    },
    seal::SealKey,
    segment::{Envelope, Sealer},
    series::Series,
    store::ObjectName,
    world::{SeededEntropy, Time},
};

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec")
}

/// Holds a value against the file, or writes the file when asked to.
fn hold(file: &str, value: Value) {
    let path = spec().join("vectors").join(file);
    if std::env::var_os("VAULT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&value).unwrap() + "\n").unwrap();
    }
    assert_eq!(value, json_file(&path), "{file}: the format changed; see the head of tests/format.rs");
}

fn owner() -> Keyring {
    Keyring::owner(RepoId(std::array::from_fn(|i| 0xa0 + i as u8)), SealKey::new(std::array::from_fn(|i| i as u8)))
}

fn noise(len: usize, context: &str) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_derive_key(context).finalize_xof().fill(&mut out);
    out
}

#[test]
fn encoding_vectors_hold() {
    fn case(name: &str, value: impl bincode::Encode) -> Value {
        json!({ "value": name, "bytes": hex(&codec::encode(&value)) })
    }
    hold(
        "encoding.json",
        json!([
            case("u8 251", 251u8),
            case("u32 250", 250u32),
            case("u32 251", 251u32),
            case("u32 65536", 65536u32),
            case("u64 2^32", 1u64 << 32),
            case("u64 max", u64::MAX),
            case("i64 -1", -1i64),
            case("i64 63", 63i64),
            case("i64 min", i64::MIN),
            case("string é", "é"),
            case("bytes of length 300", vec![7u8; 300]),
            case("option of u8: none", None::<u8>),
            case("option of u8: 7", Some(7u8)),
            case("bool true", true),
            case("list of u32: 1, 2, 300", vec![1u32, 2, 300]),
            case("time 1 s before 1970", Time { sec: -1, nsec: 999_999_999 }),
        ]),
    );
}

#[test]
fn key_vectors_hold() {
    let owner = owner();
    let root = owner.root().unwrap().clone();
    let namer = owner.blob_namer();
    let lines: Vec<String> = recovery::lines(&root).iter().map(|line| line.to_string()).collect();
    let secret = Secret::KeyFile(SealKey::new([0x55; 32]));
    let note = Note { role: Role::Owner, created: 1_800_000_000, label: "vector".into() };
    let slot = Slot::seal(&owner, &secret, Costs::DEFAULT, &note, &SeededEntropy::new(1)).unwrap();
    let (key, wrapped) = owner.fresh_key(Kind::DataPack, &SeededEntropy::new(2)).unwrap();
    let open = wrap::WrappedKey::from_bytes(&wrapped.to_bytes());
    assert_eq!(owner.unwrap_key(Kind::DataPack, &open, &"vector").unwrap(), key);
    hold(
        "keys.json",
        json!({
            "R": hex(root.expose()),
            "repo": hex(owner.repo().as_bytes()),
            "K_config": hex(owner.config_key().expose()),
            "K_dir": hex(owner.directory_key().expose()),
            "K_index": hex(owner.index_key().expose()),
            "K_head": hex(owner.head_key().expose()),
            "K_page": hex(&owner.page_key()),
            "gear, first 32 bytes": hex(&owner.chunker_table()[..32]),
            "gear, hash": hex(&object_name(&owner.chunker_table()[..])),
            "series tag of alpha/-/srv/wiki": owner.series_tag(&Series::parse("alpha/-/srv/wiki").unwrap()).to_string(),
            "blob ids of the bytes of \"abc\"": {
                "data": namer.name(BlobKind::Data, b"abc").to_string(),
                "tree": namer.name(BlobKind::Tree, b"abc").to_string(),
                "list": namer.name(BlobKind::List, b"abc").to_string(),
            },
            "recovery sheet": lines,
            "key file slot": { "key file": hex(&[0x55; 32]), "slot": hex(slot.bytes()), "id": slot.id().to_string(),
                               "label": "vector", "created": 1_800_000_000u64, "role": 3 },
            "wrapped key, kind 3": { "key": hex(key.expose()), "wrap": hex(&wrapped.to_bytes()) },
        }),
    );
}

#[test]
fn chunk_vectors_hold() {
    let bytes = noise(1 << 20, "vault test vector: chunks");
    let cuts = |config: &ChunkerConfig| {
        let chunker = Chunker::new(config, &owner().chunker_table());
        let (mut at, mut cuts) = (0, Vec::new());
        while at < bytes.len() {
            at += chunker.cut(&bytes[at..]);
            cuts.push(at);
        }
        json!({ "min": config.min, "average": config.average, "max": config.max, "ends": cuts })
    };
    hold(
        "chunks.json",
        json!({
            "input": "1 MiB of BLAKE3 derive_key XOF, context \"vault test vector: chunks\", no key material",
            "input hash": hex(&object_name(&bytes)),
            "gear": "of keys.json",
            "cuts": [
                cuts(&ChunkerConfig::default()),
                cuts(&ChunkerConfig { algorithm: 1, min: 4 << 10, average: 16 << 10, max: 64 << 10 }),
            ],
        }),
    );
}

#[test]
fn sealing_vectors_hold() {
    let owner = owner();
    let envelope =
        object::seal_envelope(Kind::Index, owner.repo(), &owner.index_key(), b"payload", &SeededEntropy::new(3))
            .unwrap();
    let (header, key) = (object::header(Kind::DataPack, owner.repo()), SealKey::new([0x77; 32]));
    let envelope_of_segment = Envelope { header: &header, key: &key, prefix: &[] };
    let mut sealer = Sealer::new(vault::compress::Compression::None);
    let mut sealed = Vec::new();
    let recipe = sealer.seal(envelope_of_segment, 7, b"plaintext of a segment", &mut sealed).unwrap();
    hold(
        "objects.json",
        json!({
            "keys": "of keys.json",
            "index envelope": { "payload": hex(b"payload"), "length": envelope.len(),
                                "first 80 bytes": hex(&envelope[..80]), "object hash": hex(&object_name(&envelope)) },
            "data pack header": hex(&header),
            "segment": { "key": hex(&[0x77; 32]), "counter": recipe.counter, "codec": recipe.codec, "raw": recipe.raw,
                         "plain": hex(b"plaintext of a segment"), "stored": hex(&sealed) },
        }),
    );
}

#[test]
fn forgetting_vectors_hold() {
    let owner = owner();
    let series = owner.series_tag(&Series::parse("alpha/-/srv/wiki").unwrap());
    let (snapshot, previous) = (SnapshotId([0x11; 32]), SnapshotId([0x22; 32]));
    let time = Time { sec: 1_800_000_000, nsec: 5 };
    let head = Head { sequence: 300, previous: Some(previous), time, complete: true };
    let tombstone = Tombstone {
        head: GoneHead { series, snapshot, head },
        time,
        host: "alpha".into(),
        user: "ann".into(),
        reason: "not kept by: daily 14".into(),
    };
    let stone = seal_tombstone(&owner, &tombstone, &SeededEntropy::new(4)).unwrap();
    assert_eq!(open_tombstone(&owner, &stone, &series, &snapshot, &"vector").unwrap(), tombstone);
    let annotation = Annotation {
        series,
        snapshot,
        counter: 2,
        time,
        host: "alpha".into(),
        user: "ann".into(),
        changes: vec![
            Change::Tag { tag: "release".into(), on: true },
            Change::Pin { on: true, reason: Some("audit".into()) },
            Change::Rewritten { from: SnapshotId([3; 32]), what: "1 entry: app/key.pem".into() },
        ],
    };
    let note = seal_annotation(&owner, &annotation, &SeededEntropy::new(5)).unwrap();
    assert_eq!(open_annotation(&owner, &note, &series, &"vector").unwrap(), annotation);
    hold(
        "forget.json",
        json!({
            "keys": "of keys.json",
            "K_gone_head": hex(owner.tombstone_head_key().expose()),
            "K_gone": hex(owner.tombstone_key().unwrap().expose()),
            "K_annotation": hex(owner.annotation_key().unwrap().expose()),
            "series": series.to_string(),
            "tombstone": { "snapshot": snapshot.to_string(), "head": hex(&codec::encode(&tombstone.head)),
                           "body": hex(&codec::encode(&tombstone)), "length": stone.len(), "object": hex(&stone) },
            "annotation": { "payload": hex(&codec::encode(&annotation)), "length": note.len(),
                            "object": hex(&note), "id": hex(&object_name(&note)) },
        }),
    );
}

#[test]
fn medium_vectors_hold() {
    let owner = owner();
    let time = Time { sec: 1_800_000_000, nsec: 5 };
    let (medium, name, host) = ([9; 16], "blue".to_owned(), "alpha".to_owned());
    let marker = Marker { medium, generation: 3, name, time, host, parity: true };
    let object = seal_marker(&owner, &marker, &SeededEntropy::new(8)).unwrap();
    assert_eq!(open_marker(&owner, &object, &"vector").unwrap(), marker);
    hold(
        "media.json",
        json!({
            "keys": "of keys.json",
            "K_medium": hex(owner.medium_key().expose()),
            "payload": hex(&codec::encode(&marker)),
            "length": object.len(),
            "object": hex(&object),
            "id": hex(&object_name(&object)),
        }),
    );
}

#[test]
fn pruning_vectors_hold() {
    let owner = owner();
    let time = Time { sec: 1_800_000_000, nsec: 5 };
    let note = GcNote { nonce: [7; 16], made: time, step: Step::Notice, packs: vec![PackId([1; 32]), PackId([2; 32])] };
    let sealed_note = seal_note(&owner, &note, &SeededEntropy::new(6)).unwrap();
    assert_eq!(open_note(&owner, &sealed_note, &"vector").unwrap(), note);
    let session = Session {
        nonce: [8; 16],
        begun: time,
        host: "alpha".into(),
        program: "vault 1".into(),
        seen: vec![NoteId(object_name(&sealed_note))],
    };
    let sealed_session = seal_session(&owner, &session, &SeededEntropy::new(7)).unwrap();
    assert_eq!(open_session(&owner, &sealed_session, &"vector").unwrap(), session);
    hold(
        "prune.json",
        json!({
            "keys": "of keys.json",
            "K_session": hex(owner.session_key().expose()),
            "K_gc": hex(owner.gc_key().expose()),
            "note": { "payload": hex(&codec::encode(&note)), "length": sealed_note.len(),
                      "object": hex(&sealed_note), "id": hex(&object_name(&sealed_note)) },
            "session": { "payload": hex(&codec::encode(&session)), "length": sealed_session.len(),
                         "object": hex(&sealed_session), "id": hex(&object_name(&sealed_session)) },
        }),
    );
}

#[test]
fn parity_vectors_hold() {
    let sectors: Vec<Vec<u8>> = (0..5).map(|n| noise(SECTOR, &format!("vault parity vector {n}"))).collect();
    let mut encoder = Encoder::new(3);
    let mut work = Vec::new();
    for (number, chunk) in sectors.chunks(encoder.chunk()).enumerate() {
        encoder.take(number, chunk.iter().map(Vec::as_slice), &mut work);
    }
    let recovery = encoder.finish();
    let repo = RepoId(std::array::from_fn(|i| 0xa0 + i as u8));
    let percent = Percent::new(300).unwrap();
    let covered = Covered { name: ObjectName::new("config").unwrap(), len: 5 * SECTOR as u64 - 7, sum: [3; 32] };
    let table = Table {
        objects: vec![covered],
        data: sectors.iter().map(|sector| mark(sector)).collect(),
        recovery: recovery.chunks(SECTOR).map(mark).collect(),
    };
    let encoded = table.encode();
    let geometry = Geometry { shards: 5, groups: 1, recovery: 3, table: 1 };
    assert_eq!(Table::decode(&encoded, &geometry, &"vector").unwrap(), table);
    let (front, back) = pieces(repo, geometry, percent, &table).unwrap();
    let counts = [(1, 300), (1000, 300), (16_384, 100), (16_384, 300), (16_384, 5000)];
    let counts: Vec<Value> = counts
        .into_iter()
        .map(|(k, p)| json!({ "k": k, "percentage": p, "M": recovery_for(k, Percent::new(p).unwrap()) }))
        .collect();
    hold(
        "parity.json",
        json!({
            "note": "every 64 bytes of a sector are coded on their own: the first of each are given, and the hash of the whole",
            "sectors": sectors.iter().map(|sector| hex(&sector[..64])).collect::<Vec<_>>(),
            "recovery": recovery.chunks(SECTOR).map(|sector| hex(&sector[..64])).collect::<Vec<_>>(),
            "recovery_hashes": recovery.chunks(SECTOR).map(|sector| hex(&object_name(sector))).collect::<Vec<_>>(),
            "marks": table.data.iter().map(|mark| hex(mark)).collect::<Vec<_>>(),
            "table": hex(&encoded),
            "block_0": hex(&front),
            "block_1_hash": hex(&object_name(&back)),
            "recovery_sectors": counts,
        }),
    );
}

#[test]
fn the_sample_repository_opens_and_holds_what_it_should() {
    let tiny = spec().join("tiny");
    if std::env::var_os("VAULT_WRITE_VECTORS").is_some() {
        common::tiny::write(&tiny);
    }
    let passphrase = std::fs::read(tiny.join("passphrase.txt")).unwrap();
    let repo = Repo::open(&tiny.join("repository"), passphrase.trim_ascii_end());
    assert_eq!(repo.manifest(), json_file(&tiny.join("contents.json")));
    let sheet = std::fs::read_to_string(tiny.join("recovery-sheet.txt")).unwrap();
    let by_sheet = Repo::open_with_sheet(&tiny.join("repository"), &sheet);
    assert_eq!(by_sheet.manifest(), json_file(&tiny.join("contents.json")));
}

/// The reader knows nothing of this program but the specification.
#[test]
fn a_reader_from_the_specification_alone_restores_the_sample() {
    let tiny = spec().join("tiny");
    let reader = spec().join("reader/vault_reader.py");
    let run = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new("/usr/bin/python3")
            .arg(&reader)
            .arg(tiny.join("repository"))
            .arg("--passphrase-file")
            .arg(tiny.join("passphrase.txt"))
            .args(arguments)
            .output()
            .expect("python3 runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "the reader failed (packages: python3-cryptography python3-argon2 python3-zstandard): {text}"
        );
        text
    };
    run(&["verify".as_ref()]);
    run(&["--no-index".as_ref(), "verify".as_ref()]);
    let manifest = json_file(&tiny.join("contents.json"));
    // What was forgotten is not there, even where it still lies.
    let listed: BTreeSet<String> =
        run(&["list".as_ref()]).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(listed, manifest.as_object().unwrap().keys().cloned().collect());
    for (id, snapshot) in manifest.as_object().unwrap() {
        let out = tempfile::tempdir().unwrap();
        run(&["restore".as_ref(), id.as_ref(), out.path().as_os_str()]);
        assert_eq!(&common::manifest_of_folder(out.path(), snapshot), snapshot, "snapshot {id}");
    }
}

#[test]
fn the_code_of_sidecars_is_the_one_that_the_specification_defines() {
    let reader = spec().join("reader/vault_parity.py");
    let vectors = spec().join("vectors/parity.json");
    let output =
        std::process::Command::new("/usr/bin/python3").arg(reader).arg(vectors).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn repositories_of_one_seed_are_equal_and_of_two_share_nothing() {
    let (a, b, c) = (seeded_repository(1), seeded_repository(1), seeded_repository(2));
    assert_eq!(a, b);
    for (name, bytes) in &a {
        assert!(!c.contains_key(name) || name == "config", "{name}");
        assert!(c.values().all(|other| other != bytes), "{name}");
    }
}
