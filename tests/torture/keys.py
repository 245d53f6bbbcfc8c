"""`kill -9` of what changes who opens a repository."""

from kill import Kill
from world import need


class KeyAdd(Kill):
    """A key file that bears its name opens the repository; what was killed before leaves none, and is run again."""

    def before(self):
        keys = self.world.run("key", "list", "--json", *self.world.at(self.repo)).expect(0).result["keys"]
        for key in [key for key in keys if key["label"] == "more"][5:]:
            self.world.run("key", "remove", *self.world.at(self.repo), key["id"]).expect(0)
        self.file = self.world.path(f"key-{self.rng.randrange(1 << 60)}")
        return ["key", "add", "--key-file-out", self.file, "--label", "more", *self.world.at(self.repo)], None

    def after(self, ran):
        super().after(ran)
        need(self.file.exists() or ran.code != 0, "it has made no key file")
        if self.file.exists():
            self.opens()

    def opens(self):
        self.world.run("snapshots", "--repo", self.repo.path, "--key-file", self.file).expect(0)

    def again(self, args, env):
        if self.file.exists():
            self.world.count("done all the same")
            need("is there already" in self.world.run(*args).expect(1).err, "it was made twice")
        else:
            super().again(args, env)
        self.opens()
        left = [path.name for path in self.world.folder.iterdir() if path.name.endswith(".unfinished")]
        need(not left, f"left over: {left}")


class KeyRemove(Kill):
    def before(self):
        file = self.world.path(f"key-{self.rng.randrange(1 << 60)}")
        add = ["key", "add", "--json", "--key-file-out", file, *self.world.at(self.repo)]
        self.id = self.world.run(*add).expect(0).result["key"]
        return ["key", "remove", *self.world.at(self.repo), self.id], None

    def again(self, args, env):
        self.world.run(*args).expect(0, 2)
        ran = self.world.run("key", "list", "--json", *self.world.at(self.repo)).expect(0)
        need(self.id not in str(ran.result), "the key is still there")


class Passwd(Kill):
    """One of the two opens it at every moment."""

    def begin(self):
        super().begin()
        self.passphrase, self.number = "right", 0

    def before(self):
        self.number += 1
        self.next = f"right {self.number}"
        self.world.path("next").write_text(self.next)
        args = ["key", "passwd", "--new-password-file", self.world.path("next"), "--kdf", "low", "--repo", self.repo.path]
        return args, {"VAULT_PASSWORD": self.passphrase}

    def opens(self, passphrase):
        ran = self.world.run("key", "list", "--json", "--repo", self.repo.path, env={"VAULT_PASSWORD": passphrase})
        return ran.expect(0, 12).result.get("keys") if ran.code == 0 else None

    def after(self, ran):
        super().after(ran)
        if ran.code == 0 or self.opens(self.passphrase) is None:
            need(self.opens(self.next) is not None, "neither passphrase opens it")
            need(self.opens(self.passphrase) is None, "the one before still opens it")
            self.passphrase = self.next
            self.world.count("changed all the same", ran.code != 0)

    def again(self, args, env):
        # Whoever has changed it gives the new one.
        self.world.run(*args, env={"VAULT_PASSWORD": self.passphrase}).expect(0)
        self.passphrase = self.next
        keys = self.opens(self.passphrase)
        need(keys is not None, "it does not open any more")
        # What was killed between the two has left both; the one before still opens it, and is told.
        self.world.count("keys left over", max(0, len(keys) - 3))
