//! All keys of `vault.toml`, but for those of the recipes, and what counts when nothing is said.

use super::key::{Key, KeyKind::*};

/// How long snapshots are kept. There is no default: without a rule nothing is forgotten.
pub const RETENTION: &[Key] = &[
    Key::new("last", Reach, "keep so many of the newest snapshots"),
    Key::new("within", Duration, "keep all of so long before the newest"),
    Key::new("hourly", Reach, "keep the newest of each hour, so many hours or so long"),
    Key::new("daily", Reach, "keep the newest of each day"),
    Key::new("weekly", Reach, "keep the newest of each week"),
    Key::new("monthly", Reach, "keep the newest of each month"),
    Key::new("yearly", Reach, "keep the newest of each year"),
    Key::new("tags", Texts, "keep all with one of these tags"),
];

/// What is promised. `vault status` is red when it is not kept.
pub const SLO: &[Key] = &[
    Key::new("rpo", Duration, "the newest good snapshot is never older than this"),
    Key::new("rto", Duration, "a restore takes no longer than this; measured by drills"),
    Key::new("copies", Integer, "so many repositories and media hold a snapshot that is not much older"),
    Key::new("sites", Integer, "at so many sites"),
    Key::new("check", Duration, "a repository that holds it was checked within this time"),
    Key::new("drill", Duration, "it was restored for a test within this time; without it, none is expected"),
];

/// Commands of the user's, each run by `/bin/sh -c`. What they are to know they find in their environment:
/// `VAULT_SERIES`, `VAULT_RECIPE`, `VAULT_HOOK` (`before`, `after`, `on-error`), and later `VAULT_OUTCOME`, `VAULT_SNAPSHOT`, `VAULT_ERROR`.
pub const HOOKS: &[Key] = &[
    Key::new("before", Texts, "run before the application is read; when one fails, no snapshot is made"),
    Key::new("after", Texts, "run when it was read, whatever came of it"),
    Key::new("on-error", Texts, "run when something went wrong"),
];

/// What servers, VMs and applications may say; the nearer word counts.
const COMMON: [Key; 11] = [
    Key::new("exclude", Texts, "patterns to leave out, as in gitignore(5); added to those of the levels above"),
    Key::new("retention", Table(RETENTION), "how long snapshots are kept"),
    Key::new("slo", Table(SLO), "what is promised"),
    Key::new("every", Duration, "take a snapshot at most so often; without it, in each run"),
    Key::new("hooks", Table(HOOKS), "commands to run before and after"),
    Key::new("quiesce", Choice(&["none", "lvm", "btrfs", "zfs"]), "read from a snapshot of the file system"),
    Key::new("quiesce-size", Text, "room for what changes meanwhile, as lvcreate(8) has it: 5G, 10%ORIGIN"),
    Key::new("tags", Texts, "words to find snapshots by; added to those of the levels above"),
    Key::new("compression", Compression, "how hard to compress"),
    Key::new("repository", Text, "the name of the repository that snapshots go to"),
    Key::new("one-file-system", Flag, "do not enter other file systems"),
];

const fn with<const N: usize, const M: usize>(first: [Key; N]) -> [Key; M] {
    let mut out = [COMMON[0]; M];
    let mut i = 0;
    while i < M {
        out[i] = if i < N { first[i] } else { COMMON[i - N] };
        i += 1;
    }
    out
}

/// What every level may say.
pub const DEFAULTS: &[Key] = &COMMON;

/// What every application may say, beside the keys of its recipe.
pub const APP: &[Key] = &with::<1, 12>([Key::new("type", Text, "its recipe: see `vault recipe list`").required()]);

const VM: &[Key] = &with::<2, 13>([
    Key::new("hosts", Texts, "names of the machine, when vault runs inside of it"),
    Key::new("apps", Apps, "applications, by their path"),
]);

const SERVER: &[Key] = &with::<4, 15>([
    Key::new("site", Text, "where it stands"),
    Key::new(
        "hosts",
        Texts,
        "names of the machine: this one is it when it has one of them; without it, the name of the table",
    ),
    Key::new("vms", Named(VM), "its virtual machines"),
    Key::new("apps", Apps, "applications that run in no virtual machine, by their path"),
]);

const REPOSITORY: &[Key] = &[
    Key::new("path", Text, "its place: a folder").required(),
    Key::new("role", Choice(&["local", "copy"]), "local: snapshots are taken into it; copy: they are copied to it"),
    Key::new("site", Text, "where it stands"),
    Key::new("hosts", Texts, "names of the machines that can reach it; without it, all can"),
    Key::new("key-file", Path, "opened with this key file"),
    Key::new("password-file", Path, "opened with the passphrase in this file"),
    Key::new("password-command", Text, "opened with the passphrase that this command prints"),
    Key::new("password-env", Text, "opened with the passphrase in this variable of the environment"),
    Key::new("retention", Table(RETENTION), "how long snapshots are kept in it, when it is a copy"),
    Key::new(
        "prune",
        Pause,
        "free the space of what was forgotten, at most so often; without it, each week where a rule forgets anything",
    ),
];

const PULL: &[Key] = &[
    Key::new("from", Text, "the repository there: ssh://[USER@]HOST[:PORT]/PATH, or a folder").required(),
    Key::new("partition", Path, "the folder whose remote/NAME the copy is").required(),
    Key::new("hosts", Texts, "names of the machines that pull it; without it, each that reads this"),
    Key::new("site", Text, "where the copy stands"),
    Key::new("every", Duration, "at most so often; without it, in each run"),
    Key::new("overdue", Duration, "not pulled for so long, or without a new snapshot there, it is missed"),
    Key::new("ssh", Text, "what is run to get there: ssh -i /root/.ssh/pull"),
    Key::new("remote-vault", Text, "what vault is called there"),
    Key::new("bandwidth", Size, "write so many bytes a second at most"),
    Key::new("check", Duration, "hold objects of the copy against their names, at most so often"),
    Key::new("read-data", Share, "this share of the packs in each check"),
];

const MEDIUM: &[Key] = &[
    Key::new("repository", Text, "whose copy it carries; without it, the one local repository"),
    Key::new("every", Duration, "bring it up to date at most so often, when it is plugged in"),
    Key::new("overdue", Duration, "not brought up to date for so long, it is missed"),
];

const COPY: &[Key] = &[
    Key::new("from", Text, "the name of a repository; without it, the one local repository"),
    Key::new("to", Text, "the name of a repository").required(),
    Key::new("every", Duration, "at most so often; without it, in each run"),
    Key::new(
        "select",
        Texts,
        "which applications: server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME, tag:WORD",
    ),
];

const CHECK: &[Key] = &[
    Key::new("repository", Text, "the name of a repository; without it, each local one"),
    Key::new("every", Duration, "at most so often; without it, in each run"),
    Key::new("read-data", Share, "read this share of the packs, those first that were not read for the longest time"),
];

const DRILL: &[Key] = &[
    Key::new("select", Texts, "which applications"),
    Key::new("every", Duration, "each of them at most so often; without it, half of its slo.drill"),
    Key::new("most", Integer, "so many in one run"),
    Key::new("scratch", Path, "a folder with enough room, which every user may enter; without it, /var/tmp"),
];

const NOTIFY: &[Key] = &[
    Key::new("healthcheck", Secret, "an address to ping when a run begins and ends"),
    Key::new("webhook", Secret, "an address to send the outcome to, as JSON"),
    Key::new("mail", Texts, "addresses to mail to"),
    Key::new("mail-command", Text, "what sends mail: sendmail -t"),
    Key::new("on", Choice(&["always", "problems"]), "when"),
];

const STATUS: &[Key] = &[
    Key::new("prometheus", Path, "after each run, write the status for node_exporter's text files to this file"),
    Key::new("html", Path, "and as a page"),
    Key::new("json", Path, "and as JSON"),
];

const FLEET: &[Key] = &[
    Key::new("name", Text, "how reports call it"),
    Key::new("history", Path, "the folder of reports: one file an application and day"),
    Key::new("recipes", Path, "the folder of recipes of your own; without it, recipes.d beside vault.toml"),
];

/// All of `vault.toml`.
pub const ROOT: &[Key] = &[
    Key::new("version", Integer, "the version of this language: 1"),
    Key::new("fleet", Table(FLEET), "the whole"),
    Key::new("defaults", Table(DEFAULTS), "what counts for all applications that do not say otherwise"),
    Key::new("repositories", Named(REPOSITORY), "where snapshots go, and copies of them"),
    Key::new("media", Named(MEDIUM), "USB disks, by their names in `vault media list`"),
    Key::new("servers", Named(SERVER), "servers, their virtual machines, and the applications of both"),
    Key::new("copy", Tables(COPY), "what is copied where"),
    Key::new("pull", Named(PULL), "repositories of other servers that are brought here, by the server's name"),
    Key::new("check", Tables(CHECK), "what is checked when"),
    Key::new("drill", Tables(DRILL), "what is restored for a test, when"),
    Key::new("notify", Table(NOTIFY), "who is told of a run"),
    Key::new("status", Table(STATUS), "files that are written after each run"),
];

/// What counts when nothing is said, for each application: by path of keys, as TOML has the value.
pub const APP_DEFAULTS: &[(&str, &str)] = &[
    ("slo.rpo", "\"26h\""),
    ("slo.copies", "1"),
    ("slo.sites", "1"),
    ("slo.check", "\"30d\""),
    ("quiesce", "\"none\""),
    ("quiesce-size", "\"10%ORIGIN\""),
    ("compression", "\"auto\""),
    ("one-file-system", "false"),
];

/// The same for the fleet as a whole.
pub const FLEET_DEFAULTS: &[(&str, &str)] = &[
    ("fleet.name", "\"fleet\""),
    ("fleet.history", "\"/var/lib/vault/history\""),
    ("notify.on", "\"problems\""),
    ("notify.mail-command", "\"sendmail -t\""),
];

/// What is checked when there is no `[[check]]`: with it everything is read in 25 nights.
pub const CHECK_DEFAULT: &[(&str, &str)] = &[("every", "\"1d\""), ("read-data", "\"4%\"")];

/// When a repository that is pulled says nothing.
pub const PULL_DEFAULTS: &[(&str, &str)] = &[("overdue", "\"2d\""), ("check", "\"1d\""), ("read-data", "\"4%\"")];

/// How often space is freed where a rule forgets anything, in seconds.
pub const PRUNE_EVERY: u64 = 7 * 86400;

/// When a medium says nothing.
pub const MEDIUM_DEFAULTS: &[(&str, &str)] = &[("overdue", "\"8d\"")];
