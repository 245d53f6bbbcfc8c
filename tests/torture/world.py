"""The program, run in a folder of its own, and what was acknowledged of it."""

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("VAULT") or str(TOP / "target/release/vault")


class Broken(Exception):
    """What must hold does not."""


class Missing(Exception):
    """Something that a part needs is not here."""


def need(holds, what):
    """Fails unless it holds."""
    if not holds:
        raise Broken(what)


def noise(seed, length):
    """Bytes that do not compress, the same for the same seed."""
    return hashlib.shake_128(str(seed).encode()).digest(length)


@dataclass
class Ran:
    """What a run came to."""

    args: list
    code: int
    out: str
    err: str
    seconds: float = 0

    @property
    def result(self):
        """The last line of --json."""
        try:
            last = json.loads(self.out.splitlines()[-1])
        except (IndexError, ValueError):
            last = {}
        return last if last.get("event") == "result" else {}

    def expect(self, *codes):
        """Fails unless it ended with one of these codes."""
        need(self.code in codes, f"{' '.join(self.args)}: exit code {self.code}\n{self.out[-2000:]}{self.err[-2000:]}")
        return self


@dataclass
class Repo:
    """A repository and the snapshots that must be in it: id to files, path to digest."""

    path: Path
    key: Path
    held: dict = field(default_factory=dict)


class World:
    """A folder for one case."""

    def __init__(self, folder, rng):
        self.folder, self.rng = folder, rng
        self.counts, self.log, self.pids, self.undo = {}, [], [], []
        if not Path(PROGRAM).exists():
            raise SystemExit(f"{PROGRAM} is not there: cargo build --release, or set VAULT")

    def path(self, name):
        return self.folder / name

    def count(self, what, by=1):
        self.counts[what] = self.counts.get(what, 0) + by

    # Running.

    def environment(self, **more):
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "TZ": "UTC",
            "VAULT_CACHE_DIR": str(self.path("cache")),
            "VAULT_STATE_DIR": str(self.path("state")),
            **more,
        }

    def start(self, args, env=None, **how):
        """Begins a run of the program."""
        args = [str(arg) for arg in args]
        self.log.append(f"{time.time():.3f} {' '.join(args)}")
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        return subprocess.Popen([PROGRAM, *args], env=self.environment(**(env or {})), cwd=self.folder, **how)

    def end(self, child):
        """Waits for it."""
        out, err = child.communicate(timeout=600)
        ran = Ran([str(arg) for arg in child.args[1:]], child.returncode, out.decode(), err.decode())
        self.log.append(f"{time.time():.3f}   → {ran.code} {ran.out[-300:].strip()} {ran.err[-300:].strip()}")
        need("panicked" not in ran.err, f"{' '.join(ran.args)}: {ran.err}")
        return ran

    def run(self, *args, env=None):
        return self.end(self.start(args, env))

    def killed(self, args, seconds, env=None):
        """Runs it and kills it after this time, unless it has ended."""
        child, begun = self.start(args, env), time.monotonic()
        took = self.wait(child, seconds)
        child.send_signal(signal.SIGKILL)
        ran = self.end(child)
        ran.seconds = took if ran.code != -signal.SIGKILL else time.monotonic() - begun
        return ran

    @staticmethod
    def wait(child, seconds):
        """Waits so long, or until it ends; returns how long that was."""
        begun = time.monotonic()
        ends = os.pidfd_open(child.pid)
        select.select([ends], [], [], max(0, seconds))
        os.close(ends)
        return time.monotonic() - begun

    def tool(self, *args, check=True):
        """Another program, as root."""
        try:
            done = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except FileNotFoundError:
            raise Missing(f"{args[0]} is not installed") from None
        self.log.append(f"{time.time():.3f} # {' '.join(map(str, args))} → {done.returncode} {done.stderr[-200:]}")
        if check:
            need(done.returncode == 0, f"{args}: {done.stderr}")
        return done.stdout.strip() if done.returncode == 0 else None

    # Repositories.

    def init(self, name="repo"):
        """Makes a repository that a key file opens, so that no command derives a key from a passphrase."""
        repo = Repo(self.path(name), self.path(f"{name}.key"))
        init = ["init", "--repo", repo.path, "--kdf", "low", "--chunk-size", "8K", "--key-file-out", repo.key]
        self.run(*init, env={"VAULT_PASSWORD": "right"}).expect(0)
        return repo

    @staticmethod
    def at(repo):
        return ["--repo", repo.path, "--key-file", repo.key]

    def fill(self, folder, files):
        """Makes a folder of these files (path to seed and length); returns their digests."""
        folder = Path(folder)
        digests = {}
        for path in [p for p in folder.rglob("*") if p.is_file()] if folder.exists() else []:
            if str(path.relative_to(folder)) not in files:
                path.unlink()
        for name, (seed, length) in files.items():
            path, content = folder / name, noise(seed, length)
            path.parent.mkdir(parents=True, exist_ok=True)
            digests[name] = hashlib.sha256(content).hexdigest()
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        return digests

    def files(self, count=6, largest=120_000, pool=40):
        """Files for a folder. Their contents come from a pool: what was forgotten comes back."""
        chosen = [(n, self.rng.randrange(pool)) for n in range(count)]
        return {f"d{n % 2}/f{n}": (seed, 500 + seed * 7919 % largest) for n, seed in chosen}

    def snapshot_args(self, repo, series="alpha/-/tree", tree="tree"):
        return ["snapshot", "--json", *self.at(repo), "--as", series, self.path(tree)]

    def take(self, repo, files=None, series="alpha/-/tree", tree="tree"):
        """A snapshot that must succeed; returns its id."""
        digests = self.fill(self.path(tree), files or self.files())
        return self.acknowledge(repo, self.run(*self.snapshot_args(repo, series, tree)).expect(0), digests)

    @staticmethod
    def acknowledge(repo, ran, digests):
        """Remembers a snapshot when the run said that it was made."""
        if ran.code != 0:
            return None
        id = ran.result["snapshot"]["id"]
        repo.held[id] = digests
        return id

    def listed(self, repo, *more):
        ran = self.run("snapshots", "--json", *self.at(repo), *more).expect(0)
        return {one["id"]: one for one in ran.result["snapshots"]}

    # Looking.

    def digests(self, folder):
        """Every file below a folder; what a run under way leaves beside them counts as a file."""
        out = {}
        for base, _, names in os.walk(folder):
            for name in names:
                path = Path(base) / name
                out[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return out

    def restores(self, repo, id, digests):
        """The snapshot holds these files and no others."""
        out = self.path("out")
        shutil.rmtree(out, ignore_errors=True)
        self.run("restore", "--quiet", *self.at(repo), id, "--target", out).expect(0)
        there = self.digests(out)
        wrong = {name for name in {*there, *digests} if there.get(name) != digests.get(name)}
        need(not wrong, f"{id} restores other bytes: {sorted(wrong)}")
        shutil.rmtree(out)
        self.count("restores")

    def clean(self, repo):
        """Check reads everything and finds nothing."""
        ran = self.run("check", "--json", "--read-data", *self.at(repo))
        need(ran.code == 0 and ran.result.get("findings") == [], f"check: {ran.code} {ran.out[-3000:]}{ran.err}")

    def whole(self, repo, all=False):
        """Clean, and each acknowledged snapshot is there; one of them, or all, restores."""
        self.clean(repo)
        there = self.listed(repo)
        lost = set(repo.held) - set(there)
        need(not lost, f"lost: {lost}")
        chosen = list(repo.held) if all or not repo.held else [self.rng.choice(list(repo.held))]
        for id in chosen:
            self.restores(repo, id, repo.held[id])

    def old_sessions(self, repo):
        """Makes sessions and notes as old as two days: what was killed no longer holds anything up."""
        past = time.time() - 2 * 86400
        for folder in ("sessions", "gc"):
            for path in (repo.path / folder).glob("*"):
                os.utime(path, (past, past))

    def fresh(self):
        """Removes all of it, for a new beginning."""
        self.let_go()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    # The end.

    def let_go(self):
        """Undoes mounts and devices, last first."""
        while self.undo:
            self.undo.pop()()

    def save_log(self):
        self.path("log").write_text("\n".join(self.log) + "\n")

    def close(self):
        self.let_go()
        shutil.rmtree(self.folder)
