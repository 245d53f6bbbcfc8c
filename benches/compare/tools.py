"""What is compared: the commands of each tool.

{repo} {cache} {home} {out} {source} {snapshot} {n} are filled in: the repository, a folder for the tool's own state, its
home, where to restore to, what to back up, the snapshot's name, and the number of the snapshot. `snapshot` is a pattern
that finds the name in what `backup` printed; without it the commands name their snapshots by {n}. `note` is told with the
table. All tools encrypt.
"""
import subprocess

PASSPHRASE = "four words of a passphrase"


def vault(options=""):
    return {
        "env": {"VAULT_REPO": "{repo}", "VAULT_CACHE_DIR": "{cache}"} | ({} if options else {"VAULT_PASSWORD": PASSPHRASE}),
        "program": "vault",
        "init": ["vault init"],
        "backup": f"vault {options} snapshot {{source}}",
        "snapshot": r"^snapshot ([0-9a-f]{8,}) saved",
        "list": f"vault {options} ls -R {{snapshot}}",
        "restore": f"vault {options} restore {{snapshot}} --target {{out}}",
        "check": f"vault {options} check --read-data",
    }


TOOLS = {
    # a passphrase: 64 MiB and some 0.1 s of key derivation in each command
    "vault": vault(),
    # a key file, as machines use it: no derivation
    "vault-key": vault("--key-file {cache}/key") | {"init": [f"env 'VAULT_PASSWORD={PASSPHRASE}' vault init --key-file-out {{cache}}/key"]},
    "restic": {
        "env": {"RESTIC_REPOSITORY": "{repo}", "RESTIC_PASSWORD": PASSPHRASE, "RESTIC_CACHE_DIR": "{cache}"},
        "version": "restic version",
        "init": ["restic init"],
        "backup": "restic backup {source}",
        "snapshot": r"^snapshot ([0-9a-f]{8,}) saved",
        "list": "restic ls {snapshot}",
        "restore": "restic restore {snapshot} --target {out}",
        "restore_sparse": "restic restore --sparse {snapshot} --target {out}",
        "check": "restic check --read-data",
    },
    "borg": {
        "env": {"BORG_REPO": "{repo}", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": "{cache}"},
        "init": ["borg init --encryption repokey-blake2"],
        "backup": "borg create --compression zstd,3 ::day{n} {source}",
        "list": "borg list ::day{n}",
        "restore": "borg extract ::day{n}",
        "restore_sparse": "borg extract --sparse ::day{n}",
        "restore_in": "{out}",
        "check": "borg check --verify-data",
        "note": "compresses by zstd at level 3, as the others do; its own default, lz4, stores far more",
    },
    "rustic": {
        "env": {"RUSTIC_REPOSITORY": "{repo}", "RUSTIC_PASSWORD": PASSPHRASE, "RUSTIC_CACHE_DIR": "{cache}", "RUSTIC_NO_PROGRESS": "true"},
        "init": ["rustic init"],
        "backup": "rustic backup {source}",
        "snapshot": r"snapshot ([0-9a-f]{8,}) successfully saved",
        "list": "rustic ls {snapshot}",
        "restore": "rustic restore {snapshot} {out}",
        "check": "rustic check --read-data",
    },
    "bupstash": {
        "env": {"BUPSTASH_REPOSITORY": "{repo}/store", "BUPSTASH_KEY": "{cache}/key", "BUPSTASH_SEND_LOG": "{cache}/sent", "BUPSTASH_QUERY_CACHE": "{cache}/queries"},
        "init": ["bupstash new-key -o {cache}/key", "bupstash init"],
        "backup": "bupstash put --quiet day={n} {source}",
        "snapshot": r"\b([0-9a-f]{32})\b",
        "list": "bupstash list-contents --quiet id={snapshot}",
        "restore": "bupstash restore --quiet --into {out} id={snapshot}",
        "check": "sh -c 'bupstash get --quiet id={snapshot} > /dev/null'",
        "note": "has no check of all data: its last snapshot is read back, and so authenticated",
    },
    "vykar": {
        "env": {"VYKAR_CONFIG": "{cache}/vykar.yaml", "VYKAR_PASSPHRASE": PASSPHRASE, "XDG_CACHE_HOME": "{cache}"},
        "files": {"{cache}/vykar.yaml": "repositories:\n  - label: here\n    url: {repo}/store\nsources:\n  - {source}\ncompression:\n  algorithm: zstd\n  zstd_level: 3\n"},
        "init": ["vykar init -R here"],
        "backup": "vykar backup -R here -l here {source}",
        "snapshot": r"\b([0-9a-f]{8,64})\b",
        "list": "vykar snapshot list {snapshot}",
        "restore": "vykar restore -R here {snapshot} {out}/tree",
        "check": "vykar check -R here --verify-data",
    },
}

OURS = ("vault", "vault-key")


def version(name):
    command = TOOLS[name].get("version", f"{TOOLS[name].get('program', name)} --version").split()
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return next((line.strip() for line in found.stdout.splitlines() if line.strip()), "unknown version")
