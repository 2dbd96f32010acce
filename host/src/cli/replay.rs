//! `millstream replay`: one stored record, taken through a function once more, with what went in and what came out.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use millstream_web::types::Bytes;
use millstream_web::types::inside::{Call as Told, Item, Replayed};
use ureq::http::Method;

use super::client::{Call, Client, Connection, Target, finish, print, print_json};
use super::deploy::DEPLOY_TIME_MAX;
use super::load;
use super::place::Place;

/// Arguments of `millstream replay`.
///
/// The running host takes the record through the whole pipeline, in memory: stores are empty, global tables are as they are now, windows
/// are closed at the end, and nothing of it is kept. Other functions are in the versions in force.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream replay access-counts/extract-ip input-topic:3:81204\n  \
    millstream replay access-counts/extract-ip input-topic:3:81204 --version 2\n  \
    millstream replay access-counts/extract-ip input-topic:3:81204 --file fixed.wasm\n\n\
    Exit codes: 0 it went through; 1 the function failed on it, or it could not be tried; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// The record
    #[arg(value_name = "TOPIC:PARTITION:OFFSET")]
    record: Place,
    /// Number of the version, as `millstream history` has it [default: the one in force]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// A component that is not deployed, in place of a version
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    file: Option<PathBuf>,
    /// Where it traps, write a core dump into this file
    #[arg(long, value_name = "FILE")]
    core_dump: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream replay`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(replay(args))
}

fn replay(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let component = args.file.as_deref().map(load::component).transpose()?;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let (partition, offset) = (args.record.partition.to_string(), args.record.offset.to_string());
    let version = args.version.map(|version| version.to_string());
    let mut query = vec![("pipeline", pipeline.as_str()), ("topic", &args.record.topic)];
    query.extend([("partition", partition.as_str()), ("offset", &offset)]);
    query.extend(version.as_deref().map(|version| ("version", version)));
    query.extend(args.core_dump.as_ref().map(|_| ("core-dump", "true")));
    let replayed: Replayed = client.json(&Call {
        method: Method::POST,
        path: &format!("/v1/functions/{function}/replay"),
        query: &query,
        body: component.as_deref().map(|component| ("application/wasm", component)),
        time_max: DEPLOY_TIME_MAX,
    })?;
    let dump = args.core_dump.as_ref().zip(replayed.core_dump.as_ref());
    if let Some((path, dump)) = dump {
        std::fs::write(path, &dump.0).with_context(|| format!("write {}", path.display()))?;
        eprintln!("core dump written: {}", path.display());
    }
    if args.json {
        print_json(&replayed)?;
    } else {
        print(text(&replayed).as_bytes())?;
    }
    if args.core_dump.is_some() && dump.is_none() {
        eprintln!("no core dump: it did not trap");
    }
    let failed = replayed.stopped.is_some() || replayed.calls.iter().any(|call| call.fault.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(replayed: &Replayed) -> String {
    let at = replayed.at.as_ref().map(|at| format!("{}:{}:{}", at.topic, replayed.partition, at.offset));
    let version = replayed.version.map_or_else(|| "the file".to_string(), |number| format!("version {number}"));
    let digest = replayed.component.get(..12).unwrap_or(&replayed.component);
    let mut out = format!("{} through {}, {version} ({digest})\n", at.unwrap_or_default(), replayed.function);
    out.push_str(&item(&replayed.record));
    if replayed.calls.is_empty() {
        out.push_str("the function was not called: no step brought the record to it\n");
    }
    for call in &replayed.calls {
        out.push_str(&told(call));
    }
    if !replayed.lines.is_empty() {
        out.push_str("log\n");
        replayed.lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    out.push_str(if replayed.results.is_empty() { "nothing left the pipeline\n" } else { "left the pipeline\n" });
    for left in &replayed.results {
        out.push_str(&format!("  {}\n  {}", left.topic, item(&left.record)));
    }
    if let Some(why) = &replayed.stopped {
        out.push_str(&format!("stopped: {why}\n"));
    }
    out
}

fn told(call: &Told) -> String {
    let mut out = format!("{} ({:.1} µs)\n", call.name, call.microseconds);
    for given in &call.given {
        out.push_str(&format!("  in {}", item(given)));
    }
    for answer in &call.answer {
        out.push_str(&format!("  out{}", item(answer)));
    }
    if let Some(fault) = &call.fault {
        out.push_str(&format!("  failed: {fault}\n"));
    }
    out
}

/// One in a line, as JSON without what it is.
fn item(item: &Item) -> String {
    let mut fields = Vec::new();
    let shown = |bytes: &Bytes| serde_json::to_string(bytes).unwrap_or_default();
    let mut field = |name: &str, value: Option<String>| fields.extend(value.map(|value| format!("{name} {value}")));
    field("key", item.key.as_ref().map(shown));
    field("value", item.value.as_ref().map(shown));
    field("other", item.other.as_ref().map(shown));
    field("timestamp", item.timestamp.map(|ms| ms.to_string()));
    field("window", item.window.map(|(start, end)| format!("{start} to {end}")));
    field("output", item.output.map(|port| port.to_string()));
    for (name, value) in &item.headers {
        field("header", Some(format!("{}={}", shown(name), value.as_ref().map_or("null".into(), shown))));
    }
    fields.extend(item.text.clone());
    format!("  {:<9} {}\n", item.what, fields.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_told_call_by_call() {
        let bytes = |text: &str| Some(Bytes(text.as_bytes().to_vec()));
        let given = |what: &str| Item { what: what.into(), key: bytes("k"), value: bytes("v"), ..Item::default() };
        let mut replayed = Replayed {
            function: "f".into(),
            version: Some(2),
            component: "0123456789abcdef".into(),
            record: Item { timestamp: Some(5), ..given("record") },
            at: Some(millstream_web::types::inside::RecordAt { topic: "in".into(), offset: 7 }),
            partition: 3,
            ..Replayed::default()
        };
        let text = text(&replayed);
        assert!(
            text.starts_with(
                "in:3:7 through f, version 2 (0123456789ab)\n  record    key \"k\"  value \"v\"  timestamp 5\n"
            ),
            "{text}"
        );
        assert!(text.contains("was not called") && text.contains("nothing left"), "{text}");
        let fault = Some("trapped: no".to_string());
        replayed.calls = vec![
            Told {
                name: "filter.keep".into(),
                given: vec![given("record")],
                answer: vec![given("kept")],
                ..Told::default()
            },
            Told { name: "filter.keep".into(), given: vec![given("record")], fault, ..Told::default() },
        ];
        replayed.stopped = Some("it failed".into());
        let text = super::text(&replayed);
        for part in ["  in   record    key", "  out  kept      key", "  failed: trapped: no\n", "stopped: it failed\n"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
