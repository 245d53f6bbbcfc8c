//! What each role can do: every command with every key, and what those try who cheat.

mod common;

use common::world::Ran;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use vault::{
    error::Error,
    hash::BlobKind,
    id::BlobId,
    keys::{Role, slot::Secret},
    model::node::{Body, Content, Extent, Node},
    monitor::Silent,
    object::Kind,
    ops::{
        check::{ReadData, check},
        walk::each_entry,
    },
    repo::{BlobReader, Repository, Surroundings, Unlock},
    seal::SealKey,
    store::local::LocalStore,
    world::{KernelEntropy, SystemClock},
};

const SERIES: &str = "h/-/app";

/// A repository with a snapshot, and a key file of each role: `writer`, `maintainer`, `owner`.
struct World(common::world::World);

impl World {
    fn new() -> Self {
        let world = World(common::world::World::new());
        fs::create_dir(world.path("app")).unwrap();
        fs::write(world.path("app/secret-name"), "secret contents").unwrap();
        world.good(None, &["init", "--kdf", "low"]);
        for role in ["writer", "maintainer", "owner"] {
            world.good(None, &["key", "add", "--role", role, "--key-file-out", role, "--kdf", "low"]);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        world.good(Some("owner"), &["snapshot", "--as", SERIES, "app"]);
        world.good(Some("writer"), &["snapshot", "--as", SERIES, "app"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Runs a command with the key file of a role, or with the passphrase.
    fn run(&self, role: Option<&str>, args: &[&str]) -> Ran {
        self.0.run_with(args, |command| {
            // What it keeps for itself is looked for where a user has it.
            command.env_remove("VAULT_CACHE_DIR").env_remove("VAULT_STATE_DIR").env("HOME", self.0.folder());
            if let Some(role) = role {
                command.args(["--key-file", role]).env_remove("VAULT_PASSWORD");
            }
        })
    }

    #[track_caller]
    fn good(&self, role: Option<&str>, args: &[&str]) -> Ran {
        self.run(role, args).expect(0)
    }

    /// The ids of the snapshots, oldest first.
    fn ids(&self) -> Vec<String> {
        let ran = self.good(Some("owner"), &["snapshots", "--json"]);
        let result: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
        result["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    fn open(&self, role: &str) -> Repository {
        let text = fs::read_to_string(self.path(role)).unwrap();
        let key = vault::id::unhex::<32>(text.trim()).unwrap();
        let around = Surroundings {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(KernelEntropy),
            cache: Some(self.path(".cache/vault")),
            state: None,
        };
        let store = Arc::new(LocalStore::open(&self.path("repo")).unwrap());
        Repository::open(store, &Unlock::Secret(Secret::KeyFile(SealKey::new(key))), around).unwrap()
    }
}

/// What a role gets: an exit code, and for a refusal what the message says.
const MAY: (i32, &str) = (0, "");
const MAINTAINERS: (i32, &str) = (1, "this is a writer key, which may not ");
const OWNERS: (i32, &str) = (1, "that takes an owner key");
const TAKES_MAINTAINER: &str = "that takes a maintainer or owner key";

type Outcomes = [(i32, &'static str); 3];

/// Writer, maintainer, owner.
const ALL: Outcomes = [MAY, MAY, MAY];
const NO_WRITER: Outcomes = [MAINTAINERS, MAY, MAY];
const ONLY_OWNER: Outcomes = [OWNERS, OWNERS, MAY];

#[test]
fn each_role_may_what_it_may_and_is_told_which_role_it_lacks() {
    let world = World::new();
    let id = world.ids()[0].clone();
    let at = format!("{SERIES}@latest");
    let file = format!("{at}:app/secret-name");
    let changed = "h/-/other";
    fs::create_dir(world.path("changed")).unwrap();
    fs::write(world.path("changed/secret-name"), "otherwise").unwrap();
    world.good(Some("owner"), &["snapshot", "--as", changed, "--source", "app=changed"]);
    world.good(None, &["init", "--repo", "other", "--kdf", "low", "--key-file-out", "of-other"]);
    let matrix: &[(&[&str], Outcomes)] = &[
        (&["snapshot", "--as", SERIES, "app"], ALL),
        (&["snapshot", "--as", SERIES, "--dry-run", "app"], ALL),
        (&["snapshots"], NO_WRITER),
        (&["ls", &at], NO_WRITER),
        (&["ls", "--tree", &at], NO_WRITER),
        (&["diff", &id, &at], NO_WRITER),
        (&["diff", &id, "--live", "app", "--content"], NO_WRITER),
        (&["diff", "--patch", changed, &at], [MAINTAINERS, OWNERS, MAY]),
        (&["find", "no*"], NO_WRITER),
        (&["find", "no*", "--latest"], NO_WRITER),
        (&["log", &file], NO_WRITER),
        (&["log", &file, "--restore", "1", "--target", "{out}"], [MAINTAINERS, OWNERS, MAY]),
        (&["browse"], [(2, "terminal"), (2, "terminal"), (2, "terminal")]),
        (&["stats"], NO_WRITER),
        (&["check"], NO_WRITER),
        (&["check", "--read-data"], NO_WRITER),
        (&["repair", "--dry-run"], NO_WRITER),
        // These need no key at all.
        (&["parity", "add", "--mirror"], ALL),
        (&["parity", "status"], ALL),
        (&["repair", "--keyless", "--read-data"], ALL),
        (&["media", "recover", "repo", "--to", "{out}"], ALL),
        (&["media", "recover", "repo", "--to", "{out}", "--list"], NO_WRITER),
        (&["parity", "remove"], ALL),
        (&["forget", "--keep-last", "5", "--dry-run"], NO_WRITER),
        (&["forget", "--keep-last", "100"], NO_WRITER),
        (&["tag", "add", "good", &id], NO_WRITER),
        (&["pin", &id], NO_WRITER),
        (&["unpin", &id], NO_WRITER),
        // A maintainer sees what there is, and not what is in it.
        (&["restore", &at, "--target", "{out}"], [MAINTAINERS, OWNERS, MAY]),
        (&["dump", &file], [MAINTAINERS, OWNERS, MAY]),
        (&["rewrite", &file, "--dry-run"], ONLY_OWNER),
        // Whole objects take no key; under other keys everything is read.
        (&["copy", "--to", "{out}", "--init"], ALL),
        (&["copy", "--to", "other", "--to-key-file", "of-other"], ONLY_OWNER),
        (&["key", "rekey", "--to", "{out}", "--new-password-command", "echo new", "--kdf", "low"], ONLY_OWNER),
        (&["media", "list"], NO_WRITER),
        (&["media", "find", SERIES], [MAINTAINERS, (2, "no medium holds"), (2, "no medium holds")]),
        // Only who may, is told that there is nothing to mount at.
        (&["mount", "app/secret-name"], [OWNERS, OWNERS, (2, "is no folder")]),
        (&["key", "list"], ALL),
        (&["key", "add", "--role", "writer", "--key-file-out", "{out}"], ALL),
        (&["key", "add", "--role", "maintainer", "--key-file-out", "{out}"], NO_WRITER),
        (&["key", "add", "--role", "owner", "--key-file-out", "{out}"], ONLY_OWNER),
        (&["key", "recovery"], ONLY_OWNER),
        (&["key", "passwd"], [(2, "passphrase"), (2, "passphrase"), (2, "passphrase")]),
    ];
    let mut out = 0;
    for (args, outcomes) in matrix {
        for (role, (code, says)) in ["writer", "maintainer", "owner"].into_iter().zip(outcomes) {
            out += 1;
            let fresh = format!("out-{out}");
            let args: Vec<&str> = args.iter().map(|arg| if *arg == "{out}" { &fresh } else { *arg }).collect();
            let ran = world.run(Some(role), &args);
            assert_eq!(ran.code, *code, "{role}: {args:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(says), "{role}: {args:?}: {}", ran.err);
            if *code == 1 && *says == MAINTAINERS.1 && !args.contains(&"--target") && args[0] != "dump" {
                assert!(ran.err.contains(TAKES_MAINTAINER), "{role}: {args:?}: {}", ran.err);
            }
            if *code == 1 {
                let told = ran.out.clone() + &ran.err;
                let names_it = ["restore", "--restore", "dump"].iter().any(|word| args.contains(word));
                assert!(!told.contains("secret-name") || names_it, "{told}");
                assert!(!told.contains("secret contents"), "{told}");
            }
        }
    }
    let mut restored = 0;
    for entry in fs::read_dir(world.0.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"out-")) {
            each_file(&path, &mut |bytes| restored += usize::from(bytes == b"secret contents"));
        }
    }
    assert_eq!(restored, 2, "only the owner restores, in two ways");
}

#[test]
fn keys_of_a_wider_role_are_not_removed_by_a_narrower_one() {
    let world = World::new();
    let ran = world.good(Some("owner"), &["key", "list", "--json"]);
    let result: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    let id = |role: &str| {
        let keys = result["keys"].as_array().unwrap();
        let key = keys.iter().rfind(|key| key["role"] == role).unwrap();
        key["id"].as_str().unwrap().to_owned()
    };
    for (by, whose) in [("writer", "maintainer"), ("writer", "owner"), ("maintainer", "owner")] {
        let ran = world.run(Some(by), &["key", "remove", &id(whose)]);
        assert_eq!(ran.code, 1, "{by} {whose}: {}", ran.err);
        assert!(ran.err.contains("may not remove"), "{}", ran.err);
    }
    world.good(Some("owner"), &["key", "remove", &id("maintainer")]);
    assert_eq!(world.run(Some("maintainer"), &["key", "list"]).code, 12);
}

/// All ids that the index lists, which is what a writer may have.
fn all_nodes(owner: &Repository) -> Vec<Node> {
    let (index, _) = owner.load_index(true).unwrap();
    let reader = BlobReader::new(owner, &index);
    let mut out = Vec::new();
    for listed in owner.snapshots(None).unwrap().listed {
        for source in listed.snapshot.sources {
            if let Body::Directory { tree, .. } = source.root.body {
                let mut take = |_: &[u8], node: &Node| {
                    out.push(node.clone());
                    Ok(())
                };
                each_entry(&reader, tree, b"", &mut take).unwrap();
            }
            out.push(source.root);
        }
    }
    out
}

#[track_caller]
fn not_permitted<T: std::fmt::Debug>(result: Result<T, Error>, takes: &str) {
    let refused = result.unwrap_err();
    assert!(matches!(refused, Error::NotPermitted { .. }), "{refused}");
    assert!(refused.to_string().contains(takes), "{refused}");
}

#[test]
fn a_writer_that_cheats_opens_nothing() {
    let world = World::new();
    let (owner, writer) = (world.open("owner"), world.open("writer"));
    assert_eq!(writer.keys().role(), Role::Writer);
    let (index, _) = writer.load_index(true).unwrap();
    let reader = BlobReader::new(&writer, &index);
    // It knows all names of objects, and the ids of all blobs.
    let (mut trees, mut data) = (0, 0);
    for node in all_nodes(&owner) {
        match node.body {
            Body::Directory { tree, .. } => {
                not_permitted(reader.blob(BlobKind::Tree, &tree), "a maintainer or owner key");
                trees += 1;
            }
            Body::File { content: Content::Extents(extents), .. } => {
                for extent in extents {
                    let Extent::Data { id, .. } = extent else { continue };
                    not_permitted(reader.blob(BlobKind::Data, &id), "an owner key");
                    data += 1;
                }
            }
            _ => {}
        }
    }
    assert!(trees >= 2 && data >= 2);
    for (tag, id, _) in writer.snapshot_names(None).unwrap() {
        writer.head(&tag, &id).unwrap();
        not_permitted(writer.read_snapshot(&tag, &id), "a maintainer or owner key");
    }
    not_permitted(writer.snapshots(None).map(|_| ()), "a maintainer or owner key");
    not_permitted(check(&writer, ReadData::None, 1, &Silent), "a maintainer or owner key");
    for role in [Role::Maintainer, Role::Owner] {
        not_permitted(writer.keys().narrowed(role).map(|_| ()), "key");
    }
    // The wrapped keys of packs, asked for one by one, and of the other kind.
    for pack in writer.list_packs().unwrap().into_keys() {
        let entry = writer.read_directory(&pack).unwrap();
        for wrapped in &entry.directory.keys {
            for kind in [Kind::DataPack, Kind::TreePack, Kind::Snapshot] {
                not_permitted(writer.keys().unwrap_key(kind, wrapped, &"pack").map(|_| ()), "key");
            }
        }
    }
    // All files that the commands left on this machine.
    let mut count = 0;
    each_file(&world.path(".cache"), &mut |bytes| {
        count += 1;
        for secret in ["secret-name", "secret contents", "app", SERIES] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found || secret.len() < 4, "{secret} lies in the cache");
        }
    });
    each_file(&world.path(".local"), &mut |bytes| {
        count += 1;
        assert!(!bytes.windows(SERIES.len()).any(|window| window == SERIES.as_bytes()));
    });
    assert!(count >= 3, "{count} files");
}

fn each_file(folder: &Path, each: &mut dyn FnMut(&[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { each_file(&path, each) } else { each(&fs::read(&path).unwrap()) }
    }
}

#[test]
fn a_maintainer_that_cheats_reads_no_contents() {
    let world = World::new();
    let (owner, maintainer) = (world.open("owner"), world.open("maintainer"));
    let (index, _) = maintainer.load_index(true).unwrap();
    let reader = BlobReader::new(&maintainer, &index);
    let ids: Vec<BlobId> = all_nodes(&owner)
        .into_iter()
        .filter_map(|node| match node.body {
            Body::File { content: Content::Extents(extents), .. } => {
                extents.into_iter().find_map(|extent| match extent {
                    Extent::Data { id, .. } => Some(id),
                    Extent::Hole { .. } => None,
                })
            }
            _ => None,
        })
        .collect();
    assert_eq!(all_nodes(&maintainer).len(), all_nodes(&owner).len());
    for id in &ids {
        not_permitted(reader.blob(BlobKind::Data, id), "an owner key");
        // Asked for as what it is not, too.
        assert!(reader.blob(BlobKind::Tree, id).is_err());
    }
    assert!(ids.len() >= 2);
    for pack in maintainer.list_packs().unwrap().into_keys() {
        let entry = maintainer.read_directory(&pack).unwrap();
        for wrapped in &entry.directory.keys {
            not_permitted(maintainer.keys().unwrap_key(Kind::DataPack, wrapped, &"pack").map(|_| ()), "an owner key");
        }
    }
    not_permitted(maintainer.keys().narrowed(Role::Owner).map(|_| ()), "an owner key");
    assert!(check(&maintainer, ReadData::Percent(100.0), 1, &Silent).unwrap().findings.is_empty());
}

#[test]
fn a_store_that_was_put_back_is_an_error_until_it_is_accepted() {
    let world = World::new();
    let newest = {
        let mut found = Vec::new();
        let folder = fs::read_dir(world.path("repo/snapshots")).unwrap().next().unwrap().unwrap().path();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            found.push((entry.metadata().unwrap().modified().unwrap(), entry.path()));
        }
        found.sort();
        found.pop().unwrap().1
    };
    let away = world.path("away");
    world.good(Some("owner"), &["snapshots"]);
    fs::rename(&newest, &away).unwrap();
    let restore = ["restore", SERIES, "--target", "restored"];
    let commands: &[(&str, &[&str])] = &[
        ("writer", &["snapshot", "--as", SERIES, "app"]),
        ("owner", &["snapshot", "--as", SERIES, "app"]),
        ("owner", &["snapshots"]),
        ("owner", &["check"]),
        ("owner", &restore),
        ("maintainer", &["ls", SERIES]),
    ];
    for (role, args) in commands {
        let ran = world.run(Some(role), args);
        assert_eq!(ran.code, 14, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("number 2") && ran.err.contains("--accept-rollback"), "{args:?}: {}", ran.err);
    }
    assert!(!world.path("restored").exists());
    let ran = world.run(Some("owner"), &["snapshots", "--json"]);
    let result: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    let told = &result["rollbacks"][0];
    assert_eq!((&result["exit_code"], &told["seen"], &told["newest"]), (&14.into(), &2.into(), &1.into()));
    assert_eq!(result["snapshots"].as_array().unwrap().len(), 1, "what is there is listed all the same");
    // What is named by its id is what was asked for.
    let id = result["snapshots"][0]["id"].as_str().unwrap().to_owned();
    world.good(Some("owner"), &["restore", &id, "--target", "by-id"]);
    // Put back, or accepted, nothing is told any more.
    fs::rename(&away, &newest).unwrap();
    world.good(Some("owner"), &["snapshots"]);
    fs::rename(&newest, &away).unwrap();
    let ran = world.good(Some("writer"), &["snapshot", "--as", SERIES, "app", "--accept-rollback"]);
    assert!(ran.err.contains("accepted"), "{}", ran.err);
    world.good(Some("owner"), &restore);
    world.good(Some("owner"), &["snapshots"]);
    // Elsewhere the same repository is another place: a replica may lag behind.
    assert!(Command::new("cp").arg("-r").arg(world.path("repo")).arg(world.path("copy")).status().unwrap().success());
    world.good(Some("owner"), &["snapshot", "--as", SERIES, "app"]);
    let copy = world.path("copy");
    world.good(Some("owner"), &["snapshots", "--repo", copy.to_str().unwrap()]);
}
