"""Files are read from a snapshot of their volume, under btrfs and LVM, while somebody writes. What is kept is one moment of all of
them, and of the volume's own snapshots nothing is left: not after a good run, not after a failed dump, nor, with the next run,
after one that was killed."""

import os
import threading
import time
from pathlib import Path

from disks import need_root
from world import Missing, need, noise

# Files between the first that is read and the last, so that reading takes its time.
BETWEEN = 60

CONFIG = """
[fleet]
history = "{dir}/history"
[repositories.local]
path = "{dir}/repo"
key-file = "{dir}/repo.key"
[servers.alpha.apps.it]
type = "generic"
root = "{root}"
quiesce = "{how}"
quiesce-size = "50%FREE"
{more}
"""

DATABASE = 'database = {{ type = "postgresql", name = "none", host = "{dir}/nowhere" }}'


class Writer:
    """Appends a line to the file that is read first, then to the one that is read last, each on the disk before the other: at any
    moment the first has as many as the last, or one more."""

    def __init__(self, root):
        self.files = [os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("a", "z")]
        self.stops, self.lines = threading.Event(), 0
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        while not self.stops.is_set():
            for file in self.files:
                os.write(file, b"%011d\n" % self.lines)
                os.fsync(file)
            self.lines += 1

    def end(self):
        self.stops.set()
        self.thread.join()
        for file in self.files:
            os.close(file)


class Volume:
    """A file system in a file, which can be snapshot."""

    def __init__(self, world):
        need_root()
        self.world = world
        self.point, self.image = world.path("disk"), world.path("disk.img")
        self.point.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(700 << 20)
        self.device = world.tool("losetup", "-f", "--show", self.image)
        world.undo.append(lambda: world.tool("losetup", "-d", self.device, check=False))

    def mount(self, device, *options):
        self.world.tool("mount", *options, device, self.point)
        self.world.undo.append(lambda: self.world.tool("umount", self.point, check=False))


class Btrfs(Volume):
    """The application lies in a subvolume: below the mounted one, mounted itself, or in a plain folder."""

    how = "btrfs"

    def __init__(self, world, number):
        if "btrfs" not in Path("/proc/filesystems").read_text().split():
            raise Missing("this kernel does not know btrfs: see guest")
        super().__init__(world)
        world.tool("mkfs.btrfs", "-q", self.image)
        self.mount(self.device)
        kind = ["nested", "mounted", "plain"][number % 3]
        world.count(f"{kind} ones")
        if kind == "plain":
            self.root = self.point / "it"
            self.root.mkdir()
            return
        world.tool("btrfs", "subvolume", "create", self.point / "it")
        self.root = self.point / "it"
        if kind == "mounted":
            world.tool("umount", self.point)
            world.tool("mount", "-o", "subvol=it", self.device, self.point)
            self.root = self.point / "files"
            self.root.mkdir()

    def nest(self, folder):
        self.world.tool("btrfs", "subvolume", "create", folder)

    def unnest(self, folder):
        self.world.tool("btrfs", "subvolume", "delete", folder)

    def left(self):
        listed = self.world.tool("btrfs", "subvolume", "list", self.point)
        return [line for line in listed.splitlines() if ".vault-" in line]


class Lvm(Volume):
    how = "lvm"

    def __init__(self, world, number):
        if not os.path.exists("/dev/mapper/control"):
            raise Missing("this kernel has no device mapper: see guest")
        super().__init__(world)
        self.group = f"torture{os.getpid()}"
        world.tool("pvcreate", "-qq", self.device)
        world.tool("vgcreate", "-qq", self.group, self.device)
        world.undo.append(lambda: world.tool("vgremove", "-qq", "-ff", "-y", self.group, check=False))
        world.tool("lvcreate", "-qq", "-y", "-Zn", "-Wn", "-n", "data", "-l", "50%VG", self.group)
        device = f"/dev/{self.group}/data"
        kinds = [kind for kind in ("ext4", "xfs") if kind in Path("/proc/filesystems").read_text().split()]
        kind = kinds[number % len(kinds)]
        world.count(f"{kind} ones")
        world.tool(f"mkfs.{kind}", "-q", device)
        self.mount(device)
        self.root = self.point / "it"
        self.root.mkdir()

    def nest(self, folder):
        folder.mkdir()
        self.world.tool("mount", "-t", "tmpfs", "torture", folder)
        self.world.undo.append(lambda: self.world.tool("umount", folder, check=False))

    def unnest(self, folder):
        self.world.tool("umount", folder)
        folder.rmdir()

    def left(self):
        listed = self.world.tool("lvs", "--noheadings", "-o", "lv_name", self.group).split()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return [name for name in listed if name != "data"] + [line for line in mounts if "/vault-" in line]


class Quiesce:
    volume = None

    def __init__(self, world):
        self.world, self.took = world, 1.0

    def round(self, number):
        world, rng = self.world, self.world.rng
        world.fresh()
        volume = self.volume(world, number)
        for n in range(BETWEEN):
            (volume.root / f"m{n:03}").write_bytes(noise((number, n), 1 + rng.randrange(200_000)))
        world.init()
        writer = Writer(volume.root)
        try:
            self.run(volume, "")
            self.run(volume, DATABASE)
            self.refused(volume)
            # One that is killed leaves what it made; the next one takes it away.
            self.configure(volume, "")
            killed = world.killed(self.args, rng.uniform(0, self.took))
            world.count("killed" if killed.code < 0 else "ended before")
            world.count("left by one that was killed", len(volume.left()))
            self.run(volume, "")
        finally:
            writer.end()
        need(writer.lines > 3, "nothing was written meanwhile")

    def refused(self, volume):
        """What a snapshot would not hold is told, unless it is left out."""
        within = volume.root / "own"
        volume.nest(within)
        (within / "file").write_text("this would be lost")
        self.configure(volume, "")
        ran = self.world.run(*self.args).expect(3)
        need("of its own" in ran.out and not volume.left(), f"{ran.out}{ran.err}")
        self.run(volume, 'exclude = "/own"')
        volume.unnest(within)
        self.world.count("refused")

    def finish(self):
        pass

    @property
    def args(self):
        return ["run", "--json", "--force", "--config", self.world.path("vault.toml"), "--host", "alpha", "alpha/-/it"]

    def configure(self, volume, more):
        dir = self.world.folder
        text = CONFIG.format(dir=dir, root=volume.root, how=volume.how, more=more.format(dir=dir))
        self.world.path("vault.toml").write_text(text)

    def run(self, volume, more):
        """A run, which is to keep one moment, and to leave nothing."""
        world = self.world
        self.configure(volume, more)
        begun = time.monotonic()
        ran = world.run(*self.args)
        self.took = time.monotonic() - begun
        fails = more == DATABASE
        need(ran.code == (3 if fails else 0), f"{ran.code} {ran.out[-2000:]}{ran.err[-2000:]}")
        need(not volume.left(), f"left: {volume.left()}")
        if fails:
            return world.count("failed dumps")
        out = world.path("out")
        at = ["--repo", world.path("repo"), "--key-file", world.path("repo.key")]
        world.run("restore", *at, "alpha/-/it", "--target", out, "--quiet").expect(0)
        found = {path.name: path for path in out.rglob("*") if path.is_file()}
        need(len([name for name in found if name.startswith("m")]) == BETWEEN, f"files are missing: {sorted(found)}")
        first, last = (len(found[name].read_bytes()) // 12 for name in ("a", "z"))
        need(first - last in (0, 1), f"not one moment: {first} lines before, {last} after")
        world.tool("rm", "-rf", out)
        world.count("moments")


class QuiesceBtrfs(Quiesce):
    volume = Btrfs


class QuiesceLvm(Quiesce):
    volume = Lvm


QUIESCE = {"btrfs": QuiesceBtrfs, "lvm": QuiesceLvm}
