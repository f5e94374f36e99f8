#!/bin/sh
# Builds static zstd, xxhash and libsodium for musl from Debian's source packages.
#   scripts/musl-dependencies.sh FOLDER    headers, libraries and pkg-config files go to FOLDER
# Exit code 77: something cannot be had here.
set -eu
prefix=$1
[ -f "$prefix/.done" ] && exit 0
rm -rf "$prefix"
mkdir -p "$prefix/lib/pkgconfig" "$prefix/include" "$prefix/source/lists/partial"
prefix=$(cd "$prefix" && pwd)
cd "$prefix/source"
cat >apt.conf <<CONF
Dir::State::lists "$PWD/lists";
Dir::Cache "$PWD";
Dir::Etc::sourcelist "$PWD/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
# from the machine's own archives, whichever way those are written, without touching them;
# a mirror may list security updates whose sources it does not have
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
  awk '$4 ~ /^(Debian|Ubuntu)/ {print "deb-src", $1, $2, $3}' | sort -u >all.list
get() { # lines that are left out
  grep -Ev "$1" all.list >sources.list
  APT_CONFIG="$PWD/apt.conf" apt-get update -qq && APT_CONFIG="$PWD/apt.conf" apt-get source -qq libzstd xxhash libsodium
}
get nothing >apt.log 2>&1 || get security >>apt.log 2>&1 || { tail -3 apt.log >&2; exit 77; }
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
