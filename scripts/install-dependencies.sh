#!/bin/sh
# Installs what is missing on Debian 12 or Ubuntu. Nothing is done when all is there.
set -eu
wanted="build-essential cmake ninja-build pkg-config libzstd-dev libxxhash-dev libsodium-dev libcmocka-dev libsqlite3-dev python3 file zstd"
[ "${MEMFILE_EXTRA_PACKAGES:-}" ] && wanted="$wanted $MEMFILE_EXTRA_PACKAGES"
missing=""
for package in $wanted; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing" >&2
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
