//! `millstream functions show`: what a deployed version offers and needs; gives its file back.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use millstream_wasm::Registry;
use millstream_web::types::History;
use serde_json::json;
use ureq::http::Method;

use super::client::{Call, Client, Connection, Target, finish, print, print_json};
use super::deploy::DEPLOY_TIME_MAX;
use super::inspect;
use crate::runtime::functions;

/// Examples and exit codes.
const HELP: &str = "Examples:\n  millstream functions show access-counts/extract-ip\n  \
    millstream functions show access-counts/extract-ip --version 2 -o earlier.wasm\n\n\
    Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 no host answers.";

/// Arguments of `millstream functions`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Shows what a version of a function is, offers and needs
    Show(Show),
}

#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
struct Show {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// Number of the version, as `millstream history` has it [default: the one in force]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Write its component into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream functions`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let What::Show(args) = &args.what;
    finish(show(args))
}

fn show(args: &Show) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let history: History = client.get(&format!("/v1/functions/{function}/history"), &[("pipeline", pipeline)])?;
    let last = history.versions.last().map(|past| past.version.number);
    let wanted = args.version.or(last).context("the function has no version yet")?.to_string();
    let call = Call {
        method: Method::GET,
        path: &format!("/v1/functions/{function}/component"),
        query: &[("pipeline", pipeline), ("version", &wanted)],
        body: None,
        time_max: DEPLOY_TIME_MAX,
    };
    let component = client.call(&call).and_then(|mut answer| client.read(&mut answer))?;
    if let Some(path) = &args.output {
        std::fs::write(path, &component).with_context(|| format!("write {}", path.display()))?;
    }
    // Looked at here, so that a host does no work for it: another version of this program may see it otherwise.
    let inspection = Registry::new(functions::config(None, 1)?)?.inspect(&component);
    let version =
        history.versions.iter().map(|past| &past.version).find(|version| version.number.to_string() == wanted);
    if args.json {
        print_json(&json!({ "function": function, "version": version, "inspection": inspection }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    if let Some(version) = version {
        let standing = if Some(version.number) == last { "in force" } else { "not in force any more" };
        out.push_str(&format!("{function}: version {}, {standing}\n", version.number));
        out.push_str(&format!("{:<10} {}\n{:<10} {}\n", "origin", version.origin, "settings", version.settings));
    }
    out.push_str(&inspect::text(&inspection));
    if let Some(path) = &args.output {
        out.push_str(&format!("{:<10} {}\n", "written", path.display()));
    }
    print(out.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
