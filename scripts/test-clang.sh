#!/bin/sh
# Builds with clang, warnings being errors, and passes all tests. Exit code 77: no clang here.
set -eu
cd "$(dirname "$0")/.."
MEMFILE_EXTRA_PACKAGES=clang scripts/install-dependencies.sh || { echo "clang: not tested: no clang here"; exit 77; }
CC=clang cmake -S . -B build-clang -G Ninja -DBUILD_TESTING=ON -DMEMFILE_WERROR=ON >/dev/null
cmake --build build-clang -j "${MEMFILE_JOBS:-$(nproc)}" >build-clang/build.log 2>&1 || { cat build-clang/build.log; exit 1; }
CC=clang ctest --test-dir build-clang --output-on-failure -j "${MEMFILE_JOBS:-$(nproc)}"
