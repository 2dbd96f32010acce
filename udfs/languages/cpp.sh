#!/usr/bin/env bash
# The samples in C++: as those in C (c.sh), and libc++ for WebAssembly. All are Debian's packages.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs clang++-19 clang-19 "compiles C and C++ for WebAssembly"
needs wasm-ld-19 lld-19 "links what clang-19 compiled for WebAssembly"
needs_file /usr/include/wasm32-wasi/string.h wasi-libc "the C library of WebAssembly"
needs_file /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a libclang-rt-19-dev-wasm32 "what clang-19 calls for the sums that WebAssembly has no instruction for"
needs_file /usr/include/wasm32-wasi/c++/v1/string_view libc++-19-dev-wasm32 "the C++ library of WebAssembly"
needs make make "builds a new project as its README says"
needs pkg-config pkg-config "finds the headers of a package"
needs c++ g++ "the C++ library of this machine, for native tests"

flags=(-std=c++20 -Wall -Wextra -Werror -fno-exceptions -fno-rtti "-I$sdk" "-I$root/guest-sdk/c")
# No debug information, but the functions' names, by which a backtrace can be read.
wasm=(clang++-19 --target=wasm32-wasi -stdlib=libc++ -mexec-model=reactor -O3 -mbulk-memory -Wl,--strip-debug)
# Tests run natively; what is undefined traps.
native=(clang++-19 -g -fsanitize=undefined -fsanitize-trap=all -Wno-unused-function)

build() {
  local name
  for name in $(samples); do
    "${wasm[@]}" "${flags[@]}" "$udfs/$name/${name%-cpp}.cpp" -o "$scratch/$name.wasm"
    component "$scratch/$name.wasm" "$1/$name.wasm"
  done
}

tests() {
  local source name
  for source in "$sdk"/tests/*.cpp "$udfs"/*-cpp/test.cpp; do
    name="$(basename "$(dirname "$source")")/$(basename "$source" .cpp)"
    "${native[@]}" "${flags[@]}" "$source" -o "$scratch/test"
    run_test "$name" "$scratch/test"
  done
  # Every macro at once, and a migrator without an aggregator, as the host would have them.
  for name in all processor; do
    "${wasm[@]}" "${flags[@]}" "$sdk/tests/exports/$name.cpp" -o "$scratch/$name.wasm"
    run_test "tests/exports/$name" component "$scratch/$name.wasm" "$scratch/$name.component.wasm"
  done
  run_test tests/exports/interfaces exports "$scratch/processor.component.wasm" migrator processor
  template trial
  run_test template make -s -C "$project" MILLSTREAM="$project.millstream" test
}

pack() {
  headers millstream-cpp "Functions for Millstream in C++" "millstream-c = $version" "$1" "$sdk"/*.hpp
  local file="$1/millstream-cpp-$version.tar.gz" doc=share/doc/millstream-cpp
  holds "$file" "$(in_tarball "$file")" include/millstream/millstream.hpp share/pkgconfig/millstream-cpp.pc $doc/LICENSE \
    $doc/README.md -- 'include/millstream/millstream-*.hpp'
  # It stands on C's, which c.sh makes.
  bash "$languages/c.sh" --pack "$scratch/both" && cp "$file" "$scratch/both"
  prefix "$scratch/both" millstream-c millstream-cpp
  [ "$(pkg-config --modversion millstream-cpp)" = "$version" ] || die "pkg-config finds no millstream-cpp $version"
}

trial() {
  template trial
  unpublished millstream
  make -s -C "$project" MILLSTREAM="$project.millstream" SDK="$(pkg-config --cflags millstream-cpp)" test
}

main "$@"
