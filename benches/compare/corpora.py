"""Makes what is backed up. `corpora.py NAME FOLDER SCALE SEED CACHE [NIGHT]` makes FOLDER/NAME, and FOLDER/NAME.day2 where
day 2 replaces the files as a whole (a tree's day 2 is made in place, by days.py).

The same seed and scale make the same bytes. `src`, `app`, `vm` and half of `media` come from packages and from this machine
besides, since nothing made up compresses as real files do; they are the same as long as those are.
"""
import base64
import glob
import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import tarfile

import application
import image
import text

MB = 1_000_000


def src(folder, scale, seed, cache):
    """The kernel's source, from the distribution's package: 1.3 GB in 79 000 files. Scaled, the first part of it."""
    archives = sorted(glob.glob("/usr/src/linux-source-*.tar.xz")) or _linux_source(cache)
    limit, taken = (1.3e9 * scale if scale < 1 else float("inf")), 0
    with tarfile.open(archives[-1], "r|xz") as archive:
        archive.extraction_filter = getattr(tarfile, "tar_filter", None)
        for entry in archive:
            archive.extract(entry, f"{folder}/src")
            archive.members.clear()
            taken += entry.size
            if taken > limit:
                break
    return os.path.basename(archives[-1])


def _linux_source(cache):
    name = max(application.words("apt-cache", "depends", "linux-source"), key=lambda word: word.startswith("linux-source-"))
    return glob.glob(f"{application.unpacked([name], cache, 'linux-source')}/usr/src/linux-source-*.tar.xz")


def app(folder, scale, seed, cache):
    """Releases of a web application, node modules, a Python environment, parts of /usr and /etc: 1.9 GB at most."""
    return application.make(f"{folder}/app", scale, seed, cache)


def db(folder, scale, seed, cache):
    """A dump of some 480 MB; on day 2, 3 % of the rows are changed and 1.5 % added."""
    database = text.Database(480 * MB * scale, seed)
    rows = database.rows()
    database.dump(_fresh(f"{folder}/db/dump.sql"))
    changed, added = database.live(0.03, 0.015)
    database.dump(_fresh(f"{folder}/db.day2/dump.sql"))
    return f"{rows:,} rows; day 2: {changed:,} changed, {added:,} added"


def nights(folder, scale, seed, night):
    """The dump of one night, of some 144 MB: since the night before, 1 to 5 % of the rows were changed and 0.3 % added."""
    database = text.Database(144 * MB * scale, seed + 1)
    for past in range(2, night + 1):
        database.live(random.Random(f"{seed}:night:{past}").uniform(0.01, 0.05), 0.003)
    path = _fresh(f"{folder}/nights/new")
    database.dump(path)
    os.replace(path, f"{folder}/nights/dump.sql")
    return f"{database.rows():,} rows"


def sqlite(folder, scale, seed, cache):
    """A database file of some 200 MB; on day 2, 1 % of its rows are updated, anywhere."""
    day1, day2 = _fresh(f"{folder}/sqlite/app.sqlite"), _fresh(f"{folder}/sqlite.day2/app.sqlite")
    rows = int(200 * MB * scale / 480)
    connection = sqlite3.connect(day1)
    connection.execute("CREATE TABLE post (id INTEGER PRIMARY KEY, author TEXT, token BLOB, views INTEGER, changed TEXT, body TEXT)")
    connection.execute("CREATE INDEX post_author ON post (author)")
    connection.executemany("INSERT INTO post VALUES (?, ?, ?, ?, ?, ?)", (
        (i, f"{text.GIVEN[d[0] % 24]} {text.FAMILY[d[1] % 24]} {d[2]}", d[8:28], d[3], text.moment(i * 7), text.prose(d, 30 + d[4] // 4))
        for i, d in ((i, text.digest(seed, "sqlite", i)) for i in range(rows))))
    connection.commit()
    connection.close()
    shutil.copy2(day1, day2)
    connection = sqlite3.connect(day2)
    some = random.Random(f"{seed}:sqlite").sample(range(rows), max(1, rows // 100))
    connection.executemany("UPDATE post SET views = views + 1, changed = ?, token = ? WHERE id = ?", ((text.moment(i), text.digest(seed, "again", i)[:20], i) for i in some))
    connection.commit()
    connection.close()
    return f"{rows:,} rows; day 2: {len(some):,} updated"


def mbox(folder, scale, seed, cache):
    """A mailbox of some 200 MB; on day 2, a hundredth is appended."""
    day1, day2 = _fresh(f"{folder}/mbox/inbox"), _fresh(f"{folder}/mbox.day2/inbox")
    number = 0

    def write(f, size):
        nonlocal number
        end = f.tell() + size
        while f.tell() < end:
            d = text.digest(seed, "mail", number)
            sender = f"{text.GIVEN[d[0] % 24].lower()}.{text.FAMILY[d[1] % 24].lower()}@example.org"
            f.write(f"From {sender} {text.moment(number * 311)}\nFrom: {sender}\nTo: office@example.net\nMessage-ID: <{d.hex()[:32]}@example.org>\n"
                    f"Subject: {text.prose(d[:8], 3 + d[2] % 6)}\nMIME-Version: 1.0\n\n{text.prose(d[8:], 40 + d[3])}\n\n".encode())
            if d[4] < 40:  # some carry an attachment
                f.write(base64.encodebytes(random.Random(d).randbytes(1000 * (1 + d[5]))) + b"\n")
            number += 1
    with open(day1, "wb") as f:
        write(f, 200 * MB * scale)
    first = number
    shutil.copy2(day1, day2)
    with open(day2, "ab") as f:
        write(f, 2 * MB * scale)
    return f"{first:,} mails; day 2: {number - first:,} more"


def media(folder, scale, seed, cache):
    """600 MB that do not shrink: half as photos and clips, half packages, as far as this machine has any."""
    chance, out, taken, count = random.Random(f"{seed}:media"), f"{folder}/media", 0, 0
    limit = 600 * MB * scale
    packages = sorted(path for place in (f"{cache}/*/*.deb", "/var/cache/apt/archives/*.deb", os.path.expanduser("~/.cargo/registry/cache/*/*.crate"), "/usr/src/*.xz") for path in glob.glob(place))
    for path in packages:
        size = os.path.getsize(path)
        if taken + size <= limit / 2:
            shutil.copy2(path, _fresh(f"{out}/packages/{os.path.basename(path)}"))
            taken += size
            count += 1
    number = 0
    while taken < limit:
        size = int(min(200_000 * 200 ** chance.random(), limit - taken + 10_000))
        path = _fresh(f"{out}/{2020 + number % 6}/{'clip' if size > 8 * MB else 'photo'}-{number:05d}.{'mp4' if size > 8 * MB else 'jpg'}")
        with open(path, "wb") as f:
            f.write(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + chance.randbytes(size))
        os.utime(path, (1_700_000_000 + number * 1000,) * 2)
        taken += size
        number += 1
    return f"{count} packages, {number} made up"


def vm(folder, scale, seed, cache):
    """A sparse image with a file system of programs and libraries; on day 2, some of its files are changed and some added."""
    return image.make(_fresh(f"{folder}/vm/disk.raw"), _fresh(f"{folder}/vm.day2/disk.raw"), scale, seed)


def tiny(folder, scale, seed, cache):
    """A million files of 160 to 200 bytes."""
    count = max(1000, int(1_000_000 * scale))
    for i in range(count):
        if i % 1000 == 0:
            place = f"{folder}/tiny/{i // 100_000:02d}/{i // 1000:04d}"
            os.makedirs(place)
        key = text.digest(seed, "tiny", i).hex()
        line = f"id = {i}\nkey = {key[:64]}\nname = {text.GIVEN[i % 24]} {text.FAMILY[i // 24 % 24]}\nnote = {text.WORDS[i % 97]} {text.WORDS[i % 89]}\n"
        with open(f"{place}/{key[:12]}.txt", "w") as f:
            f.write(line.ljust(160 + i % 40, "."))
    return f"{count:,} files"


def _fresh(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.unlink(path)
    return path


def count(folder):
    """Entries and bytes of a tree, for the report."""
    total = {"files": 0, "folders": 0, "links": 0, "bytes": 0, "bytes_on_disk": 0}
    for at, folders, files in os.walk(folder):
        total["folders"] += 1
        for name in files + [name for name in folders if os.path.islink(f"{at}/{name}")]:
            there = os.lstat(f"{at}/{name}")
            if os.path.islink(f"{at}/{name}"):
                total["links"] += 1
            else:
                total["files"] += 1
                total["bytes"] += there.st_size
                total["bytes_on_disk"] += there.st_blocks * 512
    return total


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).hexdigest()


ALL = ("src", "app", "db", "sqlite", "mbox", "media", "vm", "tiny", "nights")

if __name__ == "__main__":
    name, folder, scale, seed, cache = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    if name == "nights":
        note = nights(folder, scale, seed, int(sys.argv[6]))
        print(json.dumps({"note": note, "sha256": sha256(f"{folder}/nights/dump.sql")} | count(f"{folder}/nights")))
    else:
        note = {f.__name__: f for f in (src, app, db, sqlite, mbox, media, vm, tiny)}[name](folder, scale, seed, cache)
        print(json.dumps({"note": note} | count(f"{folder}/{name}")))
