"""BLAKE3 in pure Python: hash, keyed hash, key derivation, extendable output.

BLAKE3 cuts its input into chunks of 1024 bytes, compresses each chunk's sixteen blocks of 64 bytes one after another into
a chaining value of eight 32-bit words, and joins chaining values pairwise into a binary tree.

Chunks are independent, so this module compresses many at once: word i of every chunk sits in its own 64-bit lane of one
big integer. An addition then adds in all lanes; a carry or a rotated-out bit lands in the upper half of its lane and is
masked away. With one lane the same code is the plain algorithm.
"""
import struct
import sys
from array import array

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED_HASH, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = (1 << i for i in range(7))
LANES = 512  # chunks compressed together


def _source():
    """The text of `compress`, unrolled: seven rounds of eight G functions on local variables."""
    lines = ["def compress(h, m, counter, length, flags, M):",
             " " + ",".join(f"m{i}" for i in range(16)) + "=m",
             " h0,h1,h2,h3,h4,h5,h6,h7=v0,v1,v2,v3,v4,v5,v6,v7=h",
             " ones=M//0xFFFFFFFF",
             " v8,v9,v10,v11=(ones*x for x in IV[:4])",
             " v12=counter&M;v13=counter>>32&M;v14=ones*length;v15=ones*flags"]
    order = list(range(16))
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                                          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))):
            for word, r1, r2 in ((order[2 * i], 16, 12), (order[2 * i + 1], 8, 7)):
                lines += [f" v{a}=(v{a}+v{b}+m{word})&M",
                          f" v{d}^=v{a};v{d}=(v{d}>>{r1}|v{d}<<{32 - r1})&M",
                          f" v{c}=(v{c}+v{d})&M",
                          f" v{b}^=v{c};v{b}=(v{b}>>{r2}|v{b}<<{32 - r2})&M"]
        order = [order[p] for p in PERMUTATION]
    low, high = (",".join(s) for s in ([f"v{i}^v{i + 8}" for i in range(8)], [f"v{i + 8}^h{i}" for i in range(8)]))
    return "\n".join(lines + [f" return {low},{high}"])


exec(_source())  # defines compress(): 16 output words; the first eight are the chaining value


def _join(words):
    return int.from_bytes(array("Q", words).tobytes(), sys.byteorder)


def _split(lanes, count):
    return array("Q", lanes.to_bytes(8 * count, sys.byteorder))


def _chunks(data, count, first, key, flags):
    """The chaining values of `count` whole chunks, as eight arrays of words; `first` is the first chunk's number."""
    words = array("I", bytes(data))
    if sys.byteorder == "big":
        words.byteswap()
    ones = _join([1] * count)
    mask, counter, h = ones * 0xFFFFFFFF, _join(range(first, first + count)), [ones * k for k in key]
    for block in range(16):
        m = [_join(words[block * 16 + j::256]) for j in range(16)]
        h = compress(h, m, counter, 64, flags | (block == 0) * CHUNK_START | (block == 15) * CHUNK_END, mask)[:8]
    return [_split(x, count) for x in h]


def _output(data, key, flags):
    """The arguments of the root's compression: chaining value, block words, block length, flags."""
    data = memoryview(data).cast("B")
    whole = max(0, len(data) - 1) // 1024  # all chunks but the last, which may be short
    values = [array("Q") for _ in range(8)]
    for first in range(0, whole, LANES):
        count = min(LANES, whole - first)
        for value, more in zip(values, _chunks(data[1024 * first:1024 * (first + count)], count, first, key, flags)):
            value.extend(more)
    h, last = key, data[1024 * whole:]
    blocks = max(1, (len(last) + 63) // 64)
    for i in range(blocks):
        piece = bytes(last[64 * i:64 * i + 64])
        m = struct.unpack("<16I", piece.ljust(64, b"\0"))
        mode = flags | (i == 0) * CHUNK_START | (i == blocks - 1) * CHUNK_END
        if i == blocks - 1 and whole == 0:
            return h, m, len(piece), mode
        h = compress(h, m, whole, len(piece), mode, 0xFFFFFFFF)[:8]
    for value, word in zip(values, h):
        value.append(word)
    # Joining neighbours level by level, an odd one out moving up, builds the tree that the specification describes.
    while len(values[0]) > 2:
        count, odd = divmod(len(values[0]), 2)
        ones = _join([1] * count)
        m = [_join(v[side:2 * count:2]) for side in (0, 1) for v in values]
        h = compress([ones * k for k in key], m, 0, 64, flags | PARENT, ones * 0xFFFFFFFF)[:8]
        values = [_split(x, count) + v[2 * count:] for x, v in zip(h, values)]
    return key, [v[side] for side in (0, 1) for v in values], 64, flags | PARENT


def _root(output, length):
    h, m, size, flags = output
    blocks = (compress(h, m, i, size, flags | ROOT, 0xFFFFFFFF) for i in range((length + 63) // 64))
    return b"".join(struct.pack("<16I", *block) for block in blocks)[:length]


def blake3(data, length=32):
    return _root(_output(data, IV, 0), length)


def keyed(key, data, length=32):
    return _root(_output(data, struct.unpack("<8I", key), KEYED_HASH), length)


def derive_key(context, material, length=32):
    key = _root(_output(context.encode(), IV, DERIVE_KEY_CONTEXT), 32)
    return _root(_output(material, struct.unpack("<8I", key), DERIVE_KEY_MATERIAL), length)
