//! `./x test`: everything that must hold, in order of cost, the workspace's tests last.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    counts::run_counting,
    guests,
    run::{self, cargo},
    steps::Steps,
};

/// Runs everything; with `args`, only the workspace's tests that they name (as `cargo test` understands them).
///
/// Sample functions are built first in both cases: the tests load them from the folder in `MILLSTREAM_UDFS`.
pub fn test(args: &[String]) -> Result<ExitCode> {
    let whole = args.is_empty();
    // Clippy compiles everything a second time, so it is left to CI and to `./x lint`.
    let lint = whole && run::in_ci();
    let mut steps = Steps::new(2 + if whole { 2 } else { 0 } + usize::from(lint));
    if whole {
        steps.run("formatting (./x fmt repairs it)", |_| run::format(true));
    }
    let built = steps.run("sample functions for WebAssembly", |_| guests::build());
    if whole {
        steps.run("sample functions' own tests", guests::test);
    }
    if lint {
        steps.run("clippy", |_| run::lint());
    }
    steps.run("the workspace's tests", |counts| {
        let mut command = cargo(&["test", "--no-fail-fast"]);
        if whole {
            command.arg("--workspace");
        }
        // Most tests need no function, so they run also when these could not be built.
        if let Some(functions) = built {
            command.env(guests::FOLDER_VARIABLE, functions);
        }
        run_counting(command.args(args), counts)
    });
    Ok(if steps.finish(&mut std::io::stdout()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
