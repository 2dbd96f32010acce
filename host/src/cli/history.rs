//! `millstream history`: the versions of a function, where each took over, and which one handled a record.

use std::process::ExitCode;

use millstream_web::record::Time;
use millstream_web::types::{Handled, History, Past, Task};
use serde_json::json;

use super::client::{Client, Connection, Target, finish, print, print_json};
use super::place::Place;

/// Characters of a digest that are shown where there is little room.
const DIGEST_CHARS: usize = 12;

/// Arguments of `millstream history`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream history access-counts/extract-ip\n  \
    millstream history access-counts/extract-ip --at input-topic:3:81204\n\n\
    Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// Which version handled the record at this place
    #[arg(long, value_name = "TOPIC:PARTITION:OFFSET")]
    at: Option<Place>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream history`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(history(args))
}

fn history(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let history: History = client.get(&format!("/v1/functions/{function}/history"), &[("pipeline", pipeline)])?;
    let Some(place) = &args.at else {
        if args.json {
            print_json(&history)?;
        } else {
            print(shown(&history).as_bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let tasks: Vec<Task> = client.get("/v1/tasks", &[("pipeline", pipeline)])?;
    let answers: Vec<(Handled, bool)> = history
        .at(&place.topic, place.partition, place.offset)
        .into_iter()
        .map(|handled| {
            let done = is_done(&tasks, handled.sub_topology, place);
            (handled, done)
        })
        .collect();
    if args.json {
        let answers: Vec<_> = answers
            .iter()
            .map(|(h, done)| {
                json!({ "sub_topology": h.sub_topology, "version": h.version, "digest": h.digest,
                "since": h.since, "handled": done })
            })
            .collect();
        print_json(&answers)?;
    } else {
        print(answered(place, &answers).as_bytes())?;
    }
    Ok(if answers.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether the task that reads the place has committed it.
fn is_done(tasks: &[Task], sub_topology: u32, place: &Place) -> bool {
    let task = tasks.iter().find(|t| t.sub_topology == sub_topology && t.partition == place.partition);
    let position = task.and_then(|t| t.positions.iter().find(|p| p.topic == place.topic));
    position.is_some_and(|p| p.offset > place.offset)
}

fn answered(place: &Place, answers: &[(Handled, bool)]) -> String {
    let at = format!("{}:{}:{}", place.topic, place.partition, place.offset);
    if answers.is_empty() {
        return format!("{at}: no task of this function has read there\n");
    }
    let line = |(handled, done): &(Handled, bool)| {
        let Handled { sub_topology, version, digest, since } = handled;
        let verb = if *done { "was handled by" } else { "is not handled yet; in force is" };
        format!(
            "{at} {verb} version {version} (from offset {since} on, sub-topology {sub_topology}, digest {digest})\n"
        )
    };
    answers.iter().map(line).collect()
}

fn shown(history: &History) -> String {
    let mut out = format!("{}\n", history.function);
    let last = history.versions.last().map(|past| past.version.number);
    for past in history.versions.iter().rev() {
        out.push_str(&version(past, last));
    }
    if !history.rejected.is_empty() {
        out.push_str("not taken\n");
    }
    for rejected in history.rejected.iter().rev() {
        let (time, digest) = (Time(rejected.proposed_at), short(&rejected.digest));
        out.push_str(&format!("  {time}  {digest}  {}\n", rejected.origin));
        rejected.reason.lines().for_each(|line| out.push_str(&format!("    {line}\n")));
    }
    out
}

fn version(past: &Past, last: Option<u64>) -> String {
    let version = &past.version;
    let in_force = if Some(version.number) == last { "  in force" } else { "" };
    let (time, digest) = (Time(version.proposed_at), short(&version.digest));
    let mut out = format!("  version {}  {time}  {digest}  {}{in_force}\n", version.number, version.origin);
    if version.settings.as_object().is_none_or(|settings| !settings.is_empty()) {
        out.push_str(&format!("    settings {}\n", version.settings));
    }
    if let Some(number) = past.back_from {
        out.push_str(&format!("    back from version {number}, which failed\n"));
    }
    for line in past.failed.iter().flat_map(|why| why.lines()) {
        out.push_str(&format!("    failed: {line}\n"));
    }
    if let Some(time) = past.collected {
        out.push_str(&format!("    collected {}: its component is kept no longer\n", Time(time)));
    }
    for switch in &past.switches {
        for (topic, offset) in &switch.offsets {
            let task = format!("{}_{}", switch.sub_topology, switch.partition);
            out.push_str(&format!("    from {topic}:{}:{offset} (task {task})\n", switch.partition));
        }
    }
    if past.switches.is_empty() {
        out.push_str("    no record has been handled by it\n");
    }
    out
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_CHARS).unwrap_or(digest)
}
