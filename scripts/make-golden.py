#!/usr/bin/env python3
# SPDX-License-Identifier: CC0-1.0
"""Makes the golden files of a version: make-golden.py TOOL VERSION

Writes format-spec/vectors/golden-VERSION-….memfile with the tool, and beside each the lines that
were put in, which its export must give for ever. Files that exist are never written again: golden
files show that every later version reads what this one wrote, so they are made once."""
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

tool, version = Path(sys.argv[1]).resolve(), sys.argv[2]
folder = Path(__file__).resolve().parent.parent / "format-spec" / "vectors"
KINDS = ("note", "fact", "preference", "task", "event")
TOPICS = ("tea", "coffee", "the harbour", "Ann's sister", "a train to Bergen", "the garden", "Fridays")


def run(*args, stdin=b""):
    return subprocess.run([tool, *map(str, args)], input=stdin, capture_output=True, check=True).stdout


def entry(i):
    e = {"id": f"e{i}" if i % 3 else f"0190aaaa-0000-7000-8000-{i:012x}", "kind": KINDS[i % 5],
         "scope": ["agent", f"s{i % 4}"], "time": f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}T10:{i % 60:02}:00Z",
         "text": f"Remember {TOPICS[i % 7]}, and {TOPICS[i * 5 % 7]}; it was said {i} times.", "tags": [f"t{i % 6}"]}
    if i % 4 == 0:
        e["key"] = f"k{i % 8}"
    if i % 5 == 0:
        e["links"] = [{"rel": "about", "to": "e1"}]
        e["meta"] = {"n": i, "f": i / 8, "x": [None, True]}
    return e


RICH = [
    {"id": "a", "kind": "identity", "text": "I am the agent of the golden files.", "pinned": True},
    {"id": "b", "data": "AAECAwQ=", "media_type": "application/octet-stream", "time": "0000-01-01T00:00:00.000000001Z"},
    {"id": "c", "text": "x", "embedding": {"space": "s", "values": [0.5, -0.0, 1e-45, 3.4028235e+38]}},
    {"id": "d", "text": "y", "embedding": {"space": "w", "values": [0.1234567890123, 2.0]}},
    {"id": "a", "text": "I am still the agent of the golden files.", "title": "newer", "source": "test"},
    {"id": "e", "text": "", "@31": {"k": [1, 2.0]}, "own": None, "confidence": 1.0, "importance": 7, "status": "open",
     "supersedes": ["00" * 32], "derived_from": ["a", "00112233-4455-6677-8899-aabbccddeeff"], "valid_from":
     "2024-01-01T00:00:00Z", "idempotency_key": "once", "expires": "9999-12-31T23:59:59.999999999Z", "kind": None},
]


def lines(entries):
    return "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in entries).encode()


def canonical(entries):
    return "".join(json.dumps(e, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n" for e in entries)


def keep(name, path, entries, why, expect="sound", recover=None, **headers):
    target = folder / f"golden-{version}-{name}.memfile"
    if target.exists():
        print(f"{target.name} is kept as it is")
        return
    text = {"expect": expect, "spec": "2.3", "read": "sound", "entries": len(entries),
            "export-sha256": hashlib.sha256(canonical(entries).encode()).hexdigest(),
            "recover": len(entries) if recover is None else recover, **headers}
    target.write_bytes(path.read_bytes())
    if len(canonical(entries)) < 300_000:
        target.with_suffix(".jsonl").write_text(canonical(entries))
    target.with_suffix(".txt").write_text("".join(f"{k}: {v}\n" for k, v in text.items()) + f"\n{why}\n")


with tempfile.TemporaryDirectory() as scratch:
    at = Path(scratch)
    many = [entry(i) for i in range(1500)]
    run("import", at / "single", "-", "--batch", 1, "--author", "Golden", stdin=lines(RICH))
    keep("single", at / "single", RICH, "Single commits, each of one entry, with an author.")
    run("import", at / "seventy", "-", "--batch", 1, stdin=lines(many[:70]))
    keep("seventy", at / "seventy", many[:70], "70 single commits, so that one of them carries a footer.")
    run("import", at / "batch", "-", stdin=lines(many))
    keep("batch", at / "batch", many, "1500 entries in one commit: blocks, dictionary, index.")
    run("import", at / "batches", "-", "--batch", 100, stdin=lines(many[:900]))
    keep("batches", at / "batches", many[:900], "Nine commits of 100 entries: runs that were merged.")
    long = [{"id": "long", "text": "A long text that is detached, é. " * 9000}, many[0],
            {"id": "bytes", "data": "AAAA" * 15_000}, {"id": "same", "text": "A long text that is detached, é. " * 9000}]
    run("import", at / "content", "-", stdin=lines(long))
    keep("content", at / "content", long, "Detached content: a text of two chunks, named by two entries, and bytes.")
    run("import", at / "compacted", "-", "--batch", 50, stdin=lines(many[:300]))
    run("compact", at / "compacted")
    keep("compacted", at / "compacted", many[:300], "A compacted file of six folded commits.")
    run("put", at / "compacted", "--id", "after", "Behind the compaction.")
    after = many[:300] + [{"id": "after", "text": "Behind the compaction."}]
    keep("compacted-went-on", at / "compacted", after, "A commit behind a compaction.")
    whole = (at / "single").read_bytes()
    (at / "torn").write_bytes(whole[:-20])
    keep("torn", at / "torn", RICH[:-1], "The last single commit is torn.", "truncated")
    run("put", at / "torn", "--id", "after", "Behind the void.")
    keep("void", at / "torn", RICH[:-1] + [{"id": "after", "text": "Behind the void."}],
         "A commit behind a torn one, which became a void.")
    broken = bytearray((at / "seventy").read_bytes())
    broken[len(broken) // 2] ^= 1
    (at / "broken").write_bytes(broken)
    subprocess.run([tool, "recover", at / "broken", at / "recovered"], capture_output=True)
    kept = [json.loads(line) for line in run("export", at / "recovered").splitlines()]
    assert len(kept) == 69 and all(e in many for e in kept)
    keep("recovered", at / "recovered", kept, "What recovery made of 70 commits of which one was damaged.")
    run("init", at / "empty")
    keep("empty", at / "empty", [], "A new memory without entries.")
