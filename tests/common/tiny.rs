//! Makes the sample repository of the specification: small, with everything in it that a reader must know.

use super::{Repo, from_path, passphrase, request, small_config, take};
use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
};
use vault::{
    compress::Compression,
    hash::{BlobKind, object_name},
    id::{IndexId, PackId, SnapshotId},
    index::{IndexObject, object as index_object},
    keys::{recovery, slot::Costs},
    model::{
        annotation::Change,
        gc::Step,
        node::{Body, Content, Extent},
        snapshot::Snapshot,
        tombstone::{GoneHead, Tombstone},
    },
    monitor::Silent,
    object::{self, Kind},
    ops::{
        annotate::annotate,
        forget::Actor,
        snapshot::{Input, SourceRequest},
    },
    pack::{PackWriter, write::Sealed},
    repo::{BlobReader, Repository, Surroundings, Written},
    segment::{BlobEntry, Envelope, Sealer},
    series::Series,
    store::local::LocalStore,
    world::{FixedClock, KernelEntropy, Time},
};

const PASSPHRASE: &str = "correct horse battery staple";

/// Writes the sample anew: repository, passphrase, recovery sheet and what it holds.
pub fn write(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    let place = folder.join("repository");
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_800_000_000))),
        entropy: Arc::new(KernelEntropy),
        cache: None,
        state: None,
    };
    let store = Arc::new(LocalStore::create(&place).unwrap());
    let repo =
        Repository::init(store, &passphrase(PASSPHRASE.as_bytes()), Costs::LOW, "sample", small_config(), around)
            .unwrap();

    let files = tempfile::tempdir().unwrap();
    make_tree(files.path());
    let stream = Input::Stream(Box::new(std::io::Cursor::new((1..3000).map(|n| format!("{n}\n")).collect::<String>())));
    let stream = SourceRequest { name: vault::name::Name::new(*b"numbers.txt").unwrap(), input: stream };
    take(&repo, request("alpha/web1/sample", vec![from_path("data", files.path()), stream]));
    lean_on_a_blob(&repo);
    forget_two(&repo);
    // A prune has marked a pack that is gone by now, and a writer was killed.
    repo.note(Step::Mark, vec![PackId([0x33; 32])]).unwrap();
    std::mem::forget(repo.begin("sample", false, &Silent).unwrap());

    fs::write(folder.join("passphrase.txt"), format!("{PASSPHRASE}\n")).unwrap();
    let lines: Vec<String> = recovery::lines(repo.keys().root().unwrap()).iter().map(|line| line.to_string()).collect();
    fs::write(folder.join("recovery-sheet.txt"), lines.join("\n") + "\n").unwrap();
    let manifest = Repo::open(&place, PASSPHRASE.as_bytes()).manifest();
    fs::write(folder.join("contents.json"), serde_json::to_string_pretty(&manifest).unwrap() + "\n").unwrap();
    let _ = fs::remove_dir(place.join("tmp"));
}

fn make_tree(root: &Path) {
    let at = |path: &str| root.join(path);
    fs::create_dir_all(at("many")).unwrap();
    for i in 0..400 {
        fs::write(at(&format!("many/mail-{i:04}")), format!("mail number {i}\n")).unwrap();
    }
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("empty file"), "").unwrap();
    fs::write(at("long"), (0..4000).map(|n| format!("{}\n", n * n)).collect::<String>()).unwrap();
    let mut noise = vec![0; 3000];
    blake3::Hasher::new_derive_key("vault sample noise").finalize_xof().fill(&mut noise);
    fs::write(at("noise"), noise).unwrap();
    fs::hard_link(at("noise"), at("noise, other name")).unwrap();
    fs::write(at("line\nbreak"), "a name with a line feed").unwrap();
    symlink("long", at("link")).unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 512 << 10).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    assert!(
        Command::new("setfattr").args(["-n", "user.note", "-v", "kept"]).arg(at("long")).status().unwrap().success()
    );
    fs::set_permissions(at("long"), fs::Permissions::from_mode(0o640)).unwrap();
    let when = "2027-01-15T08:00:00.123456789Z";
    for path in ["many", "empty", "long", "link", ""] {
        assert!(Command::new("touch").args(["-h", "-d", when]).arg(at(path)).status().unwrap().success());
    }
}

/// A second snapshot, of one file which a segment with base blobs holds: this writer makes none by itself yet.
fn lean_on_a_blob(repo: &Repository) {
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(repo, &index);
    let mut listed = repo.snapshots(None).unwrap().listed.remove(0);
    let source = listed.snapshot.sources.iter().find(|source| source.root.name.as_bytes() == b"numbers.txt").unwrap();
    let mut source = source.clone();
    let mut base = None;
    if let Body::File { size, content } = &source.root.body {
        vault::model::paging::each_extent(&reader, content, *size, &mut |extent| {
            if let Extent::Data { id, .. } = extent {
                base.get_or_insert(id);
            }
            Ok(())
        })
        .unwrap();
    }
    let base = base.unwrap();
    let prefix = reader.blob(BlobKind::Data, &base).unwrap();
    let mut plain = prefix.clone();
    plain.extend_from_slice(b"and a line more\n");
    let id = repo.namer().name(BlobKind::Data, &plain);
    let header = object::header(Kind::DataPack, repo.keys().repo());
    let (key, wrapped) = repo.keys().fresh_key(Kind::DataPack, repo.entropy()).unwrap();
    let envelope = Envelope { header: &header, key: &key, prefix: &prefix };
    let mut bytes = Vec::new();
    let recipe = Sealer::new(Compression::default()).seal(envelope, 0, &plain, &mut bytes).unwrap();
    assert_eq!(recipe.codec, 2);
    let blobs = vec![BlobEntry { id, kind: BlobKind::Data as u8, len: plain.len() as u32 }];
    let mut pack = PackWriter::new(repo.store(), Kind::DataPack, repo.keys().repo()).unwrap();
    pack.add(Sealed { bytes, recipe, key: wrapped, generation: 1, bases: vec![base], blobs }).unwrap();
    let pack = pack.finish(&repo.keys().directory_key(), repo.entropy()).unwrap();
    let object = IndexObject { packs: vec![pack] };
    let sealed = object.seal(repo.keys().repo(), &repo.keys().index_key(), repo.entropy()).unwrap();
    let name = index_object::object_name(&IndexId(object_name(&sealed)));
    repo.store().put(&name, &sealed).unwrap();

    let content = Content::Extents(vec![Extent::Data { id, len: plain.len() as u32, edge: 0 }]);
    source.root.body = Body::File { size: plain.len() as u64, content };
    source.totals.bytes = plain.len() as u64;
    let snapshot = &mut listed.snapshot;
    snapshot.head.sequence += 1;
    snapshot.head.previous = Some(listed.id);
    snapshot.totals = source.totals;
    snapshot.sources = vec![source];
    publish(repo, snapshot);
}

fn publish(repo: &Repository, snapshot: &Snapshot) -> SnapshotId {
    let session = repo.begin("sample", false, &Silent).unwrap();
    session.publish(snapshot, &repo.load_index(true).unwrap().0, &Written::default()).unwrap()
}

/// Two more snapshots that are forgotten: one is removed, of the other only the tombstone is written, as by a run that was killed. And an
/// annotation of the first.
fn forget_two(repo: &Repository) {
    let listed = repo.snapshots(None).unwrap().listed;
    let mut snapshot = listed[1].snapshot.clone();
    let mut previous = listed[1].id;
    let mut ids = Vec::new();
    for _ in 0..2 {
        snapshot.head.sequence += 1;
        snapshot.head.previous = Some(previous);
        previous = publish(repo, &snapshot);
        ids.push((previous, snapshot.head.clone()));
    }
    let actor = Actor { host: "sample".into(), user: "ann".into() };
    let changes =
        [Change::Tag { tag: "first".into(), on: true }, Change::Pin { on: true, reason: Some("the sample".into()) }];
    annotate(repo, &listed[..1], &changes, &actor, &Silent).unwrap();
    let series = repo.keys().series_tag(&Series::parse(&snapshot.series).unwrap());
    for (removed, (id, head)) in [true, false].into_iter().zip(ids) {
        let head = GoneHead { series, snapshot: id, head };
        let (host, user) = (actor.host.clone(), actor.user.clone());
        let time = repo.clock().now();
        repo.bury(&Tombstone { head, time, host, user, reason: "not kept by: last 2".into() }).unwrap();
        if removed {
            repo.store().remove(&vault::repo::snapshots::object_name(&series, &id)).unwrap();
        }
    }
}
