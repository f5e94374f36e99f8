#!/bin/sh
# Installs what is missing on Debian 12 or Ubuntu: `install-dependencies.sh tool` what library
# and tool need, without an argument what tests and benchmark need too. Nothing is done when
# all is there.
set -eu
wanted="build-essential cmake ninja-build pkg-config libzstd-dev libxxhash-dev libsodium-dev"
case "${1:-all}" in
  tool) ;;
  all) wanted="$wanted libcmocka-dev libsqlite3-dev python3 python3-xxhash python3-zstandard python3-nacl file zstd" ;;
  *) echo "usage: install-dependencies.sh [tool|all]" >&2; exit 2 ;;
esac
if [ "${MEMFILE_EXTRA_PACKAGES:-}" ]; then
  wanted="$wanted $MEMFILE_EXTRA_PACKAGES"
fi
if ! command -v dpkg-query >/dev/null; then
  echo "this is neither Debian nor Ubuntu; what is needed is called there: $wanted" >&2
  exit 0
fi
missing=""
for package in $wanted; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

refuse() { # why
  printf '%s\nAn administrator must run:\n\n    apt-get update && apt-get install -y%s\n\n' "$1" "$missing" >&2
  exit 1
}
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || refuse "Packages are missing; you are not root, and there is no sudo here."
  as_root="sudo"
fi
echo "installing:$missing" >&2
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || refuse "The packages could not be installed."
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null ||
  refuse "The packages could not be installed."
