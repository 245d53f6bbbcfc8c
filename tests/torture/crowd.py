"""Eight writers, a pruner, a copier and a reader on one repository, with random stops and kills. Each snapshot that is
acknowledged is whole in the end, unless it was forgotten; nothing is found by check."""

import random
import shutil
import signal
import threading
import time

from world import Broken, Repo, need

WRITERS = 8


class Crowd:
    """A round is a few seconds with all of them."""

    seconds = 6

    def __init__(self, world):
        self.world = world
        self.repo = world.init()
        self.other = world.init("other")
        self.replica = Repo(world.path("replica"), self.repo.key)
        self.lock, self.failed = threading.Lock(), []
        # What is being looked at is not forgotten meanwhile.
        self.looked_at = set()

    def round(self, number):
        self.until = time.monotonic() + self.seconds
        jobs = [(self.write, n) for n in range(WRITERS)]
        jobs += [(self.prune, 0), (self.copy, 0), (self.read, 0), (self.forget, 0)]
        threads = [threading.Thread(target=self.work, args=(*job, number)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            raise self.failed[0]
        self.world.whole(self.repo)

    def work(self, job, n, number):
        rng = random.Random(f"{job.__name__} {n} {number} {self.world.rng.random()}")
        while time.monotonic() < self.until and not self.failed:
            try:
                job(n, rng)
            except Exception as error:
                self.failed.append(error)

    def disturb(self, args, rng, env=None):
        """Runs it; now and then it is stopped for a while, or killed."""
        child = self.world.start(args, env)
        luck = rng.random()
        if luck < 0.3:
            time.sleep(rng.uniform(0, 0.4))
            child.send_signal(signal.SIGSTOP)
            time.sleep(rng.uniform(0, 1.5))
            child.send_signal(signal.SIGCONT)
        elif luck < 0.4:
            time.sleep(rng.uniform(0, 0.6))
            child.kill()
        ran = self.world.end(child)
        with self.lock:
            self.world.count(f"{args[0]} ended well" if ran.code == 0 else f"{args[0]} killed" if ran.code < 0 else f"{args[0]} refused")
        return ran

    def write(self, n, rng):
        tree = f"tree{n}"
        # One pool for all of them: they store the same at the same time.
        files = {f"f{i}": (seed := rng.randrange(60), 500 + seed * 7919 % 90_000) for i in range(rng.randrange(1, 9))}
        digests = self.world.fill(self.world.path(tree), files)
        ran = self.disturb(self.world.snapshot_args(self.repo, f"alpha/-/{tree}", tree), rng)
        need(ran.code in (0, -signal.SIGKILL) or "run it again" in ran.err + ran.out, f"a writer: {ran}")
        with self.lock:
            self.world.acknowledge(self.repo, ran, digests)

    def forget(self, n, rng):
        with self.lock:
            if len(self.repo.held) < 25:
                id = None
            else:
                id = rng.choice([id for id in self.repo.held if id not in self.looked_at])
                del self.repo.held[id]
        if id is None:
            time.sleep(0.1)
            return
        ran = self.disturb(["forget", "--yes", "--force", *self.world.at(self.repo), id], rng)
        need(ran.code in (0, -signal.SIGKILL), f"forget: {ran}")

    def prune(self, n, rng):
        with self.lock:
            is_empty = not self.repo.held
        if is_empty:
            # Packs without an index may be a lost index as well as a first snapshot under way: refused.
            time.sleep(0.1)
            return
        ran = self.disturb(["prune", "--force", "--grace", "0", "--max-unused", "0", *self.world.at(self.repo)], rng)
        need(ran.code in (0, -signal.SIGKILL) or "again" in ran.err, f"prune: {ran}")
        time.sleep(rng.uniform(0, 0.3))

    def copy(self, n, rng):
        if rng.random() < 0.5:
            args = ["copy", "--init", "--to", self.replica.path, *self.world.at(self.repo)]
        else:
            args = ["copy", "--to", self.other.path, "--to-key-file", self.other.key, *self.world.at(self.repo)]
        ran = self.disturb(args, rng)
        # What was forgotten and swept while it was under way is missed, and told.
        need(ran.code in (0, 1, -signal.SIGKILL), f"copy: {ran}")

    def read(self, n, rng):
        with self.lock:
            id = rng.choice(list(self.repo.held)) if self.repo.held else None
            digests = self.repo.held.get(id)
            self.looked_at = {id}
        if id is None:
            time.sleep(0.1)
            return
        target = self.world.path("read")
        shutil.rmtree(target, ignore_errors=True)
        ran = self.world.run("restore", "--quiet", *self.world.at(self.repo), id, "--target", target)
        self.world.count("restore ended well" if ran.code == 0 else "restore refused")
        if ran.code == 0:
            need(self.world.digests(target) == digests, f"{id} restores other bytes")
        else:
            # Two sweeps without grace may take place while it reads: it is told, and true of no second try.
            self.world.restores(self.repo, id, digests)

    def finish(self):
        world = self.world
        world.whole(self.repo, all=True)
        for _ in range(3):
            world.old_sessions(self.repo)
            world.run("prune", "--force", "--grace", "0", *world.at(self.repo)).expect(0)
        world.whole(self.repo, all=True)
        for copy in (self.replica, self.other):
            if (copy.path / "config").exists():
                ran = world.run("check", "--read-data", *world.at(copy))
                if ran.code != 0:
                    raise Broken(f"{copy.path.name}: {ran}")
