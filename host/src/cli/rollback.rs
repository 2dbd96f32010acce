//! `millstream rollback`: puts an earlier version of a function in force again.

use std::process::ExitCode;

use millstream_web::types::Rollback;
use ureq::http::Method;

use super::client::{Call, Client, Connection, Target, finish};
use super::deploy::{DEPLOY_TIME_MAX, report};

/// Arguments of `millstream rollback`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream rollback access-counts/extract-ip --to 2\n\n\
    Going back is a swap to an earlier version: it gets a number of its own, with the earlier component and settings.\n\
    Exit codes: 0 in force; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// Number of the version to go back to [default: the last one that differs]
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Print the host's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream rollback`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(rollback(args))
}

fn rollback(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let body = serde_json::to_vec(&Rollback { to: args.to })?;
    let call = Call {
        method: Method::POST,
        path: &format!("/v1/functions/{function}/rollback"),
        query: &[("pipeline", pipeline)],
        body: Some(("application/json", &body)),
        time_max: DEPLOY_TIME_MAX,
    };
    report(client.json(&call), args.json)
}
