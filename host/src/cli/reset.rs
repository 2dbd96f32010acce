//! `millstream reset`: starts a pipeline over. Says what it will delete, asks, deletes. What belongs to a pipeline, the runtime
//! knows.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::HumanBytes;
use millstream_kafka::admin::Admin;
use millstream_kafka::config::Properties;
use serde_json::json;

use super::client::{WrongUse, finish, print, print_json};
use super::load;
use crate::runtime::folder::{Folder, PARENT};
use crate::runtime::kafka::reset::Reset;
use crate::runtime::reset::{Local, Plan};

/// How long one request to the brokers may take.
const ADMIN_WAIT: Duration = Duration::from_secs(30);

/// Arguments of `millstream reset`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream reset access-counts.yaml --dry-run\n  \
    millstream reset access-counts.yaml --state-dir /var/lib/millstream/access-counts\n\n\
    Deleted are the positions, the internal topics and the states of the folder named; the topics of sources and sinks \
    stay as they are, and results are written to the sinks once more. All hosts must be stopped. It can be run again when it \
    was broken off.\n\n\
    Exit codes: 0 done, or nothing to do; 1 not done; 2 wrong arguments.")]
pub struct Args {
    /// The manifest
    manifest: PathBuf,
    /// Local mode, with topics and state in this folder [default: .millstream/PIPELINE]
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// On Kafka: state directory whose states go [default: .millstream/PIPELINE]
    #[arg(long, value_name = "DIR", conflicts_with = "local")]
    state_dir: Option<PathBuf>,
    /// Only says what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Prints what is deleted, and whether it was, as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `millstream reset`.
///
/// # Errors
/// In words for the user: manifest, brokers, folder.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(reset(args))
}

fn reset(args: &Args) -> anyhow::Result<ExitCode> {
    let pipeline = load::pipeline(&args.manifest, args.local.is_some())?;
    let default = || PathBuf::from(PARENT).join(&pipeline.spec.pipeline);
    if let Some(given) = pipeline.kafka.clone() {
        let properties = Properties::new(given).map_err(|errors| {
            anyhow!("under `kafka:`: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let admin = Admin::new(&properties, ADMIN_WAIT)?;
        let state_dir = args.state_dir.clone().unwrap_or_else(default);
        let reset = Reset::new(&pipeline, &admin, &state_dir)?;
        let plan = reset.plan()?;
        return decide(args, &plan, || reset.carry_out(&plan));
    }
    if args.state_dir.is_some() {
        return Err(WrongUse(
            "--state-dir is for Kafka, and the manifest has no `kafka:`; --local names the folder".into(),
        )
        .into());
    }
    let path = args.local.clone().unwrap_or_else(default);
    if !path.join("db").exists() {
        return decide(args, &Plan::of(&pipeline), || Ok(()));
    }
    let folder = Folder::open(&path)?;
    let local = Local::new(&pipeline, folder.db.clone(), folder.log()?)?;
    decide(args, &local.plan()?, || local.carry_out())
}

/// Tells, asks, and has it done.
fn decide(args: &Args, plan: &Plan, carry_out: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    if !args.json {
        print(told(plan).as_bytes())?;
    }
    let answer = |done: bool| match args.json {
        true => print_json(&json!({ "plan": plan, "dry_run": args.dry_run, "done": done })),
        false if done && !plan.is_empty() => print(b"deleted\n"),
        false => Ok(()),
    };
    if let Some(obstacle) = plan.obstacles.first() {
        answer(false)?;
        bail!("not now: {obstacle}");
    }
    if args.dry_run {
        answer(false)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !plan.is_empty() {
        if !args.yes && !confirmed()? {
            answer(false)?;
            bail!("nothing was deleted");
        }
        carry_out().context("not finished; what is left goes when this is run again, and no host starts before")?;
    }
    answer(true)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the user says yes.
fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let text = "there is no terminal to ask on: --yes deletes without asking, --dry-run only says what would go";
        return Err(WrongUse(text.into()).into());
    }
    eprint!("Delete all this? Type yes: ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    Ok(line.trim().eq_ignore_ascii_case("yes"))
}

fn told(plan: &Plan) -> String {
    let name = &plan.pipeline;
    if plan.is_empty() {
        return format!("{name}: there is nothing to delete\n");
    }
    let mut out = format!("{name} is to start over; what goes:\n");
    if plan.half_done {
        out.push_str("  the rest of an earlier reset that was broken off\n");
    }
    if plan.offsets > 0 {
        out.push_str(&match plan.mode {
            "kafka" => format!("  offsets of group `{name}`, {} partitions\n", plan.offsets),
            _ => format!("  positions of {} tasks\n", plan.offsets),
        });
    }
    for topic in &plan.topics {
        let (partitions, records) = (topic.partitions, topic.records);
        out.push_str(&format!("  topic {}, {partitions} partitions, at most {records} records\n", topic.name));
    }
    for folder in &plan.folders {
        out.push_str(&format!("  state {}, {}\n", folder.path.display(), HumanBytes(folder.bytes)));
    }
    let kept = if plan.kept.is_empty() { "nothing".to_string() } else { plan.kept.join(", ") };
    out.push_str(&format!("what stays: {kept}; results are written to the sinks once more\n"));
    if plan.mode == "kafka" {
        out.push_str("state directories of other hosts: run the same with each of them\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::reset::Topic;

    #[test]
    fn everything_that_goes_is_named() {
        let topic = Topic { name: "p-count-changelog".into(), partitions: 4, records: 120 };
        let folder = crate::runtime::reset::Folder { path: "/var/p/tasks/count_0".into(), bytes: 3 << 20 };
        let plan = Plan {
            pipeline: "p".into(),
            mode: "kafka",
            offsets: 8,
            topics: vec![topic],
            folders: vec![folder],
            kept: vec!["in".into(), "out".into()],
            half_done: true,
            obstacles: Vec::new(),
        };
        let told = told(&plan);
        for part in [
            "offsets of group `p`, 8 partitions",
            "topic p-count-changelog, 4 partitions, at most 120 records",
            "state /var/p/tasks/count_0, 3.00 MiB",
            "stays: in, out;",
            "broken off",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        assert!(super::told(&Plan { pipeline: "p".into(), ..Plan::default() }).contains("nothing to delete"));
    }
}
