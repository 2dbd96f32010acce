//! What goes on inside of functions as the HTTP API tells it: log lines, profiles, replays; in local mode and on Kafka.

use std::time::{Duration, Instant};

use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::topology::graph::Topology;
use millstream_wasm::{LogLevel, Place, Registry, engine::TICK_MS};
use millstream_web::api::inside::{AskedLogs, AskedProfile, AskedReplay, Inside};
use millstream_web::types::Bytes;
use millstream_web::types::inside::{LogLine, Logs, Profile, RecordAt, Records, Replayed, Speaker, Stack};
use millstream_web::{Api as _, Kind, Problem};

use super::kafka::KafkaApi;
use super::{HostApi, failed, fleet as versions};
use crate::runtime::fleet::Fleet;
use crate::runtime::fleet::seen::{Seen, Standing};
use crate::runtime::functions::digest;
use crate::runtime::lines::{Line, Lines};
use crate::runtime::replay::{self, Ground};

/// How long the record that is to be replayed may take to come from its broker.
const READ_WAIT: Duration = Duration::from_secs(30);

/// Lines of functions.
fn logs(lines: &Lines, fleet: &Fleet, topology: &Topology, asked: &AskedLogs) -> Result<Logs, Problem> {
    if let Some(function) = &asked.function {
        versions::known(&topology.functions, function)?;
    }
    let seen = fleet.seen();
    let is_asked = |seen: &Seen| {
        let is_function = asked.function.as_ref().is_none_or(|function| *function == seen.function);
        is_function && asked.version.is_none_or(|version| seen.version == Some(version))
    };
    let all = asked.function.is_none();
    let spoke = |line: &Line| {
        let function = line.function;
        seen.iter().filter(move |seen| seen.prepared == function)
    };
    let level = asked.level.as_deref().and_then(level);
    let read = lines.read(asked.after, asked.limit, |line| {
        let loud = level.is_none_or(|least| line.level >= least);
        // Versions that are not ready any more are told where all are asked for.
        loud && (spoke(line).any(&is_asked) || all)
    });
    let lines: Vec<LogLine> = read.lines.into_iter().map(|line| told(line, &seen, topology)).collect();
    Ok(Logs { lines, next: read.next, lost: read.lost })
}

/// A line as it is told: who wrote it is known by what is ready now.
pub(super) fn told(line: Line, seen: &[Seen], topology: &Topology) -> LogLine {
    let by = seen.iter().filter(|seen| seen.prepared == line.function);
    LogLine {
        by: by.map(|seen| Speaker { function: seen.function.clone(), version: seen.version }).collect(),
        sequence: line.sequence,
        time: line.time,
        component: line.component,
        level: line.level.name().into(),
        message: line.message,
        dropped: line.dropped,
        records: line.place.and_then(|place| records(topology, place)),
    }
}

fn level(name: &str) -> Option<LogLevel> {
    use LogLevel::{Debug, Error, Info, Trace, Warn};
    [Trace, Debug, Info, Warn, Error].into_iter().find(|level| level.name() == name)
}

fn records(topology: &Topology, place: Place) -> Option<Records> {
    let sub = topology.subs.get(place.task.sub)?;
    let at = |(input, offset): (u32, i64)| {
        let topic = sub.inputs.get(input as usize)?.topic;
        Some(RecordAt { topic: topology.topics[topic].name.clone(), offset })
    };
    let (sub_topology, partition) = (place.task.sub as u32, place.task.partition);
    Some(Records { sub_topology, partition, first: at(place.first)?, last: at(place.last)? })
}

/// The version that is meant: the one with a number, or the one in force.
fn meant(fleet: &Fleet, names: &[String], function: &str, version: Option<u64>) -> Result<Seen, Problem> {
    versions::known(names, function)?;
    let mine: Vec<Seen> = fleet.seen().into_iter().filter(|seen| seen.function == function).collect();
    let is_meant = |seen: &&Seen| match version {
        Some(number) => seen.version == Some(number),
        None => seen.standing == Standing::InForce,
    };
    mine.iter().find(is_meant).cloned().ok_or_else(|| {
        let ready: Vec<String> = mine.iter().filter_map(|seen| Some(seen.version?.to_string())).collect();
        let what = version.map_or("no version in force".into(), |number| format!("no version {number}"));
        let ready = if ready.is_empty() { "none".into() } else { ready.join(", ") };
        Problem::new(Kind::UnknownVersion, format!("{what} of `{function}` is ready on this host; there are: {ready}"))
    })
}

fn profile(fleet: &Fleet, registry: &Registry, names: &[String], asked: &AskedProfile) -> Result<Profile, Problem> {
    let seen = meant(fleet, names, &asked.function, asked.version)?;
    let began = Instant::now();
    let watch = || std::thread::sleep(Duration::from_secs(asked.seconds.into()));
    let Some(profile) = registry.profile(seen.prepared, watch) else {
        return Err(Problem::new(
            Kind::Busy,
            format!("somebody watches `{}` already; ask again later", asked.function),
        ));
    };
    let stack = |(frames, samples): (Vec<String>, u64)| Stack { frames, samples };
    Ok(Profile {
        function: seen.function,
        version: seen.version,
        component: registry.digest(seen.prepared).unwrap_or_default(),
        seconds: began.elapsed().as_secs_f64(),
        sample_ms: TICK_MS,
        samples: profile.samples(),
        untold: profile.untold,
        stacks: profile.stacks.into_iter().map(stack).collect(),
    })
}

/// Takes a record, read by `read`, through the pipeline once more.
fn replay(
    ground: &Ground<'_>,
    fleet: &Fleet,
    asked: &AskedReplay,
    read: impl FnOnce() -> Result<Batch, Problem>,
) -> Result<Replayed, Problem> {
    let names = &ground.topology.functions;
    versions::known(names, &asked.function)?;
    let function = names.iter().position(|name| *name == asked.function).unwrap_or_default();
    if asked.component.is_some() && !ground.pipeline.trust.keys.is_empty() {
        let detail = "the pipeline runs only what keys of its `trust` have signed; deploy the component, on trial, and replay \
                      with its version";
        return Err(Problem::new(Kind::ComponentRefused, detail));
    }
    let mut all = Vec::new();
    let mut told = (None, String::new());
    for (number, name) in names.iter().enumerate() {
        let wanted = asked.version.filter(|_| number == function);
        let (version, settings) = versions::settings(fleet, name, wanted)?;
        let component = match &asked.component {
            Some(component) if number == function => component.clone(),
            _ => versions::component(fleet, names, name, Some(version))?,
        };
        if number == function {
            told = (asked.component.is_none().then_some(version), digest(&component));
        }
        all.push((component, settings));
    }
    let replayed = replay::run(
        ground,
        replay::Asked {
            function,
            versions: all,
            topic: asked.topic.clone(),
            partition: asked.partition,
            offset: asked.offset,
            record: read()?,
            core_dump: asked.core_dump,
        },
    );
    let replayed = replayed.map_err(|why| match why.downcast_ref() {
        Some(refused) => versions::refused(refused),
        None => Problem::new(Kind::BadParameter, format!("{why:#}")),
    })?;
    Ok(Replayed {
        function: asked.function.clone(),
        version: told.0,
        component: told.1,
        record: replayed.record,
        at: Some(RecordAt { topic: asked.topic.clone(), offset: asked.offset }),
        partition: asked.partition,
        calls: replayed.calls,
        lines: replayed.lines,
        results: replayed.results,
        stopped: replayed.stopped,
        core_dump: replayed.core_dump.map(Bytes),
    })
}

/// That a record is not there.
fn no_record(asked: &AskedReplay) -> Problem {
    let AskedReplay { topic, partition, offset, .. } = asked;
    Problem::new(
        Kind::OffsetOutOfRange,
        format!("topic `{topic}` partition {partition} has no record at offset {offset}"),
    )
}

impl Inside for HostApi {
    fn logs(&self, asked: &AskedLogs) -> Result<Logs, Problem> {
        logs(&self.lines, &self.host.fleet, &self.host.topology, asked)
    }

    fn profile(&self, asked: &AskedProfile) -> Result<Profile, Problem> {
        profile(&self.host.fleet, &self.host.registry, &self.host.topology.functions, asked)
    }

    fn replay(&self, asked: &AskedReplay) -> Result<Replayed, Problem> {
        let read = || {
            // A topic that is not there is told by name.
            self.topic(&asked.topic)?;
            let mut batch = BatchBuilder::default();
            self.read(&asked.topic, asked.partition, asked.offset, &mut |record| {
                if record.offset == asked.offset {
                    let headers = record.headers.iter().map(|(name, value)| (*name, *value));
                    batch.push(record.key, record.value, record.timestamp, headers);
                }
                false
            })?;
            let batch = batch.finish();
            if batch.is_empty() { Err(no_record(asked)) } else { Ok(batch) }
        };
        replay(&self.host.replay_ground(), &self.host.fleet, asked, read)
    }
}

impl Inside for KafkaApi {
    fn logs(&self, asked: &AskedLogs) -> Result<Logs, Problem> {
        logs(&self.lines, &self.host.fleet, &self.host.topology, asked)
    }

    fn profile(&self, asked: &AskedProfile) -> Result<Profile, Problem> {
        profile(&self.host.fleet, &self.host.registry, &self.host.topology.functions, asked)
    }

    fn replay(&self, asked: &AskedReplay) -> Result<Replayed, Problem> {
        let read = || {
            let topic = self.topic(&asked.topic)?;
            let partition = topic.partitions.iter().find(|partition| partition.partition == asked.partition);
            let Some(partition) = partition else {
                let there = topic.partitions.len();
                let detail = format!("topic `{}` has {there} partitions, there is no {}", topic.name, asked.partition);
                return Err(Problem::new(Kind::UnknownPartition, detail));
            };
            if asked.offset < partition.start || asked.offset >= partition.end {
                let (start, end) = (partition.start, partition.end);
                return Err(no_record(asked).between(start, end));
            }
            let record = self.host.record(&asked.topic, asked.partition, asked.offset, READ_WAIT);
            record.map_err(|why| failed(&why))?.ok_or_else(|| no_record(asked))
        };
        replay(&self.host.replay_ground(), &self.host.fleet, asked, read)
    }
}
