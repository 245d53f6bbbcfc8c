"""A repository in a folder: keys (chapter 02), packs and blobs (03), the index (04), walking trees (05), snapshots (06)."""
import hmac
import os
import re
import struct
from collections import OrderedDict

import zstandard
from argon2.low_level import Type, hash_secret_raw

import vault_format as f
from blake3_py import blake3, derive_key, keyed
from vault_crypto import aead_open, hpke_open
from vault_format import Damaged, Decoder, Struct, Unsupported, check, check_header, decode, unpad

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CACHE = 128 * f.MIB


class Keys:
    """Chapter 02, hierarchy. A writer has neither secret, a maintainer has no data_sk."""

    def __init__(self, repo, root=None, writer=None, meta_sk=None):
        self.repo, self.meta_sk, self.data_sk = repo, meta_sk, None
        if root is not None:
            writer = derive_key("vault v1 writer root", root + repo)
            self.meta_sk = derive_key("vault v1 meta secret", root + repo)
            self.data_sk = derive_key("vault v1 data secret", root + repo)
        sub = lambda context: derive_key("vault v1 " + context, writer + repo)
        self.blob = {f.DATA: sub("blob id: data"), f.TREE: sub("blob id: tree"), f.LIST: sub("blob id: list")}
        self.series, self.config, self.directory, self.index = sub("series"), sub("config"), sub("directory"), sub("index")
        self.head, self.note, self.psk = sub("snapshot head"), sub("slot note"), sub("psk")
        self.gone_head, self.session, self.gc = sub("tombstone head"), sub("session"), sub("gc")
        of_meta = lambda context: derive_key("vault v1 " + context, self.meta_sk + repo) if self.meta_sk else None
        self.gone, self.annotation = of_meta("tombstone"), of_meta("annotation")

    def unwrap(self, wrap, kind):
        secret = self.data_sk if kind == f.DATA_PACK else self.meta_sk
        if secret is None:
            raise Damaged("this role cannot open it")
        key = hpke_open(secret, wrap, b"vault v1 wrapped key" + self.repo + bytes([kind]), self.psk, self.repo)
        check(key is not None, "the wrapped key does not open")
        return key


def read_recovery_sheet(text):
    """R from the eight lines; other lines are ignored."""
    lines = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([1-8])\s*:(.*)", line)
        if not match:
            continue
        number, digits = int(match[1]), re.sub(r"[\s-]", "", match[2]).upper()
        digits = digits.translate(str.maketrans("OIL", "011"))
        check(re.fullmatch(f"[{CROCKFORD}]{{8}}", digits), f"recovery sheet: line {number} is not eight digits")
        value = 0
        for digit in digits:
            value = value << 5 | CROCKFORD.index(digit)
        data = value.to_bytes(5, "big")
        check(blake3(b"vault recovery line" + bytes([number]) + data[:4])[0] == data[4],
              f"recovery sheet: line {number} fails its check")
        check(lines.setdefault(number, data[:4]) == data[:4], f"recovery sheet: line {number} is there twice")
    missing = [str(i) for i in range(1, 9) if i not in lines]
    check(not missing, "recovery sheet: missing lines " + ", ".join(missing))
    return b"".join(lines[i] for i in range(1, 9))


def open_slot(data, repo, method, secret):
    """Chapter 02, key slots. Keys, or None when the slot is for another secret."""
    check(len(data) == 512, "a key slot has 512 bytes")
    check_header(data, f.SLOT, repo)
    if data[32] not in (1, 2):
        raise Unsupported(f"method {data[32]}")
    check(data[33:36] == bytes(3), "reserved bytes are set")
    m, t, p = struct.unpack("<3I", data[36:48])
    salt = data[48:80]
    if data[32] == 1:
        check(8 * p <= m and 19456 <= m <= 1 << 20 and 1 <= t <= 10 and 1 <= p <= 8, f"Argon2id out of bounds: {m}, {t}, {p}")
    else:
        check(m == t == p == 0, "Argon2id parameters in a slot for a key file")
    if data[32] != method:
        return None
    if method == 1:
        k = hash_secret_raw(secret, salt, time_cost=t, memory_cost=m, parallelism=p, hash_len=32, type=Type.ID, version=0x13)
    else:
        k = derive_key("vault v1 key file", secret + salt)
    if not hmac.compare_digest(keyed(derive_key("vault v1 slot commitment", k), data[:80]), data[80:112]):
        return None
    keys = aead_open(derive_key("vault v1 slot keys", k), data[112:136], data[:112], data[136:280])
    check(keys is not None, "the keys do not open")
    role, a, b, c = keys[0], keys[8:40], keys[40:72], keys[72:104]
    if role not in (1, 2, 3):
        raise Unsupported(f"role {role}")
    check(not any(keys[1:8] + keys[104:]) and (role != 3 or not any(b + c)), "reserved bytes of the keys are set")
    return Keys(repo, root=a) if role == 3 else Keys(repo, writer=a, meta_sk=b if role == 2 else None)


def open_note(data, keys):
    note = aead_open(keys.note, data[280:304], data[:280], data[304:])
    check(note is not None, "the note does not open")
    size = note[1]
    check(note[0] in (1, 2, 3) and size <= 176 and not any(note[2:8] + note[16 + size:]), "the note is malformed")
    return note[16:16 + size].decode("utf-8", "replace")


def open_envelope(data, key):
    """Chapter 01."""
    check(len(data) % 4096 == 0, "the length is not a multiple of 4096")
    plain = aead_open(key, data[32:56], data[:32], data[56:])
    check(plain is not None, "does not open: damaged, or not this repository's keys")
    return unpad(plain)


def decompress(packed, codec, raw, prefix):
    """Chapter 03: exactly `raw` bytes, from one frame that fills `packed`."""
    if codec == 0:
        return packed
    try:
        check(packed[:4] == b"\x28\xb5\x2f\xfd", "not a Zstandard frame")
        frame = zstandard.get_frame_parameters(packed)
        check(frame.dict_id == 0 and frame.window_size <= 128 * f.MIB, "a Zstandard frame with a dictionary id or a wide window")
        check(frame.content_size in (raw, zstandard.CONTENTSIZE_UNKNOWN), "a Zstandard frame of another length")
        end = f.frame_end(packed, zstandard.frame_header_size(packed), frame.has_checksum)
        check(end == len(packed), "not exactly one Zstandard frame")
        base = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        plain = zstandard.ZstdDecompressor(dict_data=base, max_window_size=128 * f.MIB).stream_reader(packed).read(raw + 1)
    except zstandard.ZstdError as e:
        raise Damaged(f"Zstandard: {e}") from None
    check(len(plain) == raw, "decompresses to another length")
    return plain


class Repository:
    def __init__(self, path, report):
        """`report(what, message)` takes what is wrong with single objects; what stops everything is raised."""
        self.path, self.report = path, report
        try:
            with open(os.path.join(path, "config"), "rb") as file:
                self.config = file.read(f.MAX_OBJECT + 1)
        except FileNotFoundError:
            raise Damaged("no config: not a repository") from None
        check(len(self.config) <= f.MAX_OBJECT, "config: too long")
        self.repo = check_header(self.config, f.CONFIG)
        self.packs, self.places, self.cache, self.unwrapped = {}, {}, OrderedDict(), {}

    # Objects

    def names(self, *folder, digits=64):
        try:
            found = os.listdir(os.path.join(self.path, *folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(n for n in found if re.fullmatch("[0-9a-f]{%d}" % digits, n))  # anything else is ignored

    def read(self, limit, *name):
        """A whole object, checked against its name."""
        with open(os.path.join(self.path, *name), "rb") as file:
            data = file.read(limit + 1)
        check(len(data) <= limit, "too long")
        check(blake3(data).hex() == name[-1], "the hash of the bytes is not the name")
        return data

    def attempt(self, what, action, *args):
        """Runs `action`; what is wrong with this one object is reported and costs only this object."""
        try:
            return action(*args)
        except (Damaged, Unsupported, OSError) as e:
            self.report(what, f"unsupported: {e}" if isinstance(e, Unsupported) else str(e))
            return None

    # Keys

    def unlock(self, method, secret):
        """`method`: 1 passphrase, 2 key file, None for R itself."""
        self.keys = None
        if method is None:
            self.keys = Keys(self.repo, root=secret)
        for name in self.names("keys") if method else ():
            data = self.attempt(f"keys/{name}", self.read, 512, "keys", name)
            if data and data[16:32] == self.repo:  # slots of other repositories are skipped
                self.keys = self.attempt(f"keys/{name}", open_slot, data, self.repo, method, secret)
            if self.keys:
                break
        check(self.keys, "no key slot opens with this secret")
        try:
            d = Decoder(open_envelope(self.config, self.keys.config))
        except Damaged as e:
            raise Damaged(f"config: {e}") from None
        if d.u8() != 1:
            raise Unsupported("config: chunker")
        self.sizes = [d.u32() for _ in range(5)]
        if d.u64():
            raise Unsupported("config: feature bits")
        self.created = d.i64()
        d.end()

    # Packs and the index

    def header(self, kind):
        return struct.pack("<8sHBB4x16s", f.MAGIC, 1, kind, 1, self.repo)

    def pack_path(self, pack):
        return os.path.join(self.path, "packs", pack.hex()[:2], pack.hex())

    def pack_names(self):
        return [(x, name) for x in self.names("packs", digits=2) for name in self.names("packs", x) if name[:2] == x]

    def read_directory(self, pack):
        """A pack as its own end describes it (chapter 03)."""
        with open(self.pack_path(pack), "rb") as file:
            length = file.seek(0, 2)
            check(104 <= length <= f.MAX_PACK, "a pack's length is out of bounds")
            file.seek(0)
            header = file.read(32)
            kind = header[10] if header[10] in f.BLOBS_OF_PACK else f.DATA_PACK
            check_header(header, kind, self.repo)
            file.seek(length - 32)
            footer = file.read(32)
            start, size, magic, reserved = struct.unpack("<QQ8s8s", footer)
            check(magic == f.END_MAGIC and reserved == bytes(8), "the footer is malformed")
            check(start >= 32 and 44 <= size <= f.MAX_OBJECT and start + size + 32 == length, "the footer does not fit the length")
            file.seek(start)
            sealed = file.read(size)
        plain = aead_open(self.keys.directory, sealed[:24], header + footer[:16], sealed[24:])
        check(plain is not None, "the directory does not open")
        check(len(plain) % 1024 == 0, "the directory's length is not a multiple of 1024")
        directory = decode(unpad(plain), lambda d: d.directory(kind, start))
        return Struct(id=pack, length=length, kind=kind, directory=directory, start=start, size=size)

    def load_index(self, use_index=True):
        """Fills `packs` and `places` from the index, or from the packs' own directories."""
        for name in self.names("index") if use_index else ():
            for pack in self.attempt(f"index/{name}", self.read_index, name) or ():
                self.add_pack(pack, f"index/{name}")
        for x, name in () if use_index else self.pack_names():
            pack = self.attempt(f"packs/{x}/{name}", self.read_directory, bytes.fromhex(name))
            if pack:
                self.add_pack(pack, f"packs/{x}/{name}")

    def read_index(self, name):
        data = self.read(f.MAX_OBJECT, "index", name)
        check_header(data, f.INDEX, self.repo)
        packs = decode(open_envelope(data, self.keys.index), lambda d: d.list(d.index_pack, 36))
        check(len({p.id for p in packs}) == len(packs), "a pack is listed twice")
        return packs

    def add_pack(self, pack, source):
        known = self.packs.setdefault(pack.id, pack)
        if known is not pack:
            if (known.kind, known.length, known.directory) != (pack.kind, pack.length, pack.directory):
                self.report(source, f"tells of pack {pack.id.hex()} otherwise than another index object")
            return
        for number, segment in enumerate(pack.directory.segments):
            at = 0
            for blob in segment.blobs:
                self.places.setdefault(blob.id, []).append((pack.id, number, at, blob.length, blob.kind))
                at += blob.length

    # Segments and blobs

    def blob(self, blob_id, kinds, chain=()):
        """A blob's bytes and the number of segments that reading it takes one after another."""
        error = Damaged("is in no indexed pack")
        for pack, number, at, length, kind in self.places.get(blob_id, ()):
            try:
                check(kind in kinds, f"is of kind {kind}")
                plain, depth = self.segment(pack, number, chain)
                data = plain[at:at + length]
                check(keyed(self.keys.blob[kind], data)[:20] == blob_id, f"the bytes in pack {pack.hex()} are not those of the id")
                return data, depth
            except (Damaged, Unsupported, OSError) as e:
                error = e
        raise Damaged(f"blob {blob_id.hex()}: {error}")

    def segment(self, pack_id, number, chain=()):
        """The plaintext of a segment and the length of the chain of base segments that ends in it, itself included."""
        here = (pack_id, number)
        check(here not in chain, "a segment leans on itself")
        check(len(chain) < f.MAX_CHAIN, "a chain of more than 8 segments")
        if here in self.cache:
            self.cache.move_to_end(here)
            plain, depth = self.cache[here]
            check(len(chain) + depth <= f.MAX_CHAIN, "a chain of more than 8 segments")
            return plain, depth
        self.opened = self.opened + 1 if chain else 1
        check(self.opened <= f.MAX_OPENED, "more than 64 segments have to be opened for one")
        pack = self.packs[pack_id]
        s = pack.directory.segments[number]
        where = f"pack {pack_id.hex()} segment {number}"
        if s.codec > 2:
            raise Unsupported(f"{where}: codec {s.codec}")
        try:
            packed = self.open_segment(pack, s)
            prefix, depth = [], 1
            sizes = [self.places[b][0][3] for b in s.bases if b in self.places]
            check(sum(sizes) <= f.MAX_PLAIN, "base blobs beyond 16 MiB")
            for base in s.bases:
                data, below = self.blob(base, f.BLOBS_OF_PACK[pack.kind], chain + (here,))
                prefix.append(data)
                depth = max(depth, 1 + below)
            plain = decompress(packed, s.codec, s.raw, b"".join(prefix))
        except Damaged as e:
            raise Damaged(f"{where}: {e}") from None
        self.cache[here] = plain, depth
        while sum(len(p) for p, _ in self.cache.values()) > CACHE:
            self.cache.popitem(last=False)
        return plain, depth

    def open_segment(self, pack, s):
        with open(self.pack_path(pack.id), "rb") as file:
            header = file.read(32)
            check_header(header, pack.kind, self.repo)
            file.seek(s.offset)
            stored = file.read(s.stored)
        check(len(stored) == s.stored, "the pack is cut short")
        slot = (pack.id, s.key)
        if slot not in self.unwrapped:
            self.unwrapped[slot] = self.keys.unwrap(pack.directory.keys[s.key], pack.kind)
        packed = aead_open(self.unwrapped[slot], struct.pack("<4xQ", s.counter), header + struct.pack("<BI", s.codec, s.raw), stored)
        check(packed is not None, "the tag does not verify")
        return packed

    # Trees: generators, so that a caller holds one page a level

    def nodes(self, page_id, level=1, first=None, last=(b"",)):
        """The nodes of a directory in order. `last` holds the latest name, across pages."""
        check(level <= f.MAX_LEVELS, "more than 16 levels of pages")
        last = list(last) if level == 1 else last
        page = self.page(page_id, f.TREE, Decoder.tree_page)
        items = page.children if page.inner else [(n.name, n) for n in page.nodes]
        check(first is None or items and items[0][0] == first, f"page {page_id.hex()}: its first name is not what its parent says")
        for name, item in items:
            if page.inner:
                yield from self.nodes(item, level + 1, name, last)
            else:
                check(name > last[0], f"page {page_id.hex()}: names out of order across pages")
                last[0] = name
                yield item

    def page(self, page_id, kind, read):
        data, _ = self.blob(page_id, (kind,))
        try:
            return decode(data, read)
        except Damaged as e:
            raise Damaged(f"page {page_id.hex()}: {e}") from None

    def extents(self, node):
        """(id or None for a hole, length) from a file's first byte to its last."""
        total = 0
        for extent in self.list_pages(node.content, 1, None) if node.paged else node.content:
            total += extent[1]
            check(total <= node.size, "extents beyond the file's size")
            yield extent
        check(total == node.size, "extents do not sum up to the file's size")

    def list_pages(self, page_id, level, length):
        check(level <= f.MAX_LEVELS, "more than 16 levels of pages")
        page, total = self.page(page_id, f.LIST, Decoder.list_page), 0
        for item in page.children if page.inner else page.extents:
            if page.inner:
                yield from self.list_pages(item[1], level + 1, item[0])
            else:
                yield item
            total += item[0] if page.inner else item[1]
        check(length is None or total == length, f"page {page_id.hex()}: its length is not what its parent says")

    # Snapshots

    def snapshots(self):
        """All snapshots that open, oldest first. A role that cannot open bodies gets heads only."""
        found = []
        for series in self.names("snapshots", digits=32):
            for name in self.names("snapshots", series):
                if name in self.names("gone", series) and self.attempt(f"gone/{series}/{name}", self.tombstone, series, name):
                    continue  # forgotten, though still there
                snapshot = self.attempt(f"snapshots/{series}/{name}", self.snapshot, series, name)
                if snapshot:
                    found.append(snapshot)
        return sorted(found, key=lambda s: (s.head.time.sec, s.head.time.nsec, s.head.sequence, s.id))

    def snapshot(self, series, name):
        return self.open_snapshot(self.read(f.MAX_OBJECT, "snapshots", series, name), name, series)

    def open_snapshot(self, data, name, series):
        check_header(data, f.SNAPSHOT, self.repo)
        check(len(data) % 4096 == 0, "the length is not a multiple of 4096")
        head = aead_open(self.keys.head, data[112:136], data[:112], data[136:280])
        check(head is not None, "the head does not open")
        s = Struct(id=name, folder=series, head=decode(unpad(head), Decoder.head), body=None)
        check(s.head.sequence > 0, "sequence 0")
        if self.keys.meta_sk:
            body = aead_open(self.keys.unwrap(data[32:112], f.SNAPSHOT), data[280:304], data[:280], data[304:])
            check(body is not None, "the body does not open")
            s.body = decode(unpad(body), Decoder.body)
            check(s.body.head == s.head, "the head in the body differs from the sealed head")
            check(series in (None, keyed(self.keys.series, s.body.series.encode())[:16].hex()), "lies in another series' folder")
        return s

    # Chapter 12

    def session(self, name):
        """A session, or an intent: a snapshot that is about to be stored."""
        data = self.read(f.MAX_OBJECT, "sessions", name)
        if data[10:11] == bytes([f.SNAPSHOT]):
            return self.open_snapshot(data, name, None)
        check_header(data, f.SESSION, self.repo)
        return decode(open_envelope(data, self.keys.session), Decoder.session)

    def note(self, name):
        data = self.read(f.MAX_OBJECT, "gc", name)
        check_header(data, f.NOTE, self.repo)
        return decode(open_envelope(data, self.keys.gc), Decoder.note)

    # Chapter 13

    def tombstone(self, series, name):
        """What a tombstone says, proved unless this role is a writer's."""
        with open(os.path.join(self.path, "gone", series, name), "rb") as file:
            data = file.read(f.MAX_MARK + 1)
        check(32 < len(data) <= f.MAX_MARK and blake3(data[:-32]) == data[-32:], "the bytes are not those of the sum at the end")
        check_header(data, f.TOMBSTONE, self.repo)
        check(len(data) % 4096 == 0, "the length is not a multiple of 4096")
        plain = aead_open(self.keys.gone_head, data[32:56], data[:32], data[56:200])
        check(plain is not None, "the head does not open")
        head = decode(unpad(plain), Decoder.gone_head)
        check((head.series.hex(), head.snapshot.hex()) == (series, name), "speaks of another snapshot")
        if not self.keys.gone:
            return Struct(head=head)
        plain = aead_open(self.keys.gone, data[200:224], data[:200], data[224:-32])
        check(plain is not None, "no maintainer or owner made it")
        tombstone = decode(unpad(plain), Decoder.tombstone)
        check(tombstone.head == head, "the head in the body differs from the sealed head")
        return tombstone

    def annotation(self, series, name):
        data = self.read(f.MAX_MARK, "notes", series, name)
        check_header(data, f.ANNOTATION, self.repo)
        annotation = decode(open_envelope(data, self.keys.annotation), Decoder.annotation)
        check(annotation.series.hex() == series, "lies in another series' folder")
        return annotation
