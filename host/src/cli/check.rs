//! Finds every error and warning of a manifest, those of its functions' components included.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::Renderer;
use millstream_core::topology::spec::Spec;
use millstream_wasm::Registry;

use super::client::{print, print_json};
use super::load;
use crate::config::{self, Severity};
use crate::runtime::functions;

/// Finds every error and warning of a manifest.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream check pipeline.yaml\n\nExit codes: 0 no error, though perhaps warnings; \
                        1 an error, or the file cannot be read.")]
pub struct Args {
    /// The manifest
    file: PathBuf,
    /// Check for local mode with this folder, as `run --local` would run it: `kafka:` is left aside
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// As one JSON object: file, errors, warnings, problems with line and column
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let registry = Registry::new(functions::config(None, 1)?)?;
    let look = |spec: &Spec, function: &config::Function| load::look(&registry, spec, function);
    let loaded = config::load(&args.file, args.local.is_some(), &look)?;
    let report = loaded.report;
    if args.json {
        print_json(&report.to_json())?;
    } else if report.problems.is_empty() {
        print(format!("{}: no errors, no warnings\n", report.file).as_bytes())?;
    } else {
        let renderer = if std::io::stdout().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        print(format!("{}{}: {}\n", report.draw(&renderer), report.file, report.summary()).as_bytes())?;
    }
    Ok(if report.count(Severity::Error) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
