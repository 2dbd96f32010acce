#!/usr/bin/env bash
# The Rust SDK as a package. The samples in Rust are built by ../build.sh and tested by cargo: nothing of that is here.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
sdk="$root/guest-sdk"
# Kept between runs: what the bindings are generated with is then compiled once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/rust-target}"

# What is made for WebAssembly; where ./x chose Debian's toolchain for it, with that, as in ../build.sh.
wasm=()
if [ "${MILLSTREAM_GUEST_TOOLCHAIN:-}" = debian ]; then
  wasm=(env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTC PATH=/usr/lib/llvm-22/bin:/usr/bin:/bin RUSTC_BOOTSTRAP=1
    CARGO_UNSTABLE_BUILD_STD=std,panic_abort
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=/usr/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/wasm-component-ld")
else
  # The template's own way: a core module, of which the host makes a component.
  unset CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
fi

build() { :; }

tests() { :; }

# Cargo unpacks what it packed and compiles it.
pack() {
  local file="$1/millstream-sdk-$version.crate" said
  said="$(cargo package --allow-dirty --manifest-path "$sdk/Cargo.toml" 2>&1)" || die "cargo would not publish it: $said"
  ! grep -q '^warning' <<<"$said" || die "cargo would publish it with warnings: $(grep -A3 '^warning' <<<"$said")"
  cp "$CARGO_TARGET_DIR/package/$(basename "$file")" "$file"
  holds "$file" "$(in_tarball "$file")" Cargo.toml LICENSE README.md src/lib.rs wit/udf.wit tests/contract.rs -- \
    'src/*.rs' 'tests/*.rs' Cargo.toml.orig Cargo.lock .cargo_vcs_info.json
}

# cargo in the project; the SDK comes from the crate's archive, wherever the project has it from.
in_project() {
  (cd "$project" && "$@" --config "patch.crates-io.millstream-sdk.path=\"$scratch/millstream-sdk-$version\"")
}

trial() {
  local core="$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/package_trial.wasm"
  template package-trial rust
  unpublished millstream-sdk
  tar -xzf "$1/millstream-sdk-$version.crate" -C "$scratch"
  sed -i "s|^millstream-sdk = .*|millstream-sdk = \"$version\"|" "$project/Cargo.toml"
  in_project cargo test --quiet
  in_project "${wasm[@]}" cargo build --quiet --release --target wasm32-unknown-unknown
  if [ ${#wasm[@]} = 0 ]; then
    "$project.millstream" componentize "$core" -o "$project/package-trial.wasm"
  else
    cp "$core" "$project/package-trial.wasm"
  fi
  "$project.millstream" cases "$project/package-trial.wasm" "$project/package-trial.cases"
}

main "$@"
