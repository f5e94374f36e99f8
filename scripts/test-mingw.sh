#!/usr/bin/env bash
# Builds a static memfile-tool.exe and the library for Windows on x86-64 with mingw-w64, whose
# libraries come from Debian's source packages, and tests them under wine: the C tests, the files of
# make_workload byte for byte as they are here, the tool, processes beside each other and killed
# ones. Exit code 77, with the reason: it cannot be done here.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
  echo "mingw: not tested: $*"
  exit 77
}
[ "$(uname -m)" = x86_64 ] || skip "wine runs programs for this processor, and this is no x86-64"
MEMFILE_EXTRA_PACKAGES="python3 file gcc-mingw-w64-x86-64-posix wine64 dpkg-dev autoconf automake libtool" \
  scripts/install-dependencies.sh all || skip "no mingw-w64 or wine here"
root=$PWD/build-roots/mingw folder=$PWD/build-mingw
rc=0
scripts/mingw-dependencies.sh "$root" || rc=$?
[ "$rc" != 77 ] || skip "no source packages here"
[ "$rc" = 0 ] || exit "$rc"
jobs=${MEMFILE_JOBS:-$(nproc)}
wine=/usr/lib/wine/wine64
mkdir -p "$folder"


PKG_CONFIG_LIBDIR=$root/lib/pkgconfig LDFLAGS=-L$root/lib MEMFILE_WINE=$wine cmake -S . -B "$folder" -G Ninja \
  -DMEMFILE_WERROR=ON -DCMAKE_TOOLCHAIN_FILE="$PWD/scripts/mingw.cmake" >/dev/null
cmake --build "$folder" -j "$jobs" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
file -b "$folder/memfile-tool.exe" | grep -q 'PE32+ executable'
needed=$(x86_64-w64-mingw32-objdump -p "$folder/memfile-tool.exe" | sed -n 's/.*DLL Name: //p' | sort | tr '\n' ' ')
[ "$needed" = "ADVAPI32.dll KERNEL32.dll SHELL32.dll msvcrt.dll " ] || { echo "the tool needs $needed"; exit 1; }
cmake -S . -B build-native -G Ninja -DBUILD_TESTING=ON -DMEMFILE_WERROR=ON >/dev/null
cmake --build build-native -j "$jobs" --target make_workload memfile-tool >build-native/build.log 2>&1 ||
  { cat build-native/build.log; exit 1; }

# A wine of its own, whose services keep no output of ours open.
export WINEPREFIX=$folder/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=;winemenubuilder.exe=d"
work=$(mktemp -d)
finish() {
  WINELOADER=$wine /usr/lib/wine/wineserver64 -k >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
timeout 120 "$wine" wineboot -i </dev/null >/dev/null 2>&1 || skip "wine does not start here"
timeout 60 "$wine" "$folder/memfile-tool.exe" version </dev/null >/dev/null 2>&1 || skip "wine runs no program here"
program() { # name, what it starts
  printf '#!/bin/sh\nexec %s %s "$@"\n' "$wine" "$2" >"$work/$1"
  chmod +x "$work/$1"
}
program tool "$folder/memfile-tool.exe"
program replacing-tool "$folder/tests/wine_tool.exe" # see wine_rename.c
program make_workload "$folder/tests/make_workload.exe"

passed=0 failed=0
check() { # what holds, a function
  local rc=0
  ("$2") >"$work/log" 2>&1 </dev/null || rc=$?
  if [ "$rc" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $1"
    tail -5 "$work/log"
  fi
}
cd "$work"
native=$OLDPWD/build-native source=$OLDPWD

same_files() {
  set -e
  mkdir theirs ours
  ./make_workload theirs >theirs/digest
  "$native/tests/make_workload" ours >ours/digest
  cmp theirs/digest ours/digest
  cmp theirs/grown.memfile ours/grown.memfile
  cmp theirs/compacted.memfile ours/compacted.memfile
  "$native/memfile-tool" export ours/grown.memfile >ours/export
  ./tool export ours/grown.memfile | cmp - ours/export # no line end is made two
  ./tool export ours/compacted.memfile | cmp - ours/export
  ./tool verify ours/grown.memfile
}
basics() {
  set -e
  ./tool import agent.memfile "$source/samples/agent.jsonl"
  ./tool put agent.memfile 'Ännchen drinks 茶: "black" * \ 😀' --id 'tea 茶' --kind preference --meta cups=2
  [ "$(./tool get agent.memfile 'tea 茶')" = 'Ännchen drinks 茶: "black" * \ 😀' ]
  printf 'one\ntwo\r\n\032three\n' | ./tool put agent.memfile --id lines
  ./tool get agent.memfile lines | cmp - <(printf 'one\ntwo\r\n\032three\n')
  ./tool export agent.memfile >before
  ./tool compact agent.memfile --output small.memfile
  ./tool export small.memfile | cmp - before
  "$native/memfile-tool" verify small.memfile
  cp agent.memfile hurt.memfile
  printf '\377' | dd of=hurt.memfile bs=1 seek=700 conv=notrunc
  rc=0
  ./tool verify hurt.memfile || rc=$?
  [ "$rc" = 3 ]
  rc=0
  ./tool recover hurt.memfile rescued.memfile || rc=$?
  [ "$rc" = 3 ]
  ./tool verify rescued.memfile
}
# Where an open file cannot be replaced, as under wine: said so, and nothing changed.
refused_replacement() {
  set -e
  ./tool import open.memfile "$source/samples/agent.jsonl"
  cp open.memfile before.memfile
  rc=0
  ./tool compact open.memfile 2>said || rc=$?
  [ "$rc" = 7 ]
  grep -q 'use an output file instead' said
  cmp open.memfile before.memfile
  [ -z "$(find . -name '.open*')" ]
}
replaced() {
  set -e
  ./replacing-tool import again.memfile "$source/samples/agent.jsonl"
  ./replacing-tool export again.memfile >before
  ./replacing-tool compact again.memfile
  ./replacing-tool export again.memfile | cmp - before
  "$native/memfile-tool" verify again.memfile
}
two_writers() {
  set -e
  ./tool init two.memfile
  seq 1 300 | sed 's/.*/{"id":"a&","text":"from one"}/' >a.jsonl
  seq 1 300 | sed 's/.*/{"id":"b&","text":"from the other"}/' >b.jsonl
  ./tool import two.memfile a.jsonl --batch 3 --wait 60 &
  ./tool import two.memfile b.jsonl --batch 3 --wait 60
  wait $!
  ./tool verify two.memfile
  "$native/memfile-tool" verify two.memfile --json | grep -q '"entries":600\b'
}
# wine's programs end with the process that they run in, as by TerminateProcess.
killed() {
  set -e
  ./tool init killed.memfile
  seq 1 100000 | sed 's/.*/{"id":"k&","text":"memory number &"}/' >k.jsonl
  cut=0
  for round in 1 2 3 4 5 6; do
    ./tool import killed.memfile k.jsonl --batch 1 &
    child=$!
    sleep "0.$((3 + round))"
    kill -9 "$child" && cut=$((cut + 1))
    wait "$child" || true
    "$native/memfile-tool" export killed.memfile >now
    [ "$round" = 1 ] || cmp -n "$(wc -c <last)" last now # what was there stays
    cp now last
  done
  [ "$cut" = 6 ]
  ./tool put killed.memfile 'goes on' --id on --wait 20
  [ "$(./tool get killed.memfile on)" = 'goes on' ]
  ./tool verify killed.memfile
  echo "$(wc -l <last) entries, $cut killed"
}
# Those of test_tool.py that ask for no terminal, descriptors or messages of POSIX.
tool_tests() {
  set -e
  set --
  for name in a_bad_line_is_named a_directory_is_no_memfile a_failed_import exit_codes get_writes_exactly \
    idempotency_key lines_that_are_refused test_a_closed_pipe; do
    set -- "$@" -k "$name"
  done
  timeout 600 /usr/bin/python3 "$source/tests/test_tool.py" "$work/replacing-tool" "$source" "$@"
}
check "the files of make_workload are the same bytes, and read" same_files
check "the tool does its job with UTF-8 and exact bytes" basics
check "an open file that cannot be replaced stays" refused_replacement
check "compaction in place" replaced
check "two processes append at once" two_writers
check "killed in the middle of commits" killed
check "8 tests of test_tool.py" tool_tests

cd "$source"
rc=0
ctest --test-dir "$folder" -j "$jobs" "$@" </dev/null >"$folder/ctest.log" 2>&1 || rc=$?
[ "$rc" = 0 ] || grep -E 'Failed|Timeout' "$folder/ctest.log" || true
read -r of <<<"$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\)/\1 \2/p' "$folder/ctest.log")"
passed=$((passed + ${of#* } - ${of% *})) failed=$((failed + ${of% *}))
x86_64-w64-mingw32-strip -o "$work/stripped.exe" "$folder/memfile-tool.exe"
echo "mingw: memfile-tool.exe, $(wc -c <"$work/stripped.exe") bytes stripped; $passed passed, $failed failed"
[ "$failed" = 0 ]
