"""`kill -9` of each command: what it is, what must be there before, and what must hold after."""

import os
import signal
import time

from disks import Disk, need_root
from keys import KeyAdd, KeyRemove, Passwd
from kill import Kill
from labels import Labels, Move
from world import PROGRAM, Missing, need

class Init(Kill):
    def round(self, number):
        world = self.world
        world.fresh()
        repo = world.path("repo")
        env = {"VAULT_PASSWORD": "right"}
        key, sheet = world.path("key"), world.path("sheet")
        args = ["init", "--repo", repo, "--kdf", "low", "--key-file-out", key, "--recovery-sheet", sheet]
        ran = self.strike(args, env)
        ended = self.world.run(*args, env=env)
        # A repository that is there already is whole, and opens.
        need(ended.code == 0 or "already" in ended.err, f"init again: {ended}")
        need(ended.code != 0 or ran.code != 0, "a repository was made twice in one place")
        need(0 not in (ended.code, ran.code) or key.exists() and sheet.exists(), "it has made no key file, or no recovery sheet")
        world.fill(world.path("tree"), world.files())
        world.run("snapshot", "--repo", repo, "--as", "a/-/t", world.path("tree"), env=env).expect(0)
        world.run("check", "--read-data", "--repo", repo, env=env).expect(0)
        # What bears its name is whole, and opens it.
        for option, path in (("--key-file", key), ("--recovery-file", sheet)):
            if path.exists():
                world.run("snapshots", "--repo", repo, option, path).expect(0)


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


class Pull(Copy):
    """The same without its keys, from another machine."""

    def begin(self):
        super().begin()
        disk = self.world.path("disk")
        disk.mkdir()
        self.replica.path = disk / "remote/alpha"
        # Called like ssh; runs the line here.
        ssh = self.world.path("ssh")
        ssh.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nVAULT_STATE_DIR=none exec sh -c "$1"\n')
        ssh.chmod(0o755)

    def before(self):
        self.world.take(self.repo)
        place = self.repo.path if self.rng.random() < 0.3 else f"ssh://alpha.example.org{self.repo.path}"
        ssh = ["--ssh", self.world.path("ssh"), "--remote-vault", PROGRAM]
        return ["pull", "alpha", "--from", place, "--partition", self.world.path("disk"), *ssh], None


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
    "pull": Pull,
    "key-add": KeyAdd,
    "key-remove": KeyRemove,
    "key-passwd": Passwd,
    "labels": Labels,
    "move": Move,
    "media-sync": Sync,
    "restore": Restore,
    "mount": Mount,
    "parity": Parity,
}
