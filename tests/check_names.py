"""Constants of format.h against the numbers in SPEC.md; words that must not be
in the repository; verbs and options of the tool against its manual page and
completions; every public function documented."""
import re
import subprocess
import sys
from pathlib import Path

root, tool = Path(sys.argv[1]), sys.argv[2]
spec = (root / "format-spec/SPEC.md").read_text()
code = (root / "libmemfile/src/format.h").read_text()
bad = []


def constant(name):
    m = re.search(rf"\b{name}\b\s*(?:=\s*)?(\(?[^,\n/}}]+)", code)
    if not m:
        bad.append(f"format.h has no {name}")
        return None
    text = re.sub(r"\(uint64_t\)|u\b|LL\b", "", m.group(1)).strip()
    return eval(re.sub(r"(\d+)(?:u|LL|ull)\b", r"\1", text))


def in_spec(pattern, name, scale=1):
    m = re.search(pattern, spec)
    if not m:
        bad.append(f"SPEC.md does not match /{pattern}/ for {name}")
        return
    number = int(m.group(1).replace(",", "")) * scale
    if number != constant(name):
        bad.append(f"{name} is {constant(name)}, SPEC.md says {number}")


in_spec(r"Format_Version \| u16 \| (\d+)", "MF_FORMAT_VERSION")
in_spec(r"\n(\d+) bytes at offset 0, never changed", "MF_HEADER_LENGTH")
in_spec(r"It is a (\d+)-byte segment", "MF_SEGMENT_HEADER_LENGTH")
in_spec(r"COMMIT, an (\d+)-byte trailer", "MF_TRAILER_LENGTH")
in_spec(r"Stored_Length \| u32 \| length of the body; at most ([\d,]+)", "MF_STORED_LENGTH_MAX")
in_spec(r"Raw_Length \| u32 \| length of the content before the codec; at most ([\d,]+)", "MF_RAW_LENGTH_MAX")
in_spec(r"core of an entry \| ([\d,]+) bytes", "MF_CORE_LENGTH_MAX")
in_spec(r"rows in a block \| ([\d,]+)", "MF_BLOCK_ROWS_MAX")
in_spec(r"rows of a HISTORY segment \| ([\d,]+)", "MF_HISTORY_ROWS_MAX")
in_spec(r"inline text, at most ([\d,]+) bytes", "MF_INLINE_CONTENT_MAX")
in_spec(r"cut into chunks of ([\d,]+) bytes", "MF_CHUNK_LENGTH")
in_spec(r"extensions of an entry [^|]+\| ([\d,]+) \|", "MF_EXTENSIONS_MAX")
in_spec(r"look-back \| ([\d,]+) bytes", "MF_LOOKBACK")
in_spec(r"least\nevery (\d+) MiB", "MF_GROUP_SYNC_INTERVAL", 1 << 20)
in_spec(r"A group of up to ([\d,]+) bytes in all", "MF_SMALL_GROUP_MAX")
in_spec(r"FULL when it is the (\d+)th", "MF_FULL_EVERY_COMMITS")
in_spec(r"would take more than ([\d,]+) bytes", "MF_FULL_EVERY_BYTES")
in_spec(r"cores of one block, together \| ([\d,]+)", "MF_BLOCK_CORES_MAX")
in_spec(r"body SHOULD be at most ([\d,]+) bytes", "MF_PAGE_BODY_TARGET")
in_spec(r"MUST be at most ([\d,]+)\. A tree", "MF_PAGE_BODY_MAX")
in_spec(r"fewer than (\d+) × 8\^\(L\+1\)", "MF_RUN_BASE")
in_spec(r"Entries root\*\* of a commit: tree hash, fan-out (\d+)", "MF_ENTRIES_FANOUT")
in_spec(r"Log root\*\*: tree hash, fan-out (\d+)", "MF_LOG_FANOUT")
in_spec(r"fan-out 4 and depth (\d+)", "MF_SALT_DEPTH")
if constant("MF_LOCK_OFFSET") != 1 << 62 or "byte at offset 2^62" not in spec:
    bad.append("the lock's offset differs")
for number, name in re.findall(r"\n\| (\d+) \| ([A-Z]+) \| (?:varint|at most|index|dictionary|key slots|commit head|folded|void|\()", spec):
    if constant(f"MF_TYPE_{name}") != int(number):
        bad.append(f"segment type {name}")
for number, name in re.findall(r"\n\| (\d+) \| ([A-Z]+) \| (?:first|hash|seconds|entry that|object|number of)", spec):
    if constant(f"MF_ITEM_{name}") != int(number):
        bad.append(f"item kind {name}")
fields = dict(re.findall(r"\n\| (\d+) \| ([a-z_]+) \| ", spec.split("## 7. Entry")[1].split("7.2")[0]))
for number, name in fields.items():
    if constant(f"MF_FIELD_{name.upper()}") != int(number):
        bad.append(f"field {name}")
if len(fields) != constant("MF_FIELD_COUNT"):
    bad.append(f"SPEC.md has {len(fields)} fields, format.h {constant('MF_FIELD_COUNT')}")
cddl = (root / "format-spec/record.cddl").read_text()
for number, name in fields.items():
    if not re.search(rf"\n  (\? )?{number} => ", cddl):
        bad.append(f"record.cddl lacks field {number} ({name})")

manual = (root / "memfile-tool/memfile-tool.1").read_text().replace("\\-", "-")
bash = (root / "memfile-tool/completion.bash").read_text()
zsh = (root / "memfile-tool/completion.zsh").read_text()
overview = subprocess.run([tool, "help"], capture_output=True, text=True, check=True).stdout
verbs = re.findall(r"\n  ([a-z-]+) ", overview)
if len(verbs) < 12:
    bad.append("help lists too few verbs")
for verb in verbs:
    text = subprocess.run([tool, "help", verb], capture_output=True, text=True, check=True).stdout
    if f".B {verb} " not in manual and f"\\fB{verb} " not in manual:
        bad.append(f"the manual page lacks the verb {verb}")
    for option in re.findall(r"\n  (--[a-z-]+)", text):
        for where, name in ((manual, "the manual page"), (bash, "completion.bash"), (zsh, "completion.zsh")):
            if not re.search(rf"(?<![a-z-]){option}(?![a-z-])", where):
                bad.append(f"{name} lacks {option} of {verb}")
for code_number in range(8):
    if f".B {code_number}\n" not in manual:
        bad.append(f"the manual page lacks exit code {code_number}")

line_format = manual.split(".SH FORMAT OF LINES")[1].split(".SH ")[0]
json_members = [name for name in fields.values() if name != "content"] # which has none, SPEC 7.7
if re.findall(r"\n\.TP\n\.B ([a-z_]+)\n", line_format) != json_members:
    bad.append("FORMAT OF LINES of the manual page has other members than SPEC.md, or another order")
if re.findall(r'\n    \{"([a-z_]+)", "', (root / "memfile-tool/json.c").read_text()) != json_members:
    bad.append("json.c has other members than SPEC.md, or another order")

header = (root / "libmemfile/include/memfile.h").read_text()
functions = re.findall(r"MEMFILE_API [^;(]*?(memfile_[a-z_0-9]+)\(", header)
if len(functions) < 45:
    bad.append("too few functions found in memfile.h")
for function in functions:
    if not re.match(r"memfile_[a-z]", function):
        bad.append(f"name: {function}")
print("\n".join(bad) or f"{len(fields)} fields, {len(verbs)} verbs, {len(functions)} functions agree")
sys.exit(1 if bad else 0)
