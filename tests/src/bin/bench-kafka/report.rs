//! What was measured as tables in Markdown, which go into the docs as they are, and as JSON. Targets are those that the project set itself.

use serde_json::{Value, json};

use crate::contender::{Pipeline, Who};
use crate::latency::Latency;
use crate::options::Options;
use crate::scale::Scaled;
use crate::swaps::Swaps;
use crate::throughput::{Figures, Throughput};

/// What a pipeline should reach.
struct Target {
    pipeline: Pipeline,
    /// The host's CPU for each record, microseconds, at the most.
    cpu_micros: f64,
    /// How many times less that is than the peer's, at least.
    times_less: Option<f64>,
    /// Records a second, at least so many times those of another.
    rate: Option<(f64, Who)>,
}

const TARGETS: [Target; 4] = [
    Target { pipeline: Pipeline::Pass, cpu_micros: 1.6, times_less: Some(3.0), rate: Some((0.85, Who::Floor)) },
    Target { pipeline: Pipeline::KeyedUpdate, cpu_micros: 2.2, times_less: None, rate: None },
    Target { pipeline: Pipeline::KeyedClose, cpu_micros: 1.6, times_less: Some(4.5), rate: Some((2.0, Who::Streams)) },
    Target {
        pipeline: Pipeline::RekeyedUpdate,
        cpu_micros: 3.2,
        times_less: Some(3.5),
        rate: Some((1.4, Who::Streams)),
    },
];
/// Peak memory, at most this share of the peer's.
const MEMORY_SHARE: f64 = 0.5;
/// The host's CPU for each record in windows of an hour of which one begins each second, at most so many times that in windows of an hour.
const HOPPING_TIMES: f64 = 3.0;

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    about: String,
    throughput: Vec<Throughput>,
    latency: Vec<Latency>,
    swaps: Option<Swaps>,
    scaled: Vec<Scaled>,
}

/// Latency beside swaps and the compiler, with the targets.
fn swaps_table(swaps: &Swaps) -> String {
    let mut out = format!(
        "\n{} swaps; {} compilations of a component of {:.1} MB, {:.1} s each; {} records/s.\n\n\
         | beside | p50 ms | p99 ms | largest ms |\n| --- | --: | --: | --: |\n",
        swaps.swaps,
        swaps.compiled,
        swaps.large_bytes as f64 / 1e6,
        swaps.compile_seconds,
        swaps.records_per_second
    );
    for (what, [p50, p99, largest]) in &swaps.phases {
        out += &format!("| {what} | {p50:.1} | {p99:.1} | {largest:.1} |\n");
    }
    for (what, target) in [("swaps", 1.5), ("compiling", 1.2)] {
        let ratio = swaps.ratio(what).unwrap_or(f64::NAN);
        out += &format!("\np99 beside {what}: {ratio:.2} times that without (target: at most {target}).\n");
    }
    out
}

impl Report {
    /// Empty.
    pub fn new(options: &Options) -> Self {
        let load = options.load(Pipeline::Pass);
        let hopping = options.load(Pipeline::HoppingClose);
        let about = format!(
            "{}; Apache Kafka 4.3.0, one broker on the same machine. {} records after {} of warm-up, median of {}; {} partitions, {} \
             workers, {} addresses, {} lines a second of event time, compression {}. `hopping-close`: {} records after {}, {} addresses, {} \
             lines a second",
            millstream_tests::process::machine(),
            load.records,
            load.warm_up,
            options.runs(),
            options.partitions,
            options.workers,
            options.addresses,
            options.per_second,
            options.compression,
            hopping.records,
            hopping.warm_up,
            hopping.addresses,
            hopping.per_second
        );
        Self { about, ..Self::default() }
    }

    /// Adds a pipeline.
    pub fn throughput(&mut self, one: Throughput) {
        self.throughput.push(one);
    }

    /// Adds a latency.
    pub fn latency(&mut self, one: Latency) {
        self.latency.push(one);
    }

    /// Adds latency beside swaps.
    pub fn swaps(&mut self, one: Swaps) {
        self.swaps = Some(one);
    }

    /// Adds a case of scaling out.
    pub fn scale(&mut self, one: Scaled) {
        self.scaled.push(one);
    }

    /// Records a second of a contender on the plainest pipeline.
    pub fn rate_of_pass(&self, who: Who) -> Option<f64> {
        Some(figures(self.throughput.iter().find(|t| t.pipeline == Pipeline::Pass)?, who)?.records_per_second)
    }

    /// Prints it.
    ///
    /// # Errors
    /// None now.
    pub fn print(&self, options: &Options) -> anyhow::Result<()> {
        let tables = self.tables();
        if options.json {
            eprintln!("{tables}");
            println!("{}", self.json());
        } else {
            println!("{tables}");
        }
        Ok(())
    }

    fn tables(&self) -> String {
        let mut out = format!("{}.\n", self.about);
        if !self.throughput.is_empty() {
            out += "\n| pipeline | who | records/s | CPU µs a record | broker's CPU µs | peak MiB | records not counted |\n";
            out += "| --- | --- | --: | --: | --: | --: | --: |\n";
        }
        for one in &self.throughput {
            for runs in &one.runs {
                let f = runs.median();
                out += &format!(
                    "| {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {} |\n",
                    one.pipeline.name(),
                    runs.who.title(),
                    f.records_per_second,
                    f.cpu_micros,
                    f.broker_cpu_micros,
                    f.peak_mib,
                    if f.differing.is_nan() { "did not end".into() } else { format!("{:.0}", f.differing) }
                );
            }
        }
        out += &self.ratios();
        if !self.latency.is_empty() {
            out += "\n| latency, commit interval | who | records/s | p50 ms | p99 ms | largest ms | latest line written late by ms |\n";
            out += "| --- | --- | --: | --: | --: | --: | --: |\n";
        }
        for l in &self.latency {
            out += &format!(
                "| {} ms | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
                l.interval_ms,
                l.who.title(),
                l.records_per_second,
                l.p50_ms,
                l.p99_ms,
                l.max_ms,
                l.behind_ms
            );
        }
        out += &self.swaps.as_ref().map(swaps_table).unwrap_or_default();
        if !self.scaled.is_empty() {
            out += "\n| 2 → 3 hosts | protocol | longest silence of a partition, s: median | largest | before | third host works after s | \
                    its tasks |\n";
            out += "| --- | --- | --: | --: | --: | --: | --: |\n";
        }
        for s in &self.scaled {
            let mut all = s.silent_seconds.clone();
            all.sort_by(f64::total_cmp);
            out += &format!(
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {} |\n",
                s.who.title(),
                s.protocol,
                all.get(all.len() / 2).copied().unwrap_or_default(),
                all.last().copied().unwrap_or_default(),
                s.before_seconds,
                s.third_seconds,
                s.third_tasks
            );
        }
        out
    }

    /// The host against the others, with the targets.
    fn ratios(&self) -> String {
        let with_host = self.throughput.iter().filter(|t| t.runs.len() > 1 && figures(t, Who::Host).is_some());
        let mut lines: Vec<String> =
            with_host.flat_map(|t| judged(t).into_iter().map(|j| j.line(t.pipeline))).collect();
        lines.extend(self.overlap().map(|judged| judged.line(Pipeline::HoppingClose)));
        if lines.is_empty() {
            return String::new();
        }
        let head = "\n| pipeline | Millstream | measured | target | |\n| --- | --- | --: | --: | --- |\n";
        head.to_string() + &lines.concat()
    }

    /// What it costs the host that windows overlap.
    fn overlap(&self) -> Option<Judged> {
        let cpu = |pipeline| {
            let one = self.throughput.iter().find(|t| t.pipeline == pipeline)?;
            figures(one, Who::Host).map(|figures| figures.cpu_micros)
        };
        let times = cpu(Pipeline::HoppingClose)? / cpu(Pipeline::HourClose)?;
        Some(Judged::new("CPU, times that of windows that do not overlap", times, Some(HOPPING_TIMES), |a, b| a <= b))
    }

    fn json(&self) -> Value {
        let throughput = self.throughput.iter().map(|t| {
            let runs = t.runs.iter().map(|runs| {
                let all: Vec<Value> = runs.all.iter().map(figures_json).collect();
                json!({ "who": format!("{:?}", runs.who).to_lowercase(), "median": figures_json(&runs.median()), "runs": all })
            });
            let judged = judged(t).into_iter().map(|j| json!({ "what": j.what, "measured": j.measured, "target": j.target, "met": j.met }));
            json!({ "pipeline": t.pipeline.name(), "contenders": runs.collect::<Vec<_>>(), "host": judged.collect::<Vec<_>>() })
        });
        let latency = self.latency.iter().map(|l| {
            json!({
                "who": format!("{:?}", l.who).to_lowercase(), "commit_interval_ms": l.interval_ms, "records_per_second": l.records_per_second,
                "p50_ms": l.p50_ms, "p99_ms": l.p99_ms, "max_ms": l.max_ms, "behind_ms": l.behind_ms,
            })
        });
        let scaled = self.scaled.iter().map(|s| {
            json!({
                "who": format!("{:?}", s.who).to_lowercase(), "protocol": s.protocol, "silent_seconds": s.silent_seconds,
                "before_seconds": s.before_seconds, "third_seconds": s.third_seconds, "third_tasks": s.third_tasks,
            })
        });
        let swaps = self.swaps.as_ref().map(|s| {
            let phases = s.phases.iter().map(|(what, [p50, p99, max])| {
                json!({ "beside": what, "p50_ms": p50, "p99_ms": p99, "max_ms": max })
            });
            json!({
                "records_per_second": s.records_per_second, "swaps": s.swaps, "compiled": s.compiled,
                "large_bytes": s.large_bytes, "compile_seconds": s.compile_seconds, "phases": phases.collect::<Vec<_>>(),
                "p99_beside_swaps": s.ratio("swaps"), "p99_beside_compiling": s.ratio("compiling"),
            })
        });
        json!({
            "swaps": swaps,
            "overlap": self.overlap().map(|j| json!({ "what": j.what, "measured": j.measured, "target": j.target, "met": j.met })),
            "about": self.about, "throughput": throughput.collect::<Vec<_>>(), "latency": latency.collect::<Vec<_>>(),
            "scale": scaled.collect::<Vec<_>>(),
        })
    }
}

/// A figure of the host that has a target, or is told beside them.
struct Judged {
    what: String,
    measured: f64,
    target: Option<f64>,
    met: Option<bool>,
}

impl Judged {
    fn new(what: impl Into<String>, measured: f64, target: Option<f64>, met: impl Fn(f64, f64) -> bool) -> Self {
        Self { what: what.into(), measured, target, met: target.map(|target| met(measured, target)) }
    }

    fn line(&self, pipeline: Pipeline) -> String {
        let target = self.target.map_or(String::new(), |target| format!("{target:.2}"));
        let met = self.met.map_or("", |met| if met { "met" } else { "missed" });
        format!("| {} | {} | {:.2} | {target} | {met} |\n", pipeline.name(), self.what, self.measured)
    }
}

fn judged(one: &Throughput) -> Vec<Judged> {
    let target = TARGETS.iter().find(|target| target.pipeline == one.pipeline);
    let Some(host) = figures(one, Who::Host) else { return Vec::new() };
    let (at_least, at_most) = (|a: f64, b: f64| a >= b, |a: f64, b: f64| a <= b);
    let mut all = vec![Judged::new("CPU, µs a record", host.cpu_micros, target.map(|t| t.cpu_micros), at_most)];
    for who in [Who::Floor, Who::Streams] {
        let Some(other) = figures(one, who) else { continue };
        let rate = target.and_then(|t| t.rate).filter(|(_, of)| *of == who).map(|(rate, _)| rate);
        let name = who.title();
        let times = host.records_per_second / other.records_per_second;
        all.push(Judged::new(format!("records/s, times those of {name}"), times, rate, at_least));
        if who == Who::Streams {
            let less = other.cpu_micros / host.cpu_micros;
            all.push(Judged::new(
                format!("CPU, times less than {name}"),
                less,
                target.and_then(|t| t.times_less),
                at_least,
            ));
            let share = host.peak_mib / other.peak_mib;
            all.push(Judged::new(format!("peak memory, share of that of {name}"), share, Some(MEMORY_SHARE), at_most));
        }
    }
    all
}

fn figures(one: &Throughput, who: Who) -> Option<Figures> {
    Some(one.runs.iter().find(|runs| runs.who == who)?.median())
}

fn figures_json(f: &Figures) -> Value {
    json!({
        "records_per_second": f.records_per_second, "cpu_micros_per_record": f.cpu_micros,
        "broker_cpu_micros_per_record": f.broker_cpu_micros, "peak_mib": f.peak_mib, "records_differing": f.differing,
    })
}
