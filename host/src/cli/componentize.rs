//! Turns a core module that was built against the contract into a component. How is in `millstream_wasm::componentize`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use millstream_wasm::componentize;

use super::load;

/// Turns a core module that was built against the contract into a component.
///
/// For compilers that make modules only: Go, C without a component linker, AssemblyScript, WebAssembly text. Whichever
/// interfaces the module exports become the component's; what it asks of WASI preview 1 is met without anything behind it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream componentize filter.core.wasm -o filter.wasm\n\n\
                        Exit codes: 0 the component is written; 1 the module does not fit the contract.")]
pub struct Args {
    /// The module; text (.wat) is taken too
    #[arg(value_name = "CORE.wasm")]
    file: PathBuf,
    /// Where the component goes
    #[arg(short, long, value_name = "OUT.wasm")]
    output: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Files; why no component can be made of the module.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = load::component(&args.file)?;
    let made = componentize(&bytes).map_err(|why| anyhow!("{}: {why}", args.file.display()))?;
    std::fs::write(&args.output, &made.component).with_context(|| format!("write {}", args.output.display()))?;
    let exports = if made.exports.is_empty() { String::new() } else { format!(", {}", made.exports.join(", ")) };
    eprintln!("{}: {} bytes{exports}", args.output.display(), made.component.len());
    if !made.stubbed.is_empty() {
        eprintln!("  met by nothing behind them, of WASI preview 1: {}", made.stubbed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
