"""`kill -9` at random moments of each command. Afterwards `check --read-data` finds nothing, what was acknowledged restores
byte for byte, and the same command run again succeeds: nothing is to be unlocked, removed or repaired by hand."""

import signal

# Rounds on one repository: leftovers of so many kills come together.
TOGETHER = 20


class Kill:
    """One command. Cases say what it is, what must be there before, and what must hold after."""

    # How often it is killed in a row, run again and killed again, before anybody looks.
    strikes = (1, 1, 2, 3, 5)

    def __init__(self, world):
        self.world, self.rng, self.repo = world, world.rng, None
        # How long it takes when it is left alone, learned as it goes, from when it has ended by itself for the first time.
        self.usual, self.is_learned = 0.05, False

    def begin(self):
        """A repository with a few snapshots."""
        self.world.fresh()
        self.repo = self.world.init()
        for _ in range(4):
            self.world.take(self.repo)

    def round(self, number):
        if number % TOGETHER == 0:
            self.begin()
        args, env = self.before()
        for _ in range(self.rng.choice(self.strikes)):
            ran = self.strike(args, env)
            if ran.code != -signal.SIGKILL:
                break
        self.after(ran)
        self.again(args, env)
        if number % 5 == 4:
            self.world.whole(self.repo, all=number % TOGETHER == TOGETHER - 1)

    def strike(self, args, env=None):
        """Kills it somewhere between its beginning and a little after its usual end."""
        ran = self.world.killed(args, self.rng.uniform(0, 1.05 * self.usual), env)
        killed = ran.code == -signal.SIGKILL
        self.world.count("kills" if killed else "ended before")
        self.is_learned |= not killed
        # The time that nearly all take drifts up while kills come in time, and down to what was seen to be enough.
        more = 1.01 if self.is_learned else 1.1
        self.usual = self.usual * more if killed else 0.7 * self.usual + 0.3 * ran.seconds
        return ran

    def before(self):
        """Arguments and environment of the command, and what it needs."""
        raise NotImplementedError

    def after(self, ran):
        """What must hold when it was killed."""
        self.world.whole(self.repo)

    def again(self, args, env):
        """The same command, left alone."""
        self.world.run(*args, env=env).expect(0)

    def finish(self):
        """All that was acknowledged restores; a case that holds another repository looks at that one as it goes."""
        if self.repo is not None:
            self.world.whole(self.repo, all=True)
