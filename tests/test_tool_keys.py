"""memfile-tool: keys, passphrases, signatures, receipts and proofs, as scripts and people use them."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path

from test_tool import ROOT, TOOL, run # takes both from the command line

sys.path.append(str(ROOT / "scripts"))
import ed25519  # noqa: E402


def at_a_terminal(*args, answers, **more):
    """Runs the tool with a terminal of its own, answers each prompt, gives (exit code, what was shown, stdout)."""
    ours, theirs = pty.openpty()

    def take():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    p = subprocess.Popen([TOOL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, preexec_fn=take, **more)
    shown = b""
    for prompt, answer in answers:
        while not re.search(prompt, shown):
            shown += os.read(ours, 4096)
        if isinstance(answer, int):
            p.send_signal(answer)
        else:
            os.write(ours, answer)
    out, err = p.communicate(timeout=60)
    echo = bool(termios.tcgetattr(theirs)[3] & termios.ECHO)
    os.close(theirs)
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass # the terminal is gone
    os.close(ours)
    return p.returncode, shown, out, err, echo


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.key = os.path.join(self.folder.name, "k")

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content)
        return path

    def content(self, name):
        with open(self.path(name), "rb") as f:
            return f.read().decode()


class Keys(Folder):
    def test_keygen_makes_a_file_for_its_owner_alone(self):
        for option, letter, umask in (((), "r", 0), (("--sign",), "s", 0), ((), "r", 0o777)):
            path = self.path(f"k{letter}{umask}")
            public = run("keygen", *option, path, preexec_fn=lambda: os.umask(umask)).stdout.decode().rstrip("\n")
            self.assertRegex(public, rf"^mf{letter}1-[A-Za-z0-9_-]{{48}}$")
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            self.assertRegex(self.content(path), rf"^# .*\n# {public}\nMF{letter.upper()}1-SECRET-[A-Za-z0-9_-]{{48}}\n$")

    def test_keygen_writes_over_nothing(self):
        self.path("k", b"precious")
        p = run("keygen", self.key, code=6)
        self.assertEqual((p.stdout, self.content("k")), (b"", "precious"))
        os.symlink(self.path("nowhere"), self.path("l"))
        run("keygen", self.path("l"), code=6)
        self.assertFalse(os.path.exists(self.path("nowhere")))

    def test_keygen_says_when_it_cannot_write(self):
        p = run("keygen", self.path("none/k"), code=7)
        self.assertIn(b"No such file", p.stderr)
        if b"__tsan_init" in Path(TOOL).read_bytes():
            return  # the thread sanitizer writes before main does
        p = subprocess.run(["sh", "-c", "ulimit -f 0; \"$0\" keygen \"$1\"", TOOL, self.key], capture_output=True)
        self.assertEqual((p.returncode, p.stdout, os.path.exists(self.key)), (7, b"", False))
        self.assertIn(b"cannot write", p.stderr)

    def test_a_passphrase_from_a_file_or_a_descriptor_locks(self):
        run("keygen", self.path("a"), "--passphrase-file", self.path("p", b"tea\n"))
        run("keygen", self.path("b"), "--passphrase-fd", "0", stdin=b"tea")
        for name in "ab":
            self.assertRegex(self.content(name), r"\nMFR1-LOCKED-[A-Za-z0-9_-]{128}\n$")
        self.assertIn(b'"locked":true', run("keygen", self.path("c"), "--json", "--passphrase-fd", "0", stdin=b"x").stdout)

    def test_passphrases_that_are_none(self):
        for content, word in ((b"", b"is empty"), (b"\n", b"is empty"), (b"\r\n", b"is empty"), (b"x" * 1025, b"more than 1024"),
                              (b"x" * 5000, b"more than 1024")):
            p = run("keygen", self.key, "--passphrase-file", self.path("p", content), code=5)
            self.assertIn(word, p.stderr)
        run("keygen", self.key, "--passphrase-file", self.path("absent"), code=7)
        run("keygen", self.key, "--passphrase-fd", "99", code=7)
        run("keygen", self.key, "--passphrase-fd", "x", code=2)
        run("keygen", self.key, "--passphrase-fd", "0", "--passphrase", code=2)
        self.assertFalse(os.path.exists(self.key))
        run("keygen", self.key, "--passphrase-fd", "0", stdin=b"x" * 1024 + b"\r\n")

    def test_the_terminal_asks_twice_and_shows_nothing(self):
        code, shown, out, err, echo = at_a_terminal("keygen", self.key, "--passphrase", answers=[
            (rb"New passphrase '[^']*': $", b"secret tea\n"), (rb"again: $", b"secret tea\n")])
        self.assertEqual((code, echo), (0, True), err)
        self.assertNotIn(b"secret", shown + err)
        self.assertIn(b"mfr1-", out)
        code, shown, out, err, echo = at_a_terminal("keygen", self.path("b"), "--passphrase", answers=[
            (rb"New passphrase '[^']*': $", b"tea\n"), (rb"again: $", b"coffee\n")])
        self.assertEqual((code, out, echo), (5, b"", True))
        self.assertIn(b"differ", err)
        code, shown, out, err, echo = at_a_terminal("keygen", self.path("b"), "--passphrase", answers=[
            (rb"New passphrase '[^']*': $", b"\n")])
        self.assertEqual((code, out, echo), (5, b"", True))
        self.assertFalse(os.path.exists(self.path("b")))

    def test_a_signal_leaves_the_terminal_with_its_echo(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            code, shown, out, err, echo = at_a_terminal("keygen", self.key, "--passphrase", answers=[
                (rb"New passphrase '[^']*': $", number)])
            self.assertEqual((code, echo), (-number, True))
        self.assertFalse(os.path.exists(self.key))

    def test_without_a_terminal_there_is_advice(self):
        p = run("keygen", self.key, "--passphrase", code=5, start_new_session=True)
        self.assertIn(b"no terminal", p.stderr)
        self.assertIn(b"--passphrase-file", p.stderr)


class Signatures(Folder):
    """Who signed what."""
    def setUp(self):
        super().setUp()
        self.file = self.path("a.memfile")
        self.public = run("keygen", "--sign", self.key).stdout.decode().strip()
        self.other = run("keygen", "--sign", self.path("other")).stdout.decode().strip()

    def verify(self, *options, code=0):
        p = run("verify", self.file, "--json", *options, code=code)
        return json.loads(p.stdout), p.stderr.decode()

    def test_all_verbs_that_write_sign(self):
        run("init", self.file, "--sign-with", self.key)
        run("put", self.file, "Tea.", "--sign-with", self.key)
        run("import", self.file, "-", "--batch", "1", "--sign-with", self.key, stdin=b'{"text":"a"}\n{"text":"b"}\n')
        result, _ = self.verify()
        self.assertEqual((result["signatures"], result["signers"]), (4, [
            {"public_key": self.public, "commits": 4, "signed_through": 3, "entries": 3, "covers_newest": True}]))
        for line in run("log", self.file).stdout.decode().splitlines():
            self.assertTrue(line.endswith("  signed"), line)
        run("put", self.file, "Late.", "--author", "Ann")
        log = [json.loads(x) for x in run("log", self.file, "--json").stdout.splitlines()]
        self.assertEqual([c["signers"] for c in log], [[]] + [[self.public]] * 4)
        self.assertTrue(run("log", self.file, "--limit", "1").stdout.decode().endswith("entry    Ann\n"))

    def test_a_trusted_signer_must_cover_the_newest_commit(self):
        run("init", self.file, "--sign-with", self.key)
        run("put", self.file, "Tea.", "--sign-with", self.key)
        self.assertTrue(self.verify("--signer", self.public)[0]["trusted"])
        self.assertTrue(self.verify("--signer", self.other, "--signer", self.public)[0]["trusted"])
        result, said = self.verify("--signer", self.other, code=3)
        self.assertEqual((result["trusted"], result["result"]), (False, "sound"))
        self.assertIn("the newest commit, 1, is not covered", said)
        self.assertNotIn("hint", said)
        run("put", self.file, "More.", "--sign-with", self.path("other"))
        run("put", self.file, "Late.")
        result, said = self.verify("--signer", self.public, code=3)
        self.assertEqual((result["trusted"], result["signers"][0]["trusted"], result["signers"][1]["trusted"]), (False, True, False))
        self.assertIn("up to commit 1 is: the first 1 entry", said)
        p = run("verify", self.file, "--signer", self.public, code=3)
        self.assertIn(f"signed through commit 1, 2 newer ones are not covered, by {self.public}, trusted, (2 signatures)\n"
                      f"signed through commit 2, 1 newer one is not covered, by {self.other} (1 signature)\n", p.stdout.decode())
        run("put", self.file, "All.", "--sign-with", self.key)
        p = run("verify", self.file, "--signer", self.public)
        self.assertIn(f"signed through commit 4, the newest, by {self.public}, trusted, (3 signatures)\n", p.stdout.decode())

    def test_trusted_signers_from_a_file(self):
        run("init", self.file, "--sign-with", self.key)
        run("verify", self.file, "--signers", self.path("s", f"# ours\n\n{self.other}\tBob\r\n{self.public} Ann\n".encode()))
        run("verify", self.file, "--signers", self.path("s", f"{self.other}".encode()), code=3)
        for content, word in ((b"# none\n", "holds no public key"), (b"mfs1-x Ann\n", "'mfs1-x'"), (b"# " + b"x" * 70000, "more than")):
            p = run("verify", self.file, "--signers", self.path("s", content), code=2)
            self.assertIn(word, p.stderr.decode())
        run("verify", self.file, "--signers", self.path("absent"), code=7)

    def test_what_is_no_signer_is_refused(self):
        run("init", self.file)
        recipient = run("keygen", self.path("r")).stdout.decode().strip()
        self.assertIn("opens sealed files", run("verify", self.file, "--signer", recipient, code=2).stderr.decode())
        run("verify", self.file, "--signer", self.public[:-1], code=2)
        self.assertIn("--quick", run("verify", self.file, "--quick", "--signer", self.public, code=2).stderr.decode())
        self.assertIn("opens sealed files", run("put", self.file, "x", "--sign-with", self.path("r"), code=5).stderr.decode())
        self.assertIn("not a key", run("put", self.file, "x", "--sign-with", self.path("e", b""), code=5).stderr.decode())
        run("put", self.file, "x", "--sign-with", self.path("absent"), code=7)
        run("put", self.file, "x", "--sign-passphrase-file", self.path("e"), code=2)
        self.assertEqual(run("list", self.file, code=1).stdout, b"")

    def test_a_locked_key_signs_with_its_passphrase(self):
        locked, right, wrong = self.path("l"), self.path("p", b"tea\n"), self.path("w", b"coffee\n")
        public = run("keygen", "--sign", locked, "--passphrase-file", right).stdout.decode().strip()
        run("init", self.file, "--sign-with", locked, "--sign-passphrase-file", right)
        run("verify", self.file, "--signer", public)
        p = run("put", self.file, "x", "--sign-with", locked, "--sign-passphrase-file", wrong, code=5)
        self.assertIn(b"the passphrase is wrong", p.stderr)
        code, shown, out, err, echo = at_a_terminal("put", self.file, "x", "--sign-with", locked, answers=[
            (rb"Passphrase '[^']*/l': $", b"tea\n")])
        self.assertEqual((code, echo), (0, True), err)
        run("verify", self.file, "--signer", public)

    def test_a_key_that_others_can_read_is_warned_of(self):
        os.chmod(self.key, 0o644)
        self.assertIn(b"others can read the key", run("init", self.file, "--sign-with", self.key).stderr)


class Receipts(Folder):
    """What a line that was kept elsewhere says of a copy."""
    def setUp(self):
        super().setUp()
        self.file = self.path("a.memfile")
        self.copy = self.path("b.memfile")
        run("init", self.file)
        for text in ("Tea.", "More."):
            run("put", self.file, text)

    def receipt(self, path=None):
        return run("receipt", path or self.file).stdout.decode()

    def verify(self, path, line, word, code, said=None):
        p = run("verify", path, "--receipt", line, "--json", code=code)
        self.assertEqual(json.loads(p.stdout)["receipt"], word)
        p = run("verify", path, "--receipt", line, code=code)
        if said:
            self.assertIn(said, (p.stdout if code == 0 else p.stderr).decode())
        return p

    def test_words_and_exit_codes(self):
        line = self.receipt()
        self.assertRegex(line, r"^memfile-receipt-1 [0-9a-f]{32} 2 2 [0-9a-f]{64} [0-9a-f]{64} [0-9a-f]{8}\n$")
        shutil.copy(self.file, self.copy)
        self.verify(self.file, line, "exact", 0, "receipt: exactly that history, up to commit 2\n")
        run("put", self.file, "Later.")
        self.verify(self.file, line, "later", 0, "receipt: that history, up to commit 2, and 1 later commit\n")
        newer = self.receipt()
        p = self.verify(self.copy, newer, "older", 3, "older than the receipt: its newest commit is 2, the receipt's 3")
        self.assertIn("ends cleanly", p.stderr.decode())
        with open(self.file, "rb") as f:
            torn = f.read()[:-3]
        p = self.verify(self.path("t.memfile", torn), newer, "older", 3)
        self.assertIn("may have been cut off", p.stderr.decode())
        run("put", self.copy, "Other.")
        self.verify(self.copy, newer, "forked", 3, "another way: its commit 3 is not the receipt's")
        run("init", self.path("c.memfile"))
        self.verify(self.path("c.memfile"), newer, "other-memory", 3, "of another memory")
        run("compact", self.file)
        self.verify(self.file, line, "later", 0)
        self.verify(self.file, newer, "exact", 0)

    def test_a_memory_that_was_written_anew_is_told(self):
        parts = self.receipt().split()
        parts[5] = "0" * 64
        before = " ".join(parts[:6])
        check = hashlib.blake2b(before.encode(), digest_size=32, person=b"memfile1.receipt").hexdigest()[:8]
        self.verify(self.file, f"{before} {check}", "rewritten", 3, "it was written anew")

    def test_damage_is_said_beside_the_receipt(self):
        line = self.receipt()
        with open(self.file, "r+b") as f:
            f.seek(-60, os.SEEK_END)
            byte = f.read(1)
            f.seek(-60, os.SEEK_END)
            f.write(bytes([byte[0] ^ 1]))
        p = run("verify", self.file, "--receipt", line, "--json", code=3)
        self.assertIn(json.loads(p.stdout)["receipt"], ("older", "unknown"))
        self.assertEqual(json.loads(p.stdout)["result"], "damaged")

    def test_a_receipt_comes_from_a_file_too(self):
        path = self.path("r", self.receipt().encode())
        self.verify(self.file, "@" + path, "exact", 0)
        run("verify", self.file, "--receipt", "@" + self.path("absent"), code=7)
        run("verify", self.file, "--receipt", "@" + self.path("long", b"x" * 70000), code=2)

    def test_typing_errors_are_told(self):
        line = self.receipt().strip()
        for wrong in (line[:-1], line.replace(" 2 ", " 3 ", 1), "", "memfile-receipt-2" + line[17:]):
            self.assertIn(b"not a receipt", run("verify", self.file, "--receipt", wrong, code=2).stderr)
        self.assertIn(b"--quick", run("verify", self.file, "--quick", "--receipt", line, code=2).stderr)
        result = json.loads(run("receipt", self.file, "--json").stdout)
        self.assertEqual(result, {"receipt": line, "commit": 2, "entries": 2})
        run("receipt", self.path("absent"), code=1)


def blake(label, *parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32, person=label.ljust(16, b"\0")).digest()


def climb(fanout, index, count, digest, path):
    """SPEC 20.14: the root that a path leads to."""
    while count > 1:
        size = min(fanout, count - index // fanout * fanout)
        others, path = path[:32 * (size - 1)], path[32 * (size - 1):]
        at = 32 * (index % fanout)
        digest = blake(b"memfile1.node", others[:at], digest, others[at:]) if size > 1 else digest
        index, count = index // fanout, -(-count // fanout)
    assert path == b""
    return digest


def uint(data, at):
    low = data[at] & 31
    return (low, at + 1) if low < 24 else (int.from_bytes(data[at + 1:at + 1 + (1 << low - 24)], "big"), at + 1 + (1 << low - 24))


def body(data):
    """Fields 1, 3 to 6 of a body (SPEC 8.6) without further pairs."""
    fields, at, pairs = {}, 1, data[0] & 31
    for _ in range(pairs):
        key, major = data[at], data[at + 1] >> 5
        number, at = uint(data, at + 1)
        if major == 2 or major == 3:
            fields[key], at = data[at:at + number], at + number
        elif major == 4:
            at += 34 * number
        else:
            fields[key] = number
    assert at == len(data)
    return fields


class Proofs(Folder):
    """An entry is part of a history, without the file."""
    def setUp(self):
        super().setUp()
        self.file = self.path("a.memfile")
        self.public = run("keygen", "--sign", self.key).stdout.decode().strip()
        run("init", self.file)
        run("import", self.file, "-", "--author", "Ann",
            stdin=b"".join(b'{"id":"%d","text":"entry %d"}\n' % (i, i) for i in range(40)))
        run("put", self.file, "Last.", "--id", "last", "--sign-with", self.key)

    def prove(self, *options):
        with open(self.path("proof"), "wb") as f:
            f.write(run("prove", self.file, *options).stdout)
        return self.path("proof")

    def test_a_proof_is_checked_without_the_file(self):
        proof, receipt = self.prove("17"), run("receipt", self.file).stdout.decode()
        os.unlink(self.file)
        p = run("verify-proof", proof)
        self.assertIn('{"id":"17","text":"entry 17"}\nis entry 18 of 40 of commit 1, ', p.stdout.decode())
        self.assertIn(f"signed by      {self.public}\n", p.stdout.decode())
        self.assertIn(b"hint: whoever made this could make another", p.stderr)
        p = run("verify-proof", proof, "--receipt", receipt, "--signer", self.public, "--json")
        result = json.loads(p.stdout)
        self.assertEqual(p.stderr, b"")
        self.assertEqual((result["holds"], result["trusted"], result["entry"], result["commit"], result["index"], result["count"],
                          result["author"], result["newest_commit"], result["signers"]),
                         (True, True, {"id": "17", "text": "entry 17"}, 1, 17, 40, "Ann", 2, [self.public]))
        self.assertEqual(receipt.split()[4], result["history_digest"])

    def test_proofs_hold_by_the_specification_too(self):
        for i in range(40):
            run("put", self.file, f"more {i}", "--id", f"m{i}", "--sign-with", self.key)
        for name in ["0", "15", "16", "39", "last", "m0", "m7", "m38", "m39"]:
            with open(self.prove(name), "rb") as f:
                p = json.loads(f.read())
            get = lambda member: base64.b64decode(p[member], validate=True)
            commit, head = body(get("commit")), body(get("newest" if "newest" in p else "commit"))
            leaf = blake(b"memfile1.leaf", bytes.fromhex(p["salt"]), get("core"))
            self.assertEqual(climb(16, p["index"], commit[3], leaf, get("entries_path")), commit[4])
            if "newest" in p:
                self.assertEqual(climb(2, commit[5], head[5], blake(b"memfile1.commit", get("commit")), get("log_path")), head[6])
            digest = blake(b"memfile1.commit", get("newest" if "newest" in p else "commit"))
            self.assertEqual((digest.hex(), commit[1]), (p["history_digest"], head[1]))
            self.assertEqual(digest.hex(), run("receipt", self.file).stdout.decode().split()[4])
            signature = get("signatures")
            self.assertTrue(ed25519.valid(signature[32:], signature[:32], b"memfile1.signature" + head[1] + digest
                                          + head[5].to_bytes(8, "little")))
            self.assertIn(name.encode(), get("core"))

    def test_sealed_files_too(self):
        sealed, identity = self.path("s.memfile"), self.path("identity")
        recipient = run("keygen", identity).stdout.decode().strip()
        run("init", sealed, "--recipient", recipient, "--sign-with", self.key)
        run("put", sealed, "Tea.", "--id", "t", "--identity", identity, "--sign-with", self.key)
        receipt = run("receipt", sealed, "--identity", identity).stdout.decode()
        run("verify", sealed, "--identity", identity, "--receipt", receipt, "--signer", self.public)
        with open(self.path("p"), "wb") as f:
            f.write(run("prove", sealed, "t", "--identity", identity).stdout)
        run("verify-proof", self.path("p"), "--receipt", receipt, "--signer", self.public)
        run("receipt", sealed, code=5)
        run("prove", sealed, "t", code=5)
        for option, value in (("--receipt", receipt), ("--signer", self.public)):
            self.assertIn(b"without a key", run("verify", sealed, "--without-key", option, value, code=2).stderr)

    def test_a_proof_must_hang_by_what_is_trusted(self):
        other = run("keygen", "--sign", self.path("other")).stdout.decode().strip()
        early = run("receipt", self.file).stdout.decode()
        proof = self.prove("17")
        self.assertIn(b"not signed by a signer that you trust", run("verify-proof", proof, "--signer", other, code=3).stderr)
        run("put", self.file, "Later.")
        late = run("receipt", self.file).stdout.decode()
        p = run("verify-proof", proof, "--receipt", late, code=3)
        self.assertIn(b"leads to commit 2, the receipt is of commit 3", p.stderr)
        self.assertIn(b"--as-of 3", p.stderr)
        p = run("verify-proof", self.prove("17"), "--receipt", late)
        p = run("verify-proof", self.prove("17", "--as-of", "2"), "--receipt", early)
        run("init", self.path("b.memfile"))
        p = run("verify-proof", proof, "--receipt", run("receipt", self.path("b.memfile")).stdout.decode(), code=3)
        self.assertIn(b"of another memory", p.stderr)

    def test_what_does_not_hold_or_cannot_be_proved(self):
        proof = self.prove("3")
        with open(proof, "rb") as f:
            data = f.read()
        for wrong in (data[:-2], data.replace(b'"index":3', b'"index":4'), b"", b"{}\n", b"x" * (10 << 20)):
            p = run("verify-proof", self.path("w", wrong), code=3)
            self.assertIn(b"the proof does not hold", p.stderr)
            self.assertEqual(p.stdout, b"")
        run("verify-proof", self.path("absent"), code=1)
        run("prove", self.file, "none", code=1)
        run("prove", self.path("absent"), "3", code=1)

    def test_out_is_a_new_file(self):
        run("prove", self.file, "3", "--out", self.path("o"))
        run("verify-proof", self.path("o"))
        self.assertIn(b"exists", run("prove", self.file, "3", "--out", self.path("o"), code=6).stderr)
        self.assertIn(b"cannot write", run("prove", self.file, "3", "--out", self.path("none/o"), code=7).stderr)


if __name__ == "__main__":
    unittest.main()
