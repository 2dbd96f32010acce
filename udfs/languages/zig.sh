#!/usr/bin/env bash
# The samples in Zig: the compiler is PyPI's wheel ziglang, as zig/requirements.txt names it.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs python3 python3 "unpacks the Zig compiler, which comes as a wheel"
needs_file "$(python3 -c 'import ensurepip; print(ensurepip.__file__)' 2>/dev/null || echo none)" python3-venv "gives the Zig compiler a folder of its own"
pip_packages zig "$languages/zig/requirements.txt"

# Cold, the cache of what Zig compiles of its own takes a minute; it is named by its content.
zig() { ZIG_GLOBAL_CACHE_DIR="$venv/cache" ZIG_LOCAL_CACHE_DIR="$scratch/cache" "$venv"/lib/python3*/site-packages/ziglang/zig "$@"; }

# with_sdk SOURCE: the modules of a function.
with_sdk() { modules=(--dep millstream "-Mroot=$1" "-Mmillstream=$sdk/src/millstream.zig"); }

in_project() { (cd "$project" && "$@"); }

# function_in NAME SOURCE OUT: one function as the component OUT/NAME.wasm.
function_in() {
  with_sdk "$2"
  zig build-exe -target wasm32-freestanding -mcpu=generic+bulk_memory -O ReleaseFast -fno-entry -rdynamic \
    --name "$1" "-femit-bin=$scratch/$1.wasm" "${modules[@]}" && component "$scratch/$1.wasm" "$3/$1.wasm"
}

build() {
  local name
  for name in $(samples); do function_in "$name" "$udfs/$name/${name%-zig}.zig" "$1"; done
}

tests() {
  local name
  run_test sdk zig test "-Mroot=$sdk/src/millstream.zig"
  for name in $(samples); do
    with_sdk "$udfs/$name/${name%-zig}.zig"
    run_test "$name" zig test "${modules[@]}"
  done
  # A migrator without an aggregator, as the host would have it.
  mkdir "$scratch/exports"
  run_test tests/processor function_in processor "$sdk/tests/processor.zig" "$scratch/exports"
  run_test tests/interfaces exports "$scratch/exports/processor.wasm" migrator processor
  template trial
  run_test template in_project zig build test "-Dmillstream=$project.millstream"
}

# What the package's own `paths` name, as Zig itself would take it.
pack() {
  local folder="$scratch/pack/millstream-zig-$version" path file="$1/millstream-zig-$version.tar.gz"
  mkdir -p "$folder"
  for path in $(sed -n 's/^ *\.paths = \.{\(.*\)},$/\1/p' "$sdk/build.zig.zon" | tr -d '",'); do cp -R "$sdk/$path" "$folder"; done
  tarball "$folder" "$1"
  holds "$file" "$(in_tarball "$file")" build.zig build.zig.zon LICENSE README.md src/millstream.zig -- 'src/*.zig'
  # Zig takes it, and sees the name and the version.
  [[ $(cd "$folder" && zig fetch "$file") == "millstream-$version-"* ]] || die "zig fetch sees no millstream $version in $file"
}

trial() {
  template trial
  unpublished millstream
  # As `zig fetch --save URL` writes it, which saves no URL of a file.
  local file="$1/millstream-zig-$version.tar.gz" hash
  hash="$(in_project zig fetch "$file")"
  sed -i "s|\.path = \"millstream\"|.url = \"file://$file\", .hash = \"$hash\"|" "$project/build.zig.zon"
  in_project zig build test "-Dmillstream=$project.millstream"
}

main "$@"
