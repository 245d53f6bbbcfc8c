"""A disk loses its power at a random moment of a command, under ext4 and xfs. What was acknowledged before the cut is whole
after it, without a repair; the command run again succeeds."""

from disks import LOG_FLUSH, NO_LOG_FLUSH, Disk
from world import need


class Power:
    kind = "ext4"
    # Rounds on one disk.
    together = 12

    def __init__(self, world):
        self.world, self.usual = world, {}

    def round(self, number):
        world, rng = self.world, self.world.rng
        if number % self.together == 0:
            world.fresh()
            self.disk = Disk(world, self.kind)
            self.disk.plug()
            self.disk.mount()
            self.repo = world.init("disk/repo")
        repo = self.repo
        while len(repo.held) < 4:
            world.take(repo)
        what = rng.choice(["snapshot", "snapshot", "forget", "mark", "sweep", "key", "copy", "repair"])
        args, digests, gone = self.prepare(what)
        child = world.start(args)
        took = world.wait(child, rng.uniform(0, 1.05 * self.usual.get(what, 0.15)))
        ended = child.poll() is not None
        self.disk.cut(rng.choice([LOG_FLUSH, NO_LOG_FLUSH]))
        # What it told before the cut holds; what it tells after that, on a disk that takes nothing, is a failure.
        ran = world.end(child)
        usual = self.usual.get(what, 0.15)
        self.usual[what] = 0.7 * usual + 0.3 * took if ended else 1.01 * usual
        world.count("cuts" if ran.code != 0 else "ended before")
        if gone:
            files = repo.held.pop(gone)
        if digests:
            world.acknowledge(repo, ran, digests)
        self.disk.again()
        # An index that was lost before is only back when the repair has ended.
        if what != "repair":
            world.whole(repo, all=True)
        if gone and gone in world.listed(repo):
            need(ran.code != 0, "it was said to be forgotten, and has come back")
            world.restores(repo, gone, files)
        if what == "key" and ran.code == 0:
            world.run("snapshots", "--repo", repo.path, "--key-file", self.key).expect(0)
        if what == "key":
            self.key.unlink(missing_ok=True)
        if what == "copy":
            world.run("check", "--keyless", "--repo", world.path("disk/replica")).expect(0, 10)
        again = world.run(*args).expect(0, 2 if gone else 0)
        if digests:
            world.acknowledge(repo, again, digests)
        world.whole(repo, all=what == "repair")

    def prepare(self, what):
        """Arguments, the files of the snapshot that is made, and the snapshot that is forgotten."""
        world, repo, rng = self.world, self.repo, self.world.rng
        at, prune = world.at(repo), ["prune", "--force", "--max-unused", "0"]
        if what == "snapshot":
            digests = world.fill(world.path("tree"), world.files(count=rng.randrange(3, 14), pool=4000))
            return world.snapshot_args(repo), digests, None
        if what == "forget":
            gone = rng.choice(list(repo.held))
            return ["forget", "--yes", "--force", *at, gone], None, gone
        if what in ("mark", "sweep"):
            gone = rng.choice(list(repo.held))
            world.run("forget", "--yes", "--force", *at, gone).expect(0)
            del repo.held[gone]
            world.old_sessions(repo)
            if what == "sweep":
                world.run(*prune, *at, "--grace", "0").expect(0)
            return [*prune, *at, "--grace", "0" if what == "sweep" else "1d"], None, None
        if what == "key":
            self.key = world.path(f"key-{rng.randrange(1 << 60)}")
            return ["key", "add", "--key-file-out", self.key, *at], None, None
        if what == "copy":
            return ["copy", "--init", "--to", world.path("disk/replica"), "--repo", repo.path], None, None
        for path in (repo.path / "index").rglob("*"):
            path.unlink()
        return ["repair", *at], None, None

    def finish(self):
        pass


class Xfs(Power):
    kind = "xfs"


POWER = {"ext4": Power, "xfs": Xfs}
