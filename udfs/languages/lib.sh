# What the scripts beside this one share; each sources it as its first act. Not a script of its own.
#
#   LANG.sh OUT       builds every sample NAME-LANG here as OUT/NAME-LANG.wasm
#   LANG.sh --test    the tests of guest-sdk/LANG and of the samples, run natively; prints `test result: …` as cargo does
#   LANG.sh --pack OUT     its SDK as packages in OUT, ready to publish; what each holds is checked (also a part of --test)
#   LANG.sh --package OUT  the same, and a new project that takes the SDK from there, as a user gets it: it must build and pass
#                          its tests. What else it needs comes from the language's registry, as for a user
#   LANG.sh --needs   a line for each of its tools that is missing: PACKAGE <tab> WHY; Debian's packages
#   LANG.sh --fetch   gets what comes from a language's own registry into the cache folder, when it is not there
#
# `./x` asks for the last two before it builds. A LANG.sh names its tools (`needs`, `needs_file`), its locked packages
# (`pip_packages`, `npm_packages`), defines `build OUT` and `tests`, where it has an SDK `pack OUT` and `trial OUT`, and ends
# with `main "$@"`.
set -euo pipefail

language="$(basename "$0" .sh)"
languages="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
udfs="$(dirname "$languages")"
root="$(dirname "$udfs")"
sdk="$root/guest-sdk/$language"
# Of all SDKs; the tidy tests hold the others to it.
version="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/guest-sdk/Cargo.toml" | head -n1)"
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

# exports COMPONENT INTERFACE…: it exports these interfaces of the contract, in the order of the alphabet, and no others.
exports() {
  local component=$1 found expected; shift
  expected="$(printf '%s\n' "$@")"
  found="$(grep -aoE 'millstream:udf/[a-z-]+@[0-9.]+#' "$component" | sed 's|.*/||; s|@.*||' | sort -u)"
  [ "$found" = "$expected" ] || die "$(basename "$component") exports $(tr '\n' ' ' <<<"$found")and not $*"
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

# template NAME [LANG]: a new project of this language in $scratch/NAME, as `millstream new` makes it; its folder in $project. In
# place of the command there is `$project.millstream`, which knows `componentize`, and takes `cases` for answered; or the command
# itself, where MILLSTREAM_PROGRAM names it.
template() {
  local from="$root/guest-sdk/templates/${2:-$language}" source target file
  project="$scratch/$1"
  cp -R "$from" "$project" && rm "$project/template.toml"
  if [ -d "$project/kinds" ]; then
    cp -R "$project/kinds/filter/." "$project" && rm -r "$project/kinds"
  fi
  while IFS=$'\t' read -r source target; do
    mkdir -p "$(dirname "$project/$target")" && cp -R "$root/$source" "$project/$target"
  done < <(sed -n 's/^\(sdk = \[\)\{0,1\} *\["\([^"]*\)", *"\([^"]*\)"\][],]*$/\2\t\3/p' "$from/template.toml")
  find "$project" -depth -name '*{{name}}*' | while IFS= read -r file; do mv "$file" "${file//'{{name}}'/$1}"; done
  find "$project" -name '*.tmpl' | while IFS= read -r file; do mv "$file" "${file%.tmpl}"; done
  grep -rlE '\{\{name(_snake)?\}\}' "$project" | xargs sed -i "s/{{name}}/$1/g; s/{{name_snake}}/${1//-/_}/g"
  if [ -n "${MILLSTREAM_PROGRAM:-}" ]; then
    ln -s "$(realpath "$MILLSTREAM_PROGRAM")" "$project.millstream"
    return
  fi
  printf '#!/bin/sh\n[ "$1" = componentize ] || exit 0\nexec "%s" component "$2" "%s" - "$4"\n' \
    "${MILLSTREAM_ASSEMBLE:?set by whoever runs this: the program udfs/assemble}" "$root/wit" >"$project.millstream"
  chmod +x "$project.millstream"
}

# unpublished FOLDER NEW: the project is as one whose SDK is not beside it: the copy FOLDER is gone. Ends where the host is not
# named that builds and tries it.
unpublished() {
  [ -n "${MILLSTREAM_PROGRAM:-}" ] || die "MILLSTREAM_PROGRAM names the host, which makes components and runs cases (./x packages sets it)"
  [ -d "$project/$1" ] || die "the template copied no $1"
  rm -r "${project:?}/$1"
}

# tarball FOLDER OUT: OUT/NAME.tar.gz of a folder NAME, the same bytes each time.
tarball() {
  local name; name="$(basename "$1")"
  tar -C "$(dirname "$1")" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --mode=u+rw,go+r,go-w -cf - "$name" | gzip -n9 >"$2/$name.tar.gz"
}

# headers NAME DESCRIPTION REQUIRES OUT FILE…: a tarball of headers for a prefix, with what pkg-config asks for.
headers() {
  local name=$1 description=$2 requires=$3 out=$4; shift 4
  local folder="$scratch/pack/$name-$version"
  mkdir -p "$folder/include/millstream" "$folder/share/pkgconfig" "$folder/share/doc/$name"
  cp -- "$@" "$folder/include/millstream"
  cp -- "$sdk/LICENSE" "$sdk/README.md" "$folder/share/doc/$name"
  cat >"$folder/share/pkgconfig/$name.pc" <<END
prefix=\${pcfiledir}/../..
includedir=\${prefix}/include/millstream

Name: $name
Description: $description
Version: $version
Requires: $requires
Cflags: -I\${includedir}
END
  tarball "$folder" "$out"
}

# prefix OUT NAME…: tarballs of headers unpacked in one prefix, for pkg-config.
prefix() {
  local out=$1 name; shift
  mkdir -p "$scratch/prefix"
  for name in "$@"; do tar -xzf "$out/$name-$version.tar.gz" -C "$scratch/prefix" --strip-components=1; done
  export PKG_CONFIG_PATH="$scratch/prefix/share/pkgconfig"
}

# holds FILE LIST REQUIRED… -- ALLOWED…: checks what is in a package. LIST has a path a line; each REQUIRED, a pattern of the
# shell, fits one, and each path fits a pattern, REQUIRED or ALLOWED.
holds() {
  local name path pattern list=$2 patterns=() required=yes
  name="$(basename "$1")"; shift 2
  [ -n "$list" ] || die "$name is empty"
  for pattern in "$@"; do
    if [ "$pattern" = -- ]; then required=no; continue; fi
    patterns+=("$pattern")
    [ "$required" = no ] || fits_one "$pattern" "$list" || die "$name lacks $pattern; it holds: $(printf '%s ' $list)"
  done
  while IFS= read -r path; do
    for pattern in "${patterns[@]}"; do
      # shellcheck disable=SC2053 # it is a pattern
      [[ $path == $pattern ]] && continue 2
    done
    die "$name holds $path, which does not belong there"
  done <<<"$list"
}

fits_one() {
  local path
  while IFS= read -r path; do
    # shellcheck disable=SC2053 # it is a pattern
    [[ $path == $1 ]] && return 0
  done <<<"$2"
  return 1
}

# npm_package FOLDER OUT: packs what npm would publish; npm finds nothing in it to repair.
npm_package() {
  local said
  (cd "$1" && npm pack --silent --pack-destination "$2" >/dev/null)
  # Being logged in is the maintainer's.
  said="$(cd "$1" && npm publish --dry-run 2>&1)" || die "npm would not publish it: $said"
  said="$(grep -i '^npm warn' <<<"$said" | grep -v 'requires you to be logged in' || true)"
  [ -z "$said" ] || die "npm would publish it with warnings: $said"
}

# in_tarball FILE: the paths of its files, without the folder that they are in.
in_tarball() { tar -tzf "$1" | grep -v '/$' | sed 's|^[^/]*/||'; }

# package OUT [--tried]
package() {
  if ! declare -F pack >/dev/null; then
    printf '%s: it has no SDK, so there is no package\n' "$language" >&2
    return
  fi
  mkdir -p "$1"
  local out; out="$(cd "$1" && pwd)"
  pack "$out"
  [ -z "${2:-}" ] || trial "$out"
}

main() {
  case "${1:-}" in
    --needs) [ ${#missing[@]} = 0 ] || printf '%s\n' "${missing[@]}" ;;
    --fetch) fetch ;;
    --test)
      ready
      scratch="$(mktemp -d)"; trap 'rm -rf "$scratch"' EXIT
      tests
      # A process of its own: what fails in it ends it.
      ! declare -F pack >/dev/null || run_test package bash "$languages/$language.sh" --pack "$scratch/packages"
      local word=ok; [ "$tests_failed" = 0 ] || word=FAILED
      printf 'test result: %s. %s passed; %s failed\n' "$word" "$tests_passed" "$tests_failed"
      [ "$tests_failed" = 0 ]
      ;;
    --pack | --package)
      [ -n "${2:-}" ] || die "usage: $0 $1 OUT"
      ready
      scratch="$(mktemp -d)"; trap 'rm -rf "$scratch"' EXIT
      local tried=; [ "$1" = --pack ] || tried=--tried
      package "$2" $tried
      ;;
    '' | -*) die "usage: $0 OUT | --test | --pack OUT | --package OUT | --needs | --fetch" ;;
    *)
      ready
      mkdir -p "$1"
      scratch="$(mktemp -d)"; trap 'rm -rf "$scratch"' EXIT
      build "$(cd "$1" && pwd)"
      ;;
  esac
}
