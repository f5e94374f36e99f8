#!/bin/sh
# Unpacks Debian's source packages, from the machine's own archives, whichever way those are
# written and without touching them.
#   scripts/fetch-sources.sh FOLDER PACKAGE...
# Exit code 77: they cannot be had here.
set -eu
mkdir -p "$1/lists/partial"
cd "$1"
shift
cat >apt.conf <<CONF
Dir::State::lists "$PWD/lists";
Dir::Cache "$PWD";
Dir::Etc::sourcelist "$PWD/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
# a mirror may list security updates whose sources it does not have
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
  awk '$4 ~ /^(Debian|Ubuntu)/ {print "deb-src", $1, $2, $3}' | sort -u >all.list
leave_out=nothing
get() {
  grep -Ev "$leave_out" all.list >sources.list
  APT_CONFIG="$PWD/apt.conf" apt-get update -qq && APT_CONFIG="$PWD/apt.conf" apt-get source -qq "$@"
}
get "$@" >apt.log 2>&1 && exit 0
leave_out=security
get "$@" >>apt.log 2>&1 && exit 0
tail -3 apt.log >&2
exit 77
