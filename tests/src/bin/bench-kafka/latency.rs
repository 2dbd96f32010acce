//! How long it takes from the moment at which a line is to be written until its result can be seen, read committed, at a fifth of the
//! contender's own maximum rate. A line that is written late counts from when it was due.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::contender::{Job, Pipeline, Running, Who};
use crate::options::Options;
use crate::place::Place;
use crate::program::Program;

/// Commit intervals.
pub const INTERVALS_MS: [u32; 2] = [100, 20];
/// Share of the maximum rate.
pub const SHARE: f64 = 0.2;
/// Seconds before it is measured, long and short form: Java compiles for a while.
pub const WARM_UP_SECONDS: [u64; 2] = [30, 10];
/// What came in while a contender started is worked off first: until half of the lines take less than this, looked at as often as is said.
const CAUGHT_UP_MS: f64 = 1_000.0;
const CATCH_UP_TRIES: u32 = 24;
const CATCH_UP_SECONDS: u64 = 5;
pub const SECONDS: [u64; 2] = [60, 10];
const HEAP: &str = "1g";

/// What was measured.
#[derive(Clone, Debug)]
pub struct Latency {
    pub who: Who,
    pub interval_ms: u32,
    pub records_per_second: u32,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// How late the latest line was written.
    pub behind_ms: f64,
}

/// Measures one contender. `rate` is its maximum.
///
/// # Errors
/// When somebody fails, or nothing comes out.
pub fn measure(place: &Place, who: Who, interval_ms: u32, rate: f64, options: &Options) -> anyhow::Result<Latency> {
    let name = place.name("latency");
    let topics = ["in", "out"].map(|end| format!("{name}-{end}"));
    let [input, output] = &topics;
    topics.iter().try_for_each(|topic| place.create(topic, options.partitions))?;
    let job =
        Job { who, pipeline: Pipeline::Pass, name: &name, input, output, number: 0, interval_ms, properties: &[] };
    let mut running = job.start(place, options)?;
    let per_second = (rate * SHARE) as u32;
    let mut probe = probe(place, [input, output], options.partitions, per_second, "latency", options)?;
    let form = usize::from(options.short);
    wait(WARM_UP_SECONDS[form], &mut running)?;
    for _ in 0..CATCH_UP_TRIES {
        let told = after(CATCH_UP_SECONDS, &mut probe, &mut running)?;
        if told["results"].as_u64() > Some(0) && told["p50_ms"].as_f64() < Some(CAUGHT_UP_MS) {
            break;
        }
    }
    let told = after(SECONDS[form], &mut probe, &mut running)?;
    anyhow::ensure!(told["results"].as_u64() > Some(0), "no results came out");
    probe.stop()?;
    running.stop()?;
    place.delete(&[input, output])?;
    let number = |name: &str| told[name].as_f64().with_context(|| format!("the probe told no {name}"));
    let latency = Latency {
        who,
        interval_ms,
        records_per_second: per_second,
        p50_ms: number("p50_ms")?,
        p99_ms: number("p99_ms")?,
        max_ms: number("max_ms")?,
        behind_ms: number("behind_ms")?,
    };
    eprintln!(
        "latency of {} at {per_second} records/s, {interval_ms} ms: p50 {:.1} ms, p99 {:.1} ms, largest {:.1} ms",
        who.title(),
        latency.p50_ms,
        latency.p99_ms,
        latency.max_ms
    );
    Ok(latency)
}

/// What the probe sees in so many seconds from now on.
///
/// # Errors
/// When somebody fails.
pub fn after(seconds: u64, probe: &mut Program, running: &mut Running) -> anyhow::Result<Value> {
    probe.tell("reset")?;
    wait(seconds, running)?;
    serde_json::from_str(&probe.ask("report")?).context("read the probe's report")
}

/// The program that writes and watches.
///
/// # Errors
/// When Java cannot be started.
pub fn probe(
    place: &Place,
    [input, output]: [&str; 2],
    partitions: u32,
    per_second: u32,
    what: &str,
    options: &Options,
) -> anyhow::Result<Program> {
    let mut args: Vec<String> = [input, output].map(String::from).into();
    args.extend([partitions, per_second, options.addresses].map(|number| number.to_string()));
    args.push(what.into());
    let properties = [
        ("bootstrap.servers", place.bootstrap()),
        ("linger.ms", "0".into()),
        ("compression.type", options.compression.clone()),
    ];
    args.extend(properties.map(|(name, value)| format!("{name}={value}")));
    place.java("Probe", HEAP, &format!("{output}-probe.log"), &args)
}

/// Lets time pass while a contender runs.
///
/// # Errors
/// When it ends.
pub fn wait(seconds: u64, running: &mut Running) -> anyhow::Result<()> {
    for _ in 0..seconds {
        std::thread::sleep(Duration::from_secs(1));
        running.check()?;
    }
    Ok(())
}
