//! `millstream pause` and `millstream resume`: whether a running host takes records. One host each: hosts of a fleet are called one
//! by one.

use std::process::ExitCode;
use std::time::Duration;

use millstream_web::types::{Pipeline, Standing};
use ureq::http::Method;

use super::client::{Call, Client, Connection, finish, name, print, print_json};
use crate::runtime::pause::PAUSE_WAIT;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(PAUSE_WAIT.as_secs() + 30);

/// Arguments of `millstream pause`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream pause access-counts\n\n\
    What is done is committed; tasks, their state and the place in the group are kept, also over a restart of the host.\n\
    Of several hosts each is paused by its own address (--url).\n\n\
    Exit codes: 0 paused; 1 failed, or a commit still takes its time; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
}

/// Arguments of `millstream resume`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream resume access-counts\n\n\
    Exit codes: 0 running; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct ResumeArgs {
    #[command(flatten)]
    shared: Shared,
}

/// What both take.
#[derive(clap::Args, Debug)]
struct Shared {
    /// The pipeline
    #[arg(value_parser = name)]
    pipeline: String,
    /// Print the host's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream pause`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(ask(&args.shared, "/v1/pipeline/pause", Standing::Paused))
}

/// Runs `millstream resume`.
///
/// # Errors
/// What went wrong, for people.
pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    finish(ask(&args.shared, "/v1/pipeline/resume", Standing::Running))
}

fn ask(args: &Shared, path: &str, wanted: Standing) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.connection, Some(&args.pipeline))?;
    let (method, query) = (Method::POST, [("pipeline", args.pipeline.as_str())]);
    let answer: Pipeline = client.json(&Call { method, path, query: &query, body: None, time_max: ANSWER_TIME_MAX })?;
    if args.json {
        print_json(&answer)?;
    } else {
        print(format!("{} at {}: {}\n", answer.name, client.url(), answer.state).as_bytes())?;
    }
    if answer.state == wanted {
        return Ok(ExitCode::SUCCESS);
    }
    if answer.state == Standing::Pausing {
        eprintln!("no more records are taken; the last commit takes its time, `millstream status` says how it stands");
    }
    Ok(ExitCode::FAILURE)
}
