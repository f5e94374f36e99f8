# SPDX-License-Identifier: CC0-1.0
"""A writer of the memfile format made from SPEC.md alone, for test vectors: ids, clock and
salts are fixed, zstd frames are written by hand, and every field can be given a wrong value.

A body is a list of named parts, so that a vector says which part it changes:
`change={"Number": varint(7)}` or `change={"Names.Suffixes": lambda old: ...}`. Checksums,
digests and the chain are computed from what is then there. Numbers in comments are chapters
of SPEC.md. Sealed files need python3-nacl; boxes, keys and nonces come from a counter.
"""
import base64
import hashlib
import struct

import ed25519
import nacl.bindings as sodium
import xxhash

MAGIC = bytes.fromhex("AB6D656D66696C650D0A1A0A")
SEGMENT_MAGIC = bytes.fromhex("D34D4653")
TRAILER_MAGIC = bytes.fromhex("4553464D")
(RECORDS, CHUNK, INDEX, DICTIONARY, KEYS, COMMIT, HISTORY, VOID) = range(1, 9)
SEALED = 15
F_COMMIT, F_OPTIONAL, F_DERIVED, F_SYNCED = 1, 2, 4, 8
(LOGICAL, FULL, INLINE, PARENTS, AUTHOR, EXTRA, SALT, ORDER, SIGNATURES) = (1 << i for i in range(9))
(OP, ID, KIND, SCOPE, KEY, TIME, TEXT, DATA, MEDIA_TYPE, CONTENT, TITLE, TAGS, LINKS, META, RECORDED,
 VALID_FROM, VALID_TO, EXPIRES, SOURCE, ACTOR, SESSION, MODEL, DERIVED_FROM, IDEMPOTENCY_KEY,
 CONFIDENCE, IMPORTANCE, PINNED, STATUS, EMBEDDING, SUPERSEDES, REASON) = range(31)
FIELDS = ("op id kind scope key time text data media_type content title tags links meta recorded "
          "valid_from valid_to expires source actor session model derived_from idempotency_key "
          "confidence importance pinned status embedding supersedes reason").split()
(M_KIND, M_SCOPE, M_KEY, M_TIME, M_TEXT, M_TAGS, M_LINKS, M_IDEMPOTENCY, M_EXPIRES, M_REST, M_VECTOR,
 M_ERASED) = range(12)
CHUNK_LENGTH = 262_144

# --- 1. Notation ------------------------------------------------------------------------------

xxh3 = xxhash.xxh3_64_intdigest


def u8(n): return struct.pack("<B", n)
def u16(n): return struct.pack("<H", n)
def u32(n): return struct.pack("<I", n)
def u64(n): return struct.pack("<Q", n)


def group_tag(tag, header):
    """9.4: behind a segment with that header."""
    return xxhash.xxh3_64_intdigest(header[56:64], seed=tag)


def blake(person, data, size=32):
    return hashlib.blake2b(data, digest_size=size, person=person.encode()).digest()


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes((n,))


def zigzag(v):
    return varint(v << 1 if v >= 0 else (-v << 1) - 1)


def string(data):
    data = data.encode() if isinstance(data, str) else data
    return varint(len(data)) + data


def ints(values, width=None, base=None):
    """1.5; a width and base other than a writer's may be asked for."""
    if not values:
        return b""
    base = min(values) if base is None else base
    width = (max(values) - base).bit_length() if width is None else width
    word = 0
    for i, value in enumerate(values):
        word |= value - base << i * width
    return u8(width) + varint(base) + word.to_bytes((len(values) * width + 7) // 8, "little")


class Parts:
    """Bytes as named parts, of which `change` replaces some."""

    def __init__(self, change=None):
        self.list = []
        self.change = change or {}

    def add(self, name, data):
        if name in self.change:
            new = self.change[name]
            self.change.setdefault("used", set()).add(name)
            data = new(data) if callable(new) else new
        self.list.append((name, data))

    def strings(self, name, items):
        """1.6."""
        prefixes, suffixes, last = [], [], b""
        for item in items:
            n = 0
            while n < min(len(last), len(item)) and last[n] == item[n]:
                n += 1
            prefixes.append(n)
            suffixes.append(item[n:])
            last = item
        self.add(name + ".Prefixes", ints(prefixes))
        self.add(name + ".Suffix_Lengths", ints([len(s) for s in suffixes]))
        self.add(name + ".Suffixes", b"".join(suffixes))

    def ids(self, name, items, rows=()):
        """6.3."""
        classes, stored, positions = [], [], []
        for item in items:
            if item in rows:
                classes.append(3)
                positions.append(rows.index(item))
            elif isinstance(item, bytes):
                classes.append(0)
                stored.append(item)
            elif len(item) % 2 == 0 and all(c in "0123456789abcdef" for c in item):
                classes.append(1)
                stored.append(bytes.fromhex(item))
            else:
                classes.append(2)
                stored.append(item.encode())
        self.add(name + ".Classes", ints(classes))
        self.strings(name, stored)
        self.add(name + ".Rows", ints(positions))

    def times(self, name, items):
        """6.4."""
        if not items:
            return
        full = [item if isinstance(item, list) else [item, 0, 0] for item in items]
        seconds = [t[0] for t in full]
        self.add(name + ".First", zigzag(seconds[0]))
        self.add(name + ".Differences", ints([fold(b - a) for a, b in zip(seconds, seconds[1:])]))
        self.add(name + ".Digits", ints([t[1] for t in full]))
        if any(t[1] for t in full):
            self.add(name + ".Fractions", ints([t[2] for t in full]))

    def bytes(self):
        for name in self.change:
            if name.startswith("+"):                # "+Number": more bytes in front of that part
                self.change.setdefault("used", set()).add(name)
        return b"".join(self.change.get("+" + name, b"") + data for name, data in self.list)


def fold(v):
    """zigzag as a number."""
    return v << 1 if v >= 0 else (-v << 1) - 1


# --- 7. Entry -----------------------------------------------------------------------------------

class Raw(bytes):
    """CBOR that is written as it is."""


def cbor_head(major, n):
    if n < 24:
        return bytes((major << 5 | n,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes((major << 5 | info,)) + n.to_bytes(size, "big")
    raise ValueError(n)


def cbor(v):
    """Core deterministic encoding (RFC 8949, 4.2.1)."""
    if isinstance(v, Raw):
        return bytes(v)
    if v is None or isinstance(v, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[v]
    if isinstance(v, int):
        return cbor_head(0, v) if v >= 0 else cbor_head(1, -1 - v)
    if isinstance(v, float):
        for form, first in (">e", 0xF9), (">f", 0xFA), (">d", 0xFB):
            try:
                data = struct.pack(form, v)
            except OverflowError:
                continue
            if struct.pack(">d", struct.unpack(form, data)[0]) == struct.pack(">d", v):
                return bytes((first,)) + data
    if isinstance(v, bytes):
        return cbor_head(2, len(v)) + v
    if isinstance(v, str):
        return cbor_head(3, len(v.encode())) + v.encode()
    if isinstance(v, (list, tuple)):
        return cbor_head(4, len(v)) + b"".join(map(cbor, v))
    if isinstance(v, dict):
        pairs = sorted((cbor(k), cbor(x)) for k, x in v.items())
        return cbor_head(5, len(v)) + b"".join(k + x for k, x in pairs)
    raise TypeError(v)


class Entry:
    """Fields by key (7.1); `part` the vector part, `content` the detached bytes; `rest`: bytes
    instead of the rest; `in_rest`: fields that go there although a column could hold them;
    `erased`: a leaf instead of the entry."""

    def __init__(self, fields, part=None, content=None, rest=None, in_rest=(), erased=None, core=None):
        self.fields, self.part, self.content, self.erased = fields, part, content, erased
        self.columns, pairs = {}, []
        for key, value in fields.items():
            if key != ID and (key in in_rest or not self.to_column(key, value)):
                pairs.append((cbor(key), cbor(value)))
        pairs.sort()
        self.rest = b"".join(k + v for k, v in pairs) if rest is None else rest
        pairs += [(cbor(key), cbor(value)) for key, value in self.columns.items()]
        pairs.append((b"\x01", cbor(fields.get(ID))))
        pairs.sort()
        self.core = cbor_head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
        if rest is not None:
            self.core = cbor_head(5, 0) + b"".join(k + v for k, v in pairs) + rest
        if core is not None:
            self.core = core

    def to_column(self, key, value):
        """7.6."""
        time = isinstance(value, int) or isinstance(value, list) and len(value) == 3
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        fits = {KIND: isinstance(value, str), SCOPE: names, KEY: isinstance(value, str), TIME: time,
                TEXT: isinstance(value, str), TAGS: names, LINKS: isinstance(value, list),
                IDEMPOTENCY_KEY: isinstance(value, str), EXPIRES: time}
        if isinstance(value, (Raw, bool)) or not fits.get(key):
            return False
        self.columns[key] = value
        return True

    def mask(self):
        if self.erased is not None:
            return 1 << M_ERASED
        bits = {KIND: M_KIND, SCOPE: M_SCOPE, KEY: M_KEY, TIME: M_TIME, TEXT: M_TEXT, TAGS: M_TAGS,
                LINKS: M_LINKS, IDEMPOTENCY_KEY: M_IDEMPOTENCY, EXPIRES: M_EXPIRES}
        mask = sum(1 << bits[key] for key in self.columns)
        return mask | (1 << M_REST if self.rest else 0) | (1 << M_VECTOR if self.part is not None else 0)


def note(id, text="", **more):
    """An entry of plain fields, by name; others by number in `fields`."""
    fields = {ID: id}
    extra = more.pop("fields", {})
    options = {k: more.pop(k) for k in ("part", "content", "rest", "in_rest", "core") if k in more}
    if text is not None:
        fields[TEXT] = text
    fields.update({FIELDS.index(name): value for name, value in more.items()})
    fields.update(extra)
    return Entry(fields, **options)


def id_text(value):
    if isinstance(value, str):
        return value
    d = value.hex()
    return f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}"


def time_text(value):
    import datetime
    seconds, digits, fraction = value if isinstance(value, list) else (value, 0, 0)
    # The calendar repeats after 400 years of 12,622,780,800 seconds; Python has no year 0.
    shifted = seconds + 12_622_780_800 if seconds < 0 else seconds
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=shifted)
    year = t.year - 400 if seconds < 0 else t.year
    return f"{year:04}-{t:%m-%dT%H:%M:%S}" + (f".{fraction:0{digits}}" if digits else "") + "Z"


def to_json(entry):
    """7.7, as an object; a vector's values are given in entry.values."""
    out = {}
    for key, value in entry.fields.items():
        name = key if isinstance(key, str) else FIELDS[key] if key < 31 else f"@{key}"
        if value is None or isinstance(key, str) or key > 30:
            pass
        elif key == OP:
            value = "forget" if value == 1 else value
        elif key == ID:
            value = id_text(value)
        elif key in (TIME, RECORDED, VALID_FROM, VALID_TO, EXPIRES):
            value = time_text(value)
        elif key == DATA:
            value = base64.b64encode(value).decode()
        elif key == CONTENT:
            name = "data" if value[0] else "text"
            value = base64.b64encode(entry.content).decode() if value[0] else entry.content.decode()
        elif key == LINKS:
            value = [{"rel": rel, "to": id_text(to)} for rel, to in value]
        elif key == DERIVED_FROM:
            value = list(map(id_text, value))
        elif key == SUPERSEDES:
            value = [leaf.hex() for leaf in value]
        elif key == EMBEDDING:
            value = {"space": value[0]} | ({} if entry.part is None else {"values": entry.values})
        out[name] = value
    return out


# --- 6. Block of records ----------------------------------------------------------------------

def block(entries, change=None, names=None, link_rows=True):
    """(head, content) of a block; `names`: an order of Names other than by first use."""
    p = Parts(change)
    p.add("Row_Count", varint(len(entries)))
    p.add("Masks", ints([e.mask() for e in entries]))
    table = list(names or [])
    scopes = []

    def name(text):
        if text not in table:
            table.append(text)
        return table.index(text)

    living = [e for e in entries if e.erased is None]
    used = {key: [e.columns[key] for e in living if key in e.columns] for key in range(31)}
    kinds = [name(v) for v in used[KIND]]
    positions = []
    for scope in used[SCOPE]:
        numbers = [name(v) for v in scope]
        if numbers not in scopes:
            scopes.append(numbers)
        positions.append(scopes.index(numbers))
    tags = [[name(v) for v in tags] for tags in used[TAGS]]
    relations = [name(link[0]) for links in used[LINKS] for link in links]
    p.add("Names.Count", varint(len(table)))
    p.strings("Names", [v.encode() for v in table])                                         # 1
    if used[SCOPE]:                                                                         # 2
        p.add("Scopes.Count", varint(len(scopes)))
        p.add("Scopes.Lengths", ints([len(s) for s in scopes]))
        p.add("Scopes.Names", ints([n for s in scopes for n in s]))
    ids = [e.fields[ID] for e in living]
    p.ids("Ids", ids)                                                                       # 3
    p.add("KIND", ints(kinds))                                                              # 4
    p.add("SCOPE", ints(positions))
    p.strings("KEY", [v.encode() for v in used[KEY]])                                       # 5
    p.times("TIME", used[TIME])                                                             # 6
    texts = [v.encode() for v in used[TEXT]]
    p.add("TEXT", ints([len(v) for v in texts]))                                            # 7
    p.add("TAGS.Counts", ints([len(v) for v in tags]))                                      # 8
    p.add("TAGS.Names", ints([n for v in tags for n in v]))
    p.add("LINKS.Counts", ints([len(v) for v in used[LINKS]]))                              # 9
    p.add("LINKS.Names", ints(relations))
    p.ids("LINKS", [link[1] for links in used[LINKS] for link in links], ids if link_rows else ())
    p.strings("IDEMPOTENCY_KEY", [v.encode() for v in used[IDEMPOTENCY_KEY]])               # 10
    p.times("EXPIRES", used[EXPIRES])                                                       # 11
    rests = [e.rest for e in living if e.rest]
    p.add("REST", ints([len(v) for v in rests]))                                            # 12
    parts = [e.part for e in living if e.part is not None]
    p.add("VECTOR.Lengths", ints([len(v) for v in parts]))                                  # 13
    p.add("VECTOR.Parts", b"".join(parts))
    p.add("ERASED", b"".join(e.erased for e in entries if e.erased is not None))            # 14
    p.add("Block.End", b"")
    content = Parts(change)
    content.add("Texts", b"".join(texts))
    content.add("Rests", b"".join(rests))
    return p.bytes(), content.bytes()


# --- 4.3 zstd frames by hand (RFC 8878) --------------------------------------------------------

def frame(content, magic=b"\x28\xb5\x2f\xfd", size=True, checksum=False, dictionary=b"", window=None,
          rle=None, stated=None, last=True):
    """A frame of one raw block (or of an RLE block that stands for `rle` bytes)."""
    stated = len(content) if stated is None else stated
    single = window is None and size
    descriptor = {0: 0, 1: 1, 2: 2, 4: 3}[len(dictionary)] | (4 if checksum else 0) | (0x20 if single else 0)
    if size:
        if single and stated < 256:
            stated_size = u8(stated)
        elif 256 <= stated < 65_792:
            descriptor, stated_size = descriptor | 0x40, u16(stated - 256)
        else:
            descriptor, stated_size = descriptor | 0x80, u32(stated)
    else:
        stated_size = b""
    out = magic + u8(descriptor) + (b"" if single else u8(window or 0)) + dictionary + stated_size
    if rle is not None:
        at = 0
        while at < rle or at == 0:
            n = min(rle - at, 128 << 10)
            out += (n << 3 | 2 | (at + n >= rle)).to_bytes(3, "little") + content[:1]
            at += n
    else:
        out += (len(content) << 3 | last).to_bytes(3, "little") + content
    if checksum:
        out += u32(xxhash.xxh64_intdigest(content) & 0xFFFFFFFF)
    return out


def from_dictionary(dictionary, length):
    """A frame of the first bytes of a dictionary, 3 to 34 of them, as one match into it (RFC 8878, 3.1.1.3.2): no literals,
    one sequence whose three codes stand as RLE tables; the bits are those of the offset."""
    value = len(dictionary) + 3
    code = value.bit_length() - 1
    stream = value.to_bytes((code + 8) // 8, "little")  # its leading 1 is the mark where the stream ends
    block = u8(0) + u8(1) + u8(0x54) + u8(0) + u8(code) + u8(length - 3) + stream
    return b"\x28\xb5\x2f\xfd" + u8(0x20) + u8(length) + (len(block) << 3 | 2 << 1 | 1).to_bytes(3, "little") + block


# --- 8. Salts, trees ----------------------------------------------------------------------------

def salt_node(root, depth, position):
    node = root
    for i in range(depth):
        digit = position >> 2 * (depth - 1 - i) & 3
        node = blake("memfile1.salt", node, 64)[16 * digit:16 * digit + 16]
    return node


def tree_hash(hashes, k):
    while len(hashes) > 1:
        hashes = [blake("memfile1.node", b"".join(run)) if len(run) > 1 else run[0]
                  for run in (hashes[i:i + k] for i in range(0, len(hashes), k))]
    return hashes[0]


class Logged:
    """A logical commit: what its digest and its row of HISTORY are made of."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


# --- The file -----------------------------------------------------------------------------------

class File:
    """A memfile that grows by commits."""

    def __init__(self, change=None, incarnation=bytes(range(0x10, 0x20)), memory=bytes(range(0x20, 0x30)),
                 salt=bytes(range(0x30, 0x40)), header_checksum=None):
        p = Parts(change)
        for name, value in (("Magic", MAGIC), ("Format_Version", u16(1)), ("Suite", u8(0)),
                            ("Reserved_1", u8(0)), ("Read_Features", u32(0)), ("Write_Features", u32(0)),
                            ("Compact_Features", u32(0)), ("Reserved_2", u32(0)),
                            ("Incarnation_Id", incarnation), ("Memory_Id", memory), ("Reserved_3", u64(0))):
            p.add(name, value)
        self.data = bytearray(p.bytes())
        self.data += u64(xxh3(bytes(self.data)) if header_checksum is None else header_checksum)
        self.incarnation, self.memory = incarnation, memory
        self.keys_at = 0               # the last KEYS segment
        self.stored = blake("memfile1.store", bytes(self.data))          # S (8.7)
        self.void_bytes = b""
        self.group = []                # B of each segment of the group
        self.group_start = None        # None: nothing stands before the commit yet
        self.group_tag = 0             # 9.4
        self.previous = 0              # Previous_Commit
        self.clock = 1_700_000_000_000_000
        self.salt, self.salt_next, self.salt_used = salt, 0, False
        self.entries, self.leaves = [], []         # all of the file
        self.pending = 0               # entries of RECORDS segments of this group
        self.blocks = []               # (first entry, offset)
        self.objects, self.chunks = [], []         # roots; (object, index, offset)
        self.open_chunks = []
        self.dictionaries = []         # (id, offsets)
        self.histories = []
        self.log = []                  # Logged
        self.runs = []
        self.indexed = self.indexed_commits = self.indexed_objects = self.indexed_chunks = 0
        self.last_full = None
        self.commits = []              # offsets

    # 4. Segments

    def parent_tag(self, flags):
        """4.1, 9.4."""
        bound = flags & (F_COMMIT | F_SYNCED) == F_COMMIT
        return u64(int.from_bytes(self.stored[:8], "little") ^ (self.group_tag if bound else 0))

    def segment(self, type, head, content=b"", flags=0, codec=0, parameter=0, change=None, stored=None,
                grouped=True):
        """Writes one; returns its offset. `stored`: the content as the codec stores it."""
        change = change or {}
        offset = len(self.data)
        body = Parts(change)
        body.add("Head_Length", varint(len(head)))
        body.add("Head", head)
        body.add("Content", content if stored is None else stored)
        body = body.bytes()
        p = Parts(change)
        for name, value in (("Segment_Magic", SEGMENT_MAGIC), ("Type", u8(type)), ("Flags", u8(flags)),
                            ("Codec", u8(codec)), ("Reserved", u8(0)), ("Stored_Length", u32(len(body))),
                            ("Raw_Length", u32(len(content))), ("Offset", u64(offset)),
                            ("Previous_Commit", u64(self.previous)), ("Parent_Tag", self.parent_tag(flags)),
                            ("Incarnation_Tag", self.incarnation[:4]), ("Codec_Parameter", u32(parameter)),
                            ("Body_Checksum", u64(xxh3(body)))):
            p.add(name, value)
        header = p.bytes()
        checksum = Parts(change)
        checksum.add("Segment_Checksum", u64(xxh3(header)))
        header += checksum.bytes()
        tail = Parts(change)
        tail.add("Padding", bytes(-(offset + 64 + len(body)) % 8))
        if flags & F_COMMIT:
            length = 64 + len(body) + len(tail.bytes()) + 8
            tail.add("Trailer", u32(length) + TRAILER_MAGIC)
        self.data += header + body + tail.bytes()
        self.last_body = body
        b = header + blake("memfile1.bytes", body)
        if flags & F_COMMIT or not grouped:
            self.last_b = b
        else:
            if self.group_start is None:
                self.group_start = offset
            self.group.append(b)
            self.group_tag = group_tag(self.group_tag, header)
        return offset

    def void(self, debris, change=None):
        """5.8, 16.5: bytes behind the newest commit, and the VOID that names them."""
        start = len(self.data)
        self.data += debris + bytes(-(start + len(debris)) % 8)
        self.void_bytes = bytes(self.data[start:])
        p = Parts(change)
        p.add("Void_Length", u64(len(self.void_bytes)))
        p.add("Void_Checksum", u64(xxh3(self.void_bytes)))
        return self.segment(VOID, p.bytes(), change=change)

    def records(self, entries, change=None, codec=0, parameter=0, stored=None, first=None, **more):
        """A RECORDS segment of these entries."""
        head, content = block(entries, change, **more)
        p = Parts(change)
        p.add("RECORDS.First_Entry", varint(len(self.entries)))
        if stored is None and codec:
            stored = frame(content)
        at = self.segment(RECORDS, p.bytes() + head, content, codec=codec, parameter=parameter,
                          change=change, stored=stored)
        self.add(entries, at)
        self.pending += len(entries)
        return at

    def add(self, entries, offset):
        self.blocks.append((len(self.entries), offset))
        for e in entries:
            e.number = len(self.entries)
            self.entries.append(e)

    def chunk(self, number, index, data, change=None, **more):
        p = Parts(change)
        p.add("Object_Number", varint(number))
        p.add("Chunk_Index", varint(index))
        at = self.segment(CHUNK, p.bytes(), data, change=change, **more)
        self.open_chunks.append((number, index, at, blake("memfile1.chunk", data)))
        return at

    def dictionary(self, data, copies=(0, 1), change=None, number=None, codec=0, stored=None):
        number = number or xxh3(data) & 0xFFFFFFFF or 1
        offsets = []
        for copy in copies:
            offsets.append(self.segment(DICTIONARY, varint(number) + u8(copy), data, change=change, codec=codec,
                                        stored=stored))
        self.dictionaries.append((number, offsets))
        return number

    # 10. Index

    def hash(self, t, data):
        return xxh3(data, (t << 32) + int.from_bytes(self.incarnation[:4], "little")) >> 32

    def named_by(self, entry):
        """10.8: earlier entries that an entry of op forget names."""
        if entry.erased is not None or entry.fields.get(OP) != 1:
            return set()
        leaves = [leaf for row in self.log for leaf in row.leaves]
        return {n for leaf in entry.fields.get(SUPERSEDES) or [] for n, known in enumerate(leaves[:entry.number])
                if known == leaf}

    def forgotten(self):
        """Entries that are forgotten and not erased."""
        return {n for e in self.entries for n in self.named_by(e) if self.entries[n].erased is None}

    def items_of(self, first, end):
        """10.1, 10.2, 10.8: items of kinds 1 to 7, and 11, of these entries."""
        items = set()
        for start, offset in self.blocks:
            if first <= start < end:
                items.add((1, start, offset // 8))
        by_id, by_key = {}, {}
        for e in self.entries[:end]:
            if e.erased is not None:
                continue
            n, f, now = e.number, e.fields, e.number >= first
            fates = {by_id.get(f[ID])}
            by_id[f[ID]] = n
            raw = f[ID] if isinstance(f[ID], bytes) else f[ID].encode()
            found = [(2, self.hash(0, raw), n)]
            prefix = b""
            for name in f.get(SCOPE) or []:
                prefix += string(name)
                found.append((5, self.hash(4, prefix), n))
            if f.get(KEY) is not None:
                place = (tuple(f.get(SCOPE) or []), f[KEY])
                fates.add(by_key.get(place))
                by_key[place] = n
                found.append((3, self.hash(1, prefix + string(f[KEY])), n))
            if f.get(TIME) is not None:
                seconds = f[TIME][0] if isinstance(f[TIME], list) else f[TIME]
                found.append((4, max(0, seconds + 62_167_219_200), n))
            if f.get(KIND) is not None:
                found.append((5, self.hash(2, f[KIND].encode()), n))
            for tag in f.get(TAGS) or []:
                found.append((5, self.hash(3, tag.encode()), n))
            if f.get(IDEMPOTENCY_KEY) is not None:
                found.append((6, self.hash(5, f[IDEMPOTENCY_KEY].encode()), n))
            found += [(7, fate, n) for fate in fates - {None}]
            found += [(11, old, n) for old in self.named_by(e)]
            if now:
                items |= set(found)
        return items

    def page(self, first, count, level, parts_of, change=None):
        p = Parts(change)
        p.add("Level", u8(level))
        p.add("Page.First_Entry", varint(first))
        p.add("Page.Entry_Count", varint(count))
        parts_of(p)
        p.add("Page.End", b"")
        at = self.segment(INDEX, p.bytes(), flags=F_DERIVED, change=change)
        return at, len(self.data) - at

    def index(self, items, first, count, change=None, leaf_items=None, forms=(), root_change=None, levels=0):
        """Pages of a run; the run descriptor as a dict."""
        total = 0
        children = []
        leaf_items = leaf_items or max(1, len(items))
        for i in range(0, len(items), leaf_items):
            part = items[i:i + leaf_items]

            def strips(p):
                kinds = []
                for item in part:
                    if not kinds or kinds[-1][0] != item[0]:
                        kinds.append((item[0], []))
                    kinds[-1][1].append(item)
                for number, (kind, members) in enumerate(kinds):
                    keys, values = [m[1] for m in members], [m[2] for m in members]
                    form = 1 if kind in forms else 0
                    q = Parts(change)
                    q.add("Strip.Kind", u8(kind))
                    q.add("Strip.Form", u8(form))
                    q.add("Strip.Count", varint(len(members)))
                    if form:
                        q.add("Strip.Keys", varint(keys[0]) + ints([b - a for a, b in zip(keys, keys[1:])]))
                        q.add("Strip.Values", varint(values[0]) + ints([b - a for a, b in zip(values, values[1:])]))
                    else:
                        q.add("Strip.Keys", ints(keys))
                        q.add("Strip.Values", ints(values))
                    p.add(f"Strip{number}", q.bytes())

            at, length = self.page(first, count, 0, strips, change)
            total += length
            children.append((part[0], at, length))
        level = 0
        while len(children) > 1 or level < levels:
            level += 1

            def table(p):
                p.add("Page.Count", varint(len(children)))
                for name, column in (("Kinds", 0), ("Keys", 1), ("Values", 2)):
                    p.add("Child." + name, ints([c[0][column] for c in children]))
                p.add("Child.Offsets", ints([c[1] // 8 for c in children]))
                p.add("Child.Lengths", ints([c[2] // 8 for c in children]))

            at, length = self.page(first, count, level, table, root_change or change)
            total += length
            children = [(children[0][0], at, length)]
        if not children:
            return dict(type=1, count=count, offset=0, length=0, total=0, parameters=b"")
        return dict(type=1, count=count, offset=children[0][1], length=children[0][2], total=total, parameters=b"")

    def run(self, known_commits, items=None, **more):
        """Covers the tail, and what of commits and content is not indexed yet, by a new run."""
        first, end = self.indexed, len(self.entries)
        found = self.items_of(first, end)
        found |= {(8, int.from_bytes(root[:8], "little"), n)
                  for n, root in enumerate(self.objects) if n >= self.indexed_objects}
        found |= {(9, c[0] << 24 | c[1], c[2] // 8) for c in self.chunks[self.indexed_chunks:]}
        found |= {(10, n, after) for n, after in known_commits if n >= self.indexed_commits}
        found = sorted(found)
        if items:
            found = items(found)
        if first == end and not found:
            return
        self.runs.append(self.index(found, first, end - first, **more))
        self.indexed, self.indexed_objects = end, len(self.objects)
        self.indexed_chunks = len(self.chunks)

    def superseded(self):
        return len({i[1] for i in self.items_of(0, len(self.entries)) if i[0] == 7})

    # 8.5, 8.6

    def digest(self, parents, leaves, time, order, author, extra, change=None):
        pairs = {1: self.memory}
        if parents:
            pairs[2] = sorted(self.log[n].digest for n in parents)
        pairs[3] = len(leaves)
        if leaves:
            pairs[4] = tree_hash(leaves, 16)
        pairs[5] = len(self.log)
        if self.log:
            pairs[6] = tree_hash([c.digest for c in self.log], 2)
        pairs[7], pairs[8] = order, time
        if author is not None:
            pairs[9] = author
        pairs.update(change or {})
        pairs = {k: v for k, v in pairs.items() if v != "absent"}
        count, at = 0, 0
        while at < len(extra):
            count, at = count + 1, skip(extra, skip(extra, at))
        body = cbor_head(5, len(pairs) + count) + b"".join(cbor(k) + cbor(v) for k, v in sorted(pairs.items()))
        return blake("memfile1.commit", body + extra)

    def frontier(self, number):
        digests = [c.digest for c in self.log[:number]]
        out, at = [], 0
        for bit in reversed(range(number.bit_length())):
            if number >> bit & 1:
                out.append(tree_hash(digests[at:at + (1 << bit)], 2))
                at += 1 << bit
        return out

    def signature(self, seed, digest, number):
        """20.9: an entry of Signatures."""
        message = b"memfile1.signature" + self.memory + digest + u64(number)
        return ed25519.public(seed) + ed25519.sign(seed, message)

    # 9. Commit

    def commit(self, entries=None, full=None, change=None, time=None, order=None, parents=None, author=None,
               extra=b"", new_salt=None, signatures=None, codec=0, parameter=0, stored=None, synced=None,
               digest=None, index=None, salt_index=None, flags=0, runs=None, block_options=None, skip_salts=0):
        """A logical commit; `entries` become an inline block. Returns its offset."""
        for number in sorted({c[0] for c in self.open_chunks}):
            self.objects.append(tree_hash([c[3] for c in self.open_chunks if c[0] == number], 16))
        self.chunks += self.open_chunks
        self.open_chunks = []
        number = len(self.log)
        time = self.clock = self.clock + 1_000_000 if time is None else time
        parent_numbers = ([number - 1] if number else []) if parents is None else parents
        if order is None:
            order = max([time, 0] + [c.order + 1 for c in self.log[-1:]])
        members = list(entries or self.entries[len(self.entries) - self.pending:])
        before = len(self.entries) - self.pending
        full = bool(self.group) or not number if full is None else full
        flag = flags | LOGICAL | (FULL if full else 0) | (INLINE if entries else 0)
        flag |= PARENTS if parents is not None else 0
        flag |= AUTHOR if author is not None else 0
        flag |= (EXTRA if extra else 0) | (ORDER if order != time else 0) | (SIGNATURES if signatures else 0)
        salt_before = self.salt if self.salt_used else bytes(16)
        carries = bool(members) and not self.salt_used
        if new_salt:
            self.salt, self.salt_next, carries = new_salt, 0, True
        self.salt_next += skip_salts
        first_salt = self.salt_next if salt_index is None else salt_index
        if carries:
            flag |= SALT
            self.salt_used = True
        leaves = []
        for i, e in enumerate(members):
            leaves.append(blake("memfile1.leaf", salt_node(self.salt, 16, first_salt + i) + e.core))
        self.salt_next = first_salt + len(members)
        parents_digests = sorted(self.log[n].digest for n in parent_numbers)
        right = self.digest(parent_numbers, leaves, time, order, author, extra, digest)
        signatures = [s if len(s) == 96 else self.signature(s, right, number) for s in signatures or []]
        row = Logged(digest=right, order=order, time=time, parents=parent_numbers, entries=len(members), author=author,
                     extra=extra, salt_index=first_salt, salt=self.salt if carries else None,
                     given=parents is not None, leaves=leaves, signatures=signatures, after=before + len(members))
        indexed_commits = 0
        if full and number:
            known = [(n, c.after) for n, c in enumerate(self.log)] + ([] if entries else [(number, row.after)])
            self.run(known, **(index or {}))
            self.indexed_commits = indexed_commits = len(known)
        p = Parts(change)
        at = len(self.data)
        p.add("Commit_Flags", varint(flag))
        p.add("Number", varint(number))
        p.add("First_Entry", varint(before))
        p.add("Entry_Count", varint(len(members)))
        p.add("Group_Length", varint((at - (self.group_start or at)) // 8))
        p.add("Time", zigzag(time))
        if flag & ORDER:
            p.add("Order", varint(order))
        p.add("History_Digest", right)
        if members:
            p.add("Salt_Index", varint(first_salt))
        if flag & SALT:
            p.add("Salt_Root", self.salt)
        if flag & PARENTS:
            p.add("Parents", varint(len(parents_digests)) + b"".join(parents_digests))
        if flag & AUTHOR:
            p.add("Author", string(author))
        if flag & EXTRA:
            p.add("Extra", string(extra))
        if flag & SIGNATURES:
            p.add("Signatures", varint(len(signatures)) + b"".join(signatures))
        if full:
            self.footer(p, number, indexed_commits, salt_before, runs)
        else:
            p.add("Footer_Distance", varint((at - self.last_full) // 8))
        p.add("Head.End", b"")
        head, content = p.bytes(), b""
        if entries:
            block_head, content = block(members, change, **(block_options or {}))
            head += block_head
        self.log.append(row)
        self.leaves += leaves
        return self.finish(head, content, members if entries else None, full, codec, parameter, stored, synced, change)

    def prefix(self):
        """P (8.7)."""
        if not self.group:
            return self.stored
        void = u64(len(self.void_bytes)) + blake("memfile1.bytes", self.void_bytes) if self.void_bytes else b""
        return blake("memfile1.store", self.stored + void + b"".join(self.group))

    def finish(self, head, content, inline, full, codec, parameter, stored, synced, change):
        prefix = self.prefix()
        flags = F_COMMIT | (F_SYNCED if (bool(self.group) if synced is None else synced) else 0)
        if stored is None and codec:
            stored = frame(content)
        at = self.segment(COMMIT, head, content, flags, codec, parameter, change, stored)
        if inline:
            self.add(inline, at)
        self.stored = blake("memfile1.store", prefix + self.last_b)
        self.previous = at
        self.group, self.group_start, self.pending, self.void_bytes = [], None, 0, b""
        self.group_tag = 0
        if full:
            self.last_full = at
        self.commits.append(at)
        return at

    def footer(self, p, number, indexed_commits, salt, runs=None):
        """9.3."""
        p.add("Stored_Prefix", self.prefix())
        p.add("Indexed_Entries", varint(self.indexed))
        p.add("Indexed_Commits", varint(indexed_commits))
        p.add("Superseded", varint(self.superseded()))
        p.add("Objects", varint(len(self.objects)))
        frontier = self.frontier(number)
        p.add("Log_Frontier", varint(len(frontier)) + b"".join(frontier))
        p.add("Dictionaries", varint(len(self.dictionaries)) + b"".join(
            varint(n) + b"".join(varint(o // 8) for o in offsets) for n, offsets in self.dictionaries))
        p.add("Keys", varint(self.keys_at // 8))
        p.add("Histories", varint(len(self.histories)) + varint(self.histories[0] // 8 if self.histories else 0))
        used = runs(self.runs) if runs else self.runs
        p.add("Runs.Count", varint(len(used)))
        for run in used:
            for name in ("type", "count", "offset", "length", "total"):
                value = run[name] // 8 if name in ("offset", "length", "total") else run[name]
                p.add("Run." + name, varint(value))
            p.add("Run.parameters", string(run["parameters"]))
        p.add("Salt", salt)
        p.add("Forgotten", varint(len({n for e in self.entries[:self.indexed] for n in self.named_by(e)
                                       if self.entries[n].erased is None})))
        p.add("Footer.Reserved", string(b""))

    def maintenance(self, change=None, index=None, new_salt=None, order=None, number=None, digest=None, salt_at=None,
                    signatures=None, compacting=False):
        """A commit without LOGICAL (9.2)."""
        number = len(self.log) - 1
        newest = self.log[-1]
        time = self.clock = self.clock + 1_000_000
        flag = FULL | ORDER | (SIGNATURES if signatures else 0) | (SALT if new_salt else 0)
        if new_salt:
            self.salt, self.salt_next, self.salt_used = new_salt, 0, True
        known = [(n, c.after) for n, c in enumerate(self.log)]
        self.run(known, **(index or {}))
        self.indexed_commits = len(known)
        p = Parts(change)
        at = len(self.data)
        p.add("Commit_Flags", varint(flag))
        p.add("Number", varint(number))
        p.add("First_Entry", varint(len(self.entries)))
        p.add("Entry_Count", varint(0))
        p.add("Group_Length", varint((at - (self.group_start or at)) // 8))
        p.add("Time", zigzag(time))
        p.add("Order", varint(newest.order))
        p.add("History_Digest", newest.digest)
        if new_salt:
            p.add("Salt_Root", new_salt)
        if signatures:
            p.add("Signatures", varint(len(signatures)) + b"".join(signatures))
        salt = self.salt if self.salt_used else bytes(16)
        self.footer(p, number, len(known), salt if salt_at is None else salt_at)
        p.add("Head.End", b"")
        return self.finish(p.bytes(), b"", None, True, 0, 0, None, None, change)

    # 13. History

    def history(self, log, change=None, rows=None, erased=(), split_nodes=None):
        """A HISTORY segment of these rows; `erased`: numbers of entries without salts."""
        p = Parts(change)
        rows = log if rows is None else [log[n] for n in rows]
        first = log.index(rows[0])
        flags = []
        for row in rows:
            flags.append((PARENTS if row.given else 0) | (AUTHOR if row.author is not None else 0)
                         | (EXTRA if row.extra else 0) | (SALT if row.salt else 0)
                         | (ORDER if row.order != row.time else 0) | (SIGNATURES if row.signatures else 0))
        p.add("First_Number", varint(first))
        p.add("Row_Count", varint(len(rows)))
        p.add("History.First_Entry", varint(sum(r.entries for r in log[:first])))
        p.add("Flags.Rows", ints(flags))
        p.add("Counts", ints([r.entries for r in rows]))
        p.add("Times", zigzag(rows[0].time) + ints([fold((b.time - a.time + (1 << 63)) % (1 << 64) - (1 << 63))
                                                    for a, b in zip(rows, rows[1:])]))
        p.add("Orders", ints([r.order for r in rows if r.order != r.time]))
        p.add("Salt_Indexes", ints([r.salt_index for r in rows if r.entries]))
        at = 0
        gone = {}                                   # salt root: indexes that are gone
        root = None
        for row in log:
            root = row.salt or root
            for i in range(row.entries):
                if at + i in erased:
                    gone.setdefault(root, set()).add(row.salt_index + i)
            at += row.entries
        trees = [salt_tree(r.salt, gone.get(r.salt, ())) for r in rows if r.salt]
        further = []
        if split_nodes is not None:                 # the last tree goes on in segments of their own
            further, trees[-1] = trees[-1][split_nodes:], trees[-1][:split_nodes]
        salts = b"".join(map(put_nodes, trees))
        p.add("Salts", salts)
        p.add("History.Parents", b"".join(varint(len(r.parents)) + b"".join(sorted(log[n].digest for n in r.parents))
                                          for r in rows if r.given))
        p.add("History.Authors", b"".join(string(r.author) for r in rows if r.author is not None))
        p.add("History.Extras", b"".join(string(r.extra) for r in rows if r.extra))
        p.add("History.Signatures", b"".join(varint(len(r.signatures)) + b"".join(r.signatures)
                                             for r in rows if r.signatures))
        p.add("History.End", b"")
        self.histories.append(self.segment(HISTORY, p.bytes(), change=change))
        after = varint(first + len(rows)) + varint(0) + varint(sum(r.entries for r in log[:first + len(rows)]))
        for node in further:
            self.histories.append(self.segment(HISTORY, after + put_nodes([node])))
        self.log = log
        self.salt = [r.salt for r in log if r.salt][-1] if any(r.salt for r in log) else bytes(16)
        self.salt_used = not gone.get(self.salt) and any(r.salt for r in log)
        self.salt_next = max([r.salt_index + r.entries for r in log if r.entries] or [0])


# --- 20. Sealing --------------------------------------------------------------------------------

def aead(key, nonce, data, plaintext):
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, data, nonce, key)


def argon(phrase, passes, kib, salt):
    """The key of a passphrase; one that does not matter for costs that no reader takes."""
    if not 1 <= passes <= 10 or not 8 <= kib <= 1024:
        return bytes(32)
    return sodium.crypto_pwhash_alg(32, phrase, salt, passes, kib << 10, sodium.crypto_pwhash_ALG_ARGON2ID13)


def public_of(secret):
    return sodium.crypto_scalarmult_base(secret)


def sealed_box(plaintext, public, ephemeral):
    """A sealed box of libsodium with an ephemeral secret that is given."""
    point = public_of(ephemeral)
    nonce = hashlib.blake2b(point + public, digest_size=24).digest()
    return point + sodium.crypto_box(plaintext, nonce, public, ephemeral)


def key_text(prefix, raw, check=None):
    """20.11."""
    check = blake("memfile1.key", prefix.encode() + raw)[:4] if check is None else check
    return prefix + base64.urlsafe_b64encode(raw + check).decode()


def locked_key_text(prefix, raw, phrase, passes, kib, salt=bytes(range(16)), nonce=bytes(24)):
    head = u32(passes) + u32(kib) + salt + nonce
    box = aead(argon(phrase, passes, kib, salt), nonce, prefix.encode() + head, raw)
    return prefix + base64.urlsafe_b64encode(head + box).decode()


def padme(n):
    """20.6."""
    e = n.bit_length() - 1
    step = 1 << e - e.bit_length()
    return -(-n // step) * step


class Passphrase:
    """How a file is sealed: under a passphrase."""
    kind = 1

    def __init__(self, phrase, passes=1, kib=8, salt=bytes(range(0x60, 0x70))):
        self.phrase, self.passes, self.kib, self.salt = phrase, passes, kib, salt

    def headers(self):
        return {"passphrase": self.phrase.decode()}


class Recipients:
    """How a file is sealed: for these secrets' owners; the text of a vector names one of them."""
    kind = 2

    def __init__(self, *secrets, named=0):
        self.secrets, self.named = secrets, named

    def headers(self):
        return {"identity": key_text("MFR1-SECRET-", self.secrets[self.named])}


class SealedFile(File):
    """A sealed memfile. Parts of KEYS are named Keys.… and Slot0 …, Older0 …; of a sealed segment
    Seal.… what stands outside, Inner.… what stands inside, other names are those of its header.
    Seal.Data and Seal.Key are what the AEAD takes."""

    def __init__(self, seal, padded=False, change=None, keys=None, data_key=None, seed=b"", **more):
        change = {} if change is None else change
        change.setdefault("Suite", u8(1))
        super().__init__(change, **more)
        self.header = bytes(self.data)
        self.seed, self.counter = seed, 0
        self.padded, self.epoch, self.data_keys = padded, 0, {}
        self.new_keys(seal, keys, data_key)

    def random(self, n):
        self.counter += 1
        return hashlib.blake2b(self.seed + u64(self.counter), digest_size=n, person=b"vectors").digest()

    def subkey(self, label, epoch=None):
        """20.1."""
        epoch = epoch or self.epoch
        return hashlib.blake2b(label.encode() + self.incarnation + u32(epoch), digest_size=32,
                               key=self.data_keys[epoch], person=b"memfile1.subkey").digest()

    def new_keys(self, seal, change=None, data_key=None, epoch=None):
        """KEYS of the next epoch; returns its offset."""
        self.epoch = epoch or self.epoch + 1
        self.seal = seal
        self.data_keys[self.epoch] = data_key or self.random(32)
        return self.keys_segment(change)

    def slot(self, seal, data_key=None, incarnation=None, epoch=None, slot_key=None):
        """20.3, all slots."""
        data_key = self.data_keys[self.epoch] if data_key is None else data_key
        incarnation = self.incarnation if incarnation is None else incarnation
        epoch = self.epoch if epoch is None else epoch
        if seal.kind == 1:
            head, nonce = u32(seal.passes) + u32(seal.kib) + seal.salt, self.random(24)
            key = slot_key or argon(seal.phrase, seal.passes, seal.kib, seal.salt)
            return [head + nonce + aead(key, nonce, b"memfile1.slot" + incarnation + u32(epoch) + head, data_key)]
        return [sealed_box(data_key + incarnation + u32(epoch), public_of(secret), self.random(32))
                for secret in seal.secrets]

    def keys_segment(self, change=None):
        """20.2."""
        seal, wrap = self.seal, self.subkey("wrap")
        p = Parts(change)
        p.add("Keys.Header", self.header)
        p.add("Keys.Epoch", varint(self.epoch))
        p.add("Keys.Previous", blake("memfile1.bytes", self.keys_body) if self.epoch > 1 else bytes(32))
        p.add("Keys.Flags", u8(self.padded))
        p.add("Keys.Kind", u8(seal.kind))
        slots = self.slot(seal)
        p.add("Keys.Count", varint(len(slots)))
        for i, slot in enumerate(slots):
            p.add(f"Slot{i}", slot)
        if seal.kind == 2:
            nonce = self.random(24)
            p.add("Keys.Roster", nonce + aead(self.subkey("roster"), nonce, u32(self.epoch) + self.incarnation,
                                              b"".join(map(public_of, seal.secrets))))
        p.add("Keys.Older_Count", varint(self.epoch - 1))
        for epoch in range(1, self.epoch):
            nonce = self.random(24)
            p.add(f"Older{epoch}", nonce + aead(wrap, nonce, u32(epoch) + self.incarnation, self.data_keys[epoch]))
        covered = p.bytes()
        p.add("Keys.Commitment", hashlib.blake2b(covered, digest_size=32, key=self.subkey("commit")).digest())
        p.add("Keys.Succession", bytes(32) if self.epoch == 1 else
              hashlib.blake2b(covered, digest_size=32, key=self.subkey("rekey", self.epoch - 1)).digest())
        p.add("Keys.End", b"")
        self.keys_head = p.bytes()
        return self.repeat_keys(change)

    def repeat_keys(self, change=None, head=None):
        self.keys_at = File.segment(self, KEYS, head or self.keys_head, change=change)
        if head is None:
            self.keys_body = self.last_body
        return self.keys_at

    def rekey(self, seal, change=None, commit=None, data_key=None, epoch=None):
        """A new epoch in a group of its own."""
        self.new_keys(seal, change, data_key, epoch)
        return self.maintenance(change=commit)

    def segment(self, type, head, content=b"", flags=0, codec=0, parameter=0, change=None, stored=None,
                grouped=True, plain=False):
        if type == VOID or plain:
            return super().segment(type, head, content, flags, codec, parameter, change, stored, grouped)
        change = {} if change is None else change
        offset = len(self.data)
        body = Parts(change)
        body.add("Head_Length", varint(len(head)))
        body.add("Head", head)
        body.add("Content", content if stored is None else stored)
        body = body.bytes()
        p = Parts(change)
        for name, value in (("Inner.Type", u8(type)), ("Inner.Flags", u8(flags)), ("Inner.Codec", u8(codec)),
                            ("Inner.Zero", u8(0)), ("Inner.Raw_Length", u32(len(content))),
                            ("Inner.Codec_Parameter", u32(parameter)), ("Inner.Body_Length", u32(len(body)))):
            p.add(name, value)
        p.add("Inner.Body", body)
        size = len(p.bytes())
        p.add("Inner.Zeros", bytes(padme(size) - size if self.padded else 0))
        plaintext = p.bytes()
        clear = Parts(change)
        clear.add("Seal.Keys", u64(self.keys_at))
        if flags & F_COMMIT:
            clear.add("Seal.Group_Length", u64(offset - (self.group_start or offset)))
        clear = clear.bytes()
        p = Parts(change)
        for name, value in (("Segment_Magic", SEGMENT_MAGIC), ("Type", u8(SEALED)),
                            ("Flags", u8(flags & (F_COMMIT | F_SYNCED))), ("Codec", u8(15)), ("Reserved", u8(0)),
                            ("Stored_Length", u32(len(clear) + 24 + len(plaintext) + 16)), ("Raw_Length", u32(0)),
                            ("Offset", u64(offset)), ("Previous_Commit", u64(self.previous)),
                            ("Parent_Tag", self.parent_tag(flags)), ("Incarnation_Tag", self.incarnation[:4]),
                            ("Codec_Parameter", u32(self.epoch))):
            p.add(name, value)
        header = p.bytes()
        seal = Parts(change)
        # 20.7, with zeros in place of the hedge: any nonce does.
        seal.add("Seal.Nonce", hashlib.blake2b(self.random(32) + header[16:40] + bytes(16), digest_size=24,
                                               key=self.subkey("nonce")).digest())
        nonce = seal.bytes()
        seal.add("Seal.Ciphertext", aead(change.get("Seal.Key") or self.subkey("seal"), nonce,
                                         change.get("Seal.Data", b"memfile1.seal" + self.incarnation + header + clear),
                                         plaintext))
        change.setdefault("used", set()).update({"Seal.Key", "Seal.Data"})
        body = clear + seal.bytes()
        checksum = Parts(change)
        checksum.add("Body_Checksum", u64(xxh3(body)))
        header += checksum.bytes()
        checksum.add("Segment_Checksum", u64(xxh3(header)))
        header += checksum.bytes()[8:]
        tail = Parts(change)
        tail.add("Padding", bytes(-(offset + 64 + len(body)) % 8))
        if flags & F_COMMIT:
            tail.add("Trailer", u32(64 + len(body) + len(tail.bytes()) + 8) + TRAILER_MAGIC)
        self.data += header + body + tail.bytes()
        self.last_body = body
        b = header + blake("memfile1.bytes", body)
        if flags & F_COMMIT or not grouped:
            self.last_b = b
        else:
            if self.group_start is None:
                self.group_start = offset
            self.group.append(b)
            self.group_tag = group_tag(self.group_tag, header)
        return offset


def segments_of(data):
    """[header, body] of each segment of a file without voids."""
    at, out = 80, []
    while at < len(data):
        length = int.from_bytes(data[at + 8:at + 12], "little")
        out.append([bytes(data[at:at + 64]), bytes(data[at + 64:at + 64 + length])])
        at = (at + 64 + length + 7) // 8 * 8 + (8 if data[at + 5] & F_COMMIT else 0)
    return out


def mended(data, segments):
    """What somebody without a key can do: the file of these segments, each with its place, links, lengths
    and checksums made right. The ciphertexts stay as they are."""
    out, stored, previous, group, tag = bytearray(data[:80]), blake("memfile1.store", bytes(data[:80])), 0, [], 0
    for header, body in segments:
        offset = len(out)
        parent = int.from_bytes(stored[:8], "little") ^ (tag if header[5] & (F_COMMIT | F_SYNCED) == F_COMMIT else 0)
        header = header[:8] + u32(len(body)) + header[12:16] + u64(offset) + u64(previous) + u64(parent) + header[40:48]
        header += u64(xxh3(body))
        header += u64(xxh3(header))
        out += header + body + bytes(-(offset + 64 + len(body)) % 8)
        b = header + blake("memfile1.bytes", body)
        if header[5] & F_COMMIT:
            out += u32(len(out) + 8 - offset) + TRAILER_MAGIC
            prefix = blake("memfile1.store", stored + b"".join(group)) if group else stored
            stored, previous, group, tag = blake("memfile1.store", prefix + b), offset, [], 0
        else:
            group.append(b)
            tag = group_tag(tag, header)
    return bytes(out)


def salt_tree(root, gone):
    """13.3: the whole tree, or the nodes that no erased entry stands under."""
    nodes = []

    def walk(depth, position):
        shift = 2 * (16 - depth)
        if not any(index >> shift == position for index in gone):
            nodes.append((depth, position))
        elif depth < 16:
            for digit in range(4):
                walk(depth + 1, position << 2 | digit)

    walk(0, 0)
    return [(d, p, salt_node(root, d, p)) for d, p in nodes]


def put_nodes(nodes):
    return varint(len(nodes)) + b"".join(u8(d) + varint(p) + seed for d, p, seed in nodes)


def skip(data, at):
    """The position behind one CBOR item, for counting pairs; definite lengths only."""
    first = data[at]
    info, at = first & 31, at + 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    n = int.from_bytes(data[at:at + size], "big") if size else info
    at += size
    major = first >> 5
    if major in (2, 3):
        return at + n
    for _ in range({4: n, 5: 2 * n}.get(major, 0)):
        at = skip(data, at)
    return at


# --- Changing what stands in a file -------------------------------------------------------------

def flip(data, at, bit=1):
    out = bytearray(data)
    out[at] ^= bit
    return bytes(out)


def put(data, at, new):
    return data[:at] + new + data[at + len(new):]
