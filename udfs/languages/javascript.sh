#!/usr/bin/env bash
# The samples in JavaScript and TypeScript, and the tests of guest-sdk/javascript. Needs Node 18 or newer with npm (Debian:
# nodejs, npm); esbuild, componentize-qjs and componentize-js, which hold the engines, come from npm as
# javascript/package-lock.json names them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs node nodejs "it runs what makes components of JavaScript programs, and their tests"
needs npm npm "it fetches what makes components of JavaScript programs"
npm_packages javascript "$languages/javascript"

all_samples() { (cd "$udfs" && ls -d -- *-javascript *-typescript); }

# project SAMPLE: a copy of it with the SDK where npm would put it; nothing is left in the checkout.
project() {
  cp -r "$udfs/$1" "$scratch/$1"
  mkdir -p "$scratch/$1/node_modules"
  ln -s "$sdk" "$scratch/$1/node_modules/millstream-sdk"
  cd "$scratch/$1"
}

build() {
  local sample name source out=$1 tool="$sdk/bin/millstream-build.js"
  export MILLSTREAM_NODE_MODULES="$npm/node_modules"
  for sample in $(all_samples); do
    name="${sample%-*}"
    source="$name.js"; [ "$sample" = "$name-typescript" ] && source="$name.ts"
    (project "$sample" && node "$tool" "$source" -o "$out/$sample.wasm")
  done
  # The other engine, for one program.
  cd "$scratch/only-ip-javascript" && node "$tool" only-ip.js -o "$out/only-ip-spidermonkey.wasm" --engine spidermonkey
}

test_sample() {
  project "$1"
  # Types are erased first; Node 18 and 20 do not know them.
  if [ -e tsconfig.json ] || ls -- *.ts >/dev/null 2>&1; then
    "$npm/node_modules/.bin/esbuild" --bundle --platform=node --format=esm --log-level=warning --outdir=build --out-extension:.js=.mjs ./*.test.ts
    node --test build/*.test.mjs
  else
    node --test
  fi
}

tests() {
  local sample
  run_test guest-sdk/javascript node --test "$sdk/test/"
  for sample in $(all_samples); do
    run_test "udfs/$sample" test_sample "$sample"
  done
}

pack() {
  local file="$1/millstream-sdk-$version.tgz"
  npm_package "$sdk" "$1"
  holds "$file" "$(in_tarball "$file")" package.json LICENSE README.md index.d.ts bin/millstream-build.js wit/udf.wit \
    src/index.js src/component.js src/component-processor.js src/component-on-timer.js src/program.js -- 'src/*.js'
}

trial() {
  local name
  for name in javascript typescript; do
    template "trial-$name" "$name"
    unpublished millstream-sdk
    npm --prefix "$project" install --silent --no-audit --no-fund "$1/millstream-sdk-$version.tgz"
    make -s -C "$project" MILLSTREAM="$project.millstream" test
  done
}

main "$@"
