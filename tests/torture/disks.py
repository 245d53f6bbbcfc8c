"""Disks in files: made, plugged in, cut off, filled, broken."""

import array
import fcntl
import os
import re
import shutil
import signal
import time
from pathlib import Path

from world import Missing, need

# _IOR('X', 125, u32), of ext4 and xfs: no more writes from here on. What waits in memory is lost.
SHUTDOWN = 0x8004587D
# The journal is flushed first (files get their names and lengths, not their bytes), or it is not.
LOG_FLUSH, NO_LOG_FLUSH = 1, 2

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-m0", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "vfat": ["mkfs.vfat"],
    "exfat": ["mkfs.exfat"],
    "exfat-fuse": ["mkfs.exfat"],
}
# The least that mkfs makes.
SIZE = {"xfs": 300 << 20}


def need_root():
    if os.geteuid() != 0:
        raise Missing("it takes root")
    if not os.path.exists("/dev/loop-control"):
        raise Missing("loop devices are not there")


class Disk:
    """A file system in a file."""

    def __init__(self, world, kind, size=64 << 20):
        need_root()
        self.world, self.kind = world, kind
        self.image, self.point = world.path("disk.img"), world.path("disk")
        self.device = self.mapped = None
        self.point.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(SIZE.get(kind, size))
        if shutil.which(MAKE[kind][0], path="/usr/sbin:/sbin:/usr/bin") is None:
            raise Missing(f"{MAKE[kind][0]} is not installed")
        if kind in ("vfat", "exfat"):
            world.tool("modprobe", "-q", kind, check=False)
            if kind not in Path("/proc/filesystems").read_text().split():
                raise Missing(f"this kernel does not know {kind}: see guest")
            if shutil.which("dmsetup", path="/usr/sbin:/sbin") is None or not os.path.exists("/dev/mapper/control"):
                raise Missing("dmsetup is not installed, or this kernel has no device mapper: see guest")
        world.tool(*MAKE[kind], self.image)
        world.undo.append(self.unplug)

    def plug(self):
        """Makes a device of the file."""
        self.device = self.world.tool("losetup", "-f", "--show", self.image)
        if self.kind in ("vfat", "exfat"):
            # These cannot be shut down: below them lies a device that can be made to fail.
            self.mapped = f"torture-{os.getpid()}"
            self.dm("create", self.mapped, "--table", self.table("linear", self.device, "0"))

    def table(self, *target):
        sectors = self.image.stat().st_size // 512
        return " ".join(["0", str(sectors), *target])

    def dm(self, *args):
        os.environ["DM_DISABLE_UDEV"] = "1"
        return self.world.tool("dmsetup", *args)

    def mount(self):
        if self.kind == "exfat-fuse":
            self.world.tool("mount.exfat-fuse", self.device, self.point)
        else:
            self.world.tool("mount", f"/dev/mapper/{self.mapped}" if self.mapped else self.device, self.point)

    def cut(self, mode=NO_LOG_FLUSH):
        """The disk is gone: whoever uses it gets errors, and nothing more reaches the file."""
        if self.mapped:
            self.dm("suspend", "--nolockfs", "--noflush", self.mapped)
            self.dm("load", self.mapped, "--table", self.table("error"))
            self.dm("resume", self.mapped)
        elif self.kind == "exfat-fuse":
            pid = self.world.tool("pgrep", "-f", f"mount.exfat-fuse {self.device} ")
            os.kill(int(pid), signal.SIGKILL)
            # What it has handed on waits in the kernel, for seconds: of that nothing arrives.
            shutil.copyfile(self.image, self.world.path("cut.img"))
        else:
            dir = os.open(self.point, os.O_RDONLY)
            fcntl.ioctl(dir, SHUTDOWN, array.array("I", [mode]))
            os.close(dir)

    def unplug(self):
        """Takes it out, mounted or not."""
        # What was shut down, or has lost its server, does not answer when it is looked at; the kernel's list does.
        for _ in range(50):
            if not self.is_mounted():
                break
            if self.world.tool("umount", self.point, check=False) is None:
                time.sleep(0.1)
        else:
            self.world.tool("umount", "-l", self.point, check=False)
        if self.mapped:
            self.dm("remove", "--retry", self.mapped)
            self.mapped = None
        if self.device:
            self.world.tool("losetup", "-d", self.device, check=False)
            self.device = None
        cut = self.world.path("cut.img")
        if cut.exists():
            cut.replace(self.image)

    def is_mounted(self):
        return f" {self.point} " in Path("/proc/self/mountinfo").read_text()

    def again(self):
        """Takes it out and plugs it in."""
        self.unplug()
        self.plug()
        self.mount()


def tmpfs(world, point, options):
    """A file system in memory, with limits."""
    need_root()
    point.mkdir(exist_ok=True)
    world.tool("mount", "-t", "tmpfs", "-o", options, "torture", point)
    world.undo.append(lambda: world.tool("umount", "-l", point, check=False))


class Full:
    """A store that runs out of bytes or of inodes in the middle of any command: what was there stays whole, a full store has
    its own exit code, and with room again the same command succeeds."""

    def __init__(self, world):
        self.world = world

    def round(self, number):
        world, rng = self.world, self.world.rng
        world.fresh()
        store = world.path("store")
        tmpfs(world, store, "size=64m,nr_inodes=4096")
        repo = world.init("store/repo")
        for _ in range(3):
            world.take(repo)
        forgotten = rng.choice(list(repo.held))
        world.run("forget", "--yes", "--force", *world.at(repo), forgotten).expect(0)
        del repo.held[forgotten]
        digests = world.fill(world.path("tree"), world.files(count=10, pool=4000))
        prune = ["prune", "--force", "--grace", "0", "--max-unused", "0", *world.at(repo)]
        args = rng.choice([
            world.snapshot_args(repo),
            prune,
            ["forget", "--yes", "--force", *world.at(repo), rng.choice(list(repo.held))],
            ["key", "add", "--key-file-out", world.path("more"), *world.at(repo)],
            ["rewrite", "--yes", *world.at(repo), "alpha/-/tree:tree/d0"],
            ["parity", "add", "--repo", repo.path],
            ["repair", *world.at(repo)],
        ])  # fmt: skip
        if args[0] == "prune" and rng.random() < 0.5:
            world.run(*prune).expect(0)
        # As much room as it takes to come anywhere between the first object and the last.
        usage = os.statvfs(store)
        if rng.random() < 0.5:
            used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
            room = rng.choice([0, rng.randrange(1, 10) * 4096, rng.randrange(700_000)])
            limits = f"size={used + room},nr_inodes=4096"
        else:
            limits = f"size=64m,nr_inodes={usage.f_files - usage.f_ffree + rng.randrange(0, 12)}"
        world.tool("mount", "-o", f"remount,{limits}", store)
        ran = world.run(*args)
        world.count(f"full for {args[0]}" if ran.code == 20 else f"room enough for {args[0]}" if ran.code == 0 else f"other ends of {args[0]}")
        need(ran.code in (0, 20), f"{args}: {ran.code} {ran.err}")
        self.hold(repo, args, ran, digests)
        world.whole(repo)
        world.tool("mount", "-o", "remount,size=64m,nr_inodes=4096", store)
        if ran.code != 0:
            again = world.run(*args)
            need(again.code == 0 or again.code == 2 and args[0] in ("forget", "rewrite"), f"again: {again}")
            self.hold(repo, args, again, digests)
        world.whole(repo, all=True)

    def hold(self, repo, args, ran, digests):
        """What must be there after the command."""
        if args[0] == "snapshot":
            self.world.acknowledge(repo, ran, digests)
        elif args[0] == "forget":
            repo.held.pop(args[-1], None)
        elif args[0] == "rewrite":
            there = self.world.listed(repo)
            successors = {before["from"]: id for id, one in there.items() for before in one.get("rewritten") or []}
            repo.held = {
                id if id in there else successors[id]: files
                if id in there
                else {name: digest for name, digest in files.items() if not name.startswith("d0/")}
                for id, files in repo.held.items()
            }

    def finish(self):
        pass


class Eio:
    """A disk of which a part cannot be read or written any more, under a program that uses it: never a panic, never a wrong
    byte with exit code 0, and what lies elsewhere restores."""

    def __init__(self, world):
        self.world = world

    def round(self, number):
        world, rng = self.world, self.world.rng
        world.fresh()
        disk = Disk(world, "ext4", 32 << 20)
        disk.plug()
        disk.mount()
        repo = world.init("disk/repo")
        for n in range(3):
            world.take(repo, series=f"alpha/-/tree{n}")
        world.tool("umount", disk.point)
        disk.mount()
        size = disk.image.stat().st_size
        # At one of the repository's own bytes, so that a part of it is left.
        os.truncate(disk.image, rng.choice(sorted(self.blocks(repo))))
        Path("/proc/sys/vm/drop_caches").write_text("3")
        digests = world.fill(world.path("tree"), world.files(count=10, pool=4000))
        ran = world.run("check", "--read-data", *world.at(repo))
        world.count("checks that fail" if ran.code else "checks that find nothing")
        for id, files in repo.held.items():
            target = world.path(f"out-{id}")
            ran = world.run("restore", *world.at(repo), id, "--target", target)
            if ran.code == 0:
                need(world.digests(target) == files, f"{id}: exit code 0 and other bytes")
            elif target.exists():
                # What has its final name and its full length is right.
                there = world.digests(target)
                told = [name for name in there if files.get(name) not in (None, there[name])]
                world.count("files told as damaged", len(told))
                need(all(name in ran.out + ran.err for name in told), f"{told} is damaged and not told: {ran.out}{ran.err}")
            world.count("restores that fail" if ran.code else "restores")
        ran = world.run(*world.snapshot_args(repo, series="alpha/-/new"))
        world.count("snapshots that fail" if ran.code else "snapshots")
        world.run("prune", "--grace", "0", "--force", *world.at(repo))
        # The disk is what it was, but for what was written beyond its end: what failed may be run again.
        os.truncate(disk.image, size)
        world.let_go()

    def blocks(self, repo):
        """Where on the disk the repository's bytes lie."""
        found = set()
        for path in (path for path in repo.path.rglob("*") if path.is_file()):
            rows = re.findall(r"^ *\d+: +\d+\.\. +\d+: +(\d+)\.\. +(\d+):", self.world.tool("filefrag", "-v", "-b4096", path), re.M)
            found.update(block * 4096 for first, last in rows for block in range(int(first), int(last) + 1))
        return found

    def finish(self):
        pass
