#!/bin/sh
# Line and branch coverage of the library by all tests, file by file. Needs gcovr.
# The tool runs without its sandbox, which would keep the counters from being written.
# Usage: scripts/coverage.sh [FOLDER]   (build-coverage); details: FOLDER/coverage.txt
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build-coverage}
MEMFILE_EXTRA_PACKAGES=gcovr scripts/install-dependencies.sh
cmake -S . -B "$folder" -G Ninja -DBUILD_TESTING=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic -O1 -DMEMFILE_NO_SANDBOX" >/dev/null
cmake --build "$folder" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
find "$folder" -name '*.gcda' -delete
ctest --test-dir "$folder" -j "$(nproc)" -E 'install|symbols|sandbox|wrapped|costs' | tail -4
gcovr -r . --object-directory "$folder" -f 'libmemfile/src/.*' --txt "$folder/coverage.txt" --branches >/dev/null 2>&1 || true
gcovr -r . --object-directory "$folder" -f 'libmemfile/src/.*' --txt "$folder/lines.txt"
cat "$folder/lines.txt"
