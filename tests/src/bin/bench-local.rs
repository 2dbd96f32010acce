//! Local mode end to end: the access-log example over records that are already in the log, and `produce` by itself.
//!
//! `./x bench local [--lines N] [--partitions N] [--workers N] [--runs N] [--json]`. The host is the built program in a
//! process of its own; CPU time and memory are the operating system's figures for it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millstream_tests::access::{INPUT, OUTPUT, differences, expected, fill, lines, results};
use millstream_tests::host::Host;
use millstream_tests::process::{cpu_seconds, peak_mib};
use serde_json::{Value, json};

/// Different addresses in the lines.
const ADDRESSES: u32 = 10_000;
/// How long a run may take.
const RUN_SECONDS_MAX: u64 = 600;
/// Records a second that the access-log example must reach on two cores.
const TARGET_RECORDS_PER_SECOND: f64 = 500_000.0;

struct Options {
    lines: usize,
    partitions: u32,
    workers: u32,
    runs: usize,
    json: bool,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut options = Self { lines: 5_000_000, partitions: 4, workers: 2, runs: 3, json: false };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut number = || -> anyhow::Result<u32> {
                let text = args.next().with_context(|| format!("{name} takes a number"))?;
                text.parse().with_context(|| format!("{name} {text}"))
            };
            match name.as_str() {
                "--lines" => options.lines = number()? as usize,
                "--partitions" => options.partitions = number()?,
                "--workers" => options.workers = number()?,
                "--runs" => options.runs = number()? as usize,
                "--json" => options.json = true,
                "--short" => (options.lines, options.runs) = (500_000, 1),
                other => {
                    bail!("unknown option {other}; there are --lines --partitions --workers --runs --short --json")
                }
            }
        }
        ensure!(
            options.lines > 0 && options.partitions > 0 && options.workers > 0 && options.runs > 0,
            "at least 1 of each"
        );
        Ok(options)
    }
}

/// The example with functions from `udfs/prebuilt`, so that no toolchain for WebAssembly is needed.
fn manifest(partitions: u32) -> String {
    let functions = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../udfs/prebuilt"));
    let file = |name: &str| functions.join(name).display().to_string();
    format!(
        "pipeline: access-counts
functions:
  only-ip: {{ component: {only} }}
  extract-ip: {{ component: {extract} }}
sources:
  log-lines: {{ topic: {INPUT}, partitions: {partitions} }}
steps:
  ip-lines: {{ from: log-lines, filter: only-ip }}
  by-ip: {{ from: ip-lines, map: extract-ip }}
  counts:
    from: by-ip
    group: key
    window: {{ tumbling: 10s, grace: 2s }}
    count: {{ format: text }}
    emit: on-close
    idle: 1s
sinks:
  out: {{ from: counts, topic: {OUTPUT}, partitions: {partitions} }}
",
        only = file("only-ip.wasm"),
        extract = file("extract-ip.wasm"),
    )
}

/// What one run took.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::read()?;
    let temporary = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let path = temporary.path().join("pipeline.yaml");
    fs::write(&path, manifest(options.partitions))?;
    let expected = expected(lines(options.lines, ADDRESSES));
    let mut runs = Vec::new();
    for number in 0..options.runs {
        let folder = temporary.path().join(format!("run-{number}"));
        fill(&folder, options.partitions, lines(options.lines, ADDRESSES))?;
        let run = run(&path, &folder, &options, expected.len())?;
        let differences = differences(&expected, &results(&folder)?);
        ensure!(differences.is_empty(), "results are wrong: {differences}");
        eprintln!("run {}: {:.0} records/s", number + 1, options.lines as f64 / run.seconds);
        runs.push(run);
        fs::remove_dir_all(&folder)?;
    }
    let produced = produce(&path, temporary.path(), &options)?;
    report(&options, &mut runs, &produced);
    Ok(())
}

/// Runs the host over a filled log until every result is out. The clock runs from its first committed record.
fn run(manifest: &Path, folder: &Path, options: &Options, results: usize) -> anyhow::Result<Run> {
    let workers = options.workers.to_string();
    let host = Host::start(manifest, folder, &["--workers", &workers]);
    let begin = Instant::now();
    let mut first = None;
    loop {
        ensure!(begin.elapsed() < Duration::from_secs(RUN_SECONDS_MAX), "not done within {RUN_SECONDS_MAX} s");
        let done = taken(&host.get("/v1/tasks").map_err(anyhow::Error::msg)?);
        if done > 0 && first.is_none() {
            first = Some((Instant::now(), done));
        }
        if done >= options.lines as i64 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (from, already) = first.context("it never began")?;
    let part = 1.0 - already as f64 / options.lines as f64;
    // From the first look to the last, scaled to all records.
    let seconds = if part > 0.0 { from.elapsed().as_secs_f64() / part } else { begin.elapsed().as_secs_f64() };
    let (cpu_seconds, peak_mib) = (cpu_seconds(host.id())?, peak_mib(host.id())?);
    millstream_tests::wait::eventually("all results are out", 60, || {
        let topics = host.get("/v1/topics")?;
        let out = topics.as_array().into_iter().flatten().find(|t| t["name"] == OUTPUT).cloned().unwrap_or_default();
        let there: i64 = out["partitions"].as_array().into_iter().flatten().filter_map(|p| p["end"].as_i64()).sum();
        if there >= results as i64 { Ok(()) } else { Err(format!("{there} of {results}")) }
    });
    ensure!(host.stop().success(), "the host did not end well");
    Ok(Run { seconds, cpu_seconds, peak_mib })
}

/// Records that both sub-topologies have taken: the smaller of the two sums counts, as a record is done when it is counted.
fn taken(tasks: &Value) -> i64 {
    let sum = |sub: u64| -> i64 {
        let tasks = tasks.as_array().into_iter().flatten().filter(move |t| t["sub_topology"] == sub);
        tasks
            .flat_map(|t| t["positions"].as_array().cloned().unwrap_or_default())
            .filter_map(|p| p["offset"].as_i64())
            .sum()
    };
    let lag = |sub: u64| -> i64 {
        let tasks = tasks.as_array().into_iter().flatten().filter(move |t| t["sub_topology"] == sub);
        let positions = tasks.flat_map(|t| t["positions"].as_array().cloned().unwrap_or_default());
        positions.filter_map(|p| Some(p["end"].as_i64()? - p["offset"].as_i64()?)).sum()
    };
    // The second sub-topology reads a filtered stream: what it has not taken yet is not done.
    sum(0) - lag(1)
}

/// Records a second of `produce` from a file, raw lines, into a host that does nothing else.
fn produce(manifest: &Path, folder: &Path, options: &Options) -> anyhow::Result<f64> {
    let file = folder.join("lines.txt");
    let n = options.lines.min(1_000_000);
    fs::write(&file, lines(n, ADDRESSES).fold(String::new(), |text, line| text + &line + "\n"))?;
    let idle = folder.join("idle.yaml");
    // The lines go to a topic that no step reads.
    fs::write(
        &idle,
        fs::read_to_string(manifest)?.replace(INPUT, "other-topic")
            + "  side: { from: log-lines, topic: input-topic }\n",
    )?;
    let host = Host::ready(&idle, &folder.join("produce"), &[]);
    let begin = Instant::now();
    host.ok(&["produce", INPUT, &file.to_string_lossy()]);
    let rate = n as f64 / begin.elapsed().as_secs_f64();
    ensure!(host.stop().success(), "the host did not end well");
    Ok(rate)
}

fn report(options: &Options, runs: &mut [Run], produced: &f64) {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let median = &runs[runs.len() / 2];
    let rate = options.lines as f64 / median.seconds;
    let cpu_micros = median.cpu_seconds * 1e6 / options.lines as f64;
    let peak = runs.iter().map(|r| r.peak_mib).fold(0.0, f64::max);
    if options.json {
        let report = json!({
            "lines": options.lines, "partitions": options.partitions, "workers": options.workers, "runs": runs.len(),
            "records_per_second": rate, "cpu_micros_per_record": cpu_micros, "peak_mib": peak, "produce_records_per_second": produced,
        });
        println!("{report}");
        return;
    }
    println!(
        "access-log example, {} lines, {} partitions, {} workers, median of {}",
        options.lines,
        options.partitions,
        options.workers,
        runs.len()
    );
    println!("  records/s            {rate:>12.0}   (target {TARGET_RECORDS_PER_SECOND:.0})");
    println!("  CPU µs a record      {cpu_micros:>12.2}   (the host's, all threads, start included)");
    println!("  peak memory, MiB     {peak:>12.0}");
    println!("  produce, records/s   {produced:>12.0}   (raw lines from a file, by the command line)");
}
