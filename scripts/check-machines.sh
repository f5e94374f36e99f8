#!/bin/sh
# The fixed workload of tests/make_workload.c on several machines: each writes the files, which
# must be the same bytes everywhere (one zstd gives one output), and each reads those of all
# others: verify finds nothing, digests and exports are equal.
#   scripts/check-machines.sh [MACHINE ...]      i386 and s390x; others: see test-machine.sh
# Ends with `N passed, N failed, N skipped`, counting machines. Exit code 77: all were skipped.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- i386 s390x
scripts/install-dependencies.sh
native=build-native
cmake -S . -B "$native" -G Ninja -DBUILD_TESTING=ON -DMEMFILE_WERROR=ON >/dev/null
cmake --build "$native" -j "${MEMFILE_JOBS:-$(nproc)}" >"$native/build.log" 2>&1 || { cat "$native/build.log"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

write_files() { # machine, build folder
  mkdir -p "$folder/$1"
  "$2/tests/make_workload" "$folder/$1" >"$folder/$1/digest"
}
read_files() { # reader, its build folder, writer
  for file in grown compacted; do
    "$2/memfile-tool" verify "$folder/$3/$file.memfile" >"$folder/said" || { echo "$1 finds fault with $file.memfile of $3"; return 1; }
    grep -q "history digest.*$(cat "$folder/native/digest")" "$folder/said" || { echo "$1 computes another digest of $3's"; return 1; }
    "$2/memfile-tool" export "$folder/$3/$file.memfile" >"$folder/export" || return 1
    cmp "$folder/export" "$folder/native/export" || { echo "$1 reads other entries from $3's"; return 1; }
  done
}
write_files native "$native"
"$native/memfile-tool" export "$folder/native/grown.memfile" >"$folder/native/export"
read_files native "$native" native

passed=0 failed=0 skipped=0 writers=native
for machine; do
  rc=0
  scripts/test-machine.sh "$machine" -N >"$folder/log" 2>&1 || rc=$?
  if [ "$rc" = 77 ]; then
    tail -1 "$folder/log"
    skipped=$((skipped + 1))
    continue
  fi
  if [ "$rc" != 0 ] || ! write_files "$machine" "build-$machine"; then
    tail -20 "$folder/log"
    failed=$((failed + 1))
    continue
  fi
  good=1
  for file in grown.memfile compacted.memfile digest; do
    cmp "$folder/native/$file" "$folder/$machine/$file" || good=0
  done
  for writer in $writers; do
    read_files "$machine" "build-$machine" "$writer" || good=0
  done
  read_files native "$native" "$machine" || good=0
  for reader in $writers; do # those before it read what it wrote
    [ "$reader" = native ] || read_files "$reader" "build-$reader" "$machine" || good=0
  done
  writers="$writers $machine"
  if [ "$good" = 1 ]; then
    echo "$machine: $(cat "$folder/$machine"/*.memfile | wc -c) bytes in 2 files, the same as here; read by $writers"
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || exit 1
[ "$passed" != 0 ] || exit 77
