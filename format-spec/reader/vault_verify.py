"""Verify: every object, every segment, every blob, every snapshot's trees."""
import mmap
from types import SimpleNamespace as Struct

import vault_format as f
from blake3_py import blake3, keyed
from vault_format import Damaged, Unsupported, check
from vault_repo import open_note


class Verify:
    def __init__(self, repo, report, note):
        self.repo, self.report, self.note = repo, report, note
        self.good, self.trees, self.files = set(), {}, set()

    def run(self, snapshots):
        repo = self.repo
        for name in repo.names("keys"):
            repo.attempt(f"keys/{name}", self.slot, name)
        self.marks(snapshots)
        present = set()
        for x, name in repo.pack_names():
            present.add(bytes.fromhex(name))
            repo.attempt(f"packs/{x}/{name}", self.pack, name)
        for pack in repo.packs.keys() - present:
            self.report(f"pack {pack.hex()}", "is in the index, but not in the store")
        for s in snapshots:
            for source in s.body.sources if s.body else ():
                self.node(source.root, f"snapshots/{s.folder}/{s.id}")

    def marks(self, snapshots):
        """Chapters 12 and 13: sessions, notes, tombstones, annotations, and gaps that no tombstone explains."""
        for name in self.repo.names("sessions"):
            self.repo.attempt(f"sessions/{name}", self.repo.session, name)
        for name in self.repo.names("gc"):
            self.repo.attempt(f"gc/{name}", self.repo.note, name)
        repo, gone, heads = self.repo, set(), [(s.folder, s.head) for s in snapshots]
        for series in repo.names("gone", digits=32):
            for name in repo.names("gone", series):
                tombstone = repo.attempt(f"gone/{series}/{name}", repo.tombstone, series, name)
                if tombstone:
                    gone.add((series, name))
                    heads.append((series, tombstone.head.head))
        for series in repo.names("notes", digits=32) if repo.keys.annotation else ():
            for name in repo.names("notes", series):
                repo.attempt(f"notes/{series}/{name}", repo.annotation, series, name)
        for series, head in heads:
            if head.previous and (series, head.previous.hex()) not in gone and head.previous.hex() not in repo.names("snapshots", series):
                self.report(f"snapshots/{series}/{head.previous.hex()}", "is missing, and no tombstone says that it was forgotten")

    def slot(self, name):
        data = self.repo.read(512, "keys", name)
        f.check_header(data, f.SLOT)
        check(len(data) == 512, "a key slot has 512 bytes")
        if data[16:32] == self.repo.repo:
            open_note(data, self.repo.keys)

    def pack(self, name):
        pack_id = bytes.fromhex(name)
        self.repo.attempt(f"pack {name}", self.whole_pack, pack_id)  # whatever that says, the segments tell what is lost
        listed = self.repo.packs.get(pack_id)
        if not listed:
            self.note(f"pack {name}", "is in no index object: not part of the contents")
        elif not (self.repo.keys.data_sk if listed.kind == f.DATA_PACK else self.repo.keys.meta_sk):
            self.note(f"pack {name}", "this role cannot open it: its segments are unchecked")
            self.good.update(blob.id for s in listed.directory.segments for blob in s.blobs)
        else:
            for number, s in enumerate(listed.directory.segments):
                self.repo.attempt("segment", self.segment, pack_id, number, s)

    def whole_pack(self, pack_id):
        """Name, footer, directory, padding, and what the index says."""
        with open(self.repo.pack_path(pack_id), "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        check(blake3(data) == pack_id, "the hash of the bytes is not the name")
        pack = self.repo.read_directory(pack_id)
        segments, listed = pack.directory.segments, self.repo.packs.get(pack_id, pack)
        bare = (segments[-1].offset + segments[-1].stored if segments else 32) + pack.size + 32
        step = max(4096, (1 << bare.bit_length() - 1) // 32)
        check(pack.length == -(-bare // step) * step, "the padding is not that of chapter 03")
        check((listed.kind, listed.length, listed.directory) == (pack.kind, pack.length, pack.directory),
              "the index tells otherwise than the pack's own directory")

    def segment(self, pack_id, number, s):
        plain, _ = self.repo.segment(pack_id, number)
        at = 0
        for blob in s.blobs:
            data = plain[at:at + blob.length]
            at += blob.length
            if keyed(self.repo.keys.blob[blob.kind], data)[:20] == blob.id:
                self.good.add(blob.id)
            else:
                self.report(f"pack {pack_id.hex()} segment {number}", f"the bytes of blob {blob.id.hex()} are not those of the id")

    def node(self, root, where):
        """Everything below a root, each distinct tree once, children before parents, without recursion."""
        frame = lambda name, node, children: Struct(name=name, node=node, children=children, entries=0, bytes=0, height=0, whole=True)
        shown = lambda *last: "/".join([s.name for s in stack] + [n.decode("utf-8", "surrogateescape") for n in last])
        stack = [frame(where, root, iter([root]))]
        while stack:
            top = stack[-1]
            try:
                child = next(top.children, None)
            except (Damaged, Unsupported, OSError) as e:
                self.report(shown(), str(e))
                child, top.whole = None, False
            if child is None:
                self.leave(stack, shown())
                continue
            if child.type == "dir" and child.tree not in self.trees:
                if len(stack) > f.MAX_DEPTH:
                    self.report(shown(child.name), "too many directories inside one another")
                    top.whole = False
                    continue
                stack.append(frame(child.name.decode("utf-8", "surrogateescape"), child, self.repo.nodes(child.tree)))
                continue
            if child.type == "file":
                self.repo.attempt(shown(child.name), self.file, child)
            self.count(top, child)

    def leave(self, stack, path):
        done = stack.pop()
        if stack:
            self.trees[done.node.tree] = done.entries, done.bytes, done.height
            stack[-1].whole &= done.whole
            if done.whole and (done.entries, done.bytes) != (done.node.entries, done.node.bytes):
                self.note(path, f"has {done.entries} entries, {done.bytes} bytes; its node says {done.node.entries}, {done.node.bytes}")
            self.count(stack[-1], done.node)
            if done.height >= f.MAX_DEPTH:
                self.report(path, "too many directories inside one another")

    def count(self, top, child):
        entries, size, height = self.trees[child.tree] if child.type == "dir" else (0, child.size if child.type == "file" else 0, -1)
        top.entries, top.bytes, top.height = top.entries + 1 + entries, top.bytes + size, max(top.height, height + 1)

    def file(self, node):
        if node.paged and (node.content, node.size) in self.files:
            return
        for blob_id, length in self.repo.extents(node):
            if blob_id is None:
                continue
            places = self.repo.places.get(blob_id, ())
            check(blob_id in self.good, f"blob {blob_id.hex()} is " + ("damaged" if places else "in no indexed pack"))
            check(any((p[4], p[3]) == (f.DATA, length) for p in places), f"blob {blob_id.hex()} has another kind or length")
        if node.paged:
            self.files.add((node.content, node.size))
