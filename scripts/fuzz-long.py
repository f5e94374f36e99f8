#!/usr/bin/python3
"""Runs fuzz targets until an hour of processor time brings no new edge.

fuzz-long.py BUILD FOLDER [--minutes N] [--jobs N] [--for MINUTES] [TARGET...]
fuzz-long.py BUILD FOLDER --report

BUILD is a build with MEMFILE_FUZZ (fuzz/README.md). FOLDER keeps for each target its corpus, what it printed and
the figures, so that the next run goes on where this one stopped.
  --minutes N    processor time without a new edge after which a target is done (60)
  --jobs N       targets at a time (as many as processors)
  --for MINUTES  stop after so long, done or not
A target that finds a fault ends; its input is FOLDER/TARGET/found-*. Exit 1 if one did."""
import argparse
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
FILES = ("image", "open", "verify", "append", "compact", "sealed")
LINE = re.compile(rb"^#(\d+)\s+(\w+)\s+cov: (\d+)", re.M)
TICK = os.sysconf("SC_CLK_TCK")
running, stopping = [], threading.Event()


def processor_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return (int(fields[11]) + int(fields[12])) / TICK


def targets(build):
    return sorted(p.name[5:] for p in (build / "fuzz").glob("fuzz_*") if p.suffix == "" and not p.name.endswith(("_replay", "_afl"))
                  and p.is_file() and os.access(p, os.X_OK))


class Target:
    def __init__(self, args, name):
        self.args, self.name, self.folder = args, name, args.folder / name
        self.program = args.build.resolve() / "fuzz" / f"fuzz_{name}"
        self.state_path = self.folder / "figures.json"
        self.state = {"edges": 0, "executions": 0, "seconds": 0.0, "quiet": 0.0, "fault": False}
        if self.state_path.exists():
            self.state.update(json.loads(self.state_path.read_text()))

    def seeds(self):
        corpus = root / "fuzz/corpus"
        names = ["file", "sealed", self.name] if self.name in FILES else [self.name]
        return [str(corpus / n) for n in dict.fromkeys(names) if (corpus / n).is_dir()]

    def run(self):
        (self.folder / "corpus").mkdir(parents=True, exist_ok=True)
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        before = dict(self.state)
        command = [str(self.program), "-timeout=60", "-rss_limit_mb=3000", "-reload=0", f"-artifact_prefix={self.folder}/found-",
                   str(self.folder / "corpus"), *self.seeds()]
        with open(self.folder / "log", "wb") as log:
            p = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=work)
            running.append(p)
            last, since, seconds, tail, executed = self.state["edges"], 0.0, 0.0, b"", 0
            begun = False
            while True:
                ready, _, _ = select.select([p.stderr], [], [], 5)
                data = os.read(p.stderr.fileno(), 65536) if ready else None
                if data == b"":
                    break
                seconds = processor_seconds(p.pid) or seconds
                if data:
                    log.write(data)
                    log.flush()
                    tail += data
                    *_, rest = tail.rpartition(b"\n")
                    for number, word, edges in LINE.findall(tail[:len(tail) - len(rest)]):
                        executed = int(number)
                        if word == b"INITED":  # the corpus is read: from here on edges are new
                            begun, since, last = True, seconds, max(last, int(edges))
                        elif int(edges) > last:
                            last = int(edges)
                            since = seconds
                    tail = rest
                quiet = (before["quiet"] if last == before["edges"] else 0.0) + (seconds - since if begun else 0.0)
                self.state.update(edges=last, executions=before["executions"] + executed, seconds=before["seconds"] + seconds,
                                  quiet=quiet)
                if quiet >= 60 * self.args.minutes or stopping.is_set():
                    p.send_signal(signal.SIGINT)
                    p.stderr.read()
                    break
            code = p.wait()
        self.state["fault"] = any("slow-unit" not in p.name for p in self.folder.glob("found-*")) # slow: the machine may have been
        self.state_path.write_text(json.dumps(self.state))
        print(f"{self.name}: {self.state['edges']} edges, {self.state['executions']} executions, {self.state['quiet'] / 60:.1f} min without "
              f"a new edge{', FAULT' if self.state['fault'] else ''} (exit {code})", flush=True)


def report(args):
    print("| target | executions | edges | processor minutes | of them since the last new edge |\n|---|---|---|---|---|")
    for name in targets(args.build):
        s = Target(args, name).state
        if s["executions"]:
            print(f"| {name} | {s['executions']:,} | {s['edges']} | {s['seconds'] / 60:.0f} | {s['quiet'] / 60:.0f} |")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("build", type=Path)
    ap.add_argument("folder", type=Path)
    ap.add_argument("target", nargs="*")
    ap.add_argument("--minutes", type=float, default=60)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--for", dest="total", type=float)
    ap.add_argument("--report", action="store_true")
    args = ap.parse_intermixed_args()
    args.folder = args.folder.resolve()
    if args.report:
        report(args)
        return 0
    queue = [Target(args, name) for name in args.target or targets(args.build)]
    queue = [t for t in queue if t.state["quiet"] < 60 * args.minutes and not t.state["fault"]]
    lock = threading.Lock()
    ran = []

    def work():
        while not stopping.is_set():
            with lock:
                if not queue:
                    return
                t = queue.pop(0)
            ran.append(t)
            t.run()

    threads = [threading.Thread(target=work) for _ in range(args.jobs)]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    end = time.monotonic() + 60 * args.total if args.total else None
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(1)
        if end and time.monotonic() > end:
            stopping.set()
    return 1 if any(t.state["fault"] for t in ran) else 0


sys.exit(main())
