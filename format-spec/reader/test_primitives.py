#!/usr/bin/python3
"""Checks the primitives against published vectors. Ends with 0 and one line."""
import vault_format as f
from argon2.low_level import Type, hash_secret_raw
from blake3_py import blake3, derive_key, keyed
from vault_crypto import aead_open, aead_seal, hchacha20, hpke_schedule
from vault_repo import decompress, read_recovery_sheet

unhex = bytes.fromhex

# BLAKE3: test_vectors.json of the reference implementation (hash, keyed hash, derive key; 32 bytes)
KEY, CONTEXT = b"whats the Elvish word for friend", "BLAKE3 2019-12-27 16:29:52 test vectors context"
for length, plain, with_key, derived in (
    (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
     "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
     "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"),
    (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
     "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
     "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c"),
    (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
     "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
     "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5"),
    (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
     "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
     "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"),
    (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
     "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
     "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"),
    (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
     "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5",
     "2ea477c5515cc3dd606512ee72bb3e0e758cfae7232826f35fb98ca1bcbdf273"),
    (7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
     "ed9b1a922c046fdb3d423ae34e143b05ca1bf28b710432857bf738bcedbfa511",
     "554b0a5efea9ef183f2f9b931b7497995d9eb26f5c5c6dad2b97d62fc5ac31d9"),
    (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
     "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7",
     "4652cff7a3f385a6103b5c260fc1593e13c778dbe608efb092fe7ee69df6e9c6"),
):
    data = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert blake3(data).hex() == plain, length
    assert keyed(KEY, data).hex() == with_key, length
    assert derive_key(CONTEXT, data).hex() == derived, length
assert blake3(b"", 131).hex() == (  # more than one block of output
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262e00f03e7b69af26b7faaf09fcd333050338ddfe085b8cc869ca98b206c08243a"
    "26f5487789e8f660afe6c99ef9e0c52b92e7393024a80459cf91f476f9ffdbda7001c22e159b402631f277ca96f2defdf1078282314e763699a31c5363165421cce14d")

# HChaCha20 and XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03, 2.2.1 and A.3.1
assert hchacha20(bytes(range(32)), unhex("000000090000004a0000000031415927")) == unhex(
    "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")
key, nonce, ad = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58)), unhex("50515253c0c1c2c3c4c5c6c7")
text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it.")
sealed = unhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e"
               "1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
               "c0875924c1c7987947deafd8780acf49")
assert aead_seal(key, nonce, ad, text) == sealed and aead_open(key, nonce, ad, sealed) == text
assert aead_open(key, nonce, ad + b"x", sealed) is None and aead_open(key, nonce, ad, sealed[:-1]) is None

# HPKE: RFC 9180, A.2.2 (PSK, ChaCha20-Poly1305)
secret = unhex("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879")
key, nonce = hpke_schedule(secret, unhex("2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04"),
                           b"Ode on a Grecian Urn", unhex("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82"),
                           b"Ennyn Durin aran Moria")
assert aead_open(key, nonce, b"Count-0", unhex("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff")
                 ) == b"Beauty is truth, truth beauty"
# Argon2id: test.c of the reference implementation
assert hash_secret_raw(b"password", b"somesalt", 2, 65536, 1, 32, Type.ID, 0x13).hex() == (
    "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7")

# Encoding: chapter 09
D = f.Decoder
for text, read, value in (("fa", D.u64, 250), ("fbfb00", D.u64, 251), ("fc00000100", D.u64, 65536), ("01", D.i64, -1), ("00", D.i64, 0),
                          ("02", D.i64, 1), ("fdffffffffffffffff", D.i64, -(1 << 63)), ("02c3a9", D.string, "é"),
                          ("0107", lambda d: d.option(d.u8), 7), ("00", lambda d: d.option(d.u8), None), ("03010203", D.bytes, b"\1\2\3"),
                          ("0205fbfb00", lambda d: d.list(d.u64), [5, 251])):
    assert f.decode(unhex(text), read) == value, text
for text, read in (("fb0100", D.u64), ("fbfa00", D.u64), ("fcffff0000", D.u64), ("fdffffffff00000000", D.u64), ("fe00", D.u64), ("ff", D.u64),
                   ("fd0000000001000000", D.u32), ("02", D.bool), ("0207", lambda d: d.option(d.u8)), ("02c328", D.string), ("05c3", D.bytes),
                   ("0100", D.u8), ("fdffffffffffffffff", lambda d: d.list(d.u8)), ("", D.u8)):
    try:
        f.decode(unhex(text), read)
    except f.Damaged:
        continue
    raise AssertionError(f"{text} was accepted")

# Zstandard: a frame with one raw block, and what must be rejected
frame = unhex("28b52ffd2003190000") + b"abc"
assert decompress(frame, 1, 3, b"") == b"abc"
for data, raw in ((frame, 2), (frame, 4), (frame + b"x", 3), (frame + frame, 6), (frame[:-1], 3), (b"abc" * 5, 3)):
    try:
        decompress(data, 1, raw, b"")
    except f.Damaged:
        continue
    raise AssertionError("a bad frame was accepted")

# Recovery sheet: written here by hand from chapter 02, for R = 00 01 … 1f
digits, lines = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", []
for i in range(1, 9):
    four = bytes(range(4 * i - 4, 4 * i))
    value = int.from_bytes(four + blake3(b"vault recovery line" + bytes([i]) + four)[:1], "big")
    word = "".join(digits[value >> shift & 31] for shift in range(35, -1, -5))
    lines.append(f"{i}: {word[:4]}-{word[4:]}")
assert read_recovery_sheet("\n".join(lines)) == bytes(range(32))
assert read_recovery_sheet("A title\n" + "\n".join(lines).lower().replace("-", " ").replace("0", "o").replace("1: ", "1:")) == bytes(range(32))
for wrong in (lines[:7], [lines[1].replace("2:", "1:")] + lines[1:], [lines[0][:-1] + "U"] + lines[1:]):
    try:
        read_recovery_sheet("\n".join(wrong))
    except f.Damaged:
        continue
    raise AssertionError("a wrong recovery sheet was accepted")

print("all primitives agree with their published vectors")
