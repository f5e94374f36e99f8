#!/bin/sh
# The shared library exports memfile_ symbols and nothing else, all that memfile.h
# declares, and is not larger than its budget.
set -eu
library=$1 header=$2 sanitized=$3
nm -D --defined-only "$library" | awk '{print $3}' | sort >exported.txt
strangers=$(grep -v '^memfile_' exported.txt || true)
if [ -z "$sanitized" ] && [ -n "$strangers" ]; then
  echo "exported without the prefix: $strangers"
  exit 1
fi
grep -o 'memfile_[a-z_0-9]*(' "$header" | tr -d '(' | sort -u | while read -r name; do
  grep -q "MEMFILE_API.*[ *]$name(" "$header" || continue
  grep -qx "$name" exported.txt || { echo "declared, not exported: $name"; exit 1; }
done
if [ -z "$sanitized" ]; then
  strip -o stripped.so "$library"
  size=$(wc -c <stripped.so)
  [ "$size" -le 409600 ] || { echo "stripped library has $size bytes, more than 400 KiB"; exit 1; }
  ldd "$library" | awk '{print $1}' | grep -vE '^(linux-vdso|libzstd|libxxhash|libsodium|libc|libm|libpthread|/lib)' && { echo "unexpected dependency"; exit 1; }
  echo "$(wc -l <exported.txt) symbols, $size bytes stripped"
fi
exit 0
