#!/bin/sh
# A fixed workload gives the same memory whichever machine, compiler or zstd wrote it: its
# history digest is the one below everywhere. The digest is over contents (SPEC 8), not stored
# bytes; the second reader, where it can run, computes it without the library.
set -eu
maker=$1 tool=$2 source=$3
expected=bf872b43030a38d83c357e867ecf02f4ba0651864acd2d8811698a03c885e5ed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
digest=$("$maker" "$folder")
[ "$digest" = "$expected" ] || { echo "history digest $digest, not $expected"; exit 1; }
for file in grown compacted; do
  "$tool" verify "$folder/$file.memfile" --json | grep -q "$expected"
  "$tool" export "$folder/$file.memfile" >"$folder/$file.jsonl"
done
cmp "$folder/grown.jsonl" "$folder/compacted.jsonl"
if /usr/bin/python3 -c 'import xxhash, zstandard' 2>/dev/null; then
  /usr/bin/python3 "$source/tests/second_reader.py" check "$folder/grown.memfile" "$folder/compacted.memfile" >"$folder/said"
  [ "$(grep -c "^good .*history=$expected" "$folder/said")" = 2 ]
fi
echo "$(wc -l <"$folder/grown.jsonl") entries, history digest as on every machine"
