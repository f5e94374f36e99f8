"""Each module includes only what stands below it (libmemfile/README.md), each
dependency is included by one file, and the tool uses memfile.h alone."""
import re
import sys
from pathlib import Path

root = Path(sys.argv[1])
rank = {}
for line in (root / "libmemfile/README.md").read_text().splitlines():
    m = re.match(r"\| (\d+) \| ([^|]+) \|", line)
    if m:
        for name in m.group(2).split(","):
            rank[name.strip()] = int(m.group(1))
belongs = {"io_posix": "io", "io_windows": "io", "block_read": "block", "block_write": "block", "history": "commit", "lookup": "store",
           "tail": "store", "rebuild": "walk", "group_keys": "group", "draft_json": "draft", "draft_inside": "draft", "record_json": "draft", "writer_begin": "writer",
           "writer_commit": "writer", "writer_dictionary": "writer", "writer_index": "writer", "writer_keys": "writer", "writer_forget": "writer", "forget": "handle", "erase": "handle", "batch": "writer", "memfile": "handle", "entry": "handle", "list": "handle", "verify": "handle",
           "verify_block": "handle", "verify_index": "handle", "verify_sign": "handle", "verify_segment": "handle", "verify_commit": "handle", "receipt": "handle", "proof": "handle",
           "compact": "handle", "rewrite": "handle", "survey": "handle", "recover": "handle"}
owners = {"zstd.h": {"compress.c"}, "zdict.h": {"compress.c"}, "xxhash.h": {"checksum.c"}, "sodium.h": {"digest.c", "keyfile.c", "keys.c", "seal.c"},
          "pthread.h": {"pool.c"}, "unistd.h": {"io_posix.c"}, "fcntl.h": {"io_posix.c"}, "errno.h": {"io_posix.c", "io_windows.c"},
          "sys/stat.h": {"io_posix.c"}, "time.h": {"io_posix.c"}, "windows.h": {"io_windows.c"}, "aclapi.h": {"io_windows.c"}}
bad = []
checked = 0
for path in sorted((root / "libmemfile/src").glob("*.[ch]")):
    module = belongs.get(path.stem, path.stem)
    if module not in rank:
        bad.append(f"{path.name}: module {module} has no rank in libmemfile/README.md")
        continue
    text = path.read_text()
    for name in re.findall(r'#include "([^"]+)\.h"', text):
        checked += 1
        if name == "memfile":
            continue
        other = belongs.get(name, name)
        if other not in rank:
            bad.append(f"{path.name}: includes {name}.h, which has no rank")
        elif rank[other] > rank[module]:
            bad.append(f"{path.name} (rank {rank[module]}) includes {name}.h (rank {rank[other]})")
    for name in re.findall(r"#include <([^>]+)>", text):
        if name in owners and path.name not in owners[name]:
            bad.append(f"{path.name}: <{name}> belongs to {', '.join(owners[name])}")
for path in sorted((root / "memfile-tool").glob("*.[ch]")):
    for name in re.findall(r'#include "([^"]+)"', path.read_text()):
        checked += 1
        if name not in ("tool.h", "memfile.h"):
            bad.append(f"{path.name}: includes {name}; the tool uses memfile.h only")
print("\n".join(bad) or f"{checked} includes in order")
sys.exit(1 if bad or checked < 100 else 0)
