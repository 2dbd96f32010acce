#!/usr/bin/env bash
# Builds every sample function from source: `build.sh [OUT]` leaves OUT/NAME.wasm; `build.sh --prebuilt` renews the
# components that the demo embeds. Needs rustup's wasm32-unknown-unknown, or Debian's rustc-web, cargo-web, rust-web-src,
# rust-web-llvm and lld-22; each other language has its script in languages/, which says what it needs.
# MILLSTREAM_LANGUAGES: which of them are built, as `c go`; by default all.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
prebuilt=(only-ip extract-ip extract-ip-masked count)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/millstream/guests-target}"
out="${1:-$HOME/.cache/millstream/udfs}"
[ "$out" = --prebuilt ] && out="$here/prebuilt"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
cd "$here"
# Where the tools of the other languages are found: the path as it was before a toolchain for Rust was chosen.
tools_path="${MILLSTREAM_TOOLS_PATH:-$PATH}"

# Whoever sets the linker has chosen the toolchain.
if [ -z "${CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER:-}" ]; then
  host="$(uname -m)-unknown-linux-gnu"
  sysroot="$(rustc --print sysroot 2>/dev/null || true)"
  if [ -n "$sysroot" ] && [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown/lib" ]; then
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$sysroot/lib/rustlib/$(rustc --print host-tuple)/bin/wasm-component-ld"
  else
    unset RUSTUP_TOOLCHAIN CARGO RUSTC
    export PATH=/usr/lib/llvm-22/bin:/usr/bin:/bin RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="/usr/lib/rustlib/$host/bin/wasm-component-ld"
  fi
fi

# Panics name the place in the source: the same on every machine.
export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$(dirname "$here")=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

# One package a call: a feature that one function switches on must not reach another. Only as a cdylib: with a lib beside
# it, which some samples are for others, cargo would leave out the link-time optimisation.
for manifest in *-rust/Cargo.toml; do
  name="${manifest%-rust/Cargo.toml}"
  [ "$name" = misbehaving ] && continue
  if [ "$out" = "$here/prebuilt" ] && [[ " ${prebuilt[*]} " != *" $name "* ]]; then continue; fi
  cargo rustc --quiet --locked --release --target wasm32-unknown-unknown -p "$name" --crate-type cdylib
  cp "$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/${name//-/_}.wasm" "$out/$name.wasm"
done

if [ "$out" != "$here/prebuilt" ]; then
  cargo build --quiet --locked --profile misbehaving --target wasm32-unknown-unknown -p misbehaving --examples
  for source in misbehaving-rust/examples/bad-*.rs; do
    name="$(basename "$source" .rs)"
    made="$CARGO_TARGET_DIR/wasm32-unknown-unknown/misbehaving/examples/$name.wasm"
    [ -f "$made" ] || made="$CARGO_TARGET_DIR/wasm32-unknown-unknown/misbehaving/examples/${name//-/_}.wasm"
    cp "$made" "$out/$name.wasm"
  done
  # With debug information: its backtrace has files and lines.
  cargo build --quiet --locked --profile misbehaving --config profile.misbehaving.debug=true \
    --config profile.misbehaving.strip=false --target wasm32-unknown-unknown --target-dir "$CARGO_TARGET_DIR/debug-info" \
    -p misbehaving --example bad-panic
  made="$CARGO_TARGET_DIR/debug-info/wasm32-unknown-unknown/misbehaving/examples/bad-panic.wasm"
  [ -f "$made" ] || made="${made%bad-panic.wasm}bad_panic.wasm"
  cp "$made" "$out/bad-panic-debug.wasm"
  native=(env -u RUSTFLAGS -u CARGO_UNSTABLE_BUILD_STD)
  "${native[@]}" cargo build --quiet --locked -p assemble
  export MILLSTREAM_ASSEMBLE="$CARGO_TARGET_DIR/debug/assemble"
  "$MILLSTREAM_ASSEMBLE" misbehaving-wat "$out"
  all="$(cd languages && ls ./*.sh | sed 's|^\./||; s|\.sh$||; /^lib$/d')"
  for language in ${MILLSTREAM_LANGUAGES-$all}; do
    "${native[@]}" PATH="$tools_path" bash "languages/$language.sh" "$out"
  done
fi
