"""The second day of a tree: 1 % of the files changed, 1 % added, 0.5 % deleted, a folder renamed. In place, with a way back.

The inodes of what did not change must stay, since tools tell by them what to read again; so the tree cannot simply be
replaced by another. Which files are hit depends on the seed and on names alone.
"""
import hashlib
import json
import os
import random
import shutil

DAY_2 = 1_790_000_000


def begin(tree, state, seed):
    """Makes day 2. `state` is a folder beside the tree, on the same file system, that does not exist: originals wait there."""
    plan = _plan(tree, seed)
    os.makedirs(state)
    # The plan is on disk before the first change, so that an interrupted run can be put back.
    with open(f"{state}/plan.new", "w") as f:
        json.dump(plan, f)
    os.rename(f"{state}/plan.new", f"{state}/plan.json")
    for n, (path, kind) in enumerate(plan["kept"]):
        os.rename(f"{tree}/{path}", f"{state}/{n}")
        if kind != "delete":
            _changed_copy(f"{state}/{n}", f"{tree}/{path}", kind, f"{seed}:{path}")
    for path, model in plan["added"]:
        _new_file(f"{tree}/{path}", f"{tree}/{model}", f"{seed}:{path}")
    for path in plan["folder_times"]:
        os.utime(os.path.join(tree, path), (DAY_2, DAY_2))
    if plan["renamed"]:
        old, new = plan["renamed"]
        os.rename(f"{tree}/{old}", f"{tree}/{new}")
        above = os.path.join(tree, os.path.dirname(old))
        os.utime(above, (DAY_2, DAY_2))
    return {"changed": sum(kind != "delete" for _, kind in plan["kept"]), "deleted": sum(kind == "delete" for _, kind in plan["kept"]),
            "added": len(plan["added"]), "renamed": plan["renamed"]}


def undo(tree, state):
    """Puts day 1 back (but for the times of change of inodes). Does nothing when there is nothing to put back."""
    if not os.path.exists(state):
        return
    if not os.path.exists(f"{state}/plan.json"):
        shutil.rmtree(state)
        return
    with open(f"{state}/plan.json") as f:
        plan = json.load(f)
    if plan["renamed"] and os.path.lexists(f"{tree}/{plan['renamed'][1]}"):
        os.rename(f"{tree}/{plan['renamed'][1]}", f"{tree}/{plan['renamed'][0]}")
    for path, _ in plan["added"]:
        if os.path.lexists(f"{tree}/{path}"):
            os.unlink(f"{tree}/{path}")
    for n, (path, _) in enumerate(plan["kept"]):
        if os.path.lexists(f"{state}/{n}"):
            os.rename(f"{state}/{n}", f"{tree}/{path}")
    for path, time in plan["folder_times"].items():
        os.utime(os.path.join(tree, path), ns=(time, time))
    shutil.rmtree(state)


def _plan(tree, seed):
    def rank(tag):
        return lambda path: hashlib.blake2b(f"{seed}:{tag}:{path}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    files, below = [], {}
    for at, folders, names in os.walk(tree):
        for name in names:
            path = os.path.join(at, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            path = os.path.relpath(path, tree)
            files.append(path)
            above = os.path.dirname(path)
            while above:
                below[above] = below.get(above, 0) + 1
                above = os.path.dirname(above)
    files.sort(key=rank("files"))
    many = max(1, len(files) // 100)
    few = max(1, len(files) // 200)
    changed, deleted, models = files[:many], files[many:many + few], files[-many:]
    kept = [[path, ("append", "overwrite", "insert")[n % 3]] for n, path in enumerate(changed)] + [[path, "delete"] for path in deleted]
    added = [[os.path.join(os.path.dirname(path), f"new-{n}.{os.path.basename(path)[-40:]}"), path] for n, path in enumerate(models)]
    # a folder of a size that a person would move
    candidates = sorted((path for path, count in below.items() if 50 <= count <= max(1000, len(files) // 50)), key=rank("folder"))
    renamed = [candidates[0], f"{candidates[0]}-moved"] if candidates else None
    touched = {os.path.dirname(path) for path, _ in kept + added}
    if renamed:
        touched.add(os.path.dirname(renamed[0]))
    times = {path: os.lstat(os.path.join(tree, path)).st_mtime_ns for path in sorted(touched)}
    return {"kept": kept, "added": added, "renamed": renamed, "folder_times": times}


def _changed_copy(original, path, kind, key):
    chance = random.Random(key)
    with open(original, "rb") as f:
        data = bytearray(f.read())
    at = chance.randrange(len(data) + 1)
    if kind == "append":
        data += f"\nchanged on day 2: {chance.random()}\n".encode()
    elif kind == "overwrite":
        data[at:at + 24] = chance.randbytes(24)
    else:
        data[at:at] = chance.randbytes(24).hex().encode()
    _write_like(path, data, original)


def _new_file(path, model, key):
    """A file that is half new and half its neighbour's, as new files in a project are."""
    chance = random.Random(key)
    with open(model, "rb") as f:
        data = f.read()
    new = chance.randbytes(min(len(data) // 4, 100_000)).hex().encode()
    _write_like(path, new + data[len(data) // 2:], model)


def _write_like(path, data, model):
    with open(path, "wb") as f:
        f.write(data)
    there = os.lstat(model)
    os.chmod(path, there.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.chown(path, there.st_uid, there.st_gid)
    os.utime(path, (DAY_2, DAY_2))
