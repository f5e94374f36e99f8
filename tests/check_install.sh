#!/bin/sh
# Installs into a folder and builds a program outside the tree with what is there: by
# pkg-config, by CMake, statically; it is the program that README.md shows.
set -eu
build=$1 source=$2 cc=${CC:-cc}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$build" --prefix "$folder/usr" >/dev/null
mkdir "$folder/app"
awk '/^```c$/{on=1;next} /^```$/{on=0} on' "$source/README.md" >"$folder/app/prog.c"
[ "$(wc -l <"$folder/app/prog.c")" -ge 20 ]
[ "$(wc -l <"$folder/app/prog.c")" -le 40 ]
pc=$(find "$folder/usr" -name memfile.pc)
sed -i "s|^prefix=.*|prefix=$folder/usr|" "$pc" # as if it had been configured for this place
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
cd "$folder/app"
lib="$folder/usr/$(sed -n 's/^libdir=${prefix}\///p' "$pc")"
# the README's own command, twice: the program runs any number of times
command=$(sed -n 's/^    \(cc prog\.c .*\)/\1/p' "$source/README.md")
[ -n "$command" ]
command="$cc ${command#cc }"
for run in 1 2; do
  LD_LIBRARY_PATH=$lib sh -c "$command" >"out$run"
  grep -q tea "out$run"
done
[ "$("$folder/usr/bin/memfile-tool" list tea.memfile | wc -l)" = 2 ]
# shellcheck disable=SC2046
$cc -std=c11 -Wall -Wextra -Werror -pedantic -c prog.c $(pkg-config --cflags memfile) -o strict.o
# shellcheck disable=SC2046
$cc -std=c11 prog.c $(pkg-config --cflags --libs --static memfile | sed "s|-lmemfile|$lib/libmemfile.a|") -o static
./static | grep -q tea
cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(app LANGUAGES C)
find_package(memfile REQUIRED)
add_executable(app prog.c)
target_link_libraries(app PRIVATE memfile::shared)
CMAKE
cmake -S . -B b -DCMAKE_PREFIX_PATH="$folder/usr" >/dev/null
cmake --build b >/dev/null
LD_LIBRARY_PATH=$lib b/app | grep -q tea
# the header alone, strictly, as C and as C++
echo '#include <memfile.h>
int main(void) { return 0; }' >alone.c
$cc -std=c11 -Wall -Wextra -Werror -pedantic -I"$folder/usr/include" -c alone.c -o alone.o
if command -v c++ >/dev/null; then cp alone.c alone.cc && c++ -std=c++11 -Wall -Wextra -Werror -pedantic -I"$folder/usr/include" -c alone.cc -o alone.o; fi
[ -x "$folder/usr/bin/memfile-tool" ]
[ -f "$folder/usr/share/man/man1/memfile-tool.1" ]
echo installed and used
