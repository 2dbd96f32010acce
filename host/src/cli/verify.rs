//! Looks for hidden state and randomness in a function, and measures its cost. How is in `crate::verify`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use millstream_core::function::{Functions, Interface};
use millstream_core::record::{Batch, BatchBuilder};
use millstream_wasm::{FULL_CALL_RECORDS, Limits, Registry, Stats, WORKER_STACK_BYTES, WorkerFunctions};
use millstream_web::record::Line;
use serde_json::json;

use super::client::{print, print_json};
use super::test::NO_RECORD;
use super::{junit, load};
use crate::alone::{OUTPUTS_MAX, Store};
use crate::runtime::functions;
use crate::verify::process::{self, Step};
use crate::verify::{Input, Report, Ways, verify};

/// Looks for hidden state, randomness and dependence on batch cuts in a function; measures its cost.
///
/// The records of the input are given to it again and again: to the same instance and to fresh ones, cut otherwise, in another
/// order, merged instead of folded, taken out again. Results must not differ. Filters, mappers, routers, joiners, aggregators with their
/// mergers and retractors, scanners are tried, and processors in steps of their own, in memory.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream verify extract-ip.wasm --input records.jsonl\n\n\
                        Exit codes: 0 nothing differed; 1 something did, or it could not be tried.")]
pub struct Args {
    /// The component
    file: PathBuf,
    /// Records: JSON lines {key, value, timestamp, headers}, or with --raw each line a value
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Of a joiner the right side's records, as the input's; without it records of the input are joined with others of their key
    #[arg(long, value_name = "FILE")]
    right: Option<PathBuf>,
    /// Each line of the input is a value
    #[arg(long)]
    raw: bool,
    /// Which function of a file that holds several
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Its settings: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of a processor: a store that it has; several by several of these
    #[arg(long = "store", value_name = "NAME")]
    stores: Vec<String>,
    /// Of a processor: how many outputs it has
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=OUTPUTS_MAX as i64))]
    outputs: u32,
    /// Another seed tries other cuts and orders
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// Write what was found to this file as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Records that are read at the most; more are left out, and that is said.
const RECORDS_MAX: usize = 100_000;

/// Records that fail of which the text tells; `--json` has all.
const FAILING_SHOWN_MAX: usize = 10;

/// Runs the command.
///
/// # Errors
/// In words for the user: files, a component that this host would not take.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let component = load::component(&args.file)?;
    let settings = match &args.config {
        None => Vec::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            functions::settings(&text).with_context(|| path.display().to_string())?
        }
    };
    let records = read(&args.input, args.raw)?;
    ensure!(!records.is_empty(), "{} holds no record; nothing can be tried", args.input.display());
    let right = args.right.as_deref().map(|path| read(path, args.raw)).transpose()?;
    let registry = Arc::new(Registry::new(functions::config(None, 1)?)?);
    let prepared = registry.prepare(&component, args.function.as_deref(), &settings, &Limits::default(), &[])?;
    let (of_worker, seed, outputs) = (registry.clone(), args.seed, args.outputs);
    let stores: Vec<Store> = args.stores.iter().map(|name| (name.clone(), json!({}))).collect();
    let count = records.len();
    // Functions run on threads with room for their stack.
    let thread = std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn(move || {
        let mut functions = WorkerFunctions::new(of_worker.clone());
        let layouts = of_worker.layouts(prepared);
        let ways = Ways { current: layouts.current, reads: &layouts.reads, writes: &layouts.writes };
        let input = Input { records: &records, right: right.as_ref(), seed, ways };
        let mut report = verify(&mut functions, prepared, input);
        if functions.exports(prepared, Interface::Processor) {
            let fresh = || Box::new(WorkerFunctions::new(of_worker.clone())) as Box<dyn Functions>;
            let step = Step { stores: &stores, outputs };
            process::verify(&fresh, prepared, step, (&records, seed), &mut report)?;
        }
        anyhow::Ok(report)
    })?;
    let report = thread.join().map_err(|_| anyhow::anyhow!("the thread that called the function panicked"))??;
    ensure!(
        !report.trials.is_empty(),
        "the function is none of those that can be tried: filter, mapper, router, joiner, aggregator, scanner, processor (see millstream \
         inspect)"
    );
    let stats = registry.stats(prepared);
    // Without a group nothing was folded, and nothing can have differed.
    ensure!(
        stats.records > 0,
        "no record of {} has a key, and this function folds the records of each key: nothing was tried; give JSON lines \
         with keys",
        args.input.display()
    );
    if let Some(path) = &args.junit {
        let said = [failing(&report), cost(&stats, count)].concat();
        let xml = junit::trials(&args.file.display().to_string(), &report, &said);
        std::fs::write(path, xml).with_context(|| format!("write {}", path.display()))?;
    }
    if args.json {
        print_json(&as_json(&report, &stats, count))?;
    } else {
        print(as_text(&report, &stats, count).as_bytes())?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path, raw: bool) -> anyhow::Result<Batch> {
    let mut lines = BufReader::new(File::open(path).with_context(|| format!("open {}", path.display()))?);
    let (mut batch, mut bytes) = (BatchBuilder::default(), Vec::new());
    for number in 1.. {
        bytes.clear();
        let at = || format!("{}, line {number}", path.display());
        if lines.read_until(b'\n', &mut bytes).with_context(at)? == 0 {
            break;
        }
        if batch.len() == RECORDS_MAX {
            eprintln!("only the first {RECORDS_MAX} records of {} are used", path.display());
            break;
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if raw {
            batch.push(None, Some(line), 0, []);
        } else if !line.trim_ascii().is_empty() {
            let line: Line<'_> = serde_json::from_slice(line).with_context(at).context(NO_RECORD)?;
            let headers = line.headers.iter().map(|(n, v)| (n.0.as_deref().unwrap_or_default(), v.0.as_deref()));
            batch.push(line.key.0.as_deref(), line.value.0.as_deref(), line.timestamp.unwrap_or(0), headers);
        }
    }
    Ok(batch.finish())
}

fn nanoseconds_per_record(stats: &Stats) -> f64 {
    if stats.records == 0 { 0.0 } else { stats.nanoseconds as f64 / stats.records as f64 }
}

/// The same of full calls alone; `None`: there were too few records for one.
fn in_full_calls(stats: &Stats) -> Option<f64> {
    (stats.full_records > 0).then(|| stats.full_nanoseconds as f64 / stats.full_records as f64)
}

fn as_text(report: &Report, stats: &Stats, records: usize) -> String {
    let mut out = String::new();
    for trial in &report.trials {
        let verdict = if trial.differing == 0 { "same".to_string() } else { format!("{} DIFFER", trial.differing) };
        out.push_str(&format!("{:<11} {:<32} {verdict}\n", trial.kind, trial.how));
        for difference in &trial.differences {
            out.push_str(&format!("    {}: first {}\n", difference.at, difference.first));
            out.push_str(&format!("    {}  then  {}\n", " ".repeat(difference.at.chars().count()), difference.then));
        }
    }
    out + &failing(report) + &cost(stats, records)
}

/// Records on which the function fails by itself.
fn failing(report: &Report) -> String {
    let mut out = String::new();
    for (at, fault) in report.failing.iter().take(FAILING_SHOWN_MAX) {
        out.push_str(&format!("record {at} fails by itself: {fault}\n"));
    }
    if let Some(more @ 1..) = report.failing.len().checked_sub(FAILING_SHOWN_MAX) {
        out.push_str(&format!("… and {more} more records\n"));
    }
    out
}

fn cost(stats: &Stats, records: usize) -> String {
    let full = in_full_calls(stats)
        .map_or(String::new(), |ns| format!("{ns:.0} ns a record in calls of {FULL_CALL_RECORDS} and more, "));
    format!(
        "{records} records; {full}{:.0} ns a record over all {} calls; largest memory {} KiB\n",
        nanoseconds_per_record(stats),
        stats.calls,
        stats.memory_bytes_max / 1024
    )
}

fn as_json(report: &Report, stats: &Stats, records: usize) -> serde_json::Value {
    let trial = |t: &crate::verify::Trial| {
        let differences = t.differences.iter().map(|d| json!({ "at": d.at, "first": d.first, "then": d.then }));
        let differences: Vec<_> = differences.collect();
        json!({ "kind": t.kind, "how": t.how, "differing": t.differing, "differences": differences })
    };
    json!({
        "passed": report.passed(),
        "records": records,
        "trials": report.trials.iter().map(trial).collect::<Vec<_>>(),
        "failing": report.failing.iter().map(|(at, fault)| json!({ "record": at, "fault": fault })).collect::<Vec<_>>(),
        "nanoseconds_per_record": nanoseconds_per_record(stats),
        "nanoseconds_per_record_in_full_calls": in_full_calls(stats),
        "memory_bytes_max": stats.memory_bytes_max,
    })
}
