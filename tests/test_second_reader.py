"""The second reader, written from SPEC.md alone, reads what the library writes: every file
is good, the history digest is the one that verify prints, and every entry is the same."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

tool, root = sys.argv[1], Path(sys.argv[2])
try:
    import xxhash  # noqa: F401
    import zstandard  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing.name} is not there (Debian: python3-xxhash, python3-zstandard)")
    sys.exit(77)
try:
    import nacl  # noqa: F401
except ImportError:
    nacl = None
    print("sealed files are left out: nacl is not there (Debian: python3-nacl)")
sys.path.insert(0, str(root / "tests"))
import second_reader  # noqa: E402

reader = [sys.executable, str(root / "tests" / "second_reader.py")]


def run(*command, text=None, code=0):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True)
    assert done.returncode == code, (command, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


def compare(path, key=()):
    """One file, read by both; `key`: the options that name one, the same for both."""
    verified = json.loads(run(tool, "verify", path, "--json", *key))
    said = run(*reader, "check", path, *key)
    assert said.startswith(f"good {path}"), said
    assert f"history={verified['history_digest']}" in said, (said, verified)
    assert f"entries={verified['entries']}" in said and f"commits={verified['commits']}" in said, (said, verified)
    ours = [json.loads(line) for line in run(tool, "export", path, *key).splitlines()]
    theirs = [json.loads(line) for line in run(*reader, "export", path, *key).splitlines()]
    assert len(ours) == verified["entries"], (len(ours), verified)
    assert ours == theirs, next((a, b) for a, b in zip(ours, theirs) if a != b)
    if key:
        compare_outside(path, verified)
    return len(ours)


def compare_outside(path, verified):
    """A sealed file, seen without a key."""
    seen = json.loads(run(tool, "verify", path, "--json", "--without-key"))
    said = run(*reader, "outside", path)
    assert seen["stored_digest"] == verified["stored_digest"], (seen, verified)
    assert f" stored={seen['stored_digest']} " in said, (said, seen)
    assert f" commits={seen['commits']} segments={seen['segments']} " in said, (said, seen)
    info = json.loads(run(tool, "info", path, "--json"))
    assert not info["opened"] and info["keys"] == said.count("=") - 3, (info, said)
    assert said.split()[-1] == (f"recipients={info['recipients']}" if info["recipients"] else "passphrase=1"), (info, said)
    assert run(*reader, "check", path, code=4).startswith("wrong-key"), "no key"


def check_boxes(path, key, padded):
    """What the tool's sealed segments are outside: nonces differ, and lengths are those of Padmé if they are to be (20.6)."""
    key = (second_reader.passphrase(Path(key[1]).read_bytes().rstrip()) if key[0] == "--passphrase-file"
           else second_reader.identity(Path(key[1]).read_text()))
    file = second_reader.open_file(path, key)
    nonces = []
    for commit, _, segments in file.groups():
        for segment in (*segments, commit.segment):
            if segment.plain is not None:
                body, at = file.body(segment), 16 if segment.is_commit() else 8
                nonces.append(body[at:at + 24])
                inside, n = len(body) - at - 40, 16 + len(segment.plain)
                s = 1 << (n.bit_length() - 1) - (n.bit_length() - 1).bit_length()
                assert inside == (-(-n // s) * s if padded else n), (path, segment.offset, inside, n)
    assert len(nonces) == len(set(nonces)), path


def sealed(folder):
    """Sealed files of all kinds, as the tool makes, rekeys and compacts them."""
    def put(name, text):
        path = os.path.join(folder, name)
        Path(path).write_text(text)
        return path

    tea = ["--passphrase-file", put("tea", "tea\n")]
    rum = ["--passphrase-file", put("rum", "rum with spaces \r\n")]
    cheap = ["--passes", "1", "--memory", "8"]
    people = []
    for name in "ann", "bob", "eve":
        path = os.path.join(folder, name)
        people.append((run(tool, "keygen", path).strip(), ["--identity", path]))
    (ann, as_ann), (bob, as_bob), (eve, as_eve) = people
    sample = root / "samples" / "agent.jsonl"
    total = files = 0

    def look(path, *keys, wrong=()):
        nonlocal total, files
        for key in keys:
            total += compare(path, key)
            files += 1
        for key in wrong:
            assert run(*reader, "check", path, *key, code=4).startswith("wrong-key"), (path, key)

    def new(key):
        return [f"--new-{key[0][2:]}", key[1], *cheap]

    for name, seal, key, others in (
            ("phrase", [*tea, *cheap], tea, [rum, as_ann]),
            ("padded", [*tea, *cheap, "--pad"], tea, [rum]),
            ("ann", ["--recipient", ann], as_ann, [as_bob, tea]),
            ("both", ["--recipient", ann, "--recipient", bob, "--pad"], as_bob, [as_eve])):
        path = os.path.join(folder, f"sealed-{name}.memfile")
        run(tool, "init", path, *seal)
        look(path, key, wrong=others)
        run(tool, "put", path, "one entry", "--id", "x", *key)
        look(path, key)
        run(tool, "import", path, sample, *key)
        run(tool, "import", path, sample, "--batch", "7", *key)
        run(tool, "put", path, "-", "--id", "long", *key, text="a long text, " * 30000)
        look(path, key, wrong=others)
        # unfinished bytes, which the next put declares void
        with open(path, "ab") as f:
            f.write(b"\xd3MFS" + b"unfinished" * 9)
        assert run(*reader, "check", path, *key, code=3).startswith("truncated"), "a torn file"
        assert run(*reader, "outside", path, code=3).startswith("truncated"), "a torn file from outside"
        run(tool, "put", path, "behind a void", *key)
        look(path, key)
        check_boxes(path, key, "--pad" in seal)
        run(tool, "rekey", path, *key, *new(rum))
        look(path, rum, wrong=[key])
        run(tool, "put", path, "under a new key", *rum)
        run(tool, "rekey", path, *rum, "--recipient", eve, "--recipient", bob)
        run(tool, "put", path, "for eve and bob", *as_eve)
        look(path, as_eve, as_bob, wrong=[rum, as_ann])
        recovered = os.path.join(folder, f"sealed-{name}.recovered.memfile")
        run(tool, "recover", path, recovered, *as_eve)
        look(recovered, as_eve)
        compacted = os.path.join(folder, f"sealed-{name}.compacted.memfile")
        run(tool, "compact", path, "--output", compacted, *as_bob)
        look(compacted, as_bob, as_eve, wrong=[rum])
        run(tool, "put", compacted, "and on", *as_bob)
        look(compacted, as_eve)
        run(tool, "rekey", path, "--compact", *as_eve, *new(tea))
        look(path, tea, wrong=[as_eve])
        run(tool, "put", path, "and on", *tea)
        look(path, tea)
        check_boxes(path, tea, "--pad" in seal) # it stays so
        run(tool, "compact", path, *tea)
        look(path, tea)
        damaged = bytearray(Path(path).read_bytes())
        damaged[len(damaged) // 2] ^= 4
        Path(path).write_bytes(damaged)
        assert run(*reader, "check", path, *tea, code=3).startswith("damaged"), "a damaged file"
        assert run(*reader, "outside", path, code=3).startswith("damaged"), "a damaged file from outside"
    # a key file under a passphrase of its own
    path, lock = os.path.join(folder, "sealed-locked.memfile"), os.path.join(folder, "locked")
    run(tool, "init", path, "--recipient", run(tool, "keygen", lock, *tea).strip())
    run(tool, "put", path, "hello", "--identity", lock, *tea)
    assert run(*reader, "check", path, "--identity", lock, "--identity-passphrase-file", tea[1]).startswith("good"), "a locked key"
    print(f"{total} entries in {files} readings of sealed files are the same to both")


with tempfile.TemporaryDirectory() as folder:
    total = files = 0
    sample = root / "samples" / "agent.jsonl"
    plans = [(sample, [], "sample"), (sample, ["--batch", "1"], "ones")]
    shared = root.parent / "shared" / "data"
    if (shared / "conversations.jsonl").exists():
        plans += [(shared / "conversations.jsonl", [], "talks"), (shared / "conversations.jsonl", ["--batch", "50"], "batches")]
    else:
        print("real data is not there: the sample serves")
    for source, options, name in plans:
        path = os.path.join(folder, f"{name}.memfile")
        run(tool, "init", path)
        run(tool, "import", path, source, *options)
        run(tool, "put", path, "-", "--id", "long", text="a long text, " * 30000)
        run(tool, "put", path, "a new version", "--id", "long", "--tag", "x", "--scope", "a/b", "--key", "k")
        total += compare(path)
        # unfinished bytes, which the next put declares void
        with open(path, "ab") as f:
            f.write(b"\xd3MFS" + b"unfinished" * 9)
        assert run(*reader, "check", path, code=3).startswith("truncated"), "a torn file"
        run(tool, "put", path, "behind a void")
        total += compare(path)
        compacted = os.path.join(folder, f"{name}.compacted.memfile")
        run(tool, "compact", path, "--output", compacted)
        total += compare(compacted)
        recovered = os.path.join(folder, f"{name}.recovered.memfile")
        run(tool, "recover", path, recovered)
        total += compare(recovered)
        run(tool, "put", compacted, "and on")
        total += compare(compacted)
        files += 5
        damaged = bytearray(Path(path).read_bytes())
        damaged[len(damaged) // 2] ^= 4
        Path(path).write_bytes(damaged)
        assert run(*reader, "check", path, code=3).startswith("damaged"), "a damaged file"
    if nacl:
        sealed(folder)
print(f"{total} entries in {files} files are the same to both")
