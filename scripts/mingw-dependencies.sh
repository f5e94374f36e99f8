#!/bin/sh
# Builds static zstd, xxhash, libsodium and cmocka for Windows (mingw-w64, x86-64) from Debian's
# source packages.
#   scripts/mingw-dependencies.sh FOLDER    headers, libraries and pkg-config files go to FOLDER
# Exit code 77: something cannot be had here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=$1
host=x86_64-w64-mingw32
[ -f "$prefix/.done" ] && exit 0
rm -rf "$prefix"
mkdir -p "$prefix/lib/pkgconfig" "$prefix/include" "$prefix/source"
prefix=$(cd "$prefix" && pwd)
"$here/fetch-sources.sh" "$prefix/source" libzstd xxhash libsodium cmocka
jobs=${MEMFILE_JOBS:-$(nproc)}

cd "$prefix/source"/libzstd-*/lib
make -s -j "$jobs" CC=$host-gcc-posix AR=$host-ar TARGET_SYSTEM=Windows_NT ZSTD_LEGACY_SUPPORT=0 libzstd.a >"$prefix/zstd.log" 2>&1
cp libzstd.a "$prefix/lib/"
cp zstd.h zdict.h zstd_errors.h "$prefix/include/"
cd "$prefix/source"/xxhash-*/
$host-gcc-posix -O3 -c xxhash.c -o xxhash.o
$host-ar rcs "$prefix/lib/libxxhash.a" xxhash.o
cp xxhash.h xxh3.h "$prefix/include/"
cd "$prefix/source"/libsodium-*/
autoreconf -fi >"$prefix/sodium.log" 2>&1
CC=$host-gcc-posix ./configure --quiet --host=$host --disable-shared --enable-static --prefix="$prefix" >>"$prefix/sodium.log" 2>&1
make -s -j "$jobs" install >>"$prefix/sodium.log" 2>&1
cd "$prefix/source"/cmocka-*/
cmake -S . -B build -G Ninja -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_C_COMPILER=$host-gcc-posix -DBUILD_SHARED_LIBS=OFF \
  -DWITH_STATIC_LIB=ON -DWITH_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$prefix" >"$prefix/cmocka.log" 2>&1
cmake --build build -j "$jobs" >>"$prefix/cmocka.log" 2>&1
cp "$(find build -name 'libcmocka*.a' ! -name '*.dll.a' | head -1)" "$prefix/lib/libcmocka.a"
cp include/cmocka*.h "$prefix/include/"

define() { # name, version, library
  printf 'prefix=%s\nName: %s\nDescription: %s\nVersion: %s\nCflags: -I%s/include\nLibs: -L%s/lib -l%s\n' \
    "$prefix" "$1" "$1" "$2" "$prefix" "$prefix" "$3" >"$prefix/lib/pkgconfig/$1.pc"
}
cd "$prefix/source"
version() { find . -maxdepth 1 -type d -name "$1-*" | sed 's/.*-\([0-9.]*\).*/\1/'; }
define libzstd "$(version libzstd)" zstd
define libxxhash "$(version xxhash)" xxhash
define cmocka "$(version cmocka)" cmocka
rm -rf "$prefix/source"
touch "$prefix/.done"
