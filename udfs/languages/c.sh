#!/usr/bin/env bash
# The samples in C: clang and LLVM's linker, with wasi-libc for string.h and malloc. All three are Debian's packages.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs clang-19 clang-19 "compiles C and C++ for WebAssembly"
needs wasm-ld-19 lld-19 "links what clang-19 compiled for WebAssembly"
needs make make "builds a new project as its README says"
needs pkg-config pkg-config "finds the headers of a package"
needs_file /usr/include/wasm32-wasi/string.h wasi-libc "the C library of WebAssembly"
needs_file /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a libclang-rt-19-dev-wasm32 "what clang-19 calls for the sums that WebAssembly has no instruction for"

warnings=(-Wall -Wextra -Werror)
# No debug information, but the functions' names, by which a backtrace can be read.
wasm=(clang-19 --target=wasm32-wasi -mexec-model=reactor -std=c11 -O3 -mbulk-memory -Wl,--strip-debug)
# Tests run natively; what is undefined traps.
native=(clang-19 -std=c11 -g -fsanitize=undefined -fsanitize-trap=all)

build() {
  local name sample
  for name in $(samples); do
    sample="$udfs/$name"
    "${wasm[@]}" "${warnings[@]}" -I"$sdk" "$sample/${name%-c}.c" -o "$scratch/$name.wasm"
    component "$scratch/$name.wasm" "$1/$name.wasm"
  done
}

tests() {
  local source name
  for source in "$sdk"/tests/*.c "$udfs"/*-c/test.c; do
    name="$(basename "$(dirname "$source")")/$(basename "$source" .c)"
    "${native[@]}" "${warnings[@]}" -Wno-unused-function -I"$sdk" "$source" -o "$scratch/test"
    run_test "$name" "$scratch/test"
  done
  # Every macro at once, and a migrator without an aggregator, as the host would have them.
  for name in all processor; do
    "${wasm[@]}" "${warnings[@]}" -I"$sdk" "$sdk/tests/exports/$name.c" -o "$scratch/$name.wasm"
    run_test "tests/exports/$name" component "$scratch/$name.wasm" "$scratch/$name.component.wasm"
  done
  run_test tests/exports/interfaces exports "$scratch/processor.component.wasm" migrator processor
  template trial
  run_test template make -s -C "$project" MILLSTREAM="$project.millstream" test
}

pack() {
  headers millstream-c "Functions for Millstream in C" "" "$1" "$sdk"/*.h
  local file="$1/millstream-c-$version.tar.gz" include=include/millstream doc=share/doc/millstream-c
  holds "$file" "$(in_tarball "$file")" $include/millstream.h $include/testing.h share/pkgconfig/millstream-c.pc $doc/LICENSE \
    $doc/README.md -- "$include/millstream-*.h"
  prefix "$1" millstream-c
  [ "$(pkg-config --modversion millstream-c)" = "$version" ] || die "pkg-config finds no millstream-c $version"
}

trial() {
  template trial
  unpublished millstream
  make -s -C "$project" MILLSTREAM="$project.millstream" SDK="$(pkg-config --cflags millstream-c)" test
}

main "$@"
