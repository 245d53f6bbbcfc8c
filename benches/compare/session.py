"""One tool at work on one corpus in a fresh repository: its steps, measured, and its restores, verified."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import measure
from tools import TOOLS

HERE = os.path.dirname(os.path.abspath(__file__))


class Session:
    def __init__(self, tool, source, work, restore_to, limit):
        """Makes the folders that the tool needs. `source` is backed up; `restore_to` is a folder, or None for one beside the repository."""
        self.name, self.tool, self.limit, self.work = tool, TOOLS[tool], limit, work
        self.base = f"{work}/run/{tool}-{os.path.basename(source)}"
        self.out = f"{restore_to or self.base}/restored-{tool}"
        discard(self.base, work)
        discard(self.out, work)
        self.values = {"repo": f"{self.base}/repo", "cache": f"{self.base}/cache", "home": f"{self.base}/home", "out": self.out, "source": source, "snapshot": "", "n": 0}
        for key in ("repo", "cache", "home"):
            os.makedirs(self.values[key])
        for path, content in self.tool.get("files", {}).items():
            with open(os.open(path.format(**self.values), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(content.format(**self.values))
        # Nothing of the one who runs this reaches the tools: no settings, no repository, no cache.
        self.env = {"PATH": os.environ["PATH"], "HOME": self.values["home"], "LANG": "C.UTF-8"}
        self.env.update({key: value.format(**self.values) for key, value in self.tool["env"].items()})
        self.steps, self.verified, self.snapshots = {}, {}, {}

    def step(self, name, templates, cwd=None):
        """Measures one step and tells of it. Returns whether it went well."""
        log = f"{self.base}/{name}.log"
        # What was written before is no part of this step.
        os.sync()
        templates = [templates] if isinstance(templates, str) else templates
        figures = measure.run([measure.fill(t, self.values) for t in templates], self.env, log, self.limit, cwd)
        figures["repo_bytes"] = measure.size_of(self.values["repo"])
        if figures["rc"] != 0:
            figures["said"] = measure.tail(log)
        self.steps[name] = figures
        print(f"  {self.name:10} {name:10} {figures['wall']:8.2f} s {figures['cpu']:8.2f} CPU s {figures['rss_mb']:7.0f} MB {figures['repo_bytes'] / 1e6:9.1f} MB stored"
              f"  others {figures['others_cpu']:.1f}" + ("" if figures["rc"] == 0 else f"  FAILED ({figures['rc']})\n{figures['said']}"), flush=True)
        return figures["rc"] == 0

    def init(self):
        return self.step("init", self.tool["init"])

    def backup(self, name, n):
        self.values["n"] = n
        if not self.step(name, self.tool["backup"]):
            return False
        if "snapshot" in self.tool:
            with open(f"{self.base}/{name}.log", errors="replace") as f:
                found = re.findall(self.tool["snapshot"], f.read(), re.M)
            if not found:
                self.steps[name]["rc"] = "it did not say how the snapshot is called"
                return False
            self.values["snapshot"] = found[-1]
        self.snapshots[n] = self.values["snapshot"]
        return True

    def restore(self, name, n, sparse, verify):
        """Restores snapshot `n` into an empty folder, and keeps what `verify(folder)` finds."""
        self.values.update(n=n, snapshot=self.snapshots[n])
        os.makedirs(self.out)
        command = self.tool.get("restore_sparse" if sparse else "restore", self.tool["restore"])
        cwd = self.tool["restore_in"].format(**self.values) if "restore_in" in self.tool else None
        if self.step(name, command, cwd):
            self.verified[name] = verify(self.out)
            wrong = differences(self.verified[name])
            if wrong:
                print(f"  {self.name:10} differs    {json.dumps(wrong)} {self.verified[name].get('examples')}", flush=True)
        discard(self.out, self.work)

    def end(self):
        discard(self.base, self.work)


def differences(found):
    """Of what a verification found, the counts of what is not as it was."""
    return {kind: count for kind, count in found.items() if count and kind not in ("entries", "examples", "source_disk_mb", "restored_disk_mb")}


def compare_trees(source, folder):
    """What differs between the source and its restored copy. In a process of its own, so that this one stays small."""
    code = ("import json, sys, verify; root = verify.restored_root(sys.argv[2], sys.argv[1]); print(json.dumps(verify.compare(sys.argv[1], root)))")
    return json.loads(own_process("-c", code, source, folder))


def own_process(*argv):
    """What a Python of its own prints."""
    return subprocess.run([sys.executable, "-B", *argv], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout


def discard(path, work):
    """Moves a folder out of the way. To delete a hundred thousand files here and now would slow the steps that follow."""
    if not os.path.lexists(path):
        return
    os.makedirs(f"{work}/trash", exist_ok=True)
    try:
        os.rename(path, f"{work}/trash/{time.time_ns()}")
    except OSError:  # on another file system
        shutil.rmtree(path)
    if shutil.disk_usage(work).free < 15e9:
        empty_trash(work)


def empty_trash(work):
    shutil.rmtree(f"{work}/trash", ignore_errors=True)
    os.sync()


def read_once(folder):
    """Reads every file, so that each tool finds it in the page cache."""
    subprocess.run(["find", folder, "-type", "f", "-exec", "cat", "{}", "+"], stdout=subprocess.DEVNULL, check=True)
