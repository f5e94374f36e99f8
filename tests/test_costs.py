"""What small hostile files may cost: test_costs.py TOOL ROOT [NAME ...].

Each file is some ten kilobytes that say as much as they can: rows of no bytes, zstd frames of one repeated byte, indexes
that lie. All checksums are right. Each verb is run with a limit on its processor time and on what it allocates, both far
above what it takes, and far below what it would take if time grew with the square of the file, or if what nothing
can use were kept. Under a sanitizer, which reserves terabytes, memory is not limited."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

tool, root, only = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
sys.path.insert(0, str(root / "scripts"))
try:
    import zstandard

    from vector_writer import *
except ImportError as error:
    print(f"passed over: {error} (Debian: python3-xxhash, python3-zstandard, python3-nacl)")
    sys.exit(77)

MEMORY, DICTIONARIES = 224 << 20, 448 << 20 # of a file; of one with 64 dictionaries of a MiB, twice
ROWS = 4096
sanitized = b"__asan_init" in Path(tool).read_bytes() or b"__tsan_init" in Path(tool).read_bytes()
SECONDS = 100 if sanitized else 20
folder = Path(tempfile.mkdtemp())


def constant(value, n):
    """A column of n equal values (1.5), in one byte of bits."""
    return u8(0) + varint(value) if n else b""


def strip(kind, key, key_step, value, value_step, n):
    """Items in arithmetic progression: a strip of form 1 (10.3) that takes no bytes for each."""
    return (u8(kind) + u8(1) + varint(n) + varint(key) + constant(key_step, n - 1)
            + varint(value) + constant(value_step, n - 1))


def strips(kind, key, key_step, value, value_step, n):
    """The same in leaves of 65,536 items: (first item, strip)."""
    return [((kind, key + i * key_step, value + i * value_step),
             strip(kind, key + i * key_step, key_step, value + i * value_step, value_step, min(65536, n - i)))
            for i in range(0, n, 65536)]


def repeated(n, byte):
    """A zstd frame of n times one byte."""
    out = b"\x28\xb5\x2f\xfd" + u8(0xA0) + u32(n)
    while n:
        length = min(n, 128 << 10)
        n -= length
        out += (length << 3 | 2 | (n == 0)).to_bytes(3, "little") + byte
    return out


class Hostile(File):
    """Segments and pages as they are given; the genesis, and one more commit of `count` entries that nothing hashes."""

    def rows(self, first, head, content=b"", **more):
        return self.segment(RECORDS, varint(first) + head, content, **more)

    def alike(self, n):
        """Rows of one id and no text."""
        ids = constant(2, n) + u8(1) + varint(0) + ((1 << n) - 2).to_bytes(n // 8, "little")
        suffixes = u8(1) + varint(0) + (1).to_bytes(n // 8, "little") + b"a"
        return varint(n) + constant(1 << M_TEXT, n) + varint(0) + ids + suffixes + constant(0, n)

    def tree(self, count, leaves):
        """A run of these leaf pages, and of a page above them."""
        total, children = 0, []
        for item, body in leaves:
            at = self.segment(INDEX, u8(0) + varint(0) + varint(count) + body, flags=F_DERIVED)
            children.append((item, at, len(self.data) - at))
            total += len(self.data) - at
        level = 0
        while len(children) > 1:
            level, above = level + 1, []
            for i in range(0, len(children), 500):
                part = children[i:i + 500]
                table = varint(len(part)) + b"".join(ints([c[0][k] for c in part]) for k in range(3))
                table += ints([c[1] // 8 for c in part]) + ints([c[2] // 8 for c in part])
                at = self.segment(INDEX, u8(level) + varint(0) + varint(count) + table, flags=F_DERIVED)
                above.append((part[0][0], at, len(self.data) - at))
                total += len(self.data) - at
            children = above
        return dict(type=1, count=count, offset=children[0][1], length=children[0][2], total=total, parameters=b"")

    def end(self, count, run=None, superseded=0, objects=0, forgotten=0, commits=2, rows=(), number=1):
        foot = self.prefix() + varint(count if run else 0) + varint(commits if run else 0) + varint(superseded)
        frontier = [bytes(32)] * bin(number).count("1") if number > 1 else [self.log[0].digest]
        foot += varint(objects) + varint(len(frontier)) + b"".join(frontier) + varint(0) + varint(0)
        foot += varint(len(rows)) + varint(rows[0] // 8 if rows else 0) + varint(1 if run else 0)
        if run:
            foot += varint(run["type"]) + varint(run["count"]) + b"".join(
                varint(run[k] // 8) for k in ("offset", "length", "total")) + string(b"")
        time = self.clock + 1_000_000
        head = varint((FULL if rows else LOGICAL | FULL) | (SALT if count else 0)) + varint(number) + varint(0)
        head += varint(count) + varint((len(self.data) - (self.group_start or len(self.data))) // 8) + zigzag(time)
        head += bytes(32) + ((varint(0) + self.salt) if count else b"")
        self.finish(head + foot + self.salt + varint(forgotten) + string(b""), b"", None, True, 0, 0, None, None, None)
        return self


def began():
    file = Hostile()
    file.commit()
    return file


def tail_of_rows():
    """63 inline commits of 4,096 rows of one id each: 258,048 entries that no index covers."""
    file = File()
    file.commit()
    rows = [note("a", "") for _ in range(ROWS)]
    for _ in range(63):
        file.log[1:] = []          # digests of this many leaves would take a minute here
        file.leaves = []
        file.commit(rows, full=False, digest={4: bytes(32)})
    return file


def rows_of_history():
    """Folded commits of no bytes: 32 segments of 4,096."""
    file = Hostile()
    at = [file.segment(HISTORY, varint(k * ROWS) + varint(ROWS) + varint(0) + constant(0, ROWS) * 2
                       + zigzag(file.clock + k * ROWS) + constant(2, ROWS - 1)) for k in range(32)]
    run = file.tree(0, [((10, k * ROWS, 0), strip(10, k * ROWS, 1, 0, 0, ROWS)) for k in range(32)])
    return file.end(0, run, commits=32 * ROWS, rows=at, number=32 * ROWS - 1)


def rows_of_blocks():
    """64 blocks of 4,096 rows of one id."""
    file = began()
    at = [file.rows(i * ROWS, file.alike(ROWS)) for i in range(64)]
    n = 64 * ROWS
    leaves = strips(1, 0, ROWS, at[0] // 8, (at[1] - at[0]) // 8, 64) + strips(2, file.hash(0, b"a"), 0, 0, 1, n)
    leaves += strips(7, 0, 1, 1, 1, n - 1) + strips(10, 0, 1, 0, n, 2)
    return file.end(n, file.tree(n, leaves), superseded=n - 1)


def dictionaries():
    """600 dictionaries of a MiB, of which nothing names one."""
    file = began()
    for i in range(600):
        data = bytes((1 + i % 200,)) * (1048576 - i // 200)
        file.segment(DICTIONARY, varint(xxh3(data) & 0xFFFFFFFF or 1) + u8(0), data, codec=1,
                     stored=repeated(len(data), data[:1]))
    file.records([note("a", "x")])
    file.commit()
    return file


def leaves_again_and_again():
    """1,400 entries that forget, each 4,096 times the same leaf, which is none."""
    file = began()
    n = 200 * 7
    forget = note("a", None, op=1, supersedes=[bytes(32)] * 4096)
    head, content = block([forget] * 7)
    stored = compress(content)
    at = [file.rows(i * 7, head, content, codec=1, stored=stored) for i in range(200)]
    leaves = [((1, 0, at[0] // 8), strip(1, 0, 7, at[0] // 8, (at[1] - at[0]) // 8, 200))]
    leaves += strips(2, file.hash(0, b"a"), 0, 0, 1, n) + strips(7, 0, 1, 1, 1, n - 1) + strips(10, 0, 1, 0, n, 2)
    return file.end(n, file.tree(n, leaves), superseded=n - 1)


def leaves_that_fit_many():
    """4,096 rows erased, all of one leaf; 4,096 entries that forget it; no index."""
    file = began()
    leaf = b"\x07" * 32
    file.rows(0, varint(ROWS) + constant(1 << M_ERASED, ROWS) + varint(0) + leaf * ROWS)
    head, content = block([note("a", None, op=1, supersedes=[leaf]) for _ in range(ROWS)])
    file.rows(ROWS, head, content, codec=1, stored=compress(content))
    return file.end(2 * ROWS)


def chains():
    """65,536 entries of one id; the index says of the first half that they are superseded by one entry, which is forgotten."""
    file = began()
    n, half = 16 * ROWS, 8 * ROWS
    at = [file.rows(i * ROWS, file.alike(ROWS)) for i in range(16)]
    leaves = strips(1, 0, ROWS, at[0] // 8, (at[1] - at[0]) // 8, 16) + strips(2, file.hash(0, b"a"), 0, 0, 1, n)
    leaves += strips(7, 0, 1, half, 0, half) + strips(7, half, 1, half + 1, 1, half - 1)
    leaves += strips(10, 0, 1, 0, n, 2) + strips(11, half, 1, n - 1, 0, half - 1)
    return file.end(n, file.tree(n, leaves), superseded=n - 1, forgotten=half - 1)


def items_of_nothing(kind):
    """600 pages of 65,536 items of entries that are not there."""
    file = began()
    entry = note("a", "x", tags=["x"])
    head, content = block([entry])
    at = file.rows(0, head, content)
    leaves = strips(1, 0, 0, at // 8, 0, 1) + strips(2, file.hash(0, b"a"), 0, 0, 0, 1)
    if kind == 5:
        leaves += strips(5, file.hash(3, b"x"), 0, 1 << 38, 1, 65536 * 600)
    leaves += strips(10, 0, 1, 0, 1, 2)
    if kind == 11:
        leaves += strips(11, 1000, 2, 5000, 1, 65536 * 600)
    return file.end(1, file.tree(1, leaves), forgotten=1 if kind == 11 else 0)


def small_segments():
    """14,500 segments of no bytes in one group, all 8 bytes from where they say they are."""
    file = began()
    for _ in range(14500):
        file.segment(9, varint(0) + varint(0), flags=F_OPTIONAL)
    file.commit(full=True)
    return file.data[:80] + bytes(8) + file.data[80:]


def blocks_that_do_not_decode():
    """10,000 blocks of a row, of which the last decodes, and an index that leads nowhere."""
    file = began()
    head, content = block([note("a", "")])
    for i in range(9999):
        file.rows(i, head + b"\0", content)
    file.rows(9999, head, content)
    return file.end(10000, file.tree(10000, [((1, 0, 10), strip(1, 0, 1, 10, 1, 1))]))


def small_blocks_without_index():
    """10,000 blocks of a row that decode, and an index that leads nowhere."""
    file = began()
    head, content = block([note("a", "")])
    for i in range(10000):
        file.rows(i, head, content)
    return file.end(10000, file.tree(10000, [((1, 0, 10), strip(1, 0, 1, 10, 1, 1))]))


def texts():
    """300 blocks of 32 texts of 32,768 equal letters: 314 MB."""
    file = began()
    head, content = block([note("a", "a" * 32768) for _ in range(32)])
    at = [file.rows(i * 32, head, content, codec=1, stored=repeated_from(content)) for i in range(300)]
    n = 300 * 32
    leaves = strips(1, 0, 32, at[0] // 8, (at[1] - at[0]) // 8, 300) + strips(2, file.hash(0, b"a"), 0, 0, 1, n)
    return file.end(n, file.tree(n, leaves + strips(7, 0, 1, 1, 1, n - 1) + strips(10, 0, 1, 0, n, 2)), superseded=n - 1)


def contents():
    """A content of 60 chunks of one byte, 16 MB, that four entries have."""
    file = File()
    file.commit()
    data = b"a" * CHUNK_LENGTH
    for i in range(60):
        file.chunk(0, i, data, codec=1, stored=repeated(len(data), b"a"))
    whole = tree_hash([c[3] for c in file.open_chunks], 16)
    file.records([Entry({ID: f"n{i}", CONTENT: [0, len(data) * 60, whole]}, content=b"") for i in range(4)])
    file.commit(synced=True)
    return file


def repeated_from(content):
    """`content` is one byte again and again."""
    assert content == content[:1] * len(content)
    return repeated(len(content), content[:1])


def compress(content):
    return zstandard.ZstdCompressor(level=19, write_content_size=True).compress(content)


FILES = {f.__name__: f for f in (
    tail_of_rows, rows_of_history, rows_of_blocks, dictionaries, leaves_again_and_again, leaves_that_fit_many, chains,
    small_segments, blocks_that_do_not_decode, small_blocks_without_index, texts, contents)}
FILES["items_of_a_tag"] = lambda: items_of_nothing(5)
FILES["items_of_forgetting"] = lambda: items_of_nothing(11)
READ = (["info"], ["verify"], ["verify", "--quick"], ["log"], ["list"], ["list", "--tag", "x"],
        ["list", "--since", "2000-01-01T00:00:00Z"], ["list", "--reverse", "--limit", "3"], ["list", "--all", "--as-of", "1"], ["export"],
        ["get", "a"], ["get", "a", "--as-of", "1"], ["prove", "a"], ["recover", folder / "recovered"],
        ["compact", "--output", folder / "compacted"])
WRITE = (["put", "more"], ["forget", "a"])


def limit(memory):
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def index_damaged(data):
    """With a byte of its last page flipped; None: it has none."""
    pages = [s for s in segments_of(data) if s[0][4] == INDEX] if data[80:84] == SEGMENT_MAGIC else []
    return flip(data, int.from_bytes(pages[-1][0][16:24], "little") + 70) if pages else None


def cost(name, data, verb):
    """Runs it; its processor time, the MiB it had at most, and what is wrong with how it ended."""
    path = folder / "hostile.memfile"
    path.write_bytes(data)
    for out in ("recovered", "compacted"):
        (folder / out).unlink(missing_ok=True)
    with open(folder / "said", "w+b") as said:
        memory = DICTIONARIES if name.startswith("dictionaries") else MEMORY
        p = subprocess.Popen([tool, verb[0], path, *verb[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=said, preexec_fn=lambda: limit(memory))
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = code = os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = said.read().decode(errors="replace")
    seconds = used.ru_utime + used.ru_stime
    wrong = code not in (0, 1, 2, 3) or "out of memory" in words
    return seconds, used.ru_maxrss >> 10, \
        f"{name}: {' '.join(map(str, verb))}: {seconds:.1f} s, exit {code}: {words[-300:]}" if wrong else None


def main():
    failed = 0
    for name, make in FILES.items():
        if only and name not in only:
            continue
        made = make()
        whole = bytes(getattr(made, "data", made))
        for data, how in ((whole, ""), (index_damaged(whole), ", index damaged")):
            if data is None:
                continue
            slowest, largest = (0, ""), (0, "")
            for verb in READ + WRITE:
                seconds, mebibytes, wrong = cost(name + how, data, verb)
                slowest, largest = max(slowest, (seconds, verb[0])), max(largest, (mebibytes, verb[0]))
                failed += wrong is not None
                if wrong:
                    print(wrong)
            print(f"{name}{how}: {len(data)} bytes, at most {slowest[0]:.2f} s ({slowest[1]}), {largest[0]} MiB ({largest[1]})")
    return failed > 0


try:
    sys.exit(main())
finally:
    shutil.rmtree(folder)
