"""Chapter 14: the code of sidecars and their blocks, straight from the definition. Slow: for vectors, not for disks.

    python3 vault_parity.py ../vectors/parity.json
"""

import json
import struct
import sys

from blake3_py import blake3

BASIS = [
    0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012,
    0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E,
]


def point(j):
    """The element of the field with the coordinates j."""
    out = 0
    for bit, element in enumerate(BASIS):
        if j >> bit & 1:
            out ^= element
    return out


POINTS = [point(j) for j in range(1 << 16)]
COORDINATES = {element: j for j, element in enumerate(POINTS)}


def times(a, b):
    out = 0
    while b:
        if b & 1:
            out ^= a
        a <<= 1
        if a >> 16:
            a ^= 0x1002D
        b >>= 1
    return out


def inverse(a):
    out, square = 1, a
    for _ in range(15):
        square = times(square, square)
        out = times(out, square)
    return out


def elements(unit):
    """The 32 elements of 64 bytes."""
    return [point(unit[i] | unit[32 + i] << 8) for i in range(32)]


def unit_of(values):
    coordinates = [COORDINATES[value] for value in values]
    return bytes(c & 255 for c in coordinates) + bytes(c >> 8 for c in coordinates)


def interpolate(known, at):
    """The value at one point of the polynomial that has these values at these points: {point number: 32 elements}."""
    x, out = POINTS[at], [0] * 32
    for i, values in known.items():
        above, below = 1, 1
        for j in known:
            if j != i:
                above = times(above, x ^ POINTS[j])
                below = times(below, POINTS[i] ^ POINTS[j])
        weight = times(above, inverse(below))
        out = [o ^ times(weight, value) for o, value in zip(out, values)]
    return out


def encode(sectors, count):
    """Recovery units of units of 64 bytes."""
    n = 1
    while n < count:
        n *= 2
    sums = [[0] * 32 for _ in range(count)]
    for c in range(0, len(sectors), n):
        chunk = sectors[c:c + n] + [bytes(64)] * (n - len(sectors[c:c + n]))
        known = {c + n + j: elements(unit) for j, unit in enumerate(chunk)}
        for r in range(count):
            sums[r] = [a ^ b for a, b in zip(sums[r], interpolate(known, r))]
    return [unit_of(values) for values in sums]


def block(data):
    """Fields and payload of a table block."""
    assert len(data) == 4096 and blake3(data[:4064]) == data[4064:], "its sum does not fit"
    assert data[:8] == b"\x89VAULT\r\n" and data[10] == 12 and data[70:96] == bytes(26)
    names = ["number", "N", "G", "M", "T", "percentage"]
    fields = dict(zip(names, struct.unpack_from("<IIIIIH", data, 48)))
    return data[32:48], fields, data[96:4064]


def table(data, fields):
    count, at, objects = struct.unpack_from("<I", data)[0], 4, []
    for _ in range(count):
        end = at + 1 + data[at]
        name, length = data[at + 1:end].decode(), struct.unpack_from("<Q", data, end)[0]
        objects.append((name, length, data[end + 8:end + 40]))
        at = end + 40
    marks = [data[at + 8 * i:at + 8 * i + 8] for i in range(fields["N"] + fields["G"] * fields["M"])]
    end = at + 8 * len(marks)
    assert not any(data[end:])
    return objects, marks, data[:end]


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    sectors = [bytes.fromhex(text) for text in vectors["sectors"]]
    recovery = [unit.hex() for unit in encode(sectors, len(vectors["recovery"]))]
    assert recovery == vectors["recovery"], "the code differs"
    set_id, fields, payload = block(bytes.fromhex(vectors["block_0"]))
    objects, marks, encoded = table(payload, fields)
    assert encoded.hex() == vectors["table"] and blake3(encoded)[:16] == set_id
    assert [mark.hex() for mark in marks[:fields["N"]]] == vectors["marks"]
    assert objects == [("config", 5 * 4096 - 7, bytes([3]) * 32)]
    print("parity: the vectors hold")


if __name__ == "__main__":
    main(sys.argv[1])
