#!/usr/bin/env bash
# The samples in WebAssembly text: needs nothing beside udfs/assemble, which is built with the samples in Rust.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs make make "builds a new project as its README says"

build() {
  local name
  for name in $(samples); do component "$udfs/$name/${name%-wat}.wat" "$1/$name.wasm"; done
}

# Text has no way to be run natively: what the samples answer is asked by the host's tests. Here, that they fit the contract.
tests() {
  local name
  for name in $(samples); do
    run_test "$name" component "$udfs/$name/${name%-wat}.wat" "$scratch/$name.wasm"
  done
  template trial
  run_test template make -s -C "$project" MILLSTREAM="$project.millstream" test
}

main "$@"
