#!/bin/sh
# The shared library exports memfile_ symbols and nothing else, all that memfile.h
# declares, and is not larger than its budget.
set -eu
library=$1 header=$2 sanitized=$3
"${NM:-nm}" -D --defined-only "$library" | awk '{print $3}' | sort >exported.txt
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
  "${STRIP:-strip}" -o stripped.so "$library"
  size=$(wc -c <stripped.so)
  budget=409600 # of x86-64; code of 32 bits for numbers of 64 is larger
  readelf -h "$library" | grep -q 'Machine:.*X86-64' || budget=524288
  [ "$size" -le "$budget" ] || { echo "stripped library has $size bytes, more than $budget"; exit 1; }
  readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >needed.txt
  [ -s needed.txt ]
  grep -vE '^(libzstd|libxxhash|libsodium|libc|libm|libpthread|ld)[-.0-9a-z]*\.so' needed.txt && { echo "unexpected dependency"; exit 1; }
  echo "$(wc -l <exported.txt) symbols, $size bytes stripped"
fi
exit 0
