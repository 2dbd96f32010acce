//! The command line: one file for each command. Data goes to standard output, all else to standard error; errors become
//! text here and nowhere else.

mod cases;
mod check;
mod client;
mod completions;
mod componentize;
mod consume;
mod demo;
mod deploy;
mod functions;
pub mod generate;
mod graph;
mod history;
mod inspect;
mod junit;
pub mod load;
mod log;
mod logs;
mod new;
mod pause;
mod place;
mod produce;
mod profile;
mod promote;
mod replay;
mod reset;
mod rollback;
mod run;
mod schema;
mod sign;
mod status;
mod test;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runtime::functions::COMPILE_COMMAND;
use crate::runtime::heap;

/// Exit codes, as every command's `--help` ends with them.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, or something was found wrong; 2 the command line is wrong; \
                          3 the host cannot be reached.";

/// Runs functions, compiled to WebAssembly, over streams of records.
#[derive(Parser)]
#[command(
    name = "millstream",
    version,
    max_term_width = 110,
    after_help = EXIT_CODES,
    infer_subcommands = false,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a pipeline until it is stopped
    Run(run::Args),
    /// Finds every error and warning of a manifest
    Check(check::Args),
    /// Draws a pipeline: Mermaid, DOT or SVG
    Graph(graph::Args),
    /// Takes a file of records through a pipeline, without a host, and compares the results
    Test(test::Args),
    /// Says what a function's file offers and needs, and whether this host would take it
    Inspect(inspect::Args),
    /// Looks for hidden state and randomness in a function; measures its cost
    Verify(verify::Args),
    /// Makes a project for a function of your own, in the language you name
    New(new::Args),
    /// Runs the cases of a function: a unit test for a function in any language
    Cases(cases::Args),
    /// Turns a core module that was built against the contract into a component
    Componentize(componentize::Args),
    /// Sends a new version of a function to a running host
    Deploy(deploy::Args),
    /// Goes back to an earlier version of a function
    Rollback(rollback::Args),
    /// Makes keys, and signs components for pipelines that trust them
    Sign(sign::Args),
    /// Puts a version in force that is on trial, says how it fares there, or gives it up
    Promote(promote::Args),
    /// Shows what a version in force, or an earlier one, offers and needs, and gives its file back
    Functions(functions::Args),
    /// Shows the versions of a function, and which records each one handled
    History(history::Args),
    /// Shows the lines that functions write on a running host
    Logs(logs::Args),
    /// Shows where a function spends its time: a flame graph
    Profile(profile::Args),
    /// Takes a stored record through a function once more, and shows what went in and what came out
    Replay(replay::Args),
    /// Shows tasks, lag, versions and rates of a running host
    Status(status::Args),
    /// A running host takes no more records; what is done is committed
    Pause(pause::Args),
    /// A paused host takes records again
    Resume(pause::ResumeArgs),
    /// Starts a pipeline over: deletes its positions, internal topics and states
    Reset(reset::Args),
    /// Writes records to a topic of a running host
    Produce(produce::Args),
    /// Reads records from a topic of a running host
    Consume(consume::Args),
    /// The access-log example, running, with a function to change under it
    Demo(demo::Args),
    /// Generated access-log lines, for trials and measurements
    Generate(generate::Args),
    /// Prints the JSON Schema of the manifest
    Schema(schema::Args),
    /// Prints a completion script for a shell
    Completions(completions::Args),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // What a host starts for each new component; it is no command of the user's, and no completion shows it.
    if std::env::args_os().nth(1).is_some_and(|command| command == COMPILE_COMMAND) {
        return millstream_wasm::compile_child();
    }
    heap::keep();
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::New(args) => new::run(&args),
        Command::Cases(args) => cases::run(&args),
        Command::Componentize(args) => componentize::run(&args),
        Command::Deploy(args) => deploy::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Promote(args) => promote::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::History(args) => history::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Pause(args) => pause::run(&args),
        Command::Resume(args) => pause::resume(&args),
        Command::Reset(args) => reset::run(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    client::finish(result).unwrap_or_else(|error| {
        eprintln!("millstream: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_s_help_has_an_example_and_its_exit_codes() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            for part in ["Example", "millstream ", "Exit codes: "] {
                assert!(help.contains(part), "{}: no `{part}` in\n{help}", command.get_name());
            }
        }
    }
}
