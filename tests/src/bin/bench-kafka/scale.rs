//! Two hosts become three while lines come in: how long each partition of the results stays silent, and when the third host works. The
//! pipeline has state, which moves.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::contender::{Job, Pipeline, Running, Who};
use crate::latency::{probe, wait};
use crate::options::Options;
use crate::place::Place;
use crate::program::Program;

/// Contenders with their group protocols.
pub const CASES: [(Who, &str); 4] =
    [(Who::Host, "classic"), (Who::Host, "consumer"), (Who::Streams, "classic"), (Who::Streams, "streams")];
/// Kafka Streams moves a task with state to a new instance when a copy of it is ready there, and looks for that as often; a minute is the
/// least that it takes, ten are its default.
const PROBING_INTERVAL_MS: &str = "60000";
/// Lines a second.
const PER_SECOND: u32 = 10_000;
/// Partitions for each of the bench's.
const PARTITIONS_TIMES: u32 = 3;
const INTERVAL_MS: u32 = 100;
/// Seconds in which results must come from everywhere before the third host starts.
const STEADY_SECONDS: u64 = 10;
const STEADY_SILENCE_SECONDS: f64 = 1.0;
const STEADY_TRIES: u32 = 12;
/// How long the third host may take to get something to do.
const THIRD_WITHIN: Duration = Duration::from_secs(180);
/// And for how long it is watched from there on.
const AFTER_SECONDS: u64 = 15;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Scaled {
    pub who: Who,
    pub protocol: &'static str,
    /// The longest silence of each partition of the results, seconds, from the start of the third host on.
    pub silent_seconds: Vec<f64>,
    /// From the start of the third host until it has tasks.
    pub third_seconds: f64,
    /// Its tasks.
    pub third_tasks: usize,
    /// The longest silence before.
    pub before_seconds: f64,
}

/// Measures one contender.
///
/// # Errors
/// When somebody fails, or the third host gets nothing.
pub fn measure(place: &Place, who: Who, protocol: &'static str, options: &Options) -> anyhow::Result<Scaled> {
    let name = place.name("scale");
    let topics = ["in", "out"].map(|end| format!("{name}-{end}"));
    let [input, output] = &topics;
    let partitions = options.partitions * PARTITIONS_TIMES;
    topics.iter().try_for_each(|topic| place.create(topic, partitions))?;
    let properties: &[(&str, &str)] = match who {
        Who::Streams if protocol == "classic" => &[("probing.rebalance.interval.ms", PROBING_INTERVAL_MS)],
        _ => &[("group.protocol", protocol)],
    };
    let job = |number| Job {
        who,
        pipeline: Pipeline::KeyedUpdate,
        name: &name,
        input,
        output,
        number,
        interval_ms: INTERVAL_MS,
        properties,
    };
    let mut running = vec![job(0).start(place, options)?, job(1).start(place, options)?];
    let mut probe = probe(place, [input, output], partitions, PER_SECOND, "gaps", options)?;
    let before_seconds = steady(&mut probe, &mut running)?;
    probe.tell("reset")?;
    let begin = Instant::now();
    running.push(job(2).start(place, options)?);
    while running[2].tasks()? == 0 {
        running.iter_mut().try_for_each(Running::check)?;
        if begin.elapsed() > THIRD_WITHIN {
            bail!("the third host has nothing to do after {} s", THIRD_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let third_seconds = begin.elapsed().as_secs_f64();
    wait(AFTER_SECONDS, &mut running[2])?;
    let silent_seconds = silences(&mut probe)?;
    let third_tasks = running[2].tasks()?;
    probe.stop()?;
    running.into_iter().try_for_each(Running::stop)?;
    place.delete(&[input, output])?;
    let longest = silent_seconds.iter().copied().fold(0.0, f64::max);
    eprintln!(
        "2 → 3 hosts, {} ({protocol}): silent for at most {longest:.2} s, before that {before_seconds:.2} s; the third has \
         {third_tasks} tasks, after {third_seconds:.1} s",
        who.title()
    );
    Ok(Scaled { who, protocol, silent_seconds, third_seconds, third_tasks, before_seconds })
}

/// Waits until results come from everywhere; tells the longest silence then.
fn steady(probe: &mut Program, running: &mut [Running]) -> anyhow::Result<f64> {
    let mut seen = 0.0;
    for _ in 0..STEADY_TRIES {
        probe.tell("reset")?;
        wait(STEADY_SECONDS, &mut running[0])?;
        running[1].check()?;
        seen = silences(probe)?.into_iter().fold(0.0, f64::max);
        if seen < STEADY_SILENCE_SECONDS {
            return Ok(seen);
        }
    }
    bail!("with two hosts a partition is silent for {seen:.1} s already")
}

fn silences(probe: &mut Program) -> anyhow::Result<Vec<f64>> {
    let told: Value = serde_json::from_str(&probe.ask("report")?).context("read the probe's report")?;
    let all = told["silent_seconds"].as_array().context("the probe told no silences")?;
    Ok(all.iter().filter_map(Value::as_f64).collect())
}
