#!/usr/bin/env python3
"""Writes format-spec/example.md from the file that tests/make_example.c makes:
make-example.py FILE > format-spec/example.md. Knows SPEC.md, not the library."""
import struct
import sys

data = open(sys.argv[1], "rb").read()
at = 0


def row(length, name, meaning=""):
    """Prints `length` bytes as one field and returns them."""
    global at
    raw = data[at:at + length]
    assert len(raw) == length
    for i in range(0, max(length, 1), 16):
        part = raw[i:i + 16].hex(" ")
        print(f"{at + i:06x}  {part:<47}  {(name + (': ' + meaning if meaning else '')) if i == 0 else ''}".rstrip())
    at += length
    return raw


def number(size, name, meaning=None):
    value = int.from_bytes(data[at:at + size], "little")
    row(size, name, str(value) if meaning is None else meaning)
    return value


def varint(name, show=str):
    value = shift = size = 0
    while True:
        byte = data[at + size]
        value |= (byte & 127) << shift
        size, shift = size + 1, shift + 7
        if byte < 128:
            break
    row(size, name, show(value))
    return value


def ints(count, name):
    if count == 0:
        return []
    width = data[at]
    base = size = shift = 0
    while True:
        byte = data[at + 1 + size]
        base |= (byte & 127) << shift
        size, shift = size + 1, shift + 7
        if byte < 128:
            break
    packed = (count * width + 7) // 8
    bits = int.from_bytes(data[at + 1 + size:at + 1 + size + packed], "little")
    values = [base + (bits >> (i * width) & ((1 << width) - 1)) for i in range(count)]
    row(1 + size + packed, name, f"{values} (Width {width}, Base {base})")
    return values


def strings(count, name):
    if count == 0:
        return
    prefixes = ints(count, f"{name}, Prefixes")
    suffixes = ints(count, f"{name}, Suffix_Lengths")
    for prefix, suffix in zip(prefixes, suffixes):
        raw = data[at:at + suffix]
        row(suffix, name, repr(raw.decode()) if raw.isascii() and raw.isalnum() else "")


def ids(count, name):
    classes = ints(count, f"{name}, Classes")
    strings(sum(c != 3 for c in classes), name)
    ints(sum(c == 3 for c in classes), f"{name}, rows")


def block():
    rows = varint("Row_Count")
    masks = ints(rows, "Masks")
    used = [sum(m >> bit & 1 for m in masks) for bit in range(12)]
    strings(varint("Names, count"), "Names")
    if used[1]:
        count = varint("Scopes, count")
        ints(sum(ints(count, "Scopes, lengths")), "Scopes, names")
    ids(rows - used[11], "Ids")
    ints(used[0], "KIND")
    ints(used[1], "SCOPE")
    strings(used[2], "KEY")
    if used[3]:
        varint("TIME, first seconds", lambda v: str(v >> 1 if v % 2 == 0 else -(v >> 1) - 1))
        ints(used[3] - 1, "TIME, differences")
        ints(used[3], "TIME, Digits")
    texts = ints(used[4], "TEXT, lengths")
    links = ints(used[6], "LINKS, counts")
    ints(sum(links), "LINKS, relations")
    if sum(links):
        ids(sum(links), "LINKS, targets")
    rests = ints(used[9], "REST, lengths")
    assert not any(used[i] for i in (2, 5, 7, 8, 10, 11))
    return texts, rests


def commit(end):
    flags = varint("Commit_Flags", lambda v: f"{v:#x}: " + " ".join(
        n for i, n in enumerate(["LOGICAL", "FULL", "INLINE", "PARENTS", "AUTHOR", "EXTRA", "SALT", "ORDER", "SIGNATURES"]) if v >> i & 1))
    varint("Number")
    varint("First_Entry")
    entries = varint("Entry_Count")
    varint("Group_Length / 8")
    varint("Time", lambda v: f"{v >> 1} µs")
    row(32, "History_Digest")
    if entries:
        varint("Salt_Index")
    if flags & 64:
        row(16, "Salt_Root")
    if flags & 2:
        row(32, "Stored_Prefix")
        for name in ("Indexed_Entries", "Indexed_Commits", "Superseded", "Objects"):
            varint(name)
        row(32 * varint("Log_Frontier, count"), "Log_Frontier")
        for name in ("Dictionaries, count", "Keys", "Histories, count", "Histories, offset / 8", "Runs, count"):
            assert varint(name) == 0
        row(16, "Salt")
        varint("Forgotten")
        assert varint("Reserved, length") == 0
    else:
        varint("Footer_Distance / 8")
    return block() if flags & 4 else ([], [])


print("""# A worked example

The file that `tests/make_example.c` makes, byte for byte: the genesis, then one commit of two
entries. Clock and randomness are fixed, and the texts are too short to be compressed, so any
implementation can make the same bytes. `scripts/make-example.py` wrote this page; a test makes it
again and compares. The entries are

```json
{"id":"a","kind":"note","scope":["s"],"time":"2023-11-14T22:13:20Z","text":"Tea."}
{"id":"b1b2","text":"Not coffee.","links":[{"rel":"to","to":"a"}],"pinned":true}
```

## Header

```""")
row(12, "Magic")
number(2, "Format_Version")
number(1, "Suite", "plain")
number(1, "Reserved_1")
for name in ("Read_Features", "Write_Features", "Compact_Features", "Reserved_2"):
    number(4, name)
row(16, "Incarnation_Id")
row(16, "Memory_Id")
number(8, "Reserved_3")
row(8, "Header_Checksum")
print("```")
count = 0
while at < len(data):
    start = at
    print(f"\n## Commit {count}\n\n```")
    count += 1
    row(4, "Segment_Magic")
    assert number(1, "Type", "COMMIT") == 6
    number(1, "Flags", "COMMIT")
    codec = number(1, "Codec", "raw")
    number(1, "Reserved")
    stored = number(4, "Stored_Length")
    number(4, "Raw_Length")
    number(8, "Offset")
    number(8, "Previous_Commit")
    row(8, "Parent_Tag")
    row(4, "Incarnation_Tag")
    number(4, "Codec_Parameter")
    row(8, "Body_Checksum")
    row(8, "Segment_Checksum")
    body = at
    varint("Head_Length")
    texts, rests = commit(body + stored)
    for length in texts:
        row(length, "text", repr(data[at:at + length].decode()))
    for length in rests:
        row(length, "rest", "26 pinned: true" if data[at:at + length].hex() == "181af5" else "")
    assert at == body + stored and codec == 0
    if at % 8:
        row(8 - at % 8, "padding")
    number(4, "trailer", f"{at + 8 - start} bytes in all")
    row(4, "trailer")
    print("```")
print("\nThe cores of the two entries, from which the leaves are computed:\n\n```")
print("a5                                  map of 5\n   01 61 61                         id: \"a\"\n   02 64 6e6f7465                   kind: \"note\"\n"
      "   03 81 61 73                      scope: [\"s\"]\n   05 1a 6553f100                   time: 1700000000\n   06 64 5465612e                   text: \"Tea.\"\n")
print("a4                                  map of 4\n   01 64 62316232                   id: \"b1b2\"\n   06 6b 4e6f7420636f666665652e     text: \"Not coffee.\"\n"
      "   0c 81 82 62 746f 61 61           links: [[\"to\", \"a\"]]\n   18 1a f5                         pinned: true\n```")
