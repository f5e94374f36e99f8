# SPDX-License-Identifier: CC0-1.0
"""The vectors of chapter 20, sealed files, for make-vectors.py. A defect is made in one of two ways: by one who
has the key (`change`: boxes, chain and checksums fit what is then there) or by one who has not (`mended`: places,
links and checksums are right, the boxes are what they were)."""
from vector_writer import *  # noqa: F403

ANN, BOB, EVE = bytes(range(1, 33)), bytes(range(33, 65)), bytes(range(65, 97))
TEA, RUM = Passphrase(b"tea"), Passphrase(b"rum", salt=bytes(range(0x70, 0x80)))
LONG = "The same words again. " * 12


def make(vector):
    for section in good, headers, keys, epochs, segments, inside, outsiders, moves, identities:
        section(vector)


def sealed(seal=TEA, middle=None, change=None, commit=None, **more):
    """KEYS and the genesis, an inline commit of "a", the middle one of "b", one of "z"."""
    f = SealedFile(seal, **more)
    f.commit()
    f.commit([note("a", "The first.")])
    f.changes = [c for c in (change, more.get("keys")) if c]
    f.commit(middle or [note("b", "The second.")], change=change, **(commit or {}))
    f.commit([note("z", "The last.")])
    return f


def batch(seal=TEA, change=None, commit=None, before=None, after=None, records=None, middle=None, more=None, **options):
    """The same with the middle commit as RECORDS, INDEX and COMMIT."""
    f = SealedFile(seal, **(more or {}))
    f.commit()
    f.commit([note("a", "The first.")])
    if before:
        before(f)
    f.changes = [c for c in (change, commit) if c]
    f.records(middle or [note("b", "The second.")], change=change, **(records or {}))
    if after:
        after(f)
    f.commit(change=commit, **options)
    f.commit([note("z", "The last.")])
    return f


def rekeyed(first=TEA, second=RUM, change=None, commit=None, third=None, last=None, **more):
    """ "a" under the first key, "z" under the second; `third`: another epoch without entries before "z"."""
    f = SealedFile(first, **more)
    f.commit()
    f.commit([note("a", "Under the first key.")])
    f.changes = [c for c in (change, commit, last) if c]
    f.rekey(second, change, commit)
    if third:
        f.rekey(third, last)
    f.commit([note("z", "Under the newest key.")])
    return f


def good(vector):
    def add(name, why, f, spec="20", **more):
        vector("good-sealed-" + name, spec, why, f, **more)

    f = SealedFile(TEA)
    f.commit()
    add("genesis-only", "The smallest sealed memory: KEYS and the genesis.", f)
    add("passphrase", "A file under a passphrase, three inline commits.", sealed())
    add("passphrase-costs", "Two passes over 64 KiB, and a passphrase of two words and a letter that is not ASCII.",
        sealed(Passphrase("two w\u00f6rds".encode(), 2, 64)), spec="20.3")
    add("recipient", "A file for one recipient.", sealed(Recipients(ANN)), spec="20.3")
    for i, name in enumerate(("first", "second", "third")):
        add(f"recipients-3-{name}", f"A file for three recipients; the {name} reads it.",
            sealed(Recipients(ANN, BOB, EVE, named=i)), spec="20.3")
    add("recipients-32", "A file for 32 recipients, the most; the last reads it.",
        sealed(Recipients(*(bytes([i + 1]) * 32 for i in range(32)), named=31)), spec="20.2")
    add("recipient-twice", "The same recipient in two slots: nothing forbids it, nobody can see it.",
        sealed(Recipients(ANN, ANN)), spec="20.2")
    for name, other in (("junk", bytes(range(100))), ("zero", bytes(100)), ("low-order", u64(1) + bytes(92))):
        add(f"slot-{name}", "The first of two slots opens for nobody" + {"low-order": ": its point has low order",
            "zero": ": it is zeros"}.get(name, "") + ". It could be anybody's, and the second opens.",
            sealed(Recipients(BOB, ANN, named=1), keys={"Slot0": other}), spec="20.3")
    add("padded", "PADDED: what is inside is as long as Padm\u00e9 says.", sealed(padded=True), spec="20.6")
    add("padded-batch", "PADDED: RECORDS, INDEX and a commit.", batch(Recipients(ANN), more={"padded": True}), spec="20.6")
    add("padded-not", "PADDED, and a segment that is not padded: it is a rule for writers.",
        sealed(padded=True, change={"Inner.Zeros": b""}), spec="20.6")
    add("zeros-more", "Not PADDED, and 100 zeros inside behind a body.", sealed(change={"Inner.Zeros": bytes(100)}), spec="20.6")
    add("nonce-zero", "A nonce is any 24 bytes to a reader, also zeros.", sealed(change={"Seal.Nonce": bytes(24)}), spec="20.7")
    add("batch", "RECORDS, INDEX and COMMIT, each in a seal of its own.", batch(), spec="20.6")
    f = batch(middle=[note("b", LONG)], records=dict(codec=1))
    add("codec-1", "RECORDS inside with codec 1.", f, spec="20.6")
    f = SealedFile(TEA)
    f.commit()
    number = f.dictionary(LONG.encode())
    f.records([note("a", LONG)], codec=2, parameter=number)
    f.commit()
    f.commit([note("z", LONG)], codec=1)
    add("codec-2", "A dictionary in two copies, RECORDS inside with codec 2, an inline block with codec 1.", f, spec="20.6")
    f = SealedFile(TEA)
    f.commit()
    for id, text in (("a", LONG.encode()), ("b", LONG.encode()[::-1])):
        number = f.dictionary(text)
        f.records([note(id, LONG)], codec=2, parameter=number)
    f.commit()
    add("codec-2-two", "Two dictionaries; which one a block needs is inside its seal.", f, spec="20.6")
    f = SealedFile(TEA)
    f.commit()
    texts = [b"With this text some blocks begin, " * 6, b"and with this one the others do; " * 6]
    numbers = [f.dictionary(t) for t in texts]
    for i in range(8):
        which = bin(i).count("1") % 2
        f.records([note(f"n{i}", texts[which][:30].decode())], codec=2, parameter=numbers[which],
                  stored=from_dictionary(texts[which], 30))
    f.commit()
    add("codec-2-in-turn", "Blocks that say what two dictionaries begin with.", f, spec="20.6")
    content = bytes(range(256)) * 1100
    f = SealedFile(Recipients(ANN))
    f.commit()
    chunks = [content[i:i + CHUNK_LENGTH] for i in range(0, len(content), CHUNK_LENGTH)]
    for i, chunk in enumerate(chunks):
        f.chunk(0, i, chunk)
    root = tree_hash([blake("memfile1.chunk", chunk) for chunk in chunks], 16)
    f.records([note("big", None, fields={CONTENT: [1, len(content), root]}, content=content)])
    f.commit()
    add("content", "A content object of two CHUNK segments, the first with a body of more than 256 KiB.", f, spec="11")
    for name, flags in (("", 2), ("-derived", 6)):
        f = batch(after=lambda f, flags=flags: f.segment(200, varint(1) + varint(1) + b"hidden", b"what?", flags=flags))
        add(f"optional{name}", "A seal that holds a segment of the unknown type 200 with OPTIONAL" +
            (" and DERIVED" if name else "") + ".", f, spec="18")
    f = batch(after=lambda f: f.segment(200, varint(1) + varint(1) + b"hidden", b"what?", flags=2,
                                        change={"Inner.Codec": u8(3)}))
    add("optional-codec", "A seal that holds type 200 with OPTIONAL and the unknown codec 3.", f, spec="18")
    f = sealed()
    f.void(b"\x17junk" * 30)
    f.commit([note("v", "After the void.")])
    add("void", "Unfinished bytes became a void; VOID is never sealed.", f, spec="5.8")
    g = sealed()
    at = len(g.data)
    g.records([note("y", "Never committed.")])
    torn = bytes(g.data[at:])
    f = sealed()
    f.void(torn)
    f.commit([note("v", "After the void.")])
    add("void-of-seals", "A void that holds a sealed segment, sound and opening; the commit says where its group begins.", f,
        spec="2.5")
    add("rekeyed", "From one passphrase to another. The older key is in the newer KEYS.", rekeyed(), spec="20.5")
    add("rekeyed-kind", "From a passphrase to two recipients.", rekeyed(TEA, Recipients(ANN, BOB, named=1)), spec="20.5")
    f = rekeyed(TEA, Recipients(ANN), third=RUM)
    add("rekeyed-twice", "From a passphrase to a recipient to another passphrase.", f, spec="20.5")
    f.rekey(RUM)
    f.commit([note("y", "Under the fourth.")])
    add("rekeyed-same", "A new key under the passphrase that the one before had.", f, spec="20.5")
    f = SealedFile(TEA)
    f.commit()
    for i in range(8):
        f.rekey(Recipients(bytes([i + 1]) * 32))
    f.commit([note("z", "Under the ninth key.")])
    add("rekeyed-8", "Eight changes of keys, without an entry in between.", f, spec="20.5")
    f = SealedFile(TEA)
    f.commit()
    f.commit([note("a", "x")])
    f.padded = True
    f.rekey(RUM)
    f.commit([note("z", "y")])
    add("rekeyed-padded", "PADDED from the second epoch on.", f, spec="20.2")
    f = batch(before=lambda f: f.repeat_keys())
    f.repeat_keys()
    f.maintenance()
    add("keys-repeated", "KEYS stand again in a group with entries, and in one of their own.", f, spec="20.5")
    add("keys-twice", "KEYS of each epoch stand twice, one behind the other, as a writer makes them.", twice(), spec="20.5")
    f = rekeyed()
    f.repeat_keys()
    f.maintenance()
    f.commit([note("y", "Behind.")])
    add("keys-repeated-rekeyed", "KEYS of the second epoch stand twice.", f, spec="20.5")
    for name, folded in (("compacted", sealed), ("compacted-recipient", lambda: sealed(Recipients(ANN)))):
        old = folded()
        f = SealedFile(old.seal, incarnation=bytes(range(0x40, 0x50)), seed=b"compacted")
        f.history(old.log)
        f.records([note("a", "The first."), note("b", "The second."), note("z", "The last.")])
        f.maintenance()
        f.commit([note("y", "Behind.")], new_salt=bytes(range(0x90, 0xA0)))
        add(name, "A compacted file: KEYS of a new epoch 1, HISTORY, RECORDS and the compacting commit in one group.", f,
            spec="20.5")
    f = sealed()
    f.commit([note("s", "Signed.")], signatures=[bytes(range(32))])
    add("signed", "A signed commit inside a seal.", f, spec="20.9")
    f = sealed()
    g = sealed()
    g.data = g.data[:f.commits[3]]
    g.entries = g.entries[:2]
    add("cut-back", "The file was cut back to an older commit. It cannot be seen in the file itself.", g, spec="20.12")
    f = rekeyed()
    g = rekeyed()
    g.data, g.entries, g.seal = g.data[:f.keys_at], g.entries[:1], TEA
    add("cut-back-epoch", "The file was cut back to a commit before a change of keys: who had the old key can do that.", g,
        spec="20.12")
    g = SealedFile(TEA)
    g.commit()
    g.commit([note("a", "x")])
    g.segment(200, varint(0) + varint(1) + b"hidden", b"what?", flags=2)
    g.rekey(RUM)
    g.commit([note("z", "y")])
    add("keys-not-first", "A segment under the old key stands before the new KEYS in their group: what is behind KEYS is "
        "under the new one.", g, spec="20.5")
    for name, text in (("comment", "# a key\n\n{0}\n"), ("crlf", "# a key\r\n\r\n{0}\r\n"), ("no-line-end", "{0}"),
                       ("behind", "\n{0}\n# behind\n")):
        f = sealed(Recipients(ANN))
        add(f"keyfile-{name}", "A key file with other lines, or line ends, or none.", f, spec="20.11",
            identity=quoted(text.format(key_text("MFR1-SECRET-", ANN))))


    f = sealed(Recipients(ANN))
    add("keyfile-locked", "A key file under a passphrase.", f, spec="20.11", passphrase="lock",
        identity=locked_key_text("MFR1-LOCKED-", ANN, b"lock", 2, 16))


def twice():
    """Each KEYS segment and its copy behind it."""
    f = SealedFile(TEA)
    f.first = [f.keys_at, f.repeat_keys()]
    f.commit()
    f.commit([note("a", "Under the first key.")])
    f.new_keys(RUM)
    f.second = [f.keys_at, f.repeat_keys()]
    f.maintenance()
    f.commit([note("z", "Under the second key.")])
    return f


def quoted(text):
    import json
    return json.dumps(text)


NONE = dict(kept="", read="wrong-key", expect="wrong-key", recover="nothing")


def headers(vector):
    """Field by field, the checksum right."""
    f = sealed()
    data = bytes(f.data)

    def header(at, new):
        head = put(data[:72], at, new)
        return head + u64(xxh3(head)) + data[80:]

    for name, at, new, why in (("incarnation", 36, b"X", "Incarnation_Id, of which no segment repeats this byte"),
                               ("memory-id", 48, b"X", "Memory_Id"),
                               ("write-features", 20, u32(1), "Write_Features"),
                               ("compact-features", 24, u32(1), "Compact_Features")):
        vector(f"bad-sealed-header-{name}", "20.4", f"Somebody changed {why} of the header and its checksum: KEYS names "
               "another.", f, data=header(at, new), outside="damaged", **NONE)
    for name, at, new, why in (("version", 12, u16(2), "Format_Version"), ("read-features", 16, u32(1), "Read_Features"),
                               ("suite", 14, u8(2), "Suite"), ("reserved", 64, u64(1), "Reserved_3")):
        vector(f"unsupported-sealed-header-{name}", "3", f"Somebody changed {why} of the header and its checksum.", f,
               data=header(at, new), kept="", recover="nothing", outside="newer")
    vector("bad-sealed-header-incarnation-tag", "14.2", "Somebody changed the first bytes of Incarnation_Id in the header "
           "and its checksum: no segment is of this file.", f, data=header(32, b"X"), kept="", read="damaged", recover="any")
    vector("bad-sealed-header-plain", "20.8", "Somebody changed Suite to 0 and mended the checksum: a reader with a key "
           "refuses plain files.", f, data=header(14, u8(0)), outside="damaged", **NONE)
    vector("bad-sealed-header-bit", "20.2", "A bit of the header flipped; KEYS has it once more, and recovery takes it.", f,
           data=flip(data, 50), kept="", read="damaged", recover=3)
    g = File()
    g.commit()
    g.commit([note("a", "Plain.")])
    vector("bad-sealed-plain-file", "20.8", "A plain file in the place of a sealed one: a reader with a key refuses it.", g,
           passphrase="tea", **NONE)


def keys(vector):
    def wrong(name, why, f, spec="20.4", outside="sound", **more):
        vector("bad-sealed-" + name, spec, why, f, outside=outside, **(NONE | more))

    def damaged(name, why, f, spec="20.2", kept="", read="damaged", recover="any", **more):
        vector("bad-sealed-" + name, spec, why, f, kept=kept, read=read, recover=recover, **more)

    def flipped(at=0, bit=1):
        return lambda old: flip(old, at, bit)

    other = sealed(incarnation=bytes(range(0x40, 0x50)), seed=b"other")
    others = sealed(Recipients(ANN), incarnation=bytes(range(0x40, 0x50)), seed=b"other")
    wrong("slot-other-file", "The slot is that of another file under the same passphrase.",
          sealed(keys={"Slot0": other.slot(TEA)[0]}))
    wrong("box-other-file", "The slot is that of another file for the same recipient: another incarnation inside.",
          sealed(Recipients(ANN), keys={"Slot0": others.slot(others.seal)[0]}), spec="20.3")
    f = SealedFile(Recipients(ANN))
    key = f.data_keys[1]
    wrong("box-incarnation", "A sealed box of this file's data key that names another incarnation.",
          sealed(Recipients(ANN), data_key=key, keys={"Slot0": f.slot(f.seal, incarnation=bytes(16))[0]}), spec="20.3")
    wrong("box-epoch", "A sealed box of this file's data key that names another epoch.",
          sealed(Recipients(ANN), data_key=key, keys={"Slot0": f.slot(f.seal, epoch=2)[0]}), spec="20.3")
    f = SealedFile(TEA)
    key = f.data_keys[1]
    wrong("slot-epoch", "A slot of this file's data key that was made for another epoch.",
          sealed(data_key=key, keys={"Slot0": f.slot(TEA, epoch=2)[0]}), spec="20.3")
    for name, at in (("passes", 0), ("memory", 4), ("salt", 8), ("nonce", 24), ("box", 48), ("tag", 95)):
        wrong(f"slot-{name}", f"Somebody changed the slot's {name}.", sealed(keys={"Slot0": flipped(at, 2)}), spec="20.3")
    for name, at in (("point", 0), ("box", 40), ("tag", 33)):
        wrong(f"box-{name}", f"Somebody changed the {name} of the only sealed box.",
              sealed(Recipients(ANN), keys={"Slot0": flipped(at)}), spec="20.3")
    inside = bytes(32) + bytes(range(0x10, 0x20)) + u32(1)
    for name, point in (("zero", 0), ("one", 1), ("order-8", 325606250916557431795983626356110631294008115727848805560023387167927233504),
                        ("p", 2**255 - 19)):
        wrong(f"box-low-order-{name}", "The ephemeral point of the only sealed box has low order; its secret would be zero.",
              sealed(Recipients(ANN), keys={"Slot0": low_order_box(point, inside, public_of(ANN))}, data_key=bytes(32)), spec="20.3")
    wrong("slot-other-key", "The slot opens and holds a data key to which the Commitment does not commit.",
          sealed(keys={"Slot0": SealedFile(TEA, data_key=bytes(32)).slot(TEA)[0]}))
    tea, rum, box, one, two = two_passphrases()
    f = sealed(TEA, keys={"Slot0": box}, data_key=one)
    vector("good-sealed-collision-first", "20.4", "A slot that opens under two passphrases, to two data keys. The Commitment "
           "commits to this one's.", f)
    f.seal = Passphrase(b"rum")
    wrong("collision-second", "The slot of good-sealed-collision-first under the other passphrase: it opens, to a data key that is "
          "not the committed one.", f)
    f = sealed(TEA, keys={"Slot0": box}, data_key=one,
               change={"Seal.Key": subkey_of(two, "seal"), "Seal.Nonce": bytes(24)})
    damaged("collision-segment", "A segment in the middle is sealed under the slot's other data key.", f, kept="a z", spec="20.4",
            outside="sound", recover=2)
    for name, seal, why in (("passes-0", Passphrase(b"tea", 0), "0 passes"), ("memory-7", Passphrase(b"tea", 1, 7), "7 KiB"),
                            ("memory-0", Passphrase(b"tea", 1, 0), "0 KiB")):
        damaged(f"argon-{name}", f"A passphrase slot of {why}: too weak to be one.", sealed(seal), spec="20.3", outside="damaged")
    for name, seal, why in (("passes-11", Passphrase(b"tea", 11), "11 passes"),
                            ("memory-above", Passphrase(b"tea", 1, (1 << 20) + 1), "2^20 + 1 KiB"),
                            ("most", Passphrase(b"tea", 2**32 - 1, 2**32 - 1), "the most passes and KiB that stand in 32 bits")):
        vector(f"bad-sealed-argon-{name}", "20.3", f"A passphrase slot of {why}: refused before it is run.", sealed(seal), kept="",
               expect="over-limit", recover="nothing", outside="over-limit")
    wrong("commitment", "A bit of the Commitment flipped.", sealed(keys={"Keys.Commitment": flipped()}))
    wrong("commitment-zero", "The Commitment is zero.", sealed(keys={"Keys.Commitment": bytes(32)}))
    wrong("keys-header", "Field 1 of KEYS is not the file's header.", sealed(keys={"Keys.Header": flipped(60)}), outside="damaged")
    # the Commitment covers what follows; one who has the key makes a new one
    pair = Recipients(ANN, BOB)
    wrong("roster-bit", "A bit of the roster flipped: the Commitment covers it.",
          sealed(pair, keys={"Keys.Commitment": SealedFile(pair).keys_head[-64:-32], "Keys.Roster": flipped(30)}))
    damaged("roster-not-opening", "A roster that does not open; the Commitment is right.",
            sealed(pair, keys={"Keys.Roster": flipped(30)}), outside="sound")
    damaged("roster-short", "A roster of one key for two slots; lengths contradict each other.",
            sealed(Recipients(ANN, BOB), keys={"Keys.Roster": lambda old: old[:-32]}), outside="damaged")
    for name, part, value in (("previous-of-1", "Keys.Previous", bytes(31) + b"\1"), ("succession-of-1", "Keys.Succession", b"\1" + bytes(31))):
        damaged(name, f"{part[5:]} of epoch 1 is not zero.", sealed(keys={part: value}), kept=None, read="sound", outside="damaged", recover=3)
    for name, part, why in (("flag-2", {"Keys.Flags": u8(2)}, "Bit 1 of Keys_Flags"), ("flag-128", {"Keys.Flags": u8(129)}, "Bit 7 of Keys_Flags"),
                            ("kind-0", {"Keys.Kind": u8(0)}, "Slot_Kind 0"), ("kind-3", {"Keys.Kind": u8(3)}, "Slot_Kind 3")):
        vector(f"unsupported-sealed-keys-{name}", "20.2", f"{why} is of a newer version.", sealed(keys=part), kept="",
               recover="nothing", outside="newer")
    slot = SealedFile(TEA).slot(TEA)[0]
    for name, part, why in (
            ("slots-0", {"Keys.Count": varint(0), "Slot0": b""}, "No slot."),
            ("slots-twice", {"Keys.Count": varint(2), "Slot0": lambda old: old + slot}, "Two slots of a passphrase, which stands alone."),
            ("slot-short", {"Slot0": lambda old: old[:-1]}, "A slot of 95 bytes."),
            ("epoch-0", {"Keys.Epoch": varint(0)}, "Epoch 0."),
            ("epoch-form", {"Keys.Epoch": b"\x81\0"}, "Epoch is not in its shortest form."),
            ("count-form", {"Keys.Count": b"\x81\0"}, "The number of slots is not in its shortest form."),
            ("older-form", {"Keys.Older_Count": b"\x80\0"}, "The number of older keys is not in its shortest form."),
            ("epoch-2-64", {"Keys.Epoch": b"\xff" * 9 + b"\2"}, "Epoch is 2^64 or more."),
            ("older-more", {"Keys.Older_Count": varint(1)}, "One older key in epoch 1, of which there is none."),
            ("older-many", {"Keys.Older_Count": varint(1025)}, "1,025 older keys, of which there is none."),
            ("long", {"Keys.End": b"\0"}, "A byte stands behind Succession."),
            ("short", {"Keys.Succession": bytes(31)}, "Succession has 31 bytes."),
            ("content", {"Content": b"x", "Raw_Length": u32(1)}, "KEYS with content."),
            ("codec", {"Codec": u8(1)}, "KEYS with codec 1."),
            ("parameter", {"Codec_Parameter": u32(1)}, "KEYS with a Codec_Parameter.")):
        damaged("keys-" + name, why, sealed(keys=part))
    for name, flag in (("optional", 2), ("derived", 4), ("synced", 8)):
        damaged(f"keys-{name}", f"KEYS with the flag {name.upper()}.", sealed(keys={"Flags": u8(flag)}), spec="5", kept=None, read="sound")
    damaged("keys-slots-0-recipients", "No slot, and an empty roster.", sealed(Recipients(ANN), keys={"Keys.Count": varint(0), "Slot0": b"",
            "Keys.Roster": lambda old: old[:40]}))
    damaged("keys-slots-33", "33 slots.", sealed(Recipients(*(bytes([i + 1]) * 32 for i in range(33)))))


def epochs(vector):
    """KEYS of several epochs."""
    def wrong(name, why, f, spec="20.4", outside="sound", **more):
        vector("bad-sealed-" + name, spec, why, f, outside=outside, **(NONE | more))

    def damaged(name, why, f, spec="20.2", kept="", read="damaged", recover="any", **more):
        vector("bad-sealed-" + name, spec, why, f, kept=kept, read=read, recover=recover, **more)

    zero = {"Keys.Succession": bytes(32)}
    damaged("succession-zero", "Succession of epoch 2 is zero: whoever made this KEYS segment had not the older key.",
            rekeyed(change=zero), outside="sound")
    damaged("succession", "A bit of Succession flipped.", rekeyed(change={"Keys.Succession": lambda old: flip(old, 5)}), outside="sound")
    wrong("older-bit", "A bit of an older key's box flipped; the Commitment covers it.",
          rekeyed(change={"Older1": lambda old: flip(old, 30), "Keys.Commitment": rekeyed().keys_head[-64:-32]}))
    damaged("older-not-opening", "An older key that does not open; the Commitment is right.",
            rekeyed(change={"Older1": lambda old: flip(old, 30)}), outside="sound")
    damaged("keys-codec-2-older", "The KEYS of epoch 1, which are no longer the newest, with codec 2 and a Codec_Parameter.",
            rekeyed(keys={"Codec": u8(2), "Codec_Parameter": u32(15)}), spec="4.3", kept=None, read="sound")
    f = rekeyed()
    nonce = bytes(24)
    lie = nonce + aead(f.subkey("wrap"), nonce, u32(1) + f.incarnation, bytes(32))
    damaged("older-other-key", "The older key opens and is another: not the one that epoch's KEYS commit to, and Succession is not keyed with it.",
            rekeyed(change={"Older1": lie}), outside="sound")
    f = rekeyed(third=TEA)
    boxes = {}
    rekeyed(third=TEA, last={"Older1": lambda old: boxes.setdefault(1, old), "Older2": lambda old: boxes.setdefault(2, old)})
    damaged("older-swapped", "Two older keys have changed places.",
            rekeyed(third=TEA, last={"Older1": boxes[2], "Older2": boxes[1]}), outside="sound")
    damaged("older-cut", "The newest KEYS of epoch 3 have one older key.",
            rekeyed(third=TEA, last={"Keys.Older_Count": varint(1), "Older2": b""}), outside="damaged")
    damaged("older-none", "The KEYS of epoch 2 have no older key.", rekeyed(change={"Keys.Older_Count": varint(0), "Older1": b""}),
            outside="damaged")
    damaged("previous", "Previous of epoch 2 is not the hash of the KEYS before.", rekeyed(change={"Keys.Previous": lambda old: flip(old, 0)}),
            kept=None, read="sound", outside="damaged", recover=2)
    damaged("previous-zero", "Previous of epoch 2 is zero.", rekeyed(change={"Keys.Previous": bytes(32)}), kept=None, read="sound", recover=2)
    f = SealedFile(TEA)
    f.commit()
    f.commit([note("a", "x")])
    f.changes = []
    f.data_keys[2] = bytes(32)
    f.rekey(RUM, epoch=3)
    f.commit([note("z", "y")])
    damaged("epoch-jumps", "Epoch 3 follows epoch 1.", f, kept=None, read="sound", recover=2)
    damaged("epoch-begins-2", "The first KEYS are of epoch 2.", start_at_2(), kept=None, read="sound", recover=1)
    f = rekeyed()
    f.epoch, f.seal = 1, TEA
    f.keys_head, f.keys_body = SealedFile(TEA).keys_head, None
    f.repeat_keys()
    f.maintenance()
    f.commit([note("y", "Under the old key again.")])
    damaged("epoch-falls", "KEYS of epoch 1 stand again behind those of epoch 2, and what follows is under the old key: whoever had it "
            "went on. The file opens with it, and verify finds it.", f, spec="20.5", kept="a y", read="damaged", recover="any")
    f = rekeyed()
    f.repeat_keys(head=SealedFile(TEA).keys_head)
    f.maintenance()
    damaged("keys-older-repeated", "KEYS of epoch 1 stand again behind those of epoch 2, and the next commit, of epoch 2, names them.", f,
            spec="20.5", kept=None, read="sound", recover=2)
    f = sealed()
    g = SealedFile(TEA, seed=b"b", data_key=f.data_keys[1])
    f.repeat_keys(head=g.keys_head)
    f.maintenance()
    damaged("keys-repeated-other", "KEYS of the same epoch and data key, with another slot.", f, spec="20.5", kept=None, read="sound", recover=3)
    f = SealedFile(TEA)
    f.commit()
    f.commit([note("a", "x")])
    f.new_keys(RUM)
    f.commit()
    f.commit([note("z", "y")])
    damaged("rekey-logical", "KEYS of a new epoch in a group whose commit is LOGICAL.", f, spec="20.5", kept=None, read="sound",
            outside="sound", recover=2)
    wrong("commitment-of-older", "The Commitment of the KEYS of epoch 1 is not right; the newest KEYS are.", rekey_with_bad_first(),
          expect="damaged", kept=None, read="sound", recover=2)
    f = rekeyed()
    head = bytes(f.data[:80])
    parts = segments_of(f.data)
    missing = [p for p in parts if not (p[0][4] == KEYS and p[0][16:24] != u64(80))]
    damaged("keys-missing-newest", "The KEYS of epoch 2 are gone, the chain is mended.", f, spec="20.5", data=mended(head, missing))
    damaged("keys-missing-first", "The KEYS of epoch 1 are gone, the chain is mended.", f, spec="20.5", data=mended(head, parts[1:]))
    f = sealed()
    damaged("keys-missing", "There are no KEYS at all.", f, spec="20.5", data=mended(bytes(f.data[:80]), segments_of(f.data)[1:]))
    f = sealed()
    f.repeat_keys()
    f.maintenance()
    damaged("keys-damaged-newest", "A bit of the KEYS that the newest commit names flipped; the same stand at the file's start.", f, spec="20.5",
            kept=None, read="sound", data=flip(f.data, f.keys_at + 70), recover=3)
    damaged("keys-damaged-first", "A bit of the first KEYS flipped; the same stand at the file's end, named by the newest commit.", f, spec="20.5",
            kept=None, read="sound", data=flip(f.data, 80 + 70), recover=3)
    f = twice()
    for name, at in (("first", f.first[0]), ("first-copy", f.first[1]), ("second", f.second[0]), ("second-copy", f.second[1])):
        damaged(f"keys-twice-{name}", f"A bit flipped in the {name.replace('-', ' epoch’s ').replace('copy', 'copy of KEYS')}"
                + ("" if "copy" in name else " epoch’s KEYS") + "; the other stands beside it.", f, spec="20.5", kept=None, read="sound",
                data=flip(f.data, at + 70), recover=2)
    f = sealed()
    damaged("keys-damaged-only", "A bit of the only KEYS flipped: nothing opens any more.", f, spec="20.5", data=flip(f.data, 80 + 70),
            recover="nothing")
    f = rekeyed()
    damaged("keys-damaged-rekeyed", "A bit of the only KEYS of epoch 2 flipped: nothing of it opens any more, whatever the key.", f, spec="20.5",
            data=flip(f.data, f.keys_at + 70), recover="any")
    g = rekeyed()
    g.seal = TEA
    wrong("passphrase-old", "The passphrase of the first epoch, after a change of keys.", g, spec="20.5")
    f = SealedFile(Recipients(ANN, BOB))
    f.commit()
    f.commit([note("a", "x")])
    f.rekey(Recipients(BOB))
    f.commit([note("z", "y")])
    wrong("identity-removed", "A recipient that the newest epoch does not have any more.", f, spec="20.5", identity=key_text("MFR1-SECRET-", ANN))
    # somebody who has no key, and knows the recipient, adds an epoch of his own
    f = SealedFile(Recipients(ANN))
    f.commit()
    f.commit([note("a", "Of the owner.")])
    f.changes = []
    own = bytes(range(200, 232))
    real, f.data_keys[1] = f.data_keys[1], own
    f.rekey(Recipients(ANN))
    f.commit([note("z", "Of somebody else.")])
    f.data_keys[1] = real
    damaged("epoch-forged", "Somebody without a key appended KEYS of epoch 2 for the same recipient, with an older key of his own "
            "invention and the Succession that follows from it. The older segments do not open, and the KEYS of epoch 1 do not commit to it.",
            f, spec="20.4", kept="z", outside="sound")
    f = SealedFile(Recipients(ANN, EVE))
    f.commit()
    f.commit([note("a", "For both.")])
    f.rekey(Recipients(ANN))
    f.commit([note("b", "For one.")])
    f.changes = []
    real, f.data_keys[2] = f.data_keys[2], own
    f.rekey(Recipients(ANN))
    f.commit([note("z", "Of the one that was removed.")])
    f.data_keys[2] = real
    damaged("epoch-forged-by-removed", "Somebody who has the key of epoch 1 only appended KEYS of epoch 3 with a made-up key of epoch 2. "
            "The KEYS of epoch 2 do not commit to that key, and what is under it does not open.", f, spec="20.4",
            kept="a z", outside="sound", recover=2)



def start_at_2():
    class Two(SealedFile):
        def __init__(self, seal):
            self.keys_body = b""
            super().__init__(seal)

        def new_keys(self, seal, change=None, data_key=None, epoch=None):
            self.data_keys[1] = bytes(32)
            return super().new_keys(seal, change, data_key, epoch=2)

    f = Two(TEA)
    f.commit()
    f.commit([note("z", "y")])
    return f


def rekey_with_bad_first():
    f = SealedFile(TEA, keys={"Keys.Commitment": bytes(32)})
    f.commit()
    f.commit([note("a", "x")])
    f.rekey(RUM)
    f.commit([note("z", "y")])
    return f


def segments(vector):
    """Sealed segments from outside: the boxes open."""
    def damaged(name, why, f, spec="20.6", kept="a z", recover=2, **more):
        vector("bad-sealed-" + name, spec, why, f, kept=kept, recover=recover, **more)

    def newer(name, why, f, **more):
        vector("unsupported-sealed-" + name, "4.2", why, f, **({"kept": "", "recover": "nothing", "outside": "newer"} | more))

    for name, change, why in (("codec-0", {"Codec": u8(0)}, "Type 15 with codec 0."), ("codec-1", {"Codec": u8(1)}, "Type 15 with codec 1."),
                              ("raw-length", {"Raw_Length": u32(1)}, "Type 15 with a Raw_Length."),
                              ("outer-optional", {"Flags": u8(1 | 2)}, "OPTIONAL outside."),
                              ("outer-derived", {"Flags": u8(1 | 4)}, "DERIVED outside."),
                              ("type-1", {"Type": u8(1)}, "Codec 15 with type RECORDS, on a commit.")):
        damaged(name, why, sealed(change=change))
    for name, change, why in (("flag-16", {"Flags": u8(1 | 16)}, "A reserved flag outside."), ("reserved", {"Reserved": u8(1)}, "Reserved is not 0 outside."),
                              ("codec-3", {"Codec": u8(3)}, "Type 15 with codec 3.")):
        newer(name, why, sealed(change=change))
    damaged("records-synced", "SYNCED on sealed RECORDS, inside and outside.", batch(change={"Flags": u8(8), "Inner.Flags": u8(8)}), kept=None, recover="any")
    for name, change, why in (
            ("epoch-of-segment-0", {"Codec_Parameter": u32(0)}, "Epoch 0."),
            ("epoch-of-segment-2", {"Codec_Parameter": u32(2)}, "An epoch of which there are no KEYS."),
            ("epoch-of-segment-high", {"Codec_Parameter": u32(2**32 - 1)}, "Epoch 2^32 − 1.")):
        damaged(name, why + " The box is of epoch 1 otherwise.", sealed(change=change))
    f = rekeyed()
    old = f.subkey("seal", 1)
    f = SealedFile(TEA)
    f.commit()
    f.commit([note("a", "x")])
    f.rekey(RUM)
    f.changes = [{"Seal.Key": old, "Codec_Parameter": u32(1)}]
    f.commit([note("b", "Under the old key.")], change=f.changes[0])
    f.commit([note("z", "y")])
    damaged("epoch-of-segment-old", "A segment behind the KEYS of epoch 2 is sealed under epoch 1.", f, spec="20.5", kept="a b z", recover=3, read="sound")
    for name, value, why in (("keys-at-0", 0, "0"), ("keys-at-other", 424, "another segment"), ("keys-at-beyond", 2**63, "beyond the file")):
        damaged(name, f"Keys is {why}; whoever made this had the key.", sealed(change={"Seal.Keys": u64(value)}), kept=None, read="sound", recover="any")
    g = SealedFile(TEA)
    g.commit()
    g.commit([note("a", "x")])
    g.changes = [{"Seal.Keys": u64(0)}]
    g.commit([note("z", "The newest.")], change=g.changes[0])
    damaged("keys-at-0-newest", "Keys of the newest commit is 0, where no KEYS are: it does not keep to 20.6, though its box opens; another sound KEYS of the epoch serves.", g, spec="20.5", kept="a z",
            read="sound", recover="any")
    for name, value, why in (("8", 8, "8 bytes, of a commit that has nothing before it"), ("4", 4, "no multiple of 8"),
                             ("beyond", 2**40, "more than the file has"), ("2-63", 2**63, "2^63")):
        damaged(f"group-length-{name}", f"Group_Length outside is {why}; inside it is right.", sealed(change={"Seal.Group_Length": u64(value)}),
                kept=None, recover="any")
    damaged("group-length-batch", "Group_Length outside leaves out RECORDS, inside it is right.",
            batch(commit={"Seal.Group_Length": lambda old: u64(int.from_bytes(old, "little") - 8)}), kept=None, recover="any")
    damaged("group-length-inside", "Group_Length inside is another than outside.", sealed(change={"Group_Length": varint(1)}), kept=None, recover="any",
            outside="sound")
    damaged("footer-keys-0", "The footer says that there are no KEYS.", batch(commit={"Keys": varint(0)}), spec="9.3", kept=None, recover=3,
            outside="sound")
    damaged("footer-keys-other", "The footer names another segment as KEYS.", batch(commit={"Keys": varint(53)}), spec="9.3", kept=None, recover=3,
            outside="sound")
    for name, type, why in (("records", RECORDS, "RECORDS"), ("index", INDEX, "INDEX"), ("optional", 200, "an OPTIONAL segment")):
        def plain(f, type=type):
            head, content = block([note("p", "Plain.")])
            f.segment(type, varint(0) + varint(0) if type == 200 else varint(len(f.entries)) + head, content if type == RECORDS else b"",
                      flags={INDEX: F_DERIVED, 200: F_OPTIONAL}.get(type, 0), plain=True)
        damaged(f"plain-{name}", f"A plain segment in a sealed file: {why}.", batch(after=plain), spec="20.8", kept=None, recover="any")
    g = sealed()
    plain_commit(g)
    damaged("plain-commit", "A plain commit in a sealed file; somebody who has no key wrote it behind the newest.", g, spec="20.8",
            kept="a b z", recover="any", read=None)
    f = File()
    f.commit()
    f.commit([note("a", "Plain.")])
    g = SealedFile(TEA)
    f.segment(SEALED, b"", flags=0, codec=15, parameter=1, change={"Head_Length": b"", "Content": bytes(80), "Raw_Length": u32(0)})
    f.commit()
    vector("bad-sealed-segment-in-plain", "4.2", "SEALED in a plain file.", f, recover="any")


def plain_commit(f):
    """A plain commit behind the newest."""
    real = f.segment
    f.segment = lambda *a, **k: real(*a, **k, plain=True)
    f.commit([note("p", "Plain.")])
    f.entries.pop()


def inside(vector):
    """What stands inside breaks 20.6; whoever made it had the key."""
    def damaged(name, why, change, spec="20.6", kept="a z", recover=2, make=sealed, **more):
        vector("bad-sealed-inner-" + name, spec, why, make(change=change), kept=kept, recover=recover, **({"outside": "sound"} | more))

    for type, word in ((0, "0"), (KEYS, "KEYS"), (VOID, "VOID"), (SEALED, "SEALED")):
        damaged(f"type-{word.lower()}", f"A seal that holds the type {word}.", {"Inner.Type": u8(type), "Inner.Flags": u8(0)}, make=batch)
    damaged("type-records", "A seal that is a commit and holds RECORDS.", {"Inner.Type": u8(RECORDS)})
    damaged("type-commit", "A seal that is no commit and holds the type COMMIT.", {"Inner.Type": u8(COMMIT)}, make=batch)
    damaged("flag-commit-missing", "COMMIT outside and not inside.", {"Inner.Flags": u8(0)})
    damaged("flag-commit-more", "COMMIT inside and not outside.", {"Inner.Flags": u8(1)}, make=batch)
    damaged("flag-synced", "SYNCED outside and not inside.", {"Flags": u8(9)})
    damaged("flag-synced-more", "SYNCED inside and not outside.", {"Inner.Flags": u8(9)})
    damaged("optional", "RECORDS with OPTIONAL inside.", {"Inner.Flags": u8(2)}, make=batch, kept=None, read="sound", recover="any")
    damaged("zero", "The fourth byte inside is not 0.", {"Inner.Zero": u8(1)})
    damaged("body-length-more", "Body_Length is one more than is there.", {"Inner.Body_Length": lambda old: u32(int.from_bytes(old, "little") + 1)})
    damaged("body-length-most", "Body_Length is 2^32 − 1.", {"Inner.Body_Length": u32(2**32 - 1)})
    damaged("body-length-less", "Body_Length is one less: what follows is not zero.", {"Inner.Body_Length": lambda old: u32(int.from_bytes(old, "little") - 1)})
    damaged("body-length-0", "Body_Length 0, and a body.", {"Inner.Body_Length": u32(0)})
    damaged("padding", "A byte of the padding inside is not zero.", {"Inner.Zeros": bytes(20) + b"\1"})
    damaged("short", "The plaintext has 15 bytes.", {"Inner.Body": b"", "Inner.Body_Length": b"\0\0\0"}, outside="damaged")
    damaged("empty", "The plaintext has no bytes.", {f"Inner.{n}": b"" for n in ("Type", "Flags", "Codec", "Zero", "Raw_Length", "Codec_Parameter",
            "Body_Length", "Body")}, outside="damaged")
    damaged("raw-length", "Raw_Length inside is not the length of the content.", {"Inner.Raw_Length": u32(3)}, make=batch)
    damaged("raw-length-limit", "Raw_Length inside is above its limit.", {"Inner.Raw_Length": u32(1_048_577)}, make=batch)
    damaged("parameter", "A Codec_Parameter with codec 0.", {"Inner.Codec_Parameter": u32(1)}, make=batch)
    damaged("codec-15", "Codec 15 inside.", {"Inner.Codec": u8(15)}, make=batch)
    damaged("data", "The associated data lacks fields 1 and 2.", {"Seal.Data": b"memfile1.seal" + bytes(range(0x10, 0x20))})
    for name, change, why in (("codec", {"Inner.Codec": u8(3)}, "Codec 3 inside, on RECORDS."), ("flag", {"Inner.Flags": u8(16)}, "A reserved flag inside, on RECORDS.")):
        vector(f"unsupported-sealed-inner-{name}", "18", why, batch(change=change), kept="a", read="newer", recover="nothing", outside="sound")
    for name, type in (("type-9", 9), ("type-200", 200)):
        vector(f"unsupported-sealed-inner-{name}", "18", f"Type {type} inside without OPTIONAL.",
               batch(after=lambda f, type=type: f.segment(type, varint(1) + varint(1))), read="sound", recover="nothing", outside="sound",
               compact="refused")


def outsiders(vector):
    """Ciphertexts changed by one who has no key and mends checksums and chain."""
    f = sealed()
    head, parts = bytes(f.data[:80]), segments_of(f.data)

    def damaged(name, why, parts, spec="20.8", kept="", read="damaged", recover=2, source=f, head=head, **more):
        vector("bad-sealed-" + name, spec, why, source, data=mended(head, parts), kept=kept, read=read, recover=recover,
               **({"outside": "sound", "write": "refused"} | more))

    def body(n, change, source=None):
        out = [list(p) for p in source or parts]
        out[n][1] = change(out[n][1])
        return out

    # 0 KEYS, 1 genesis, 2 a, 3 b, 4 z: a change of one changes Parent_Tag of what is behind
    for name, change, why in (
            ("ciphertext", lambda b: flip(b, 60), "A bit of the ciphertext flipped"),
            ("tag", lambda b: flip(b, len(b) - 1), "A bit of the tag flipped"),
            ("nonce", lambda b: flip(b, 20), "A bit of the nonce flipped"),
            ("keys-at", lambda b: put(b, 0, u64(88)), "Keys changed"),
            ("cut", lambda b: b[:-8], "Its body was cut by 8 bytes"),
            ("longer", lambda b: b + bytes(8), "Its body got 8 more bytes"),
            ("tag-cut", lambda b: b[:-1], "Its tag was cut by one byte"),
            ("short", lambda b: b[:40], "Its body was cut to 40 bytes"),
            ("empty", lambda b: b"", "Its body was cut to nothing")):
        few = name in ("short", "empty")
        damaged(f"newest-{name}", why + " in the newest commit, checksums mended." + (" It does not count." if few else ""),
                body(4, change), kept="a b" if few else "", read="sound" if few else "damaged",
                outside="damaged" if few or name == "keys-at" else "sound")
        if name in ("ciphertext", "tag", "nonce", "cut"):
            damaged(f"middle-{name}", why + " in a commit in the middle, checksums and chain mended: with Parent_Tag no later commit opens.",
                    body(3, change), recover=1)
    damaged("newest-group-length", "Group_Length of the newest commit changed to 8, checksums mended: it does not count.",
            body(4, lambda b: put(b, 8, u64(8))), kept="a b", read="sound", outside="damaged")
    for name, at, new in (("type", 4, u8(1)), ("epoch", 44, u32(2)), ("flags", 5, u8(9))):
        out = [list(p) for p in parts]
        out[4][0] = put(out[4][0], at, new)
        damaged(f"newest-header-{name}", f"The newest commit's header got another {name}, checksums mended.", out,
                kept="a b" if name == "type" else "", read="sound" if name == "type" else "damaged",
                outside="sound" if name == "flags" else "damaged")
    pair, second = sealed(Recipients(ANN, BOB)), rekeyed(TEA, Recipients(ANN, BOB))
    places = {"header": 60, "previous": 90, "flags": 113, "slot": 120, "slot-2": 220, "roster": 350, "roster-nonce": 320}
    for name, at in places.items():
        damaged(f"keys-changed-{name}", "A byte of KEYS changed, checksums and chain mended: the Commitment covers it.",
                body(0, lambda b, at=at: flip(b, 2 + at), segments_of(pair.data)), spec="20.4", source=pair, read="wrong-key",
                expect="wrong-key", recover="nothing", outside={"header": "damaged", "previous": "damaged"}.get(name, "sound"),
                head=bytes(pair.data[:80]))
    both = segments_of(pair.data)
    damaged("keys-changed-slots-swapped", "The two slots have changed places, checksums and chain mended.",
            body(0, lambda b: b[:118] + b[218:318] + b[118:218] + b[318:], both), spec="20.4", source=pair, read="wrong-key",
            expect="wrong-key", recover="nothing")
    new = put(bytes(pair.data[:72]), 48, bytes(16))
    new += u64(xxh3(new))
    damaged("keys-changed-with-header", "Memory_Id changed in the header and in KEYS, all mended.", body(0, lambda b: put(b, 2, new), both), spec="20.4",
            source=pair, read="wrong-key", expect="wrong-key", recover="nothing", head=new)
    group = segments_of(second.data)
    at = next(i for i, part in enumerate(group) if part[0][4] == KEYS and i)
    for name, back in (("commitment", 33), ("succession", 1)):
        word = "wrong-key" if name == "commitment" else "damaged"
        damaged(f"keys-changed-{name}", f"A bit of the {name} of epoch 2 flipped, checksums and chain mended.",
                body(at, lambda b, back=back: flip(b, len(b) - back), group), spec="20.4", source=second, read=word, expect=word,
                recover="nothing" if name == "commitment" else "any", head=bytes(second.data[:80]))
    vector("bad-sealed-bit", "17.1", "A bit of a sealed commit flipped, nothing mended: its checksum finds it, and the others can be read.", f,
           data=flip(f.data, f.commits[2] + 100), kept="a z", recover=2)
    g = batch()
    at = g.blocks[1][1]
    vector("bad-sealed-bit-records", "17.1", "A bit of sealed RECORDS flipped, nothing mended.", g, data=flip(g.data, at + 100), kept="a z", recover=2)
    # the end of the file, as in 14.3
    whole = bytes(f.data)
    f.commit([note("y", "Not whole. " * 9)])
    single = bytes(f.data[len(whole):])
    f = sealed()
    g = sealed()
    g.records([note("y", "Of a batch.")])
    g.records([note("x", "Of it, too.")])
    group_end = len(g.data)
    g.commit(synced=False)
    group = bytes(g.data[len(whole):])
    for name, tail, why in (("header", single[:64], "A sealed commit's header alone."), ("no-trailer", single[:-8], "A sealed commit without its trailer."),
                            ("body-cut", single[:150], "A sealed commit that ends within its body."),
                            ("group", group[:group_end - len(whole)], "Sealed segments of a batch, and no commit."),
                            ("zeros", bytes(700), "The length grew, the content did not come.")):
        vector(f"bad-torn-sealed-{name}", "14.3", why, f, data=whole + tail, expect="truncated", read="sound", unfinished=len(tail),
               outside="truncated")
    vector("bad-end-sealed-body", "14.3", "A bit of the newest sealed commit flipped, nothing mended: it does not count.", f,
           data=whole + flip(single, 120), recover=3, unfinished=len(single), read="damaged")
    broken = flip(group, 70)
    vector("bad-end-sealed-group", "14.3", "A sealed segment of the newest group, which is not SYNCED, is damaged; its commit is sound.", f,
           data=whole + broken, recover=4, unfinished=len(broken), read="damaged")
    g.entries = g.entries[:5]
    vector("good-sealed-group-small", "9.4", "A group of sealed segments whose commit is not SYNCED: all of it is sound, so it counts.", g)


def moves(vector):
    """Sealed segments in other places, made by one who has no key."""
    f = sealed()
    head, parts = bytes(f.data[:80]), segments_of(f.data)

    def damaged(name, why, parts, spec="20.6", kept="", read="damaged", recover="any", source=f, head=head, **more):
        vector("bad-sealed-" + name, spec, why, source, data=mended(head, parts), kept=kept, read=read, recover=recover,
               **({"outside": "sound"} | more))

    damaged("swapped", "Two commits have changed places, headers and chain mended.", parts[:2] + [parts[3], parts[2]] + parts[4:], recover=0)
    damaged("swapped-newest", "The newest two commits have changed places.", parts[:3] + [parts[4], parts[3]], recover=1)
    damaged("repeated", "The newest commit stands twice.", parts + parts[-1:], recover=3)
    damaged("dropped", "A commit in the middle was dropped, the chain is mended.", parts[:3] + parts[4:], recover=1)
    damaged("replaced", "The newest commit was replaced by an older one.", parts[:-1] + parts[2:3], recover=2)
    g = batch()
    group = segments_of(g.data)
    # 0 KEYS, 1 genesis, 2 a, 3 RECORDS, 4 INDEX, 5 commit, 6 z
    damaged("group-swapped", "RECORDS and INDEX of a group have changed places.", group[:3] + [group[4], group[3]] + group[5:], source=g, recover=1)
    damaged("group-without-index", "INDEX of a group was dropped.", group[:4] + group[5:], source=g, outside="damaged", recover=2)
    damaged("group-records-moved", "RECORDS were moved into the next group.", group[:3] + group[4:6] + [group[3], group[6]], source=g, outside="damaged", recover=1)
    other = sealed(middle=[note("b", "Another.")], incarnation=bytes(range(0x10, 0x14)) + bytes(12), data_key=f.data_keys[1], seed=b"o")
    damaged("exchanged-file", "The newest commit is that of another file with the same data key and tag.", parts[:-1] + segments_of(other.data)[-1:], recover=2)
    other = sealed(middle=[note("b", "Another.")], seed=b"o", data_key=f.data_keys[1])
    assert other.data_keys == f.data_keys
    twin = segments_of(other.data)
    damaged("exchanged-copy", "The newest commit is that of a copy that went another way: another Parent_Tag.", parts[:-1] + twin[-1:], recover=2)
    assert bytes(other.data[:80]) == head
    g = rekeyed()
    seg = segments_of(g.data)
    damaged("exchanged-epoch", "The KEYS of epoch 2 were moved behind the last commit of it.", seg[:3] + seg[4:5] + [seg[3]] + seg[5:], source=g, outside="damaged")


def identities(vector):
    """Wrong keys, and files of keys."""
    def wrong(name, why, f, spec="20.4", **more):
        vector("unsupported-sealed-" + name, spec, why, f, outside="sound", **(NONE | more))

    phrase, people = sealed(), sealed(Recipients(ANN, BOB))
    wrong("no-key", "A sealed file, and no key.", phrase, spec="20", passphrase=None)
    wrong("passphrase-wrong", "Another passphrase.", phrase, passphrase="coffee")
    wrong("passphrase-case", "A passphrase is used as it is.", phrase, passphrase="Tea")
    wrong("passphrase-space", "A space behind a passphrase is part of it.", phrase, passphrase=quoted("tea "))
    composed = sealed(Passphrase("caf\u00e9".encode()))
    wrong("passphrase-composed", "The same letters composed otherwise: there is no normalisation.", composed, spec="20.11",
          passphrase=quoted("cafe\u0301"))
    wrong("identity-wrong", "The key of somebody who is no recipient.", people, identity=key_text("MFR1-SECRET-", EVE))
    wrong("identity-for-passphrase", "A recipient's key for a file under a passphrase.", phrase, passphrase=None,
          identity=key_text("MFR1-SECRET-", ANN))
    wrong("passphrase-for-recipients", "A passphrase for a file for recipients.", people, identity=None, passphrase="tea")
    right = key_text("MFR1-SECRET-", ANN)
    for name, text, why in (
            ("check", key_text("MFR1-SECRET-", ANN, b"\0\0\0\0"), "its check disagrees"),
            ("zero", key_text("MFR1-SECRET-", bytes(32)), "its secret is zero"),
            ("short", "MFR1-SECRET-" + base64.urlsafe_b64encode(ANN + b"\0").decode(), "it has 33 bytes"),
            ("padded", right + "====", "it is padded"),
            ("cut", right[:-1], "its last letter is missing"),
            ("space", right + " \n", "a space stands behind it"),
            ("indented", " " + right + "\n", "a space stands before it"),
            ("alphabet", "MFR1-SECRET-" + base64.b64encode(bytes([0xFB] * 32) + blake("memfile1.key", b"MFR1-SECRET-" + bytes([0xFB] * 32))[:4]).decode(),
             "it uses the alphabet of section 4, not 5"),
            ("prefix-case", right.replace("MFR1-SECRET-", "mfr1-secret-"), "its prefix is in lower case"),
            ("signer", key_text("MFS1-SECRET-", ANN), "it is a signer's"),
            ("public", key_text("mfr1-", public_of(ANN)), "it is the public key"),
            ("two", right + "\n" + right + "\n", "it stands twice"),
            ("none", "# nothing\n", "there is only a comment"),
            ("cr", right + "\r" + "# x\n", "CR alone ends no line")):
        wrong("keyfile-" + name, f"The key file is refused: {why}.", people, spec="20.11", identity=quoted(text))
    lock = locked_key_text("MFR1-LOCKED-", ANN, b"lock", 1, 8)
    for name, text, why in (
            ("wrong", locked_key_text("MFR1-LOCKED-", ANN, b"Lock", 1, 8), "its passphrase is another"),
            ("changed", lock[:-1] + ("A" if lock[-1] != "A" else "B"), "a letter of it was changed"),
            ("signer", locked_key_text("MFS1-LOCKED-", ANN, b"lock", 1, 8), "it is a signer's"),
            ("prefix", lock.replace("MFR1", "MFS1"), "its prefix was changed, which is bound to it"),
            ("short", lock[:-4], "it has 93 bytes"),
            ("zero", locked_key_text("MFR1-LOCKED-", bytes(32), b"lock", 1, 8), "the secret in it is zero"),
            ("passes-0", locked_key_text("MFR1-LOCKED-", ANN, b"lock", 0, 8), "0 passes"),
            ("passes-11", locked_key_text("MFR1-LOCKED-", ANN, b"lock", 11, 8), "11 passes"),
            ("memory-7", locked_key_text("MFR1-LOCKED-", ANN, b"lock", 1, 7), "7 KiB"),
            ("memory-above", locked_key_text("MFR1-LOCKED-", ANN, b"lock", 1, (1 << 20) + 1), "2^20 + 1 KiB")):
        wrong("keyfile-locked-" + name, f"The key file is refused: it is locked, and {why}.", people, spec="20.11", identity=text,
              passphrase="lock")


# --- A slot that opens under two passphrases -----------------------------------------------------

def low_order_box(point, old, public):
    """A sealed box whose ephemeral point is of low order: the shared secret is zero, and anyone knows the key.
    It opens for a reader that does not refuse such a point."""
    point = point.to_bytes(32, "little")
    nonce = hashlib.blake2b(point + public, digest_size=24).digest()
    return point + sodium.crypto_secretbox(old, nonce, hsalsa_of_zero())


def hsalsa_of_zero():
    """HSalsa20 of a zero key and a zero nonce."""
    x = [0] * 16
    x[0], x[5], x[10], x[15] = struct.unpack("<4I", b"expand 32-byte k")
    for _ in range(10):
        for step in (1, 4):
            for i in range(4):
                at = [(5 * i + (4 if step == 1 else 1) * j) % 16 if step == 1 else 4 * i + (i + j) % 4 for j in range(4)]
                a, b, c, d = at
                for to, one, two, r in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                    n = x[one] + x[two] & 0xFFFFFFFF
                    x[to] ^= (n << r | n >> 32 - r) & 0xFFFFFFFF
    return struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10])


def subkey_of(key, label, incarnation=bytes(range(0x10, 0x20)), epoch=1):
    return hashlib.blake2b(label.encode() + incarnation + u32(epoch), digest_size=32, key=key, person=b"memfile1.subkey").digest()


def chacha_rounds(state):
    x = list(state)

    def quarter(a, b, c, d):
        for i, j, k, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[i] = x[i] + x[j] & 0xFFFFFFFF
            x[k] = ((x[k] ^ x[i]) << r | (x[k] ^ x[i]) >> 32 - r) & 0xFFFFFFFF

    for _ in range(10):
        for a in range(4):
            quarter(a, a + 4, a + 8, a + 12)
        for a in range(4):
            quarter(a, 4 + (a + 1) % 4, 8 + (a + 2) % 4, 12 + (a + 3) % 4)
    return x


def poly_key(key, nonce):
    """r and s of XChaCha20-Poly1305."""
    sigma = struct.unpack("<4I", b"expand 32-byte k")
    x = chacha_rounds(sigma + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    start = sigma + tuple(x[:4]) + tuple(x[12:]) + (0, 0) + struct.unpack("<2I", nonce[16:])
    out = struct.pack("<8I", *(a + b & 0xFFFFFFFF for a, b in zip(chacha_rounds(start)[:8], start)))
    return int.from_bytes(out[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff, int.from_bytes(out[16:], "little")


def two_passphrases():
    """A slot of 96 bytes that opens under "tea" and "rum" with the same salt: a ciphertext whose two blocks solve two linear
    equations, so that the tag is right under both keys."""
    incarnation, nonce, salt = bytes(range(0x10, 0x20)), bytes(range(24)), TEA.salt
    head = u32(1) + u32(8) + salt
    data = b"memfile1.slot" + incarnation + u32(1) + head
    keys = [argon(phrase, 1, 8, salt) for phrase in (b"tea", b"rum")]
    p, top = (1 << 130) - 5, 1 << 128
    padded = data + bytes(-len(data) % 16)
    rows = []
    for key in keys:
        r, s = poly_key(key, nonce)
        h = 0
        for i in range(0, len(padded), 16):
            h = (h + int.from_bytes(padded[i:i + 16], "little") + top) * r % p
        # h', the sum before s: ((((h + x) r + y) r) + lengths) r
        last = int.from_bytes(u64(len(data)) + u64(32), "little") + top
        rows.append((pow(r, 3, p), pow(r, 2, p), (h * pow(r, 3, p) + last * r) % p, s))
    (a1, b1, c1, s1), (a2, b2, c2, s2) = rows
    inverse = pow(a1 * b2 - a2 * b1, -1, p)
    for n in range(10_000):
        tag = int.from_bytes(blake("vectors", u64(n), 16), "little")
        t1, t2 = (tag - s1) % top - c1, (tag - s2) % top - c2
        x, y = (t1 * b2 - t2 * b1) * inverse % p - top, (a1 * t2 - a2 * t1) * inverse % p - top
        if 0 <= x < top and 0 <= y < top:
            box = x.to_bytes(16, "little") + y.to_bytes(16, "little") + tag.to_bytes(16, "little")
            opened = [sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(box, data, nonce, key) for key in keys]
            return keys[0], keys[1], head + nonce + box, *opened
    raise AssertionError("no collision")
