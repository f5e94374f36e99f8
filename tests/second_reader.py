#!/usr/bin/env python3
# SPDX-License-Identifier: CC0-1.0
"""A second reader of the memfile format, written from the specification alone.

    second_reader.py check FILE...                    verify whole files (SPEC 15.5)
    second_reader.py outside FILE...                  verify sealed files without a key (SPEC 20.8)
    second_reader.py export FILE [--as-of COMMIT]     entries as JSON Lines (SPEC 7.7)

Behind all: [--passphrase-file FILE | --identity KEYFILE [--identity-passphrase-file FILE]].

`check` prints one line for each file:

    good FILE entries=N commits=N history=HEX
    truncated FILE OFFSET REASON          damaged FILE OFFSET REASON
    unsupported FILE REASON               not-a-memfile FILE
    wrong-key FILE REASON                 over-limit FILE REASON
    system FILE REASON                    (it cannot be read at all)

and ends with 0 if all are good, 3 after damage or truncation, else 4. `outside` says of a good
one `outside FILE commits=N segments=N stored=HEX` and, for each epoch, its kind and slots. The
numbers in comments are chapters of SPEC.md. The file is plain Python with python3-zstandard and
python3-xxhash, and for sealed files (20) python3-nacl; without it they are unsupported.

As a module: `open_bytes(data, key)` or `open_file(name, key)` give a Memfile; `Memfile.verify()` checks
everything, `Memfile.entries(as_of)` iterates over entries, `Memfile.to_json(entry)` maps one. A key
is `passphrase(bytes)` or `identity(text of a key file)`. `outside(data)` needs none.
"""

import base64
import bisect
import codecs
import hashlib
import itertools
import json
import math
import re
import struct
import sys
from array import array
from pathlib import Path

import xxhash
import zstandard

try:
    import nacl.bindings as sodium
    from nacl.exceptions import CryptoError
except ImportError:
    sodium = None

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))
import ed25519  # noqa: E402

# Limits (4.1, 6.2, 7, 10, 14.2, 19)
MAX_BODY = 1 << 20
MAX_CORE = 262_144
MAX_CORES = 2_097_152
MAX_ROWS = 4096
MAX_NAMES = 65_535
MAX_SUM = 1 << 20
MAX_STRINGS = 4 << 20
MAX_INLINE = 32_768
MAX_EXTENSIONS = 1024
MAX_DEPTH = 32
MAX_ENTRIES = 1 << 40
MAX_PAGE_ITEMS = 65_536
MAX_PAGE_BODY = 65_536
MAX_LEVELS = 8
MAX_CHUNKS = 1 << 24
CHUNK = 262_144
LOOK_BACK = 18_874_368
MAX_SEGMENT = 1_048_648
MAX_COMMIT_TRIES = 64
MAX_COMMIT_DISTANCE = 64
MAX_UNSYNCED = 65_536
MAX_SLOTS, MAX_OLDER = 32, 1024
ARGON_PASSES, ARGON_LEAST_KIB, ARGON_MOST_KIB = 10, 8, 1 << 20
U64 = 1 << 64

# This reader's own limits. Packed integers of Width 0 and zstd frames let a small file stand
# for very much; what is beyond these is reported as unsupported, not read for days.
WORK_BASE, WORK_PER_BYTE = 256 << 20, 64
KEPT_DICTIONARIES = 8
KEPT_ITEMS = 1 << 20

MAGIC = bytes.fromhex("AB6D656D66696C650D0A1A0A")
SEGMENT_MAGIC = bytes.fromhex("D34D4653")
TRAILER_MAGIC = bytes.fromhex("4553464D")
ZSTD_MAGIC = bytes.fromhex("28B52FFD")
HEADER_LENGTH = 80
SEGMENT_HEADER = struct.Struct("<4sBBBBIIQQ8s4sIQQ")

# Segment types (5), flags (4.1), commit flags (9.1)
RECORDS, CHUNK_TYPE, INDEX, DICTIONARY, KEYS, COMMIT, HISTORY, VOID, SEALED = (
    1, 2, 3, 4, 5, 6, 7, 8, 15)
F_COMMIT, F_OPTIONAL, F_DERIVED, F_SYNCED = 1, 2, 4, 8
(C_LOGICAL, C_FULL, C_INLINE, C_PARENTS, C_AUTHOR, C_EXTRA, C_SALT, C_ORDER, C_SIGNATURES) = (
    1 << i for i in range(9))
C_HISTORY = C_PARENTS | C_AUTHOR | C_EXTRA | C_SALT | C_ORDER | C_SIGNATURES

# Item kinds (10.1)
(I_BLOCK, I_ID, I_KEY, I_TIME, I_FACET, I_IDEMPOTENCY, I_FATE, I_OBJECT, I_CHUNK,
 I_COMMIT, I_FORGOTTEN) = range(1, 12)
ENTRY_KINDS = (*range(I_BLOCK, I_FATE + 1), I_FORGOTTEN)
FILE_KINDS = (I_OBJECT, I_CHUNK, I_COMMIT)

# Entry fields (7.1)
FIELDS = ("op", "id", "kind", "scope", "key", "time", "text", "data", "media_type", "content",
          "title", "tags", "links", "meta", "recorded", "valid_from", "valid_to", "expires",
          "source", "actor", "session", "model", "derived_from", "idempotency_key", "confidence",
          "importance", "pinned", "status", "embedding", "supersedes", "reason")
(OP, ID, KIND, SCOPE, KEY, TIME, TEXT, DATA, MEDIA_TYPE, CONTENT, TITLE, TAGS, LINKS, META,
 RECORDED, VALID_FROM, VALID_TO, EXPIRES, SOURCE, ACTOR, SESSION, MODEL, DERIVED_FROM,
 IDEMPOTENCY_KEY, CONFIDENCE, IMPORTANCE, PINNED, STATUS, EMBEDDING, SUPERSEDES,
 REASON) = range(31)
IN_COLUMNS = {KIND, SCOPE, KEY, TIME, TEXT, TAGS, LINKS, EXPIRES, IDEMPOTENCY_KEY}
TIME_LEAST, TIME_MOST = -62_167_219_200, 253_402_300_799
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


# --- Errors (21) ---------------------------------------------------------------------------

class MemfileError(Exception):
    """An error class of chapter 21, the offset, and what was being read."""
    verdict = "damaged"

    def __init__(self, reason, offset=0):
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class NotAMemfile(MemfileError):
    verdict = "not-a-memfile"


class Newer(MemfileError):
    verdict = "unsupported"


class Truncated(MemfileError):
    verdict = "truncated"


class Damaged(MemfileError):
    verdict = "damaged"


class WrongKey(MemfileError):
    verdict = "wrong-key"


class OverLimit(MemfileError):
    verdict = "over-limit"


class Invalid(Exception):
    """What stands in a body is not valid; whoever knows the offset makes it Damaged."""


class Unknown(Exception):
    """What stands in a body is not of this version; becomes Newer."""


def require(condition, reason):
    if not condition:
        raise Invalid(reason)


# --- Notation (1) --------------------------------------------------------------------------

xxh3 = xxhash.xxh3_64_intdigest


def blake(person, *parts):
    """H(p, x) of 1.7."""
    h = hashlib.blake2b(digest_size=32, person=person)
    for part in parts:
        h.update(part)
    return h.digest()


def tree_hash(hashes, fan_out):
    """8.4; None for an empty list."""
    if not hashes:
        return None
    while len(hashes) > 1:
        level = []
        for i in range(0, len(hashes), fan_out):
            run = hashes[i:i + fan_out]
            level.append(blake(b"memfile1.node", *run) if len(run) > 1 else run[0])
        hashes = level
    return hashes[0]


def unzigzag(value):
    return (value >> 1) ^ -(value & 1)


def utf8(data, what):
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{what}: no valid UTF-8") from None


class Cursor:
    """Reads the primitives of chapter 1 from bytes; never beyond their end."""
    __slots__ = ("data", "pos", "end")

    def __init__(self, data, pos=0):
        self.data = data
        self.pos = pos
        self.end = len(data)

    def left(self):
        return self.end - self.pos

    def take(self, length):
        if length > self.end - self.pos:
            raise Invalid("ends early")
        start = self.pos
        self.pos = start + length
        return self.data[start:self.pos]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise Invalid("varint of more than 10 bytes")
        if byte == 0 and shift:
            raise Invalid("varint not in shortest form")
        if value >= U64:
            raise Invalid("varint of 2^64 or more")
        return value

    def zigzag(self):
        return unzigzag(self.varint())

    def string(self):
        return self.take(self.varint())

    def ints(self, n):
        """1.5. The caller bounds n. Eight values fill `width` bytes."""
        if n == 0:
            return []
        width = self.u8()
        require(width <= 64, "Width above 64")
        base = self.varint()
        if width == 0:
            return [base] * n
        length = (n * width + 7) // 8
        packed = self.take(length)
        if n * width & 7:
            require(packed[-1] >> (n * width & 7) == 0, "unused bits are not 0")
        if width in (8, 16, 32, 64):
            code = {8: "B", 16: "H", 32: "I", 64: "Q"}[width]
            values = list(struct.unpack(f"<{n}{code}", packed))
        else:
            mask = (1 << width) - 1
            shifts = range(0, 8 * width, width)
            values = []
            for i in range(0, length, width):
                word = int.from_bytes(packed[i:i + width], "little")
                values += [word >> shift & mask for shift in shifts]
            del values[n:]
        if base:
            values = [base + value for value in values]
        require(base + (1 << width) <= U64 or max(values) < U64, "integer of 2^64 or more")
        return values

    def strings(self, n):
        """1.6, with the limit of 6.2."""
        prefixes = self.ints(n)
        lengths = self.ints(n)
        require(sum(prefixes) + sum(lengths) <= MAX_STRINGS, "strings of more than 4 MiB")
        out = []
        last = b""
        for prefix, length in zip(prefixes, lengths):
            if prefix > len(last):
                raise Invalid("prefix longer than the string before")
            last = last[:prefix] + self.take(length)
            out.append(last)
        return out

    def times(self, n):
        """6.4: a list of time values as in 7.1."""
        if n == 0:
            return []
        seconds = list(itertools.accumulate(
            [self.zigzag()] + [unzigzag(d) for d in self.ints(n - 1)]))
        digits = self.ints(n)
        fractions = self.ints(n) if any(digits) else [0] * n
        out = []
        for second, digit, fraction in zip(seconds, digits, fractions):
            require(TIME_LEAST <= second <= TIME_MOST, "time out of range")
            require(digit <= 9 and fraction < 10 ** digit, "fraction of a time")
            out.append([second, digit, fraction] if digit else second)
        return out

    def ids(self, n, rows=None):
        """6.3. `rows` are the ids of the block's rows, for class 3 (targets of links)."""
        classes = self.ints(n)
        stored = self.strings(sum(c != 3 for c in classes))
        positions = self.ints(n - len(stored))
        stored, positions = iter(stored), iter(positions)
        out = []
        for c in classes:
            if c == 0:
                value = next(stored)
                require(len(value) == 16, "UUID that has not 16 bytes")
            elif c == 1:
                value = next(stored).hex()
                check_id(value)
            elif c == 2:
                value = utf8(next(stored), "id")
                check_id(value)
            elif c == 3 and rows is not None:
                position = next(positions)
                require(position < len(rows), "target's row out of range")
                value = rows[position]
            else:
                raise Invalid("class of an id")
            out.append(value)
        return out


# --- CBOR in core deterministic encoding (7.1, RFC 8949 section 4.2.1) ---------------------

def cbor_head(major, value):
    major <<= 5
    if value < 24:
        return bytes((major | value,))
    if value < 1 << 8:
        return bytes((major | 24, value))
    if value < 1 << 16:
        return struct.pack(">BH", major | 25, value)
    if value < 1 << 32:
        return struct.pack(">BI", major | 26, value)
    return struct.pack(">BQ", major | 27, value)


def cbor_int(value):
    return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)


def cbor_bytes(value):
    return cbor_head(2, len(value)) + value


def cbor_text(value):
    data = value.encode()
    return cbor_head(3, len(data)) + data


def cbor_time(value):
    if isinstance(value, int):
        return cbor_int(value)
    return b"\x83" + b"".join(map(cbor_int, value))


def cbor_id(value):
    return cbor_bytes(value) if isinstance(value, bytes) else cbor_text(value)


def cbor_array(items):
    return cbor_head(4, len(items)) + b"".join(items)


def shortest_float(value, size):
    """Whether no shorter float keeps the value (size 2, 4 or 8 bytes)."""
    if size == 2:
        return True
    try:
        shorter = struct.pack(">e" if size == 4 else ">f", value)
    except OverflowError:
        return True
    return struct.unpack(">e" if size == 4 else ">f", shorter)[0] != value


def read_cbor(data, pos, depth=0):
    """One item in deterministic encoding: (value, position behind it)."""
    if pos >= len(data):
        raise Invalid("CBOR ends early")
    first = data[pos]
    pos += 1
    major, info = first >> 5, first & 31
    size = 0
    if info < 24:
        value = info
    elif info < 28:
        size = 1 << (info - 24)
        if size > len(data) - pos:
            raise Invalid("CBOR ends early")
        raw = data[pos:pos + size]
        value = int.from_bytes(raw, "big")
        pos += size
        if major != 7 and value < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise Invalid("CBOR: not the shortest form")
    else:
        raise Invalid("CBOR: indefinite or reserved length")
    if major == 0:
        return value, pos
    if major == 1:
        return -1 - value, pos
    if major in (2, 3):
        if value > len(data) - pos:
            raise Invalid("CBOR ends early")
        raw = bytes(data[pos:pos + value])
        return (raw if major == 2 else utf8(raw, "CBOR text")), pos + value
    if major in (4, 5):
        # One level is for the field itself; more than any field may have is not followed.
        require(depth <= MAX_DEPTH, "nested too deep")
        require(value <= len(data) - pos, "CBOR ends early")
    if major == 4:
        items = []
        for _ in range(value):
            item, pos = read_cbor(data, pos, depth + 1)
            items.append(item)
        return items, pos
    if major == 5:
        pairs = {}
        last = b""
        for _ in range(value):
            start = pos
            name, pos = read_cbor(data, pos, depth + 1)
            require(isinstance(name, str), "map key that is no text")
            encoded = bytes(data[start:pos])
            require(encoded > last, "CBOR: map keys out of order")
            last = encoded
            pairs[name], pos = read_cbor(data, pos, depth + 1)
        return pairs, pos
    if major == 7:
        if first in (0xF4, 0xF5):
            return first == 0xF5, pos
        if first == 0xF6:
            return None, pos
        if info in (25, 26, 27):
            number = struct.unpack({25: ">e", 26: ">f", 27: ">d"}[info], raw)[0]
            require(math.isfinite(number), "float that is not finite")
            require(shortest_float(number, size), "CBOR: not the shortest float")
            return number, pos
    raise Invalid("CBOR: tag or simple value")


def read_pairs(data):
    """Concatenated key/value pairs: (encoded key, key, encoded value, value) of each."""
    out = []
    pos = 0
    last = b""
    while pos < len(data):
        start = pos
        key, pos = read_cbor(data, pos)
        require(isinstance(key, (int, str)) and not isinstance(key, bool), "key of a pair")
        encoded = data[start:pos]
        require(encoded > last, "pairs out of order")
        last = encoded
        start = pos
        value, pos = read_cbor(data, pos)
        out.append((encoded, key, data[start:pos], value))
    return out


# --- Entry (7) -----------------------------------------------------------------------------

class Entry:
    """One entry: number, fields by key, core, vector part; or the leaf of an erased one."""
    __slots__ = ("number", "fields", "core", "vector", "erased")

    def __init__(self, fields, core=None, vector=None, erased=None):
        self.number = None
        self.fields = fields
        self.core = core
        self.vector = vector
        self.erased = erased


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def check_text(value, least, most, what):
    require(isinstance(value, str), f"{what}: no text")
    require(least <= len(value.encode()) <= most, f"{what}: length out of range")


def check_id(value):
    """7.1, 7.3."""
    if isinstance(value, bytes):
        require(len(value) == 16, "id: bytes that are no UUID")
        return
    check_text(value, 1, 255, "id")
    require(not UUID.fullmatch(value), "id: a UUID written as text")


def check_time(value):
    if is_int(value):
        seconds = value
    else:
        require(isinstance(value, list) and len(value) == 3 and all(map(is_int, value)),
                "time: form")
        seconds, digits, fraction = value
        require(1 <= digits <= 9 and 0 <= fraction < 10 ** digits, "time: fraction")
    require(TIME_LEAST <= seconds <= TIME_MOST, "time: out of range")


def check_value(value, depth=0):
    """7.4; read_cbor has refused what else CBOR could hold."""
    require(not isinstance(value, bytes), "byte string in a value")
    if isinstance(value, (list, dict)):
        require(depth < MAX_DEPTH, "nested too deep")
        for item in value.values() if isinstance(value, dict) else value:
            check_value(item, depth + 1)


def check_list(value, most, what):
    require(isinstance(value, list) and len(value) <= most, f"{what}: no list, or too long")
    return value


def check_op(value):
    require(is_int(value) and value > 0, "op")


def check_number(value):
    require(is_int(value) or isinstance(value, float), "number")


def check_scope(value):
    for name in check_list(value, 32, "scope"):
        check_text(name, 1, 255, "scope")


def check_tags(value):
    for name in check_list(value, 256, "tags"):
        check_text(name, 1, 255, "tags")


def check_links(value):
    for link in check_list(value, 1024, "links"):
        require(isinstance(link, list) and len(link) == 2, "links: form")
        check_text(link[0], 1, 255, "links: relation")
        check_id(link[1])


def check_derived_from(value):
    for item in check_list(value, 1024, "derived_from"):
        check_id(item)


def check_supersedes(value):
    for item in check_list(value, 4096, "supersedes"):
        require(isinstance(item, bytes) and len(item) == 32, "supersedes: no leaf")


def check_meta(value):
    require(isinstance(value, dict), "meta: no map")
    for item in value.values():
        check_value(item)


def check_data(value):
    require(isinstance(value, bytes) and len(value) <= MAX_INLINE, "data")


def check_content(value):
    require(isinstance(value, list) and len(value) == 3, "content: form")
    form, length, root = value
    require(is_int(form) and form in (0, 1), "content: form")
    require(is_int(length) and MAX_INLINE < length <= MAX_CHUNKS * CHUNK, "content: length")
    require(isinstance(root, bytes) and len(root) == 32, "content: root")


def check_embedding(value):
    require(isinstance(value, list) and len(value) == 4, "embedding: form")
    space, kind, count, digest = value
    check_text(space, 1, 255, "embedding: space")
    require(is_int(kind) and kind in (1, 2), "embedding: type")
    require(is_int(count) and 1 <= count <= 16_384, "embedding: count")
    require(isinstance(digest, bytes) and len(digest) == 32, "embedding: hash")


def check_bool(value):
    require(isinstance(value, bool), "pinned: no boolean")


def text_check(least, most, what):
    return lambda value: check_text(value, least, most, what)


CHECKS = {
    OP: check_op, ID: check_id, KIND: text_check(1, 255, "kind"), SCOPE: check_scope,
    KEY: text_check(1, 1024, "key"), TIME: check_time,
    TEXT: text_check(0, MAX_INLINE, "text"), DATA: check_data, CONTENT: check_content,
    TAGS: check_tags, LINKS: check_links, META: check_meta, RECORDED: check_time,
    VALID_FROM: check_time, VALID_TO: check_time, EXPIRES: check_time,
    DERIVED_FROM: check_derived_from, IDEMPOTENCY_KEY: text_check(1, 1024, "idempotency_key"),
    CONFIDENCE: check_number, IMPORTANCE: check_number, PINNED: check_bool,
    EMBEDDING: check_embedding, SUPERSEDES: check_supersedes,
}
for _key in (MEDIA_TYPE, TITLE, SOURCE, ACTOR, SESSION, MODEL, STATUS, REASON):
    CHECKS[_key] = text_check(0, MAX_CORE, FIELDS[_key])
NEVER_NULL = (OP, ID, TEXT, DATA, CONTENT, EMBEDDING)


def check_field(key, value):
    """7.1 to 7.5 for one field that stands in the rest."""
    if isinstance(key, str):
        check_value(value)
    elif key < 0:
        raise Unknown("entry field that must be understood")
    elif key > REASON:
        require(key < 1 << 63, "entry field of 2^63 or more")
        check_value(value)
    elif value is not None or key in NEVER_NULL:
        CHECKS[key](value)


def check_entry(fields):
    """7.2, and the limit of extensions (19)."""
    bodies = (TEXT in fields) + (DATA in fields) + (CONTENT in fields)
    require(bodies <= 1, "more than one of text, data and content")
    require(bodies == 1 or OP in fields, "put without text, data and content")
    extensions = sum(isinstance(key, str) or key > REASON for key in fields)
    require(extensions <= MAX_EXTENSIONS, "too many extensions")


# --- Block of records (6) ------------------------------------------------------------------

# Bits of Masks; NOT the keys of the fields
(M_KIND, M_SCOPE, M_KEY, M_TIME, M_TEXT, M_TAGS, M_LINKS, M_IDEMPOTENCY_KEY, M_EXPIRES, M_REST,
 M_VECTOR, M_ERASED) = range(12)


def pick(table, position, what):
    if position >= len(table):
        raise Invalid(f"{what}: position out of range")
    return table[position]


def bounded_sum(counts, what):
    total = sum(counts)
    require(total <= MAX_SUM, f"{what}: sum of counts above 2^20")
    return total


def cut(data, lengths, what):
    """Cuts data into pieces of these lengths, which must not go beyond it."""
    out = []
    pos = 0
    for length in lengths:
        require(length <= len(data) - pos, f"{what}: beyond the content")
        out.append(data[pos:pos + length])
        pos += length
    return out, pos


class Block:
    """The block that begins at the cursor and fills its bytes. Columns are read at once, cores
    are rebuilt row by row: a few bytes of columns may stand for very long cores."""

    def __init__(self, cur, content):
        self.count = count = cur.varint()
        require(1 <= count <= MAX_ROWS, "Row_Count")
        self.masks = masks = cur.ints(count)
        if max(masks) >> 12:
            raise Unknown("Masks bit")
        using = [[] for _ in range(12)]
        for row, mask in enumerate(masks):
            require(not mask >> M_ERASED or mask == 1 << M_ERASED, "ERASED with another bit")
            for bit in range(12):
                if mask >> bit & 1:
                    using[bit].append(row)
        # For each column, row: (value, its CBOR) or what these are made of
        self.columns = {}

        def column(bit, values):
            self.columns[bit] = dict(zip(using[bit], values))

        self.read_names(cur)                                                            # 1
        self.read_scopes(cur, using[M_SCOPE])                                           # 2
        living = [row for row in range(count) if not masks[row] >> M_ERASED]
        ids = cur.ids(len(living))                                                      # 3
        self.ids = dict(zip(living, ids))
        column(M_KIND, [self.name(p, "KIND") for p in cur.ints(len(using[M_KIND]))])    # 4
        column(M_SCOPE, [pick(self.scopes, p, "SCOPE") for p in cur.ints(len(using[M_SCOPE]))])
        column(M_KEY, self.read_keys(cur, len(using[M_KEY]), KEY))                      # 5
        column(M_TIME, [(time, cbor_time(time)) for time in cur.times(len(using[M_TIME]))])  # 6
        text_lengths = cur.ints(len(using[M_TEXT]))                                     # 7
        column(M_TAGS, self.read_tags(cur, len(using[M_TAGS])))                         # 8
        column(M_LINKS, self.read_links(cur, len(using[M_LINKS]), ids))                 # 9
        column(M_IDEMPOTENCY_KEY,                                                       # 10
               self.read_keys(cur, len(using[M_IDEMPOTENCY_KEY]), IDEMPOTENCY_KEY))
        column(M_EXPIRES,                                                               # 11
               [(time, cbor_time(time)) for time in cur.times(len(using[M_EXPIRES]))])
        rest_lengths = cur.ints(len(using[M_REST]))                                     # 12
        vector_lengths = cur.ints(len(using[M_VECTOR]))                                 # 13
        column(M_VECTOR, [cur.take(length) for length in vector_lengths])
        column(M_ERASED, [cur.take(32) for _ in using[M_ERASED]])                       # 14
        require(cur.left() == 0, "columns do not fill the head")
        # The content: all texts, then all rests (6.1)
        pieces, used = cut(content, text_lengths + rest_lengths, "block")
        require(used == len(content), "texts and rests do not fill the content")
        column(M_TEXT, pieces[:len(text_lengths)])
        column(M_REST, pieces[len(text_lengths):])

    def read_names(self, cur):
        count = cur.varint()
        require(count <= MAX_NAMES, "Names: too many")
        raw_names = cur.strings(count)
        require(len(set(raw_names)) == count, "Names: a text stands twice")
        require(all(1 <= len(raw) <= 255 for raw in raw_names), "Names: length of a text")
        self.names = [(utf8(raw, "Names"), cbor_head(3, len(raw)) + raw) for raw in raw_names]

    def name(self, position, what):
        """A name, as text and as CBOR, which is 1 to 255 bytes long."""
        name = pick(self.names, position, what)
        require(2 <= len(name[1]) <= 257, f"{what}: length out of range")
        return name

    def read_scopes(self, cur, rows):
        self.scopes = []
        if not rows:
            return
        count = cur.varint()
        require(count <= MAX_SUM, "Scopes: too many")
        lengths = cur.ints(count)
        positions = iter(cur.ints(bounded_sum(lengths, "Scopes")))
        seen = set()
        for length in lengths:
            require(length <= 32, "Scopes: more than 32 names")
            scope = tuple(itertools.islice(positions, length))
            require(scope not in seen, "Scopes: a scope stands twice")
            seen.add(scope)
            names = [self.name(position, "Scopes") for position in scope]
            self.scopes.append(([name[0] for name in names],
                                cbor_array([name[1] for name in names])))

    @staticmethod
    def read_keys(cur, count, field):
        keys = [utf8(raw, FIELDS[field]) for raw in cur.strings(count)]
        for key in keys:
            CHECKS[field](key)
        return [(key, cbor_text(key)) for key in keys]

    @staticmethod
    def read_tags(cur, count):
        """For each row the positions of its tags."""
        counts = cur.ints(count)
        positions = iter(cur.ints(bounded_sum(counts, "TAGS")))
        require(all(n <= 256 for n in counts), "TAGS: too many")
        return [list(itertools.islice(positions, n)) for n in counts]

    @staticmethod
    def read_links(cur, count, ids):
        """For each row the (position of the relation, target) of its links."""
        counts = cur.ints(count)
        total = bounded_sum(counts, "LINKS")
        require(all(n <= 1024 for n in counts), "LINKS: too many")
        relations = cur.ints(total)
        links = zip(relations, cur.ids(total, ids))
        return [list(itertools.islice(links, n)) for n in counts]

    def __len__(self):
        return self.count

    def __iter__(self):
        cores = 0
        for row in range(self.count):
            erased = self.columns[M_ERASED].get(row)
            entry = self.entry(row) if erased is None else Entry({}, erased=erased)
            cores += len(entry.core or b"")
            require(cores <= MAX_CORES, "cores above 2 MiB together")
            yield entry

    def entry(self, row):
        """A row's fields and core (7.1, 7.6)."""
        identity = self.ids[row]
        fields = {ID: identity}
        pairs = [(b"\x01", cbor_id(identity))]

        def add(key, value, encoded):
            fields[key] = value
            pairs.append((bytes((key,)), encoded))

        mask = self.masks[row]
        for bit, key in ((M_KIND, KIND), (M_SCOPE, SCOPE), (M_KEY, KEY), (M_TIME, TIME),
                         (M_IDEMPOTENCY_KEY, IDEMPOTENCY_KEY), (M_EXPIRES, EXPIRES)):
            if mask >> bit & 1:
                add(key, *self.columns[bit][row])
        if mask >> M_TEXT & 1:
            raw = self.columns[M_TEXT][row]
            require(len(raw) <= MAX_INLINE, "text: length out of range")
            add(TEXT, utf8(raw, "text"), cbor_head(3, len(raw)) + raw)
        if mask >> M_TAGS & 1:
            tags = [self.name(p, "TAGS") for p in self.columns[M_TAGS][row]]
            add(TAGS, [tag[0] for tag in tags], cbor_array([tag[1] for tag in tags]))
        if mask >> M_LINKS & 1:
            links = [(self.name(p, "LINKS"), to) for p, to in self.columns[M_LINKS][row]]
            add(LINKS, [[relation[0], to] for relation, to in links],
                cbor_array([b"\x82" + relation[1] + cbor_id(to) for relation, to in links]))
        if mask >> M_REST & 1:
            for raw_key, key, raw_value, value in read_pairs(self.columns[M_REST][row]):
                require(key not in fields, "a key stands in both column and REST")
                check_field(key, value)
                require(value is None or key not in IN_COLUMNS, "a field in REST that fits its column")
                fields[key] = value
                pairs.append((raw_key, raw_value))
        pairs.sort()
        core = cbor_head(5, len(pairs)) + b"".join(key + value for key, value in pairs)
        require(len(core) <= MAX_CORE, "core too long")
        check_entry(fields)
        entry = Entry(fields, core, self.columns[M_VECTOR].get(row))
        if entry.vector is not None:
            check_vector(entry)
        return entry


def check_vector(entry):
    """7.6, 11.5."""
    require(EMBEDDING in entry.fields, "VECTOR without embedding")
    _, kind, count, digest = entry.fields[EMBEDDING]
    require(len(entry.vector) == count * 4 * kind, "VECTOR: length")
    require(all(map(math.isfinite, vector_values(entry))), "VECTOR: value that is not finite")
    require(blake(b"memfile1.part", entry.vector) == digest, "VECTOR: hash")


def vector_values(entry):
    _, kind, count, _ = entry.fields[EMBEDDING]
    return struct.unpack(f"<{count}{'f' if kind == 1 else 'd'}", entry.vector)


# --- Salts (8.2, 13.3) ---------------------------------------------------------------------

class SaltTree:
    """Derives salts from the nodes {(depth, position): 16 bytes}; a root is node (0, 0)."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.cache = [None] * 16            # (position, its 64 bytes) of a node at each depth

    def root(self):
        return self.nodes.get((0, 0), bytes(16))

    def extend(self, further):
        """Nodes of a further segment (13.2)."""
        last = max(((p + 1) << 2 * (16 - d) for d, p in self.nodes), default=0)
        for depth, position in further.nodes:
            require(position << 2 * (16 - depth) >= last, "salt tree: nodes out of order")
        self.nodes.update(further.nodes)

    def salt(self, index):
        depth = 16
        node = self.nodes.get((16, index))
        while node is None:
            if depth == 0:
                raise Invalid("salt that cannot be derived")
            depth -= 1
            position = index >> 2 * (16 - depth)
            cached = self.cache[depth]
            if cached is not None and cached[0] == position:
                break
            node = self.nodes.get((depth, position))
        while depth < 16:
            position = index >> 2 * (16 - depth)
            if node is not None:
                children = hashlib.blake2b(node, digest_size=64, person=b"memfile1.salt").digest()
                self.cache[depth] = (position, children)
            else:
                children = self.cache[depth][1]
            depth += 1
            digit = index >> 2 * (16 - depth) & 3
            node = children[16 * digit:16 * digit + 16]
        return node


def read_salt_tree(cur):
    """13.3, a tree as a HISTORY row stores it."""
    count = cur.varint()
    require(count <= cur.left() // 18, "salt tree: too many nodes")
    nodes = {}
    for _ in range(count):
        depth = cur.u8()
        position = cur.varint()
        require(depth <= 16 and position < 1 << 2 * depth, "salt tree: node")
        require((depth, position) not in nodes, "salt tree: a node stands twice")
        nodes[depth, position] = cur.take(16)
    for depth, position in nodes:
        for above in range(depth):
            require((above, position >> 2 * (depth - above)) not in nodes,
                    "salt tree: a node below another")
    return SaltTree(nodes)


# --- Segment (4) ---------------------------------------------------------------------------

def group_tag(tag, data, offset):
    """Behind the segment at offset, of the tag before it (9.4)."""
    return xxhash.xxh3_64_intdigest(bytes(data[offset + 56:offset + 64]), seed=tag)


def bound_to(parent_tag, tag):
    return (int.from_bytes(parent_tag, "little") ^ tag).to_bytes(8, "little")


class Segment:
    """A sound segment header, and where its segment ends."""
    __slots__ = ("offset", "type", "flags", "codec", "reserved", "stored_length", "raw_length",
                 "previous_commit", "parent_tag", "parameter", "body_checksum", "end", "plain", "epoch",
                 "keys", "group_length")

    def is_commit(self):
        return bool(self.flags & F_COMMIT)


class Footer:
    """9.3."""

    def __init__(self, cur):
        self.stored_prefix = cur.take(32)
        self.indexed_entries = cur.varint()
        self.indexed_commits = cur.varint()
        self.superseded = cur.varint()
        self.objects = cur.varint()
        self.log_frontier = [cur.take(32) for _ in range(bounded_count(cur, 32))]
        self.dictionaries = [(cur.varint(), cur.varint(), cur.varint())
                             for _ in range(bounded_count(cur, 3))]
        self.keys = cur.varint()
        self.histories = (cur.varint(), cur.varint())
        self.runs = [Run(cur) for _ in range(bounded_count(cur, 6))]
        self.salt = cur.take(16)
        self.forgotten = cur.varint()
        self.reserved = cur.string()
        first = {}
        for run in self.runs:
            run.first_entry = first.get(run.type, 0)
            first[run.type] = run.first_entry + run.entry_count
            require(first[run.type] <= MAX_ENTRIES, "runs of too many entries")
        require(first.get(1, 0) == self.indexed_entries,
                "runs do not cover 0 to Indexed_Entries")


class Run:
    """10.6; first_entry follows from the runs before."""

    def __init__(self, cur):
        self.type = cur.varint()
        self.entry_count = cur.varint()
        self.root_offset = cur.varint() * 8
        self.root_length = cur.varint() * 8
        self.total_length = cur.varint() * 8
        self.parameters = cur.string()
        self.first_entry = 0
        if self.type == 1:
            require(self.parameters == b"", "run: Parameters of type 1")
            if self.root_offset == 0:
                require(self.root_length == self.total_length == 0, "run without items: lengths")

    def identity(self):
        return (self.first_entry, self.entry_count, self.root_offset, self.root_length,
                self.total_length)


def bounded_count(cur, least):
    """A count of things that take at least so many bytes each."""
    count = cur.varint()
    require(count <= cur.left() // least, "count beyond the head")
    return count


def read_parents(cur):
    parents = [cur.take(32) for _ in range(bounded_count(cur, 32))]
    require(all(a < b for a, b in zip(parents, parents[1:])), "parents that do not rise")
    return parents


def read_extra(cur):
    """8.6: further pairs of the commit's body."""
    extra = cur.string()
    for _, key, _, _ in read_pairs(extra):
        require(isinstance(key, str) or key >= 10, "Extra: key below 10")
    return extra


def read_signatures(cur):
    return [cur.take(96) for _ in range(bounded_count(cur, 96))]


class Commit:
    """The commit head (9.1) of a segment; the block, if INLINE, begins at block_position."""

    def __init__(self, segment, head):
        self.segment = segment
        self.offset = segment.offset
        cur = Cursor(head)
        self.flags = flags = cur.varint()
        if flags >> 9:
            raise Unknown("commit flag")
        self.number = cur.varint()
        self.first_entry = cur.varint()
        self.entry_count = cur.varint()
        require(self.first_entry + self.entry_count <= MAX_ENTRIES, "too many entries")
        self.group_length = cur.varint() * 8
        self.time = cur.zigzag()
        self.order = cur.varint() if flags & C_ORDER else max(self.time, 0)
        self.history_digest = cur.take(32)
        self.salt_index = cur.varint() if self.entry_count else None
        self.salt_root = cur.take(16) if flags & C_SALT else None
        self.parents = read_parents(cur) if flags & C_PARENTS else None
        self.author = utf8(cur.string(), "Author") if flags & C_AUTHOR else None
        self.extra = read_extra(cur) if flags & C_EXTRA else b""
        self.signatures = read_signatures(cur) if flags & C_SIGNATURES else []
        self.footer = Footer(cur) if flags & C_FULL else None
        self.footer_distance = None if flags & C_FULL else cur.varint() * 8
        self.block_position = cur.pos
        if flags & C_INLINE:
            require(flags & C_LOGICAL and self.entry_count, "INLINE without entries")
            require(cur.left(), "INLINE without a block")
        else:
            require(cur.left() == 0, "commit head is too long")
            require(segment.raw_length == 0, "commit with content that is not INLINE")
        if not flags & C_LOGICAL:                                                  # 9.2
            require(self.entry_count == 0 and flags & C_ORDER and not self.signatures, "commit that is not LOGICAL")
        self.group_start = self.offset - self.group_length
        require(self.group_start >= HEADER_LENGTH, "Group_Length")

    @property
    def logical(self):
        return bool(self.flags & C_LOGICAL)

    @property
    def inline(self):
        return bool(self.flags & C_INLINE)

    @property
    def entries_after(self):
        return self.first_entry + self.entry_count


class HistoryRow:
    """A folded commit (13.2)."""
    __slots__ = ("flags", "entry_count", "time", "order", "salt_index", "salt_tree", "parents",
                 "author", "extra", "signatures")


class HistoryPart:
    """The head of a HISTORY segment (13.2)."""

    def __init__(self, head):
        cur = Cursor(head)
        self.first_number = cur.varint()
        n = cur.varint()
        require(n <= MAX_ROWS, "HISTORY: Row_Count")
        self.first_entry = cur.varint()
        self.rows, self.entries, self.further = [], 0, None
        if n == 0:
            self.further = read_salt_tree(cur)
            require(cur.left() == 0, "HISTORY: head is too long")
            return
        flags = cur.ints(n)
        counts = cur.ints(n)
        require(self.first_entry + sum(counts) <= MAX_ENTRIES, "too many entries")
        times = list(itertools.accumulate(
            [cur.zigzag()] + [unzigzag(d) for d in cur.ints(n - 1)],
            lambda time, d: (time + d + (1 << 63)) % U64 - (1 << 63)))
        orders = iter(cur.ints(sum(f & C_ORDER > 0 for f in flags)))
        salt_indexes = iter(cur.ints(sum(c > 0 for c in counts)))
        self.rows = []
        for f, c, t in zip(flags, counts, times):
            if f >> 9:
                raise Unknown("HISTORY: commit flag")
            require(f & ~C_HISTORY == 0, "HISTORY: flag of a row")
            row = HistoryRow()
            row.flags, row.entry_count, row.time = f, c, t
            require(-1 << 63 <= t < 1 << 63, "HISTORY: time")
            row.order = next(orders) if f & C_ORDER else max(t, 0)
            row.salt_index = next(salt_indexes) if c else None
            self.rows.append(row)

        def column(name, flag, read, default):
            for row in self.rows:
                setattr(row, name, read(cur) if row.flags & flag else default)

        column("salt_tree", C_SALT, read_salt_tree, None)
        column("parents", C_PARENTS, read_parents, None)
        column("author", C_AUTHOR, lambda c: utf8(c.string(), "Author"), None)
        column("extra", C_EXTRA, read_extra, b"")
        column("signatures", C_SIGNATURES, read_signatures, [])
        require(cur.left() == 0, "HISTORY: head is too long")
        self.entries = sum(counts)


class Page:
    """An index page (10.3, 10.4): strips (kind, keys, values), or children."""

    def __init__(self, head):
        cur = Cursor(head)
        self.level = cur.u8()
        require(self.level < MAX_LEVELS, "page: Level")
        self.first_entry = cur.varint()
        self.entry_count = cur.varint()
        self.strips = []
        self.children = []
        if self.level == 0:
            self.read_strips(cur)
        else:
            self.read_children(cur)
        self.items = sum(len(pairs) for _, pairs in self.strips) + len(self.children)

    def read_strips(self, cur):
        total = 0
        last = None
        while cur.left():
            kind = cur.u8()
            form = cur.u8()
            count = cur.varint()
            total += count
            require(count >= 1 and total <= MAX_PAGE_ITEMS, "page: Count")
            if form == 0:
                keys = cur.ints(count)
                values = cur.ints(count)
            elif form == 1:
                keys = list(itertools.accumulate([cur.varint()] + cur.ints(count - 1)))
                values = list(itertools.accumulate([cur.varint()] + cur.ints(count - 1)))
                require(keys[-1] < U64 and values[-1] < U64, "page: sum of gaps")
            else:
                raise Unknown("page: Form")
            first = (kind, keys[0], values[0])
            require(last is None or last < first, "page: items do not rise")
            pairs = list(zip(keys, values))
            require(all(map(tuple.__lt__, pairs, pairs[1:])), "page: items do not rise")
            last = (kind, keys[-1], values[-1])
            self.strips.append((kind, pairs))
        require(self.strips, "page without items")

    def read_children(self, cur):
        count = cur.varint()
        require(1 <= count <= MAX_PAGE_ITEMS, "page: Count")
        columns = [cur.ints(count) for _ in range(5)]
        require(cur.left() == 0, "page: head is too long")
        for kind, key, value, offset, length in zip(*columns):
            self.children.append(((kind, key, value), offset * 8, length * 8))


# --- File (2, 3, 14) -----------------------------------------------------------------------

def all_zero(view, start, end):
    return not any(view[start:end])


def has_zero_sector(view, start, end):
    """14.3: sectors are 512-byte aligned and cut to the range."""
    while start < end:
        stop = min(end, start // 512 * 512 + 512)
        if all_zero(view, start, stop):
            return True
        start = stop
    return False


# --- Sealing (20) --------------------------------------------------------------------------

class OuterCommit:
    """What a sealed commit shows without a key."""

    def __init__(self, file, segment):
        self.segment, self.offset = segment, segment.offset
        _, length, _ = file.clear_part(segment)
        self.group_start = segment.offset - length
        if length % 8 or self.group_start < HEADER_LENGTH:
            raise Damaged("Group_Length", segment.offset)


def aead_open(key, nonce, data, box):
    """The plaintext, or None if the box does not open."""
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(bytes(box), data, bytes(nonce), key)
    except CryptoError:
        return None


def check_costs(passes, kib):
    """20.3."""
    if passes > ARGON_PASSES or kib > ARGON_MOST_KIB:
        raise OverLimit("cost of Argon2id")
    require(passes >= 1 and kib >= ARGON_LEAST_KIB, "cost of Argon2id")


def argon(phrase, passes, kib, salt):
    """Argon2id 1.3, one lane, 32 bytes."""
    check_costs(passes, kib)
    return sodium.crypto_pwhash_alg(32, phrase, salt, passes, kib << 10, sodium.crypto_pwhash_ALG_ARGON2ID13)


class KeysPart:
    """The head of a KEYS segment (20.2)."""

    def __init__(self, head):
        self.head = head
        cur = Cursor(head)
        self.header = cur.take(HEADER_LENGTH)
        self.epoch = cur.varint()
        require(1 <= self.epoch <= MAX_OLDER + 1, "Epoch")
        self.previous = cur.take(32)
        self.flags = cur.u8()
        self.kind = cur.u8()
        if self.flags & ~1 or self.kind not in (1, 2):
            raise Unknown("Keys_Flags or Slot_Kind")
        count = cur.varint()
        require(1 <= count <= (1 if self.kind == 1 else MAX_SLOTS), "Slots")
        self.slots = [cur.take(96 if self.kind == 1 else 100) for _ in range(count)]
        self.roster = None if self.kind == 1 else (cur.take(24), cur.take(32 * count + 16))
        older = cur.varint()
        require(older == self.epoch - 1, "Older")
        self.older = [(cur.take(24), cur.take(48)) for _ in range(older)]
        self.covered = head[:cur.pos]
        self.commitment = cur.take(32)
        self.succession = cur.take(32)
        require(cur.left() == 0, "head is too long")

    def check_first(self):
        if self.epoch == 1:
            require(not any(self.previous), "Previous of epoch 1")
            require(not any(self.succession), "Succession of epoch 1")


def subkey(data_key, label, incarnation, epoch):
    """20.1."""
    return hashlib.blake2b(label + incarnation + struct.pack("<I", epoch), digest_size=32, key=data_key,
                           person=b"memfile1.subkey").digest()


class Vault:
    """The data keys of all epochs, from the newest KEYS segment and what opens a slot of it."""

    def __init__(self, file, segment, key):
        self.incarnation = file.incarnation
        part = file.read_keys(segment)
        if part.header != file.header:
            raise WrongKey("KEYS of another file", segment.offset)
        try:
            data_key = self.open_slots(part, key)
        except Invalid as error:
            raise Damaged(f"KEYS: {error}", segment.offset) from None
        if data_key is None:
            raise WrongKey("no slot opens", segment.offset)
        self.keys = {part.epoch: data_key}
        self.subkeys = {}
        if not self.commits_to(part, part.epoch):
            raise WrongKey("Commitment", segment.offset)
        try:
            self.open_older(part)
            self.check_inside(part)
        except Invalid as error:
            raise Damaged(f"KEYS: {error}", segment.offset) from None

    def subkey(self, label, epoch):
        if epoch not in self.keys:
            return None
        known = self.subkeys.get((label, epoch))
        if known is None:
            known = self.subkeys[label, epoch] = subkey(self.keys[epoch], label, self.incarnation, epoch)
        return known

    def open_slots(self, part, key):
        """20.3: the data key, None if no slot opens."""
        kind, secret = key
        if part.kind == 1:
            slot = part.slots[0]
            passes, kib = struct.unpack_from("<II", slot)
            check_costs(passes, kib)
            if kind != "passphrase":
                return None
            data = b"memfile1.slot" + self.incarnation + struct.pack("<I", part.epoch) + slot[:24]
            return aead_open(argon(secret, passes, kib, slot[8:24]), slot[24:48], data, slot[48:])
        if kind != "identity":
            return None
        public = sodium.crypto_scalarmult_base(secret)
        for slot in part.slots:
            try:
                inside = sodium.crypto_box_seal_open(bytes(slot), public, secret)
            except (CryptoError, ValueError, RuntimeError):
                continue
            if inside[32:] == self.incarnation + struct.pack("<I", part.epoch):
                return inside[:32]
        return None

    def keyed(self, part, label, epoch):
        """BLAKE2b of what Commitment and Succession cover, under a subkey of that epoch's data key."""
        key = self.subkey(label, epoch)
        return hashlib.blake2b(part.covered, digest_size=32, key=key).digest()

    def commits_to(self, part, epoch):
        return self.keyed(part, b"commit", epoch) == part.commitment

    def wrapped(self, part):
        """The data keys of Older, each None if it does not open."""
        key = self.subkey(b"wrap", part.epoch)
        return [aead_open(key, nonce, struct.pack("<I", i + 1) + self.incarnation, box)
                for i, (nonce, box) in enumerate(part.older)]

    def open_older(self, part):
        for i, key in enumerate(self.wrapped(part)):
            require(key is not None, "an older key does not open")
            self.keys[i + 1] = key

    def check_inside(self, part):
        """What only an opened KEYS segment shows: Succession, roster, older keys."""
        part.check_first()
        if part.epoch > 1:
            require(self.keyed(part, b"rekey", part.epoch - 1) == part.succession, "Succession")
        require(self.wrapped(part) == [self.keys[i + 1] for i in range(len(part.older))], "older keys")
        if part.roster:
            data = struct.pack("<I", part.epoch) + self.incarnation
            roster = aead_open(self.subkey(b"roster", part.epoch), part.roster[0], data, part.roster[1])
            require(roster is not None, "roster")


KEY_LINE = re.compile(r"(MF[RS]1-SECRET-|MF[RS]1-LOCKED-|mf[rs]1-)([A-Za-z0-9_-]+)")


def key_of(text, phrase=None):
    """20.11: (prefix, 32 bytes) of the text of a key file."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    require(len(lines) == 1, "key file: not one line")
    match = KEY_LINE.fullmatch(lines[0])
    require(match and len(match[2]) % 4 == 0, "key file: form")
    prefix, raw = match[1], base64.urlsafe_b64decode(match[2])
    if "LOCKED" in prefix:
        require(len(raw) == 96, "key file: length")
        if not phrase:
            raise WrongKey("key file: a passphrase is needed")
        passes, kib = struct.unpack_from("<II", raw)
        key = aead_open(argon(phrase, passes, kib, raw[8:24]), raw[24:48], prefix.encode() + raw[:48], raw[48:])
        if key is None:
            raise WrongKey("key file: its passphrase")
        return prefix, key
    require(len(raw) == 36, "key file: length")
    require(blake(b"memfile1.key", prefix.encode(), raw[:32])[:4] == raw[32:], "key file: check")
    require(any(raw[:32]), "key file: zero")
    return prefix, raw[:32]


def passphrase(phrase):
    return "passphrase", phrase


def identity(text, phrase=None):
    """The key of a recipient, from the text of a key file."""
    if sodium is None:
        raise Newer("python3-nacl is not there")
    try:
        prefix, secret = key_of(text, phrase)
        require(prefix in ("MFR1-SECRET-", "MFR1-LOCKED-"), "key file: no recipient's secret")
    except (Invalid, OverLimit) as error:
        raise WrongKey(str(error)) from None
    return "identity", secret


class Outside:
    """20.8: what is told of a sealed file without a key; raises what is wrong."""

    def __init__(self, data):
        self.file = file = Memfile(data, opened=False)
        if not file.sealed:
            raise WrongKey("a plain file")
        self.commits = self.segments = 0
        self.keys = []                         # KeysPart of each epoch
        self.bodies = []
        self.last = None                       # the last KEYS segment
        stored, previous, start = blake(b"memfile1.store", file.header), 0, HEADER_LENGTH
        for commit in self.chain():
            prefix = b""
            if commit.group_start < start:
                raise Damaged("Group_Length", commit.offset)
            if commit.group_start > start:
                void = file.view[start:commit.group_start]
                prefix = struct.pack("<Q", len(void)) + blake(b"memfile1.bytes", void)
            at, blocks, tag = commit.group_start, [], 0
            while at <= commit.offset:
                segment = commit.segment if at == commit.offset else file.segment_at(at, commit.offset)
                bound = segment.flags & (F_COMMIT | F_SYNCED) == F_COMMIT
                if segment.previous_commit != previous or \
                        bound_to(segment.parent_tag, tag if bound else 0) != stored[:8]:
                    raise Damaged("Previous_Commit or Parent_Tag", at)
                tag = group_tag(tag, file.data, at)
                self.place(segment, commit, start)
                blocks.append(bytes(file.view[at:at + 64]) + blake(b"memfile1.bytes", file.body(segment)))
                self.segments += 1
                at = segment.end
            head = blake(b"memfile1.store", stored, prefix, *blocks[:-1]) if blocks[1:] else stored
            stored = blake(b"memfile1.store", head, blocks[-1])
            self.commits += 1
            previous, start = commit.offset, commit.segment.end
        self.stored = stored
        error = file.unfinished()
        if error:
            raise error

    def chain(self):
        commit = self.file.newest
        chain = [commit]
        while commit.segment.previous_commit:
            offset = commit.segment.previous_commit
            if offset >= commit.group_start:
                raise Damaged("Previous_Commit", commit.offset)
            segment = self.file.segment_at(offset, commit.group_start)
            if not segment.is_commit():
                raise Damaged("Previous_Commit", commit.offset)
            commit = OuterCommit(self.file, segment)
            chain.append(commit)
        return reversed(chain)

    def place(self, segment, commit, start):
        file, at = self.file, segment.offset
        void = at == commit.group_start and at > start
        if (segment.type == VOID) != void or segment.type == VOID and at == commit.offset:
            raise Damaged("VOID and void do not go together", at)
        if segment.type == VOID:
            file.check_place(segment, start, True)
            return
        if segment.is_commit() != (at == commit.offset):
            raise Damaged("commit within a group", at)
        if segment.type == KEYS:
            self.add_keys(segment)
            return
        keys, _, _ = file.clear_part(segment)
        if self.last is None:
            raise Damaged("the first segment is not KEYS", at)
        if keys != self.last.offset:
            raise Damaged("Keys is not the last KEYS segment", at)
        if segment.parameter != self.keys[-1].epoch:
            raise Damaged("epoch of a segment", at)

    def add_keys(self, segment):
        file, at = self.file, segment.offset
        part, body = file.read_keys(segment), file.body(segment)
        if part.header != file.header:
            raise Damaged("KEYS of another file", at)
        try:
            part.check_first()
            if part.kind == 1:
                check_costs(*struct.unpack_from("<II", part.slots[0]))
        except Invalid as error:
            raise Damaged(f"KEYS: {error}", at) from None
        if self.last is None and at != HEADER_LENGTH:
            raise Damaged("the first segment is not KEYS", at)
        if self.keys and part.epoch == self.keys[-1].epoch:
            if body != self.bodies[-1]:
                raise Damaged("KEYS repeated with another body", at)
        elif part.epoch != len(self.keys) + 1:
            raise Damaged("KEYS: epoch", at)
        else:
            if self.keys and part.previous != blake(b"memfile1.bytes", self.bodies[-1]):
                raise Damaged("KEYS: Previous", at)
            self.keys.append(part)
            self.bodies.append(body)
        self.last = segment


class Memfile:
    """A file whose header and newest commit are found."""

    def __init__(self, data, key=None, opened=True):
        self.data = data
        self.view = memoryview(data)
        self.length = len(data)
        self.vault = None
        self.read_header()
        if self.sealed and opened:
            if key is None:
                raise WrongKey("a key is needed")
            if sodium is None:
                raise Newer("sealed file, and python3-nacl is not there")
        if not self.sealed and key is not None:                                          # 20.8
            raise WrongKey("a key for a plain file")
        self.forget()
        self.newest = self.find_newest()
        self.end = self.newest.segment.end
        if self.sealed and opened:
            self.vault = Vault(self, self.newest_keys(), key)
            self.newest = self.commit_of(self.newest.segment)

    def forget(self):
        """Before the file is read from its start."""
        self.dictionaries = {}                 # id: segment
        self.decompressors = {}                # of the dictionaries used last
        self.work_left = WORK_BASE + WORK_PER_BYTE * self.length

    def work(self, amount):
        self.work_left -= amount
        if self.work_left < 0:
            raise Unknown("more content than this reader follows")

    # 3. Header

    def read_header(self):
        data = self.data
        if data[:12] != MAGIC:
            raise NotAMemfile("Magic")
        if self.length < HEADER_LENGTH:
            raise Truncated("header", self.length)
        header = data[:HEADER_LENGTH]
        if xxh3(header[:72]) != struct.unpack_from("<Q", header, 72)[0]:
            raise Damaged("Header_Checksum", 0)
        version, suite, reserved_1, read_features, _, _, reserved_2 = struct.unpack_from(
            "<HBBIIII", header, 12)
        if version != 1:
            raise Newer(f"Format_Version {version}")
        if suite > 1:
            raise Newer(f"Suite {suite}")
        if read_features:
            raise Newer("Read_Features")
        if reserved_1 or reserved_2 or header[64:72] != bytes(8):
            raise Newer("reserved field of the header")
        self.header = bytes(header)
        self.sealed = suite == 1
        self.incarnation = self.header[32:48]
        self.incarnation_tag = self.header[32:36]
        self.memory_id = self.header[48:64]
        self.incarnation_seed = int.from_bytes(self.incarnation_tag, "little")

    # 4. Segments

    def header_at(self, offset, end):
        """The segment header at offset if it is sound at it (4.2) and stands before end."""
        if offset % 8 or offset < HEADER_LENGTH or offset + 64 > end:
            return None
        return self.header_of(offset, offset)

    def header_of(self, at, offset):
        """The segment header that stands at `at`, if it is sound at offset."""
        raw = self.view[at:at + 64]
        if raw[:4] != SEGMENT_MAGIC:
            return None
        segment = Segment()
        (_, segment.type, segment.flags, segment.codec, segment.reserved, segment.stored_length,
         segment.raw_length, stated, segment.previous_commit, segment.parent_tag, tag,
         segment.parameter, segment.body_checksum, checksum) = SEGMENT_HEADER.unpack(raw)
        if (stated != offset or tag != self.incarnation_tag or segment.stored_length > MAX_BODY
                or segment.raw_length > MAX_BODY or xxh3(raw[:56]) != checksum):
            return None
        segment.offset = offset
        segment.plain = None                   # the inner body, once it is opened (20.6)
        segment.end = (offset + 64 + segment.stored_length + 7) // 8 * 8
        if segment.flags & F_COMMIT:
            segment.end += 8
        return segment

    def trailer_of(self, segment):
        return struct.pack("<I", segment.end - segment.offset) + TRAILER_MAGIC

    def body(self, segment):
        start = segment.offset + 64
        return self.data[start:start + segment.stored_length]

    def flaw(self, segment, end):
        """What makes the segment of a sound header unsound (4.2), or None."""
        if segment.end > end:
            return "segment goes beyond what is committed"
        start = segment.offset + 64
        stop = start + segment.stored_length
        if xxh3(self.view[start:stop]) != segment.body_checksum:
            return "Body_Checksum"
        padding_end = segment.end - 8 if segment.is_commit() else segment.end
        if not all_zero(self.view, stop, padding_end):
            return "padding"
        if segment.is_commit() and self.view[padding_end:segment.end] != self.trailer_of(segment):
            return "trailer"
        return None

    def sound_at(self, offset, end):
        segment = self.header_at(offset, end)
        return segment if segment and self.flaw(segment, end) is None else None

    def segment_at(self, offset, end):
        """The sound segment at offset, or the error."""
        segment = self.header_at(offset, end)
        if segment is None:
            raise Damaged("no sound segment header", offset)
        flaw = self.flaw(segment, end)
        if flaw:
            raise Damaged(flaw, offset)
        return segment

    def parts(self, segment):
        """4.3: head and content of a sound segment."""
        self.unseal(segment)
        if segment.flags >> 4 or segment.reserved:
            raise Newer("reserved bit of a segment header", segment.offset)
        if segment.codec not in (0, 1, 2):
            raise (Damaged if segment.codec == 15 else Newer)("codec", segment.offset)
        cur = Cursor(self.inner_body(segment))
        try:
            head = cur.take(cur.varint())
            stored = cur.take(cur.left())
            require(segment.codec == 2 or segment.parameter == 0, "Codec_Parameter")
            require(segment.raw_length or segment.codec == 0, "codec without content")
            if segment.codec == 0:
                require(len(stored) == segment.raw_length, "Raw_Length")
                return head, stored
            return head, self.decompress(segment, stored)
        except Invalid as error:
            raise Damaged(f"body: {error}", segment.offset) from None

    def decompress(self, segment, frame):
        require(frame[:4] == ZSTD_MAGIC, "no zstd frame")
        if segment.codec == 2:
            decompressor = self.decompressor(segment.parameter)
        else:
            decompressor = zstandard.ZstdDecompressor()
        try:
            parameters = zstandard.get_frame_parameters(frame)
            # The descriptor's bits tell a content size of 0 from an unstated one.
            require(frame[4] & 0xE0, "frame without content size")
            require(parameters.content_size == segment.raw_length, "frame's content size")
            require(parameters.dict_id == 0 and frame[4] & 3 == 0, "frame with dictionary id")
            require(not parameters.has_checksum, "frame with checksum")
            require(frame[4] & 0x20 or segment.raw_length <= parameters.window_size <= 8_388_608, "frame's window")
            content = decompressor.decompress(frame, max_output_size=segment.raw_length,
                                              allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Invalid(f"zstd: {error}") from None
        require(len(content) == segment.raw_length, "frame's content")
        return content

    def add_dictionary(self, number, segment):
        if segment.codec == 2:
            raise Newer("dictionary that needs a dictionary", segment.offset)
        self.dictionaries.setdefault(number, segment)

    def decompressor(self, number):
        """The one for a dictionary that was passed; few are kept."""
        found = self.decompressors.pop(number, None)
        if found is None:
            segment = self.dictionaries.get(number)
            require(segment, "dictionary that is not in a segment before")
            content = self.read_dictionary(segment)[2]
            try:
                # AUTO: a raw one if it has no zstd dictionary magic (12)
                found = zstandard.ZstdDecompressor(
                    dict_data=zstandard.ZstdCompressionDict(content))
            except zstandard.ZstdError as error:
                raise Invalid(f"dictionary: {error}") from None
        self.decompressors[number] = found
        if len(self.decompressors) > KEPT_DICTIONARIES:
            del self.decompressors[next(iter(self.decompressors))]
        return found

    def commit_of(self, segment):
        """The decoded head of a sound segment with the flag COMMIT."""
        self.unseal(segment)
        if segment.flags >> 4 or segment.reserved:
            raise Newer("reserved bit of a segment header", segment.offset)
        if segment.type != COMMIT or not segment.is_commit():
            raise Damaged("flag COMMIT and type COMMIT do not go together", segment.offset)
        if segment.codec not in (0, 1, 2):
            raise Newer("codec", segment.offset)
        cur = Cursor(self.inner_body(segment))
        try:
            commit = Commit(segment, cur.take(cur.varint()))
            require(not self.sealed or commit.group_length == segment.group_length,
                    "Group_Length inside and outside")
            return commit
        except Invalid as error:
            raise Damaged(f"commit: {error}", segment.offset) from None
        except Unknown as error:
            raise Newer(f"commit: {error}", segment.offset) from None

    # 14. The newest commit

    def counting(self, offset, end):
        """The commit at offset if it counts (9.4)."""
        segment = self.sound_at(offset, end)
        if segment is None or not segment.is_commit():
            return None
        try:
            commit = OuterCommit(self, segment) if self.sealed else self.commit_of(segment)
        except Damaged:
            return None
        if not segment.flags & F_SYNCED:
            if commit.offset - commit.group_start > MAX_UNSYNCED:
                return None
            at, tag, parents = commit.group_start, 0, set()
            while at < commit.offset:
                inner = self.sound_at(at, commit.offset)
                if inner is None or inner.previous_commit != segment.previous_commit or inner.is_commit():
                    return None
                parents.add(inner.parent_tag)
                tag = group_tag(tag, self.data, at)
                at = inner.end
            if parents and parents != {bound_to(segment.parent_tag, tag)}:
                return None
        return commit

    def find_newest(self):
        end = self.length
        if end >= HEADER_LENGTH + 72 and self.data[end - 4:end] == TRAILER_MAGIC:        # 14.1
            length = struct.unpack_from("<I", self.data, end - 8)[0]
            segment = self.header_at(end - length, end) if length <= end else None
            if segment and segment.end == end:
                commit = self.counting(segment.offset, end)
                if commit:
                    return commit
        last = None
        for last, _ in self.believable():                                                # 14.2
            pass
        if last is None or last.offset < end - LOOK_BACK:
            raise Damaged("no commit that counts", HEADER_LENGTH)
        offset = last.offset if last.is_commit() else last.previous_commit
        for _ in range(MAX_COMMIT_TRIES + 1):
            header = self.header_at(offset, end)
            if header is None or not header.is_commit():
                break
            commit = self.counting(offset, end)
            if commit:
                return commit
            if header.previous_commit >= offset:
                break
            offset = header.previous_commit
        raise Damaged("no commit that counts", HEADER_LENGTH)

    def voids(self, segment, offset):
        """Is it a VOID of bytes that are there, which hold the commit at offset?"""
        if segment.type != VOID:
            return False
        length, checksum = struct.unpack_from("<QQ", self.data, segment.offset + 65)
        start = segment.offset - length
        return HEADER_LENGTH <= start <= offset and xxh3(self.view[start:segment.offset]) == checksum

    def sound_headers(self, start, end):
        """Sound headers in steps of 8 that no sound segment encloses: (header, whole sound)."""
        at = (start + 7) // 8 * 8
        while True:
            at = self.data.find(SEGMENT_MAGIC, at, end)
            if at < 0:
                return
            header = self.header_at(at, end) if at % 8 == 0 else None
            if header is None:
                at += 1
                continue
            sound = self.flaw(header, end) is None
            yield header, sound
            at = header.end if sound else at + 8

    def unfinished(self):
        """14.3: None, or an error (Truncated, Damaged) that says what the last bytes are."""
        start, end = self.end, self.length
        if start == end:
            return None
        later = False
        at = start
        while True:
            at = self.data.find(SEGMENT_MAGIC, at, end)
            if at < 0:
                break
            header = self.header_at(at, end) if at % 8 == 0 else None
            if header:
                if header.type == VOID and header.previous_commit == self.newest.offset:
                    start, later = at, False
                if header.previous_commit > self.newest.offset:
                    later = True
            at += 1
        rule = None
        if later:
            rule = "a later commit is named"
        elif self.sound_commit_speaks(start, end):
            rule = "a sound commit whose group is not"
        elif self.trailer_speaks(start, end):
            rule = "a trailer ends them"
        elif self.commit_speaks(start, end):
            rule = "a commit is not sound"
        elif self.displaced_speaks(start, end):
            rule = "a segment was displaced"
        if rule:
            return Damaged(f"{end - start} unfinished bytes are damage: {rule}", start)
        return Truncated(f"{end - self.end} unfinished bytes", self.end)

    def believable(self):
        """The headers of 14.2 that are not stale: (header, whole sound)."""
        counted, start = 0, max(HEADER_LENGTH, self.length - LOOK_BACK - MAX_SEGMENT)
        for header, sound in self.sound_headers(start, self.length):
            if header.previous_commit < counted:
                if not (sound and self.voids(header, counted)):
                    continue
                counted = header.previous_commit
            yield header, sound
            if sound and header.is_commit() and self.counting(header.offset, self.length):
                counted = header.offset

    def sound_commit_speaks(self, start, end):
        last = None
        for header, sound in self.believable():
            if sound and header.is_commit():
                last = header
        if last is None or last.offset < start:
            return False
        try:
            commit = OuterCommit(self, last) if self.sealed else self.commit_of(last)
            start = max(start, commit.group_start)
        except (Damaged, Newer):
            pass
        return not has_zero_sector(self.view, start, last.end)

    def trailer_speaks(self, start, end):
        if end % 8 or end - start < 72 or self.data[end - 4:end] != TRAILER_MAGIC:
            return False
        length = struct.unpack_from("<I", self.data, end - 8)[0]
        if length > end - start or length % 8 or length < 72 or self.sound_at(end - length, end):
            return False
        return not has_zero_sector(self.view, end - length, end)

    def commit_speaks(self, start, end):
        at = start
        while True:
            segment = self.header_at(at, end)
            if segment is None:
                return self.trailer_behind(at, end)
            if self.flaw(segment, end) is not None:
                break
            at = segment.end
        if (not segment.is_commit() or segment.end > end
                or has_zero_sector(self.view, at, segment.end)):
            return False
        right = self.trailer_of(segment)
        trailer = self.data[segment.end - 8:segment.end]
        if trailer == right:
            return True
        body = self.view[at + 64:at + 64 + segment.stored_length]
        if xxh3(body) != segment.body_checksum:
            return False
        begun = any(trailer == right[:n] + bytes(8 - n) for n in range(8))
        return not begun and trailer[:4] != SEGMENT_MAGIC

    def trailer_behind(self, at, end):
        """A commit whose header is not sound: its trailer tells where it began."""
        for stop in range(at + 72, min(end, at + MAX_SEGMENT) + 1, 8):
            if self.data[stop - 8:stop] == struct.pack("<I", stop - at) + TRAILER_MAGIC:
                return not has_zero_sector(self.view, at, stop)
        return False

    def displaced_speaks(self, start, end):
        at = max(start, end - LOOK_BACK)
        while True:
            at = self.data.find(SEGMENT_MAGIC, at, end)
            if at < 0 or at + 64 > end:
                return False
            here = self.header_at(at, end) if at % 8 == 0 else None
            if here and self.flaw(here, end) is None:
                at = here.end
                continue
            offset, previous = struct.unpack_from("<QQ", self.data, at + 16)
            if offset != at and previous >= self.newest.offset and self.header_of(at, offset):
                return True
            at += 1

    # 2. Tiling

    def commits(self):
        """All commits, oldest first, by Previous_Commit."""
        commit = self.newest
        chain = [commit]
        while commit.segment.previous_commit:
            offset = commit.segment.previous_commit
            if offset >= commit.offset:
                raise Damaged("Previous_Commit", commit.offset)
            segment = self.segment_at(offset, commit.group_start)
            commit = self.commit_of(segment)
            chain.append(commit)
        chain.reverse()
        return chain

    def groups(self):
        """For each commit: (commit, start of its group, segments before the commit)."""
        start = HEADER_LENGTH
        for commit in self.commits():
            yield commit, start, self.group_segments(commit, start)
            start = commit.segment.end

    def group_segments(self, commit, start):
        if commit.group_start < start:
            raise Damaged("Group_Length", commit.offset)
        at = commit.group_start
        if at > start and at == commit.offset:
            raise Damaged("bytes between two commits", start)
        first = True
        while at < commit.offset:
            segment = self.segment_at(at, commit.offset)
            self.check_place(segment, start, first)
            yield segment
            at = segment.end
            first = False

    def check_place(self, segment, start, first):
        """5, 5.8, 18: what may stand before a commit, and the void."""
        offset = segment.offset
        self.unseal(segment)
        if segment.flags >> 4 or segment.reserved:
            raise Newer("reserved bit of a segment header", offset)
        if segment.type in (0, COMMIT) or segment.flags & (F_COMMIT | F_SYNCED):
            raise Damaged("type or flags of a segment before the commit", offset)
        if segment.type == SEALED or segment.type == KEYS and not self.sealed:
            raise Damaged("segment of a sealed file in a plain one", offset)
        if segment.type > VOID:
            if not segment.flags & F_OPTIONAL:
                raise Newer(f"segment type {segment.type}", offset)
        elif segment.flags != (F_DERIVED if segment.type == INDEX else 0):
            raise Damaged("flags of a segment", offset)
        if (segment.type == VOID) != (first and offset > start):
            raise Damaged("VOID and void do not go together", offset)
        if segment.type == VOID:
            head, content = self.parts(segment)
            if segment.codec or content or len(head) != 16:
                raise Damaged("VOID: body", offset)
            length, checksum = struct.unpack("<QQ", head)
            if length != offset - start:
                raise Damaged("Void_Length", offset)
            if xxh3(self.view[start:offset]) != checksum:
                raise Damaged("Void_Checksum", start)

    # 20. Seals

    def inner_body(self, segment):
        return self.body(segment) if segment.plain is None else segment.plain

    def clear_part(self, segment):
        """Fields 1 and 2 of 20.6, and the rules for the header; (Keys, Group_Length, nonce's position)."""
        if segment.flags >> 4 or segment.reserved:
            raise Newer("reserved bit of a segment header", segment.offset)
        if segment.type != SEALED:
            if segment.type > VOID and not segment.flags & F_OPTIONAL:
                raise Newer(f"segment type {segment.type}", segment.offset)
            raise Damaged("plain segment in a sealed file", segment.offset)
        if segment.codec not in (0, 1, 2, 15):
            raise Newer("codec", segment.offset)
        if segment.codec != 15 or segment.raw_length or segment.flags & (F_OPTIONAL | F_DERIVED):
            raise Damaged("header of a sealed segment", segment.offset)
        if segment.flags & F_SYNCED and not segment.is_commit():
            raise Damaged("SYNCED on what is no commit", segment.offset)
        body, at = self.body(segment), 16 if segment.is_commit() else 8
        if len(body) < at + 24 + 16 + 16:
            raise Damaged("sealed segment: length", segment.offset)
        keys, = struct.unpack_from("<Q", body)
        return keys, struct.unpack_from("<Q", body, 8)[0] if at == 16 else None, at

    def unseal(self, segment):
        """Makes of a sealed segment what stands inside it."""
        if not self.sealed or segment.plain is not None or segment.type in (KEYS, VOID):
            return
        keys, group_length, at = self.clear_part(segment)
        body = self.body(segment)
        data = (b"memfile1.seal" + self.incarnation + bytes(self.view[segment.offset:segment.offset + 48])
                + body[:at])
        key = self.vault.subkey(b"seal", segment.parameter)
        if key is None:
            raise Damaged("sealed segment: epoch", segment.offset)
        plain = aead_open(key, body[at:at + 24], data, body[at + 24:])
        if plain is None:
            raise Damaged("sealed segment does not open", segment.offset)
        kind, flags, codec, zero, raw_length, parameter, length = struct.unpack_from("<BBBBIII", plain)
        if ((flags ^ segment.flags) & (F_COMMIT | F_SYNCED) or kind in (0, KEYS, VOID, SEALED) or zero
                or raw_length > MAX_BODY or length > len(plain) - 16 or any(plain[16 + length:])):
            raise Damaged("sealed segment: what it holds", segment.offset)
        segment.keys, segment.group_length, segment.epoch = keys, group_length, segment.parameter
        segment.type, segment.flags, segment.codec = kind, flags, codec
        segment.raw_length, segment.parameter, segment.plain = raw_length, parameter, plain[16:16 + length]

    def read_keys(self, segment):
        """The KEYS segment's head (20.2)."""
        if segment.flags >> 4 or segment.reserved or segment.codec not in (0, 1, 2, 15):
            raise Newer("header of KEYS", segment.offset)
        if segment.type != KEYS or segment.flags or segment.codec:
            raise Damaged("KEYS: type, flags or codec", segment.offset)
        return self.read_headed(segment, "KEYS", KeysPart)

    def newest_keys(self):
        """20.5: the KEYS segment that the newest commit names, else another of that epoch."""
        newest = self.newest.segment
        keys, _, _ = self.clear_part(newest)

        def fits(segment):
            if segment is None or segment.type != KEYS:
                return False
            try:
                return self.read_keys(segment).epoch == newest.parameter
            except Damaged:
                return False

        segment = self.sound_at(keys, newest.offset)
        if fits(segment):
            return segment
        if keys % 8 or not HEADER_LENGTH <= keys < newest.offset or segment is not None and segment.type != KEYS:
            raise Damaged("Keys of the newest commit", newest.offset)
        for header, sound in self.sound_headers(HEADER_LENGTH, newest.offset):
            if sound and fits(header):
                return header
        if segment is not None and segment.type == KEYS:
            self.read_keys(segment)            # says what is wrong with it
        raise Damaged("no KEYS segment of the newest epoch", keys)

    def read(self, segment, what, read):
        """Calls read(head, content) of the segment; what it finds invalid is damage."""
        head, content = self.parts(segment)
        try:
            return read(head, content)
        except Invalid as error:
            raise Damaged(f"{what}: {error}", segment.offset) from None
        except Unknown as error:
            raise Newer(f"{what}: {error}", segment.offset) from None

    def read_inline(self, commit):
        return self.read(commit.segment, "inline block",
                         lambda head, content: Block(
                             Cursor(head, commit.block_position), content))

    def read_records(self, segment):
        def read(head, content):
            cur = Cursor(head)
            first = cur.varint()
            return first, Block(cur, content)
        return self.read(segment, "RECORDS", read)

    def read_chunk(self, segment):
        def read(head, content):
            cur = Cursor(head)
            number, index = cur.varint(), cur.varint()
            require(cur.left() == 0, "head is too long")
            require(1 <= len(content) <= CHUNK, "length")
            require(index < MAX_CHUNKS, "Chunk_Index")
            return number, index, content
        return self.read(segment, "CHUNK", read)

    def read_dictionary(self, segment):
        def read(head, content):
            cur = Cursor(head)
            number, copy = cur.varint(), cur.u8()
            require(cur.left() == 0, "head is too long")
            require(copy in (0, 1), "copy number")
            require(content, "a dictionary without content")
            require(number == (xxh3(content) & 0xFFFFFFFF or 1), "Dictionary_Id")
            return number, copy, content
        return self.read(segment, "DICTIONARY", read)

    def read_headed(self, segment, what, cls):
        """A segment type that has no content."""
        def read(head, _):
            require(segment.raw_length == 0, "content")
            return cls(head)
        return self.read(segment, what, read)

    # Entries, without all that verify compares

    def entries(self, as_of=None):
        """Iterates over the entries in order; as_of: only those up to that commit (15.4)."""
        self.forget()
        limit = None if as_of is None else self.entries_after(as_of)
        self.objects = Objects()
        number = 0
        for commit, _, segments in self.groups():
            blocks = []
            for segment in segments:
                if segment.type == DICTIONARY:
                    identity = self.read_dictionary(segment)[0]
                    self.add_dictionary(identity, segment)
                elif segment.type == CHUNK_TYPE:
                    self.objects.add(segment, *self.read_chunk(segment))
                elif segment.type == RECORDS:
                    blocks.append(segment)
            self.objects.close()
            if commit.inline:
                blocks = [commit.segment]
            for segment in blocks:
                block = (self.read_inline(commit) if commit.inline
                         else self.read_records(segment)[1])
                for entry in self.rows(segment, block):
                    if limit is not None and number >= limit:
                        return
                    entry.number = number
                    number += 1
                    yield entry

    def rows(self, segment, block):
        """The entries of a block that stands in the segment."""
        try:
            row = -1
            for row, entry in enumerate(block):
                self.work(len(entry.core or b"") + 100)
                yield entry
        except Invalid as error:
            raise Damaged(f"row {row + 1}: {error}", segment.offset) from None
        except Unknown as error:
            raise Newer(f"row {row + 1}: {error}", segment.offset) from None

    def forgotten(self):
        """Numbers of the entries that no read gives (10.8); as far as the file can be verified."""
        self.forget()
        verifier = Verifier(self)
        try:
            verifier.run()
        except MemfileError:
            pass
        self.forget()
        return verifier.forgotten

    def entries_after(self, number):
        """The COMMIT value of a commit (10.1), from the commits and folded commits."""
        total = 0
        for commit, _, segments in self.groups():
            for segment in segments:
                if segment.type == HISTORY:
                    part = self.read_headed(segment, "HISTORY", HistoryPart)
                    if part.first_number <= number < part.first_number + len(part.rows):
                        index = number - part.first_number
                        return part.first_entry + sum(
                            row.entry_count for row in part.rows[:index + 1])
            if commit.logical and commit.number == number:
                return commit.entries_after
            total = commit.number
        raise LookupError(f"no commit {number}; the newest is {total}")

    def content(self, root):
        """The bytes of detached content, after entries() has passed the entry."""
        numbers = self.objects.by_root.get(root)
        if numbers is None:
            raise Damaged("content object that is not in the file", 0)
        return b"".join(self.read_chunk(segment)[2]
                        for segment in self.objects.list[numbers[0]].segments)

    def to_json(self, entry):
        """7.7: the entry as an object that json.dumps writes."""
        out = {}
        for key, value in sorted(entry.fields.items(),
                                 key=lambda field: (isinstance(field[0], str), field[0])):
            if isinstance(key, str):
                if key.startswith("@") or key in FIELDS and key != "content":
                    raise Damaged(f"entry {entry.number}: extension that JSON cannot hold")
                out[key] = value
            elif key > REASON:
                out[f"@{key}"] = value
            elif value is None:
                out[FIELDS[key]] = None
            elif key == OP:
                out["op"] = "forget" if value == 1 else value
            elif key == ID:
                out["id"] = id_text(value)
            elif key in (TIME, RECORDED, VALID_FROM, VALID_TO, EXPIRES):
                out[FIELDS[key]] = time_text(value)
            elif key == DATA:
                out["data"] = base64.b64encode(value).decode()
            elif key == CONTENT:
                data = self.content(value[2])
                if value[0] == 0:
                    try:
                        out["text"] = data.decode()
                    except UnicodeDecodeError:
                        raise Damaged(f"entry {entry.number}: content that is no valid UTF-8"
                                      ) from None
                else:
                    out["data"] = base64.b64encode(data).decode()
            elif key == LINKS:
                out["links"] = [{"rel": rel, "to": id_text(to)} for rel, to in value]
            elif key == DERIVED_FROM:
                out["derived_from"] = [id_text(item) for item in value]
            elif key == SUPERSEDES:
                out["supersedes"] = [item.hex() for item in value]
            elif key == EMBEDDING:
                out["embedding"] = embedding = {"space": value[0]}
                if entry.vector is not None:
                    values = vector_values(entry)
                    if value[1] == 1:
                        values = map(short_float, values)
                    embedding["values"] = list(values)
            else:
                out[FIELDS[key]] = value
        return out

    def verify(self):
        """15.5; returns a Report, or raises what is wrong."""
        self.forget()
        report = Verifier(self).run()
        error = self.unfinished()
        if error:
            raise error
        return report


def id_text(value):
    if isinstance(value, str):
        return value
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def time_text(value):
    """RFC 3339 of a time, also of the year 0000."""
    seconds, digits, fraction = (value, 0, 0) if isinstance(value, int) else value
    days, second = divmod(seconds, 86_400)
    # Days since 0000-03-01; eras of 400 years of 146,097 days
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += era * 400 + (month >= 10)
    month = month + 3 if month < 10 else month - 9
    text = (f"{year:04}-{month:02}-{day + 1:02}T"
            f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}")
    return text + (f".{fraction:0{digits}}Z" if digits else "Z")


def short_float(value):
    """The 64-bit float that the fewest digits of a 32-bit float read as (7.7)."""
    for precision in range(1, 10):
        number = float(f"{value:.{precision}g}")
        try:
            if struct.unpack("<f", struct.pack("<f", number))[0] == value:
                return number
        except OverflowError:
            pass
    return value


# --- Content objects (11) ------------------------------------------------------------------

class ContentObject:
    """An object as its chunks come."""

    def __init__(self):
        self.segments = []
        self.hashes = []
        self.length = 0
        self.root = None
        self.open = True
        self.last_length = CHUNK
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = True

    def add(self, segment, index, content):
        require(self.open, "CHUNK of an object that an earlier commit has closed")
        require(index == len(self.segments), "Chunk_Index")
        require(self.last_length == CHUNK, "CHUNK behind the last of its object")
        self.last_length = len(content)
        self.length += len(content)
        self.segments.append(segment)
        self.hashes.append(blake(b"memfile1.chunk", content))
        if self.text:
            try:
                self.decoder.decode(content)
            except UnicodeDecodeError:
                self.text = False

    def close(self):
        self.root = tree_hash(self.hashes, 16)
        self.open = False
        if self.text:
            try:
                self.decoder.decode(b"", True)
            except UnicodeDecodeError:
                self.text = False
        self.decoder = self.hashes = None


class Objects:
    """The content objects of a file; close() at each commit."""

    def __init__(self):
        self.list = []
        self.by_root = {}
        self.closed = 0
        self.chunk_offsets = {}                # key of a CHUNK item: offset
        self.chunk_ordinals = {}               # key of a CHUNK item: how many came before

    def add(self, segment, number, index, content):
        try:
            require(number <= len(self.list), "Object_Number")
            if number == len(self.list):
                self.list.append(ContentObject())
            self.list[number].add(segment, index, content)
        except Invalid as error:
            raise Damaged(f"CHUNK: {error}", segment.offset) from None
        key = number * MAX_CHUNKS + index
        self.chunk_ordinals[key] = len(self.chunk_ordinals)
        self.chunk_offsets[key] = segment.offset

    def close(self):
        for number in range(self.closed, len(self.list)):
            item = self.list[number]
            item.close()
            self.by_root.setdefault(item.root, []).append(number)
        self.closed = len(self.list)


# --- History (8.5, 8.6) --------------------------------------------------------------------

class Log:
    """All logical commits of the file, and the digests that follow from them."""
    def __init__(self, memory_id):
        self.memory_id = memory_id
        self.digests = []
        self.orders = []
        self.entries_after = []
        self.peaks = []                        # (size, root) of the complete subtrees
        self.peaks_before = []                 # the same without the newest commit

    def frontier(self, number):
        """9.3: roots of the complete subtrees of the log of the commits before `number`."""
        peaks = self.peaks if number == len(self.digests) else self.peaks_before
        return [root for _, root in peaks]

    def add(self, commit, entry_count, leaves):
        """Adds a logical commit (Commit or HistoryRow); returns its history digest."""
        number = len(self.digests)
        require(not number or commit.order > self.orders[-1], "order does not exceed that of the commit before")
        parents = commit.parents
        if parents is None:
            parents = self.digests[-1:]
        root = None
        for _, peak in reversed(self.peaks):
            root = peak if root is None else blake(b"memfile1.node", peak, root)

        pairs = [b"\x01" + cbor_bytes(self.memory_id)]
        if parents:
            pairs.append(b"\x02" + cbor_array([cbor_bytes(digest) for digest in parents]))
        pairs.append(b"\x03" + cbor_int(entry_count))
        if entry_count:
            pairs.append(b"\x04" + cbor_bytes(tree_hash(leaves, 16)))
        pairs.append(b"\x05" + cbor_int(number))
        if number:
            pairs.append(b"\x06" + cbor_bytes(root))
        pairs.append(b"\x07" + cbor_int(commit.order))
        pairs.append(b"\x08" + cbor_int(commit.time))
        if commit.author is not None:
            pairs.append(b"\x09" + cbor_text(commit.author))
        count = len(pairs) + len(read_pairs(commit.extra))
        digest = blake(b"memfile1.commit", cbor_head(5, count), *pairs, commit.extra)
        for entry in commit.signatures:                                            # 20.9
            message = b"memfile1.signature" + self.memory_id + digest + number.to_bytes(8, "little")
            require(ed25519.valid(entry[32:], entry[:32], message), "signature")

        self.digests.append(digest)
        self.orders.append(commit.order)
        self.entries_after.append((self.entries_after[-1] if number else 0) + entry_count)
        self.peaks_before = list(self.peaks)
        self.peaks.append((1, digest))
        while len(self.peaks) > 1 and self.peaks[-1][0] == self.peaks[-2][0]:
            size, right = self.peaks.pop()
            _, left = self.peaks.pop()
            self.peaks.append((2 * size, blake(b"memfile1.node", left, right)))
        return digest


# --- Verify (15.5) -------------------------------------------------------------------------

class Report:
    def __init__(self, entries, commits, history, stored):
        self.entries = entries
        self.commits = commits
        self.history = history
        self.stored = stored


class Ranges:
    """A set of integers as a list of ranges, from integers that mostly rise."""

    def __init__(self, numbers):
        self.list = []
        for number in sorted(numbers):
            if self.list and self.list[-1][1] == number:
                self.list[-1][1] = number + 1
            else:
                self.list.append([number, number + 1])


def tiles(ranges, end):
    """Whether the ranges hold each of 0 to end − 1 exactly once."""
    at = 0
    for start, stop in sorted(itertools.chain.from_iterable(r.list for r in ranges)):
        if start != at:
            return False
        at = stop
    return at == end


class Verifier:
    """Goes over the file once from its start and compares all that it states."""

    def __init__(self, file):
        self.file = file
        self.objects = Objects()
        self.log = Log(file.memory_id)
        self.stored = blake(b"memfile1.store", file.header)         # S of the last commit (8.7)
        self.previous = None                                        # the last commit
        self.last_full = None
        self.since_full = 0
        self.entry_count = 0
        self.leaves = []                       # of the group's entries
        self.salt_tree = None
        self.tree_before = None                # the tree in use before this commit
        self.next_salt = 0
        self.dictionary_copies = {}            # id: [offset of copy 0, of copy 1, digest]
        self.histories = []                    # segments
        self.rows = []                         # folded commits
        self.folded_entries = 0
        self.content_references = []
        # What the runs' items are compared with, in the order of entries
        self.item_keys = {kind: array("Q") for kind in ENTRY_KINDS}
        self.item_values = {kind: array("Q") for kind in ENTRY_KINDS}
        self.facet_hashes = {}
        self.last_by_id = {}
        self.last_by_key = {}
        self.superseded = set()
        self.by_leaf = {}                      # leaf: entries (10.8)
        self.erased = set()
        self.forgotten = set()
        self.index_segments = {}               # offset: segment
        self.pages = {}                        # decoded pages
        self.kept_items = 0
        self.verified_runs = {}
        self.keys = None                       # the last KEYS segment
        self.epoch = 0
        self.keys_body = None

    def run(self):
        for commit, start, segments in self.file.groups():
            offset = commit.offset
            try:
                self.group(commit, start, segments)
            except Invalid as error:
                raise Damaged(f"commit {commit.number}: {error}", offset) from None
            except Unknown as error:
                raise Newer(f"commit {commit.number}: {error}", offset) from None
        return Report(self.entry_count, len(self.log.digests), self.log.digests[-1], self.stored)

    # Groups

    def group(self, commit, start, segments):
        file = self.file
        self.leaves = []
        self.content_references = []
        self.check_numbers(commit)
        salts = None
        if commit.logical:
            salts = self.take_salts(commit.salt_index, commit.entry_count,
                                    commit.salt_root and SaltTree({(0, 0): commit.salt_root}))
        else:
            self.tree_before = self.salt_tree
        chain = hashlib.blake2b(self.stored, digest_size=32, person=b"memfile1.store")
        if commit.group_start > start:
            void = file.view[start:commit.group_start]
            chain.update(struct.pack("<Q", len(void)) + blake(b"memfile1.bytes", void))
        alone, tag = True, 0
        for segment in segments:
            alone = False
            self.check_chain(segment)
            tag = group_tag(tag, file.data, segment.offset)
            self.check_seal(segment)
            chain.update(self.stored_bytes(segment))
            if segment.type == KEYS:
                self.read_keys(segment, commit)
            elif segment.type == RECORDS:
                if not commit.logical and self.previous is None and salts is None:
                    salts = self.folded_salts()
                self.records(segment, commit, salts)
            elif segment.type == CHUNK_TYPE:
                self.objects.add(segment, *file.read_chunk(segment))
            elif segment.type == INDEX:
                if segment.stored_length > MAX_PAGE_BODY:
                    raise Damaged("INDEX: body above 65,536 bytes", segment.offset)
                self.index_segments[segment.offset] = segment
                self.page(segment)
            elif segment.type == DICTIONARY:
                self.dictionary(segment)
            elif segment.type == HISTORY:
                self.history(segment, commit)
        self.check_chain(commit.segment, 0 if commit.segment.flags & F_SYNCED else tag)
        self.check_seal(commit.segment)
        file.parts(commit.segment)
        require(not commit.segment.flags & (F_OPTIONAL | F_DERIVED), "COMMIT that is OPTIONAL or DERIVED")
        prefix = self.stored if alone else chain.digest()
        self.objects.close()

        if not commit.logical:
            self.fold(commit)
        elif not commit.inline:
            self.add_commit(commit)            # first, as its COMMIT item may be in a run
        if commit.footer:
            tree = self.tree_before if commit.logical else self.salt_tree
            self.check_footer(commit, prefix, tree)
        else:
            require(alone, "commit that is not FULL with other segments in its group")
        if commit.inline:
            self.inline(commit, salts)
            self.add_commit(commit)
        self.check_references(commit)
        self.check_full(commit)
        self.stored = blake(b"memfile1.store", prefix, self.stored_bytes(commit.segment))
        self.previous = commit

    def check_seal(self, segment):
        """20.5, 20.6: Keys and epoch of a sealed segment; the first segment is KEYS."""
        if not self.file.sealed or segment.type in (KEYS, VOID):
            return
        if self.keys is None:
            raise Damaged("the first segment is not KEYS", segment.offset)
        if segment.epoch != self.epoch or segment.keys != self.keys.offset:
            raise Damaged("Keys or epoch of a sealed segment", segment.offset)

    def read_keys(self, segment, commit):
        """20.2, 20.5."""
        part, body = self.file.read_keys(segment), self.file.body(segment)
        vault, at = self.file.vault, segment.offset
        require(part.header == self.file.header, "KEYS of another file")
        if self.keys is None and at != HEADER_LENGTH:
            raise Damaged("the first segment is not KEYS", at)
        if part.epoch == self.epoch:
            if body != self.keys_body:
                raise Damaged("KEYS repeated with another body", at)
        else:
            require(part.epoch == self.epoch + 1, "KEYS: epoch")
            require(part.epoch == 1 or not commit.logical, "KEYS of a new epoch, and a LOGICAL commit")
            require(part.epoch == 1 or part.previous == blake(b"memfile1.bytes", self.keys_body), "KEYS: Previous")
            require(part.epoch in vault.keys, "KEYS: an epoch above that of the newest commit")
            require(vault.commits_to(part, part.epoch), "KEYS: Commitment")
            vault.check_inside(part)
            self.epoch, self.keys_body = part.epoch, body
        self.keys = segment

    def add_commit(self, commit):
        require(self.entry_count == commit.entries_after, "Entry_Count")
        digest = self.log.add(commit, commit.entry_count, self.leaves)
        require(digest == commit.history_digest, "History_Digest")

    def check_chain(self, segment, tag=0):
        """Previous_Commit and Parent_Tag (4.1); `tag`: of the group that a commit is bound to (9.4)."""
        expected = self.previous.offset if self.previous else 0
        if segment.previous_commit != expected:
            raise Damaged("Previous_Commit", segment.offset)
        if bound_to(segment.parent_tag, tag) != self.stored[:8]:
            raise Damaged("Parent_Tag", segment.offset)

    def stored_bytes(self, segment):
        """B(segment) of 8.7."""
        offset = segment.offset
        return (bytes(self.file.view[offset:offset + 64])
                + blake(b"memfile1.bytes", self.file.body(segment)))

    def check_numbers(self, commit):
        """2.3, 9.1, 9.2, 15.1."""
        if self.previous is None:
            require(commit.footer, "first commit that is not FULL")
            if commit.logical:
                require(commit.number == 0 and commit.entry_count == 0, "genesis")
            return
        if commit.logical:
            require(commit.number == len(self.log.digests), "Number")
        else:
            require(commit.number == len(self.log.digests) - 1, "Number")
        require(commit.first_entry == self.entry_count, "First_Entry")

    def check_full(self, commit):
        """9.1, 9.5."""
        if commit.footer:
            self.last_full, self.since_full = commit, 0
            return
        self.since_full += 1
        require(commit.offset - commit.footer_distance == self.last_full.offset,
                "Footer_Distance")
        require(self.since_full < MAX_COMMIT_DISTANCE, "64th commit that is not FULL")

    # Salts

    def take_salts(self, index, count, new_tree):
        """(tree, index) of the next `count` entries' salts (8.2, 8.3)."""
        self.tree_before = self.salt_tree
        if new_tree:
            self.salt_tree, self.next_salt = new_tree, 0
        if not count:
            return None
        require(self.salt_tree, "entries without a salt tree")
        require(index >= self.next_salt, "Salt_Index was taken before")
        require(index + count <= 1 << 32, "Salt_Index beyond the tree")
        self.next_salt = index + count
        return zip(itertools.repeat(self.salt_tree), range(index, index + count))

    # HISTORY (13.2)

    def history(self, segment, commit):
        if self.previous is not None or commit.logical or self.entry_count:
            raise Damaged("HISTORY at a wrong place", segment.offset)
        part = self.file.read_headed(segment, "HISTORY", HistoryPart)
        if self.histories and self.histories[-1].end != segment.offset:
            raise Damaged("HISTORY segments do not stand one after the other", segment.offset)
        if part.first_number != len(self.rows):
            raise Damaged("HISTORY: First_Number", segment.offset)
        if part.first_entry != self.folded_entries:
            raise Damaged("HISTORY: First_Entry", segment.offset)
        self.file.work(100 * len(part.rows))
        self.histories.append(segment)
        if part.further:
            if not self.rows or not self.rows[-1].salt_tree:
                raise Damaged("HISTORY: nodes behind a row without SALT", segment.offset)
            self.rows[-1].salt_tree.extend(part.further)
            self.file.work(20 * len(part.further.nodes))
        self.rows += part.rows
        self.folded_entries += part.entries

    def folded_salts(self):
        """(tree, index) of each entry, as the rows say; an erased one's salt may be gone."""
        salts = []
        for row in self.rows:
            taken = self.take_salts(row.salt_index, row.entry_count, row.salt_tree)
            if taken:
                salts.append(taken)
        return itertools.chain.from_iterable(salts)

    def fold(self, commit):
        """A commit without LOGICAL (9.2): the compacting one, or one that brings no entries."""
        if self.previous is None:
            require(self.rows, "compacting commit without HISTORY")
            if not self.entry_count:
                self.folded_salts()
            require(self.folded_entries == self.entry_count,
                    "rows of HISTORY and entries disagree")
            require(self.rows[0].entry_count == 0, "genesis with entries")
            at = 0
            for row in self.rows:
                leaves = self.leaves[at:at + row.entry_count]
                at += row.entry_count
                self.log.add(row, row.entry_count, leaves)
        require(commit.number == len(self.log.digests) - 1, "Number")
        require(commit.first_entry == self.entry_count, "First_Entry")
        require(commit.history_digest == self.log.digests[-1], "History_Digest")
        require(commit.order == self.log.orders[-1], "Order")
        if commit.salt_root:
            self.salt_tree, self.next_salt = SaltTree({(0, 0): commit.salt_root}), 0

    # Entries

    def records(self, segment, commit, salts):
        if commit.inline:
            raise Damaged("RECORDS in a group whose commit is INLINE", segment.offset)
        if not commit.logical and self.previous is not None:
            raise Damaged("RECORDS in a group whose commit is not LOGICAL", segment.offset)
        first, entries = self.file.read_records(segment)
        if first != self.entry_count:
            raise Damaged("RECORDS: First_Entry", segment.offset)
        self.add_entries(segment, entries, salts)

    def inline(self, commit, salts):
        entries = self.file.read_inline(commit)
        require(len(entries) == commit.entry_count, "rows of the inline block")
        self.inline_forget = False
        self.add_entries(commit.segment, entries, salts)
        require(not self.inline_forget, "an entry of op forget inline")

    def add_entries(self, segment, entries, salts):
        try:
            self.add_item(I_BLOCK, self.entry_count, segment.offset // 8)
            for entry in self.file.rows(segment, entries):
                self.add_entry(entry, salts)
        except Invalid as error:
            raise Damaged(f"entry {self.entry_count}: {error}", segment.offset) from None

    def add_entry(self, entry, salts):
        tree, index = next(salts, (None, None)) if salts else (None, None)
        require(tree, "more entries than are counted")
        if entry.erased is not None:
            self.leaves.append(entry.erased)
            self.erased.add(self.entry_count)
        else:
            self.leaves.append(blake(b"memfile1.leaf", tree.salt(index), entry.core))
            self.add_items(entry.fields)
            if entry.fields.get(OP) == 1:
                self.forget(entry.fields.get(SUPERSEDES) or ())
            if CONTENT in entry.fields:
                self.content_references.append(
                    (self.entry_count, tuple(entry.fields[CONTENT])))
        self.by_leaf.setdefault(self.leaves[-1], []).append(self.entry_count)
        self.entry_count += 1

    def forget(self, leaves):
        """10.8: FORGOTTEN items of the entry that is being added."""
        self.inline_forget = True
        for leaf in set(leaves):
            for number in self.by_leaf.get(bytes(leaf), ()):
                self.add_item(I_FORGOTTEN, number, self.entry_count)
                if number not in self.erased:
                    self.forgotten.add(number)

    def check_references(self, commit):
        """11: what entries say of content objects."""
        for number, (form, length, root) in self.content_references:
            objects = self.objects.by_root.get(root)
            require(objects, f"entry {number}: content object that is not in the file")
            item = self.objects.list[objects[0]]
            require(item.length == length, f"entry {number}: length of the content")
            require(form == 1 or item.text, f"entry {number}: content that is no valid UTF-8")

    # Items (10.1, 10.2)

    def add_item(self, kind, key, value):
        self.item_keys[kind].append(key)
        self.item_values[kind].append(value)

    def hash(self, kind, data):
        return xxh3(data, (kind << 32) + self.file.incarnation_seed) >> 32

    def facet(self, kind, data):
        known = self.facet_hashes.get((kind, data))
        if known is None:
            if len(self.facet_hashes) > 100_000:
                self.facet_hashes.clear()
            known = self.facet_hashes[kind, data] = self.hash(kind, data)
        return known

    def supersede(self, table, what):
        """FATE items of the entry that is being added."""
        before = table.get(what)
        table[what] = self.entry_count
        return before

    def add_items(self, fields):
        number = self.entry_count
        identity = fields[ID]
        raw = identity if isinstance(identity, bytes) else identity.encode()
        self.add_item(I_ID, self.hash(0, raw), number)
        superseded = {self.supersede(self.last_by_id, identity)}
        names = b""
        for name in fields.get(SCOPE) or ():
            names += varint_string(name)
            self.add_item(I_FACET, self.facet(4, names), number)
        if fields.get(KEY) is not None:
            names += varint_string(fields[KEY])
            self.add_item(I_KEY, self.hash(1, names), number)
            place = (tuple(fields.get(SCOPE) or ()), fields[KEY])
            superseded.add(self.supersede(self.last_by_key, place))
        time = fields.get(TIME)
        if time is not None:
            seconds = time if isinstance(time, int) else time[0]
            self.add_item(I_TIME, seconds - TIME_LEAST, number)
        if fields.get(KIND) is not None:
            self.add_item(I_FACET, self.facet(2, fields[KIND].encode()), number)
        for tag in fields.get(TAGS) or ():
            self.add_item(I_FACET, self.facet(3, tag.encode()), number)
        if fields.get(IDEMPOTENCY_KEY) is not None:
            self.add_item(I_IDEMPOTENCY, self.hash(5, fields[IDEMPOTENCY_KEY].encode()), number)
        superseded.discard(None)
        for before in superseded:
            self.add_item(I_FATE, before, number)
            self.superseded.add(before)

    def expected(self, kind, first, end):
        """The items of a run over these entries, in order."""
        keys, values = self.item_keys[kind], self.item_values[kind]
        by = keys if kind == I_BLOCK else values
        low, high = bisect.bisect_left(by, first), bisect.bisect_left(by, end)
        return sorted(set(zip(keys[low:high], values[low:high])))

    # DICTIONARY (12)

    def dictionary(self, segment):
        number, copy, content = self.file.read_dictionary(segment)
        digest = blake(b"", content)
        copies = self.dictionary_copies.setdefault(number, [None, None, digest])
        if copies[copy] is not None:
            raise Damaged("DICTIONARY: a copy stands twice", segment.offset)
        if copies[2] != digest:
            raise Damaged("DICTIONARY: its copies differ", segment.offset)
        copies[copy] = segment.offset
        self.file.add_dictionary(number, segment)

    # Footer (9.3)

    def check_footer(self, commit, prefix, tree):
        footer = commit.footer
        require(footer.stored_prefix == prefix, "footer: Stored_Prefix")
        require(footer.indexed_entries == self.entry_count, "footer: Indexed_Entries")
        known = self.log.entries_after
        if commit.logical and commit.number == 0:
            indexed = 0
        elif commit.inline:
            indexed = commit.number
        else:
            indexed = commit.number + 1
        require(footer.indexed_commits == indexed, "footer: Indexed_Commits")
        require(footer.superseded == len(self.superseded), "footer: Superseded")
        require(footer.forgotten == len(self.forgotten), "footer: Forgotten")
        require(footer.objects == len(self.objects.list), "footer: Objects")
        require(footer.log_frontier == self.log.frontier(commit.number), "footer: Log_Frontier")
        dictionaries = []
        for number, (first, second, _) in self.dictionary_copies.items():
            require(first and second, "DICTIONARY: only one copy")
            dictionaries.append((number, first // 8, second // 8))
        require(footer.dictionaries == dictionaries, "footer: Dictionaries")
        require(footer.keys * 8 == (self.keys.offset if self.keys else 0), "footer: Keys")
        first = self.histories[0].offset // 8 if self.histories else 0
        require(footer.histories == (len(self.histories), first), "footer: Histories")
        require(footer.salt == (tree.root() if tree else bytes(16)), "footer: Salt")

        runs = [run for run in footer.runs if run.type == 1]
        found = [self.check_run(run, commit, known) for run in runs]
        for kind, end, what in ((I_OBJECT, len(self.objects.list), "OBJECT"),
                                (I_CHUNK, len(self.objects.chunk_ordinals), "CHUNK"),
                                (I_COMMIT, indexed, "COMMIT")):
            self.file.work(16 * sum(len(ranges[kind].list) for ranges in found))
            require(tiles([ranges[kind] for ranges in found], end),
                    f"runs: {what} items are not complete")

    def check_run(self, run, commit, known):
        """Compares a run's items with those that the entries give; returns what it holds of
        kinds 8 to 10, as ranges."""
        done = self.verified_runs.get(run.identity())
        if done:
            return done
        first, end = run.first_entry, run.first_entry + run.entry_count
        expected = {kind: self.expected(kind, first, end) for kind in ENTRY_KINDS}
        found = {kind: [] for kind in FILE_KINDS}
        position = dict.fromkeys(ENTRY_KINDS, 0)
        state = {"length": 0, "last": (-1,)}
        for kind, pairs in self.strips(run, state):
            if kind in expected:
                at = position[kind]
                require(expected[kind][at:at + len(pairs)] == pairs,
                        f"run: items of kind {kind} are not those of the entries")
                position[kind] = at + len(pairs)
            elif kind == I_OBJECT:
                for key, value in pairs:
                    require(value < len(self.objects.list)
                            and key == int.from_bytes(self.objects.list[value].root[:8],
                                                      "little"), "run: OBJECT item")
                    found[kind].append(value)
            elif kind == I_CHUNK:
                for key, value in pairs:
                    require(self.objects.chunk_offsets.get(key) == value * 8, "run: CHUNK item")
                    found[kind].append(self.objects.chunk_ordinals[key])
            elif kind == I_COMMIT:
                for key, value in pairs:
                    require(key < len(known) and known[key] == value, "run: COMMIT item")
                    found[kind].append(key)
        for kind in ENTRY_KINDS:
            require(position[kind] == len(expected[kind]),
                    f"run: items of kind {kind} are missing")
        require(state["length"] == run.total_length, "run: total length")
        done = {kind: Ranges(numbers) for kind, numbers in found.items()}
        self.verified_runs[run.identity()] = done
        return done

    def page(self, segment):
        """The decoded page; as many are kept as hold some number of items."""
        page = self.pages.get(segment.offset)
        if page is None:
            page = self.file.read_headed(segment, "INDEX", Page)
            self.file.work(16 * page.items)
            self.kept_items += page.items
            if self.kept_items > KEPT_ITEMS:
                self.pages.clear()
                self.kept_items = page.items
            self.pages[segment.offset] = page
        return page

    def strips(self, run, state):
        """The strips of a run's pages in order (10.3 to 10.6)."""
        if run.root_offset:
            yield from self.descend(run, run.root_offset, run.root_length, None, None, state)

    def descend(self, run, offset, length, level, first, state):
        segment = self.index_segments.get(offset)
        require(segment, "run: no INDEX segment where a page should be")
        require(offset <= run.root_offset, "run: page behind its root")
        require(segment.end - offset == length, "run: length of a page's segment")
        state["length"] += length
        page = self.page(segment)
        require((page.first_entry, page.entry_count) == (run.first_entry, run.entry_count),
                "page of another run")
        require(level is None or page.level == level, "page: Level")
        if page.level:
            for item, child, child_length in page.children:
                require(first is None or item == first, "page: first item of a child")
                first = None
                yield from self.descend(run, child, child_length, page.level - 1, item, state)
            return
        for kind, pairs in page.strips:
            start = (kind, *pairs[0])
            require(first is None or start == first, "page: first item of a child")
            first = None
            require(state["last"] < start, "run: items do not rise from page to page")
            state["last"] = (kind, *pairs[-1])
            yield kind, pairs


def varint_string(text):
    """A string (1.4) of a text."""
    data = text.encode()
    length = len(data)
    out = bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out) + data


# --- Command line --------------------------------------------------------------------------

def open_bytes(data, key=None):
    """Opens a memfile that stands in memory."""
    return Memfile(bytes(data), key)


def open_file(name, key=None):
    with open(name, "rb") as file:
        return Memfile(file.read(), key)


def outside(data):
    """What a sealed file shows without a key."""
    return Outside(bytes(data))


def said(name, judge):
    """The line about a file, and the exit code for it."""
    try:
        return judge(), 0
    except (Damaged, Truncated) as error:
        return f"{error.verdict} {name} {error.offset} {error.reason}", 3
    except NotAMemfile as error:
        return f"{error.verdict} {name}", 4
    except MemfileError as error:
        return f"{error.verdict} {name} {error.reason}", 4
    except OSError as error:
        return f"system {name} {error.strerror}", 4


def check(name, key):
    def judge():
        report = open_file(name, key).verify()
        return (f"good {name} entries={report.entries} commits={report.commits} "
                f"history={report.history.hex()}")
    return said(name, judge)


def check_outside(name):
    def judge():
        with open(name, "rb") as file:
            seen = Outside(file.read())
        epochs = "".join(f" {'passphrase' if part.kind == 1 else 'recipients'}={len(part.slots)}"
                         for part in seen.keys)
        return (f"outside {name} commits={seen.commits} segments={seen.segments} "
                f"stored={seen.stored.hex()}{epochs}")
    return said(name, judge)


def export(name, key, as_of, out):
    try:
        file = open_file(name, key)
        error = file.unfinished()
        if error:                                                                    # 14.4
            print(f"warning: {name}: {error.reason}", file=sys.stderr)
        hidden = file.forgotten()
        for entry in file.entries(as_of):
            if entry.erased is None and entry.number not in hidden:
                line = json.dumps(file.to_json(entry), ensure_ascii=False,
                                  separators=(",", ":"))
                out.write(line.encode() + b"\n")
    except (MemfileError, LookupError, OSError) as error:
        print(f"{getattr(error, 'verdict', 'error')} {name} {error}", file=sys.stderr)
        return 3 if isinstance(error, (Damaged, Truncated)) else 4
    return 0


def read_key(options):
    """The key that the options name, or None."""
    def phrase(name):
        with open(options[name], "rb") as file:
            return file.read().removesuffix(b"\n").removesuffix(b"\r")

    if "--passphrase-file" in options:
        return passphrase(phrase("--passphrase-file"))
    if "--identity" in options:
        with open(options["--identity"], encoding="ascii", newline="") as file:
            return identity(file.read(), phrase("--identity-passphrase-file")
                            if "--identity-passphrase-file" in options else None)
    return None


def main(arguments):
    names, options = [], {}
    arguments = iter(arguments)
    for argument in arguments:
        if argument.startswith("--"):
            options[argument] = next(arguments, None)
        else:
            names.append(argument)
    as_of = options.pop("--as-of", None)
    verb = names.pop(0) if names else None
    wrong = (not names or verb not in ("check", "outside", "export") or verb == "export" and len(names) > 1
             or None in options.values() or as_of is not None and not as_of.isdecimal()
             or set(options) - {"--passphrase-file", "--identity", "--identity-passphrase-file"})
    if wrong:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        key = read_key(options)
    except (MemfileError, OSError) as error:
        print(f"{getattr(error, 'verdict', 'error')} {error}", file=sys.stderr)
        return 4
    if verb == "export":
        return export(names[0], key, None if as_of is None else int(as_of), sys.stdout.buffer)
    codes = set()
    for name in names:
        line, code = check_outside(name) if verb == "outside" else check(name, key)
        print(line, flush=True)
        codes.add(code)
    return 3 if 3 in codes else max(codes)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
