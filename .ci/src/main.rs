//! The project's own commands, behind `./x`: what a laptop and continuous integration both run.
//!
//! Not the product. Each command is a thin line to cargo; what is more than that has a module: [`steps`] (progress),
//! [`counts`] (the sum over all test binaries), [`guests`] (sample functions from source),
//! [`table`] (what they cost in each language), [`packages`] (the SDKs, to publish), [`test`].
//! The `tidy` module is tests only: the mechanical half of `docs/style.md`, and the walls between crates.

mod counts;
mod guests;
mod packages;
mod run;
mod steps;
mod table;
mod test;
#[cfg(test)]
mod tidy;

use std::{
    path::PathBuf,
    process::{Command as ProcessCommand, ExitCode},
};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(
    name = "./x",
    bin_name = "./x",
    about = "Millstream's commands. Each does its own set-up.",
    max_term_width = 120,
    disable_version_flag = true,
    infer_subcommands = false
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The access-log example, running, with a function to swap under it (--script: the whole story, then ends)
    #[command(disable_help_flag = true)]
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every test; the last line is `N passed, N failed`. With arguments: only `cargo test` with these
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Builds the sample functions from source and prints the folder they are in
    Guests {
        /// Prints instead what the samples cost in each language: size, time to compile, time a record, memory
        #[arg(long)]
        table: bool,
    },
    /// Makes the SDKs' packages (crate, wheel, npm, …), ready to publish; a new project builds and tests with each
    Packages {
        /// An empty folder for them [default: packages, in the build folder, made anew]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The seeded simulator: [--seeds N] for many, [--seed N] replays one
    #[command(disable_help_flag = true)]
    Sim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measures: the core without I/O, local mode end to end, or the host on Kafka beside Kafka Streams (--short: minutes)
    Bench {
        which: Bench,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Licences, sources, and who may depend on whom (cargo-deny, installed on first use: some minutes)
    Deny {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Writes the manifest's JSON Schema anew, from the types
    Schema,
    /// Formats all Rust code, guests too
    Fmt {
        /// Changes nothing; fails when something would change
        #[arg(long)]
        check: bool,
    },
    /// Clippy over everything; warnings are errors
    Lint,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    Core,
    Local,
    Kafka,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo { args } => run::become_cargo(&["run", "-q", "-p", "millstream", "--", "demo"], &args),
        Command::Test { args } => test::test(&args),
        Command::Guests { table: true } => run::finish(table::print()),
        Command::Guests { table: false } => {
            println!("{}", guests::build()?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Packages { out } => packages::make(out.as_deref()),
        Command::Sim { args } => {
            run::become_cargo(&["run", "-q", "-p", "millstream-core", "--example", "sim", "--"], &args)
        }
        Command::Bench { which, args } => {
            let name = match which {
                Bench::Core => "bench-core",
                Bench::Local => "bench-local",
                Bench::Kafka => "bench-kafka",
            };
            // Benches start the program as a process of its own: it is built beside them. The whole workspace is, as for the tests:
            // for one package alone libraries have other features, and would be built a second time.
            run::check(&mut run::cargo(&["build", "-q", "--workspace", "--bins"]))?;
            let mut bench = ProcessCommand::new(run::target_dir().join("debug").join(name));
            // Local mode's uses the functions in `udfs/prebuilt`; on Kafka `swaps` compiles the largest of all samples.
            if !matches!(which, Bench::Local) {
                bench.env(guests::FOLDER_VARIABLE, guests::build()?);
            }
            run::become_program(bench.args(args))
        }
        Command::Deny { args } => run::deny(&args),
        Command::Schema => run::become_cargo(&["run", "-q", "-p", "millstream", "--", "schema"], &[]),
        Command::Fmt { check } => run::finish(run::format(check)),
        Command::Lint => run::finish(run::lint()),
    }
}
