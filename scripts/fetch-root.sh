#!/bin/sh
# Unpacks Debian's libraries of another machine into a folder: what a cross compiler needs
# beside itself. The machine's own packages stay as they are: a second architecture in them
# works only while all its packages have the very version of the first.
#   scripts/fetch-root.sh s390x FOLDER PACKAGE ...
# Exit code 77: a package cannot be had here.
set -eu
machine=$1 root=$2
shift 2
if [ -f "$root/.packages" ] && [ "$(cat "$root/.packages")" = "$*" ]; then
  exit 0
fi
rm -rf "$root"
mkdir -p "$root/.apt/state/lists/partial" "$root/.apt/cache/archives/partial" "$root/.apt/empty"
apt="$root/.apt"
: >"$apt/state/status"
# the machine's own sources, whichever way they are written; security updates reach the
# other machines at other times, and are not needed to run tests
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
  awk '$4 ~ /^(Debian|Ubuntu)/ && $2 !~ /security/ {print "deb", $1, $2, $3}' | sort -u >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "$machine";
APT::Architectures { "$machine"; };
APT::Install-Recommends "false";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/empty";
Dir::Etc::preferencesparts "$apt/empty";
DPkg::Post-Invoke { };
APT::Keep-Downloaded-Packages "true";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq || { echo "no lists of packages for $machine here" >&2; exit 77; }
apt-get install -y -qq --download-only "$@" >"$apt/log" 2>&1 || { tail -3 "$apt/log" >&2; exit 77; }
for package in "$apt"/cache/archives/*.deb; do
  dpkg-deb -x "$package" "$root"
done
echo "$*" >"$root/.packages"
