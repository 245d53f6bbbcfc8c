"""A medium that is gone in the middle of a sync: what lay on it is whole at every moment, and the next sync goes on.

vfat and exfat want a kernel that has them, and the device mapper: where there is none, `guest` brings one."""

from disks import LOG_FLUSH, NO_LOG_FLUSH, Disk
from world import Repo, need


class Pull:
    kind = "ext4"
    # Syncs onto one medium, before another one.
    together = 10

    def __init__(self, world):
        self.world, self.usual = world, 0.3

    def begin(self):
        world = self.world
        world.fresh()
        self.repo = world.init()
        self.take()
        self.disk = Disk(world, self.kind)
        self.disk.plug()
        self.disk.mount()
        self.copy = Repo(self.disk.point / "vault", self.repo.key)
        world.run("media", "add", *world.at(self.repo), self.copy.path, "--name", "blue").expect(0)
        self.sync().expect(0)
        self.copy.held = dict(self.repo.held)

    def take(self):
        self.world.take(self.repo, self.world.files(count=8, largest=400_000, pool=4000))

    def sync(self):
        return self.world.run("media", "sync", *self.world.at(self.repo))

    def round(self, number):
        world, rng = self.world, self.world.rng
        if number % self.together == 0:
            self.begin()
        for _ in range(rng.randrange(1, 3)):
            self.take()
        child = world.start(["media", "sync", *world.at(self.repo)])
        took = world.wait(child, rng.uniform(0, 1.05 * self.usual))
        ended = child.poll() is not None
        self.disk.cut(rng.choice([LOG_FLUSH, NO_LOG_FLUSH]))
        ran = world.end(child)
        self.usual = 0.7 * self.usual + 0.3 * took if ended else 1.01 * self.usual
        world.count("pulled" if ran.code != 0 else "ended before")
        if ran.code == 0:
            self.copy.held = dict(self.repo.held)
        # Back again, without a repair of the file system but its own.
        self.disk.again()
        world.run("check", "--keyless", "--read-data", "--repo", self.copy.path).expect(0)
        world.whole(self.copy, all=True)
        self.sync().expect(0)
        self.copy.held = dict(self.repo.held)
        world.whole(self.copy)
        told = world.run("media", "check", "--json", *world.at(self.repo), "blue").expect(0).result
        need(told["findings"] == [], f"media check: {told}")

    def finish(self):
        self.world.whole(self.copy, all=True)


class ExfatFuse(Pull):
    kind = "exfat-fuse"


class Vfat(Pull):
    kind = "vfat"


class Exfat(Pull):
    kind = "exfat"


MEDIA = {"ext4": Pull, "exfat-fuse": ExfatFuse, "vfat": Vfat, "exfat": Exfat}
