"""memfile-tool as scripts see it: contract, exit codes, streams, real data."""
import errno
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
import unittest
from pathlib import Path

TOOL = sys.argv.pop(1)
ROOT = Path(sys.argv.pop(1))
SHARED = ROOT.parent / "shared" / "data"


def run(*args, stdin=None, code=0, **more):
    p = subprocess.run([TOOL, *map(str, args)], input=stdin, capture_output=True, timeout=300, **more)
    if code is not None and p.returncode != code:
        raise AssertionError(f"{args}: exit {p.returncode}, not {code}: {p.stderr.decode(errors='replace')}")
    return p


def on_terminal(*args, columns=80, typed=None):
    """What a terminal of that width gets, from both streams; `typed` is what it sends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    if typed is not None:
        os.write(ours, typed)
    p = subprocess.Popen([TOOL, *map(str, args)], stdout=theirs, stderr=theirs, close_fds=True,
                         stdin=theirs if typed is not None else subprocess.DEVNULL,
                         env={**os.environ, "NO_COLOR": "1"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    p.wait(60)
    return shown.replace(b"\r\n", b"\n")


def width(text):
    return sum(0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text)


def lines(data):
    return [json.loads(x) for x in data.splitlines()]


class Tool(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "a.memfile")

    def tearDown(self):
        self.folder.cleanup()

    def import_text(self, text, code=0, *options):
        return run("import", self.file, "-", *options, stdin=text.encode(), code=code)

    def test_init_put_get_list_log_info(self):
        run("init", self.file)
        self.assertEqual(run("init", self.file, code=6).stdout, b"")
        self.assertEqual(run("list", self.file, code=1).stdout, b"")
        p = run("put", self.file, "Tea, not coffee.", "--id", "x", "--kind", "preference", "--scope", "user/ann", "--key",
                "drink", "--tag", "a", "--tag", "b", "--time", "2024-05-06T07:08:09.10Z", "--meta", "n=1", "--meta", "s=one",
                "--link", "from=y", "--pin", "--expires", "2999-01-01T00:00:00Z")
        self.assertEqual(p.stdout, b"x\n")
        self.assertEqual(run("get", self.file, "x").stdout, b"Tea, not coffee.")
        entry = json.loads(run("get", self.file, "x", "--json").stdout)
        self.assertEqual(entry, {"id": "x", "kind": "preference", "scope": ["user", "ann"], "key": "drink",
                                 "time": "2024-05-06T07:08:09.10Z", "text": "Tea, not coffee.", "tags": ["a", "b"],
                                 "links": [{"rel": "from", "to": "y"}], "meta": {"n": 1, "s": "one"},
                                 "expires": "2999-01-01T00:00:00Z", "pinned": True})
        made = run("put", self.file, "-", stdin=b"from a pipe\n").stdout.decode().strip()
        self.assertRegex(made, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(run("get", self.file, made).stdout, b"from a pipe\n")
        self.assertEqual([e["id"] for e in lines(run("list", self.file, "--json").stdout)], ["x", made])
        self.assertEqual([e["id"] for e in lines(run("list", self.file, "--json", "--reverse", "--limit", 1).stdout)], [made])
        self.assertEqual([e["id"] for e in lines(run("list", self.file, "--json", "--scope", "user").stdout)], ["x"])
        log = lines(run("log", self.file, "--json").stdout)
        self.assertEqual([c["commit"] for c in log], [2, 1, 0])
        info = json.loads(run("info", self.file, "--json").stdout)
        self.assertEqual((info["entries"], info["commits"]), (2, 3))
        self.assertEqual(info["history_digest"], log[0]["digest"])
        self.assertEqual(run("get", self.file, made, "--as-of", log[1]["digest"][:12], code=1).stdout, b"")
        self.assertEqual(run("get", self.file, "x", "--as-of", 1).stdout, b"Tea, not coffee.")
        self.assertEqual(json.loads(run("verify", self.file, "--json").stdout)["result"], "sound")

    def test_a_bad_line_is_named_and_nothing_of_its_batch_is_written(self):
        good = '{"text":"%d"}\n'
        text = "".join(good % i for i in range(5)) + '{"text":1}\n' + good % 9
        p = self.import_text(text, 2)
        self.assertIn(b"line 6", p.stderr)
        self.assertFalse(os.path.exists(self.file))
        p = self.import_text(text, 2, "--batch", "2")
        self.assertEqual(json.loads(run("info", self.file, "--json").stdout)["entries"], 4)
        self.assertIn(b"hint: 2 commits (lines 1 to 4) were made before; import the rest from line 5\n", p.stderr)
        run("verify", self.file)

    def test_values_come_back_as_they_were(self):
        text = "\n".join(
            ['{"id":"1","text":""}', '{"id":"2","text":"a\\u0000b","unknown":{"deep":[1,1.0,-0.0,null,true,"x"]}}',
             '{"id":"3","data":"AAEC","media_type":"x/y","meta":{"big":18446744073709551615,"neg":-9223372036854775808}}',
             '{"id":"4","text":"x","tags":["b","a","b"],"title":null,"time":"1969-12-31T23:59:59.000000001Z"}',
             '{"id":"4","text":"y","embedding":{"space":"m","values":[0.25,-1.5,0.1]}}', "", "  "])
        self.import_text(text)
        out = run("export", self.file).stdout
        self.assertEqual(lines(out), lines("\n".join(t for t in text.split("\n") if t.strip())))
        self.assertIn(b"1.0", out)
        self.assertEqual(len(lines(run("list", self.file, "--json").stdout)), 4)
        self.assertEqual(len(lines(run("list", self.file, "--json", "--all").stdout)), 5)
        again = os.path.join(self.folder.name, "b.memfile")
        run("import", again, "-", stdin=out)
        self.assertEqual(run("export", again).stdout, out)

    def test_exit_codes(self):
        run("init", self.file)
        run("get", self.file, "none", code=1)
        run("get", os.path.join(self.folder.name, "none"), "x", code=1)
        run("frobnicate", code=2)
        run("list", code=2)
        run("list", self.file, "--bogus", code=2)
        run("list", self.file, "--limit", "many", code=2)
        run("put", self.file, "x", "--time", "yesterday", code=2)
        run("put", self.file, "x", "--kind", "", code=2)
        other = os.path.join(self.folder.name, "other")
        Path(other).write_bytes(b"hello, this is no memfile" * 10)
        run("info", other, code=4)
        Path(other).write_bytes(b"")
        run("info", other, code=4)
        data = bytearray(Path(self.file).read_bytes())
        data[200] ^= 1
        Path(other).write_bytes(data)
        run("verify", other, code=3)
        Path(other).write_bytes(Path(self.file).read_bytes() + b"torn")
        p = run("verify", other, code=3)
        self.assertIn(b"unfinished", p.stdout)
        self.assertEqual(json.loads(run("verify", other, "--json", code=3).stdout)["unfinished_bytes"], 4)
        p = subprocess.run(f"'{TOOL}' help > /dev/full", shell=True, capture_output=True)
        self.assertEqual(p.returncode, 7)
        for name in ("help", "version"):
            run(name)
        run("list", "--help")

    def test_idempotency_key(self):
        run("init", self.file)
        first = run("put", self.file, "paid", "--idempotency-key", "k").stdout
        self.assertEqual(run("put", self.file, "paid", "--idempotency-key", "k").stdout, first)
        self.assertEqual(json.loads(run("info", self.file, "--json").stdout)["entries"], 1)

    def test_closed_descriptors(self):
        run("init", self.file)
        p = subprocess.run(f"'{TOOL}' put '{self.file}' text --id c 0<&- 1>&- 2>&-", shell=True)
        self.assertIn(p.returncode, (0, 7))
        self.assertEqual(run("get", self.file, "c").stdout, b"text")
        run("verify", self.file)

    def test_a_closed_pipe(self):
        self.import_text("".join('{"text":"%d"}\n' % i for i in range(5000)))
        p = subprocess.run(f"'{TOOL}' export '{self.file}' | head -1", shell=True, capture_output=True)
        self.assertEqual(p.stdout, b'{"id":' + p.stdout[6:])
        self.assertEqual(p.stderr, b"")

    def test_read_only_and_other_directory(self):
        run("init", self.file)
        run("put", self.file, "x", "--id", "x")
        os.chmod(self.file, 0o400)
        os.chmod(self.folder.name, 0o500)
        try:
            self.assertEqual(run("get", self.file, "x").stdout, b"x")
            if os.geteuid() != 0:
                run("put", self.file, "y", code=7)
        finally:
            os.chmod(self.folder.name, 0o700)
            os.chmod(self.file, 0o600)
        run("put", "a.memfile", "rel", "--id", "rel", cwd=self.folder.name)
        link = os.path.join(self.folder.name, "link")
        os.symlink(self.file, link)
        run("compact", link)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(run("get", self.file, "rel").stdout, b"rel")
        os.link(self.file, os.path.join(self.folder.name, "hard"))
        run("compact", self.file, code=6)
        run("compact", self.file, "--output", os.path.join(self.folder.name, "out"))
        run("compact", self.file, "--output", os.path.join(self.folder.name, "out"), code=6)
        self.assertEqual([n for n in os.listdir(self.folder.name) if n.endswith(".new")], [])

    def test_no_colour_and_no_progress_beside_a_terminal(self):
        p = run("get", os.path.join(self.folder.name, "none"), "x", code=1)
        self.assertNotIn(b"\x1b", p.stderr)

    def test_file_knows_it(self):
        run("init", self.file)
        try:
            p = subprocess.run(["file", "-b", "-m", str(ROOT / "format-spec/magic"), self.file], capture_output=True, text=True)
        except FileNotFoundError:
            self.skipTest("file(1) is not here")
        self.assertEqual(p.stdout.strip(), "memfile, format 1")

    def round_trip(self, source, expected, *options):
        run("import", self.file, "-", *options, stdin=source)
        for _ in range(2):
            self.assertEqual(lines(run("export", self.file).stdout), expected)
            before = json.loads(run("verify", self.file, "--json").stdout)
            self.assertEqual(before["entries"], len(expected))
            run("compact", self.file)
            after = json.loads(run("verify", self.file, "--json").stdout)
            self.assertEqual(before["history_digest"], after["history_digest"])

    def test_sample(self):
        source = (ROOT / "samples/agent.jsonl").read_bytes()
        self.round_trip(source, lines(source))

    def test_conversations(self):
        if not (SHARED / "conversations.jsonl").exists():
            self.skipTest("../shared/data is not here")
        source = (SHARED / "conversations.jsonl").read_bytes()
        self.round_trip(source, lines(source), "--batch", "100")
        self.assertEqual(len(lines(run("list", self.file, "--json", "--scope", "conv-26/session-01").stdout)), 18)

    def test_events(self):
        if not (SHARED / "events.jsonl.zst").exists():
            self.skipTest("../shared/data is not here")
        source = subprocess.run(["zstd", "-qdc", SHARED / "events.jsonl.zst"], capture_output=True, check=True).stdout
        self.round_trip(source, lines(source))

    def test_options_that_do_not_repeat_are_refused_twice(self):
        seen = 0
        for verb in re.findall(r"\n  ([a-z-]+) ", run("help").stdout.decode()):
            for name, value, text in re.findall(r"\n  --([a-z-]+)( [A-Z=]+)? +(.*)", run(verb, "--help").stdout.decode()):
                one = [f"--{name}"] + ([value.strip()] if value else [])
                arguments = ["f", "x"][:2 if verb in ("get", "import", "put") else 0 if verb == "version" else 1]
                p = run(verb, *arguments, *one, *one, code=None, cwd=self.folder.name)
                if "may be repeated" in text:
                    self.assertNotIn(b"given twice", p.stderr)
                    continue
                seen += 1
                self.assertEqual((p.returncode, p.stderr), (2, f"memfile-tool: {verb}: --{name} was given twice\n".encode()))
        self.assertGreater(seen, 45)

    def test_what_is_missing_is_named(self):
        for arguments, missing in ((["get"], "FILE"), (["get", "f"], "ID"), (["import", "f"], "INPUT.jsonl|-"),
                                   (["put"], "FILE"), (["compact", "--level", "3"], "FILE")):
            self.assertIn(f"{arguments[0]}: {missing} is missing\n".encode(), run(*arguments, code=2).stderr)
        self.assertIn(b"--kind needs a value: KIND", run("list", "f", "--kind", code=2).stderr)

    def test_help(self):
        self.assertLessEqual(max(map(len, run("help").stdout.decode().splitlines())), 80)
        for verb in re.findall(r"\n  ([a-z]+) ", run("help").stdout.decode()):
            text = run(verb, "-h").stdout.decode()
            self.assertEqual(text, run(verb, "--help").stdout.decode())
            self.assertEqual(text, run("help", verb).stdout.decode())
            self.assertNotRegex(text, r"--[a-z-]+ V\b")
            for sentence in text.split("\n\n")[1:2] + re.findall(r"\n  --[a-z-]+(?: [A-Z=]+)?  +(.*)", text):
                self.assertRegex(sentence, "^([A-Z]|zstd)", verb)
        run("init", self.file)
        run("put", self.file, "x", "--title", "--help")
        self.assertEqual(run("export", self.file, "--json").stdout, run("export", self.file).stdout)

    def test_a_file_is_named_once_and_rightly(self):
        folder = self.folder.name
        run("init", self.file)
        none = os.path.join(folder, "none")
        os.symlink(self.file, os.path.join(folder, "link"))
        for arguments, code, message in (
                (["get", none, "x"], 1, f"no such file: '{none}'"),
                (["list", ""], 1, "no such file: ''"),
                (["init", ""], 2, "'' is not the name of a file"),
                (["init", self.file], 6, f"'{self.file}' exists already; nothing was changed"),
                (["init", none + "/x"], 1, f"cannot open the directory of '{none}/x': No such file or directory")):
            self.assertEqual(run(*arguments, code=code).stderr.decode().split("\n")[0], "memfile-tool: " + message)
        self.assertIn(b"hint: memfile-tool init FILE makes a new memfile", run("get", none, "x", code=1).stderr)
        Path(none).write_bytes(b"something else, long enough to be looked at")
        self.assertNotIn(b"hint", run("get", none, "x", code=4).stderr)
        self.assertIn(f"memfile-tool: {self.file}: no entry has the id 'none'".encode(),
                      run("get", self.file, "none", code=1).stderr)

    def test_a_directory_is_no_memfile(self):
        for arguments in (["put", "x"], ["compact"], ["list"], ["info"], ["export"], ["log"], ["get", "x"]):
            p = run(arguments[0], self.folder.name, *arguments[1:], code=4)
            self.assertEqual(p.stderr.decode(), f"memfile-tool: '{self.folder.name}' is a directory, not a memfile\n")

    def test_a_message_to_a_terminal_has_no_escapes(self):
        name = os.path.join(self.folder.name, "\x1b]0;title\x07\u009b31m")
        self.assertIn(name.encode(), run("info", name, code=1).stderr)
        shown = on_terminal("info", name)
        self.assertNotRegex(shown, b"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
        self.assertIn(b"?]0;title???31m", shown)

    def test_why_output_could_not_be_written(self):
        self.import_text("".join('{"text":"%0200d"}\n' % i for i in range(2000)))
        for verb in ("export", "list", "help"):
            p = subprocess.run(f"'{TOOL}' {verb} {'' if verb == 'help' else self.file} > /dev/full", shell=True,
                               capture_output=True)
            self.assertEqual((p.returncode, p.stderr),
                             (7, b"memfile-tool: cannot write to standard output: No space left on device\n"))

    def test_compact_says_whether_the_file_got_smaller(self):
        self.import_text("".join('{"text":"%d"}\n' % i for i in range(2000)), 0, "--batch", "20")
        p = run("compact", self.file)
        self.assertRegex(p.stderr.decode(), r"^\d+ bytes are now \d+; the history is the same\n$")
        p = run("compact", self.file)
        self.assertRegex(p.stderr.decode(),
                         r"^the file did not get smaller: \d+ bytes are now \d+; the history is the same\n$")

    def test_forget_and_what_is_left(self):
        lines = ['{"id":"a","scope":["p","q"],"text":"The secret of a.","time":"2024-01-01T00:00:00Z"}',
                 '{"id":"b","scope":["p"],"text":"The secret of b.","time":"2025-01-01T00:00:00Z","pinned":true}',
                 '{"id":"c","scope":["p"],"text":"The secret of c.","idempotency_key":"once"}',
                 '{"id":"d","text":"Stays.","links":[{"rel":"about","to":"a"}],"derived_from":["c"]}']
        self.import_text("\n".join(lines) + "\n")
        run("forget", self.file, code=2)
        run("forget", self.file, "--before", "soon", code=2)
        run("forget", self.file, "--scope", "//", code=2)
        self.assertIn("is the id of no memory", run("forget", self.file, "x", code=1).stderr.decode())
        run("forget", self.file, "--scope", "elsewhere", code=1)
        p = run("forget", self.file, "--scope", "p", "--dry-run")
        self.assertEqual(p.stdout, b"a\n")
        self.assertIn("nothing was changed", p.stderr.decode())
        self.assertIn("--even-actions", p.stderr.decode())
        self.assertIn("--even-pinned", p.stderr.decode())
        run("get", self.file, "a")
        p = run("forget", self.file, "--scope", "p", "--before", "2024-06-01T00:00:00Z", "--reason", "asked for", "--author", "Ann")
        self.assertEqual(p.stdout, b"a\n")
        self.assertIn("compact", p.stderr.decode())
        run("get", self.file, "a", code=1)
        run("get", self.file, "a", "--as-of", "1", code=1)
        self.assertIn(b"secret of a", Path(self.file).read_bytes())
        info = json.loads(run("info", self.file, "--json").stdout)
        self.assertEqual(info["forgotten"], 1)
        self.assertIn("forgotten       1", run("info", self.file).stdout.decode())
        report = json.loads(run("forget", self.file, "b", "c", "x", "--even-actions", "--even-pinned", "--now", "--json").stdout)
        self.assertEqual((report["memories"], report["entries"], report["erased"], report["commit"]), (2, 2, 3, 3))
        self.assertEqual([(i["id"], i["outcome"]) for i in report["items"]],
                         [("x", "not_found"), ("b", "forgotten"), ("c", "forgotten")])
        self.assertEqual([(d["id"], d["rel"], d["to"]) for d in report["dangling"]], [("d", "about", "a"), ("d", None, "c")])
        self.assertNotIn(b"secret", Path(self.file).read_bytes())
        self.assertEqual(run("list", self.file, "--json").stdout.count(b"\n"), 1)
        self.assertEqual(run("list", self.file, "--json", "--all").stdout.count(b"\n"), 3)
        for line in run("log", self.file, "--json").stdout.splitlines():
            commit = json.loads(line)
            if commit["commit"] == 2:
                self.assertEqual(commit["forgot"], [{"entry": 4, "entries": [0], "reason": "asked for", "actor": "Ann"}])
        self.assertIn("forgot entry 0: asked for\n", run("log", self.file).stdout.decode())
        self.assertIn("forgot entries 1-2\n", run("log", self.file).stdout.decode())
        run("verify", self.file)
        # forget, then compact: the same, in words
        run("forget", self.file, "d", "--now")
        self.assertNotIn(b"Stays", Path(self.file).read_bytes())

    def test_compact_names_the_output_it_cannot_write(self):
        run("init", self.file)
        none = os.path.join(self.folder.name, "none", "out")
        self.assertEqual(run("compact", self.file, "--output", none, code=1).stderr.decode(),
                         f"memfile-tool: cannot open the directory of '{none}': No such file or directory\n")
        self.assertEqual(run("compact", self.file, "--output", self.file, code=6).stderr.decode(),
                         f"memfile-tool: '{self.file}' exists already; nothing was changed\n")
        self.assertEqual(run("compact", none, code=1).stderr.decode().split("\n")[0],
                         f"memfile-tool: no such file: '{none}'")

    def test_log_and_info_in_plain_words(self):
        run("init", self.file)
        run("put", self.file, "x", "--author", "Ann")
        self.import_text('{"text":"a"}\n{"text":"b"}\n')
        log = run("log", self.file).stdout.decode().splitlines()
        self.assertEqual([line.split("Z")[1] for line in log], ["         2 entries", "         1 entry    Ann", "         0 entries"])
        with open(self.file, "ab") as f:
            f.write(b"x")
        info = run("info", self.file).stdout.decode()
        self.assertIn("unfinished      1 byte\n", info)
        self.assertNotRegex(info, " 1 [a-z]+s\\b")
        self.assertNotRegex(info, " \n")

    def test_get_writes_exactly_what_was_put(self):
        run("init", self.file)
        for content in (b"", b"abc", b"abc\n", b"\n", b"a\r\nb", b"x" * 40000, b"x" * 40000 + b"\n"):
            made = run("put", self.file, stdin=content).stdout.decode().strip()
            self.assertEqual(run("get", self.file, made).stdout, content)
        made = run("put", self.file, "--data", stdin=bytes(range(256))).stdout.decode().strip()
        self.assertEqual(run("get", self.file, made).stdout, bytes(range(256)))

    def test_get_on_a_terminal_ends_the_line_and_sends_no_escapes(self):
        run("init", self.file)
        text = "a\tb\x1b[31m\x07\u009b2J\x7f\u00e4\n" + "\u4e00" * 30000 + "\x1b"
        run("put", self.file, "-", "--id", "t", stdin=text.encode())
        for content in ("abc", "abc\n"):
            run("put", self.file, "-", "--id", "x", stdin=content.encode())
            self.assertEqual(on_terminal("get", self.file, "x"), b"abc\n")
        self.assertEqual(on_terminal("get", self.file, "t"),
                         ("a\tb?[31m???2J?\u00e4\n" + "\u4e00" * 30000 + "?\n").encode())
        shown = on_terminal("get", self.file, "t", "--json")
        self.assertNotRegex(shown, b"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
        self.assertEqual(json.loads(shown)["text"], text)

    def test_tags_stand_in_a_list_as_far_as_there_is_room(self):
        tags = [c * 12 for c in "pqrst"]
        self.import_text(json.dumps({"id": "x", "text": "The text, which is long enough to be cut. " * 9, "tags": tags, "key": "k" * 9}) + "\n")
        piped = run("list", self.file).stdout.decode()
        self.assertIn("[kkkkkkkkk] " + "".join(f"#{t} " for t in tags) + "The text", piped)
        seen = set()
        for columns in range(60, 240, 3):
            row = on_terminal("list", self.file, columns=columns).decode().splitlines()[-1]
            self.assertLessEqual(width(row), columns)
            shown = [t for t in tags if f"#{t} " in row]
            self.assertEqual(shown, tags[:len(shown)])  # each whole, or not at all
            self.assertNotIn("#", row.replace("".join(f"#{t} " for t in shown), ""))
            self.assertIn("The text", row)
            seen.add(len(shown))
        self.assertTrue({0, 1, 2, 3} <= seen, seen)

    def test_list_fits_the_terminal(self):
        self.import_text("\n".join(
            json.dumps({"id": name, "kind": kind, "text": text, "time": "2024-05-06T07:08:09Z", "pinned": pin, **more},
                       ensure_ascii=False)
            for name, kind, text, pin, more in (
                ("0190a5d0-7c1e-7d4a-9c58-2f6c0a51b7e3", "note", "\u4e00\u4e8c\u4e09" * 60, False, {}),
                ("short", "a very long name for a kind \x1b[31m", "e\u0301" * 200 + "\x1b[31m", True, {}),
                ("\u4e00" * 80, "preference", "short text", True, {"key": "drink", "tags": ["warm", "hot"]}),
                ("meta", "note", "x", False, {"meta": {"pinned": True, "a": "\",\"pinned\":true"}}))))
        for columns in (40, 60, 80, 100, 132, 200):
            rows = on_terminal("list", self.file, columns=columns).decode().splitlines()
            self.assertEqual(len(rows), 4)
            for row in rows:
                self.assertLessEqual(width(row), columns, (columns, row))
                self.assertNotIn("\x1b", row)
            self.assertEqual("0190a5d0-7c1e-7d4a-9c58-2f6c0a51b7e3" in rows[0], columns > 120)
            self.assertEqual(["* " in row for row in rows], [False, True, True, False])
            self.assertIn("prefere", rows[2])
            self.assertEqual("[drink] #warm" in rows[2], columns >= 100)
            self.assertIn("short text", rows[2])
        for columns in (60, 80):
            rows = on_terminal("list", self.file, columns=columns).decode().splitlines()
            begin = {width(row[:row.index(text)]) for row, text in zip(rows, ("\u4e00", "e\u0301", "short text", "x")) if text != "short text"}
            self.assertEqual(len(begin), 1, rows)
        piped = run("list", self.file).stdout.decode().splitlines()
        self.assertIn("0190a5d0-7c1e-7d4a-9c58-2f6c0a51b7e3", piped[0])
        self.assertIn("\u4e00\u4e8c\u4e09" * 60, piped[0])
        self.assertIn("\u4e00" * 80, piped[2])
        self.assertNotIn("\u2026", "".join(piped))

    def test_list_names_option_and_value(self):
        run("init", self.file)
        for name in ("--since", "--until"):
            self.assertIn(f"list: {name} takes a time in UTC like 2023-05-08T13:56:02Z, not 'x'".encode(),
                          run("list", self.file, name, "x", code=2).stderr)
        self.assertIn(b"--scope takes 1 to 32 names", run("list", self.file, "--scope", "/", code=2).stderr)

    def test_put_names_option_and_value(self):
        run("init", self.file)
        for option, value in (("--kind", ""), ("--id", ""), ("--id", "x" * 256), ("--key", ""), ("--key", "x" * 1025),
                              ("--tag", ""), ("--tag", b"\xff"), ("--scope", "/"), ("--scope", "b" * 256),
                              ("--scope", "/".join("abc" * 11)), ("--link", "a"), ("--link", "a="), ("--link", "=b"),
                              ("--idempotency-key", ""), ("--time", "now"), ("--expires", "x"), ("--meta", "a"),
                              ("--author", "x" * 256), ("--title", b"\xff"), ("--wait", "x"), ("--wait", "-1")):
            shown = value if isinstance(value, bytes) else value[:20].encode()
            p = subprocess.run([TOOL, "put", self.file, "text", option, value], capture_output=True)
            self.assertEqual(p.returncode, 2, (option, value))
            self.assertIn(f"put: {option} takes ".encode(), p.stderr)
            self.assertIn(b"'" + shown, p.stderr)
        self.assertEqual(json.loads(run("info", self.file, "--json").stdout)["entries"], 0)

    def test_put_on_a_terminal_says_that_it_waits(self):
        run("init", self.file)
        shown = on_terminal("put", self.file, "--id", "x", typed=b"Tea.\n\x04")
        self.assertIn(b"hint: the text is read from the terminal; Ctrl-D on a line of its own ends it", shown)
        self.assertEqual(run("get", self.file, "x").stdout, b"Tea.\n")
        self.assertNotIn(b"hint", run("put", self.file, stdin=b"x").stderr)

    def test_a_line_of_60_mb_goes_out_and_in_again(self):
        text = b"0123456789" * 6_000_000
        run("init", self.file)
        run("put", self.file, "-", "--id", "long", stdin=text)
        line = run("export", self.file).stdout
        again = os.path.join(self.folder.name, "b.memfile")
        run("import", again, "-", stdin=line)
        self.assertEqual(run("get", again, "long").stdout, text)

    def test_a_line_over_1_gib_is_refused(self):
        available = [int(x.split()[1]) for x in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in x]
        if not available or available[0] < 3 << 20:
            self.skipTest("too little memory")
        path = os.path.join(self.folder.name, "zeros")
        with open(path, "wb") as f:
            f.truncate((1 << 30) + (1 << 20))
        p = run("import", self.file, path, code=2)
        self.assertIn(b"line 1: it is longer than 1 GiB", p.stderr)
        self.assertFalse(os.path.exists(self.file))

    def test_import_with_nothing_to_import(self):
        none = os.path.join(self.folder.name, "none")
        p = run("import", self.file, none, code=1)
        self.assertEqual(p.stderr.decode(), f"memfile-tool: cannot open '{none}': No such file or directory\n")
        for text in ("", "\n", " \n\n"):
            p = self.import_text(text, 1)
            self.assertEqual(p.stderr, b"memfile-tool: nothing to do: standard input has no line with an entry\n")
            self.assertFalse(os.path.exists(self.file))
        self.assertEqual(json.loads(self.import_text("", 1, "--json").stdout),
                         {"lines": 0, "entries": 0, "existed": 0, "commits": 0})
        run("import", self.folder.name, "-", stdin=b"{}", code=4)

    def test_a_failed_import_leaves_no_file_that_it_made(self):
        good, bad = '{"text":"a"}\n', '{"text":1}\n'
        for text in (bad, good + bad):
            self.import_text(text, 2)
            self.assertEqual(os.listdir(self.folder.name), [])
        self.import_text(good + bad, 2, "--batch", "1")
        self.assertEqual(json.loads(run("info", self.file, "--json").stdout)["entries"], 1)
        os.unlink(self.file)
        run("init", self.file)
        self.import_text(bad, 2)
        self.assertEqual(json.loads(run("info", self.file, "--json").stdout)["entries"], 0)

    def test_a_file_made_by_import_that_another_filled_is_kept(self):
        p = subprocess.Popen([TOOL, "import", self.file, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3000):
            if not os.path.exists(self.file):
                time.sleep(0.01)
        run("put", self.file, "x", "--id", "x")
        p.communicate(b'{"text":1}\n', timeout=60)
        self.assertEqual(p.returncode, 2)
        self.assertEqual(run("get", self.file, "x").stdout, b"x")

    def test_lines_that_are_refused_are_explained(self):
        for line, *expected in (
                ('\ufeff{"text":"x"}', "line 1: it begins with a byte order mark"),
                ('[{"text":"x"}]', "this one begins an array", "jq -c '.[]'"),
                ('"text"', "this one begins with something else"),
                ("{", "jq -c . "),
                ('{"text":"x",', "jq -c . "),
                ('{"text":"x","links":[{"rel":"a"}]}', 'behind ..."text":"x","links":[{"rel":"a"\n',
                 '"links" takes a list like [{"rel":"because","to":"ID"}]'),
                ('{"Text":"x"}', "neither text nor data", '"Text" is none of the format\'s members'),
                ('{"text":"x","time":"now"}', '"time" takes a time in UTC'),
                ('{"text":"x","tags":"a"}', '"tags" takes a list'),
                ('{"text":"x","id":7}', '"id" takes a string of 1 to 255 bytes')):
            message = self.import_text(line + "\n", 2).stderr.decode()
            for part in expected + ["memfile-tool(1)"]:
                self.assertIn(part, message)
            self.assertNotIn("commit", message)

    def test_what_a_second_import_says(self):
        source = "".join(json.dumps({"id": str(i), "text": "x", **({"idempotency_key": str(i)} if i < 3 else {})}) + "\n"
                         for i in range(4))
        self.assertEqual(self.import_text(source).stderr, b"4 entries in 1 commit\n")
        self.assertEqual(self.import_text(source).stderr,
                         b"1 entry in 1 commit; 3 were there already, by idempotency key\n")

    def test_import_on_a_terminal_says_that_it_waits(self):
        shown = on_terminal("import", self.file, "-", typed=b'{"text":"x"}\n\x04')
        self.assertIn(b"hint: lines are read from the terminal; Ctrl-D on a line of its own ends them", shown)
        self.assertIn(b"1 entry in 1 commit", shown)

    def test_advice_after_damage_and_after_a_torn_append(self):
        self.import_text('{"id":"a","text":"one"}\n')
        sound = Path(self.file).read_bytes()
        p = run("verify", self.file)
        self.assertRegex(p.stdout.decode(), r"^sound: \d+ bytes, \d+ segments, 2 commits, 1 entry\n")
        Path(self.file).write_bytes(sound + b"torn")
        message = run("verify", self.file, code=3).stderr.decode()
        self.assertIn("the next put declares these bytes void", message)
        self.assertNotIn("memfile-tool verify", message)
        run("put", self.file, "x")
        run("verify", self.file)
        data = bytearray(sound)
        data[-40] ^= 1
        Path(self.file).write_bytes(data)
        p = run("verify", self.file, code=3)
        recover = f"hint: memfile-tool recover '{self.file}' OUT writes all that is sound to a new file\n"
        self.assertIn(recover, p.stderr.decode())
        self.assertNotIn("memfile-tool verify", p.stderr.decode())
        for number, word in ((1, "finding"), (1, "entry"), (1, "commit"), (1, "byte")):
            self.assertNotIn(f" {number} {word[:-1]}ies" if word == "entry" else f" {number} {word}s", (p.stderr + p.stdout).decode())
        p = run("put", self.file, "x", code=3)
        self.assertIn(recover, p.stderr.decode())
        self.assertIn(f"memfile-tool verify '{self.file}'", p.stderr.decode())

    COMPLETIONS = ((["list", "f", "--kind", "de"], {"decision"}), (["put", "--kind", "d"], {"decision", "document"}),
                   (["li"], {"list"}), (["get", "f", "--as"], {"--as-of"}), (["export", "f", "--j"], {"--json"}),
                   (["info", "s"], {"some file"}), (["import", "f", "s"], {"some file"}),
                   (["import", "--batch", "7", "f", "s"], {"some file"}), (["import", "--json", "f", "s"], {"some file"}),
                   (["compact", "f", "--output", "s"], {"some file"}), (["get", "f", "s"], set()), (["put", "f", "s"], set()),
                   (["list", "f", "--scope", "s"], set()), (["list", "f", "--limit", "s"], set()),
                   (["import", "f", "g", "s"], set()), (["version", "s"], set()),
                   (["forget", "--now", "s"], {"some file"}), (["forget", "f", "--ev"], {"--even-actions", "--even-pinned"}),
                   (["forget", "f", "s"], set()))

    def flip(self, offset, bytes_=b"\x04"):
        data = bytearray(Path(self.file).read_bytes())
        for i, b in enumerate(bytes_):
            data[offset + i] ^= b
        Path(self.file).write_bytes(data)

    def test_reading_verbs_sit_in_a_sandbox(self):
        if re.search(rb"__[at]san_init|__gcov_", Path(TOOL).read_bytes()):
            self.skipTest("a build with sanitizers, or for coverage, has none")
        run("init", self.file)
        run("put", self.file, "-", "--id", "a", stdin=os.urandom(400000).hex().encode())
        p = subprocess.Popen([TOOL, "get", self.file, "a"], stdout=subprocess.PIPE)  # waits for a reader
        p.stdout.read(1)
        status = Path(f"/proc/{p.pid}/status").read_text()
        p.stdout.read()
        self.assertEqual(p.wait(), 0)
        self.assertIn("NoNewPrivs:\t1", status)
        # 62, 183: the tool is for x86-64 or AArch64, which sandbox.c knows (elf.h, e_machine); the kernel has it
        if Path(TOOL).read_bytes()[18:20] in (b"\x3e\0", b"\xb7\0") and "Seccomp:" in status:
            self.assertIn("Seccomp:\t2", status)
        p.stdout.close()

    def test_a_damaged_content_costs_that_entry_only(self):
        run("init", self.file)
        for entry in ("a", "big", "c", "d"):
            text = os.urandom(45000).hex() if entry == "big" else entry
            run("put", self.file, "-", "--id", entry, stdin=text.encode())
        self.flip(6000)
        for verb in ("export", "list"):
            p = run(verb, self.file, "--json", code=3)
            self.assertEqual([e["id"] for e in lines(p.stdout)], ["a", "c", "d"])
            self.assertIn(b"'big', cannot be read", p.stderr)
            self.assertIn(b"recover", p.stderr)
        run("get", self.file, "big", code=3)
        self.assertEqual(run("get", self.file, "d").stdout, b"d")

    def test_nothing_unsound_passes_in_silence(self):
        run("init", self.file)
        sizes = []
        for entry in "abcdef":
            run("put", self.file, f"the text of {entry}", "--id", entry)
            sizes.append(os.path.getsize(self.file))
        whole = Path(self.file).read_bytes()
        for i in range(12, 80):  # the header, byte by byte
            self.flip(i)
            for verb in (["list"], ["get", "a"], ["log"], ["info"], ["export"], ["put", "x"]):
                p = run(verb[0], self.file, *verb[1:], code=None)
                self.assertIn(p.returncode, (3, 4), (i, verb))
                self.assertTrue(p.stderr.startswith(b"memfile-tool: "))
            Path(self.file).write_bytes(whole)
        self.flip(sizes[3] - 30)  # the commit of d
        self.assertEqual(run("get", self.file, "d", code=3).stdout, b"")
        self.assertTrue(run("list", self.file, code=None).stderr)
        self.assertTrue(json.loads(run("info", self.file, "--json").stdout)["damaged"])
        Path(self.file).write_bytes(whole[:-20])
        p = run("list", self.file)
        self.assertIn(b"unfinished bytes", p.stderr)

    def test_recover(self):
        run("init", self.file)
        for entry in "abcdef":
            run("put", self.file, f"the text of {entry}", "--id", entry)
        out = os.path.join(self.folder.name, "out.memfile")
        before = json.loads(run("verify", self.file, "--json").stdout)
        r = json.loads(run("recover", self.file, out, "--json").stdout)
        self.assertEqual((r["result"], r["entries"], r["lost_entries"], r["same_history"]), ("nothing lost", 6, 0, True))
        self.assertEqual(r["history_digest"], before["history_digest"])
        self.assertEqual(run("export", out).stdout, run("export", self.file).stdout)
        run("recover", self.file, out, code=6)  # it exists
        os.unlink(out)
        damaged = bytearray(Path(self.file).read_bytes())
        damaged[700] ^= 1
        Path(self.file).write_bytes(damaged)
        r = json.loads(run("recover", self.file, out, "--json", code=3).stdout)
        self.assertEqual((r["entries"], r["lost_entries"], r["lost_commits"], r["same_history"]), (5, 1, 1, False))
        self.assertEqual(Path(self.file).read_bytes(), damaged)
        run("verify", out)
        told = [f for f in r["findings"] if f.get("entries")]
        self.assertEqual(len(told), 1)
        lost = "abcdef"[told[0]["first_entry"]]
        self.assertEqual([e["id"] for e in lines(run("export", out).stdout)], [x for x in "abcdef" if x != lost])
        os.unlink(out)
        p = run("recover", self.file, out, code=3)
        self.assertIn(b"5 entries", p.stdout)
        self.assertIn(b"1 entry, 1 commit", p.stdout)
        run("recover", "/dev/null", out + "2", code=4)
        self.assertFalse(os.path.exists(out + "2"))

    def complete(self, shell):
        Path(self.folder.name, "some file").touch()
        p = subprocess.run(shell, capture_output=True, text=True, cwd=self.folder.name, timeout=60)
        self.assertEqual(p.stderr, "")
        return set(p.stdout.splitlines())

    def test_bash_completes_what_is_meant(self):
        script = ROOT / "memfile-tool/completion.bash"
        more = ((["list", "f", "--kind", "=", "de"], {"decision"}), (["list", "f", "--kind=de"], {"--kind=decision"}),
                (["list", "f", "--scope", "=", "s"], set()), (["import", "f", "--batch", "=", "7", "s"], {"some file"}),
                (["compact", "f", "--output", "="], {"some file"}))
        for words, expected in self.COMPLETIONS + more:
            found = self.complete(["bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                                   '_memfile_tool; [ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"', "bash",
                                   str(script), "memfile-tool", *words])
            self.assertEqual(found, expected, words)

    def test_zsh_completes_what_is_meant(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh is not here")
        script = ROOT / "memfile-tool/completion.zsh"
        stand_ins = """
            compadd() { shift; local x; for x in "$@"; do [[ $x == $PREFIX* ]] && print -r -- $x; done }
            _describe() { local x; for x in ${(P)2}; do [[ $x == $PREFIX* ]] && print -r -- ${x%%:*}; done }
            compset() { PREFIX=${PREFIX#*=} }
            _files() { local x; for x in *(N); do [[ $x == $PREFIX* ]] && print -r -- $x; done }
            complete_it() { local script=$1; shift; local -a words=("$@"); local CURRENT=$# PREFIX=${@[-1]}; source $script }
            complete_it "$@"; true"""
        for words, expected in self.COMPLETIONS + ((["list", "f", "--kind=de"], {"decision"}),):
            found = self.complete(["zsh", "-fc", stand_ins, "zsh", str(script), "memfile-tool", *words])
            self.assertEqual(found, expected, words)

    def install_dependencies(self, *arguments, installed=(), user=1000, sudo=None):
        """scripts/install-dependencies.sh on a machine where these packages are installed."""
        stubs = Path(self.folder.name, "bin")
        stubs.mkdir(exist_ok=True)
        for name, body in (("id", f"echo {user}"), ("apt-get", 'echo "apt-get $*"'), ("env", 'shift; "$@"'),
                           ("dpkg-query", 'for last; do :; done\ncase " %s " in *" $last "*) echo install ok installed;; '
                                          "*) exit 1;; esac" % " ".join(installed)),
                           ("sudo", sudo)):
            if body is not None:
                (stubs / name).write_text("#!/bin/sh\n" + body + "\n")
                (stubs / name).chmod(0o755)
        for name in ("grep", "sh"):
            if not (stubs / name).exists():
                os.symlink(shutil.which(name), stubs / name)
        return subprocess.run([shutil.which("sh"), ROOT / "scripts/install-dependencies.sh", *arguments],
                              capture_output=True, text=True, env={"PATH": str(stubs)}, timeout=60)

    def test_who_may_not_install_is_told_the_command(self):
        tool = "build-essential cmake ninja-build pkg-config libzstd-dev libxxhash-dev libsodium-dev".split()
        p = self.install_dependencies()
        self.assertEqual(p.returncode, 1)
        self.assertIn("you are not root, and there is no sudo here.\nAn administrator must run:\n", p.stderr)
        self.assertIn("    apt-get update && apt-get install -y " + " ".join(tool), p.stderr)
        self.assertIn("libcmocka-dev", p.stderr)
        p = self.install_dependencies("tool", installed=tool)
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "", ""))
        p = self.install_dependencies("tool", installed=tool[1:], user=0)
        self.assertEqual((p.returncode, p.stderr), (0, "installing: build-essential\n"))
        p = self.install_dependencies("tool", installed=tool[1:], sudo="exit 1")
        self.assertEqual(p.returncode, 1)
        self.assertIn("    apt-get update && apt-get install -y build-essential\n", p.stderr)
        self.assertNotIn("install-dependencies.sh\n", (ROOT / "scripts/try.sh").read_text())

    def a_folder_like_the_project(self):
        os.symlink(ROOT / "samples", os.path.join(self.folder.name, "samples"))
        os.mkdir(os.path.join(self.folder.name, "build"))
        os.symlink(os.path.abspath(TOOL), os.path.join(self.folder.name, "build/memfile-tool"))

    def run_in_a_shell(self, commands):
        """Runs them in one shell, in order, as they stand; each must succeed. What each printed."""
        script = "".join(f"{c}\necho \"=== $?\"\n" for c in commands)
        p = subprocess.run(["sh"], input=script, capture_output=True, text=True, cwd=self.folder.name, timeout=300)
        printed = re.split(r"=== (\d+)\n", p.stdout)
        self.assertEqual(printed[1::2], ["0"] * len(commands), p.stderr)
        return dict(zip(commands, printed[0::2]))

    def test_the_tour_of_the_readme(self):
        self.a_folder_like_the_project()
        tour = (ROOT / "README.md").read_text().split("\n## A tour of the tool\n")[1].split("\n## ")[0]
        commands = re.findall(r"^    (.*)$", tour, re.M)
        self.assertGreater(len(commands), 12)
        for _ in range(2): # it clears away what it made
            printed = self.run_in_a_shell(commands)
            now, then = [out for c, out in printed.items() if re.search(r" get \S+ d-2 +(--as-of|#)", c)]
            self.assertEqual((now, then), ("Publish on Thursday.\n", "Publish on Wednesday: the mirror is down until then."))
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["build", "samples"])

    def test_the_examples_of_help_and_manual(self):
        self.a_folder_like_the_project()
        commands = ["PATH=$PWD/build:$PATH"]
        for verb in re.findall(r"\n  ([a-z-]+) ", run("help").stdout.decode()):
            commands += re.findall(r"^  (memfile-tool .*)$", run(verb, "--help").stdout.decode(), re.M)
        self.assertGreater(len(commands), 10)
        self.run_in_a_shell(commands)
        os.unlink(self.folder.name + "/agent.memfile")
        manual = (ROOT / "memfile-tool/memfile-tool.1").read_text().split(".SH EXAMPLES")[1].split(".SH")[0]
        commands = re.findall(r"^(memfile-tool .*)$", manual, re.M)
        self.assertGreater(len(commands), 4)
        self.run_in_a_shell(["PATH=$PWD/build:$PATH"] + commands)


class Refused(unittest.TestCase):
    """What is asked for wrongly is said in words, with exit code 2, and changes nothing."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = os.path.join(self.folder.name, "a.memfile")
        run("init", self.file)
        run("put", self.file, "hi", "--id", "a")
        self.before = Path(self.file).read_bytes()

    def refuse(self, words, *args):
        p = run(*args, code=2, cwd=self.folder.name, stdin=b"")
        self.assertIn(words, p.stderr.decode(errors="replace"), args)
        self.assertEqual(p.stdout, b"", args)
        self.assertEqual(Path(self.file).read_bytes(), self.before, args)
        self.assertEqual(sorted(os.listdir(self.folder.name)), self.names, args)

    def test_a_key_opens_no_file_that_is_not_there(self):
        Path(self.folder.name, "pw").write_text("secret")
        names = sorted(os.listdir(self.folder.name))
        p = run("import", "missing", "-", "--passphrase-file", "pw", stdin=b'{"text":"x"}\n', code=1, cwd=self.folder.name)
        self.assertIn("there is no 'missing' that a key could open", p.stderr.decode())
        self.assertIn("init 'missing'", p.stderr.decode())
        self.assertEqual(sorted(os.listdir(self.folder.name)), names)

    def test_options_and_arguments(self):
        f, deep = self.file, "/".join("s" * 33)
        Path(self.folder.name, "pw").write_text("secret")
        self.names = sorted(os.listdir(self.folder.name))
        for words, *args in (
                ("there is no verb 'nosuch'", "nosuch", f), ("there is no verb 'nosuch'", "help", "nosuch"),
                ("too many arguments: 'more'", "list", f, "more"), ("options begin with --", "list", f, "-x"),
                ("unknown option '--x'", "list", f, "--x"),
                ("--all takes no value", "list", f, "--all=1"), ("--all takes no value", "list", f, "--all="), ("unknown option '--pinned=1'", "put", f, "x", "--pinned=1"),
                ("--kind needs a value", "put", f, "x", "--kind"), ("--kind was given twice", "put", f, "x", "--kind", "a", "--kind", "b"),
                ("--limit takes a whole number from 1", "list", f, "--limit", "0"), ("--limit takes", "list", f, "--limit", "1x"),
                ("--limit takes", "list", f, "--limit", ""), ("--limit takes", "list", f, "--limit", "18446744073709551616"),
                ("--limit takes", "list", f, "--limit", "-1"), ("--limit takes", "log", f, "--limit", "0"),
                ("--level takes a whole number from 1 to 19", "compact", f, "--level", "0"), ("--level takes", "compact", f, "--level", "20"),
                ("--threads takes a whole number from 1 to 64", "compact", f, "--threads", "65"),
                ("--threads takes", "verify", f, "--threads", "0"), ("--threads takes", "recover", f, "out", "--threads", "65"),
                ("--threads takes", "prove", f, "a", "--threads", "0"), ("--threads takes", "import", f, "-", "--threads", "0"),
                ("--threads takes", "forget", f, "a", "--threads", "0"),
                ("--batch takes a whole number from 1", "import", f, "-", "--batch", "0"),
                ("--author takes a text of up to 255 bytes", "put", f, "x", "--author", os.fsdecode(b"\xff")),
                ("--author takes", "put", f, "x", "--author", "a" * 256), ("--author takes", "forget", f, "a", "--author", "a" * 256),
                ("--meta takes NAME=VALUE", "put", f, "x", "--meta", "=1"), ("--meta takes", "put", f, "x", "--meta", "a"),
                ("--link takes REL=ID", "put", f, "x", "--link", "r"), ("--link takes REL=ID", "put", f, "x", "--link", "r="),
                ("--link takes UTF-8", "put", f, "x", "--link", os.fsdecode(b"r=\xff")),
                ("--link takes UTF-8", "put", f, "x", "--link", os.fsdecode(b"\xff=r")),
                ("--time takes a time in UTC", "put", f, "x", "--time", "x"), ("--since takes a time", "list", f, "--since", "2020"),
                ("--scope takes 1 to 32 names", "list", f, "--scope", deep),
                ("--kind is empty", "forget", f, "--kind", ""), ("--tag is empty", "forget", f, "--tag", ""),
                ("either ids, or", "forget", f, "a", "--kind", "x"), ("either ids, or", "forget", f, "a", "--tag", "x"),
                ("either ids, or", "forget", f, "a", "--key", "x"), ("either ids, or", "forget", f, "a", "--scope", "x"),
                ("either ids, or", "forget", f, "a", "--since", "2020-01-01T00:00:00Z"),
                ("either ids, or", "forget", f, "a", "--before", "2020-01-01T00:00:00Z"), ("which memories?", "forget", f),
                ("none is set", "init", "new", "--passes", "3"), ("none is set", "init", "new", "--memory", "8"),
                ("--passes takes a whole number from 1 to 10", "init", "new", "--passphrase-file", "pw", "--passes", "11"),
                ("--memory takes a whole number from 8 to 1048576", "init", "new", "--passphrase-file", "pw", "--memory", "7"),
                ("whom is it to be sealed for?", "rekey", f), ("is missing", "import", f), ("is missing", "list")):
            self.refuse(words, *args)

    def test_each_filter_alone_chooses_what_is_forgotten(self):
        run("put", self.file, "x", "--id", "b", "--kind", "k", "--tag", "t", "--key", "y", "--scope", "s", "--time", "2020-01-01T00:00:00Z")
        for option, value in (("kind", "k"), ("tag", "t"), ("key", "y"), ("scope", "s"), ("since", "2019-01-01T00:00:00Z"),
                              ("before", "2021-01-01T00:00:00Z")):
            self.assertIn(b"b", run("forget", self.file, "--" + option, value, "--dry-run").stdout, option)

    def test_help_is_asked_for_in_three_ways(self):
        for args, code in ((("--help",), 0), (("-h",), 0), (("help",), 0), ((), 2)):
            p = run(*args, code=code)
            self.assertIn(b"usage: memfile-tool VERB", p.stdout + p.stderr)

    def test_two_dashes_end_the_options(self):
        run("put", self.file, "--", "--kind")
        self.assertEqual([e["text"] for e in lines(run("list", self.file, "--json").stdout)], ["hi", "--kind"])
        self.assertEqual(len(lines(run("list", "--json", "--limit=1", self.file).stdout)), 1)

    def test_text_is_utf8_and_messages_show_no_controls(self):
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xe2\x28\xa1",
                    b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82\x28", b"\xc2"):
            run("put", self.file, "x", "--author", os.fsdecode(b"<" + bad), code=2)
        for good in ("\u00e9", "\u0800", "\u20ac", "\U0001f600", "\u07ff", "\ud7ff", "\ue000", "\U00010000", "\U0010ffff"):
            run("put", self.file, "x", "--author", "<" + good)
            self.assertIn(f"<{good}", run("put", self.file, "x", "--time", "<" + good, code=2).stderr.decode())
        for control in (b"\x1b[31m", b"\x7f", b"\xc2\x9b"):
            self.assertNotIn(control, on_terminal("put", self.file, "x", "--time", os.fsdecode(b"<" + control + b">")))

    def test_json_of_the_tool_escapes_what_a_terminal_obeys(self):
        author = 'a"b\\c\x1b\x7f\u0085\u009f\u00a0é\t'
        run("put", self.file, "x", "--author", author)
        out = run("log", self.file, "--json").stdout
        self.assertEqual(lines(out)[0]["author"], author)
        for raw in ("\x1b", "\x7f", "\u0085", "\u009f", "\t"):
            self.assertNotIn(raw.encode(), out)
        self.assertIn("\u00a0é".encode(), out)

    def test_lines_of_nothing_are_passed_over_and_counted(self):
        p = run("import", self.file, "-", stdin=b'{"id":"b","text":"ok"}\n  \n\t\r\n\r\n{"id":"c","text":"ok"}')
        self.assertEqual([e["id"] for e in lines(run("list", self.file, "--json").stdout)], ["a", "b", "c"])
        p = run("import", self.file, "-", stdin=b'{"id":"d","text":"ok"}\n \t\r\n \t{"id":"e","text":} \t\r\n', code=None)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn(b"line 3", p.stderr)
        self.assertEqual(len(lines(run("list", self.file, "--json").stdout)), 3)


if __name__ == "__main__":
    unittest.main()
