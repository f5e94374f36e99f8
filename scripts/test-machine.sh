#!/bin/sh
# Builds for another machine with Debian's cross compiler and passes all tests, which run on
# this processor or under qemu.
#   scripts/test-machine.sh i386|armhf|s390x [options for ctest]
# Exit code 77, with the reason: it cannot be done here.
set -eu
cd "$(dirname "$0")/.."
machine=$1
shift
case $machine in
i386) triplet=i386-linux-gnu compiler=i686-linux-gnu loader=lib/ld-linux.so.2 emulator="" ;;
armhf) triplet=arm-linux-gnueabihf compiler=$triplet loader=lib/ld-linux-armhf.so.3 emulator=qemu-user-static ;;
s390x) triplet=s390x-linux-gnu compiler=$triplet loader=lib/ld64.so.1 emulator=qemu-user-static ;;
*) echo "unknown machine: $machine" >&2; exit 2 ;;
esac
skip() {
  echo "$machine: not tested: $*"
  exit 77
}
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || skip "made for Debian on amd64"
scripts/install-dependencies.sh
# binfmt-support registers qemu, so that a test can start another program
MEMFILE_EXTRA_PACKAGES="gcc-$compiler ${emulator:+$emulator binfmt-support}" scripts/install-dependencies.sh ||
  skip "no cross compiler or no qemu here"
root=$PWD/build-roots/$machine
scripts/fetch-root.sh "$machine" "$root" libc6-dev libc-bin libgcc-s1 libzstd-dev libxxhash-dev libsodium-dev libcmocka-dev libsqlite3-dev ||
  skip "no packages for it here"

jobs=${MEMFILE_JOBS:-$(nproc)}
folder=build-$machine
# Programs find loader and libraries in the root by themselves.
run="-Wl,--dynamic-linker=$root/$loader -Wl,--disable-new-dtags"
run="$run -Wl,-rpath,$root/lib/$triplet:$root/usr/lib/$triplet"
mkdir -p "$folder"
echo 'int main(void) { return 0; }' >"$folder/empty.c"
# shellcheck disable=SC2086
"$compiler-gcc" --sysroot="$root" $run "$folder/empty.c" -o "$folder/empty"
"$folder/empty" 2>/dev/null || skip "its programs do not run here (binfmt_misc, or the kernel's 32-bit support)"

# A locale is in the byte order of its machine; qemu sets this for what it runs only.
export QEMU_SET_ENV="LOCPATH=$root/usr/lib/locale"
# for cmake and for the tests that build programs themselves
export PKG_CONFIG_LIBDIR="$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig"
export PKG_CONFIG_SYSTEM_LIBRARY_PATH="/usr/lib/$triplet:/lib/$triplet"
export CC="$compiler-gcc --sysroot=$root $run" NM="$compiler-nm" STRIP="$compiler-strip"
cmake -S . -B "$folder" -G Ninja -DBUILD_TESTING=ON -DMEMFILE_WERROR=ON -DCMAKE_SYSTEM_NAME=Linux \
  -DCMAKE_SYSTEM_PROCESSOR="$machine" -DCMAKE_C_COMPILER="$compiler-gcc" -DCMAKE_SYSROOT="$root" \
  -DCMAKE_EXE_LINKER_FLAGS="$run" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER >/dev/null
cmake --build "$folder" -j "$jobs" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
echo "$machine: $(file -bL "$folder/memfile-tool" | cut -d, -f1-2)"
ctest --test-dir "$folder" --output-on-failure -j "$jobs" "$@"
