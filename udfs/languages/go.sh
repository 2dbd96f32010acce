#!/usr/bin/env bash
# The samples in Go, and the tests of guest-sdk/go. Needs Go 1.24 or newer, which exports functions from WebAssembly:
# Debian 13's golang, or https://go.dev/dl. No module is fetched.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs go golang "it compiles the sample functions in Go"

# What is here is used, and nothing newer fetched.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off GOPROXY=off

new_enough() {
  local version
  version="$(go env GOVERSION)"
  [ "$(printf '%s\n' go1.24 "$version" | sort -V | head -n1)" = go1.24 ] ||
    die "$version is too old: it exports no functions from WebAssembly; install Go 1.24 or newer (https://go.dev/dl)"
}

build() {
  local sample out=$1
  new_enough
  for sample in $(samples); do
    (cd "$udfs/$sample" && GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o "$scratch/$sample.wasm" .)
    component "$scratch/$sample.wasm" "$out/$sample.wasm" --adapt wasi_snapshot_preview1="$sdk/adapter/wasi.wat"
  done
}

tests() {
  local folder
  new_enough
  for folder in "$sdk" $(cd "$udfs" && samples); do
    folder="$(cd "$udfs" && cd "$folder" && pwd)"
    run_test "${folder#"$root"/}" bash -c 'cd "$1" && test -z "$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go test ./...' - "$folder"
  done
}

main "$@"
