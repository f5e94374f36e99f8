#!/usr/bin/env python3
"""Prints the vectors of tests/test_keyfile.c, made from SPEC 20.11 and not with libmemfile:
BLAKE2b of Python, X25519 and Ed25519 of python3-cryptography, and for the locked form
Argon2id and XChaCha20-Poly1305 of libsodium, called as they are."""
import base64
import ctypes
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sodium = ctypes.CDLL("libsodium.so.23")
assert sodium.sodium_init() >= 0


def text(prefix, raw):
    return prefix + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def checked(prefix, key):
    return text(prefix, key + hashlib.blake2b(prefix.encode() + key, digest_size=32, person=b"memfile1.key\0\0\0\0").digest()[:4])


def locked(prefix, key, passphrase, passes, memory_kib, salt, nonce):
    rest = passes.to_bytes(4, "little") + memory_kib.to_bytes(4, "little") + salt + nonce
    box_key = ctypes.create_string_buffer(32)
    assert sodium.crypto_pwhash_argon2id(box_key, ctypes.c_ulonglong(32), passphrase, ctypes.c_ulonglong(len(passphrase)),
                                         salt, ctypes.c_ulonglong(passes), ctypes.c_size_t(memory_kib * 1024), 2) == 0
    box, length = ctypes.create_string_buffer(48), ctypes.c_ulonglong(0)
    ad = prefix.encode() + rest
    assert sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        box, ctypes.byref(length), key, ctypes.c_ulonglong(32), ad, ctypes.c_ulonglong(len(ad)), None, nonce, box_key) == 0
    return text(prefix, rest + box.raw)


for letter, kind, secret in (("r", X25519PrivateKey, bytes(range(1, 33))),
                             ("s", Ed25519PrivateKey, bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc4"
                                                                    "4449c5697b326919703bac031cae7f60"))):
    public = kind.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    upper = f"MF{letter.upper()}1-"
    print(checked(f"mf{letter}1-", public))
    print(checked(upper + "SECRET-", secret))
    print(locked(upper + "LOCKED-", secret, b"correct horse", 2, 64, bytes(range(16)), bytes(range(100, 124))))

# public keys that are refused, each with a right checksum
p = 2**255 - 19
for name, point in (("zero", 0), ("one", 1), ("order 8", 325606250916557431795983626356110631294008115727848805560023387167927233504),
                    ("p + 9: 9 written otherwise", p + 9), ("9 with the high bit", 9 + 2**255)):
    print(f"{name}: {checked('mfr1-', point.to_bytes(32, 'little'))}")
for name, point in (("neutral", 1), ("order 2", p - 1), ("not on the curve", 2), ("y not canonical", p + 1)):
    print(f"{name}: {checked('mfs1-', point.to_bytes(32, 'little'))}")
