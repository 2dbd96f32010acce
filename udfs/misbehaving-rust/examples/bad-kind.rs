//! A component that exports nothing a step could use.

#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
extern "C" fn nothing() {}
