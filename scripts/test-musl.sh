#!/bin/sh
# Builds a static memfile-tool with musl, whose libraries come from Debian's source packages,
# and does the main job with it. Exit code 77, with the reason: it cannot be done here.
set -eu
cd "$(dirname "$0")/.."
skip() {
  echo "musl: not tested: $*"
  exit 77
}
MEMFILE_EXTRA_PACKAGES="python3 file musl-tools dpkg-dev autoconf automake libtool linux-libc-dev" scripts/install-dependencies.sh tool || skip "no musl-tools here"
root=$PWD/build-roots/musl
rc=0
scripts/musl-dependencies.sh "$root" || rc=$?
[ "$rc" != 77 ] || skip "no source packages here"
[ "$rc" = 0 ] || exit "$rc"
folder=build-musl
mkdir -p "$folder/include"
# the kernel's headers, which musl-gcc does not look for; glibc's must stay out of sight
for name in linux asm-generic; do ln -sfn "/usr/include/$name" "$folder/include/$name"; done
ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" "$folder/include/asm"
PKG_CONFIG_LIBDIR="$root/lib/pkgconfig" CFLAGS="-isystem $PWD/$folder/include" cmake -S . -B "$folder" -G Ninja -DBUILD_TESTING=OFF \
  -DMEMFILE_WERROR=ON -DCMAKE_C_COMPILER=musl-gcc -DCMAKE_POSITION_INDEPENDENT_CODE=OFF \
  -DCMAKE_EXE_LINKER_FLAGS="-static -L$root/lib" >/dev/null
cmake --build "$folder" --target memfile-tool -j "${MEMFILE_JOBS:-$(nproc)}" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
tool=$PWD/$folder/memfile-tool
file -b "$tool" | grep -q 'statically linked'
if readelf -d "$tool" | grep -q NEEDED; then
  echo "the tool needs shared libraries"
  exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tool" import "$work/agent.memfile" samples/agent.jsonl >/dev/null 2>&1
"$tool" put "$work/agent.memfile" 'Ann prefers tea.' --id tea --kind preference >/dev/null
[ "$("$tool" get "$work/agent.memfile" tea)" = 'Ann prefers tea.' ]
"$tool" verify "$work/agent.memfile" >/dev/null
"$tool" export "$work/agent.memfile" >"$work/before"
"$tool" compact "$work/agent.memfile" >/dev/null 2>&1
"$tool" verify "$work/agent.memfile" >/dev/null
"$tool" export "$work/agent.memfile" | cmp - "$work/before"
printf '\377' | dd of="$work/agent.memfile" bs=1 seek=700 conv=notrunc 2>/dev/null
if "$tool" verify "$work/agent.memfile" >/dev/null 2>&1; then
  echo "the damage was not found"
  exit 1
fi
strip -o "$work/stripped" "$tool"
echo "musl: static memfile-tool, $(wc -c <"$work/stripped") bytes stripped, does the main job"
/usr/bin/python3 tests/test_tool.py "$tool" "$PWD" 2>"$work/log" || { cat "$work/log"; exit 1; }
tail -3 "$work/log"
