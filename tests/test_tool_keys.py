"""memfile-tool: keys, passphrases, signatures, receipts and proofs, as scripts and people use them."""
import fcntl
import os
import pty
import re
import signal
import stat
import subprocess
import tempfile
import termios
import time
import unittest

from test_tool import TOOL, run # takes TOOL from the command line


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


class Keys(unittest.TestCase):
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

    def test_keygen_makes_a_file_for_its_owner_alone(self):
        for option, letter in (((), "r"), (("--sign",), "s")):
            path = self.path("k" + letter)
            public = run("keygen", *option, path, preexec_fn=lambda: os.umask(0)).stdout.decode().rstrip("\n")
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


if __name__ == "__main__":
    unittest.main()
