//! What swapping costs those who wait for results: latency at a fifth of the maximum rate without it, while a function is swapped
//! once a second, and while a large component compiles again and again; all of one running host, one after the other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::contender::{Job, Pipeline, Running, Who};
use crate::latency::{SECONDS, SHARE, WARM_UP_SECONDS, after, probe, wait};
use crate::options::Options;
use crate::place::Place;
use crate::program::Program;
use millstream_tests::host::Host;

/// Commit interval.
const INTERVAL_MS: u32 = 100;
/// Between two swaps.
const SWAP_EVERY: Duration = Duration::from_secs(1);
/// The function that is swapped, and for which the large component is refused once it has been compiled.
const FUNCTION: &str = "extract-ip";

/// What was measured, in order.
#[derive(Clone, Debug)]
pub struct Swaps {
    pub records_per_second: u32,
    /// Bytes of the large component, and seconds that a deploy of it took on the median.
    pub large_bytes: usize,
    pub compile_seconds: f64,
    pub swaps: usize,
    pub compiled: usize,
    /// Milliseconds: p50, p99, largest; without anything, beside swaps, without, beside the compiler, without.
    pub phases: Vec<(&'static str, [f64; 3])>,
}

impl Swaps {
    /// p99 beside what is called so, divided by the mean of those without anything around it.
    pub fn ratio(&self, what: &str) -> Option<f64> {
        let at = self.phases.iter().position(|(name, _)| *name == what)?;
        let p99 = |at: usize| self.phases.get(at).map(|(_, ms)| ms[1]);
        Some(2.0 * p99(at)? / (p99(at.checked_sub(1)?)? + p99(at + 1)?))
    }
}

/// Measures. `rate` is the host's maximum.
///
/// # Errors
/// When somebody fails, or nothing comes out.
pub fn measure(place: &Place, rate: f64, options: &Options) -> anyhow::Result<Swaps> {
    let name = place.name("swaps");
    let topics = ["in", "out"].map(|end| format!("{name}-{end}"));
    let [input, output] = &topics;
    topics.iter().try_for_each(|topic| place.create(topic, options.partitions))?;
    let (who, number, interval_ms) = (Who::Host, 0, INTERVAL_MS);
    let job = Job { who, pipeline: Pipeline::Pass, name: &name, input, output, number, interval_ms, properties: &[] };
    let mut running = job.start(place, options)?;
    let per_second = (rate * SHARE) as u32;
    let mut probe = probe(place, [input, output], options.partitions, per_second, "latency", options)?;
    let form = usize::from(options.short);
    wait(WARM_UP_SECONDS[form], &mut running)?;
    let seconds = SECONDS[form];
    let mut phases = Vec::new();
    let quiet = |probe: &mut Program, running: &mut Running| told(&after(seconds, probe, running)?);
    phases.push(("nothing", quiet(&mut probe, &mut running)?));
    let (swaps, told_swaps) = swapping(seconds, place, &mut probe, &running, &name)?;
    phases.push(("swaps", told_swaps));
    phases.push(("nothing", quiet(&mut probe, &mut running)?));
    let (large_bytes, mut took, told_compiling) = compiling(seconds, place, &mut probe, &running, &name)?;
    phases.push(("compiling", told_compiling));
    phases.push(("nothing", quiet(&mut probe, &mut running)?));
    probe.stop()?;
    running.stop()?;
    place.delete(&[input, output])?;
    took.sort_by(f64::total_cmp);
    let (compiled, compile_seconds) = (took.len(), took.get(took.len() / 2).copied().unwrap_or_default());
    Ok(Swaps { records_per_second: per_second, large_bytes, compile_seconds, swaps, compiled, phases })
}

fn told(report: &Value) -> anyhow::Result<[f64; 3]> {
    ensure!(report["results"].as_u64() > Some(0), "no results came out");
    let number = |name: &str| report[name].as_f64().with_context(|| format!("the probe told no {name}"));
    Ok([number("p50_ms")?, number("p99_ms")?, number("max_ms")?])
}

fn host(running: &Running) -> anyhow::Result<&Host> {
    match running {
        Running::Host { host, .. } => Ok(host),
        Running::Program(_) => anyhow::bail!("only the host swaps functions"),
    }
}

/// A component with another digest: a custom section behind its end, of a name that nobody reads.
fn marked(component: &[u8], number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let mut section = vec![NAME.len() as u8];
    section.extend_from_slice(NAME);
    section.extend_from_slice(&number.to_le_bytes());
    let mut out = component.to_vec();
    out.extend([0, section.len() as u8]);
    out.extend(section);
    out
}

fn deploy(host: &Host, pipeline: &str, file: &PathBuf, component: &[u8]) -> anyhow::Result<std::process::Output> {
    std::fs::write(file, component).with_context(|| format!("write {}", file.display()))?;
    Ok(host.cli(&["deploy", &format!("{pipeline}/{FUNCTION}"), &file.to_string_lossy(), "--now"]))
}

/// Latency while a function is swapped; how often it was.
fn swapping(
    seconds: u64,
    place: &Place,
    probe: &mut Program,
    running: &Running,
    pipeline: &str,
) -> anyhow::Result<(usize, [f64; 3])> {
    let prebuilt = concat!(env!("CARGO_MANIFEST_DIR"), "/../udfs/prebuilt/extract-ip.wasm");
    let component = std::fs::read(prebuilt).with_context(|| format!("read {prebuilt}"))?;
    let (host, file) = (host(running)?, place.folder().join("swapped.wasm"));
    probe.tell("reset")?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut swaps = 0;
    while Instant::now() < until {
        let next = Instant::now() + SWAP_EVERY;
        let done = deploy(host, pipeline, &file, &marked(&component, swaps as u64))?;
        ensure!(done.status.success(), "a swap failed: {}", String::from_utf8_lossy(&done.stderr));
        swaps += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let report: Value = serde_json::from_str(&probe.ask("report")?).context("read the probe's report")?;
    Ok((swaps, told(&report)?))
}

/// Latency while the largest sample compiles anew, again and again: its bytes, what each deploy took.
fn compiling(
    seconds: u64,
    place: &Place,
    probe: &mut Program,
    running: &Running,
    pipeline: &str,
) -> anyhow::Result<(usize, Vec<f64>, [f64; 3])> {
    let folder = millstream_tests::host::functions();
    let files = std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let sizes = files.filter_map(Result::ok).filter_map(|entry| Some((entry.metadata().ok()?.len(), entry.path())));
    // It lacks the interface of a mapper, so it never runs: what is measured is the compiler.
    let filters = sizes.filter(|(_, path)| path.to_string_lossy().contains("only-"));
    let (_, largest) = filters.max().context("there are sample functions: ./x guests")?;
    let component = std::fs::read(&largest).with_context(|| format!("read {}", largest.display()))?;
    let (host, file) = (host(running)?, place.folder().join("large.wasm"));
    probe.tell("reset")?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut took = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let done = deploy(host, pipeline, &file, &marked(&component, took.len() as u64))?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(!done.status.success() && said.contains("mapper"), "it was to be refused for want of a mapper: {said}");
        took.push(began.elapsed().as_secs_f64());
    }
    let report: Value = serde_json::from_str(&probe.ask("report")?).context("read the probe's report")?;
    Ok((component.len(), took, told(&report)?))
}
