//! Takes the specification's sample repository apart into seeds for the targets: `seeds SAMPLE OUT` writes `OUT/<target>/…`.

use std::{fs, path::Path, sync::Arc};
use vault::{
    hash::{BlobKind, object_name},
    id::{BLOB_ID_LEN, BlobId, IndexId, hex},
    index::{IndexObject, run},
    keys::recovery,
    model::{
        codec,
        config::Config,
        medium::Marker,
        tree::{ListChild, ListPage, TreeChild, TreePage},
    },
    object::{self, Kind},
    pack::read_directory,
    parity::{Covered, Geometry, Percent, Table, pieces},
    repo::{BlobReader, Repository, Surroundings, Unlock, media::seal_marker},
    seal::SealKey,
    segment::{CODEC_RAW, Sealer},
    store::{
        Entry, ObjectName,
        local::LocalStore,
        remote::wire::{Answer, Fault, Piece, Request},
    },
    world::{SeededEntropy, SystemClock, Time},
};
use vault_fuzz::{SHEET, keys, put_part};

struct Seeds<'a>(&'a Path);

impl Seeds<'_> {
    fn put(&self, target: &str, bytes: &[u8]) {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&hex(&object_name(bytes))[..16]), bytes).unwrap();
    }

    fn put_pages(&self, target: &str, pages: &[Vec<u8>]) {
        let mut out = Vec::new();
        pages.iter().for_each(|page| put_part(page, &mut out));
        self.put(target, &out);
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args_os().collect();
    let [_, sample, out] = &arguments[..] else { panic!("seeds SAMPLE OUT") };
    let seeds = Seeds(Path::new(out));
    let store = Arc::new(LocalStore::open(&Path::new(sample).join("repository")).unwrap());
    let around = Surroundings {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(0)),
        cache: None,
        state: None,
    };
    let repo = Repository::open(store, &Unlock::Root(recovery::parse(SHEET).unwrap()), around).unwrap();

    objects(&seeds, &repo);
    packs(&seeds, &repo);
    segments(&seeds);
    texts(&seeds);
    marker(&seeds);
    operations(&seeds);
    fleet(&seeds);
    link(&seeds);
}

/// Requests, answers, and places at the other end.
fn link(seeds: &Seeds<'_>) {
    let name = || ObjectName::of_parts(&["packs", "aa", "bb"]);
    let requests = [
        Request::List { prefix: "packs/".into() },
        Request::Stat { name: name() },
        Request::Read { name: name(), offset: 3, len: 4 },
        Request::Now,
    ];
    let mut bytes = Vec::new();
    for (id, request) in requests.iter().enumerate() {
        request.write(&mut bytes, id as u32).unwrap();
    }
    seeds.put("link", &bytes);
    let entry = Entry { name: name(), len: 1, stored: 2 };
    let answers = [
        Answer::Entries(vec![entry.clone(), entry]),
        Answer::Bytes { total: 9, bytes: Piece::zeroed(3) },
        Answer::Time(7),
        Answer::End,
        Answer::Failed { fault: Fault::Missing, text: "it is gone".into() },
    ];
    let mut bytes = Vec::new();
    for mut answer in answers {
        answer.write(&mut bytes, 1).unwrap();
    }
    seeds.put("link", &bytes);
    seeds.put("link", b"ann@alpha.example.org:2222/srv/backup");
    seeds.put("link", b"[::1]:22/x");
}

/// A configuration, what a snapshot holds of one, and a line of a history.
fn fleet(seeds: &Seeds<'_>) {
    let config = "version = 1\n[defaults]\nretention = { daily = 14, weekly = \"8w\" }\nslo = { rpo = \"26h\", copies = 2 }\n\
                  [repositories.local]\npath = \"/srv/vault\"\nkey-file = \"/etc/vault/key\"\n[servers.alpha.vms.web1.apps]\n\
                  shop = { type = \"rails\", root = \"/srv/shop\", exclude = [\"*.tmp\"] }\n[[copy]]\nto = \"local\"\n";
    seeds.put("fleet", config.as_bytes());
    seeds.put("fleet", format!("{config}\n[facts]\nmails = \"12\"\n").as_bytes());
    let line = "time=2026-03-02T04:05:06Z series=alpha/web1/shop outcome=failed files=1 mb=0.1 bytes=2 new=3 stored=4 seconds=1.5 \
                problems=1 why=\"no \\\"room\\\"\"\nbackup-alpha+web1+shop-20260302\n";
    seeds.put("fleet", line.as_bytes());
}

/// A block, and a table with its shape before it as the target takes it.
fn sidecar(seeds: &Seeds<'_>, repo: &Repository) {
    let covered = Covered { name: ObjectName::new("config").unwrap(), len: 5 * 4096, sum: [3; 32] };
    let table = Table { objects: vec![covered], data: vec![[1; 8]; 5], recovery: vec![[2; 8]; 3] };
    let geometry = Geometry { shards: 5, groups: 1, recovery: 3, table: 1 };
    let (front, back) = pieces(repo.keys().repo(), geometry, Percent::new(300).unwrap(), &table).unwrap();
    seeds.put("parity", &[&front[..], &back].concat());
    seeds.put("parity", &[&[5, 1, 3, 0, 9][..], &table.encode()].concat());
}

fn objects(seeds: &Seeds<'_>, repo: &Repository) {
    let mut names = Vec::new();
    repo.store()
        .list("", &mut |entry| {
            names.push(entry.name);
            Ok(())
        })
        .unwrap();
    for name in names {
        let target = match name.as_str().split('/').next() {
            Some("keys") => "slot",
            Some("packs") => "pack",
            Some("snapshots") => "snapshot",
            Some("gone") => "tombstone",
            Some("notes") => "annotation",
            Some("gc" | "sessions") => "gc",
            _ => "envelope",
        };
        let bytes = repo.store().get(&name, 1 << 30).unwrap();
        seeds.put(target, &bytes);
        if name.folder() == "index" {
            let key = repo.keys().index_key();
            let payload = object::open_envelope(Kind::Index, repo.keys().repo(), &key, &bytes, &name).unwrap();
            seeds.put("index", &payload);
            let index = IndexObject::decode(&payload, &name).unwrap();
            let mut table = Vec::new();
            run::build(
                &[run::Source { id: IndexId(object_name(&bytes)), len: bytes.len() as u64 }],
                &index.packs,
                &mut table,
            )
            .unwrap();
            seeds.put("run", &table);
        }
    }
    sidecar(seeds, repo);
    seeds.put("config", &codec::encode(repo.config()));
    seeds.put("config", &codec::encode(&Config::default()));
    seeds.put("envelope", b"\x05\0\0\0bytes\0\0\0\0\0\0");
    for listed in repo.snapshots(None).unwrap().listed {
        seeds.put("snapshot", &codec::encode(&listed.snapshot));
        seeds.put("snapshot", &codec::encode(&listed.snapshot.head));
    }
    for (tag, id) in repo.tombstone_names(None).unwrap() {
        let tombstone = repo.tombstone(&tag, &id).unwrap();
        seeds.put("tombstone", &codec::encode(&tombstone));
        seeds.put("tombstone", &codec::encode(&tombstone.head));
    }
    for (tag, id) in repo.annotation_names(None).unwrap() {
        seeds.put("annotation", &codec::encode(&repo.read_annotation(&tag, &id).unwrap()));
    }
    // Keys and note of each role, as slots hold them.
    for role in 1..=3 {
        let mut plain = [0; 128 + 192];
        plain[0] = role;
        plain[8..if role == 3 { 40 } else { 104 }].fill(7);
        plain[128..130].copy_from_slice(&[role, 5]);
        plain[144..149].copy_from_slice(b"label");
        seeds.put("slot", &plain);
    }
    seeds.put("slot", &[0; 512]);
}

fn packs(seeds: &Seeds<'_>, repo: &Repository) {
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(repo, &index);
    let (mut nodes, mut extents) = (Vec::new(), Vec::new());
    for id in repo.list_packs().unwrap().keys() {
        let pack = read_directory(repo.store(), id, repo.keys().repo(), &repo.keys().directory_key()).unwrap();
        seeds.put("pack", &codec::encode(&pack.directory));
        // One small enough to grow from.
        let mut small = pack.clone();
        small.directory.segments.truncate(2);
        small.directory.segments.iter_mut().for_each(|segment| {
            segment.blobs.truncate(3);
            segment.raw = segment.blobs.iter().map(|blob| blob.len).sum();
        });
        seeds.put("pack", &codec::encode(&small.directory));
        let object = IndexObject { packs: vec![small] };
        seeds.put("index", &codec::encode(&object));
        let mut table = Vec::new();
        run::build(&[run::Source { id: IndexId([1; 32]), len: 4096 }], &object.packs, &mut table).unwrap();
        seeds.put("run", &table);

        for blob in pack.directory.segments.iter().flat_map(|segment| &segment.blobs) {
            match BlobKind::from_number(blob.kind).unwrap() {
                BlobKind::Data => {}
                BlobKind::Tree => {
                    let page = reader.blob(BlobKind::Tree, &blob.id).unwrap();
                    if let TreePage::Leaf(leaf) = TreePage::decode(&page).unwrap() {
                        nodes.extend(leaf.nodes.into_iter().take(12));
                    }
                    seeds.put_pages("tree", &[page]);
                }
                BlobKind::List => {
                    let page = reader.blob(BlobKind::List, &blob.id).unwrap();
                    if let ListPage::Leaf(leaf) = ListPage::decode(&page).unwrap() {
                        extents.extend(leaf.into_iter().take(12));
                    }
                    seeds.put_pages("list", &[page]);
                }
            }
        }
    }

    // Directories and lists of three levels, whose pages name one another by number.
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    let (mut pages, mut level) = (Vec::new(), Vec::new());
    for nodes in nodes.chunks(4) {
        level.push(TreeChild { first: nodes[0].name.clone(), id: BlobId([pages.len() as u8; BLOB_ID_LEN]) });
        let leaf = vault::model::tree::Leaf { nodes: nodes.to_vec(), ..Default::default() };
        pages.push(codec::encode(&TreePage::Leaf(leaf)));
    }
    while level.len() > 1 {
        let mut above = Vec::new();
        for children in level.chunks(3) {
            above.push(TreeChild { first: children[0].first.clone(), id: BlobId([pages.len() as u8; BLOB_ID_LEN]) });
            pages.push(codec::encode(&TreePage::Inner(children.to_vec())));
        }
        level = above;
    }
    seeds.put_pages("tree", &pages);

    let (mut pages, mut level) = (Vec::new(), Vec::new());
    for extents in extents.chunks(4) {
        level.push(ListChild { len: extents.iter().map(|e| e.len()).sum(), id: BlobId([pages.len() as u8; BLOB_ID_LEN]) });
        pages.push(codec::encode(&ListPage::Leaf(extents.to_vec())));
    }
    while level.len() > 1 {
        let mut above = Vec::new();
        for children in level.chunks(3) {
            above.push(ListChild { len: children.iter().map(|c| c.len).sum(), id: BlobId([pages.len() as u8; BLOB_ID_LEN]) });
            pages.push(codec::encode(&ListPage::Inner(children.to_vec())));
        }
        level = above;
    }
    seeds.put_pages("list", &pages);
}

fn segments(seeds: &Seeds<'_>) {
    let header = object::header(Kind::DataPack, keys().repo());
    let key = SealKey::new([3; 32]);
    let text: Vec<u8> = (0..400).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    for (prefix, plain) in
        [(&[][..], &text[..]), (&text[..1000], &text[..]), (&[], &[7; 3000]), (&text, &text), (&[], b"x")]
    {
        for level in [vault::compress::Compression::None, vault::compress::Compression::Level(3)] {
            let envelope = vault::segment::Envelope { header: &header, key: &key, prefix };
            let mut stored = Vec::new();
            let recipe = Sealer::new(level).seal(envelope, 7, plain, &mut stored).unwrap();
            let ad = [&header[..], &[recipe.codec], &recipe.raw.to_le_bytes()].concat();
            assert!(vault::seal::open_segment(&key, 7, &ad, &mut stored));
            let mut seed = vec![recipe.codec];
            seed.extend_from_slice(&recipe.raw.to_le_bytes());
            put_part(prefix, &mut seed);
            seed.extend_from_slice(&stored);
            seeds.put("segment", &seed);
            if recipe.codec != CODEC_RAW {
                // Two frames, and a frame that may be skipped: neither is one frame.
                let packed = stored.len();
                seed.extend_from_within(seed.len() - packed..);
                seed[1..5].copy_from_slice(&(2 * recipe.raw).to_le_bytes());
                seeds.put("segment", &seed);
                let end = seed.len() - packed;
                seed.truncate(end);
                seed.extend_from_slice(b"\x50\x2a\x4d\x18\x04\0\0\0skip");
                seed[1..5].copy_from_slice(&recipe.raw.to_le_bytes());
                seeds.put("segment", &seed);
            }
        }
    }
}

fn texts(seeds: &Seeds<'_>) {
    seeds.put("recovery", SHEET.as_bytes());
    seeds.put("recovery", SHEET.to_lowercase().replace('-', " ").as_bytes());
    for text in [
        "alpha/-/srv/wiki@2026-03-02T04:05:data/a:b",
        "alpha/web1/sample@latest",
        "a/b/c@3d",
        "a/b/c@a1b2c3d4",
        "a1b2c3:app/x",
        "90s",
        "2026-03-02",
        "latest",
        "\u{e4}/b/\u{202e}c",
    ] {
        seeds.put("address", text.as_bytes());
    }
    for text in [
        "*.log\n!main.log\n/tmp\ncache/\na/**/z\0deep/x.log\0a/b/c/z\0tmp",
        "{a,b}[!c-e]?\\*\0a\\*",
        "#*#\n**/node_modules\n\0#a#",
        "# note\r\n*.o\r\n\0b.o",
        "[[:alpha:]]\n{a,{b,c}}\0a",
    ] {
        seeds.put("excludes", text.as_bytes());
    }
    for text in [
        "/srv/backup",
        "sftp:u@h:/p",
        "s3://bucket",
        "usb:BLUE",
        "packs/3f/3f-0.x",
        "a\u{1b}[31m\n\u{202e}\\",
        "ebdaeb90894423b9ee385d33380205d4",
        &"ab".repeat(32),
    ] {
        seeds.put("names", text.as_bytes());
    }
    let mut noise = vec![0; 8000];
    blake3::Hasher::new_keyed(&[1; 32]).finalize_xof().fill(&mut noise);
    for (sizes, bytes) in
        [([0, 64, 96, 7], &noise[..]), ([1, 255, 0, 9], &noise), ([0, 0, 0, 0], &[0; 5000]), ([2, 9, 9, 255], &noise)]
    {
        seeds.put("chunker", &[&sizes[..], bytes].concat());
    }
}

fn marker(seeds: &Seeds<'_>) {
    let (name, host) = ("blue".into(), "alpha.example.org".into());
    let marker =
        Marker { medium: [4; 16], generation: 3, name, time: Time::from_sec(1_800_000_000), host, parity: true };
    seeds.put("medium", &codec::encode(&marker));
    seeds.put("medium", &seal_marker(keys(), &marker, &SeededEntropy::new(0)).unwrap());
}

/// Histories: snapshots that share blobs, what is forgotten and pruned between them, with steps that fail and days that pass.
fn operations(seeds: &Seeds<'_>) {
    let (snapshot, forget, prune, repair, pass) = (0, 3, 4, 6, 7);
    let history = [[snapshot, 5, 0, 0], [snapshot, 29, 0, 64], [forget, 0, 0, 0], [prune, 0, 0, 0], [pass, 1, 0, 0]];
    seeds.put("operations", &[history.concat(), history.concat()].concat());
    for (nth, how) in [(3, 1), (9, 3), (14, 17), (20, 9), (40, 7)] {
        let fails = history.map(|[what, on, ..]| [what, on, nth, how]);
        let ends =
            [[prune, 0, 0, 0], [pass, 2, 0, 0], [prune, 0, nth, how], [repair, 0, nth, how], [snapshot, 200, nth, how]];
        seeds.put("operations", &[history.concat(), fails.concat(), ends.concat()].concat());
    }
}
