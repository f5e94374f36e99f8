#!/bin/sh
# Builds static zstd, xxhash and libsodium for musl from Debian's source packages.
#   scripts/musl-dependencies.sh FOLDER    headers, libraries and pkg-config files go to FOLDER
# Exit code 77: something cannot be had here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=$1
[ -f "$prefix/.done" ] && exit 0
rm -rf "$prefix"
mkdir -p "$prefix/lib/pkgconfig" "$prefix/include" "$prefix/source"
prefix=$(cd "$prefix" && pwd)
"$here/fetch-sources.sh" "$prefix/source" libzstd xxhash libsodium
jobs=${MEMFILE_JOBS:-$(nproc)}

cd "$prefix/source"/libzstd-*/lib
make -s -j "$jobs" CC=musl-gcc AR=ar ZSTD_LEGACY_SUPPORT=0 libzstd.a >"$prefix/zstd.log" 2>&1
cp libzstd.a "$prefix/lib/"
cp zstd.h zdict.h zstd_errors.h "$prefix/include/"
cd "$prefix/source"/xxhash-*/
musl-gcc -O3 -c xxhash.c -o xxhash.o
ar rcs "$prefix/lib/libxxhash.a" xxhash.o
cp xxhash.h xxh3.h "$prefix/include/"
cd "$prefix/source"/libsodium-*/
autoreconf -fi >"$prefix/sodium.log" 2>&1
CC=musl-gcc ./configure --quiet --disable-shared --enable-static --disable-pie --prefix="$prefix" >>"$prefix/sodium.log" 2>&1
make -s -j "$jobs" install >>"$prefix/sodium.log" 2>&1

define() { # name, version, library
  printf 'prefix=%s\nName: %s\nDescription: %s\nVersion: %s\nCflags: -I%s/include\nLibs: -L%s/lib -l%s\n' \
    "$prefix" "$1" "$1" "$2" "$prefix" "$prefix" "$3" >"$prefix/lib/pkgconfig/$1.pc"
}
cd "$prefix/source"
version() { find . -maxdepth 1 -type d -name "$1-*" | sed 's/.*-\([0-9.]*\).*/\1/'; }
define libzstd "$(version libzstd)" zstd
define libxxhash "$(version xxhash)" xxhash
rm -rf "$prefix/source"
touch "$prefix/.done"
