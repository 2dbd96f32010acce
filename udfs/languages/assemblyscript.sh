#!/usr/bin/env bash
# The samples in AssemblyScript: node runs its compiler, which npm fetches as guest-sdk/assemblyscript/package-lock.json says.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs node nodejs "runs the AssemblyScript compiler, and the tests of what it makes"
needs npm npm "fetches the AssemblyScript compiler"
npm_packages assemblyscript "$sdk"

# compile SOURCE OUT: a core module, as in a project that has the SDK among its packages. Files beside the source are its own.
compile() {
  local project="$scratch/$(basename "$1" .ts).project"
  mkdir -p "$project/node_modules" && ln -sfn "$sdk" "$project/node_modules/millstream-assemblyscript"
  cp "$(dirname "$1")"/*.ts "$project"
  (cd "$project" && node "$npm/node_modules/assemblyscript/bin/asc.js" "$(basename "$1")" --outFile "$2" -O3 --debug \
    --runtime minimal --use abort=~lib/millstream-assemblyscript/assembly/log/abort --transform "$sdk/transform.mjs")
}

build() {
  local name
  for name in $(samples); do
    compile "$udfs/$name/${name%-assemblyscript}.ts" "$scratch/$name.wasm"
    component "$scratch/$name.wasm" "$1/$name.wasm"
  done
}

tests() {
  local name
  for name in $(samples); do
    compile "$udfs/$name/${name%-assemblyscript}.ts" "$scratch/$name.wasm"
    run_test "$name" node "$udfs/$name/test.mjs" "$scratch/$name.wasm"
  done
  for name in by-value kinds migrate process; do
    compile "$sdk/tests/$name.ts" "$scratch/$name.wasm"
    run_test "tests/$name" node "$sdk/tests/$name.mjs" "$scratch/$name.wasm"
  done
  template trial
  # What `npm install` would put there.
  mkdir "$project/node_modules" && ln -s "$npm/node_modules/"* "$npm/node_modules/.bin" "$project/node_modules/"
  ln -s ../millstream "$project/node_modules/millstream-assemblyscript"
  run_test template env MILLSTREAM="$project.millstream" npm --prefix "$project" --silent test
}

pack() {
  local file="$1/millstream-assemblyscript-$version.tgz"
  npm_package "$sdk" "$1"
  holds "$file" "$(in_tarball "$file")" package.json LICENSE README.md transform.mjs testing.mjs assembly/index.ts \
    assembly/exports/filter.ts -- 'assembly/*.ts'
}

trial() {
  template trial
  unpublished millstream
  npm --prefix "$project" install --silent --no-audit --no-fund "$1/millstream-assemblyscript-$version.tgz"
  MILLSTREAM="$project.millstream" npm --prefix "$project" --silent test
}

main "$@"
