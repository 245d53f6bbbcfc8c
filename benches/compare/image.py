"""A disk image with a file system in it, and the same image a day later."""
import os
import random
import shutil
import subprocess
import tempfile

import text

ID = "2f0c1f0e-7a54-4a0f-9d3e-6b1b6a0c5d11"
PLACES = ("/usr/bin", "/usr/lib", "/usr/sbin", "/usr/share")


def make(day1, day2, scale, seed):
    """3 GiB with 900 MB of this machine's programs and libraries in it, as ext4; both images are sparse.

    On day 2 a hundredth of the files are replaced by ones with 64 other bytes, and 30 logs of half a megabyte are new.
    """
    stage = tempfile.mkdtemp(dir=os.path.dirname(day1))
    root, new = f"{stage}/root", f"{stage}/new"
    os.makedirs(new)
    taken = _programs(root, 900_000_000 * scale)
    env = dict(os.environ, E2FSPROGS_FAKE_TIME="1750000000")
    with open(day1, "wb") as f:
        f.truncate(max(64 << 20, int((3 << 30) * scale) >> 20 << 20))
    _run(["mkfs.ext4", "-q", "-F", "-U", ID, "-E", f"hash_seed={ID},lazy_itable_init=0", "-d", root, day1], env)
    _run(["cp", "--sparse=always", day1, day2], env)

    chance, commands = random.Random(f"{seed}:image"), []
    small = [path for path in taken if os.path.getsize(root + path) < 3_000_000]
    for n, path in enumerate(chance.sample(small, max(1, len(taken) // 100))):
        with open(root + path, "rb") as f:
            data = bytearray(f.read())
        at = chance.randrange(len(data) + 1)
        data[at:at + 64] = chance.randbytes(64)
        with open(f"{new}/{n}", "wb") as f:
            f.write(data)
        commands += [f'cd "{os.path.dirname(path)}"', f'rm "{os.path.basename(path)}"', f'write {new}/{n} "{os.path.basename(path)}"']
    changed = len(commands) // 3
    logs = max(1, int(30 * min(1, scale)))
    for n in range(logs):
        with open(f"{new}/log-{n}", "w") as f:
            for line in range(5000):
                f.write(f"{text.moment(n * 86_400 + line * 9)} {text.prose(f'{seed}:{n}:{line}', 12)}\n")
        commands += ["cd /usr", f"write {new}/log-{n} day-{n}.log"]
    with open(f"{stage}/commands", "w") as f:
        f.write("\n".join(commands) + "\n")
    _run(["debugfs", "-w", "-f", f"{stage}/commands", day2], env)
    shutil.rmtree(stage)
    return f"{len(taken):,} files inside; day 2: {changed} changed, {logs} added"


def _programs(root, limit):
    """Copies regular files from this machine, in the order of their names, until `limit` bytes are there."""
    taken, size = [], 0
    for place in PLACES:
        for at, folders, files in os.walk(place):
            folders.sort()
            for name in sorted(files):
                path = f"{at}/{name}"
                if os.path.islink(path) or not os.path.isfile(path) or '"' in path:
                    continue
                length = os.path.getsize(path)
                # no single file dominates, and each place has its share
                if length > limit / 20 or size + length > limit * (PLACES.index(place) + 1) / len(PLACES):
                    continue
                os.makedirs(os.path.dirname(root + path), exist_ok=True)
                shutil.copy2(path, root + path)
                taken.append(path)
                size += length
    return taken


def _run(argv, env):
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
