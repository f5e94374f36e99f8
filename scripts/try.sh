#!/bin/sh
# Installs what is missing, builds, and shows the main job on a sample: write, look, copy,
# damage one byte, see it found, compact.
set -eu
cd "$(dirname "$0")/.."
scripts/install-dependencies.sh
cmake -S . -B build -G Ninja -DBUILD_TESTING=OFF >/dev/null
cmake --build build >/dev/null
tool="$PWD/build/memfile-tool"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
file="$folder/agent.memfile"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n$ %s\n' "$*"; }

say memfile-tool import agent.memfile samples/agent.jsonl
"$tool" import "$file" samples/agent.jsonl
say memfile-tool put agent.memfile "'Ann prefers tea.'" --kind preference --scope user/ann --key drink
"$tool" put "$file" 'Ann prefers tea.' --kind preference --scope user/ann --key drink
say memfile-tool list agent.memfile
"$tool" list "$file"
say memfile-tool log agent.memfile
"$tool" log "$file"
say cp agent.memfile copy.memfile "&&" memfile-tool verify copy.memfile
cp "$file" "$folder/copy.memfile"
"$tool" verify "$folder/copy.memfile"
say "one byte of the copy is damaged; memfile-tool verify copy.memfile"
printf '\377' | dd of="$folder/copy.memfile" bs=1 seek=700 conv=notrunc 2>/dev/null
if "$tool" verify "$folder/copy.memfile"; then
  echo "the damage was not found" >&2
  exit 1
fi
say memfile-tool compact agent.memfile "&&" memfile-tool verify agent.memfile
"$tool" compact "$file"
"$tool" verify "$file"
printf '\nbuild/memfile-tool is ready.\n'
