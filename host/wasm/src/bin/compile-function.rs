//! The compiling child process for this crate's tests and benches: what the host's hidden subcommand does, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_wasm::compile_child()
}
