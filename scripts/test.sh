#!/bin/sh
# Installs what is missing, builds, and passes all tests. MEMFILE_SANITIZERS=1 adds the
# sanitizer builds, as CI does.
set -eu
cd "$(dirname "$0")/.."
scripts/install-dependencies.sh
jobs=$(nproc)
run() { # folder, tests that are left out, options for cmake
  folder=$1
  without=$2
  shift 2
  echo "building into $folder"
  cmake -S . -B "$folder" -G Ninja -DBUILD_TESTING=ON -DMEMFILE_WERROR=ON "$@" >/dev/null
  cmake --build "$folder" -j "$jobs" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
  ctest --test-dir "$folder" --output-on-failure -j "$jobs" -E "$without"
}
run build '^$'
if [ "${MEMFILE_SANITIZERS:-}" ]; then
  run build-asan '^$' -DCMAKE_BUILD_TYPE=Debug -DMEMFILE_SANITIZE=address,undefined
  # what has no threads, or none that other tests do not have
  run build-tsan '^(fuzz_.*|crash|vectors|second_reader)$' -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMEMFILE_SANITIZE=thread
fi
