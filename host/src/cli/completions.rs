//! Prints a completion script for a shell, made from the commands themselves.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::client::print;

/// Prints a completion script for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  source <(millstream completions bash)\n  \
                        millstream completions zsh > ~/.zfunc/_millstream\n  \
                        millstream completions fish > ~/.config/fish/completions/millstream.fish\n\n\
                        Exit codes: 0 printed; 1 failed; 2 the command line is wrong.")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "millstream", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
