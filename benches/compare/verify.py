"""Is a restored tree what the source is? `verify.py SOURCE RESTORED` prints the counts of what differs as JSON."""
import json
import os
import stat
import sys

KINDS = ("missing", "extra", "type", "content", "link", "mode", "owner", "time", "folder_time", "link_time", "hard_links", "xattrs")
#: Tools that count in microseconds, and lose nothing else, are not called wrong.
TIME_STEP_NS = 1000


def compare(source, restored):
    """Compares names, types, contents, targets of links, modes, owners, times, hard links and extended attributes.

    Returns a count for each kind of difference, the number of entries, MB on disk of both, and the first few differences.
    """
    found = {kind: 0 for kind in KINDS}
    found.update(entries=0, source_disk_mb=0.0, restored_disk_mb=0.0, examples=[])
    groups = {}

    def differs(kind, path):
        found[kind] += 1
        if len(found["examples"]) < 5:
            found["examples"].append(f"{kind}: {os.fsencode(path).decode(errors='replace')}")

    def entry(path):
        a, b = os.path.join(source, path), os.path.join(restored, path)
        x, y = os.lstat(a), os.lstat(b)
        found["entries"] += 1
        found["source_disk_mb"] += x.st_blocks * 512 / 1e6
        found["restored_disk_mb"] += y.st_blocks * 512 / 1e6
        if stat.S_IFMT(x.st_mode) != stat.S_IFMT(y.st_mode):
            differs("type", path)
            return False
        if stat.S_ISREG(x.st_mode):
            if x.st_size != y.st_size or not same_bytes(a, b):
                differs("content", path)
            # names of one inode in the source are names of one inode in the copy, and of no other
            if x.st_nlink > 1 or y.st_nlink > 1:
                if x.st_nlink != y.st_nlink or groups.setdefault((x.st_dev, x.st_ino), (y.st_dev, y.st_ino)) != (y.st_dev, y.st_ino):
                    differs("hard_links", path)
        elif stat.S_ISLNK(x.st_mode) and os.readlink(a) != os.readlink(b):
            differs("link", path)
        if x.st_mode != y.st_mode:
            differs("mode", path)
        if (x.st_uid, x.st_gid) != (y.st_uid, y.st_gid):
            differs("owner", path)
        if x.st_mtime_ns // TIME_STEP_NS != y.st_mtime_ns // TIME_STEP_NS:
            differs("folder_time" if stat.S_ISDIR(x.st_mode) else "link_time" if stat.S_ISLNK(x.st_mode) else "time", path)
        if attributes(a) != attributes(b):
            differs("xattrs", path)
        return stat.S_ISDIR(x.st_mode)

    pending = ["."]
    while pending:
        path = pending.pop()
        if not entry(path):
            continue
        ours, theirs = (set(os.listdir(os.path.join(root, path))) for root in (source, restored))
        for name in sorted(ours - theirs):
            differs("missing", os.path.join(path, name))
        for name in sorted(theirs - ours):
            differs("extra", os.path.join(path, name))
        pending.extend(os.path.join(path, name) for name in ours & theirs)
    return found


def same_bytes(a, b):
    with open(a, "rb", buffering=0) as f, open(b, "rb", buffering=0) as g:
        while True:
            x, y = f.read(1 << 18), g.read(1 << 18)
            if x != y:
                return False
            if not x:
                return True


def attributes(path):
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def restored_root(folder, source):
    """Where below `folder` a tool put what was at `source`: under its whole path, under its name, or right there."""
    for top in (os.path.join(folder, "tree"), folder):
        for place in (top + source, os.path.join(top, os.path.basename(source))):
            if os.path.lexists(place):
                return place
    return os.path.join(folder, "tree") if os.path.isdir(os.path.join(folder, "tree")) else folder


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1], sys.argv[2])))
