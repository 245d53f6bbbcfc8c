"""SIGSTOP of snapshots across marks and sweeps with no grace time: each snapshot that is acknowledged in the end is whole."""

import signal
import time

from world import need


class Stop:
    def __init__(self, world):
        self.world, self.repo = world, None

    def round(self, number):
        world, rng = self.world, self.world.rng
        if self.repo is None or number % 15 == 0:
            world.fresh()
            self.repo = world.init()
        repo = self.repo
        while len(repo.held) < 3:
            world.take(repo)
        # The writer finds known what is about to be forgotten.
        old = rng.choice(list(repo.held))
        files = world.files(count=rng.randrange(4, 12))
        world.take(repo, files, series="alpha/-/old")
        digests = world.fill(world.path("tree"), files)
        writer = world.start(world.snapshot_args(repo, series="alpha/-/writer"))
        time.sleep(rng.uniform(0, 0.08))
        writer.send_signal(signal.SIGSTOP)
        stopped = writer.poll() is None
        world.count("stopped" if stopped else "ended before")
        for id in [old, list(repo.held)[-1]]:
            if repo.held.pop(id, None) is not None:
                world.run("forget", "--yes", "--force", *world.at(repo), id).expect(0)
        dies = rng.random() < 0.5
        for _ in range(rng.randrange(1, 4)):
            if dies:
                world.old_sessions(repo)
            world.run("prune", "--force", "--grace", "0", "--max-unused", "0", *world.at(repo)).expect(0)
        writer.send_signal(signal.SIGCONT)
        ran = world.end(writer)
        need(ran.code == 0 or "run it again" in ran.err + ran.out, f"the stopped snapshot: {ran}")
        world.count("acknowledged" if ran.code == 0 else "refused by itself")
        world.acknowledge(repo, ran, digests)
        world.whole(repo, all=True)

    def finish(self):
        self.world.whole(self.repo, all=True)
