//! Prints the JSON Schema of the manifest, for editors: `docs/manifest.schema.json` is this command's output.

use std::process::ExitCode;

use super::client::print;
use crate::config::manifest;

/// Prints the JSON Schema of the manifest.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream schema > manifest.schema.json\n\nExit codes: 0 printed.")]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(_: &Args) -> anyhow::Result<ExitCode> {
    print(manifest::schema_text().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
