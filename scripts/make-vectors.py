#!/usr/bin/env python3
# SPDX-License-Identifier: CC0-1.0
"""Makes the test vectors of format-spec/vectors with the independent writer vector_writer.py.

    make-vectors.py            writes them
    make-vectors.py --check    compares them with what stands there, byte for byte

Each vector is one file with one feature or one defect and a text beside it; README.md in that
folder explains the text. Files named golden-… are not made here: tests/make_golden.c wrote them
once, and they stay as they are. The order below is that of the chapters of SPEC.md.
"""
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
try:
    from vector_writer import *  # noqa: E402,F403
except ImportError as error:
    print(f"left out: {error}")
    sys.exit(77)

FOLDER = Path(__file__).resolve().parent.parent / "format-spec" / "vectors"
made = {}


def canonical(entries):
    """The lines that export-sha256 speaks of: members by name, no spaces."""
    return "".join(json.dumps(to_json(e), sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
                   for e in entries)


def vector(name, spec, why, source, kept=None, data=None, expect=None, read=None, recover=None, **headers):
    """`source`: a File or bytes. `kept`: ids of the entries that may still be read, all if absent.
    `read`: how reading ends; `recover`: entries that recovery gives, as `kept` if absent."""
    data = bytes(source.data if data is None and isinstance(source, File) else data if data is not None else source)
    kind = name.split("-")[0]
    members = [e for e in source.entries if e.erased is None] if isinstance(source, File) else []
    if kept is not None:
        members = [e for e in members if id_text(e.fields[ID]) in kept.split()]
    expect = expect or {"good": "sound", "bad": "damaged", "unsupported": "newer"}[kind]
    lost = isinstance(source, File) and len(members) < sum(e.erased is None for e in source.entries)
    read = read or (expect if kind == "unsupported" or expect == "not-a-memfile" or lost else "sound")
    opens = read in ("sound", "damaged")
    text = [f"expect: {expect}", f"spec: {spec}", f"read: {read}", f"entries: {len(members)}",
            "export-sha256: " + hashlib.sha256(canonical(members).encode()).hexdigest(),
            f"recover: {recover if recover is not None else len(members) if opens or members else 'nothing'}"]
    text += [f"{key}: {value}" for key, value in headers.items()]
    words = "\n".join(text) + "\n\n"
    line = ""
    for word in why.split():
        if len(line) + len(word) > 90:
            words += line.rstrip() + "\n"
            line = ""
        line += word + " "
    words += line.rstrip() + "\n"
    assert name not in made, name
    made[name] = (data, words, canonical(members) if kind == "good" else None)
    for part in getattr(source, "changes", []):
        unused = set(part) - part.get("used", set()) - {"used"}
        assert not unused, (name, unused)


def three(middle=None, change=None, setup=None, entries=None, **commit):
    """The genesis, an inline commit of "a", the middle one of "b", one of "z"."""
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    if setup:
        setup(f)
    middle = middle if middle is not None else [note("b", "The second.")]
    f.changes = [change] if change else []
    f.commit(middle, change=change, **commit)
    f.commit([note("z", "The last.")])
    return f


def batch(middle=None, change=None, commit=None, before=None, after=None, records=None, **more):
    """The same, with the middle commit as RECORDS, INDEX and COMMIT; `change` is for the records,
    `commit` for the commit, `index` in `more` for the pages."""
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    if before:
        before(f)
    f.changes = [c for c in (change, commit, more.get("index", {}).get("change")) if c]
    f.records(middle or [note("b", "The second.")], change=change, **(records or {}))
    if after:
        after(f)
    f.commit(change=commit, **more)
    f.commit([note("z", "The last.")])
    return f


def changed(f, at, new):
    return put(bytes(f.data), at, new)


# --- 2, 3. File, header -----------------------------------------------------------------------

def header():
    f = three()
    data = bytes(f.data)
    vector("good-three-commits", "2.1", "A genesis and three commits of one entry each, inline.", f)
    g = File()
    g.commit()
    vector("good-genesis-only", "2.3", "The smallest memory: the genesis alone, which brings no entries.", g)
    g = batch()
    vector("good-batch", "2.1", "A group of RECORDS, INDEX and COMMIT between inline commits.", g)

    def nothing(name, why, data):
        vector(name, "3", why, data, expect="not-a-memfile", recover="nothing")

    nothing("bad-empty", "A file of no bytes has no Magic.", b"")
    nothing("bad-magic-cut", "Eleven bytes of the twelve of Magic.", data[:11])
    nothing("bad-magic-other", "Another file format: a PNG signature and nothing of a memfile.",
            b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    for name, why, other in (
            ("seven-bits", "A channel of seven bits cleared the high bit of the first byte.", b"\x2b" + data[1:]),
            ("line-ends", "A transfer as text made LF of CR LF in Magic; all behind it moved by one byte.",
             data.replace(b"\r\n", b"\n", 1))):
        vector(f"bad-magic-{name}", "3", why + " What recovery finds behind the header is sound.", f, data=other, kept="",
               expect="not-a-memfile", read="not-a-memfile", recover=3)
    vector("bad-header-magic-only", "3", "Magic alone: the header ends early.", data[:12], expect="truncated",
           read="truncated", recover="nothing")
    vector("bad-header-short", "3", "79 of the header's 80 bytes.", data[:79], expect="truncated",
           read="truncated", recover="nothing")
    vector("bad-header-only", "14.2", "A header and no commit: there is nothing that counts.", data[:80],
           read="damaged", recover="nothing")
    for name, at, what in (("checksum", 72, "Header_Checksum"), ("incarnation", 36, "the part of Incarnation_Id "
                           "that no segment repeats"), ("memory-id", 50, "Memory_Id"),
                           ("version", 12, "Format_Version, so it is damage and nobody speaks of a newer version"),
                           ("reserved-flipped", 66, "Reserved_3")):
        vector(f"bad-header-{name}", "3", f"One bit of the header was flipped, in {what}; the commits behind it "
               "are sound.", f, data=flip(data, at), kept="", read="damaged", recover=3)
    for name, change, what in (
            ("version-2", {"Format_Version": u16(2)}, "Format_Version 2."),
            ("version-0", {"Format_Version": u16(0)}, "Format_Version 0 was never given out."),
            ("version-high", {"Format_Version": u16(257)}, "Format_Version 257, whose low byte is 1."),
            ("suite-2", {"Suite": u8(2)}, "Suite 2 is not of this version."),
            ("read-feature", {"Read_Features": u32(1)}, "Read_Features bit 0."),
            ("read-feature-31", {"Read_Features": u32(1 << 31)}, "Read_Features bit 31."),
            ("reserved-1", {"Reserved_1": u8(1)}, "Reserved_1 is not 0."),
            ("reserved-2", {"Reserved_2": u32(1 << 24)}, "Reserved_2 is not 0."),
            ("reserved-3", {"Reserved_3": u64(1 << 56)}, "Reserved_3 is not 0.")):
        f = File(change)
        f.commit()
        f.commit([note("a", "Who knows what this is.")])
        vector(f"unsupported-{name}", "3", what, f, kept="", recover="nothing")
    for name, change, header in (("write", "Write_Features", {"write": "refused"}),
                                 ("compact", "Compact_Features", {"compact": "refused"})):
        f = File({change: u32(1 << 7)})
        f.commit()
        f.commit([note("a", "Readable.")])
        if name == "compact":
            header = {"compact": "refused"}
        vector(f"good-{name}-feature", "3", f"An unknown bit of {change} does not concern readers.", f, **header)


# --- 4. Segment -------------------------------------------------------------------------------

def segment():
    def bad(name, spec, why, f, kept="a z", **more):
        vector("bad-segment-" + name, spec, why, f, kept=kept, **more)

    for name, change, why in (
            ("magic", {"Segment_Magic": b"\xd3MFs"}, "Segment_Magic is another; its checksum agrees."),
            ("offset", {"Offset": u64(8)}, "Offset is not where the segment starts."),
            ("incarnation-tag", {"Incarnation_Tag": u32(0)}, "Incarnation_Tag is not that of the header."),
            ("body-checksum", {"Body_Checksum": u64(0)}, "Body_Checksum does not agree with the body."),
            ("segment-checksum", {"Segment_Checksum": u64(0)}, "Segment_Checksum does not agree with the header."),
            ("stored-length", {"Stored_Length": lambda old: u32(int.from_bytes(old, "little") + 1)},
             "Stored_Length is one too large; the header's checksum agrees, that of the body cannot."),
            ("stored-length-limit", {"Stored_Length": u32(1_048_577)}, "Stored_Length is above its limit."),
            ("raw-length-limit", {"Raw_Length": u32(1_048_577)}, "Raw_Length is above its limit."),
            ("padding", {"Padding": lambda old: b"\1" * len(old), "TEXT": ints([12]), "Texts": b"The second.."}, "The padding is not zero."),
            ("trailer-length", {"Trailer": lambda old: u32(8) + old[4:]}, "The trailer's length is wrong."),
            ("trailer-magic", {"Trailer": lambda old: old[:4] + b"ESFm"}, "The trailer's last bytes are wrong.")):
        bad(name, "4.2", why, three(change=change))
    for name, change, why in (
            ("type-0", {"Type": u8(0)}, "Type 0 is never valid."),
            ("commit-flag-missing", {"Type": u8(6)}, "Type COMMIT without the flag COMMIT."),
            ("records-optional", {"Flags": u8(2)}, "RECORDS with the flag OPTIONAL, which no type of this version "
             "carries."),
            ("records-derived", {"Flags": u8(4)}, "RECORDS with the flag DERIVED."),
            ("records-synced", {"Flags": u8(8)}, "SYNCED on a segment that is no commit.")):
        f = batch(change=change)
        bad(name, "5", why, f, kept=None if name in ("records-optional", "records-derived", "records-synced") else "a z",
            read="sound" if "records" in name else None)
    f = batch(change={"Flags": u8(1), "Padding": lambda old: old})
    for name, bit in (("optional", 2), ("derived", 4)):
        f = three(change={"Flags": u8(1 | bit)})
        bad(f"commit-{name}", "5", f"A COMMIT with the flag {name.upper()}.", f, kept=None, read="sound")
    f = batch(index={"change": {"Flags": u8(0)}})
    bad("index-not-derived", "5", "INDEX without the flag DERIVED; the entries do not depend on it.", f, kept=None)
    for name, change, why in (
            ("flag-16", {"Flags": u8(0x11)}, "Bit 4 of Flags is of a newer version."),
            ("flag-128", {"Flags": u8(0x81)}, "Bit 7 of Flags is of a newer version."),
            ("segment-reserved", {"Reserved": u8(1)}, "Reserved is not 0."),
            ("codec-3", {"Codec": u8(3)}, "Codec 3 is not of this version.")):
        vector("unsupported-" + name, "4.2", why + " It stands in a commit behind the last footer, which every reader "
               "must pass.", three(change=change), kept="", recover="nothing")
    for name, change, why in (
            ("previous-commit", {"Previous_Commit": u64(0)}, "Previous_Commit says that this is the first group."),
            ("previous-commit-forward", {"Previous_Commit": u64(568)}, "Previous_Commit leads forward."),
            ("parent-tag", {"Parent_Tag": bytes(8)}, "Parent_Tag is not that of the stored digest of the commit "
             "before.")):
        bad(name, "4.1", why + " Recovery leaves out what does not name its place.", three(change=change), kept=None,
            recover=2)
    for name, change, why in (
            ("codec-parameter", {"Codec_Parameter": u32(7)}, "Codec_Parameter with codec 0."),
            ("raw-length", {"Raw_Length": u32(3)}, "Raw_Length is not the length of the raw content."),
            ("head-length-beyond", {"Head_Length": varint(100_000)}, "Head_Length leads beyond the body."),
            ("head-length-form", {"Head_Length": lambda old: bytes((old[0] | 128, old[1] if len(old) > 1 else 0))
             if len(old) == 1 else bytes((old[0], old[1] | 128, 0))}, "Head_Length is not in its shortest form."),
            ("head-length-eleven", {"Head_Length": b"\x80" * 10 + b"\1"}, "Head_Length is a varint of 11 bytes."),
            ("head-length-2-64", {"Head_Length": b"\xff" * 9 + b"\2"}, "Head_Length is 2^64 or more.")):
        bad(name, "4.3", why, batch(change=change))
    f = batch(change={"Head_Length": b"", "Head": b"", "Content": b"", "Raw_Length": u32(0)})
    bad("empty-body", "4.3", "A body of no bytes has no Head_Length.", f)


SECTIONS = [header, segment]


def main():
    for section in SECTIONS:
        section()
    wanted = {}
    for name, (data, text, lines) in made.items():
        wanted[name + ".memfile"], wanted[name + ".txt"] = data, text.encode()
        if lines is not None:
            wanted[name + ".jsonl"] = lines.encode()
    stale = [p for p in FOLDER.glob("*.*") if p.name not in wanted and p.name != "README.md" and "golden-" not in p.name]
    if sys.argv[1:] == ["--check"]:
        bad = [p.name for p in stale] + [name for name, data in wanted.items()
                                         if not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != data]
        print("\n".join(f"differs: {name}" for name in sorted(bad)) or f"{len(made)} vectors are as they are made")
        return 1 if bad else 0
    FOLDER.mkdir(exist_ok=True)
    for path in stale:
        path.unlink()
    for name, data in wanted.items():
        (FOLDER / name).write_bytes(data)
    print(f"{len(made)} vectors, {sum(len(d) for d in wanted.values())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
