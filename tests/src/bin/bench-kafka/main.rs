//! The host on a real Kafka, beside Kafka Streams and a bare loop, all on one broker and one after the other in one run.
//!
//! `./x bench kafka [SCENARIO…] [--short] [--json] …`. CPU time and memory are the operating system's figures for each process. What the
//! scenarios are is in [`options`]; no figure is kept here, the last full run's are in `docs/benchmarks.md`.

mod check;
mod contender;
mod floor;
mod input;
mod latency;
mod options;
mod place;
mod program;
mod report;
mod scale;
mod swaps;
mod throughput;

use std::process::ExitCode;

use clap::Parser;

use contender::Who;
use options::{Options, Scenario};
use report::Report;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some(floor::WORD) => floor::run(),
        _ => bench(&Options::parse().complete()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> anyhow::Result<()> {
    let place = place::Place::start(options)?;
    let mut report = Report::new(options);
    let pipelines: Vec<_> = options.scenarios().into_iter().filter_map(Scenario::pipeline).collect();
    let mut input: Option<input::Input> = None;
    for pipeline in pipelines {
        let load = options.load(pipeline);
        let of = match input.take().filter(|input| input.load == load) {
            Some(same) => same,
            None => input::fill(&place, load, options)?,
        };
        report.throughput(throughput::all(&place, &of, pipeline, options)?);
        input = Some(of);
    }
    if options.wants(Scenario::Latency) {
        for who in options.whos(&[Who::Host, Who::Streams]) {
            let Some(rate) = options.rate.or_else(|| report.rate_of_pass(who)) else {
                anyhow::bail!("latency is measured at a share of the maximum rate: add `pass`, or say --rate N");
            };
            for interval_ms in latency::INTERVALS_MS {
                report.latency(latency::measure(&place, who, interval_ms, rate, options)?);
            }
        }
    }
    if options.wants(Scenario::Swaps) {
        let Some(rate) = options.rate.or_else(|| report.rate_of_pass(Who::Host)) else {
            anyhow::bail!("swaps are measured at a share of the maximum rate: add `pass`, or say --rate N");
        };
        report.swaps(swaps::measure(&place, rate, options)?);
    }
    if options.wants(Scenario::Scale) {
        for (who, protocol) in scale::CASES.into_iter().filter(|(who, _)| options.wants_who(*who)) {
            report.scale(scale::measure(&place, who, protocol, options)?);
        }
    }
    report.print(options)
}
