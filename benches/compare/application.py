"""The tree of a server that runs web applications: what package registries and this machine offer, or else made up."""
import os
import random
import shutil
import subprocess

import text

NODE = ["express", "next", "react", "react-dom", "webpack", "typescript", "eslint", "jest", "lodash", "rxjs"]
PYTHON = ["django", "numpy", "pandas", "sqlalchemy", "celery", "pillow", "requests"]
RELEASES = 5
#: Not copied from /etc: keys and what holds them.
SECRET = ("shadow", "gshadow", "private", "ssh", "apt", "pip.conf", "npmrc", "machine-id", ".pem", ".key")


def make(out, scale, seed, cache):
    """Makes the tree; returns what it was made from. Below a tenth of the size, nothing is downloaded for it."""
    used = []
    parts = {"releases": (_ruby, 60e6), "node_modules": (_node, 560e6), "python": (_python, 340e6)}
    for name, (fetch, size) in parts.items():
        tree = None
        if scale >= 0.1:
            try:
                tree = fetch(cache)
            except (OSError, subprocess.CalledProcessError, ValueError) as e:
                print(f"{name} is made up: {str(e)[:200]}", flush=True, file=__import__("sys").stderr)
        used.append(f"{name} {'from packages' if tree else 'made up'}")
        stage = f"{out}/srv/{name}"
        if tree:
            copy(tree, stage, size * scale)
        else:
            _made_up(stage, size * scale, f"{seed}:{name}")
    _releases(f"{out}/srv", seed)
    for place, size in (("/usr/share", 300e6), ("/usr/lib/python3", 60e6), ("/usr/lib/gcc", 60e6), ("/usr/include", 50e6), ("/etc", 5e6)):
        if os.path.isdir(place):
            copy(place, out + place, size * scale)
    return ", ".join(used) + ", /usr and /etc of this machine"


def _ruby(cache):
    """A Rails application with its gems, as the distribution packs it."""
    names = [line[1] for line in map(str.split, lines("apt-get", "-s", "install", "--no-install-recommends", "redmine")) if line[:1] == ["Inst"]]
    tree = unpacked(sorted(names or ["redmine"]), cache, "rails")
    return f"{tree}/usr"


def _node(cache):
    place = f"{cache}/node"
    os.makedirs(place, exist_ok=True)
    if not os.path.isdir(f"{place}/node_modules"):
        with open(f"{place}/package.json", "w") as f:
            f.write('{"name": "shop", "version": "1.0.0"}\n')
        quiet("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE, cwd=place)
    return f"{place}/node_modules"


def _python(cache):
    place = f"{cache}/python"
    if not os.path.isdir(place):
        quiet("python3", "-m", "venv", f"{place}.new")
        quiet(f"{place}.new/bin/pip", "install", "--quiet", "--only-binary", ":all:", *PYTHON)
        os.rename(f"{place}.new", place)
    return place


def _releases(srv, seed):
    """Five releases side by side, each a whole copy of the one before with a hundredth of its files edited and a new bundle."""
    first, chance = f"{srv}/releases/1", random.Random(f"{seed}:releases")
    os.rename(f"{srv}/releases", f"{srv}/first")
    os.makedirs(f"{srv}/releases")
    os.rename(f"{srv}/first", first)
    files = sorted(os.path.relpath(os.path.join(at, name), first) for at, _, names in os.walk(first) for name in names if not os.path.islink(os.path.join(at, name)))
    for release in range(1, RELEASES + 1):
        here = f"{srv}/releases/{release}"
        when = 1_750_000_000 + release * 1_200_000
        if release > 1:
            shutil.copytree(f"{srv}/releases/{release - 1}", here, symlinks=True)
            for path in chance.sample(files, max(1, len(files) // 100)):
                with open(f"{here}/{path}", "ab") as f:
                    f.write(f"\n# release {release}: {chance.random()}\n".encode())
        with open(f"{here}/bundle.js", "w") as f:
            for n in range(4000):
                f.write(f"const f{n}=(a,b)=>a*{int.from_bytes(text.digest(seed, 'js', n, release if n % 40 == 0 else 0)[:4], 'big')}+b;\n")
        for at, folders, names in os.walk(here, topdown=False):
            for name in names + folders:
                os.utime(os.path.join(at, name), (when, when), follow_symlinks=False)
        os.utime(here, (when, when))
    os.symlink(f"releases/{RELEASES}", f"{srv}/current")


def _made_up(folder, size, key):
    """Folders of files of words, of the sizes that source code has."""
    chance, taken, number = random.Random(key), 0, 0
    while taken < size:
        place = f"{folder}/{text.WORDS[number // 400 % len(text.WORDS)]}-{number // 400}/{text.WORDS[number // 20 % len(text.WORDS)]}"
        os.makedirs(place, exist_ok=True)
        data = text.prose(f"{key}:{number}", 1 + int(chance.lognormvariate(6, 1.3))).replace(" the ", "\n  ").encode() + b"\n"
        path = f"{place}/{number}.txt"
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, (1_740_000_000 + number,) * 2)
        taken += len(data)
        number += 1


def copy(tree, to, limit):
    """Copies folders, regular files and links with their times, in the order of names, until `limit` bytes are there."""
    size = 0
    made = []
    for at, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if not secret(name))
        here = os.path.normpath(os.path.join(to, os.path.relpath(at, tree)))
        os.makedirs(here, exist_ok=True)
        made.append((at, here))
        for name in sorted(files + [name for name in folders if os.path.islink(os.path.join(at, name))]):
            path = os.path.join(at, name)
            if secret(name) or not (os.path.islink(path) or os.path.isfile(path)) or not (os.path.islink(path) or os.access(path, os.R_OK)):
                continue
            shutil.copy2(path, os.path.join(here, name), follow_symlinks=False)
            size += os.lstat(path).st_size
            if size > limit:
                break
        if size > limit:
            break
    for at, here in reversed(made):
        shutil.copystat(at, here)


def secret(name):
    return any(name.startswith(word) or name.endswith(word) for word in SECRET)


def unpacked(packages, cache, name):
    """Downloads packages of the distribution and unpacks them into a folder below `cache`, which is returned."""
    place = f"{cache}/{name}"
    if not os.path.isdir(f"{place}/tree"):
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(f"{place}/new")
        quiet("apt-get", "download", "-q", *packages, cwd=place)
        for package in sorted(os.listdir(place)):
            if package.endswith(".deb"):
                quiet("dpkg-deb", "-x", f"{place}/{package}", f"{place}/new")
        os.rename(f"{place}/new", f"{place}/tree")
    return f"{place}/tree"


def quiet(*argv, **how):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **how)


def lines(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout.splitlines()


def words(*argv):
    return " ".join(lines(*argv)).split()
