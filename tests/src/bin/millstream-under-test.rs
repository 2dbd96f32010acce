//! The program, under a name that the tests can rely on: cargo builds it whenever it builds them.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::cli::main()
}
