"""Bytes to structures: encoding (chapter 09), headers (01), directories (03), index (04), trees (05), snapshots (06)."""
import struct
import unicodedata
from types import SimpleNamespace as Struct

KIB, MIB = 1 << 10, 1 << 20
MAX_BLOB, MAX_PLAIN, MAX_PACK, MAX_OBJECT = 4 * MIB, 16 * MIB, 1024 * MIB, 64 * MIB
MAX_STORED, MAX_OPENED = 17 * MIB, 64
MAX_BASES, MAX_CHAIN, MAX_LEVELS, MAX_DEPTH = 4096, 8, 16, 16384
CONFIG, SLOT, DATA_PACK, TREE_PACK, INDEX, SNAPSHOT = range(1, 7)  # kinds of objects
TOMBSTONE, ANNOTATION, MAX_MARK = 9, 10, MIB
SESSION, NOTE, MAX_NAMED = 7, 8, 1 << 20
DATA, TREE, LIST = 1, 2, 3  # kinds of blobs
BLOBS_OF_PACK = {DATA_PACK: (DATA,), TREE_PACK: (TREE, LIST)}
MAGIC, END_MAGIC = b"\x89VAULT\r\n", b"VAULTEND"


class Damaged(Exception):
    """Bytes that are not what they should be."""


class Unsupported(Exception):
    """Something newer than this reader: never to be taken for damage."""


def check(condition, message):
    if not condition:
        raise Damaged(message)


def check_header(data, kind, repo=None):
    """Chapter 01: the first 32 bytes of every object. Answers the repository's id."""
    check(len(data) >= 32, "shorter than a header")
    magic, version, found, suite, reserved, found_repo = struct.unpack("<8sHBB4s16s", data[:32])
    check(magic == MAGIC, "not a vault object (wrong magic)")
    if version != 1 or suite != 1:
        raise Unsupported(f"version {version}, suite {suite}")
    check(found == kind, f"kind {found}, expected {kind}")
    check(reserved == bytes(4), "reserved bytes of the header are set")
    check(repo is None or found_repo == repo, "belongs to another repository")
    return found_repo


def unpad(plain):
    """`u32 length ‖ payload ‖ zeros`"""
    check(len(plain) >= 4, "no room for a length")
    length, = struct.unpack("<I", plain[:4])
    check(length <= len(plain) - 4, "the payload's length does not fit")
    check(not any(plain[4 + length:]), "padding is not zero")
    return plain[4:4 + length]


class Decoder:
    """Chapter 09, plus the bounds of chapter 08. Every count is checked against what is left before anything is made."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        check(n <= len(self.data) - self.at, "a length reaches beyond the end")
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def _uint(self, bits):
        first = self.u8()
        if first < 251:
            return first
        size = {251: 2, 252: 4, 253: 8}.get(first)
        check(size and size * 8 <= bits, "an integer too wide for its field")
        value = int.from_bytes(self.take(size), "little")
        check(value >= {2: 251, 4: 1 << 16, 8: 1 << 32}[size], "an integer not in its shortest form")
        return value

    def u32(self):
        return self._uint(32)

    def u64(self):
        return self._uint(64)

    def i64(self):
        value = self._uint(64)
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def bool(self):
        value = self.u8()
        check(value <= 1, "neither false nor true")
        return value == 1

    def id(self):
        return self.take(32)

    def blob_id(self):
        return self.take(20)

    def bytes(self, limit=MAX_OBJECT):
        length = self.u64()
        check(length <= limit, "too long")
        return self.take(length)

    def string(self, limit=MAX_OBJECT):
        try:
            return self.bytes(limit).decode("utf-8")
        except UnicodeDecodeError:
            raise Damaged("a string is not UTF-8") from None

    def list(self, item, smallest=1, limit=MAX_OBJECT):
        """`smallest` is the least number of bytes that an item takes."""
        count = self.u64()
        check(count <= limit and count * smallest <= len(self.data) - self.at, "a list longer than its input")
        return [item() for _ in range(count)]

    def option(self, item):
        return item() if self.bool() else None

    def variant(self, count):
        value = self.u32()
        check(value < count, f"unknown variant {value}")
        return value

    def end(self):
        check(self.at == len(self.data), "bytes after the end of the payload")

    # Chapter 03

    def directory(self, kind, space):
        """The directory of a pack of `kind`; its segments lie before offset `space`."""
        keys = self.list(lambda: self.take(80), 80)
        segments = self.list(self.segment, 10)
        at = 32
        for s in segments:
            check(s.offset >= at and s.offset + s.stored <= space, "segments overlap or lie outside")
            check(s.key < len(keys), "a segment's key is not in the list")
            check(all(b.kind in BLOBS_OF_PACK[kind] for b in s.blobs), "a blob of a kind that this pack must not hold")
            at = s.offset + s.stored
        return Struct(keys=keys, segments=segments)

    def segment(self):
        s = Struct(offset=self.u64(), stored=self.u32(), raw=self.u32(), codec=self.u8(), key=self.u32(),
                   counter=self.u64(), generation=self.u8(), bases=self.list(self.blob_id, 20, MAX_BASES), blobs=self.placed_blobs())
        check(16 <= s.stored <= MAX_STORED and 0 < s.raw <= MAX_PLAIN, "a segment's length is out of bounds")
        check(s.codec != 0 or s.stored == s.raw + 16, "an uncompressed segment's lengths differ")
        check(s.codec > 2 or (s.codec == 2) == bool(s.bases), "base blobs and codec do not agree")
        check(s.codec > 2 or s.generation in (range(1, 36) if s.codec == 2 else (0,)), "generation and codec do not agree")
        check(sum(b.length for b in s.blobs) == s.raw, "blobs do not sum up to their segment")
        return s

    def placed_blobs(self):
        ids = self.list(self.blob_id, 20)
        kinds, last = [], None
        for kind, number in self.list(lambda: (self.u8(), self.u32()), 2):
            check(kind in (DATA, TREE, LIST), f"unknown kind of blob {kind}")
            check(kind != last and 0 < number <= len(ids) - len(kinds), "kinds are not of as many blobs, or not in their shortest form")
            kinds += [kind] * number
            last = kind
        lengths = self.list(self.u32)
        check(len(kinds) == len(lengths) == len(ids), "not as many kinds and lengths as blobs")
        check(all(0 < length <= MAX_BLOB for length in lengths), "a blob's length is out of bounds")
        return [Struct(id=i, kind=k, length=n) for i, k, n in zip(ids, kinds, lengths)]

    # Chapter 04

    def index_pack(self):
        p = Struct(id=self.id(), length=self.u64(), kind=self.u8())
        check(p.kind in BLOBS_OF_PACK, f"kind {p.kind} is no pack")
        check(104 <= p.length <= MAX_PACK, "a pack's length is out of bounds")
        p.directory = self.directory(p.kind, p.length - 32)
        return p

    # Chapter 05

    def time(self):
        t = Struct(sec=self.i64(), nsec=self.u32())
        check(t.nsec < 10 ** 9, "nanoseconds out of range")
        return t

    def name(self):
        name = self.bytes(255)
        check(name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name, "a hostile name")
        return name

    def node(self):
        n = Struct(name=self.name(), mode=self.u32(), uid=self.u32(), gid=self.u32(), mtime=self.time(), ctime=self.time(),
                   atime=self.option(self.time), inode=self.u64(), device=self.u32(), links=self.u32(),
                   xattrs=self.list(lambda: (self.bytes(MIB), self.bytes(MIB)), 2))
        check(n.mode < 0o10000, "mode out of range")
        check(sum(len(k) + len(v) for k, v in n.xattrs) <= MIB, "extended attributes beyond 1 MiB")
        check(ascending([k for k, _ in n.xattrs]), "extended attributes out of order")
        start = self.at
        n.type = ("file", "dir", "link", "fifo", "socket", "char", "block")[self.variant(7)]
        if n.type == "file":
            n.size = self.u64()
            n.paged = self.variant(2) == 1
            n.content = self.blob_id() if n.paged else self.list(self.extent, 2)
        elif n.type == "dir":
            n.tree, n.entries, n.bytes = self.blob_id(), self.u64(), self.u64()
        elif n.type == "link":
            n.target = self.bytes(64 * KIB)
        elif n.type in ("char", "block"):
            n.major, n.minor = self.u32(), self.u32()
        n.body = self.data[start:self.at]
        return n

    def extent(self):
        """(id, length); the id of a hole is None."""
        if self.variant(2) == 0:
            e = (self.blob_id(), self.u32())
            self.u32()  # the edge: of use to writers
        else:
            e = (None, self.u64())
        check(e[1] > 0, "an empty extent")
        return e

    def tree_page(self):
        if self.variant(2) == 1:
            children = self.list(lambda: (self.name(), self.blob_id()), 22)
            check(children, "an inner page without children")
            check(ascending([first for first, _ in children]), "children out of order")
            return Struct(inner=True, children=children)
        owners = lambda: self.list(lambda: (self.u32(), self.string()), 2)
        p = Struct(inner=False, users=owners(), groups=owners(), nodes=self.list(self.node, 16))
        check(ascending([n.name for n in p.nodes]), "names out of order")
        check(all(ascending([i for i, _ in o]) for o in (p.users, p.groups)), "owners out of order")
        return p

    def list_page(self):
        if self.variant(2) == 1:
            children = self.list(lambda: (self.u64(), self.blob_id()), 21)
            check(children, "an inner page without children")
            check(all(length for length, _ in children), "an empty child")
            return Struct(inner=True, children=children)
        return Struct(inner=False, extents=self.list(self.extent, 2))

    # Chapter 06

    def head(self):
        return Struct(sequence=self.u64(), previous=self.option(self.id), time=self.time(), complete=self.bool())

    # Chapter 12

    def session(self):
        s = Struct(nonce=self.take(16), begun=self.time(), host=self.string(1024), program=self.string(1024),
                   seen=self.list(self.id, 32, MAX_NAMED))
        check(ascending(s.seen), "notes out of order")
        return s

    def note(self):
        n = Struct(nonce=self.take(16), made=self.time(), phase=self.variant(2), packs=self.list(self.id, 32, MAX_NAMED))
        check(ascending(n.packs), "packs out of order")
        return n

    # Chapter 13

    def gone_head(self):
        return Struct(series=self.take(16), snapshot=self.id(), head=self.head())

    def tombstone(self):
        return Struct(head=self.gone_head(), time=self.time(), host=self.string(1024), user=self.string(1024), reason=self.string(1024))

    def annotation(self):
        a = Struct(series=self.take(16), snapshot=self.id(), counter=self.u64(), time=self.time(), host=self.string(1024),
                   user=self.string(1024), changes=self.list(self.change, 2, 1000))
        check(a.counter > 0, "an annotation without a number")
        check(a.changes, "an annotation that says nothing")
        return a

    def change(self):
        kind = self.variant(3)
        if kind == 2:
            return Struct(rewritten=self.id(), what=self.string(1024))
        if kind == 1:
            return Struct(pin=self.bool(), reason=self.option(lambda: self.string(1024)))
        c = Struct(tag=self.string(1024), on=self.bool())
        plain = 0 < len(c.tag.encode()) <= 255 and not any(x.isspace() or unicodedata.category(x) == "Cc" for x in c.tag)
        check(plain or not c.on, "no tag")
        return c

    # Chapter 06

    def body(self):
        b = Struct(series=self.string(1024), head=self.head(), finished=self.time(), host=self.string(), user=self.string(),
                   program=self.string(), sources=self.list(self.source, 20),
                   problems=self.list(lambda: (self.bytes(), self.string()), 2, 1000), problem_count=self.u64(),
                   totals=self.totals(), work=self.totals(), tags=self.list(self.string),
                   description=self.option(self.string), configuration=self.option(self.bytes))
        check(ascending([s.root.name for s in b.sources]), "sources out of order, or one twice")
        return b

    def totals(self):  # `work` has four counts too
        return [self.u64() for _ in range(4)]

    def source(self):
        s = Struct(stream=self.variant(2) == 1)
        if s.stream:
            s.command = self.list(self.bytes)
        else:
            s.path, s.device = self.bytes(), self.variant(3)
        s.root = self.node()
        check(s.root.type in ("file", "dir", "link") and not (s.stream and s.root.type != "file"), "a source of a wrong type")
        s.owner = (self.option(self.string), self.option(self.string))
        s.totals, s.bytes_new, s.excludes = self.totals(), self.u64(), self.list(self.string)
        return s


def ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))


def decode(payload, read):
    """One structure that fills the payload, e.g. `decode(bytes, Decoder.body)`."""
    decoder = Decoder(payload)
    value = read(decoder)
    decoder.end()
    return value


# Zstandard (RFC 8878), only as much as is needed to find the end of a frame before decompressing it

def frame_end(data, header_size, has_checksum):
    """Where the frame ends that `data` begins with."""
    at, last = header_size, False
    while not last:
        check(at + 3 <= len(data), "a Zstandard frame is cut short")
        block = int.from_bytes(data[at:at + 3], "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        at += 3 + (1 if kind == 1 else size)  # a run-length block stores one byte
    return at + 4 * has_checksum
