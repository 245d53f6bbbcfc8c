//! Properties of the layers below the operations, over many values: ids, encodings, cuts, nonces, and what a seal binds.

mod common;

use common::noise;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use vault::{
    chunk::Chunker,
    compress::Compression,
    hash::BlobKind,
    id::{BLOB_ID_LEN, BlobId, PackId, RepoId, SeriesTag, SnapshotId, unhex},
    index::IndexObject,
    keys::{
        Keyring,
        slot::{Costs, Secret},
        wrap,
    },
    model::{
        annotation::{Annotation, Change},
        codec::{self, Malformed},
        config::{ChunkerConfig, Config},
        gc::{Note, Session, Step},
        medium::Marker,
        node::{Body, Content, Extent, Meta, Node, Xattr},
        snapshot::{DeviceClass, Head, Problem, Snapshot, Source, SourceKind, Totals, Work},
        tombstone::{GoneHead, Tombstone},
        tree::{Leaf, ListChild, ListPage, OwnerName, TreeChild, TreePage},
    },
    monitor::Silent,
    name::Name,
    object::{self, Kind},
    pack::{Directory, PackEntry, SegmentEntry},
    repo::{Repository, Surroundings, WriteOptions},
    seal::{self, SealKey},
    segment::{BlobEntry, Envelope, Opener, Sealer},
    store::memory::MemoryStore,
    world::{FixedClock, KernelEntropy, SeededEntropy, Time},
};

proptest! {
    #[test]
    fn ids_come_back_from_their_text_and_from_no_other(bytes: [u8; BLOB_ID_LEN], at in 0usize..2 * BLOB_ID_LEN) {
        let id = BlobId(bytes);
        let text = id.to_string();
        prop_assert_eq!(BlobId::parse(&text).unwrap(), id);
        prop_assert!(text.starts_with(&id.short()));
        let longer = text.clone() + "0";
        prop_assert!(BlobId::parse(&text[1..]).is_err() && BlobId::parse(&longer).is_err());
        let mut wrong = text.clone().into_bytes();
        for other in [b'g', b'A', b' ', b'/', 0] {
            wrong[at] = other;
            prop_assert!(unhex::<BLOB_ID_LEN>(std::str::from_utf8(&wrong).unwrap()).is_err());
        }
    }

    #[test]
    fn what_is_sealed_opens_only_as_it_was_sealed(len in 0usize..3000, seed: u64, counter: u64, bit in 0usize..256) {
        let mut key = noise(32, seed).try_into().unwrap();
        let (header, plain) = (object::header(Kind::DataPack, RepoId([3; 16])), noise(len, seed));
        let sealed_under = SealKey::new(key);
        let envelope = Envelope { header: &header, key: &sealed_under, prefix: &[] };
        let mut sealed = Vec::new();
        let recipe = Sealer::new(Compression::default()).seal(envelope, counter, &plain, &mut sealed).unwrap();
        let opens = |envelope, recipe, sealed: &[u8]| {
            let mut out = Vec::new();
            Opener::default().open(envelope, recipe, &mut sealed.to_vec(), &mut out).is_ok() && out == plain
        };
        prop_assert!(opens(envelope, recipe, &sealed));
        let mut other = recipe;
        other.counter ^= 1 << (bit % 64);
        prop_assert!(!opens(envelope, other, &sealed));
        (other, other.raw) = (recipe, recipe.raw ^ 1 << (bit % 32));
        prop_assert!(!opens(envelope, other, &sealed));
        (other, other.codec) = (recipe, recipe.codec ^ 1 << (bit % 8));
        prop_assert!(!opens(envelope, other, &sealed));
        let mut wrong = header;
        wrong[bit / 8] ^= 1 << (bit % 8);
        let other = Envelope { header: &wrong, ..envelope };
        prop_assert!(!opens(other, recipe, &sealed));
        let mut spoilt = sealed.clone();
        let at = bit % spoilt.len();
        spoilt[at] ^= 1;
        prop_assert!(!opens(envelope, recipe, &spoilt));
        key[bit / 8] ^= 1 << (bit % 8);
        let wrong = SealKey::new(key);
        let other = Envelope { key: &wrong, ..envelope };
        prop_assert!(!opens(other, recipe, &sealed));
    }

    #[test]
    fn envelopes_bind_all_of_their_header(len in 0usize..6000, seed: u64, at in 0usize..4096) {
        let (repo, key, payload) = (RepoId([5; 16]), SealKey::new([6; 32]), noise(len, seed));
        let bytes = object::seal_envelope(Kind::Note, repo, &key, &payload, &SeededEntropy::new(seed)).unwrap();
        let open = |kind, repo, key: &SealKey, bytes: &[u8]| object::open_envelope(kind, repo, key, bytes, &"it");
        prop_assert_eq!(&open(Kind::Note, repo, &key, &bytes).unwrap(), &payload);
        prop_assert!(open(Kind::Session, repo, &key, &bytes).is_err());
        prop_assert!(open(Kind::Note, RepoId([4; 16]), &key, &bytes).is_err());
        prop_assert!(open(Kind::Note, repo, &SealKey::new([7; 32]), &bytes).is_err());
        for at in [at % 32, at, bytes.len() - 1 - at % 16] {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1 << (seed % 8);
            prop_assert!(open(Kind::Note, repo, &key, &spoilt).is_err(), "{}", at);
        }
        // Said to be of another kind or repository, by one who has no key.
        for header in [object::header(Kind::Session, repo), object::header(Kind::Note, RepoId([4; 16]))] {
            let renamed = [&header[..], &bytes[32..]].concat();
            prop_assert!(open(Kind::Session, repo, &key, &renamed).is_err());
            prop_assert!(open(Kind::Note, RepoId([4; 16]), &key, &renamed).is_err());
        }
    }

    #[test]
    fn wrapped_keys_open_for_their_reader_kind_and_repository_alone(seed: u64, bit in 0usize..640) {
        let secret = wrap::SecretKey::new(noise(32, seed).try_into().unwrap());
        let (psk, repo, key) = (SealKey::new([2; 32]), RepoId([1; 16]), SealKey::new([9; 32]));
        let wrapped = wrap::wrap(&key, &secret.public(), &psk, repo, Kind::DataPack, &SeededEntropy::new(seed)).unwrap();
        let unwrap = |wrapped: &wrap::WrappedKey, secret: &wrap::SecretKey, psk: &SealKey, repo, kind| {
            wrap::unwrap(wrapped, secret, psk, repo, kind).map(|key| *key.expose())
        };
        prop_assert_eq!(unwrap(&wrapped, &secret, &psk, repo, Kind::DataPack), Some([9; 32]));
        prop_assert_eq!(unwrap(&wrapped, &secret, &psk, repo, Kind::TreePack), None);
        prop_assert_eq!(unwrap(&wrapped, &secret, &psk, RepoId([2; 16]), Kind::DataPack), None);
        prop_assert_eq!(unwrap(&wrapped, &secret, &SealKey::new([3; 32]), repo, Kind::DataPack), None);
        prop_assert_eq!(unwrap(&wrapped, &wrap::SecretKey::new([8; 32]), &psk, repo, Kind::DataPack), None);
        let mut bytes = wrapped.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // The highest bit of an X25519 point is no part of it (RFC 7748), but of what the key is derived from.
        prop_assert_eq!(unwrap(&wrap::WrappedKey::from_bytes(&bytes), &secret, &psk, repo, Kind::DataPack), None);
    }

    #[test]
    fn directories_are_bound_to_their_pack(seed: u64, at in 0usize..48) {
        let (key, header) = (SealKey::new([1; 32]), object::header(Kind::TreePack, RepoId([1; 16])));
        let mut footer = [0; 32];
        footer.copy_from_slice(&noise(32, seed));
        let (nonce, ad) = ([4; 24], [&header[..], &footer[..16]].concat());
        let mut sealed = nonce.to_vec();
        let plain = object::pad(&codec::encode(&Directory::default()), 0, 0, 1024);
        seal::seal_append(&key, &nonce, &ad, &plain, &mut sealed);
        let open = |header: &[u8; 32], footer: &[u8; 32]| vault::pack::read::open_directory(&sealed, header, footer, &key);
        prop_assert_eq!(open(&header, &footer), Some(Directory::default()));
        let (mut header, mut footer) = (header, footer);
        let byte = if at < 32 { &mut header[at] } else { &mut footer[at - 32] };
        *byte ^= 1 << (seed % 8);
        prop_assert_eq!(open(&header, &footer), None);
    }
}

/// An edit moves the cuts around it, and no others: those before stay, those after come back soon.
#[test]
fn edits_move_the_cuts_around_them_alone() {
    let config = ChunkerConfig { algorithm: 1, min: 256, average: 1024, max: 4096 };
    let table = noise(vault::chunk::TABLE_LEN, 1).try_into().unwrap();
    let chunker = Chunker::new(&config, &table);
    let cuts = |bytes: &[u8]| {
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() {
            at += chunker.cut(&bytes[at..]);
            out.push(at);
        }
        out
    };
    let before = noise(256 << 10, 2);
    let old = cuts(&before);
    for seed in 0..200 {
        let dice = noise(16, 1000 + seed);
        let at = u32::from_le_bytes(dice[..4].try_into().unwrap()) as usize % (before.len() - 200);
        let (gone, new) = (dice[4] as usize % 100, noise(dice[5] as usize % 100, seed));
        let after = [&before[..at], &new, &before[at + gone..]].concat();
        let (shift, now) = (new.len() as isize - gone as isize, cuts(&after));
        let concatenated: Vec<u8> =
            std::iter::once(0).chain(now.iter().copied()).zip(&now).flat_map(|(a, b)| after[a..*b].to_vec()).collect();
        assert_eq!(concatenated, after);
        let early = |cuts: &[usize]| cuts.iter().copied().take_while(|cut| *cut <= at).collect::<Vec<_>>();
        assert_eq!(early(&old), early(&now), "{seed}");
        let late = |cuts: &[usize], by: isize| -> Vec<isize> {
            let from = (at + gone + (64 << 10)) as isize;
            cuts.iter().map(|cut| *cut as isize + by).filter(|cut| *cut > from + shift).collect()
        };
        assert_eq!(late(&old, shift), late(&now, 0), "{seed}");
    }
}

/// Bytes that decode, and how they are encoded again.
type Again = fn(&[u8]) -> Result<Vec<u8>, Malformed>;

fn time() -> Time {
    Time { sec: -5, nsec: 999_999_999 }
}

/// One value of each structure that is stored, large and small numbers in it.
fn samples() -> BTreeMap<&'static str, (Vec<u8>, Again)> {
    fn again<T: bincode::Decode<()> + bincode::Encode>(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        codec::decode::<T>(bytes).map(|value| codec::encode(&value))
    }
    let text = String::from;
    let head = Head { sequence: 300, previous: Some(SnapshotId([1; 32])), time: time(), complete: true };
    let gone = GoneHead { series: SeriesTag([2; 16]), snapshot: SnapshotId([3; 32]), head: head.clone() };
    let meta = Meta {
        mode: 0o4755,
        uid: 70_000,
        gid: 250,
        mtime: time(),
        ctime: time(),
        atime: Some(time()),
        inode: u64::MAX,
        device: 251,
        links: 2,
        xattrs: vec![Xattr { name: b"user.x".to_vec(), value: noise(300, 1) }],
    };
    let data = |n: u8| Extent::Data { id: BlobId([n; BLOB_ID_LEN]), len: 70_000, edge: 251 };
    let extents = vec![data(1), Extent::Hole { len: 1 << 40 }, data(2)];
    let size = extents.iter().map(Extent::len).sum();
    let node = |name: &[u8], body| Node { name: Name::new(name).unwrap(), meta: meta.clone(), body };
    let nodes = vec![
        node(b"a", Body::File { size, content: Content::Extents(extents.clone()) }),
        node(b"b", Body::Directory { tree: BlobId([4; BLOB_ID_LEN]), entries: 65_536, bytes: 1 }),
        node(b"c", Body::Symlink { target: b"../x".to_vec() }),
        node(b"d", Body::BlockDevice { major: 8, minor: 251 }),
        node(b"e", Body::Fifo),
        node(b"f", Body::File { size: 1 << 33, content: Content::Paged(BlobId([5; BLOB_ID_LEN])) }),
    ];
    let owner = |id, name: &str| OwnerName { id, name: name.into() };
    let leaf =
        Leaf { users: vec![owner(1, "a"), owner(70_000, "é")], groups: vec![owner(250, "g")], nodes: nodes.clone() };
    let totals = Totals { files: 1, directories: 250, others: 251, bytes: u64::MAX };
    let source = |kind| Source {
        kind,
        root: nodes[0].clone(),
        owner: (Some(text("u")), None),
        totals,
        bytes_new: 65_536,
        excludes: vec![text("*.o")],
    };
    let snapshot = Snapshot {
        series: text("h/-/s"),
        head: head.clone(),
        finished: time(),
        host: text("h"),
        user: text("u"),
        program: text("p"),
        sources: vec![
            source(SourceKind::Tree { path: b"/x".to_vec(), device: DeviceClass::Rotational }),
            source(SourceKind::Stream { command: vec![b"pg_dump".to_vec()] }),
        ],
        problems: vec![Problem { path: b"/y".to_vec(), what: text("gone") }],
        problem_count: 251,
        totals,
        work: Work { files_read: 1, bytes_read: 2, bytes_new: 300, bytes_stored: 70_000 },
        tags: vec![text("t")],
        description: Some(text("d")),
        configuration: Some(vec![1, 2, 3]),
    };
    let changes = vec![
        Change::Tag { tag: text("t"), on: false },
        Change::Pin { on: true, reason: Some(text("r")) },
        Change::Rewritten { from: SnapshotId([6; 32]), what: text("w") },
    ];
    let keys = Keyring::generate(&SeededEntropy::new(1)).unwrap();
    let (_, wrapped) = keys.fresh_key(Kind::DataPack, &SeededEntropy::new(2)).unwrap();
    let segment = SegmentEntry {
        offset: 32,
        stored: 70_000,
        raw: 250,
        codec: 2,
        key: 0,
        counter: 1 << 33,
        generation: 3,
        bases: vec![BlobId([7; BLOB_ID_LEN])],
        blobs: vec![BlobEntry { id: BlobId([8; BLOB_ID_LEN]), kind: 1, len: 250 }],
    };
    let directory = Directory { keys: vec![wrapped], segments: vec![segment] };
    let pack = PackEntry { id: PackId([9; 32]), len: 1 << 26, kind: 3, directory: directory.clone() };
    let annotation = Annotation {
        series: SeriesTag([2; 16]),
        snapshot: SnapshotId([3; 32]),
        counter: 300,
        time: time(),
        host: text("h"),
        user: text("u"),
        changes,
    };
    let tombstone = Tombstone { head: gone.clone(), time: time(), host: text("h"), user: text("u"), reason: text("r") };
    let marker =
        Marker { medium: [1; 16], generation: 300, name: text("n"), time: time(), host: text("h"), parity: true };
    let session = Session { nonce: [1; 16], begun: time(), host: text("h"), program: text("p"), seen: vec![] };
    let note = Note { nonce: [1; 16], made: time(), step: Step::Notice, packs: vec![PackId([1; 32]), PackId([2; 32])] };
    let inner = TreePage::Inner(vec![TreeChild { first: Name::new(&b"a"[..]).unwrap(), id: BlobId([1; BLOB_ID_LEN]) }]);
    let list = ListPage::Inner(vec![ListChild { len: 1 << 20, id: BlobId([1; BLOB_ID_LEN]) }]);
    BTreeMap::from([
        ("config", (codec::encode(&Config::default()), again::<Config> as Again)),
        ("snapshot", (codec::encode(&snapshot), again::<Snapshot>)),
        ("head", (codec::encode(&head), again::<Head>)),
        ("leaf", (codec::encode(&TreePage::Leaf(leaf)), again::<TreePage>)),
        ("inner page", (codec::encode(&inner), again::<TreePage>)),
        ("list", (codec::encode(&ListPage::Leaf(extents)), again::<ListPage>)),
        ("inner list", (codec::encode(&list), again::<ListPage>)),
        ("directory", (codec::encode(&directory), again::<Directory>)),
        ("index", (codec::encode(&IndexObject { packs: vec![pack] }), again::<IndexObject>)),
        ("tombstone", (codec::encode(&tombstone), again::<Tombstone>)),
        ("tombstone's head", (codec::encode(&gone), again::<GoneHead>)),
        ("annotation", (codec::encode(&annotation), again::<Annotation>)),
        ("marker", (codec::encode(&marker), again::<Marker>)),
        ("session", (codec::encode(&session), again::<Session>)),
        ("note", (codec::encode(&note), again::<Note>)),
    ])
}

#[test]
fn there_is_one_encoding_of_each_structure() {
    let (mut accepted, mut refused) = (0, 0);
    for (what, (bytes, again)) in samples() {
        assert_eq!(again(&bytes).unwrap_or_else(|e| panic!("{what}: {e}")), bytes, "{what}");
        // Whatever decodes is encoded to the same bytes: a second encoding of one value does not decode.
        let mut check = |changed: &[u8]| match again(changed) {
            Ok(out) => {
                assert_eq!(out, changed, "{what}");
                accepted += 1;
            }
            Err(_) => refused += 1,
        };
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 250, 251, 252, 253, 254, 255, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
                let mut changed = bytes.clone();
                changed[at] = value;
                check(&changed);
            }
            // The same number in its longer forms.
            for longer in [&[251, bytes[at], 0][..], &[252, bytes[at], 0, 0, 0], &[253, bytes[at], 0, 0, 0, 0, 0, 0, 0]]
            {
                check(&[&bytes[..at], longer, &bytes[at + 1..]].concat());
            }
            check(&bytes[..at]);
            check(&[&bytes[..at], &[0][..], &bytes[at..]].concat());
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

/// No key and counter, and no nonce, is used twice, whatever the number of threads. `VAULT_SEALS=1000000` for a million.
#[test]
fn no_nonce_is_used_twice() {
    let count: u64 = std::env::var("VAULT_SEALS").map_or(3000, |text| text.parse().unwrap());
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(KernelEntropy),
        cache: None,
        state: None,
    };
    let secret = Secret::KeyFile(SealKey::new([1; 32]));
    let config = Config { pack_target: 4 << 20, ..Config::default() };
    let store = MemoryStore::new();
    let repo = Repository::init(Arc::new(store.clone()), &secret, Costs::LOW, "", config, around).unwrap();
    let (index, _) = repo.load_index(true).unwrap();
    let session = repo.begin("h", false, &Silent).unwrap();
    session
        .write(&index, WriteOptions::default(), &Silent, |writer| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|thread| {
                        scope.spawn(move || {
                            let mut lane = writer.lane(Kind::DataPack);
                            for n in 0..count / 4 {
                                // Each flush closes a segment.
                                lane.store(BlobKind::Data, &(thread * count + n).to_le_bytes())?;
                                lane.flush()?;
                            }
                            Ok(())
                        })
                    })
                    .collect();
                threads.into_iter().try_for_each(|thread| thread.join().unwrap())
            })
        })
        .unwrap();
    let (mut seals, mut keys, mut segments) = (HashSet::new(), HashSet::new(), 0);
    let mut wrapped = HashSet::new();
    for id in repo.list_packs().unwrap().into_keys() {
        let directory = repo.read_directory(&id).unwrap().directory;
        for segment in &directory.segments {
            let key = &directory.keys[segment.key as usize];
            segments += 1;
            assert!(seals.insert((key.to_bytes(), segment.counter)), "a key and a counter for the second time");
            if wrapped.insert(key.to_bytes()) {
                let key = repo.keys().unwrap_key(Kind::DataPack, key, &"it").unwrap();
                assert!(keys.insert(*key.expose()), "one key was drawn twice");
            }
        }
    }
    assert_eq!(segments, count / 4 * 4);
    // Envelopes draw each nonce from the kernel.
    let (mut nonces, key) = (HashSet::new(), SealKey::new([1; 32]));
    for _ in 0..count {
        let bytes = object::seal_envelope(Kind::Note, RepoId([1; 16]), &key, b"x", &KernelEntropy).unwrap();
        assert!(nonces.insert(<[u8; 24]>::try_from(&bytes[32..56]).unwrap()), "a nonce for the second time");
    }
}
