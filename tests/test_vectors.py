"""All vectors of format-spec/vectors against the tool and the second reader:
test_vectors.py TOOL ROOT [NAME ...]. Prints every disagreement, not only the first."""
import hashlib
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

tool, root, only = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
folder = root / "format-spec" / "vectors"
sys.path.insert(0, str(root / "tests"))
try:
    import second_reader
except ImportError as error:
    second_reader = None
    print(f"the second reader is left out: {error}")
if second_reader and second_reader.sodium is None:
    print("the second reader leaves out sealed files: nacl is not there (Debian: python3-nacl)")

WORDS = {"sound": "sound", "damaged": "damaged", "truncated": "truncated", "newer": "made by a newer version",
         "not-a-memfile": "not a memfile", "over-limit": "over limit",
         "wrong-key": "key needed or wrong"}
EXIT = {"sound": 0, "damaged": 3, "truncated": 3, "newer": 4, "not-a-memfile": 4, "over-limit": 2, "wrong-key": 5}
VERDICTS = {"newer": "unsupported"}
PREFIXES = {"good": {"sound"}, "golden": {"sound", "truncated"}, "unsupported": {"newer", "wrong-key"},
            "bad": {"damaged", "truncated", "not-a-memfile", "over-limit", "wrong-key"}}
# Disagreements that are known: the library is wrong by SPEC.md, and it is not mended yet.
KNOWN = {}
problems = []


def run(*args, stdin=None):
    p = subprocess.run([tool, *map(str, args)], input=stdin, capture_output=True, timeout=20)
    if p.returncode < 0 or b"Sanitizer" in p.stderr or b"runtime error" in p.stderr:
        raise AssertionError(f"{args[0]} ended with {p.returncode}: {p.stderr[-2000:].decode(errors='replace')}")
    return p


def headers_of(path):
    head = path.read_text().split("\n\n", 1)
    if len(head) != 2 or not head[1].strip():
        raise AssertionError("the text has no headers, or no reason")
    return dict(line.split(": ", 1) for line in head[0].splitlines())


def canonical(lines):
    """Members by name, no spaces; integers and floats stay apart. No number is beyond a double."""
    return [json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            for line in lines.decode().split("\n")[:-1]]


def digest(lines):
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


class Vector:
    def __init__(self, path, scratch):
        self.path, self.scratch, self.name = path, scratch, path.stem
        self.want = headers_of(path.with_suffix(".txt"))
        self.bytes = path.read_bytes()
        self.sealed = "outside" in self.want
        self.key = self.key_options()

    def key_options(self):
        """The options that name the key of a sealed file, from the headers passphrase and identity."""
        options = []
        for name, option in ("passphrase", "--passphrase-file"), ("identity", "--identity"):
            if name in self.want:
                path = self.scratch / name
                path.touch(0o600)
                path.write_bytes(self.key_text(name).encode())
                options += [option, path]
        return options

    def key_text(self, name):
        text = self.want[name]
        return json.loads(text) if text.startswith('"') else text

    def second_key(self):
        phrase = self.key_text("passphrase").encode() if "passphrase" in self.want else None
        if "identity" in self.want:
            return second_reader.identity(self.key_text("identity"), phrase)
        return second_reader.passphrase(phrase) if phrase is not None else None

    def check(self, what, got, wanted):
        if got != wanted:
            problems.append(f"{self.name}: {what} is {got!r}, not {wanted!r}")

    def verify(self):
        want = self.want["expect"]
        if want not in PREFIXES[self.name.split("-")[0]]:
            problems.append(f"{self.name}: expect and name disagree")
        p = run("verify", self.path, "--json", "--threads", 1, *self.key)
        if not p.stdout and p.returncode == EXIT["wrong-key"]:              # the key file itself is refused
            p.stdout = json.dumps({"result": WORDS["wrong-key"], "findings": []})
        report = json.loads(p.stdout)
        self.check("verify", report["result"], WORDS[want])
        self.check("exit code of verify", p.returncode, EXIT[want])
        if want != "sound" and not report["findings"] and not p.stderr and p.returncode == 0:
            problems.append(f"{self.name}: nothing was said")
        if "unfinished" in self.want:
            self.check("unfinished bytes", report["unfinished_bytes"], int(self.want["unfinished"]))
        self.history = report.get("history_digest")

    def read(self):
        p = run("export", self.path, *self.key)
        self.check("exit code of export", p.returncode, EXIT[self.want["read"]])
        self.lines = canonical(p.stdout)
        self.check("entries", len(self.lines), int(self.want["entries"]))
        self.check("export", digest(self.lines), self.want["export-sha256"])
        q = run("list", self.path, "--all", "--json", *self.key)
        self.check("list", canonical(q.stdout), self.lines)
        self.check("exit code of list", q.returncode, p.returncode or (0 if self.lines else 1))
        if self.path.with_suffix(".jsonl").exists():
            self.check("the lines beside it", digest(self.lines),
                       digest(canonical(self.path.with_suffix(".jsonl").read_bytes())))

    def recover(self):
        out = self.scratch / "out.memfile"
        p = run("recover", self.path, out, "--json", "--threads", 1, *self.key)
        want = self.want["recover"]
        if want == "any":
            return
        self.check("recovery has an output", out.exists(), want != "nothing")
        if out.exists():
            self.check("verify of what was recovered", run("verify", out, *self.key).returncode, 0)
            self.check_second("recovery", out)
            lines = canonical(run("export", out, *self.key).stdout)
            self.check("entries recovered", len(lines), int(want))
            if len(lines) == len(self.lines):
                self.check("export of what was recovered", lines, self.lines)
            out.unlink()
        elif p.returncode == 0:
            problems.append(f"{self.name}: recover says that nothing was lost")
        if "left-out" in self.want:
            self.check("segments that recover left out", json.loads(p.stdout)["left_out"], int(self.want["left-out"]))
            self.check("exit code of recover", p.returncode, 0 if self.want["left-out"] == "0" else 3)

    def write(self):
        """Good files take a further entry and a compaction, unless a feature forbids it."""
        copy, small = self.scratch / "copy.memfile", self.scratch / "small.memfile"
        copy.write_bytes(self.bytes)
        p = run("compact", copy, "--output", small, *self.key)
        self.check("compact", p.returncode, EXIT["newer"] if self.want.get("compact") == "refused" else 0)
        if small.exists():
            self.check("export after compaction", canonical(run("export", small, *self.key).stdout), self.lines)
            report = json.loads(run("verify", small, "--json", *self.key).stdout)
            self.check("verify after compaction", report["result"], "sound")
            self.check("history after compaction", report.get("history_digest"), self.history)
            self.check_second("compaction", small)
            small.unlink()
        p = run("put", copy, "one more", "--id", "one more", *self.key)
        if self.want.get("write") == "refused":
            self.check("put", p.returncode, EXIT["newer"])
            self.check("the file after a refused put", copy.read_bytes() == self.bytes, True)
        else:
            self.check("put", p.returncode, 0)
            self.check("export after put", canonical(run("export", copy, *self.key).stdout),
                       self.lines + ['{"id":"one more","text":"one more"}'])
            self.check("the bytes before a put", copy.read_bytes()[:len(self.bytes)] == self.bytes, True)
            self.check("verify after put", run("verify", copy, *self.key).returncode, 0)
            self.check_second("put", copy)
        copy.unlink()

    def refuse(self):
        """A file that is not good, and to which nothing may be appended, or that must not be compacted."""
        copy = self.scratch / "copy.memfile"
        for header, *command in (("write", "put", copy, "one more"), ("compact", "compact", copy)):
            if self.want.get(header) == "refused":
                copy.write_bytes(self.bytes)
                p = run(*command, *self.key)
                self.check(f"{command[0]} is refused", p.returncode != 0, True)
                self.check(f"the file after a refused {command[0]}", copy.read_bytes() == self.bytes, True)

    def check_second(self, what, path):
        """The second reader finds sound what the tool wrote."""
        try:
            if second_reader:
                if not self.sealed or second_reader.sodium:
                    second_reader.open_bytes(path.read_bytes(), self.second_key()).verify()
        except second_reader.MemfileError as error:
            self.check(f"the second reader's verdict after {what}", f"{error.verdict}: {error.reason}", "sound")

    def outside(self):
        """A sealed file without a key, to the tool and to the second reader (20.8)."""
        want = self.want["outside"]
        p = run("verify", self.path, "--json", "--without-key", "--threads", 1)
        report = json.loads(p.stdout)
        self.check("verify --without-key", report["result"], WORDS[want])
        self.check("exit code of verify --without-key", p.returncode, EXIT[want])
        if second_reader:
            try:
                stored, verdict = second_reader.outside(self.bytes).stored.hex(), "sound"
            except second_reader.MemfileError as error:
                verdict = error.verdict
            self.check("the second reader's verdict from outside", verdict, VERDICTS.get(want, want))
            if verdict == "sound":
                self.check("the second reader's stored digest", stored, report["stored_digest"])

    def second(self):
        want = self.want["expect"]
        if self.sealed and not second_reader.sodium:
            return
        try:
            file = second_reader.open_bytes(self.bytes, self.second_key())
            report = file.verify()
            verdict = "sound"
        except second_reader.MemfileError as error:
            verdict = error.verdict
        self.check("the second reader's verdict", verdict, self.want.get("second", VERDICTS.get(want, want)))
        if verdict == "sound":
            self.check("the second reader's history", report.history.hex(), self.history)
            hidden = file.forgotten()
            lines = [json.dumps(file.to_json(e), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
                     for e in file.entries() if e.erased is None and e.number not in hidden]
            self.check("the second reader's export", lines, self.lines)


def judge(path):
    with tempfile.TemporaryDirectory() as scratch:
        try:
            v = Vector(path, Path(scratch))
            v.verify()
            v.read()
            v.recover()
            if v.name.startswith("good-") or v.name.startswith("golden-") and v.want["expect"] == "sound":
                v.write()
            else:
                v.refuse()
            if v.sealed:
                v.outside()
            if second_reader:
                v.second()
        except (AssertionError, subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
            problems.append(f"{path.stem}: {type(error).__name__}: {error}")


def main():
    paths = [p for p in sorted(folder.glob("*.memfile")) if not only or p.stem in only]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, paths))
    problems.sort()
    texts = {p.stem for p in folder.glob("*.txt")}
    problems.extend(f"{name}: a text without a file" for name in sorted(texts - {p.stem for p in folder.glob("*.memfile")}))
    failing = {text.split(":")[0] for text in problems}
    problems[:] = [text for text in problems if text.split(":")[0] not in KNOWN]
    problems.extend(f"{name}: agrees by now; take it out of KNOWN" for name in sorted(set(KNOWN) - failing)
                    if name in {p.stem for p in paths})
    for name in sorted(failing & set(KNOWN)):
        print(f"known: {name}: {KNOWN[name]}")
    print("\n".join(problems) or f"{len(paths) - len(failing & set(KNOWN))} of {len(paths)} vectors agree")
    return 1 if problems or (not only and len(paths) < 150) else 0


if __name__ == "__main__":
    sys.exit(main())
