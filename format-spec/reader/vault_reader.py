#!/usr/bin/python3
"""An independent reader of the vault repository format, written from the specification in the folder above.

    vault_reader.py REPO (--passphrase-file F | --key-file F | --recovery-sheet F) [--no-index] COMMAND

    list                  every snapshot
    ls SNAPSHOT           every path of one; SNAPSHOT is the beginning of an id, or `latest`
    restore SNAPSHOT DIR  writes every source to DIR/<name of the source>
    verify                checks everything there is

Needs Debian's python3-cryptography, python3-argon2 and python3-zstandard. Ends with 0 when all is well, 1 when something is
damaged or missing (named on standard error; the rest was done), 2 when nothing could be done.
"""
import argparse
import os
import re
import stat
import sys
from datetime import datetime, timedelta, timezone

from vault_format import Damaged, Unsupported, check
from vault_repo import Repository, read_recovery_sheet
from vault_restore import Restore
from vault_verify import Verify


def show(text):
    """Names come from hostile trees: nothing unprintable reaches the terminal."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    escape = lambda c: "\\x%02x" % (ord(c) & 0xFF) if 0xDC80 <= ord(c) <= 0xDCFF else c.encode("unicode_escape").decode()
    return "".join(c if c.isprintable() and c != "\\" else escape(c) for c in text)


def show_time(time):
    try:
        return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=time.sec)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return str(time.sec)


class Program:
    def __init__(self):
        self.problems = 0

    def report(self, what, message):
        self.problems += 1
        print(f"problem: {show(what)}: {show(message)}", file=sys.stderr)

    def note(self, what, message):
        print(f"note: {show(what)}: {show(message)}", file=sys.stderr)

    def unlock(self, args):
        if args.passphrase_file:
            with open(args.passphrase_file, "rb") as file:
                self.repo.unlock(1, file.read().removesuffix(b"\n"))
        elif args.key_file:
            with open(args.key_file, "rb") as file:
                check(not os.fstat(file.fileno()).st_mode & (stat.S_IRGRP | stat.S_IROTH), "group or others can read the key file")
                text = file.read(66)
            check(re.fullmatch(rb"[0-9a-f]{64}\n", text), "a key file is 64 hexadecimal digits and a line feed")
            self.repo.unlock(2, bytes.fromhex(text.decode()))
        else:
            with open(args.recovery_sheet, encoding="utf-8", errors="replace") as file:
                self.repo.unlock(None, read_recovery_sheet(file.read()))

    def select(self, snapshots, wanted):
        found = snapshots[-1:] if wanted == "latest" else [s for s in snapshots if s.id.startswith(wanted)]
        check(len(found) == 1, f"{len(found)} snapshots match {wanted}")
        check(found[0].body, "this role cannot open snapshots")
        return found[0]

    def list(self, snapshots):
        for s in snapshots:
            b = s.body
            print(s.id, show(b.series) if b else s.folder, s.head.sequence, show_time(s.head.time),
                  "complete" if s.head.complete else "incomplete",
                  ",".join(show(x.root.name) for x in b.sources) if b else "?")

    def ls(self, snapshot):
        for source in snapshot.body.sources:
            stack, names = [iter([source.root])], []
            while stack:
                try:
                    node = next(stack[-1], None)
                except (Damaged, Unsupported, OSError) as e:
                    self.report(b"/".join(names), f"directory is incomplete: {e}")
                    node = None
                if node is None:
                    stack.pop()
                    del names[-1:]
                    continue
                path = b"/".join(names + [node.name])
                print(f"{node.type:6} {getattr(node, 'size', 0):12} {show(path)}" +
                      (f" -> {show(node.target)}" if node.type == "link" else ""))
                if node.type == "dir":
                    check(len(stack) <= 16384, "too many directories inside one another")
                    stack.append(self.repo.nodes(node.tree))
                    names.append(node.name)

    def main(self):
        parser = argparse.ArgumentParser(description="Reads a vault repository.")
        parser.add_argument("repo")
        secret = parser.add_mutually_exclusive_group(required=True)
        for option in ("--passphrase-file", "--key-file", "--recovery-sheet"):
            secret.add_argument(option)
        parser.add_argument("--no-index", action="store_true", help="read the packs' directories instead of the index")
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("list")
        commands.add_parser("verify")
        for name in ("ls", "restore"):
            commands.add_parser(name).add_argument("snapshot")
        commands.choices["restore"].add_argument("dir")
        args = parser.parse_args()

        self.repo = Repository(args.repo, self.report)
        self.unlock(args)
        snapshots = self.repo.snapshots()  # before the index: chapter 07
        if args.command == "list":
            return self.list(snapshots)
        chosen = self.select(snapshots, args.snapshot) if args.command != "verify" else None
        self.repo.load_index(not args.no_index)
        if args.command == "ls":
            self.ls(chosen)
        elif args.command == "restore":
            restore = Restore(self.repo, self.report)
            restore.run(chosen.body.sources, args.dir)
            for what, count in sorted(restore.notes.items()):
                self.note(what, str(count))
        else:
            Verify(self.repo, self.report, self.note).run(snapshots)
            print(f"{len(snapshots)} snapshots, {len(self.repo.packs)} packs, {len(self.repo.places)} blobs, {self.problems} problems")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    program = Program()
    try:
        program.main()
    except (Damaged, Unsupported, OSError) as error:
        print(f"vault_reader: {'unsupported: ' if isinstance(error, Unsupported) else ''}{show(str(error))}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if program.problems else 0)
