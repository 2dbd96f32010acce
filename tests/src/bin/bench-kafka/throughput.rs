//! One pipeline by all of its contenders in turn, several times: CPU time for each record and records a second while the input is there
//! already. Each figure is the median of the runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_kafka::fetch::TopicPartition;
use millstream_tests::process;

use crate::check;
use crate::contender::{Job, Pipeline, Running, Who};
use crate::input::Input;
use crate::options::Options;
use crate::place::{Place, partitions};

/// What everybody commits by.
const INTERVAL_MS: u32 = 100;
/// How often it is looked how far a contender is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A contender that does not move for so long is stuck. Java and the first rebalance take some seconds.
const STALL: Duration = Duration::from_secs(60);
/// For how long Kafka Streams warms up and is measured where each record is in thousands of windows: it would take hours for all.
const HOPPING_LIMITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(180)];
/// The same where it first makes a state that is larger than memory.
const LARGE_LIMITS: [Duration; 2] = [Duration::from_secs(1_200), Duration::from_secs(180)];
/// Markers of transactions behind the last record of a partition, which a committed offset may not include.
const MARKERS_MAX: i64 = 16;

/// What one run took, for each record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub records_per_second: f64,
    pub cpu_micros: f64,
    pub broker_cpu_micros: f64,
    pub peak_mib: f64,
    /// Records that are missing from the results, of those of the whole run; see [`check`]. Not a number: it did not come to the end.
    pub differing: f64,
}

/// All runs of a contender.
#[derive(Clone, Debug)]
pub struct Runs {
    pub who: Who,
    pub all: Vec<Figures>,
}

impl Runs {
    /// The median of each figure.
    pub fn median(&self) -> Figures {
        let of = |figure: fn(&Figures) -> f64| median(self.all.iter().map(figure).collect());
        Figures {
            records_per_second: of(|f| f.records_per_second),
            cpu_micros: of(|f| f.cpu_micros),
            broker_cpu_micros: of(|f| f.broker_cpu_micros),
            peak_mib: of(|f| f.peak_mib),
            differing: of(|f| f.differing),
        }
    }
}

/// The lower one of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// A pipeline by its contenders.
#[derive(Clone, Debug)]
pub struct Throughput {
    pub pipeline: Pipeline,
    pub runs: Vec<Runs>,
}

/// Measures a pipeline.
///
/// # Errors
/// When a contender fails, gets stuck, or, the peer excepted, has wrong results.
pub fn all(place: &Place, input: &Input, pipeline: Pipeline, options: &Options) -> anyhow::Result<Throughput> {
    let whos = options.whos(pipeline.contenders());
    let mut runs: Vec<Runs> = whos.iter().map(|who| Runs { who: *who, all: Vec::new() }).collect();
    for round in 0..options.runs_of(pipeline) {
        // Who comes second finds a warmer broker; so they take turns.
        let mut order: Vec<&mut Runs> = runs.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for of in order {
            let what = || format!("{} by {}", pipeline.name(), of.who.title());
            let figures = one(place, input, of.who, pipeline, options).with_context(what)?;
            eprintln!(
                "{}: {:.0} records/s, CPU {:.2} µs a record, broker {:.2} µs, {:.0} MiB, {} records differ",
                what(),
                figures.records_per_second,
                figures.cpu_micros,
                figures.broker_cpu_micros,
                figures.peak_mib,
                figures.differing
            );
            of.all.push(figures);
        }
    }
    Ok(Throughput { pipeline, runs })
}

fn one(place: &Place, input: &Input, who: Who, pipeline: Pipeline, options: &Options) -> anyhow::Result<Figures> {
    let name = place.name(pipeline.name());
    let output = format!("{name}-out");
    place.create(&output, options.partitions)?;
    let job = Job {
        who,
        pipeline,
        name: &name,
        input: &input.topic,
        output: &output,
        number: 0,
        interval_ms: INTERVAL_MS,
        properties: &[],
    };
    let mut running = job.start(place, options)?;
    let course = Course::new(place, input, pipeline, &name, options)?;
    let limits = match (pipeline, who) {
        (Pipeline::HoppingClose, Who::Streams) => Some(HOPPING_LIMITS),
        (Pipeline::LargeState, Who::Streams) => Some(LARGE_LIMITS),
        _ => None,
    };
    let warm = course.until(input.load.warm_up as i64, limits.map(|l| l[0]), &mut running)?;
    let end = course.until(i64::MAX, limits.map(|l| l[1]), &mut running)?;
    let peak_mib = process::peak_mib(running.id())?;
    let differing = match end.is_all {
        true => check::differing(place, input, pipeline, &output)? as f64,
        false => f64::NAN,
    };
    running.stop()?;
    if differing > 0.0 && who != Who::Streams {
        bail!("results are wrong: {differing} records are missing or too many");
    }
    let internal = ["repartition", "changelog"].map(|what| format!("{name}-counts-{what}"));
    place.delete(&[&output, &internal[0], &internal[1]])?;
    let records = (end.done - warm.done) as f64;
    Ok(Figures {
        records_per_second: records / (end.at - warm.at).as_secs_f64(),
        cpu_micros: (end.cpu_seconds - warm.cpu_seconds) * 1e6 / records,
        broker_cpu_micros: (end.broker_cpu_seconds - warm.broker_cpu_seconds) * 1e6 / records,
        peak_mib,
        differing,
    })
}

/// A moment of a run.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    /// Records that are through.
    done: i64,
    cpu_seconds: f64,
    broker_cpu_seconds: f64,
    /// As many as were waited for.
    is_all: bool,
}

/// How far a group is: by its committed offsets, which are the same thing for every contender.
struct Course<'a> {
    place: &'a Place,
    group: &'a str,
    input: Vec<TopicPartition>,
    /// Sum of the ends of the input.
    end: i64,
    repartition: Option<Vec<TopicPartition>>,
    /// The repartition topic was seen.
    is_there: Cell<bool>,
}

impl<'a> Course<'a> {
    fn new(
        place: &'a Place,
        input: &Input,
        pipeline: Pipeline,
        group: &'a str,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let partitions_of = |topic: &str| partitions(topic, options.partitions);
        let input = partitions_of(&input.topic);
        let end = place.admin.watermarks(&input)?.values().map(|ends| ends.high).sum();
        let repartition = pipeline.is_rekeyed().then(|| partitions_of(&format!("{group}-counts-repartition")));
        Ok(Self { place, group, input, end, repartition, is_there: Cell::new(false) })
    }

    /// Records that are through: read, and not waiting in the repartition topic.
    fn done(&self) -> anyhow::Result<i64> {
        let committed = |of: &[TopicPartition]| self.place.admin.committed(self.group, of);
        let read: i64 = committed(&self.input)?.values().map(|committed| committed.offset).sum();
        let Some(repartition) = &self.repartition else { return Ok(read) };
        if !self.is_there.get() {
            // Kafka Streams makes it when it has joined. Asked for its ends too early, the client would not see it for long.
            let name = &*repartition[0].topic;
            let described = self.place.admin.describe(&[name])?;
            self.is_there.set(described.get(name).is_some_and(|info| info.as_ref().is_some_and(|info| info.ready)));
            return Ok(0);
        }
        let ends = self.place.admin.watermarks(repartition)?;
        let taken = committed(repartition)?;
        let waiting =
            ends.iter().map(|(partition, ends)| ends.stable - taken.get(partition).map_or(ends.low, |c| c.offset));
        Ok(read - waiting.sum::<i64>())
    }

    /// Waits until so many records are through, or all, or for so long.
    fn until(&self, records: i64, limit: Option<Duration>, running: &mut Running) -> anyhow::Result<Mark> {
        let readers = self.input.len() + self.repartition.as_ref().map_or(0, Vec::len);
        let wanted = records.min(self.end - readers as i64 * MARKERS_MAX);
        let (mut last, mut moved, begin) = (0, Instant::now(), Instant::now());
        loop {
            let done = self.done()?;
            let is_all = done >= wanted;
            if is_all || done > 0 && limit.is_some_and(|limit| begin.elapsed() > limit) {
                let cpu_seconds = process::cpu_seconds(running.id())?;
                let broker_cpu_seconds = self.place.broker_cpu_seconds()?;
                return Ok(Mark { at: Instant::now(), done, cpu_seconds, broker_cpu_seconds, is_all });
            }
            if done > last {
                (last, moved) = (done, Instant::now());
            }
            running.check()?;
            if moved.elapsed() > STALL {
                bail!("stuck at {done} of {wanted} records for {} s", STALL.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
