#!/usr/bin/env python3
"""A mounted repository: a file read from front to back, random reads, `find`, and a comparison of all contents; beside restic's mount.

    benches/compare/mount.py --vault target/release/vault [--restic restic] [--folder /dev/shm] [--gib 2] [--files 100000] [--rounds 5]

Takes root, fuse3, and some 5 GiB below the folder. Each figure is the median of the rounds; each round mounts anew.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--vault", required=True)
parser.add_argument("--restic")
parser.add_argument("--folder", default="/dev/shm")
parser.add_argument("--gib", type=float, default=2)
parser.add_argument("--files", type=int, default=100_000)
parser.add_argument("--rounds", type=int, default=5)
options = parser.parse_args()

root = tempfile.mkdtemp(prefix="mount-", dir=options.folder)
place = lambda name: os.path.join(root, name)
environment = dict(
    os.environ,
    VAULT_REPO=place("vault"), VAULT_CACHE_DIR=place("cache"), VAULT_STATE_DIR=place("state"), VAULT_PASSWORD="x",
    RESTIC_REPOSITORY=place("restic"), RESTIC_CACHE_DIR=place("restic-cache"), RESTIC_PASSWORD="x",
)


def run(*command):
    return subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, text=True).stdout


def make():
    """A file, every second MiB of which compresses, and a tree of small files, 50 to a folder."""
    chance = random.Random(1)
    words = [f"{chance.getrandbits(64):x}"[: 3 + n % 9] for n in range(5000)]
    text = " ".join(words[int(chance.random() ** 2 * 5000)] for _ in range(2_000_000)).encode()
    os.makedirs(place("big"))
    with open(place("big/file"), "wb") as out:
        for n in range(int(options.gib * 1024)):
            at = chance.randrange(len(text) - (1 << 20))
            out.write(chance.randbytes(1 << 20) if n % 2 else text[at : at + (1 << 20)])
    for n in range(options.files):
        folder = place(f"tree/{n // 2000:03}/{n // 50 % 40:02}")
        os.makedirs(folder, exist_ok=True)
        length = int(chance.expovariate(1 / 1500))
        at = chance.randrange(len(text) - length)
        with open(f"{folder}/{n:06}", "wb") as out:
            out.write(text[at : at + length])


class Mount:
    """A mounted repository, for the length of a `with`."""

    def __init__(self, command, probe):
        self.command, self.probe = command, probe

    def __enter__(self):
        self.program = subprocess.Popen([*self.command, place("mnt")], env=environment, stdout=subprocess.DEVNULL)
        while not os.path.exists(self.probe):
            time.sleep(0.02)
        return self

    def status(self, key):
        lines = open(f"/proc/{self.program.pid}/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key))

    def __exit__(self, *_):
        subprocess.run(["umount", place("mnt")], check=True)
        self.program.wait()


def sequential(folder):
    begun, length = time.monotonic(), 0
    with open(f"{folder}/big/file", "rb", buffering=0) as file:
        while part := len(file.read(1 << 20)):
            length += part
    return length / 1e6 / (time.monotonic() - begun)


def at_random(folder):
    file = os.open(f"{folder}/big/file", os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    blocks, begun, count, chance = os.fstat(file).st_size // 4096, time.monotonic(), 0, random.Random(2)
    while time.monotonic() - begun < 5:
        os.pread(file, 4096, chance.randrange(blocks) * 4096)
        count += 1
    os.close(file)
    return count / (time.monotonic() - begun)


def find(folder):
    begun = time.monotonic()
    run("find", f"{folder}/tree", "-ls")
    return time.monotonic() - begun


def compare(folder):
    begun = time.monotonic()
    told = run("rsync", "-naHAXSi", "--checksum", place("tree/"), f"{folder}/tree/")
    assert not told, told
    return time.monotonic() - begun


MEASURES = [("one file, MB/s", sequential), ("random 4 KiB reads a second", at_random),
            ("find -ls, s", find), ("rsync --checksum, s", compare)]

try:
    make()
    os.makedirs(place("mnt"))
    run(options.vault, "init", "--quiet")
    run(options.vault, "snapshot", "--quiet", "--as", "h/-/all", "--source", "big=big", "--source", "tree=tree")
    tools = [("vault", [options.vault, "mount", "--quiet"], place("mnt/servers/h/-/all/latest"))]
    if options.restic:
        run(options.restic, "init", "--quiet")
        run(options.restic, "backup", "--quiet", "big", "tree")
        tools.append(("restic", [options.restic, "mount"], place("mnt/snapshots/latest")))
    for name, command, folder in tools:
        for what, measure in MEASURES:
            figures, peak = [], 0
            for _ in range(options.rounds):
                with Mount(command, folder) as mount:
                    figures.append(measure(folder))
                    peak = max(peak, mount.status("VmHWM"))
            print(f"{name:8} {what:30} {statistics.median(figures):10.2f}   peak memory {peak / 1024:.0f} MiB", flush=True)
finally:
    shutil.rmtree(root)
