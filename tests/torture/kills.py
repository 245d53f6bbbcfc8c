"""`kill -9` at random moments of each command. Afterwards `check --read-data` finds nothing, what was acknowledged restores
byte for byte, and the same command run again succeeds: nothing is to be unlocked, removed or repaired by hand."""

import os
import signal
import time

from disks import Disk, need_root
from world import Missing, need

# Rounds on one repository: leftovers of so many kills come together.
TOGETHER = 20


class Kill:
    """One command. Cases say what it is, what must be there before, and what must hold after."""

    # How often it is killed in a row, run again and killed again, before anybody looks.
    strikes = (1, 1, 2, 3, 5)

    def __init__(self, world):
        self.world, self.rng, self.repo = world, world.rng, None
        # How long it takes when it is left alone, learned as it goes.
        self.usual = None

    def begin(self):
        """A repository with a few snapshots."""
        self.world.fresh()
        self.repo = self.world.init()
        for _ in range(4):
            self.world.take(self.repo)

    def round(self, number):
        if number % TOGETHER == 0:
            self.begin()
        args, env = self.before()
        for _ in range(self.rng.choice(self.strikes)):
            ran = self.strike(args, env)
            if ran.code != -signal.SIGKILL:
                break
        self.after(ran)
        self.again(args, env)
        if number % 5 == 4:
            self.world.whole(self.repo, all=number % TOGETHER == TOGETHER - 1)

    def strike(self, args, env=None):
        """Kills it somewhere between its beginning and a little after its usual end."""
        if self.usual is None:
            self.usual = 0.05
        ran = self.world.killed(args, self.rng.uniform(0, 1.05 * self.usual), env)
        killed = ran.code == -signal.SIGKILL
        self.world.count("kills" if killed else "ended before")
        # The time that nearly all take drifts up while kills come in time, and down to what was seen to be enough.
        self.usual = self.usual * 1.01 if killed else 0.7 * self.usual + 0.3 * ran.seconds
        return ran

    def before(self):
        """Arguments and environment of the command, and what it needs."""
        raise NotImplementedError

    def after(self, ran):
        """What must hold when it was killed."""
        self.world.whole(self.repo)

    def again(self, args, env):
        """The same command, left alone."""
        self.world.run(*args, env=env).expect(0)

    def finish(self):
        """All that was acknowledged restores; a case that holds another repository looks at that one as it goes."""
        if self.repo is not None:
            self.world.whole(self.repo, all=True)


class Init(Kill):
    def round(self, number):
        world = self.world
        world.fresh()
        repo = world.path("repo")
        env = {"VAULT_PASSWORD": "right"}
        args = ["init", "--repo", repo, "--kdf", "low", "--key-file-out", world.path("key"), "--recovery-sheet", world.path("sheet")]
        ran = self.strike(args, env)
        ended = self.world.run("init", "--repo", repo, "--kdf", "low", env=env)
        # A repository that is there already is whole, and opens.
        need(ended.code == 0 or "already" in ended.err, f"init again: {ended}")
        need(ended.code != 0 or ran.code != 0, "a repository was made twice in one place")
        world.fill(world.path("tree"), world.files())
        world.run("snapshot", "--repo", repo, "--as", "a/-/t", world.path("tree"), env=env).expect(0)
        world.run("check", "--read-data", "--repo", repo, env=env).expect(0)
        if ran.code == 0:
            world.run("snapshots", "--repo", repo, "--key-file", world.path("key")).expect(0)


class Snapshot(Kill):
    def before(self):
        self.digests = self.world.fill(self.world.path("tree"), self.world.files(count=self.rng.randrange(2, 12)))
        more = self.rng.choice([[], ["--no-delta"], ["--threads", "1"], ["--compression", "none"]])
        return [*self.world.snapshot_args(self.repo), *more], None

    def after(self, ran):
        self.world.acknowledge(self.repo, ran, self.digests)
        super().after(ran)

    def again(self, args, env):
        self.world.acknowledge(self.repo, self.world.run(*args).expect(0), self.digests)


class Forget(Kill):
    def before(self):
        while len(self.repo.held) < 4:
            self.world.take(self.repo)
        self.id = self.rng.choice(list(self.repo.held))
        return ["forget", "--yes", "--force", *self.world.at(self.repo), self.id], None

    def after(self, ran):
        digests = self.repo.held.pop(self.id)
        super().after(ran)
        if self.id in self.world.listed(self.repo):
            need(ran.code != 0, "it said that it was forgotten")
            self.world.restores(self.repo, self.id, digests)

    def again(self, args, env):
        self.world.run(*args).expect(0, 2)
        need(self.id not in self.world.listed(self.repo), "it is not forgotten")


class Mark(Kill):
    """A prune that marks and moves; nothing is ripe."""

    grace = "1d"

    def before(self):
        while len(self.repo.held) < 4:
            self.world.take(self.repo)
        id = self.rng.choice(list(self.repo.held))
        del self.repo.held[id]
        self.world.run("forget", "--yes", "--force", *self.world.at(self.repo), id).expect(0)
        self.world.old_sessions(self.repo)
        prune = ["prune", "--force", "--max-unused", self.rng.choice(["0", "5%"]), *self.world.at(self.repo)]
        return self.ripen([*prune, "--grace", self.grace]), None

    def ripen(self, prune):
        return prune


class Sweep(Mark):
    """A prune that removes what one before it has marked."""

    grace = "0"

    def ripen(self, prune):
        self.world.run(*prune).expect(0)
        return prune

    def again(self, args, env):
        # What was killed has left a notice; the next run takes it over.
        before = objects(self.repo.path / "packs")
        self.world.run(*args).expect(0)
        self.world.count("packs swept again", max(0, before - objects(self.repo.path / "packs")))


def objects(folder):
    return sum(1 for path in folder.rglob("*") if path.is_file())


class Rewrite(Kill):
    """Takes a file out of all snapshots: each is either what it was, or has its successor without the file."""

    def begin(self):
        super().begin()
        self.secret = 0

    def before(self):
        world, self.secret = self.world, self.secret + 1
        self.name = f"secret{self.secret}"
        while len(self.repo.held) > 5:
            id = next(iter(self.repo.held))
            del self.repo.held[id]
            world.run("forget", "--yes", "--force", *world.at(self.repo), id).expect(0)
        for _ in range(2):
            world.take(self.repo, {**world.files(), self.name: (f"{self.name} {self.rng.random()}", 30_000)})
        return ["rewrite", "--yes", *world.at(self.repo), f"alpha/-/tree:tree/{self.name}"], None

    def after(self, ran):
        """Holds what takes the place of each."""
        self.world.clean(self.repo)
        there = self.world.listed(self.repo)
        successors = {before["from"]: id for id, one in there.items() for before in one.get("rewritten") or []}
        held = {}
        for id, digests in self.repo.held.items():
            if id in there:
                held[id] = digests
            else:
                need(id in successors, f"{id} has neither stayed nor a successor")
                held[successors[id]] = {name: digest for name, digest in digests.items() if name != self.name}
        self.repo.held = held
        for id in list(held)[-2:]:
            self.world.restores(self.repo, id, held[id])

    def again(self, args, env):
        ran = self.world.run(*args).expect(0, 2)
        need(ran.code == 0 or "nothing to take out" in ran.err, ran.err)
        self.after(ran)
        need(all(self.name not in files for files in self.repo.held.values()), "it was not taken out of all")


class Repair(Kill):
    """What was damaged comes back from a replica, whatever becomes of the repairs before."""

    def before(self):
        world = self.world
        world.take(self.repo)
        world.run("copy", "--to", world.path("replica"), "--init", "--repo", self.repo.path).expect(0)
        packs = sorted(path for path in (self.repo.path / "packs").rglob("*") if path.is_file())
        for path in self.rng.sample(packs, min(2, len(packs))):
            how = self.rng.randrange(3)
            content = bytearray(path.read_bytes())
            path.chmod(0o600)
            if how == 0:
                content[self.rng.randrange(len(content))] ^= 0x10
                path.write_bytes(content)
            elif how == 1:
                path.write_bytes(content[: self.rng.choice([0, 20, self.rng.randrange(len(content))])])
            else:
                path.unlink()
        if self.rng.random() < 0.3:
            for path in (self.repo.path / "index").rglob("*"):
                path.unlink()
        return ["repair", "--read-data", "--from", world.path("replica"), *world.at(self.repo)], None

    def after(self, ran):
        # Damage is not mended yet, but no snapshot goes.
        there = self.world.listed(self.repo)
        need(set(self.repo.held) <= set(there), "a repair has lost a snapshot")

    def again(self, args, env):
        world = self.world
        world.run(*args).expect(0)
        for id, digests in self.repo.held.items():
            world.restores(self.repo, id, digests)
        # Damaged packs go with the prunes that follow.
        world.old_sessions(self.repo)
        for _ in range(2):
            world.run("prune", "--force", "--grace", "0", *world.at(self.repo)).expect(0)


class Copy(Kill):
    """A replica: whatever it has of snapshots is whole at every moment."""

    def begin(self):
        super().begin()
        self.replica = type(self.repo)(self.world.path("replica"), self.repo.key)

    def before(self):
        self.world.take(self.repo)
        return ["copy", "--init", "--to", self.replica.path, "--repo", self.repo.path], None

    def after(self, ran):
        if not (self.replica.path / "config").exists():
            return
        world = self.world
        world.run("check", "--keyless", "--repo", self.replica.path).expect(0)
        there = world.run("snapshots", "--json", *world.at(self.replica)).expect(0, 10, 12)
        for one in there.result.get("snapshots", [])[-2:]:
            world.restores(self.replica, one["id"], self.repo.held[one["id"]])

    def again(self, args, env):
        super().again(args, env)
        self.replica.held = dict(self.repo.held)
        self.world.whole(self.replica)


class LogicalCopy(Kill):
    """Into a repository with other keys."""

    def begin(self):
        super().begin()
        self.other = self.world.init("other")

    def before(self):
        self.world.take(self.repo)
        to = ["--to", self.other.path, "--to-key-file", self.other.key]
        return ["copy", "--json", *to, *self.world.at(self.repo)], None

    def after(self, ran):
        self.world.whole(self.other)

    def again(self, args, env):
        super().again(args, env)
        there = sorted(self.world.listed(self.other).values(), key=lambda one: one["sequence"])
        need(len(there) == len(self.repo.held), f"{len(there)} of {len(self.repo.held)} snapshots were copied")
        self.other.held = {one["id"]: files for one, files in zip(there, self.repo.held.values())}
        self.world.whole(self.other)


class KeyAdd(Kill):
    # The file that the first one left is no longer taken for a new one.
    strikes = (1,)

    def before(self):
        keys = self.world.run("key", "list", "--json", *self.world.at(self.repo)).expect(0).result["keys"]
        for key in [key for key in keys if key["label"] == "more"][5:]:
            self.world.run("key", "remove", *self.world.at(self.repo), key["id"]).expect(0)
        self.file = self.world.path(f"key-{self.rng.randrange(1 << 60)}")
        return ["key", "add", "--key-file-out", self.file, "--label", "more", *self.world.at(self.repo)], None

    def after(self, ran):
        super().after(ran)
        if ran.code == 0:
            self.world.run("snapshots", "--repo", self.repo.path, "--key-file", self.file).expect(0)

    def again(self, args, env):
        if not self.file.exists():
            super().again(args, env)
        else:
            # It came as far as the file; what of it opens is told by its use.
            ran = self.world.run("snapshots", "--repo", self.repo.path, "--key-file", self.file).expect(0, 12)
            self.world.count("key files that open nothing", ran.code == 12)
            super().again([*args[:3], f"{self.file}-2", *args[4:]], env)


class KeyRemove(Kill):
    def before(self):
        file = self.world.path(f"key-{self.rng.randrange(1 << 60)}")
        add = ["key", "add", "--json", "--key-file-out", file, *self.world.at(self.repo)]
        self.id = self.world.run(*add).expect(0).result["key"]
        return ["key", "remove", *self.world.at(self.repo), self.id], None

    def again(self, args, env):
        self.world.run(*args).expect(0, 2)
        ran = self.world.run("key", "list", "--json", *self.world.at(self.repo)).expect(0)
        need(self.id not in str(ran.result), "the key is still there")


class Sync(Kill):
    """A disk that stays plugged in while the program is killed."""

    def begin(self):
        need_root()
        super().begin()
        self.disk = Disk(self.world, "ext4")
        self.disk.plug()
        self.disk.mount()
        add = ["media", "add", *self.world.at(self.repo), self.disk.point / "vault", "--name", "blue"]
        self.world.run(*add).expect(0)
        self.world.run("media", "sync", *self.world.at(self.repo)).expect(0)
        self.copy = type(self.repo)(self.disk.point / "vault", self.repo.key)

    def before(self):
        self.world.take(self.repo)
        return ["media", "sync", *self.world.at(self.repo)], None

    def after(self, ran):
        self.world.whole(self.copy)

    def again(self, args, env):
        super().again(args, env)
        self.copy.held = dict(self.repo.held)
        self.world.whole(self.copy)


class Restore(Kill):
    def before(self):
        self.id = self.rng.choice(list(self.repo.held))
        # Over what an earlier one has left.
        return ["restore", *self.world.at(self.repo), self.id, "--target", self.world.path("target"), "--in-place", "--delete"], None

    def after(self, ran):
        if ran.code == 0:
            self.complete()

    def complete(self):
        need(self.world.digests(self.world.path("target")) == self.repo.held[self.id], "the target differs")

    def again(self, args, env):
        self.world.run(*args, "--verify").expect(0)
        self.complete()


class Mount(Kill):
    """The dead mount goes; nothing else is left of it."""

    def begin(self):
        need_root()
        if not os.path.exists("/dev/fuse"):
            raise Missing("/dev/fuse is not there")
        super().begin()
        self.point = self.world.path("point")
        self.point.mkdir()

    def before(self):
        return ["mount", *self.world.at(self.repo), self.point], None

    def strike(self, args, env=None):
        child = self.world.start(args, env)
        deadline = time.monotonic() + self.rng.uniform(0, 0.12)
        while time.monotonic() < deadline:
            # Somebody reads while it dies.
            found = next(self.point.rglob("f*"), None) if os.path.ismount(self.point) else None
            if found and found.is_file():
                found.read_bytes()
            time.sleep(0.005)
        child.kill()
        ran = self.world.end(child)
        self.world.count("kills" if ran.code == -signal.SIGKILL else "ended before")
        need(ran.code == -signal.SIGKILL, f"the mount ended by itself: {ran}")
        self.world.tool("umount", "-l", self.point, check=False)
        return ran

    def again(self, args, env):
        child = self.world.start(args, env)
        for _ in range(400):
            if os.path.ismount(self.point) or child.poll() is not None:
                break
            time.sleep(0.01)
        need(os.path.ismount(self.point), "it does not mount again")
        need(any(self.point.iterdir()), "the mount is empty")
        child.terminate()
        self.world.end(child).expect(0, 130, -signal.SIGTERM)
        need(not os.path.ismount(self.point), "it is still mounted")


class Parity(Kill):
    def before(self):
        self.world.take(self.repo)
        return ["parity", "add", "--repo", self.repo.path], None

    def again(self, args, env):
        super().again(args, env)
        if self.rng.random() < 0.2:
            self.world.run("parity", "remove", "--repo", self.repo.path).expect(0)


KILLS = {
    "init": Init,
    "snapshot": Snapshot,
    "forget": Forget,
    "prune-mark": Mark,
    "prune-sweep": Sweep,
    "rewrite": Rewrite,
    "repair": Repair,
    "copy": Copy,
    "copy-logical": LogicalCopy,
    "key-add": KeyAdd,
    "key-remove": KeyRemove,
    "media-sync": Sync,
    "restore": Restore,
    "mount": Mount,
    "parity": Parity,
}
