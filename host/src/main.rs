//! The program `millstream`: arguments → command → exit code. What commands do is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::cli::main()
}
