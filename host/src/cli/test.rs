//! Takes a file of records through a pipeline: no host, no broker, time driven by the records. With `--expect` the results are
//! compared, and what differs is shown.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use millstream_wasm::Registry;
use millstream_web::api::Record;
use millstream_web::record::{Datum, Line, WindowedKeys, Writing};
use serde_json::json;
use similar::TextDiff;

use super::client::{print, print_json};
use super::{load, log};
use crate::runtime::driver::{Driver, Fed};
use crate::runtime::functions;

/// Takes a file of records through a pipeline, without a host, and prints or compares the results.
///
/// Records are JSON lines {topic, partition, key, value, timestamp, headers}; all but `value` may be left out: the topic where the pipeline
/// reads one, the partition (by the key), the timestamp (0). Each record is taken through the whole pipeline before the next.
/// The wall clock is the largest timestamp so far; at the end, time goes on until idle tasks have said that they are idle.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream test access-counts.yaml --input records.jsonl --expect results.jsonl\n\n\
                        An expected line says what matters of a result: fields that it leaves out are not compared.\n\
                        Results are compared topic by topic, in the order in which this command prints them.\n\
                        Exit codes: 0 as expected; 1 otherwise; 2 the command line is wrong.")]
pub struct Args {
    /// The manifest
    manifest: PathBuf,
    /// Records to feed; - for standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Each line of the input is a value
    #[arg(long)]
    raw: bool,
    /// Results to expect; without it they are printed
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Closes every window that is still open at the end
    #[arg(long)]
    flush: bool,
    /// Shows keys that end in their window, in its start or in end and start of a session, without it and the window beside them
    #[arg(long, value_name = "time|session", num_args = 0..=1, require_equals = true, default_missing_value = "time",
          default_value_t, hide_default_value = true)]
    windowed: WindowedKeys,
    /// Writes the results into the file of --expect instead of comparing
    #[arg(long, requires = "expect")]
    update: bool,
    /// What --expect came to as one JSON object; results are JSON lines in any case
    #[arg(long)]
    json: bool,
}

/// What is said where a line of input is no record.
pub const NO_RECORD: &str = "a line is a record as JSON, or with --raw a value";

/// Bytes of a line of input.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Fields that a result may have.
const FIELDS: [&str; 8] = ["topic", "partition", "offset", "key", "window", "value", "timestamp", "headers"];

/// Runs the command.
///
/// # Errors
/// In words for the user: the manifest, a line that is no record, a task that stopped.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log::start(log::Format::Text, "warn")?;
    let pipeline = load::pipeline(&args.manifest, true)?;
    let registry = Arc::new(Registry::new(functions::config(None, 1)?)?);
    let mut driver = Driver::new(&pipeline, &registry)?;
    feed(&mut driver, &args.input, args.raw)?;
    driver.finish(args.flush)?;
    let results = results(&driver, args.windowed)?;
    match &args.expect {
        None => {
            print(results.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(path) if args.update => {
            let text: String = results.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
            eprintln!("{} results written to {}", results.len(), path.display());
            Ok(ExitCode::SUCCESS)
        }
        Some(path) => compare(path, &results, args.json),
    }
}

fn feed(driver: &mut Driver, path: &Path, raw: bool) -> anyhow::Result<()> {
    let name = if path == Path::new("-") { "standard input".to_string() } else { path.display().to_string() };
    let mut lines: Box<dyn BufRead> = match path {
        path if path == Path::new("-") => Box::new(BufReader::new(std::io::stdin())),
        path => Box::new(BufReader::new(File::open(path).with_context(|| format!("open {name}"))?)),
    };
    let only = match driver.sources()[..] {
        [one] => Some(one.to_string()),
        _ => None,
    };
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).with_context(|| format!("read {name}"))?
            == 0
        {
            break;
        }
        let at = || format!("{name}, line {number}");
        let line: Line<'_> = if raw {
            let value = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            Line { value: Datum(Some(value.into())), ..Line::default() }
        } else if bytes.trim_ascii().is_empty() {
            continue;
        } else {
            serde_json::from_slice(&bytes).with_context(at).context(NO_RECORD)?
        };
        let topic = line.topic.as_deref().or(only.as_deref());
        let topic = topic.with_context(|| format!("{}: `topic` is missing, and the pipeline reads several", at()))?;
        let headers: Vec<_> =
            line.headers.iter().map(|(n, v)| (n.0.as_deref().unwrap_or_default(), v.0.as_deref())).collect();
        let record = Fed {
            topic,
            partition: line.partition,
            key: line.key.0.as_deref(),
            value: line.value.0.as_deref(),
            timestamp: line.timestamp.unwrap_or(0),
        };
        driver.feed(record, headers).with_context(at)?;
    }
    Ok(())
}

/// Everything that came out, as JSON lines, by topic, partition, offset.
fn results(driver: &Driver, windowed: WindowedKeys) -> anyhow::Result<Vec<String>> {
    let (writing, mut out) = (Writing::Json { windowed }, Vec::new());
    driver.results(&mut |topic, batch, row, (partition, offset)| {
        let headers: Vec<_> = batch.headers.iter().flat_map(|h| h.of(row)).collect();
        let record = Record {
            offset,
            key: batch.keys.get(row),
            value: batch.values.get(row),
            timestamp: batch.timestamps[row],
            headers: &headers,
        };
        let mut line = Vec::new();
        writing.write(topic, partition, &record, &mut line);
        out.push(String::from_utf8_lossy(&line).trim_end().to_string());
    })?;
    Ok(out)
}

/// Compares by topic, and tells the difference as `diff` does.
fn compare(path: &Path, results: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let parsed = |(number, line): (usize, &str)| {
        let object = serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), number + 1));
        let object: Object = object?;
        match object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            Some(key) => {
                bail!(
                    "{}, line {}: a result has no field `{key}`; it has: {}",
                    path.display(),
                    number + 1,
                    FIELDS.join(", ")
                )
            }
            None => Ok(object),
        }
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let expected: Vec<Object> = lines.map(parsed).collect::<anyhow::Result<_>>()?;
    let got: Vec<Object> = results.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let differences = differences(&expected, &got);
    if json {
        let same = differences.is_empty();
        print_json(&json!({ "same": same, "expected": expected.len(), "results": got.len(), "diff": differences }))?;
        return Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if differences.is_empty() {
        eprintln!("{} results, as expected", got.len());
        return Ok(ExitCode::SUCCESS);
    }
    print(differences.as_bytes())?;
    eprintln!("results differ from {} (-: expected, +: came out)", path.display());
    Ok(ExitCode::FAILURE)
}

type Object = serde_json::Map<String, serde_json::Value>;

/// A unified diff for each topic that differs, of the fields that the expectation names.
fn differences(expected: &[Object], got: &[Object]) -> String {
    let topic = |object: &Object| object.get("topic").and_then(|t| t.as_str()).map(str::to_string);
    let mut topics: Vec<String> = got.iter().chain(expected).filter_map(topic).collect();
    topics.sort_unstable();
    topics.dedup();
    // An expectation without topics is about the only one there is.
    if topics.len() <= 1 {
        return diff(
            &expected.iter().collect::<Vec<_>>(),
            &got.iter().collect::<Vec<_>>(),
            topics.first().map_or("", |t| t),
        );
    }
    let of = |objects: &'_ [Object], name: &str| -> Vec<Object> {
        objects.iter().filter(|o| topic(o).is_none_or(|t| t == name)).cloned().collect()
    };
    let each = topics.iter().map(|name| {
        let (expected, got) = (of(expected, name), of(got, name));
        diff(&expected.iter().collect::<Vec<_>>(), &got.iter().collect::<Vec<_>>(), name)
    });
    each.collect()
}

fn diff(expected: &[&Object], got: &[&Object], topic: &str) -> String {
    let fields: BTreeSet<&String> = expected.iter().flat_map(|o| o.keys()).collect();
    let shown = |object: &&Object| {
        // What is not said of any expected result is not compared; without one, everything is shown.
        let kept = object.iter().filter(|(name, _)| fields.is_empty() || fields.contains(name));
        let kept: Object = kept.map(|(n, v)| (n.clone(), v.clone())).collect();
        format!("{}\n", serde_json::Value::Object(kept))
    };
    let (expected, got): (String, String) = (expected.iter().map(shown).collect(), got.iter().map(shown).collect());
    if expected == got {
        return String::new();
    }
    TextDiff::from_lines(&expected, &got)
        .unified_diff()
        .header(&format!("{topic}: expected"), &format!("{topic}: came out"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(lines: &str) -> Vec<Object> {
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_that_are_not_expected_are_not_compared() {
        let got = objects("{\"topic\":\"a\",\"key\":\"k\",\"value\":\"1\",\"timestamp\":5}");
        assert_eq!(differences(&objects("{\"value\":\"1\"}"), &got), "");
        assert_eq!(differences(&objects("{\"topic\":\"a\",\"value\":\"1\"}"), &got), "");
        let told = differences(&objects("{\"value\":\"2\"}"), &got);
        assert!(told.contains("-{\"value\":\"2\"}\n+{\"value\":\"1\"}\n"), "{told}");
        assert!(differences(&[], &got).contains("+{"), "nothing was expected");
        assert!(differences(&objects("{\"topic\":\"b\",\"value\":\"1\"}"), &got).contains("b: expected"));
    }
}
