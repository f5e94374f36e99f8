# SPDX-License-Identifier: CC0-1.0
"""Ed25519 as RFC 8032 section 5.1 has it, in plain numbers: for vectors and the second reader.
Slow, and not safe against who measures its time: for public test keys only."""
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P)
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def _add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = _add(result, point)
        point, n = _add(point, point), n >> 1
    return result


def _point(y, sign=0):
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE = _point(4 * pow(5, P - 2, P) % P)


def _bytes(point):
    inverse = pow(point[2], P - 2, P)
    return (point[1] * inverse % P | (point[0] * inverse % P & 1) << 255).to_bytes(32, "little")


def _decode(data):
    y = int.from_bytes(data, "little")
    return _point(y & (1 << 255) - 1, y >> 255)


def _hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def _secret(seed):
    h = hashlib.sha512(seed).digest()
    return int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254, h[32:]


def public(seed):
    return _bytes(_times(_secret(seed)[0], BASE))


def sign(seed, message):
    a, prefix = _secret(seed)
    key, r = public(seed), _hash(prefix, message)
    big_r = _bytes(_times(r, BASE))
    return big_r + ((r + _hash(big_r, key, message) * a) % L).to_bytes(32, "little")


def valid(signature, key, message):
    a, r, s = _decode(key), _decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    return _bytes(_times(s, BASE)) == _bytes(_add(r, _times(_hash(signature[:32], key, message), a)))
