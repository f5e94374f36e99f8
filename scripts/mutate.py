#!/usr/bin/python3
"""Takes the checks of library and tool out, one at a time, and asks that a test fails.

mutate.py FOLDER make                        instrument a copy of the tree in FOLDER, build it
mutate.py FOLDER reach [JOBS]                run each test once: which checks decide something, in which test
mutate.py FOLDER run [JOBS] [RE [SECONDS]]   for each check whose FILE:KIND matches RE the tests in which it
                                             decides, the shortest first, until one fails or SECONDS are spent
mutate.py FOLDER report [RE]                 what survived, and what no test reaches

All mutants are in one build: a check `if (a || b)` becomes `if (((a) && !M(1)) || ((b) && !M(2)))`, where
M(n) is true when the variable MEMFILE_MUTANT is n. Its evaluation goes on, its verdict is dropped. Kinds:
  if     an `if` whose branch leaves (return, goto, break, continue) is never entered
  or     an operand of || counts as false
  and    an operand of && counts as true
  edge   < is <=, > is >=, and the other way round
M is asked only where dropping the verdict makes a difference, so a test that does not reach it cannot fail.
A vector is a test of its own, as is each test of the tool; of many vectors that reach a check 12 are run. test_faults, which takes minutes, is
run by `reach` alone. What was killed stays so after another `make`, as long as function and text are the same.
Needs python3-clang-14."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root = Path(__file__).resolve().parent.parent
folder = Path(sys.argv[1]).resolve()
tree, build = folder / "tree", folder / "build"
LEFT_OUT = {"io_windows.c", "system_windows.c"}
# Not asked: they build or install, or compare symbols.
NO_TESTS = re.compile(r"^(install|symbols|wrapped|layers|names|vectors_made)$")
REACH_ONLY = {"faults"}
LITERAL = re.compile(rb'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])+\'')
BUILTINS = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True).stdout.strip()
EDGES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

HEADER = """#pragma once
extern unsigned char *mutant_reached;
extern unsigned mutant_id;
#define MUTANT(n) (mutant_reached[n] = 1, mutant_id == (n))
#define MUTANT_EDGE(n, a, was, other, b) __extension__({ __auto_type a_##n = (a); __auto_type b_##n = (b); \\
    int r_##n = a_##n was b_##n; if (r_##n != (a_##n other b_##n) && MUTANT(n)) r_##n = !r_##n; r_##n; })
"""
SOURCE = """#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static unsigned char nowhere[%d];
unsigned char *mutant_reached = nowhere;
unsigned mutant_id;
__attribute__((constructor)) static void mutant_begin(void)
{
    const char *id = getenv("MEMFILE_MUTANT"), *path = getenv("MEMFILE_REACHED");
    mutant_id = id ? (unsigned)atoi(id) : 0;
    int file = path ? open(path, O_RDWR) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED)
        mutant_reached = map;
    if (file >= 0)
        close(file);
}
"""


class Instrument:
    """One file: what to insert where."""

    def __init__(self, path, first, index, kinds):
        self.path, self.text, self.next, self.k = path, path.read_bytes(), first, kinds
        self.inserts, self.cuts, self.mutants, self.order = [], [], [], 0
        unit = index.parse(str(path), args=["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-D_XOPEN_SOURCE=700", "-DMEMFILE_BUILD", "-I" + str(tree / "libmemfile/include"),
                                            "-I" + BUILTINS])
        for d in unit.diagnostics:
            if d.severity >= 3:
                raise SystemExit(f"{path}: {d}")
        for cursor in unit.cursor.get_children():
            if cursor.kind == kinds.FUNCTION_DECL and cursor.is_definition() and self.here(cursor):
                self.function = cursor.spelling
                self.walk(cursor)

    def here(self, cursor):
        return cursor.location.file and cursor.location.file.name == str(self.path)

    def span(self, cursor):
        """Offsets of an expression that stands in the file as it is; None if a macro made it."""
        a, b = cursor.extent.start, cursor.extent.end
        if not a.file or a.file.name != str(self.path) or b.file.name != str(self.path) or a.offset >= b.offset:
            return None
        depth, text = 0, LITERAL.sub(b"", self.text[a.offset:b.offset])
        for c in text:
            depth += (c in b"([{") - (c in b")]}")
            if depth < 0:
                return None
        return None if depth or b";" in text else (a.offset, b.offset)

    def mutant(self, kind, cursor, span, before, after):
        n = self.next
        self.next += 1
        self.order += 1
        self.inserts.append((span[0], 1, self.order, before.replace("@", str(n))))
        self.inserts.append((span[1], 0, -self.order, after.replace("@", str(n))))
        text = self.text[span[0]:span[1]].decode()
        self.mutants.append({"id": n, "kind": kind, "file": self.path.name, "line": cursor.extent.start.line, "function": self.function,
                             "text": " ".join(text.split())[:160]})

    def operator(self, cursor):
        children = list(cursor.get_children())
        if len(children) != 2:
            return None, None, None
        a, b = self.span(children[0]), self.span(children[1])
        if not a or not b or a[1] > b[0] or not self.span(cursor):
            return None, None, None
        return self.text[a[1]:b[0]].strip().decode(), children, (a, b)

    def leaves(self, statement):
        """Does this branch end by leaving?"""
        if statement.kind in (self.k.RETURN_STMT, self.k.GOTO_STMT, self.k.BREAK_STMT, self.k.CONTINUE_STMT):
            return True
        if statement.kind == self.k.COMPOUND_STMT:
            inner = list(statement.get_children())
            return bool(inner) and self.leaves(inner[-1])
        return False

    def walk(self, cursor):
        if cursor.kind == self.k.IF_STMT:
            parts = list(cursor.get_children())
            span = self.span(parts[0])
            if span and len(parts) >= 2 and self.leaves(parts[1]):
                if self.operator(parts[0])[0] != "||":  # its operands are taken one by one
                    self.mutant("if", parts[0], span, "((", ") && !MUTANT(@))")
        if cursor.kind == self.k.BINARY_OPERATOR:
            sign, children, spans = self.operator(cursor)
            if sign in ("||", "&&"):
                for child, span in zip(children, spans):
                    if self.operator(child)[0] != sign:
                        self.mutant("or" if sign == "||" else "and", child, span, "((", ") && !MUTANT(@))" if sign == "||" else ") || MUTANT(@))")
            elif sign in EDGES:  # a < b becomes MUTANT_EDGE(n, (a), <, <=, (b))
                self.mutant("edge", cursor, (spans[0][0], spans[1][1]), "MUTANT_EDGE(@, (", "))")
                self.inserts.append((spans[0][1], 0, -10**9, f"), {sign}, {EDGES[sign]}, ("))
                self.cuts.append((spans[0][1], spans[1][0]))
        for child in cursor.get_children():
            self.walk(child)

    def output(self):
        out, at = [], 0
        events = sorted(self.inserts, key=lambda i: (i[0], i[1], i[2]))
        cuts = dict(self.cuts)
        for offset, _, _, text in events:
            while at < offset:
                if at in cuts:
                    at = cuts[at]
                    continue
                stop = min([offset] + [c for c in cuts if at < c < offset])
                out.append(self.text[at:stop])
                at = stop
            out.append(text.encode())
        while at < len(self.text):
            out.append(self.text[at:])
            at = len(self.text)
        return b"".join(out)


def key_of(m):
    return m["file"], m["function"], m["kind"], m["text"]


def keep_killed(mutants):
    """Results of before, under the new numbers; of checks with the same text in a function, in their order."""
    log = folder / "results.json"
    if not log.exists():
        return
    results, old = results_of(log), {}
    for m in load():
        old.setdefault(key_of(m), []).append(results.get(m["id"]))
    lines = []
    for m in mutants:
        before = old.get(key_of(m))
        result = before.pop(0) if before else None
        if result and result["killer"]:
            lines.append(json.dumps({**result, "id": m["id"]}))
    log.write_text("".join(line + "\n" for line in lines))


def make():
    import clang.cindex
    shutil.rmtree(tree, ignore_errors=True)
    for name in subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")[:-1]:
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)
    index, mutants = clang.cindex.Index.create(), []
    for path in sorted((tree / "libmemfile/src").glob("*.c")) + sorted((tree / "memfile-tool").glob("*.c")):
        if path.name not in LEFT_OUT:
            made = Instrument(path, len(mutants) + 1, index, clang.cindex.CursorKind)
            path.write_bytes(made.output())
            mutants += made.mutants
    (tree / "libmemfile/src/mutant.h").write_text(HEADER)
    (tree / "libmemfile/src/mutant.c").write_text(SOURCE % (len(mutants) + 1))
    lists = tree / "libmemfile/CMakeLists.txt"
    lists.write_text(lists.read_text().replace("set(sources\n", "set(sources src/mutant.c\n"))
    keep_killed(mutants)
    (folder / "mutants.json").write_text("\n".join(map(json.dumps, mutants)))
    print(len(mutants), "mutants", {k: sum(m["kind"] == k for m in mutants) for k in ("if", "or", "and", "edge")})
    subprocess.run(["cmake", "-S", tree, "-B", build, "-G", "Ninja", "-DBUILD_TESTING=ON", "-DMEMFILE_WERROR=OFF", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                    f"-DCMAKE_C_FLAGS=-w -include {tree}/libmemfile/src/mutant.h"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build], check=True, stdout=subprocess.DEVNULL)


def tests():
    """Each test of ctest: name, command, environment, folder; each vector is a test of its own."""
    shown = json.loads(subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, check=True).stdout)
    found = {}
    for t in shown["tests"]:
        if NO_TESTS.match(t["name"]):
            continue
        properties = {p["name"]: p["value"] for p in t.get("properties", [])}
        environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        if t["name"] in ("tool", "tool_keys"):
            kind = None
            for line in Path(t["command"][1]).read_text().splitlines():
                if m := re.match(r"class (\w+)\(", line):
                    kind = m[1]
                elif m := re.match(r"    def (test_\w+)\(", line):
                    found[f"{t['name']}:{kind}.{m[1]}"] = (t["command"] + [f"{kind}.{m[1]}"], environment)
        elif t["name"] == "vectors":
            for path in sorted((tree / "format-spec/vectors").glob("*.memfile")):
                found["vector:" + path.stem] = (t["command"] + [path.stem], environment)
        else:
            found[t["name"]] = (t["command"], environment)
    return found


def run_test(test, seconds, **more):
    command, environment = test
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        process = subprocess.Popen(command, cwd=scratch, env={**os.environ, **environment, "TMPDIR": scratch, **more}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return "time"


def reach(jobs):
    count = len((folder / "mutants.json").read_text().splitlines())
    found = tests()
    result = {}

    def one(name):
        with tempfile.NamedTemporaryFile(dir=folder) as shared:
            shared.truncate(count + 1)
            begun = time.monotonic()
            code = run_test(found[name], 900, MEMFILE_REACHED=shared.name)
            seconds = time.monotonic() - begun
            data = Path(shared.name).read_bytes()
        if code not in (0, 77):
            print(f"{name}: {code}; left out")
            return
        result[name] = {"seconds": seconds, "reached": [i for i, b in enumerate(data) if b]}
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, sorted(found, key=lambda n: n not in REACH_ONLY)))
    (folder / "reach.json").write_text(json.dumps(result))


def results_of(log):
    return {r["id"]: r for r in map(json.loads, log.read_text().splitlines())} if log.exists() else {}


def load():
    return [json.loads(line) for line in (folder / "mutants.json").read_text().splitlines()]


def run(jobs, pattern, limit):
    mutants, reached, found = load(), json.loads((folder / "reach.json").read_text()), tests()
    of = {}
    for name in sorted(set(reached) - REACH_ONLY, key=lambda n: reached[n]["seconds"]):
        for i in reached[name]["reached"]:
            of.setdefault(i, []).append(name)
    log = folder / "results.json"
    done = results_of(log)

    def one(m):
        names = of.get(m["id"], [])
        spent, killer = 0.0, None
        tried = []
        vectors = [n for n in names if n.startswith("vector:")]
        # few of many vectors: those that decide fewest things, that is, in the most special way
        vectors = sorted(vectors, key=lambda n: len(reached[n]["reached"]))[:12]
        for name in [n for n in names if not n.startswith("vector:") or n in vectors]:
            if spent + reached[name]["seconds"] > limit:
                continue
            begun = time.monotonic()
            code = run_test(found[name], 20 + 10 * reached[name]["seconds"], MEMFILE_MUTANT=str(m["id"]))
            spent += time.monotonic() - begun
            tried.append(name)
            if code not in (0, 77):
                killer = f"{name}: {code}"
                break
        with log.open("a") as out:
            out.write(json.dumps({"id": m["id"], "killer": killer, "tests": len(names), "tried": len(tried), "seconds": round(spent, 2)}) + "\n")
    todo = [m for m in mutants if m["id"] not in done and re.search(pattern, m["file"] + ":" + m["kind"])]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, todo))


def report(pattern):
    reached = json.loads((folder / "reach.json").read_text())
    faults = {i for name in REACH_ONLY & set(reached) for i in reached[name]["reached"]}
    results, table = results_of(folder / "results.json"), {}
    columns = "asked", "killed", "survive", "faults only", "unreached"
    for m in load():
        r = results.get(m["id"])
        if not r:
            continue
        verdict = "killed" if r["killer"] else "survive" if r["tests"] else "faults only" if m["id"] in faults else "unreached"
        row = table.setdefault(m["file"], dict.fromkeys(columns, 0))
        row["asked"] += 1
        row[verdict] += 1
        if verdict != "killed" and re.search(pattern, m["file"] + ":" + m["kind"]):
            print(f"{m['file']}:{m['line']}: {m['kind']:4} {verdict} {r['tried']}/{r['tests']}  {m['function']}: {m['text']}  #{m['id']}")
    for name, row in sorted(table.items()) + [("all", {c: sum(row[c] for row in table.values()) for c in columns})]:
        print(f"{name:24}" + "".join(f" {row[c]:6} {c}" for c in columns))


verb, rest = sys.argv[2], sys.argv[3:]
if verb == "make":
    make()
elif verb == "reach":
    reach(int(rest[0]) if rest else 2)
elif verb == "run":
    run(int(rest[0]) if rest else 1, rest[1] if len(rest) > 1 else "", float(rest[2]) if len(rest) > 2 else 60)
elif verb == "report":
    report(rest[0] if rest else "")
