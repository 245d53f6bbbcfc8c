"""`kill -9` of what changes only what is said of snapshots: tags, pins, and the series' name."""

from kill import Kill
from world import need


class Labels(Kill):
    """Each snapshot has its label or has it not; no other label changes."""

    def begin(self):
        super().begin()
        self.labels = {id: set() for id in self.repo.held}

    def before(self):
        self.chosen = sorted(self.rng.sample(sorted(self.labels), self.rng.randrange(1, len(self.labels) + 1)))
        pinned = self.rng.random() < 0.4
        self.label = None if pinned else self.rng.choice(["red", "blue", "green"])
        # Mostly what changes something.
        self.given = sum(self.label in self.labels[id] for id in self.chosen) * 2 < len(self.chosen)
        at = self.world.at(self.repo)
        if pinned:
            return ["pin" if self.given else "unpin", *at, *self.chosen], None
        return ["tag", "add" if self.given else "remove", *at, self.label, *self.chosen], None

    def look(self):
        there = self.world.listed(self.repo)
        return {id: {*there[id]["tags"], *([None] if there[id]["pinned"] else [])} for id in self.labels}

    def wanted(self, id):
        if id not in self.chosen:
            return self.labels[id]
        return self.labels[id] | {self.label} if self.given else self.labels[id] - {self.label}

    def after(self, ran):
        super().after(ran)
        for id, found in self.look().items():
            allowed = [self.wanted(id)] if ran.code == 0 else [self.wanted(id), self.labels[id]]
            need(found in allowed, f"{id} has {found} in place of {allowed}")

    def again(self, args, env):
        super().again(args, env)
        self.labels = {id: self.wanted(id) for id in self.labels}
        found = self.look()
        need(found == self.labels, f"{found} in place of {self.labels}")


class Move(Kill):
    """Each snapshot is in one of the two series, or in both, and in the new one alone when it has ended."""

    def begin(self):
        super().begin()
        self.series = "alpha/-/tree"
        # A snapshot that was moved has another id; its time stays.
        there = self.world.listed(self.repo)
        self.files = {there[id]["time"]: files for id, files in self.repo.held.items()}

    def before(self):
        if self.rng.random() < 0.3:
            id = self.world.take(self.repo, series=self.series)
            self.files[self.world.listed(self.repo)[id]["time"]] = self.repo.held[id]
        self.next = f"alpha/-/tree-{self.rng.randrange(1 << 60)}"
        return ["move", *self.world.at(self.repo), self.series, self.next], None

    def held(self):
        """Holds what is there by its time; returns in which series."""
        there = self.world.listed(self.repo)
        times = {one["time"] for one in there.values()}
        need(times == set(self.files), f"lost: {set(self.files) - times}, not known: {times - set(self.files)}")
        self.repo.held = {id: self.files[one["time"]] for id, one in there.items()}
        return [one["series"] for one in there.values()]

    def after(self, ran):
        series = self.held()
        need(set(series) <= {self.series, self.next}, f"in {series}")
        super().after(ran)

    def again(self, args, env):
        ran = self.world.run(*args).expect(0, 2)
        need(ran.code == 0 or "was moved to" in ran.err, ran.err)
        series = self.held()
        need(series == [self.next] * len(self.files), f"in {series}")
        self.series = self.next
