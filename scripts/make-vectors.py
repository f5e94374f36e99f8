#!/usr/bin/env python3
# SPDX-License-Identifier: CC0-1.0
"""Makes the test vectors of format-spec/vectors with the independent writer vector_writer.py.

    make-vectors.py            writes them
    make-vectors.py --check    compares them with what stands there, byte for byte

Each vector is one file with one feature or one defect and a text beside it; README.md in that
folder explains the text. Files named golden-… are not made here: scripts/make-golden.py wrote
them once, and they stay as they are. The order below is that of the chapters of SPEC.md.
"""
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
try:
    from vector_writer import *  # noqa: E402,F403
    import sealed_vectors  # noqa: E402
except ImportError as error:
    print(f"left out: {error}")
    sys.exit(77)

FOLDER = Path(__file__).resolve().parent.parent / "format-spec" / "vectors"
made = {}


def canonical(entries):
    """The lines that export-sha256 speaks of: members by name, no spaces."""
    return "".join(json.dumps(to_json(e), sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
                   for e in entries)


# The newest commit is damaged, or look-ups go without a commit that lists believe: all else is read, and at the end it is
# said that something may be missing.
NEWEST_DAMAGED = {"bad-commit-entry-count", "bad-commit-maintenance-number", "bad-commit-maintenance-salt", "bad-commit-maintenance-with-entries",
                  "bad-commit-signature-later", "bad-sealed-newest-empty", "bad-sealed-newest-group-length",
                  "bad-sealed-newest-header-type", "bad-sealed-newest-short", "bad-sealed-plain-commit"}


def vector(name, spec, why, source, kept=None, data=None, expect=None, read=None, recover=None, **headers):
    """`source`: a File or bytes. `kept`: ids of the entries that may still be read, all if absent.
    `read`: how reading ends; `recover`: entries that recovery gives, as `kept` if absent."""
    data = bytes(source.data if data is None and isinstance(source, File) else data if data is not None else source)
    kind = name.split("-")[0]
    known = source.entries if isinstance(source, File) else []
    hidden = source.forgotten() if isinstance(source, File) else set()
    known = [e for n, e in enumerate(known) if e.erased is None and n not in hidden]
    members = list(known)
    if kept is not None:
        members = [e for e in members if id_text(e.fields[ID]) in kept.split()]
    expect = expect or {"good": "sound", "bad": "damaged", "unsupported": "newer"}[kind]
    lost = len(members) < len(known)
    read = read or (expect if kind == "unsupported" or expect == "not-a-memfile" or lost else "sound")
    if read == "sound" and name in NEWEST_DAMAGED:
        read = "damaged"
    opens = read in ("sound", "damaged")
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    text = [f"expect: {expect}", f"spec: {spec}", f"read: {read}", f"entries: {len(members)}",
            "export-sha256: " + hashlib.sha256(canonical(members).encode()).hexdigest(),
            f"recover: {recover if recover is not None else len(members) if opens or members else 'nothing'}"]
    if isinstance(source, SealedFile):
        headers = {"outside": "sound" if kind == "good" else "damaged"} | source.seal.headers() | headers
    text += [f"{key}: {value}" for key, value in headers.items() if value is not None]
    words = "\n".join(text) + "\n\n"
    line = ""
    for word in why.split():
        if len(line) + len(word) > 90:
            words += line.rstrip() + "\n"
            line = ""
        line += word + " "
    words += line.rstrip() + "\n"
    assert name not in made, name
    lines = canonical(members)
    made[name] = (data, words, lines if kind == "good" and len(lines) < 70_000 else None)
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
    bad("group-tag", "9.4", "A commit in the middle, not SYNCED, is bound to another group than stands before it.",
        batch(synced=False, commit={"Parent_Tag": lambda old: bytes([old[0] ^ 1]) + old[1:]}), kept=None, recover=3)
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


# --- 4.3 Codecs -------------------------------------------------------------------------------

COMPRESSED = "28b52ffd600800ed0000b05468652073616d6520776f72647320616761696e2e200100de49cd26"
LONG = "The same words again. " * 12          # 264 bytes


def codec():
    def good(name, spec, why, **more):
        text = more.pop("text", LONG)
        f = batch([note("b", text)], records=dict(codec=1, **more))
        vector("good-" + name, spec, why, f)

    raw = LONG.encode()
    good("zstd-raw-block", "4.3", "A zstd frame of one raw block, single segment, content size of 2 bytes.",
         stored=frame(raw))
    good("zstd-size-4", "4.3", "The content size takes 4 bytes where 2 would do.",
         stored=b"\x28\xb5\x2f\xfd\xa0" + u32(264) + (264 << 3 | 1).to_bytes(3, "little") + raw)
    good("zstd-size-8", "4.3", "The content size takes 8 bytes.", stored=b"\x28\xb5\x2f\xfd\xe0" + u64(264)
         + (264 << 3 | 1).to_bytes(3, "little") + raw)
    good("zstd-window", "4.3", "The frame states a window of 1 KiB beside its content size.",
         stored=b"\x28\xb5\x2f\xfd\x40\x00" + u16(8) + (264 << 3 | 1).to_bytes(3, "little") + raw)
    for name, byte, why in (("8-mib", 0x68, "8 MiB, the largest"),):
        good("zstd-window-" + name, "4.3", f"The frame states a window of {why}.",
             stored=b"\x28\xb5\x2f\xfd\x40" + u8(byte) + u16(8) + (264 << 3 | 1).to_bytes(3, "little") + raw)
    good("zstd-rle", "4.3", "A frame of one RLE block.", text="e" * 3000, stored=frame(b"e", rle=3000, stated=3000))
    good("zstd-two-blocks", "4.3", "A frame of two blocks.",
         stored=frame(raw)[:7] + (100 << 3).to_bytes(3, "little") + raw[:100] + (164 << 3 | 1).to_bytes(3, "little") + raw[100:])
    good("zstd-compressed", "4.3", "A frame of a compressed block, as zstd 1.5.4 made it at level 19.",
         stored=bytes.fromhex(COMPRESSED))
    f = three([note("b", LONG)], codec=1)
    vector("good-zstd-inline", "4.3", "The content of an inline block may be compressed too.", f)

    def bad(name, why, stored, kept="a z", **more):
        f = batch([note("b", LONG)], records=dict(codec=1, stored=stored), **more)
        vector("bad-zstd-" + name, "4.3", why, f, kept=kept)

    bad("no-size", "The frame does not state its content size.", frame(raw, size=False, window=0x50))
    short = (LONG * 5)[:1025].encode()
    f = batch([note("b", short.decode())], records=dict(codec=1, stored=b"\x28\xb5\x2f\xfd\x40\x00" + u16(1025 - 256)
                                                        + (1025 << 3 | 1).to_bytes(3, "little") + short))
    vector("bad-zstd-window-short", "4.3", "The frame states a window of 1 KiB for 1,025 bytes: what lies further back than its "
           "window, one decoder takes from there and another from elsewhere.", f, kept="a z")
    for name, byte, why in (("9-mib", 0x69, "9 MiB"), ("2-tib", 0xF8, "2 TiB")):
        bad("window-" + name, f"The frame states a window of {why}; 8 MiB is the largest.",
            b"\x28\xb5\x2f\xfd\x40" + u8(byte) + u16(8) + (264 << 3 | 1).to_bytes(3, "little") + raw)
    bad("size-less", "The frame states 263 bytes, Raw_Length is 264.", frame(raw, stated=263))
    bad("size-more", "The frame states 265 bytes; it holds and Raw_Length says 264.", frame(raw, stated=265))
    bad("content-less", "The frame states 264 bytes and holds 260.", frame(raw[:260], stated=264))
    bad("checksum", "The frame carries a checksum, which is right.", frame(raw, checksum=True))
    bad("checksum-wrong", "The frame carries a checksum, which is wrong.", frame(raw, checksum=True)[:-1] + b"\0")
    bad("dictionary-id", "The frame names a dictionary.", frame(raw, dictionary=u32(77)))
    bad("dictionary-id-zero", "The frame has a field of one byte for a dictionary id, and 0 in it.",
        frame(raw, dictionary=u8(0)))
    bad("skippable", "A skippable frame stands in place of a frame.", b"\x50\x2a\x4d\x18" + u32(264) + raw)
    bad("skippable-behind", "A skippable frame follows the frame.", frame(raw) + b"\x50\x2a\x4d\x18" + u32(4) + b"more")
    bad("skippable-before", "A skippable frame stands before the frame.",
        b"\x50\x2a\x4d\x18" + u32(4) + b"more" + frame(raw))
    bad("legacy", "The magic of zstd 0.7.", frame(raw, magic=b"\x27\xb5\x2f\xfd"))
    bad("two-frames", "Two frames, of 132 bytes each.", frame(raw[:132]) + frame(raw[132:]))
    bad("trailing", "One byte stands behind the frame.", frame(raw) + b"\0")
    bad("cut", "The frame lacks its last byte.", frame(raw)[:-1])
    bad("no-last-block", "No block of the frame is the last.", frame(raw, last=False))
    bad("magic", "No zstd frame at all.", b"BZh9" + frame(raw)[4:])
    bad("empty", "Codec 1 and no frame.", b"")
    bad("reserved-block", "A block of the reserved type 3.",
        frame(raw)[:7] + (264 << 3 | 7).to_bytes(3, "little") + raw)
    bad("reserved-bit", "The reserved bit of the frame's descriptor is set.",
        frame(raw)[:4] + bytes((frame(raw)[4] | 8,)) + frame(raw)[5:])
    bad("bomb", "RLE blocks that stand for 64 MiB; the frame states 264 bytes. A reader must not write more.",
        frame(b"e", rle=1 << 26, stated=264))
    bad("bomb-stated", "The frame states 4 GiB − 1, Raw_Length 264.", frame(b"e", rle=1 << 20, stated=0xFFFFFFFF))
    f = batch([note("b", "")], change={"Codec": u8(1)})
    vector("bad-codec-without-content", "4.3", "Raw_Length is 0, so that the codec must be 0.", f, kept="a z")
    f = batch(index={"change": {"Codec": u8(2), "Codec_Parameter": u32(15)}})
    vector("bad-codec-2-without-content", "4.3", "INDEX has no content, so that its codec must be 0; it is 2, and no dictionary is "
           "there.", f)
    f = batch([note("b", "x" * 600)], change={"Codec": u8(1), "Codec_Parameter": u32(5)},
              records=dict(stored=frame(b"x", rle=600, stated=600)))
    vector("bad-codec-1-parameter", "4.1", "Codec 1 with a Codec_Parameter.", f, kept="a z")
    for name, type, why in (("type-9", 9, "Type 9 is reserved"), ("type-200", 200, "Type 200 is free for trials, "
                            "with OPTIONAL set")):
        f = batch(after=lambda f, type=type: f.segment(type, varint(1) + varint(1)))
        vector(f"unsupported-{name}", "18", why + "; without OPTIONAL it must be understood. Verify says so; the entries "
               "can be read by the index.", f, read="sound", recover="nothing", compact="refused")
    for name, flags, why in (("", 2, "OPTIONAL is set"), ("-derived", 6, "OPTIONAL and DERIVED are set")):
        f = batch(after=lambda f, flags=flags: f.segment(200, varint(1) + varint(1) + b"hidden", b"what?", flags=flags))
        vector(f"good-optional{name}", "18", f"A segment of the unknown type 200; {why}, so that readers ignore it.", f,
               left_out=0 if "DERIVED" in why else 1)
    f = batch(after=lambda f: f.segment(200, varint(1) + varint(1) + b"hidden", b"what?", flags=2, change={"Codec": u8(3)}))
    vector("good-optional-codec", "18", "A segment of the unknown type 200 with OPTIONAL and the unknown codec 3.", f, left_out=1)
    f = batch(before=lambda f: f.segment(KEYS, b"no slots"))
    vector("bad-keys-in-plain", "5", "KEYS in a file that is not sealed.", f)
    f = batch(change={"Codec": u8(15)})
    vector("bad-codec-15", "4.1", "Codec 15, on RECORDS of a plain file.", f, kept="a z")
    for name, flags in (("flag-32", 0x20), ("flag-64", 0x40)):
        f = batch(change={"Flags": u8(flags)})
        vector("unsupported-records-" + name, "4.2", "A reserved bit of Flags, on RECORDS.", f, kept="a", read="newer",
               recover="nothing")
    f = batch(change={"Codec": u8(3)})
    vector("unsupported-records-codec", "4.2", "Codec 3, on RECORDS.", f, kept="a", read="newer", recover="nothing")


# --- 6. Block ---------------------------------------------------------------------------------

UUID = bytes.fromhex("00112233445566778899aabbccddeeff")


def rich(id="b"):
    return note(id, "A text.", kind="fact", scope=["x", "y"], key="k", time=[1_700_000_000, 3, 7],
                tags=["t", "x"], links=[["to", "b"], ["x", UUID]], idempotency_key="once", expires=2_000_000_000,
                title="In the rest.")


def block_vectors():
    def good(name, why, f, spec="6"):
        vector("good-block-" + name, spec, why, f)

    good("all-columns", "Every column but VECTOR and ERASED, in one row.", three([rich()]))
    good("many-rows", "Rows of several masks, names and scopes in use by several.", batch(
        [rich(), note("c", "no more than a text"), note("d", "", kind="fact", scope=["x"]),
         note("e", "e", scope=[]), note("f", None, op=1, reason="gone"), note("b", "new", tags=[])]))
    good("width-64", "Packed integers of Width 64 with Base 0: not what a writer takes, but valid.",
         three([rich()], {"TEXT": ints([7], 64, 0)}), "1.5")
    good("width-3", "Masks of Width 12 that span bytes.", batch(
        [rich(), note("c", "1"), note("d", "2"), note("e", "3")], {"TEXT": ints([7, 1, 1, 1], 3, 0)}), "1.5")
    good("width-63", "Packed integers of Width 63.", three([rich()], {"REST": ints([len(rich().rest)], 63, 0)}), "1.5")
    good("prefix-unused", "Front coding that does not use the common prefix.",
         batch([note("same1", "1"), note("same2", "2")], {"Ids.Prefixes": ints([0, 0]), "Ids.Suffix_Lengths": ints([5, 5]),
                                                          "Ids.Suffixes": b"same1same2"}), "1.6")
    good("id-hex-as-text", "An id of hexadecimal digits stored as text (class 2).",
         three([note("b1b2", "x")], {"Ids.Classes": ints([2]), "Ids.Suffix_Lengths": ints([4]), "Ids.Suffixes": b"b1b2"}),
         "6.3")
    good("ids", "Ids of class 0, 1 and 2, among them digits of odd number and in upper case.",
         batch([note(UUID, "0"), note("b1b2", "1"), note("b1b", "2"), note("B1B2", "3"),
                note("00112233-4455-6677-8899-AABBCCDDEEFF", "4"), note("é", "5"), note("x" * 255, "6")]), "6.3")
    good("link-forward", "A link to a later row of the block and to its own row, by position.",
         batch([note("b", "x", links=[["to", "c"], ["self", "b"]]), note("c", "y")]), "6.3")
    good("link-by-bytes", "Links to rows of the block that are stored by their bytes.",
         batch([note("b", "x", links=[["to", "c"], ["self", "b"]]), note("c", "y")], records=dict(link_rows=False)), "6.3")
    good("names-unused", "Names holds a text that no row uses.",
         three([note("b", "x")], block_options=dict(names=["never"])))
    good("times", "The first and the last second, and fractions of 1 to 9 digits with zeros at both ends.",
         batch([note(f"b{i}", "x", time=t) for i, t in enumerate(
             [-62_167_219_200, 253_402_300_799, [0, 1, 0], [-1, 9, 999_999_999], [1, 9, 0], [1, 5, 100], 951_782_400])]), "6.4")
    f = File()
    f.commit()
    f.commit([note(f"n{i:04}", "") for i in range(4096)])
    vector("good-block-4096-rows", "6.2", "As many rows as a block may have.", f)

    def large(rows):
        return batch([note(f"b{i}", "", tags=["n" * 255] * 256) for i in range(rows)])
    good("cores-2-mib", "A block of a few kilobytes whose 31 cores take nearly 2 MiB.", large(31), "6.2")
    vector("bad-block-cores", "6.2", "The cores of 32 rows take more than 2,097,152 bytes, and the block a few kilobytes. The rows can "
           "be read.", large(32), read="sound", recover=2)

    def bad(name, why, change, spec="6.2", entries=None, kept="a z", **more):
        f = batch(entries or [rich()], change, **more)
        vector("bad-block-" + name, spec, why, f, kept=kept)

    bad("width-65", "A Width of 65 bits.", {"TEXT": u8(65) + varint(7) + bytes(9)}, "1.5")
    bad("unused-bits", "The unused bits of a packed list are not 0.", {"TEXT": u8(3) + varint(0) + b"\x0f"}, "1.5")
    bad("sum-above-2-64", "Base and packed value add up to 2^64.",
        {"TEXT": u8(3) + varint((1 << 64) - 1) + b"\1"}, "1.5")
    bad("base-long", "A Base that is not in its shortest form.", {"TEXT": u8(0) + b"\x87\0"}, "1.2")
    bad("ints-cut", "A packed list that goes beyond the head.", {"Masks": u8(64) + varint(0) + bytes(7), "Names.Count": b"",
        "Names.Prefixes": b"", "Names.Suffix_Lengths": b"", "Names.Suffixes": b"", "Scopes.Count": b"", "Scopes.Lengths": b"",
        "Scopes.Names": b"", "Ids.Classes": b"", "Ids.Prefixes": b"", "Ids.Suffix_Lengths": b"", "Ids.Suffixes": b"",
        "KIND": b"", "SCOPE": b"", "KEY.Prefixes": b"", "KEY.Suffix_Lengths": b"", "KEY.Suffixes": b"", "TIME.First": b"",
        "TIME.Digits": b"", "TIME.Fractions": b"", "TEXT": b"", "TAGS.Counts": b"", "TAGS.Names": b"", "LINKS.Counts": b"",
        "LINKS.Names": b"", "LINKS.Classes": b"", "LINKS.Prefixes": b"", "LINKS.Suffix_Lengths": b"",
        "LINKS.Suffixes": b"", "LINKS.Rows": b"", "IDEMPOTENCY_KEY.Prefixes": b"", "IDEMPOTENCY_KEY.Suffix_Lengths": b"",
        "IDEMPOTENCY_KEY.Suffixes": b"", "EXPIRES.First": b"", "EXPIRES.Digits": b"", "REST": b"", "Block.End": b""}, "1.5")
    bad("rows-0", "Row_Count 0.", {"Row_Count": varint(0)})
    bad("rows-4097", "Row_Count 4097, with masks of Width 0 that say so cheaply.",
        {"Row_Count": varint(4097), "Masks": u8(0) + varint(1 << 4)})
    bad("rows-2-40", "Row_Count 2^40, with masks of Width 0.", {"Row_Count": varint(1 << 40), "Masks": u8(0) + varint(16)})
    f = batch(change={"Masks": ints([1 << 12 | 1 << M_TEXT])})
    vector("unsupported-block-mask", "6.2", "Bit 12 of Masks is of a newer version.", f, kept="a", read="newer",
           recover="nothing")
    bad("erased-and-text", "A row with ERASED and TEXT.", {"Masks": ints([1 << M_ERASED | 1 << M_TEXT]), "ERASED": bytes(32)},
        entries=[note("b", "x")])
    bad("names-65536", "65,536 Names.", {"Names.Count": varint(65_536)})
    for name, text in (("empty", ""), ("256", "n" * 256)):
        bad("name-" + name, f"A name of {len(text)} bytes, which no row uses.", None, "6.2", [note("b", "x")],
            records=dict(names=[text]))
    bad("names-2-32", "2^32 Names.", {"Names.Count": varint(1 << 32)})
    f = batch([note("b", "x", kind="t", tags=["t"])], {"Names.Count": varint(2), "Names.Prefixes": ints([0, 1]),
              "Names.Suffix_Lengths": ints([1, 0]), "Names.Suffixes": b"t", "TAGS.Names": ints([1])})
    vector("bad-block-names-twice", "6.2", "A text stands twice in Names. The rows can be read.", f)
    bad("names-utf8", "A name that is no valid UTF-8.", {"Names.Suffixes": b"\xff"}, "1.4", [note("b", "x", kind="k")])
    bad("prefix-too-long", "A prefix longer than the string before.", {"Names.Prefixes": ints([0, 2])}, "1.6",
        [note("b", "x", tags=["t", "u"])])
    bad("prefix-first", "The first string has a prefix.", {"Names.Prefixes": ints([1])}, "1.6", [note("b", "x", kind="k")])
    bad("strings-bomb", "Front-coded ids of 100 rows, each 1024 bytes longer than the one before: above 4 MiB when "
        "written out.", {"Ids.Classes": u8(0) + varint(2), "Ids.Prefixes": u8(20) + varint(0) + packed(
            [i * 1024 for i in range(100)], 20), "Ids.Suffix_Lengths": u8(0) + varint(1024),
            "Ids.Suffixes": b"i" * 102_400}, entries=[note(f"b{i}", "") for i in range(100)])
    bad("scopes-twice", "A scope stands twice in Scopes. The rows can be read.", {"Scopes.Count": varint(2), "Scopes.Lengths": ints([1, 1]),
        "Scopes.Names": ints([0, 0])}, entries=[note("b", "x", scope=["s"])], kept=None)
    bad("scope-33", "A scope of 33 names.", None, "7.1", [note("b", "x", scope=[f"s{i}" for i in range(33)])])
    bad("scopes-sum", "The lengths of scopes add up to more than 2^20.", {"Scopes.Lengths": ints([(1 << 20) + 1])},
        entries=[note("b", "x", scope=["s"])])
    for name, part, entry in (("kind", "KIND", note("b", "x", kind="k")), ("scope", "SCOPE", note("b", "x", scope=["s"])),
                              ("scope-name", "Scopes.Names", note("b", "x", scope=["s"])),
                              ("tag", "TAGS.Names", note("b", "x", tags=["t"])),
                              ("relation", "LINKS.Names", note("b", "x", links=[["r", "q"]]))):
        bad(f"{name}-position", "A position behind the end of its table.", {part: ints([1])}, entries=[entry])
    bad("kind-empty", "A kind of 0 bytes.", None, "7.1", [note("b", "x", kind="")])
    bad("kind-256", "A kind of 256 bytes.", None, "7.1", [note("b", "x", kind="k" * 256)])
    bad("key-empty", "A key of 0 bytes.", None, "7.1", [note("b", "x", key="")])
    bad("key-1025", "A key of 1025 bytes.", None, "7.1", [note("b", "x", key="k" * 1025)])
    bad("idempotency-key-1025", "An idempotency key of 1025 bytes.", None, "7.1", [note("b", "x", idempotency_key="k" * 1025)])
    bad("tags-257", "257 tags.", None, "7.1", [note("b", "x", tags=["t"] * 257)])
    bad("links-1025", "1025 links.", None, "7.1", [note("b", "x", links=[["r", "b"]] * 1025)])
    bad("tags-sum", "The counts of tags add up to more than 2^20.", {"TAGS.Counts": ints([(1 << 20) + 1])},
        entries=[note("b", "x", tags=["t"])])
    bad("key-utf8", "A key that is no valid UTF-8.", {"KEY.Suffixes": b"\xc0\x80"}, "1.4", [note("b", "x", key="ab")])
    bad("text-utf8", "A text with a surrogate.", {"Texts": b"\xed\xa0\x80"}, "1.4", [note("b", "abc")])
    bad("text-overlong", "A text with an overlong form.", {"Texts": b"\xc1\x81"}, "1.4", [note("b", "ab")])
    bad("text-beyond", "A text that goes beyond the content.", {"TEXT": ints([4])}, entries=[note("b", "abc")])
    bad("text-left", "Bytes are left in the content.", {"TEXT": ints([2])}, entries=[note("b", "abc")])
    bad("column-left", "Bytes are left in the head.", {"Block.End": b"\0"})
    bad("text-32769", "An inline text of 32,769 bytes.", None, "7.2", [note("b", "x" * 32_769)],
        records=dict(codec=1, stored=frame(b"x", rle=32_769, stated=32_769)))
    for name, classes, stored, why in (
            ("class-4", 4, b"q", "Class 4."), ("class-3", 3, None, "Class 3, which only targets of links may have."),
            ("class-0-short", 0, UUID[:15], "Class 0 with 15 bytes."), ("class-0-long", 0, UUID + b"!", "Class 0 with 17 bytes."),
            ("empty-hex", 1, b"", "Class 1 with no bytes: an id of 0 bytes."), ("empty-text", 2, b"", "An id of 0 bytes."),
            ("hex-256", 1, bytes(128), "Class 1 with 128 bytes: an id of 256 digits."),
            ("text-256", 2, b"x" * 256, "An id of 256 bytes."), ("utf8", 2, b"\xff", "An id that is no valid UTF-8."),
            ("uuid-as-text", 2, b"00112233-4455-6677-8899-aabbccddeeff", "A lower-case UUID as text (7.3).")):
        change = {"Ids.Classes": ints([classes])}
        if stored is None:
            change |= {"Ids.Prefixes": b"", "Ids.Suffix_Lengths": b"", "Ids.Suffixes": b"", "Ids.Rows": ints([0])}
        else:
            change |= {"Ids.Suffix_Lengths": ints([len(stored)]), "Ids.Suffixes": stored}
        bad("id-" + name, why, change, "6.3", [note("b", "x")])
    bad("target-row", "A target's row that the block does not have.", {"LINKS.Rows": ints([1])}, "6.3",
        [note("b", "x", links=[["r", "b"]])])
    for name, time, why in (("digits-10", [1, 10, 5], "10 digits."), ("fraction", [1, 2, 100], "A fraction of 100 in 2 digits."),
                            ("above", 253_402_300_800, "A second behind the year 9999."),
                            ("below", -62_167_219_201, "A second before the year 0000."),
                            ("fraction-2-64", [1, 9, (1 << 64) - 1], "A fraction of 2^64 − 1.")):
        bad("time-" + name, why, None, "6.4", [note("b", "x", time=time)])
    bad("time-wrap", "Differences of times that go beyond 64 bits.", {"TIME.Differences": ints([(1 << 64) - 2])}, "6.4",
        [note("b", "x", time=-5), note("c", "y", time=5)])
    bad("first-entry", "First_Entry of RECORDS is not the number of entries before it.", {"RECORDS.First_Entry": varint(2)}, "5")
    bad("first-entry-less", "First_Entry of RECORDS names an entry that stands before.",
        {"RECORDS.First_Entry": varint(0)}, "5")


def packed(values, width):
    return sum(v << i * width for i, v in enumerate(values)).to_bytes((len(values) * width + 7) // 8, "little")



# --- 7. Entry ---------------------------------------------------------------------------------

def nested(depth, empty=()):
    value = list(empty)
    for _ in range(depth - 1):
        value = [value]
    return value


def pair(key, value):
    return cbor(key) + (value if isinstance(value, bytes) else cbor(value))


def core():
    def good(name, why, entry, spec="7.1", **more):
        vector("good-" + name, spec, why, batch([entry], **more))

    def bad(name, why, rest=None, spec="7.1", entry=None, kept="a z", expect=None, read=None, recover=None, **more):
        """A rest of these bytes, or an entry; the leaf is that of the core that a careless reader would rebuild."""
        entry = entry or note("b", "x", rest=rest, core=careless(rest))
        kind = "unsupported-core-" if expect == "newer" else "bad-core-"
        vector(kind + name, spec, why, batch([entry], **more), kept=kept, expect=expect, read=read, recover=recover)

    def careless(rest):
        pairs, at = [b"\x01\x61b", b"\x06\x61x"], 0
        try:
            while at < len(rest):
                end = skip(rest, skip(rest, at))
                pairs.append(rest[at:end])
                at = end
        except (IndexError, KeyError, RecursionError):
            pairs.append(rest[at:])
        return cbor_head(5, len(pairs)) + b"".join(sorted(pairs))

    title = pair(TITLE, "t")
    # good
    leaf = bytes(range(32))
    good("core-all-fields", "Every field but data, content and embedding.", note(
        "b", "x", kind="k", scope=["s"], key="key", time=0, media_type="text/markdown", title="t", tags=["g"],
        links=[["r", "q"]], meta={"m": 1}, recorded=[1, 1, 5], valid_from=2, valid_to=3, expires=4_102_444_800,
        source="src", actor="act", session="ses", model="mod", derived_from=["q", UUID], idempotency_key="i",
        confidence=0.5, importance=1, pinned=False, status="open", supersedes=[leaf], reason="r"))
    good("core-nulls", "Null in every field that may hold it.", note("b", "x", **{
        name: None for name in FIELDS if name not in ("op", "id", "text", "data", "content", "embedding")}), "7.3")
    good("core-data", "Inline data of all byte values, with a media type.", note(
        "b", None, data=bytes(range(256)), media_type="application/octet-stream"))
    for n in range(4):
        good(f"json-base64-{n}", f"Data of {n} bytes: padding of base64.", note("b", None, data=b"\xfb\xff\xfe"[:n]), "7.7")
    good("core-empty-text", "A text of 0 bytes is not an absent one.", note("b", ""))
    good("core-empty-lists", "Empty lists of tags, links, scope, derived_from and supersedes, an empty meta, an empty title.",
         note("b", "x", tags=[], links=[], scope=[], derived_from=[], supersedes=[], meta={}, title=""))
    good("core-forget", "op 1, forget, without a body; it supersedes.", note("a", None, op=1, reason="asked to"))
    good("core-forget-with-text", "op forget may carry a text.", note("a", "why it was wrong", op=1), "7.2")
    good("core-op-7", "An op that this version does not name is a number.", note("b", None, op=7), "7.7")
    good("core-op-large", "The largest op that the registry could give out.", note("b", None, op=1 << 32), "7.7")
    good("core-unknown-field", "Integer keys 31 and 2^63 − 1, which are kept.", note(
        "b", "x", fields={31: [1, "two"], (1 << 63) - 1: None}), "7.5")
    good("core-extensions", "Extensions: text keys, among them the empty one and one that is `content`.", note(
        "b", "x", fields={"": 1, "content": "c", "x-y": {"deep": [None]}, "é": 1.5}), "7.1")
    good("core-extensions-1024", "As many extensions as an entry may have.", note(
        "b", "x", fields={f"{i:x}": 0 for i in range(1024)}), "19")
    good("core-depth-32", "Arrays nested 32 deep in meta.", note("b", "x", meta={"m": nested(31)}), "7.4")
    good("core-extension-depth-32", "An extension nested 32 deep.", note("b", "x", fields={"e": nested(32)}), "7.4")
    good("core-meta-integers", "The least and the greatest integers of 7.4.", note(
        "b", "x", meta={"a": -(1 << 64), "b": (1 << 64) - 1, "c": -1, "d": 23, "e": 24, "f": 1 << 32}), "7.4")
    good("core-floats", "Floats of all three widths: subnormal, greatest, −0.0, and 1.0, which is no integer.", note(
        "b", "x", meta={"half": [0.0, -0.0, 1.0, 65504.0, 5.960464477539063e-08], "single": [0.10000000149011612, 3.4028234663852886e+38, 1.401298464324817e-45],
                        "double": [0.1, 1.7976931348623157e+308, 5e-324, 1e16, 1e22, 1e23, 123456789012345680.0]}), "7.7")
    good("core-numbers", "confidence as a float and importance as an integer.", note("b", "x", confidence=1.0, importance=-7))
    good("core-text-escapes", "A text with U+0000, controls, quotes, U+2028 and characters behind U+FFFF.",
         note("b", "\0\1\x1f\x7f\"\\/\u2028\u2029\ufeff\U0001F600\ufffd"), "7.7")
    good("core-text-32768", "A text of 32,768 bytes, the longest inline one.", note("b", "x" * 32_768),
         records=dict(codec=1, stored=frame(b"x", rle=32_768, stated=32_768)))
    good("core-id-255", "An id of 255 bytes, a key of 1024, a kind of 255.", note("i" * 255, "x", key="k" * 1024, kind="k" * 255))
    good("core-scope-32", "32 names in a scope, 256 tags, and the same tag twice.", note(
        "b", "x", scope=[f"s{i}" for i in range(32)], tags=["t"] * 2 + [f"t{i}" for i in range(254)]))
    good("core-links-1024", "1024 links.", note("b", "x", links=[["r", "q"]] * 1024))
    good("core-uuid-upper", "A UUID in upper case is text.", note("00112233-4455-6677-8899-AABBCCDDEEFF", "x"), "7.3")
    good("core-uuid-links", "UUIDs as id, target and derived_from.", note(
        UUID, "x", links=[["r", UUID], ["s", bytes(16)]], derived_from=[UUID]), "7.7")
    whole = dict(kind="k", scope=["s"], key="k", time=5, tags=["t"], links=[["r", "q"]], idempotency_key="i", expires=4_000_000_000)
    for field in ("text", *whole):
        vector(f"bad-core-{field.replace('_', '-')}-in-rest", "7.6", f"{field} stands in the rest, though its column can hold it.",
               batch([note("b", "x", **whole, in_rest=(FIELDS.index(field),))]), recover="any")
    for name, kind, values, form in (("f32", 1, [0.5, -0.0, 1.5e-45, 3.4028235e38, 0.1], "<5f"),
                                     ("f64", 2, [0.1, 1e300, -0.0, 5e-324], "<4d")):
        part = struct.pack(form, *values)
        entry = note("b", "x", embedding=["space", kind, len(values), blake("memfile1.part", part)], part=part)
        entry.values = values if kind == 2 else [0.5, -0.0, 1e-45, 3.4028235e38, 0.1]
        good(f"vector-{name}", f"A vector of {len(values)} values of type {kind}.", entry, "11.5")
    part = struct.pack("<2f", 1, 2)
    good("vector-dropped", "An embedding whose part was dropped: it has no values.", note(
        "b", "x", embedding=["space", 1, 2, blake("memfile1.part", part)]), "7.6")

    # values
    bad("order", "Keys of the rest are not in order.", pair(SOURCE, "s") + title)
    bad("duplicate", "A key stands twice in the rest.", title + title)
    bad("in-column-too", "text stands in its column and in the rest.", pair(TEXT, "y"), "7.6")
    bad("id-in-rest", "id stands in the rest.", pair(ID, "y"), "7.6")
    bad("long-integer", "An integer that is not in its shortest form.", pair(CONFIDENCE, b"\x18\x05"))
    bad("long-key", "A key that is not in its shortest form.", b"\x18\x0a\x61t")
    bad("long-length", "A length that is not in its shortest form.", pair(TITLE, b"\x78\x01t"))
    bad("long-float", "1.5 as a 32-bit float.", pair(CONFIDENCE, b"\xfa\x3f\xc0\0\0"))
    bad("long-double", "0.5 as a 64-bit float.", pair(CONFIDENCE, b"\xfb" + struct.pack(">d", 0.5)))
    bad("nan", "NaN.", pair(META, b"\xa1\x61n\xf9\x7e\0"), "7.4")
    bad("infinity", "Infinity.", pair(META, b"\xa1\x61n\xf9\x7c\0"), "7.4")
    bad("nan-confidence", "confidence is NaN.", pair(CONFIDENCE, b"\xf9\x7e\0"))
    bad("indefinite-text", "A text of indefinite length.", pair(TITLE, b"\x7f\x61t\xff"))
    bad("indefinite-array", "An array of indefinite length.", pair(META, b"\xa1\x61n\x9f\xff"))
    bad("indefinite-map", "A map of indefinite length.", pair(META, b"\xbf\xff"))
    bad("tag", "A tagged value.", pair(META, b"\xa1\x61n\xc1\0"), "7.4")
    bad("undefined", "undefined.", pair(META, b"\xa1\x61n\xf7"), "7.4")
    bad("simple", "A simple value of one byte.", pair(META, b"\xa1\x61n\xf8\x20"), "7.4")
    bad("reserved-info", "Additional information 28.", pair(CONFIDENCE, b"\x1c"))
    bad("bytes-in-meta", "A byte string in meta.", pair(META, {"n": b"x"}), "7.4")
    bad("bytes-in-extension", "A byte string in an extension.", pair("e", b"\x41x"), "7.4")
    bad("number-key-in-meta", "A map in meta with an integer as key.", pair(META, {1: 2}), "7.4")
    bad("meta-order", "Keys of meta out of order.", pair(META, b"\xa2\x61b\0\x61a\0"))
    bad("meta-duplicate", "A key stands twice in meta.", pair(META, b"\xa2\x61a\0\x61a\1"))
    bad("meta-array", "meta is an array.", pair(META, []))
    bad("depth-33", "Arrays nested 33 deep in a member of meta.", pair(META, {"m": nested(33)}), "7.4")
    bad("extension-depth-33", "An extension nested 33 deep.", pair("e", nested(33)), "7.4")
    bad("depth-10000", "Arrays nested 10,000 deep: nobody may recurse that far.", pair("e", b"\x81" * 10_000 + b"\0"), "7.4")
    bad("array-of-2-32", "An array that says it has 2^32 items.", pair(META, b"\xa1\x61n\x9a\xff\xff\xff\xff"))
    bad("text-of-2-63", "A text that says it has 2^63 bytes.", pair(TITLE, b"\x7b\x80\0\0\0\0\0\0\0"))
    bad("cut", "The rest ends in the middle of a value.", pair(TITLE, b"\x62t"))
    bad("key-without-value", "The rest ends behind a key.", cbor(TITLE))
    bad("title-utf8", "A title that is no valid UTF-8.", pair(TITLE, b"\x61\xff"))
    bad("title-number", "title is a number.", pair(TITLE, 1))
    bad("byte-key", "A key that is a byte string.", b"\x41t\1")
    bad("null-key", "A key that is null.", b"\xf6\1")
    bad("extensions-1025", "1025 extensions.", b"".join(sorted(pair(f"{i:x}", 0) for i in range(1025))), "19")
    bad("field-2-63", "An integer key of 2^63.", pair(1 << 63, 1), "7.5")
    bad("must-understand", "A negative integer key: who does not know it refuses the entry.", pair(-1, 1), "7.5",
        expect="newer", read="newer", kept="a", recover="nothing")
    # fields
    for name, rest, why in (
            ("op-0", pair(OP, 0), "op 0 is never written."), ("op-null", pair(OP, None), "op is null."),
            ("op-negative", pair(OP, -1), "op is negative."), ("op-text", pair(OP, "forget"), "op is a text."),
            ("scope-number", pair(SCOPE, [1]), "A scope of numbers."),
            ("tags-null", pair(TAGS, ["t", None]), "A tag is null."),
            ("media-type-list", pair(MEDIA_TYPE, []), "media_type is a list."),
            ("links-form", pair(LINKS, [["r"]]), "A link without target."),
            ("links-id-15", pair(LINKS, [["r", bytes(15)]]), "A link to 15 bytes."),
            ("links-uuid-text", pair(LINKS, [["r", id_text(UUID)]]), "A target that is a lower-case UUID as text."),
            ("derived-from", pair(DERIVED_FROM, [""]), "derived_from with an id of 0 bytes."),
            ("derived-from-1025", pair(DERIVED_FROM, ["q"] * 1025), "derived_from with 1025 ids."),
            ("pinned", pair(PINNED, 1), "pinned is a number."),
            ("confidence", pair(CONFIDENCE, "high"), "confidence is a text."),
            ("confidence-list", pair(CONFIDENCE, [1]), "confidence is a list."),
            ("supersedes-31", pair(SUPERSEDES, [bytes(31)]), "supersedes with a leaf of 31 bytes."),
            ("recorded-digits-0", pair(RECORDED, [1, 0, 0]), "recorded with 0 digits, which has to be an integer."),
            ("recorded-fraction", pair(RECORDED, [1, 1, 10]), "recorded with a fraction of 10 in one digit."),
            ("recorded-above", pair(RECORDED, 253_402_300_800), "recorded behind the year 9999."),
            ("recorded-float", pair(RECORDED, 1.5), "recorded is a float."),
            ("embedding-null", pair(EMBEDDING, None), "embedding is null."),
            ("embedding-type", pair(EMBEDDING, ["s", 3, 1, leaf]), "embedding of type 3."),
            ("embedding-count-0", pair(EMBEDDING, ["s", 1, 0, leaf]), "embedding of 0 values."),
            ("embedding-count", pair(EMBEDDING, ["s", 1, 16_385, leaf]), "embedding of 16,385 values."),
            ("embedding-hash", pair(EMBEDDING, ["s", 1, 1, leaf[:31]]), "embedding with a hash of 31 bytes."),
            ("data-too", pair(DATA, b"\x41d"), "text and data.")):
        bad(name, why, rest, "7.2" if name == "data-too" else "7.3" if "null" in name else "7.1")
    for name, entry, why in (
            ("no-body", note("b", None), "A put without text, data and content."),
            ("text-null", note("b", None, fields={TEXT: None}), "text is null."),
            ("data-32769", note("b", None, data=bytes(32_769)), "Inline data of 32,769 bytes."),
            ("data-text", note("b", None, data="x"), "data is a text.")):
        more = {}
        if name == "data-32769":
            more["records"] = dict(codec=1, stored=b"\x28\xb5\x2f\xfd\x60" + u16(len(entry.rest) - 256) + b"\x20\0\0"
                                   + entry.rest[:4] + (32_769 << 3 | 3).to_bytes(3, "little") + b"\0")
        bad(name, why, None, "7.2", entry, **more)
    long = note("b", "x", title="t" * 262_144)
    bad("too-long", "A core of more than 262,144 bytes.", None, "19", long, records=dict(codec=1, stored=
        b"\x28\xb5\x2f\xfd\xa0" + u32(len(long.rest) + 1) + (7 << 3).to_bytes(3, "little") + b"x" + long.rest[:6]
        + (131_072 << 3 | 2).to_bytes(3, "little") + b"t" + (131_072 << 3 | 3).to_bytes(3, "little") + b"t"))
    # vectors
    f4 = struct.pack("<2f", 1, 2)
    hash4 = blake("memfile1.part", f4)
    nan = struct.pack("<2f", 1, float("nan"))
    for name, entry, why in (
            ("hash", note("b", "x", embedding=["s", 1, 2, leaf], part=f4), "A vector part that has not the hash."),
            ("length", note("b", "x", embedding=["s", 1, 3, hash4], part=f4), "A vector part of 2 values where 3 are named."),
            ("alone", note("b", "x", part=f4), "A vector part without embedding."),
            ("nan", note("b", "x", embedding=["s", 1, 2, blake("memfile1.part", nan)], part=nan), "A vector with NaN.")):
        entry.values = [1.0, 2.0]
        vector("bad-vector-" + name, "11.5", why, batch([entry]), kept=None if name == "hash" else "a z",
               recover=2 if name == "hash" else None)
    f = File()
    f.commit()
    f.commit([note("a", "The first.", embedding=["s", 1, 2, hash4])])
    one = struct.pack("<f", 1)
    f.commit([note("b", "x", embedding=["s", 1, 1, blake("memfile1.part", one)])])
    vector("good-vector-count-differs", "11.5", "Two entries of one space with 2 values and with 1, which is no damage.", f)


# --- 8, 9. Digests, commits -------------------------------------------------------------------

def commits():
    def good(name, why, f, spec="9.1"):
        vector("good-commit-" + name, spec, why, f)

    def bad(name, why, change=None, kept=None, spec="9.1", f=None, recover=None, read=None, **more):
        f = f or three(change=change, **more)
        vector("bad-commit-" + name, spec, why, f, kept=kept, recover=recover, read=read)

    good("author-extra", "An author, and Extra with an integer key from 10 and a text key.",
         three(author="Ann", extra=pair(10, "ten") + pair("note", [1, 2])))
    good("author-empty", "An author of 0 bytes is not an unknown one.", three(author=""))
    seed = bytes(range(32))
    good("signature", "A signature.", three(signatures=[seed]), "20.9")
    good("signatures", "The signatures of three signers, one of them twice.",
         three(signatures=[seed, bytes(32), seed, bytes(range(1, 33))]), "20.9")
    right = three().signature(seed, three().log[2].digest, 2)
    for name, entry, words in (
            ("key", bytes(32) + right[32:], "A signature under the key of nobody."),
            ("digest", three().signature(seed, three().log[1].digest, 2), "A signature over the digest of the commit before."),
            ("number", three().signature(seed, three().log[2].digest, 3), "A signature for another number."),
            ("memory", File(memory=bytes(16)).signature(seed, three().log[2].digest, 2), "A signature for another memory."),
            ("s-plus-l", right[:64] + (int.from_bytes(right[64:], "little") + ed25519.L).to_bytes(32, "little"),
             "A signature whose second half is not below the group's order.")):
        bad("signature-" + name, words + " The entries do not depend on it.", signatures=[entry], spec="20.9")
    good("order-above-time", "The clock went backwards: order goes on from the parent's.", three(time=1_600_000_000_000_000))
    good("time-negative", "A clock before 1970.", three(time=-5))
    good("time-extreme", "The least and, behind it, the clock of now.", three(time=-(1 << 63)))
    good("no-entries", "A logical commit without entries.", three_empty())
    good("new-salt", "A new salt tree in each commit (8.3).", three(new_salt=bytes(range(0x60, 0x70))), "8.3")
    good("salt-skipped", "Indexes of the salt tree that no entry took.", three(skip_salts=1000), "8.3")
    good("full-inline", "A FULL commit with an inline block: its footer speaks of what is before its own entries.",
         full_inline(), "9.3")
    good("not-synced", "A group of several segments without SYNCED.", batch(synced=False), "4.5")
    good("footer-reserved", "Reserved of the footer holds something newer, which is ignored.",
         batch(commit={"Footer.Reserved": string(b"newer")}), "9.3")
    f = three()
    f.maintenance()
    good("maintenance", "A commit without LOGICAL brings an index and no entries.", f, "9.2")
    f = three()
    f.maintenance(signatures=[f.signature(seed, f.log[-1].digest, 3)])
    bad("signature-later", "A signature in a commit that is not LOGICAL.", f=f, spec="9.2")
    f = File()
    f.commit()
    for i in range(66):
        f.commit([note(f"e{i}", "")], full=i == 63)
    good("sixty-fourth", "66 commits; the 64th after the genesis is FULL.", f, "9.5")
    good("merge", "A merge: its third commit has the first as parent, its fourth both.", merge(), "8.5")
    f = File()
    f.commit()
    f.commit([note("a", "x")])
    f.commit([note("b", "x")], parents=[])
    good("no-parent", "PARENTS with no parent: a second beginning.", f)

    # heads
    for name, change, why in (
            ("number-more", {"Number": varint(3)}, "Number is one too large."),
            ("number-less", {"Number": varint(1)}, "Number is that of the commit before."),
            ("first-entry", {"First_Entry": varint(2)}, "First_Entry is one too large."),
            ("entry-count", {"Entry_Count": varint(2)}, "Entry_Count is 2, the block has one row."),
            ("group-length", {"Group_Length": varint(18)}, "Group_Length is that of a group with a segment before the "
             "commit, and leads to the commit before."),
            ("group-length-beyond", {"Group_Length": varint(1 << 50)}, "Group_Length leads before the start of the file."),
            ("footer-distance", {"Footer_Distance": varint(1)}, "Footer_Distance does not lead to the last FULL commit."),
            ("footer-distance-beyond", {"Footer_Distance": varint(1 << 60)}, "Footer_Distance leads before the file."),
            ("head-cut", {"Footer_Distance": b"", "Row_Count": b"", "Masks": b"", "Names.Count": b"", "Ids.Classes": b"",
                          "Ids.Prefixes": b"", "Ids.Suffix_Lengths": b"", "Ids.Suffixes": b"", "TEXT": b""},
             "The head ends before Footer_Distance."),
            ("number-form", {"Number": b"\x82\0"}, "Number is not in its shortest form.")):
        kept = None if name in ("number-more", "number-less", "entry-count", "group-length", "footer-distance") else "a z"
        bad(name, why, change, kept, read="damaged" if kept else "sound", recover=2 if name == "entry-count" else None)
    vector("unsupported-commit-flag", "9.1", "Commit_Flags bit 9.", three(flags=1 << 9), kept="", recover="nothing")
    bad("history-digest", "History_Digest is not that of the entries.", {"History_Digest": bytes(32)}, spec="8.6")
    bad("text-forged", "Somebody changed a text and repaired every checksum; the digest tells.",
        {"Texts": b"The secret."}, spec="8.6", f=forged())
    bad("order-not-above", "order is that of the parent.", order=1_700_000_002_000_000, time=1_700_000_002_000_000)
    bad("parent-unknown", "A parent that is not the one whose digest was hashed; no commit of the file has it.",
        {"Parents": varint(1) + bytes(32)}, parents=[1])
    bad("parent-twice", "The same parent twice.", {"Parents": lambda old: b"\2" + old[1:] * 2}, "a z", parents=[1],
        read="damaged")
    bad("parents-order", "Two parents, the greater digest first.", {"Parents": lambda old: old[:1] + old[33:] + old[1:33]},
        "a z", parents=[0, 1], read="damaged")
    bad("order-falls", "order is above that of the parent, which is the genesis, and below that of the commit before.",
        order=1_700_000_001_500_000, time=1_700_000_001_500_000, parents=[0], recover="any")
    bad("author-utf8", "An author that is no valid UTF-8.", {"Author": string(b"\xff")}, author="x")
    bad("extra-key-9", "Extra with the key 9.", extra=pair(9, "author"), spec="8.6")
    bad("extra-order", "Extra out of order.", extra=pair("b", 1) + pair("a", 1), spec="8.6")
    bad("extra-cbor", "Extra that is no CBOR.", {"Extra": string(b"\xff\xff")}, extra=pair(10, 1), spec="8.6")
    bad("inline-without-entries", "INLINE with an Entry_Count of 0.", f=three_empty(flags=INLINE, change={"Head.End": varint(0)}),
        kept=None)
    bad("inline-and-records", "RECORDS in a group whose commit is INLINE.", f=inline_and_records(), kept="a b z", spec="9.2",
        read=None, recover="any")
    bad("not-full-with-group", "A commit that is not FULL, in a group of several segments.",
        f=batch(full=False), spec="9.5")
    bad("first-not-full", "The genesis is not FULL.", f=first_not_full(), spec="2.3", kept=None)
    bad("genesis-with-entries", "The genesis brings an entry.", f=genesis_with_entries(), spec="2.3")
    f = File()
    f.commit()
    for i in range(66):
        f.commit([note(f"e{i}", "")])
    bad("sixty-fifth", "66 commits behind the genesis without a FULL one.", f=f, spec="9.5")
    bad("salt-reused", "Salt_Index was taken before.", salt_index=0, spec="8.3")
    bad("salt-root-missing", "The first entries of the file come without Salt_Root.", f=no_salt_root(), spec="9.1")
    bad("salt-index-beyond", "Salt_Index 2^32 − 1 with two entries.", spec="8.2",
        f=three([note("b", "x"), note("c", "x")], {"Salt_Index": varint((1 << 32) - 1)}))
    bad("maintenance-with-entries", "A commit without LOGICAL has an Entry_Count.", f=maintained({"Entry_Count": varint(1) + b""}),
        spec="9.2")
    bad("maintenance-salt", "A commit without LOGICAL with a Salt_Root.",
        f=maintained({"Commit_Flags": varint(FULL | ORDER | SALT), "History_Digest": lambda old: old + bytes(16)}), spec="9.2",
        recover="any")
    bad("salt-without-entries", "SALT on a commit without entries.", f=three_empty(flags=SALT,
        change={"History_Digest": lambda old: old + bytes(16)}), spec="9.2", kept=None, recover="any")
    f = File()
    f.commit()
    f.commit([note("a", "x")], full=True, runs=lambda all: all[:0])
    bad("full-without-runs", "A FULL commit with number 1 and no runs; none holds the item of the genesis.", f=f, spec="9.3")
    bad("maintenance-order", "A commit without LOGICAL has an Order of its own.", f=maintained({"Order": varint(1)}), spec="9.2")
    bad("maintenance-number", "A commit without LOGICAL has a Number of its own.", f=maintained({"Number": varint(4)}), spec="9.1")
    bad("maintenance-digest", "A commit without LOGICAL has another History_Digest.", f=maintained({"History_Digest": bytes(32)}),
        spec="9.1")

    # footers
    for name, change, why in (
            ("prefix", {"Stored_Prefix": bytes(32)}, "Stored_Prefix is not that of the bytes before."),
            ("indexed-entries", {"Indexed_Entries": varint(1)}, "Indexed_Entries is less than the runs cover."),
            ("indexed-commits", {"Indexed_Commits": varint(2)}, "Indexed_Commits is one too small."),
            ("superseded", {"Superseded": varint(1)}, "Superseded is 1; nothing is."),
            ("objects", {"Objects": varint(1)}, "Objects is 1; there is none."),
            ("frontier", {"Log_Frontier": varint(1) + bytes(32)}, "Log_Frontier is not that of the log."),
            ("frontier-count", {"Log_Frontier": varint(0)}, "Log_Frontier is empty."),
            ("frontier-beyond", {"Log_Frontier": varint(1 << 40)}, "Log_Frontier has a count far beyond the head."),
            ("dictionary", {"Dictionaries": varint(1) + varint(7) + varint(53) + varint(53)},
             "Dictionaries names one that is not there."),
            ("keys", {"Keys": varint(53)}, "Keys in a plain file."),
            ("histories", {"Histories": varint(1) + varint(53)}, "Histories names one that is not there."),
            ("runs-count", {"Runs.Count": varint(1 << 40)}, "Runs with a count far beyond the head."),
            ("salt", {"Salt": bytes(16)}, "Salt is zero although a tree is in use."),
            ("forgotten", {"Forgotten": varint(1)}, "Forgotten is 1; nothing is."),
            ("reserved-length", {"Footer.Reserved": varint(200)}, "Reserved goes beyond the head."),
            ("cut", {"Footer.Reserved": b""}, "The footer ends before Reserved.")):
        f = batch(commit=change)
        vector("bad-footer-" + name, "9.3", why + " The entries do not depend on it.", f)


def three_empty(**more):
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.commit(None, full=False, **more)
    f.commit([note("z", "The last.")])
    return f


def full_inline():
    f = File()
    f.commit()
    f.commit([note("a", "old", kind="k", key="k")])
    f.commit([note("b", "x", tags=["t"])], full=True)
    f.commit([note("a", "new")], full=True)
    f.commit([note("z", "The last.", key="k")])
    return f


def merge():
    f = File()
    f.commit()
    f.commit([note("a", "one side")])
    f.commit([note("b", "the other side")], parents=[0], time=1_700_000_002_500_000)
    f.commit([note("c", "merged")], parents=[1, 2])
    f.records([note("d", "after")])
    f.commit()
    return f


def forged():
    """The digest of the middle commit is that of the entry before it was changed."""
    f = three(change={"Texts": b"The secret.", "History_Digest": three().log[2].digest})
    f.entries[1].fields[TEXT] = "The secret."
    return f


def inline_and_records():
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.segment(RECORDS, varint(1) + block([note("r", "hidden")])[0], b"hidden")
    f.commit([note("b", "The second.")])
    f.commit([note("z", "The last.")])
    return f


def first_not_full():
    f = File()
    f.last_full = 80
    f.commit(full=False)
    f.commit([note("a", "The first.")])
    return f


def genesis_with_entries():
    f = File()
    f.commit([note("a", "The first.")])
    f.commit([note("b", "The second.")])
    return f


def no_salt_root():
    f = File()
    f.commit()
    f.salt_used = True
    f.commit([note("a", "The first.")])
    f.commit([note("b", "The second.")])
    return f


def maintained(change):
    f = three()
    f.maintenance(change=change)
    return f


# --- 10. Index --------------------------------------------------------------------------------

def index():
    def good(name, why, spec="10.3", **more):
        vector("good-index-" + name, spec, why, indexed(**more))

    good("gaps", "Strips of Form 1, for kinds whose values do not fall.", forms=(1, 10))
    good("two-levels", "A run whose leaves hold five items each, below a page of Level 1.", leaf_items=5)
    good("one-item-pages", "A run with a leaf for each item.", leaf_items=1)
    good("levels-above", "A single leaf below pages of Level 1 to 3.", levels=3)
    good("unknown-kind", "Items of the unknown kind 200 are ignored.", "18",
         items=lambda found: found + [(200, 1, 2), (200, 1, 3)])
    f = indexed(unknown_run=True)
    vector("good-index-unknown-run", "10.6", "A run of type 128, with Parameters, is ignored.", f)
    unknown = dict(type=128, count=77, offset=0, length=0, total=0, parameters=b"what")
    vector("good-index-unknown-run-before", "10.6", "The run of type 128 stands before the one of items, and its count is of "
           "entries of its own.", indexed(run=lambda runs: [unknown] + runs))
    root = dict(type=128, count=5, offset=80, length=192, total=192, parameters=b"")
    for name, run in (("before", lambda runs: [root] + runs), ("behind", lambda runs: runs + [root])):
        vector("good-index-unknown-root-" + name, "10.6", f"A run of type 128 {name} the one of items, whose root is no page.",
               indexed(run=run))
    empty = dict(type=1, count=0, offset=0, length=0, total=0, parameters=b"")
    vector("good-index-run-empty", "10.6", "A run of no entries, which has no pages.", indexed(run=lambda runs: [empty] + runs + [empty]))
    good("kind-0", "Items of kind 0, which is none, are ignored.", "18", items=lambda found: [(0, 0, 1), (0, 1, 2)] + found)
    f = File()
    f.commit()
    for text in ("one", "two", "three"):
        f.commit([note("a", text, key="k", kind="v", tags=["t"])], full=True)
    f.commit([note("z", "x", key="k")])
    vector("good-index-run-each", "10.1", "A run for each commit; FATE items stand where their value is.", f)
    f = batch([note("b", "1", scope=["s"], key="k"), note("c", "2", key="k", scope=[]), note("d", "3", key="k"),
               note("e", "4", scope=["s"], key="k"), note("b", "5")])
    vector("good-index-fates", "10.2", "An absent scope and an empty one are the same; an entry superseded by id and by key "
           "has two FATE items.", f)
    f = batch([note("b", "1", kind=None, key=None, time=None, tags=None, scope=None, idempotency_key=None)])
    vector("good-index-null-fields", "10.2", "Null fields give no items.", f)

    def bad(name, why, spec="10.2", expect=None, **more):
        kind = "unsupported" if expect else "bad"
        headers = dict(read="newer", recover="nothing", kept="") if expect else {}
        vector(f"{kind}-index-{name}", spec, why + ("" if expect else " The entries do not depend on it."), indexed(**more), **headers)

    def without(kind):
        def change(found):
            first = next(i for i in found if i[0] == kind)
            return [i for i in found if i != first]
        return change

    names = {1: "block", 2: "id", 3: "key", 4: "time", 5: "facet", 6: "idempotency", 7: "fate", 10: "commit"}
    for kind, name in names.items():
        bad("missing-" + name, f"The first item of kind {name.upper()} is missing.", items=without(kind))
    bad("extra-id", "An ID item that no entry gives.", items=lambda f: sorted(f + [(2, 5, 2)]))
    bad("extra-fate", "A FATE item says that an entry is superseded which is not.", items=lambda f: sorted(f + [(7, 3, 4)]))
    bad("wrong-fate", "A FATE item names another entry as the one that supersedes.",
        items=lambda f: sorted((7, 1, 4) if i[0] == 7 else i for i in f))
    bad("wrong-commit", "A COMMIT item has a wrong count of entries.", items=lambda f: [(10, 0, 1) if i[:2] == (10, 0) else i for i in f])
    bad("wrong-time", "A TIME item has another second.", items=lambda f: sorted((4, i[1] + 1, i[2]) if i[0] == 4 else i for i in f))
    bad("block-elsewhere", "A BLOCK item leads into the middle of a segment.",
        items=lambda f: [(1, i[1], i[2] + 1) if i[:2] == (1, 1) else i for i in f])
    bad("block-beyond", "A BLOCK item leads behind the end of the file.",
        items=lambda f: [(1, i[1], 1 << 60) if i[:2] == (1, 1) else i for i in f])
    bad("block-other", "A BLOCK item leads to another block.", items=lambda f: [(1, i[1], f[0][2]) if i[:2] == (1, 1) else i for i in f])
    bad("id-beyond", "Two ID items of one hash, one of them of an entry that is not there.",
        items=lambda f: sorted(f + [(2, next(i[1] for i in f if i[0] == 2), 99)]))
    for where in (0, 1):
        f = File()
        f.commit()
        moved = []

        def take(found, moved=moved):
            moved.append(next(i for i in found if i[0] == 2))
            return [i for i in found if i != moved[-1]]

        def add(found, moved=moved):
            return sorted(found + [moved[-1]])
        if where:
            f.records([note("b", "x")])
            f.commit(index=dict(items=take))
            f.records([note("c", "y")])
            f.commit(index=dict(items=add))
        else:
            f.records([note("b", "x")])
            n = len(f.entries)
            later = (2, f.hash(0, b"c"), n)
            f.commit(index=dict(items=lambda found: sorted(found + [later])))
            f.records([note("c", "y")])
            f.commit(index=dict(items=lambda found: [i for i in found if i != later]))
        f.commit([note("z", "The last.")])
        vector("bad-index-other-run-" + ("later" if where else "earlier"), "10.2", "The ID item of an entry stands in the run "
               + ("behind" if where else "before") + " the one that covers it.", f)
    bad("order", "Two items have changed places.", "10.3", items=lambda f: [f[1], f[0]] + f[2:])
    bad("repeated", "An item stands twice.", "10.3", items=lambda f: f[:1] + f)
    for name, change, why in (
            ("level", {"Level": u8(1)}, "A leaf says that it has Level 1."),
            ("level-9", {"Level": u8(9)}, "Level 9."),
            ("page-first-entry", {"Page.First_Entry": varint(1)}, "A page of a run that begins elsewhere."),
            ("page-entry-count", {"Page.Entry_Count": varint(9)}, "A page of a run of another length."),
            ("strip-count-0", {"Strip.Count": varint(0)}, "A strip of 0 items."),
            ("strip-count-65537", {"Strip.Count": varint(65_537)}, "A strip of 65,537 items."),
            ("strip-count-2-50", {"Strip.Count": varint(1 << 50), "Strip.Keys": u8(0) + varint(1), "Strip.Values": u8(0) + varint(1)},
             "A strip of 2^50 items, packed into no bytes."),
            ("strip-cut", {"Page.End": b"\1"}, "A strip that ends behind its kind."),
            ("empty-page", {"Strip0": b"", "Strip1": b"", "Strip2": b"", "Strip3": b"", "Strip4": b"", "Strip5": b"",
                            "Strip6": b"", "Strip7": b""}, "A page without items.")):
        bad(name, why, "10.3", change=change)
    bad("gap-sum", "Gaps that add up to more than 2^64.", "10.3", change={"Strip7": u8(200) + u8(1) + varint(2) + varint(5)
        + u8(0) + varint((1 << 64) - 2) + varint(1) + u8(0) + varint(0)})
    bad("form-2", "Form 2 of a strip is of a newer version.", "18", expect="newer", change={"Strip.Form": u8(2)})
    for name, change, why in (
            ("child-offset", {"Child.Offsets": lambda old: ints([10, 10, 10], 8, 2)}, "Offsets of children that lead to no page."),
            ("child-key", {"Child.Keys": lambda old: old[:-1] + bytes((old[-1] ^ 1,))}, "A child's first item has another key."),
            ("child-level", {"Level": u8(2)}, "A page of Level 2 directly above leaves."),
            ("child-count-0", {"Page.Count": varint(0), "Child.Kinds": b"", "Child.Keys": b"", "Child.Values": b"",
                               "Child.Offsets": b"", "Child.Lengths": b""}, "A page of Level 1 without children."),
            ("child-count-2-40", {"Page.Count": varint(1 << 40)}, "A page with 2^40 children."),
            ("child-length", {"Child.Lengths": lambda old: old[:1] + varint(1) + old[2:]}, "Lengths of children's segments are wrong.")):
        bad(name, why, "10.4", leaf_items=8, root_change=change)
    for name, key, change, why in (
            ("root-offset", "offset", lambda v: 80, "The run's root is no page."),
            ("root-none", "offset", lambda v: 0, "A run with lengths has no root."),
            ("root-length", "length", lambda v: v + 8, "The length of the root's segment is wrong."),
            ("total", "total", lambda v: v + 8, "The total length of the run's segments is wrong."),
            ("count", "count", lambda v: v + 1, "The runs cover more than Indexed_Entries."),
            ("type", "type", lambda v: 2, "The only run is of type 2, so that nothing covers the entries.")):
        bad("run-" + name, why, "10.6", run=lambda runs, key=key, change=change:
            [dict(runs[-1], **{key: change(runs[-1][key])})])
    bad("run-empty-root", "A run of no entries and no length names a root.", "10.6", run=lambda runs:
        runs + [dict(type=1, count=0, offset=80, length=0, total=0, parameters=b"")])
    f = indexed(content=b"some")
    vector("bad-index-content", "5", "INDEX with content.", f)


def indexed(items=None, run=None, unknown_run=False, content=None, **more):
    """Five entries with items of every kind but OBJECT and CHUNK, and one in the tail."""
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.records([note("b", "x", kind="k", scope=["s", "t"], key="k", time=100, tags=["t"], idempotency_key="i"),
               note("c", "y", kind="k", scope=["s"], time=[50, 1, 5])])
    f.records([note("b", "new"), note("d", "w")])
    if content:
        more["change"] = {"Content": content, "Raw_Length": u32(len(content))}
    if unknown_run:
        run = lambda runs: runs + [dict(type=128, count=77, offset=0, length=0, total=0, parameters=b"what")]  # noqa: E731
    f.changes = [c for c in (more.get("change"), more.get("root_change")) if c]
    f.commit(index=dict(items=items, **more), runs=run)
    f.commit([note("z", "The last.")])
    return f


# --- 11. Content objects ----------------------------------------------------------------------

def rle_frame(*parts):
    """A frame of runs (byte, count) and of bytes."""
    blocks = []
    total = 0
    for part in parts:
        if isinstance(part, tuple):
            left = part[1]
            while left:
                n = min(left, 128 << 10)
                blocks.append(((n << 3 | 2), part[0]))
                left -= n
            total += part[1]
        else:
            blocks.append((len(part) << 3, part))
            total += len(part)
    out = b"\x28\xb5\x2f\xfd\xa0" + u32(total)
    for i, (head, data) in enumerate(blocks):
        out += (head | (i == len(blocks) - 1)).to_bytes(3, "little") + data
    return out


def content():
    full = (b"e", CHUNK_LENGTH)
    whole = b"e" * CHUNK_LENGTH

    def objects(chunks, entries=None, form=0, length=None, root=None, change=None, again=False, before=None):
        """An object of these (bytes, frame) in the middle commit, and an entry that names it."""
        f = File()
        f.commit()
        f.commit([note("a", "The first.")])
        data = b"".join(c[0] for c in chunks)
        if before:
            before(f)
        for i, (raw, stored, *place) in enumerate(chunks):
            number, index = place or (0, i)
            f.chunk(number, index, raw, codec=1 if stored else 0, stored=stored, change=change)
        right = tree_hash([blake("memfile1.chunk", c[0]) for c in chunks], 16) if chunks else bytes(32)
        e = note("b", None, content=data, fields={CONTENT: [form, len(data) if length is None else length, root or right]})
        f.records([e])
        f.commit()
        if again:
            f.commit([note("c", None, content=data, fields={CONTENT: [1, len(data), right]})])
        f.commit([note("z", "The last.")])
        return f

    one = [(b"e" * 40_000, rle_frame((b"e", 40_000)))]
    two = [(whole, rle_frame(full)), (b"f" * 10, None)]
    cut = [(b"e" * (CHUNK_LENGTH - 1) + b"\xc3", rle_frame((b"e", CHUNK_LENGTH - 1), b"\xc3")), (b"\xa9!", None)]
    for name, why, f in (
            ("one-chunk", "A detached text of one chunk.", objects(one)),
            ("data", "Detached bytes.", objects([(b"\xff" * 40_000, rle_frame((b"\xff", 40_000)))], form=1)),
            ("32769", "The shortest detached text.", objects([(b"e" * 32_769, rle_frame((b"e", 32_769)))])),
            ("two-chunks", "A detached text of two chunks, the last of 10 bytes.", objects(two)),
            ("whole-chunk", "Content of exactly one whole chunk.", objects([two[0]])),
            ("character-cut", "A character stands across the end of a chunk.", objects(cut)),
            ("seventeen-chunks", "17 chunks: the tree hash has two levels.", objects([two[0]] * 16 + [(b"f", None)])),
            ("shared", "Two entries name one object, the second in a later commit and as bytes.", objects(one, again=True))):
        vector("good-content-" + name, "11.1", why, f)

    def bad(name, why, f, kept="a z", spec="11.2", **more):
        vector("bad-content-" + name, spec, why, f, kept=kept, **more)

    bad("no-object", "The entry names content that is not in the file.", objects([], length=40_000))
    bad("root", "The entry names another root.", objects(one, root=bytes(32)))
    bad("length", "The entry names another length.", objects(one, length=40_001))
    bad("length-inline", "Content of 32,768 bytes must stand inline.", objects([(b"e" * 32_768, rle_frame((b"e", 32_768)))]),
        spec="7.2")
    bad("form-2", "content of form 2.", objects(one, form=2), spec="7.1")
    bad("text-utf8", "Detached text that is no valid UTF-8.", objects([(b"\xff" * 40_000, rle_frame((b"\xff", 40_000)))]),
        spec="11.4")
    bad("chunk-order", "Chunk 1 stands before chunk 0.", objects([two[1] + (0, 1), two[0] + (0, 0)]))
    bad("chunk-missing", "Chunk 1 of three is missing.", objects([two[0] + (0, 0), two[1] + (0, 2)]))
    bad("first-short", "A chunk that is not the last is short.", objects([(whole[:-1], rle_frame((b"e", CHUNK_LENGTH - 1))), two[1]]))
    bad("chunk-long", "A chunk of 262,145 bytes.", objects([(whole + b"e", rle_frame((b"e", CHUNK_LENGTH + 1)))]))
    bad("chunk-1048576", "A chunk of 1,048,576 bytes.", objects([(whole * 4, rle_frame((b"e", CHUNK_LENGTH * 4)))]))
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    at = f.segment(200, varint(0) + varint(0), one[0][0], flags=F_OPTIONAL, codec=1, stored=one[0][1])
    f.open_chunks.append((0, 0, at, blake("memfile1.chunk", one[0][0])))
    f.records([note("b", None, content=one[0][0], fields={CONTENT: [0, 40_000, blake("memfile1.chunk", one[0][0])]})])
    f.commit()
    f.commit([note("z", "The last.")])
    bad("chunk-type", "What the index calls chunk 0 is a segment of the unknown type 200, with the chunk's head and content.", f,
        left_out=1)
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.chunk(0, 0, one[0][0], codec=2, parameter=77, stored=one[0][1])
    f.records([note("b", None, content=one[0][0], fields={CONTENT: [0, 40_000, blake("memfile1.chunk", one[0][0])]})])
    f.commit()
    f.commit([note("z", "The last.")])
    bad("chunk-dictionary", "A chunk that was compressed with a dictionary.", f)
    bad("chunk-empty", "An empty chunk behind the last.", objects_with_empty(one),
        kept=None, recover="any")
    bad("object-number", "The first object has number 1.", objects([one[0] + (1, 0)]), kept=None, recover="any")
    f = objects(two)
    at = bytes(f.data).index(b"f" * 10)
    bad("chunk-damaged", "A byte of the last chunk was flipped.", f, data=flip(f.data, at), spec="17.1")
    for name, kind, why in (("object", 8, "The OBJECT item is missing."), ("chunk", 9, "A CHUNK item is missing.")):
        f = File()
        f.commit()
        f.commit([note("a", "The first.")])
        for i, (raw, stored) in enumerate(two):
            f.chunk(0, i, raw, codec=1 if stored else 0, stored=stored)
        data = whole + b"f" * 10
        f.records([note("b", None, content=data, fields={CONTENT: [0, len(data), tree_hash(
            [blake("memfile1.chunk", c[0]) for c in two], 16)]})])
        f.commit(index=dict(items=lambda found, kind=kind: [i for i in found if i != next(j for j in found if j[0] == kind)]))
        f.commit([note("z", "The last.")])
        bad("item-" + name, why + " Tiling the file finds it.", f, kept=None, spec="10.2")


def objects_with_empty(one):
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.chunk(0, 0, one[0][0], codec=1, stored=one[0][1])
    f.segment(CHUNK, varint(0) + varint(1))
    f.records([note("b", None, content=one[0][0], fields={CONTENT: [0, 40_000, blake("memfile1.chunk", one[0][0])]})])
    f.commit()
    f.commit([note("z", "The last.")])
    return f


# --- 12. Dictionaries -------------------------------------------------------------------------

WORDS = (b"The agent remembers that ", b"prefers tea to coffee, ", b"and never works on a Friday. ")
RAW_DICTIONARY = b"".join(WORDS) * 4
WITH_DICTIONARY = "28b52ffd2077d500008854416e6e426f6220646f6573206e6f742e02004b053a1018ae"      # zstd 1.5.4, level 19


def dictionaries():
    text = WORDS[0].decode() + "Ann " + WORDS[1].decode() + WORDS[2].decode() + WORDS[0].decode() + "Bob does not."
    stored = bytes.fromhex(WITH_DICTIONARY)

    def build(copies=(0, 1), change=None, second=None, parameter=None, late=False, codec=0, commit=None):
        f = File()
        f.commit()
        f.commit([note("a", "The first.")])
        number = f.dictionary(RAW_DICTIONARY, copies[:1], change, codec=codec,
                              stored=frame(RAW_DICTIONARY) if codec else None) if not late else xxh3(RAW_DICTIONARY) & 0xFFFFFFFF
        f.records([note("b", text)], codec=2, parameter=number if parameter is None else parameter, stored=stored)
        if late:
            f.dictionary(RAW_DICTIONARY, (0, 1))
        for copy in copies[1:]:
            first = f.dictionaries.pop()[1][0]
            offset = f.segment(DICTIONARY, varint(number) + u8(copy), second or RAW_DICTIONARY)
            f.dictionaries.append((number, [first, offset]))
        f.commit(change=commit)
        f.commit([note("z", "The last.")])
        return f

    def bad(name, why, f, kept=None, **more):
        vector("bad-dictionary-" + name, "12", why, f, kept=kept, **more)

    vector("good-dictionary-raw", "12", "A raw dictionary, its copies apart, and a block that was compressed with it.", build())
    vector("good-dictionary-zstd", "12", "The dictionary is itself stored as a zstd frame.", build(codec=1))
    f = build()
    copies = [i for i in range(0, len(f.data) - len(RAW_DICTIONARY), 1) if f.data[i:i + len(RAW_DICTIONARY)] == RAW_DICTIONARY]
    one, two = copies
    bad("first-copy", "Copy 0 is damaged; copy 1 does.", f, data=flip(f.data, one))
    bad("second-copy", "Copy 1 is damaged; copy 0 does.", f, data=flip(f.data, two))
    bad("both-copies", "Both copies are damaged: what was compressed with them is lost.", f, "a z",
        data=flip(flip(f.data, one), two + 1))
    bad("unknown", "Codec 2 with a dictionary that the file does not have.", build(parameter=12345), "a z")
    bad("id", "Dictionary_Id is not that of the content.", wrong_dictionary(stored, text), "a z")
    bad("empty", "A dictionary without content, and a frame that needs none.", empty_dictionary(text), "a z")
    f = build()
    rle = b"A frame that holds what it says, and a second dictionary, of this text; it is used too. " * 2
    other = f.dictionary(rle)
    f.records([note("d", "It says that it needs the second.")], codec=2, parameter=other,
              stored=frame(b"It says that it needs the second."))
    f.commit()
    f.commit([note("y", "Behind both.")])
    vector("good-dictionary-two", "12", "Two dictionaries, and blocks of either.", f)
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    number = xxh3(RAW_DICTIONARY) & 0xFFFFFFFF
    f.dictionaries = [(number, [f.segment(200, varint(number) + u8(copy), RAW_DICTIONARY, flags=F_OPTIONAL) for copy in (0, 1)])]
    f.records([note("b", "Not compressed.")])
    f.commit()
    f.commit([note("z", "The last.")])
    bad("type", "What the footer calls a dictionary are segments of the unknown type 200, with a dictionary's head and content. "
        "No block needs it.", f)
    f = File()
    f.commit()
    texts = [b"With this text some blocks begin, " * 6, b"and with this one the others do; " * 6]
    numbers = [f.dictionary(t) for t in texts]
    for i in range(24):
        which = bin(i).count("1") % 2  # in no period
        f.records([note(f"n{i}", texts[which][:30].decode())], codec=2, parameter=numbers[which],
                  stored=from_dictionary(texts[which], 30))
    f.commit()
    f.commit([note("z", "The last.")])
    vector("good-dictionary-in-turn", "12", "24 blocks that say what two dictionaries begin with, now the one, now the other.", f)
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    at = f.chunk(0, 0, RAW_DICTIONARY)
    f.dictionaries = [(xxh3(RAW_DICTIONARY) & 0xFFFFFFFF or 1, [at, at])]
    f.records([note("b", text)], codec=2, parameter=f.dictionaries[0][0], stored=stored)
    f.commit()
    f.commit([note("z", "The last.")])
    bad("chunk", "The footer names a CHUNK whose content would be the dictionary.", f, "a z")
    bad("copies-differ", "Copy 1 has another content.", build(second=RAW_DICTIONARY[:-1] + b"!"))
    bad("one-copy", "The footer names the same place for both copies, and there is one.", one_copy(stored, text))
    bad("copy-2", "A copy number of 2.", build(copies=(0, 2)))
    bad("late", "The dictionary stands behind its first use.", build(copies=(), late=True), recover="any", read="sound")
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.dictionary(RAW_DICTIONARY)
    f.dictionaries = [(f.dictionaries[0][0] ^ 1, f.dictionaries[0][1])]
    f.records([note("b", "It needs none.")])
    f.commit()
    f.commit([note("z", "The last.")])
    bad("footer-id", "The footer names the dictionary by another Dictionary_Id; nothing needs it.", f)
    bad("frame", "A frame that needs a dictionary, with codec 1.", batch([note("b", text)], records=dict(codec=1, stored=stored)), "a z")


def wrong_dictionary(stored, text):
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    f.dictionary(RAW_DICTIONARY, number=77)
    f.records([note("b", text)], codec=2, parameter=77, stored=stored)
    f.commit()
    f.commit([note("z", "The last.")])
    return f


def empty_dictionary(text):
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    number = f.dictionary(b"")
    f.records([note("b", text)], codec=2, parameter=number, stored=frame(text.encode()))
    f.commit()
    f.commit([note("z", "The last.")])
    return f


def one_copy(stored, text):
    f = File()
    f.commit()
    f.commit([note("a", "The first.")])
    number = f.dictionary(RAW_DICTIONARY, (0,))
    f.dictionaries = [(number, f.dictionaries[0][1] * 2)]
    f.records([note("b", text)], codec=2, parameter=number, stored=stored)
    f.commit()
    f.commit([note("z", "The last.")])
    return f


# --- 13. History ------------------------------------------------------------------------------

def old_file(first=None, second=None):
    f = File()
    f.commit(author="Ann", time=first)
    clock = f.clock
    f.commit([note("a", "The first.")], time=second)
    if second:
        f.clock = clock + 1_800_000_000_000_000
    f.commit([note("b", "The second."), note("c", "The third.", key="k")], author="Bob", extra=pair("n", 1))
    f.commit([note("a", "A newer first.")], time=1_600_000_000_000_000, signatures=[bytes(range(32))])
    f.commit([note("d", "Of another handle.", key="k")], new_salt=bytes(range(0x80, 0x90)))
    return f


def compacted(erased=(), change=None, split=None, between=False, without=False, first=None, commit=None, drop=False,
              times=(), split_nodes=None, old=None):
    f = old or old_file(*times)
    g = File(incarnation=bytes(range(0x50, 0x60)))
    g.clock = f.clock
    g.changes = [c for c in (change, commit) if c]
    if not without:
        for rows in split or [range(len(f.log))]:
            g.history(f.log, change, rows, erased, split_nodes)
            if between and rows == (split or [None])[0]:
                g.segment(200, varint(0) + varint(0), flags=F_OPTIONAL)
    else:
        g.log = f.log
    entries = [Entry({}, erased=f.leaves[n]) if n in erased else e for n, e in enumerate(f.entries)]
    if drop:
        entries = entries[:-1]
    g.records(entries)
    if without:
        g.salt_used, g.salt = True, f.salt
    g.maintenance(change=commit)
    return g


def forget(f, *numbers, **more):
    """An entry of op forget that names these entries."""
    leaves = [leaf for row in f.log for leaf in row.leaves]
    return note(f"forgets-{'-'.join(map(str, numbers))}", None, op=1, supersedes=[leaves[n] for n in numbers],
                reason="asked for", **more)


def forgetful(change=None, commit=None, **more):
    f = File()
    f.commit()
    f.commit([note("a", "The first.", key="k"), note("b", "Secret.", key="k", tags=["t"], idempotency_key="i")])
    f.commit([note("b", "Secret, again."), note("c", "The third.")])
    f.changes = [c for c in (change, commit, more.get("index", {}).get("change")) if c]
    f.records([forget(f, 1, 2)], change=change)
    f.commit(change=commit, **more)
    f.commit([note("b", "Another.")])
    return f


def forgetting():
    """10.8"""
    vector("good-forget", "10.8", "An entry of op forget names both versions of one id; then the id begins a new memory. "
           "What the first version superseded by its key is in force again.", forgetful())
    f = forgetful()
    f.records([forget(f, 1), note("e", None, op=1, supersedes=[bytes(32)]), note("g", None, op=1)])
    f.commit()
    vector("good-forget-again", "10.8", "One is named twice, by two entries; one entry names a leaf that is nowhere, "
           "one none.", f)
    f = forgetful()
    later = note("y", "Not yet there.")
    leaf = blake("memfile1.leaf", salt_node(f.salt, 16, f.salt_next + 1) + later.core)
    f.records([note("e", None, op=1, supersedes=[leaf])])
    f.records([later])
    f.commit()
    vector("good-forget-later", "10.8", "An entry of op forget names the leaf of one that comes behind it, which is not forgotten.", f)
    f = forgetful()
    f.records([forget(f, 4)])
    f.commit()
    vector("good-forget-the-forgetting", "10.8", "What forgets is forgotten in turn; what it forgot stays so.", f)
    f = forgetful()
    f.records([note("h", "A put that names leaves.", supersedes=[f.log[1].leaves[0]])])
    f.commit()
    vector("good-forget-put-supersedes", "10.8", "A put that names a leaf forgets nothing.", f)
    vector("good-forget-erased", "13.5", "The same after compaction: rows with ERASED, and the FORGOTTEN items.",
           compacted(old=forgetful(), erased=(1, 2)))
    f = File()
    f.commit()
    f.commit([note("a", "The first."), note("b", "Secret.")])
    f.commit([forget(f, 1)])
    f.commit([note("z", "The last.")])
    f.forgotten = set
    vector("bad-forget-inline", "9.2", "An entry of op forget stands in an inline block, where no reader looks for what it "
           "forgets.", f, recover="any")
    vector("bad-forget-missing", "10.8", "A FORGOTTEN item is missing; readers see that they are too few, and go by the leaves.",
           forgetful(index=dict(items=lambda found: [i for i in found if i != (11, 1, 4)])))
    for name, item, why in (("item-beyond", (11, 99, 100), "names entries that are not there"),
                            ("item-later", (11, 4, 3), "names an entry behind the one that forgets"),
                            ("item-tail", (11, 3, 5), "names an entry behind the run as the one that forgets")):
        vector("bad-forget-" + name, "10.8", f"A FORGOTTEN item {why}; readers see that, and go by the leaves.",
               forgetful(index=dict(items=lambda found, item=item: sorted(found + [item]))))
    vector("bad-forget-extra", "10.8", "A FORGOTTEN item for an entry that is not named.",
           forgetful(index=dict(items=lambda found: sorted(found + [(11, 3, 4)]))), kept="a forgets-1-2 b", read="sound",
           recover="any")


def history():
    def good(name, why, **more):
        vector("good-history-" + name, "13.2", why, compacted(**more))

    good("compacted", "A compacted file: five folded commits with author, Extra, order, signature and two salt trees.")
    good("two-segments", "Two HISTORY segments, one after the other.", split=[range(2), range(2, 5)])
    good("erased", "Two entries were erased: their leaves stand in their rows, the salt tree lacks the nodes above them.",
         erased=(1, 3))
    good("nodes-apart", "The nodes of the last tree go on in HISTORY segments without rows, one node in each.",
         erased=(4,), split_nodes=45)
    good("erased-all-of-tree", "The only entry of a salt tree was erased.", erased=(4,))
    good("times", "The first time is the lowest, the next the highest, so that their difference is beyond 64 bits.",
         times=(-1 << 63, (1 << 63) - 1))
    f = compacted()
    f.commit([note("z", "The last.")], new_salt=bytes(range(0x90, 0xA0)))
    vector("good-history-went-on", "13.1", "A commit behind the compacting one, with a salt tree of its own.", f)

    def bad(name, why, kept=None, read=None, recover=None, **more):
        vector("bad-history-" + name, "13.2", why, compacted(**more), kept=kept, read=read, recover=recover)

    flags = [AUTHOR, SALT, AUTHOR | EXTRA, ORDER | SIGNATURES, SALT]
    for name, change, why in (
            ("first-number", {"First_Number": varint(1)}, "First_Number of the first segment is 1."),
            ("first-entry", {"History.First_Entry": varint(1)}, "First_Entry of the first segment is 1."),
            ("row-count-0", {"Row_Count": varint(0)}, "Row_Count 0 in the first segment, where no tree goes on."),
            ("row-count-4097", {"Row_Count": varint(4_097)}, "Row_Count 4,097."),
            ("row-count-2-40", {"Row_Count": varint(1 << 40), "Flags.Rows": u8(0) + varint(0), "Counts": u8(0) + varint(0)},
             "Row_Count 2^40, with columns of Width 0."),
            ("flag-logical", {"Flags.Rows": ints([flags[0] | LOGICAL] + flags[1:])}, "A row has the flag LOGICAL."),
            ("counts", {"Counts": ints([0, 1, 1, 1, 1])}, "The rows name fewer entries than there are."),
            ("counts-more", {"Counts": ints([0, 1, 2, 1, 2])}, "The rows name more entries than there are."),
            ("counts-2-63", {"Counts": ints([0, 1, 2, 1, 1 << 63])}, "A row names 2^63 entries."),
            ("times", {"Times": zigzag(5) + ints([2, 2, 2, 2])}, "Times are others; the digest tells."),
            ("orders", {"Orders": ints([1])}, "order does not exceed the parent's."),
            ("salts-other", {"Salts": lambda old: old[:-1] + b"\0"}, "A salt tree is another; the digest tells."),
            ("salt-depth-17", {"Salts": lambda old: b"\1\x11" + old[2:]}, "A node at depth 17."),
            ("salt-position", {"Salts": lambda old: b"\1\1\4" + old[3:]}, "A node at depth 1 with position 4."),
            ("salt-twice", {"Salts": lambda old: b"\2" + old[1:19] + old[1:]}, "A node stands twice."),
            ("author-utf8", {"History.Authors": string(b"\xff") + string("Bob")}, "An author that is no valid UTF-8."),
            ("left", {"History.End": b"\0"}, "Bytes are left in the head."),
            ("cut", {"History.Signatures": b""}, "The head ends before the signatures.")):
        bad(name, why + " The entries do not depend on it.", change=change, recover="any")
    bad("missing", "A compacting commit without HISTORY.", without=True, recover="any")
    bad("apart", "Another segment stands between two HISTORY segments.", split=[range(2), range(2, 5)], between=True, recover="any")
    bad("order", "The HISTORY segments have changed places.", split=[range(2, 5), range(2)], recover="any")
    bad("digest", "The History_Digest is not that of the rows.", commit={"History_Digest": bytes(32)}, recover="any")
    bad("entry-missing", "An entry of the last row is missing.", drop=True, recover="any")
    f = batch(before=lambda f: f.histories.append(f.segment(HISTORY, varint(0) + varint(1) + varint(0) + ints([0]) + ints([0]) + zigzag(0))))
    vector("bad-history-late", "13.2", "HISTORY behind entries.", f, recover="any")
    f = compacted()
    f.records([note("z", "x")])
    f.maintenance(change={"First_Entry": varint(5)})
    vector("bad-history-second-records", "9.2", "A later commit without LOGICAL brings RECORDS.", f, kept=None, read="sound",
           recover="any")


# --- 5.8, 14. Voids, the end of the file ------------------------------------------------------

def ends():
    """Three commits, the bytes of a fourth (inline) and of a fifth (a batch) behind them."""
    f = three()
    base = len(f.data)
    f.commit([note("y", "Not whole. " * 9)])
    single = bytes(f.data[base:])
    group, commit_at = attempt(("Of a batch.", "Of it, too."))
    return three(), single, group, commit_at


def attempt(texts):
    """The bytes of a batch behind three commits, and where its commit begins."""
    g = three()
    base = len(g.data)
    for name, text in zip("yx", texts):
        g.records([note(name, text)])
    before = len(g.data)
    g.commit(synced=False)
    return bytes(g.data[base:]), before - base


def exchanged(group, commit_at):
    return attempt(("of A batch.", "of IT, too."))[0][:commit_at] + group[commit_at:]


def voids():
    f, single, group, commit_at = ends()

    def gone_on(debris, change=None):
        f = three()
        f.void(debris, change)
        f.changes = [change] if change else []
        f.commit([note("v", "After the void.")])
        return f

    def good(name, why, f):
        vector("good-void-" + name, "5.8", why, f)

    def bad(name, why, f, kept=None, **more):
        vector("bad-void-" + name, "5.8", why, f, kept=kept, **more)

    good("junk", "Unfinished bytes that are nothing known became a void.", gone_on(b"\x17junk" * 30))
    good("eight", "The shortest void, of 8 bytes.", gone_on(b"12345678"))
    good("padded", "Unfinished bytes whose number is no multiple of 8, filled with zeros.", gone_on(b"123"))
    good("zeros", "A void of zeros.", gone_on(bytes(600)))
    good("torn-commit", "A commit without its trailer became a void.", gone_on(single[:-8]))
    good("sound-segments", "The void begins with segments that look sound; the commit says where its group begins.",
         gone_on(group[:-40]))
    good("exchanged", "The void is a group and a commit that is not SYNCED, of two attempts at one place: it does not count (9.4).",
         gone_on(exchanged(group, commit_at)))
    g = gone_on(single[:100])
    torn = bytes(g.data[len(f.data):])
    good("second", "A void that holds an earlier void's VOID and its torn commit.", gone_on(torn[:-20]))
    g = gone_on(single[:-8])
    g.records([note("w", "More.")])
    g.commit()
    good("then-batch", "A batch behind a commit that followed a void.", g)
    bad("checksum", "Void_Checksum is not that of the void.", gone_on(b"junk" * 20, {"Void_Checksum": u64(1)}))
    bad("length-more", "Void_Length is 8 too large.", gone_on(b"junk" * 20, {"Void_Length": u64(96)}))
    bad("length-0", "Void_Length 0.", gone_on(b"junk" * 20, {"Void_Length": u64(0)}))
    bad("length-unaligned", "Void_Length is no multiple of 8.", gone_on(b"junk" * 20, {"Void_Length": u64(81)}))
    bad("head-long", "The head of VOID has 17 bytes.", gone_on(b"junk" * 20, {"Void_Checksum": lambda old: old + b"\0"}))
    g = gone_on(b"junk" * 20)
    bad("byte", "A byte of the void was flipped.", g, data=flip(g.data, len(f.data) + 5))
    bad("not-declared", "Bytes stand between two commits without a VOID.", undeclared())
    bad("without-void", "A VOID at the start of a group, with nothing before it.", batch(before=lambda f: f.segment(
        VOID, u64(0) + u64(xxh3(b"")))))
    bad("not-first", "A VOID behind another segment.", batch(after=lambda f: f.segment(VOID, u64(8) + u64(0))))
    bad("derived", "A VOID that is DERIVED.", gone_on(b"junk" * 20, {"Flags": u8(F_DERIVED)}))


def undeclared():
    f = three()
    f.data += bytes(range(64))
    f.commit([note("y", "Behind them.")])
    return f


def tails():
    f, single, group, commit_at = ends()
    base = bytes(f.data)

    def torn(name, why, tail):
        vector("bad-torn-" + name, "14.3", why, f, data=base + tail, expect="truncated", read="sound", unfinished=len(tail))

    def damaged(name, why, tail, source=f, recover=3, **more):
        for junk, also in ((b"", ""), (b"\x17ju", " Three bytes of a torn append stand behind it, and change nothing.")):
            vector("bad-end-" + name + ("-junk" if junk else ""), "14.3", why + also, source, data=base + tail + junk,
                   recover=recover, unfinished=len(tail + junk), write="refused", read="damaged", **more)

    torn("one-byte", "The first byte of a segment.", single[:1])
    torn("seven-bytes", "Fewer bytes than an offset is aligned to.", single[:7])
    torn("header-cut", "63 of the 64 bytes of a segment header.", single[:63])
    torn("header", "A segment header alone.", single[:64])
    torn("body-cut", "A commit that ends within its body.", single[:150])
    torn("no-trailer", "A commit without its trailer: nobody was told of it.", single[:-8])
    torn("trailer-cut", "A commit with half of its trailer.", single[:-4])
    torn("trailer-zero", "A commit whose trailer is zero.", single[:-8] + bytes(8))
    torn("zeros", "The length grew, the content did not come.", bytes(4096))
    torn("zeros-all", "As many zeros as the commit has bytes.", bytes(len(single)))
    torn("junk", "Bytes that are nothing known.", b"\x17junk" * 30)
    torn("group-without-commit", "The segments of a batch, and no commit.", group[:commit_at])
    torn("group-cut", "A batch that ends within its second segment.", group[:150])
    long = three()
    at = len(long.data)
    long.commit([note("y", "".join(chr(33 + i % 90) for i in range(2500)))])
    tail = bytearray(long.data[at:])
    hole = -at % 512 + 512
    tail[hole:hole + 512] = bytes(512)
    torn("sector", "A sector of the commit, but not the last, was never written.", bytes(tail))
    tail = bytearray(long.data[at:])
    tail[:-at % 512] = bytes(-at % 512)
    torn("first-sector", "The first sector of the commit was never written.", bytes(tail))
    damaged_group = bytearray(group)
    damaged_group[70] ^= 1
    damaged("group", "A segment of the newest group, which is not SYNCED, is damaged; its commit is sound, so all was written.",
            bytes(damaged_group), recover=4)
    other = attempt(("of A batch.", "of IT, too."))[0]
    second = next(at for at in range(72, commit_at, 8) if other[at:at + 4] == SEGMENT_MAGIC)
    assert len(other) == len(group) and other[:48] == group[:48] and other[second:second + 48] == group[second:second + 48]
    damaged("exchanged", "The newest commit, which is not SYNCED, stands behind the segments of another attempt at the same "
            "place: sound, as long, with the same links. It does not count (9.4).", exchanged(group, commit_at), recover=5)
    damaged("half-exchanged", "The same, but its first segment is of another attempt only.",
            group[:second] + other[second:], recover=5)
    def trailer(old):
        return old + u32(64 + g.member + len(old) + 8) + TRAILER_MAGIC
    for name, change, why in (
            ("member-previous", {"Previous_Commit": u64(80)}, "A segment of the newest group names another commit before it."),
            ("member-parent", {"Parent_Tag": bytes(8)}, "A segment of the newest group, not the first, has another Parent_Tag."),
            ("member-commit", {"Flags": u8(F_COMMIT), "Padding": trailer}, "A segment of the newest group says that it is a commit.")):
        g = three()
        at = len(g.data)
        g.records([note("x", "The first of a batch.")])
        g.member = len(varint(len(g.entries)) + block([note("w", "The second.")])[0]) + 1 + len("The second.")
        g.records([note("w", "The second.")], change=change)
        g.commit(synced=False)
        damaged(name, why + " The commit agrees with their headers.", bytes(g.data[at:]), recover="any")
    damaged("body", "A bit of the newest commit's body was flipped.", flip(single, 120))
    damaged("header", "A bit of the newest commit's header was flipped.", flip(single, 9))
    damaged("trailer", "A bit of the newest commit's trailer was flipped.", flip(single, len(single) - 2))
    damaged("trailer-length", "The length in the newest commit's trailer was flipped.", flip(single, len(single) - 8, 0x10))
    g = three()
    at = len(g.data)
    g.commit([note("y", "Damaged.")])
    g.commit([note("x", "Torn.")])
    damaged("later-named", "A damaged commit, and behind it a torn one that names it.",
            flip(bytes(g.data[at:-8]), 100))
    vector("bad-end-middle", "17.1", "A bit of a commit was flipped; the one behind it is sound and the newest.", g,
           data=flip(g.data, at + 100), kept="a b z x")
    g = batch()
    at = bytes(g.data).index(b"The second.")
    vector("bad-end-synced-records", "17.1", "A bit of RECORDS was flipped in the middle of the file.", g,
           data=flip(g.data, at), kept="a z")
    g = File()
    g.commit()
    vector("bad-end-genesis", "14.2", "A bit of the only commit was flipped: nothing counts.", b"",
           data=flip(g.data, 150), read="damaged", recover="nothing")
    g = File()
    g.commit()
    vector("bad-torn-genesis", "14.2", "The genesis was never written to its end.", b"", data=bytes(g.data[:-8]),
           read="damaged", recover="nothing")
    # a memory that holds a memfile
    inner = three()
    outer = batch([note("b", None, data=bytes(inner.data))])
    vector("good-memfile-inside", "14.1", "An entry holds a memfile of the same incarnation.", outer)
    g = three()
    g.commit([note("y", None, data=bytes(inner.data))])
    torn_inside = bytes(g.data[len(f.data):-8])
    torn("memfile-inside", "A torn commit that holds a memfile of the same incarnation.", torn_inside)


# --- 17. Displaced segments -------------------------------------------------------------------

def displaced():
    f = three()
    data = bytes(f.data)
    b = f.commits[2]
    for name, why, new, kept, recover in (
            ("inserted-8", "8 zeros were inserted before a commit.", data[:b] + bytes(8) + data[b:], "a", 3),
            ("inserted-512", "512 bytes were inserted before a commit.", data[:b] + b"\x17junk..." * 64 + data[b:], "a", 3),
            ("inserted-3", "3 bytes were inserted before a commit, so that nothing behind is aligned.",
             data[:b] + b"abc" + data[b:], "a", 3),
            ("removed-8", "8 bytes were cut out of a commit's body.", data[:b + 80] + data[b + 88:], "a", 2),
            ("removed-segment", "A whole commit was cut out.", data[:b] + data[f.commits[3]:], "a", 2),
            ("swapped", "Two commits have changed places.", data[:b] + data[f.commits[3]:] + data[b:f.commits[3]], "a", 3)):
        vector("bad-displaced-" + name, "17.2", why + " Readers go on with what is before; recovery finds what is behind.",
               f, data=new, kept=kept, read="damaged", recover=recover, write="refused")


SECTIONS = [header, segment, codec, block_vectors, core, commits, index, forgetting, content, dictionaries,
            history, voids, tails, displaced, lambda: sealed_vectors.make(vector)]


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
