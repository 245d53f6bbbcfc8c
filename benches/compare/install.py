"""Puts the tools where they can be run: this project's own program is built, the peers come from package registries."""
import os
import shutil
import subprocess

from tools import OURS, TOOLS

PROJECT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

#: Ways to install each peer, tried in turn: how, what, and packages of the distribution that it is built with.
WAYS = {
    "restic": [("newest package", "restic", []), ("apt", "restic", [])],
    "borg": [("pip", "borgbackup", ["python3-dev", "gcc", "pkg-config", "libacl1-dev", "libssl-dev", "liblz4-dev", "libzstd-dev", "libxxhash-dev"]), ("apt", "borgbackup", [])],
    "rustic": [("cargo", "rustic-rs", ["gcc"])],
    "bupstash": [("cargo", "bupstash", ["gcc", "pkg-config", "libsodium-dev"])],
    "vykar": [("cargo", "vykar-cli", ["gcc"])],
}


def install(chosen, folder, vault=None):
    """Puts the chosen tools into `folder`/bin, unless they are there. Returns the reasons of those that could not be.

    One that cannot be installed is taken from the PATH, if it is there: the report shows its version.

    `vault` is a program to take instead of building this project's.
    """
    bin_folder = os.path.join(folder, "bin")
    os.makedirs(bin_folder, exist_ok=True)
    os.environ["PATH"] = os.pathsep.join([bin_folder, os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = {}
    if any(name in OURS for name in chosen):
        if not vault:
            say("building vault")
            subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "vault"], cwd=PROJECT, check=True)
            vault = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(PROJECT, "target")), "release", "vault")
        link(os.path.abspath(vault), os.path.join(bin_folder, "vault"))
    for name in chosen:
        if name in OURS or os.path.exists(f"{bin_folder}/{name}"):
            continue
        reasons = []
        for how, what, needed in WAYS[name]:
            say(f"installing {name} ({how})")
            reason = _packages(needed, folder) or _INSTALLERS[how](name, what, folder)
            if not reason and shutil.which(name):
                break
            reasons.append(f"{how}: {reason or 'it installed no such program'}")
        if not shutil.which(name):
            missing[name] = "; ".join(reasons)
            say(f"{name} is not installed: {missing[name]}")
    return missing


def say(text):
    print(text, flush=True)


def attempt(argv, log, **how):
    """Runs a command of an installation; returns None, or the last line of what it said against it."""
    with open(log, "a+") as out:
        start = out.tell()
        try:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **how).returncode
        except OSError as e:
            return str(e)
        out.seek(start)
        said = [line.strip() for line in out.read().splitlines() if line.strip()]
    if code == 0:
        return None
    complaint = [line for line in said if "error" in line.lower() or line.startswith("E:")] or said or [f"exit code {code}"]
    return complaint[-1][:200]


def link(target, path):
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def _packages(names, folder):
    there = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout if names else ""
    absent = [name for name in names if f"{name} installed" not in there]
    if not absent:
        return None
    return _apt(None, absent, folder)


def _apt(_name, what, folder):
    if os.geteuid() != 0:
        return f"only root can install {what}"
    names = [what] if isinstance(what, str) else what
    return attempt(["apt-get", "install", "-y", "-q", "--no-install-recommends", *names], f"{folder}/apt.log", env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


def _newest_package(name, what, folder):
    """The package of the distribution's development suite, unpacked beside the system: a release is years behind by its end.

    It asks the archive that this system is set up with, and changes nothing of that set-up.
    """
    own = os.path.join(folder, "newest")
    os.makedirs(f"{own}/lists/partial", exist_ok=True)
    os.makedirs(f"{own}/archives/partial", exist_ok=True)
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], stdout=subprocess.PIPE, text=True).stdout.split()
    archive = next((uri for uri in targets if uri.rstrip("/").endswith("/debian")), None)
    if not archive:
        return "no archive of Debian in this system's list of sources"
    with open(f"{own}/sources.list", "w") as f:
        f.write(f"deb {archive} sid main\n")
    options = ["-o", f"Dir::Etc::sourcelist={own}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={own}/lists", "-o", f"Dir::Cache={own}"]
    log = f"{folder}/newest.log"
    reason = attempt(["apt-get", *options, "update", "-q"], log) or attempt(["apt-get", *options, "download", "-q", what], log, cwd=own)
    if reason:
        return reason
    package = next(x for x in sorted(os.listdir(own)) if x.startswith(f"{what}_"))
    reason = attempt(["dpkg-deb", "-x", f"{own}/{package}", f"{own}/{name}"], log)
    program = f"{own}/{name}/usr/bin/{name}"
    # It may want a newer system than this one.
    reason = reason or attempt([program, *TOOLS[name]["version"].split()[1:]], log)
    if not reason:
        link(program, f"{folder}/bin/{name}")
    return reason


def _pip(name, what, folder):
    log = f"{folder}/pip.log"
    reason = attempt(["python3", "-m", "venv", f"{folder}/python"], log) or attempt([f"{folder}/python/bin/pip", "install", "--quiet", what], log)
    if not reason:
        link(f"{folder}/python/bin/{name}", f"{folder}/bin/{name}")
    return reason


def _cargo(name, what, folder):
    env = dict(os.environ, CARGO_TARGET_DIR=f"{folder}/build-{name}")
    reason = attempt(["cargo", "install", "--locked", "--quiet", "--root", folder, what], f"{folder}/cargo-{name}.log", env=env)
    shutil.rmtree(f"{folder}/build-{name}", ignore_errors=True)
    return reason


_INSTALLERS = {"newest package": _newest_package, "apt": _apt, "pip": _pip, "cargo": _cargo}
