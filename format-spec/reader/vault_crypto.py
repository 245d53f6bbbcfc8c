"""Sealing: AEAD with short and long nonces, HPKE in PSK mode. See README (conventions) and chapter 02 (wrapping)."""
import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def hchacha20(key, nonce16):
    """The ChaCha20 permutation as a key derivation: 20 rounds, no final addition, rows 0 and 3 are the output."""
    s = list(struct.unpack("<4I8I4I", b"expand 32-byte k" + key + nonce16))
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for r1, r2 in ((16, 12), (8, 7)):
                s[a] = (s[a] + s[b]) & 0xFFFFFFFF
                s[d] ^= s[a]
                s[d] = (s[d] << r1 | s[d] >> 32 - r1) & 0xFFFFFFFF
                s[c] = (s[c] + s[d]) & 0xFFFFFFFF
                s[b] ^= s[c]
                s[b] = (s[b] << r2 | s[b] >> 32 - r2) & 0xFFFFFFFF
    return struct.pack("<8I", *s[:4], *s[12:])


def _cipher(key, nonce):
    if len(nonce) == 24:  # XChaCha20-Poly1305
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]
    return ChaCha20Poly1305(key), nonce


def aead_seal(key, nonce, ad, plaintext):
    cipher, nonce12 = _cipher(key, nonce)
    return cipher.encrypt(nonce12, plaintext, ad)


def aead_open(key, nonce, ad, sealed):
    """The plaintext, or None when the tag does not verify."""
    cipher, nonce12 = _cipher(key, nonce)
    try:
        return cipher.decrypt(nonce12, bytes(sealed), ad)
    except (InvalidTag, ValueError):
        return None


# HPKE, RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, mode PSK.

def public_key(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _extract(suite, salt, label, ikm):
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def _expand(suite, prk, label, info, length):  # one HMAC is enough: no output here is longer than 32 bytes
    text = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return hmac.new(prk, text + b"\x01", hashlib.sha256).digest()[:length]


def hpke_schedule(secret, enc, info, psk, psk_id, aead=3, key_length=32):
    """The recipient's key and nonce for one message."""
    dh = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(enc))
    kem = b"KEM" + struct.pack(">H", 0x0020)
    shared = _expand(kem, _extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + public_key(secret), 32)
    suite = b"HPKE" + struct.pack(">3H", 0x0020, 0x0001, aead)
    context = b"\x01" + _extract(suite, b"", b"psk_id_hash", psk_id) + _extract(suite, b"", b"info_hash", info)
    prk = _extract(suite, shared, b"secret", psk)
    return _expand(suite, prk, b"key", context, key_length), _expand(suite, prk, b"base_nonce", context, 12)


def hpke_open(secret, wrap, info, psk, psk_id):
    """The wrapped key, or None."""
    try:
        key, nonce = hpke_schedule(secret, wrap[:32], info, psk, psk_id)
    except ValueError:  # an `enc` of small order: the shared secret would be zero
        return None
    return aead_open(key, nonce, b"", wrap[32:])
