# What the scripts beside this one share; each sources it as its first act. Not a script of its own.
#
#   LANG.sh OUT       builds every sample NAME-LANG here as OUT/NAME-LANG.wasm
#   LANG.sh --test    the tests of guest-sdk/LANG and of the samples, run natively; prints `test result: …` as cargo does
#   LANG.sh --needs   a line for each of its tools that is missing: PACKAGE <tab> WHY; Debian's packages
#   LANG.sh --fetch   gets what comes from a language's own registry into the cache folder, when it is not there
#
# `./x` asks for the last two before it builds. A LANG.sh names its tools (`needs`, `needs_file`), its locked packages
# (`pip_packages`, `npm_packages`), defines `build OUT` and `tests`, and ends with `main "$@"`.
set -euo pipefail

language="$(basename "$0" .sh)"
languages="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
udfs="$(dirname "$languages")"
root="$(dirname "$udfs")"
sdk="$root/guest-sdk/$language"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/millstream/languages"

missing=()
fetched=()
tests_passed=0
tests_failed=0

die() { printf '%s: %s\n' "$language" "$*" >&2; exit 1; }

# needs TOOL PACKAGE WHY: a program on the path.
needs() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"$'\t'"$3"); }

# needs_file FILE PACKAGE WHY
needs_file() { [ -e "$1" ] || missing+=("$2"$'\t'"$3"); }

# The folder for what a lock file names: another lock, another folder, so that none is ever changed.
locked() { printf '%s/%s-%s' "$cache" "$1" "$(sha256sum "$2" | cut -c1-12)"; }

# pip_packages NAME LOCK: a venv with what LOCK names with hashes (`pip install --require-hashes`); its folder in $venv.
pip_packages() {
  venv="$(locked "$1" "$2")"
  fetched+=("pip"$'\t'"$venv"$'\t'"$2")
}

# npm_packages NAME FOLDER: what FOLDER/package-lock.json names, of FOLDER/package.json; the folder with node_modules in $npm.
npm_packages() {
  npm="$(locked "$1" "$2/package-lock.json")"
  fetched+=("npm"$'\t'"$npm"$'\t'"$2")
}

# Into a folder beside, renamed when whole: a folder that exists is complete. A venv knows its own path, so it is made in
# place and marked.
fetch_pip() {
  python3 -m venv "$1" >&2 && "$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r "$2" >&2 &&
    touch "$1/complete"
}

fetch_npm() {
  local part="$1.part.$$"
  mkdir -p "$part" && cp "$2/package.json" "$2/package-lock.json" "$part/" &&
    npm ci --prefix "$part" --silent --no-audit --no-fund --ignore-scripts >&2 && touch "$part/complete" &&
    { mv -T "$part" "$1" 2>/dev/null || rm -rf "$part"; }
}

fetch() {
  local line kind folder from
  for line in "${fetched[@]}"; do
    IFS=$'\t' read -r kind folder from <<<"$line"
    [ -e "$folder/complete" ] && continue
    printf '%s: getting what %s names into %s\n' "$language" "${from#"$root"/}" "$folder" >&2
    mkdir -p "$cache" && "fetch_$kind" "$folder" "$from" || die "could not get what ${from#"$root"/} names"
  done
}

# Ends with one sentence about the first thing that is missing.
ready() {
  local line folder from
  for line in "${missing[@]}"; do
    die "Debian's package ${line%%$'\t'*} is missing: ${line#*$'\t'} (./x installs it)"
  done
  for line in "${fetched[@]}"; do
    IFS=$'\t' read -r _ folder from <<<"$line"
    [ -e "$folder/complete" ] || die "what ${from#"$root"/} names is missing: \`$0 --fetch\` gets it into $folder"
  done
}

# The samples of this language, by the names of their folders.
samples() { (cd "$udfs" && ls -d -- *-"$language" 2>/dev/null | grep -v "^misbehaving-") || die "there is no sample udfs/*-$language"; }

# component IN OUT [--adapt NAME=FILE]…: a core module as a component.
component() {
  local in=$1 out=$2; shift 2
  "${MILLSTREAM_ASSEMBLE:?set by udfs/build.sh: the program udfs/assemble}" component "$in" "$root/wit" - "$out" "$@"
}

# run_test NAME COMMAND…: one program of tests; what it prints is shown when it fails.
run_test() {
  local name=$1 said; shift
  if said=$("$@" 2>&1); then
    tests_passed=$((tests_passed + 1))
    printf 'test %s ... ok\n' "$name"
  else
    tests_failed=$((tests_failed + 1))
    printf '%s\ntest %s ... FAILED\n' "$said" "$name"
  fi
}

# template NAME: a new project of this language in $scratch/NAME, as `millstream new` makes it; its folder in $project. In
# place of the command there is `$project.millstream`, which knows `componentize`, and takes `cases` for answered.
template() {
  local from="$root/guest-sdk/templates/$language" source target
  project="$scratch/$1"
  cp -R "$from" "$project" && rm "$project/template.toml"
  while IFS=$'\t' read -r source target; do
    mkdir -p "$(dirname "$project/$target")" && cp -R "$root/$source" "$project/$target"
  done < <(sed -n 's/^ *\["\([^"]*\)", *"\([^"]*\)"\],*$/\1\t\2/p' "$from/template.toml")
  grep -rl '{{name}}' "$project" | xargs sed -i "s/{{name}}/$1/g"
  printf '#!/bin/sh\n[ "$1" = componentize ] || exit 0\nexec "%s" component "$2" "%s" - "$4"\n' \
    "${MILLSTREAM_ASSEMBLE:?set by whoever runs this: the program udfs/assemble}" "$root/wit" >"$project.millstream"
  chmod +x "$project.millstream"
}

main() {
  case "${1:-}" in
    --needs) [ ${#missing[@]} = 0 ] || printf '%s\n' "${missing[@]}" ;;
    --fetch) fetch ;;
    --test)
      ready
      scratch="$(mktemp -d)"; trap 'rm -rf "$scratch"' EXIT
      tests
      local word=ok; [ "$tests_failed" = 0 ] || word=FAILED
      printf 'test result: %s. %s passed; %s failed\n' "$word" "$tests_passed" "$tests_failed"
      [ "$tests_failed" = 0 ]
      ;;
    '' | -*) die "usage: $0 OUT | --test | --needs | --fetch" ;;
    *)
      ready
      mkdir -p "$1"
      scratch="$(mktemp -d)"; trap 'rm -rf "$scratch"' EXIT
      build "$(cd "$1" && pwd)"
      ;;
  esac
}
