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
reader = [sys.executable, str(root / "tests" / "second_reader.py")]


def run(*command, text=None, code=0):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True)
    assert done.returncode == code, (command, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


def compare(path):
    """One file, read by both."""
    verified = json.loads(run(tool, "verify", path, "--json"))
    said = run(*reader, "check", path)
    assert said.startswith(f"good {path}"), said
    assert f"history={verified['history_digest']}" in said, (said, verified)
    assert f"entries={verified['entries']}" in said and f"commits={verified['commits']}" in said, (said, verified)
    ours = [json.loads(line) for line in run(tool, "export", path).splitlines()]
    theirs = [json.loads(line) for line in run(*reader, "export", path).splitlines()]
    assert len(ours) == verified["entries"], (len(ours), verified)
    assert ours == theirs, next((a, b) for a, b in zip(ours, theirs) if a != b)
    return len(ours)


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
print(f"{total} entries in {files} files are the same to both")
