#!/bin/sh
# format-spec/example.md is what the program makes today, and the file is a sound memfile.
set -eu
maker=$1 tool=$2 source=$3
"$maker" example.memfile
"$tool" verify example.memfile >/dev/null
/usr/bin/python3 "$source/scripts/make-example.py" example.memfile >example.md
cmp example.md "$source/format-spec/example.md"
echo "example.md: $(wc -c <example.memfile) bytes explained"
