#!/bin/sh
# Installs what library and tool need, builds them, and shows the main job on a sample: write, look, copy,
# damage one byte, see it found, compact.
set -eu
cd "$(dirname "$0")/.."
scripts/install-dependencies.sh tool
echo "building the tool, build/memfile-tool"
cmake -S . -B build -G Ninja -DBUILD_TESTING=OFF >/dev/null
cmake --build build --target memfile-tool >build/try.log 2>&1 || { cat build/try.log >&2; exit 1; }
tool="$PWD/build/memfile-tool"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$PWD/samples" "$folder/samples"
cd "$folder"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n$ %s\n' "$*"; }

say memfile-tool import agent.memfile samples/agent.jsonl --batch 1
"$tool" import agent.memfile samples/agent.jsonl --batch 1
say memfile-tool put agent.memfile "'Ann prefers tea.'" --kind preference --scope user/ann --key drink
"$tool" put agent.memfile 'Ann prefers tea.' --kind preference --scope user/ann --key drink
say memfile-tool list agent.memfile
"$tool" list agent.memfile
say memfile-tool log agent.memfile
"$tool" log agent.memfile
say cp agent.memfile copy.memfile "&&" memfile-tool verify copy.memfile
cp agent.memfile copy.memfile
"$tool" verify copy.memfile
say "one byte of the copy is damaged; memfile-tool verify copy.memfile"
printf '\377' | dd of=copy.memfile bs=1 seek=700 conv=notrunc 2>/dev/null
if "$tool" verify copy.memfile; then
  echo "the damage was not found" >&2
  exit 1
fi
say memfile-tool compact agent.memfile "&&" memfile-tool verify agent.memfile
"$tool" compact agent.memfile
"$tool" verify agent.memfile
printf '\nbuild/memfile-tool is ready.\n'
