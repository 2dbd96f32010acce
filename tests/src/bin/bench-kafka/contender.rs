//! Who is measured, running one of the pipelines: the host, Kafka Streams, or the bare loop. All are processes of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use millstream_tests::access::WINDOW_MS;
use millstream_tests::host::{Host, surprises};

use crate::floor;
use crate::input::{GRACE_MS, HOUR_MS, SECOND_MS};
use crate::options::Options;
use crate::place::Place;
use crate::program::Program;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// A consume→produce loop on the host's own client
    Floor,
    /// The host
    Host,
    /// Kafka Streams
    Streams,
}

impl Who {
    /// For the report.
    pub fn title(self) -> &'static str {
        match self {
            Who::Floor => "bare loop",
            Who::Host => "Millstream",
            Who::Streams => "Kafka Streams",
        }
    }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipeline {
    /// Filter and map.
    Pass,
    /// Filter, windowed count by the key that is there, on update.
    KeyedUpdate,
    /// The same on close.
    KeyedClose,
    /// Filter, map to another key, windowed count behind a repartition topic, on update.
    RekeyedUpdate,
    /// The same on close.
    RekeyedClose,
    /// Filter, count in hopping windows by the key that is there, on close.
    HoppingClose,
    /// The same in windows of an hour that do not overlap.
    HourClose,
    /// Count by the key that is there, without a window, on update.
    LargeState,
}

impl Pipeline {
    /// As the command line, the report and the peer call it.
    pub fn name(self) -> &'static str {
        match self {
            Pipeline::Pass => "pass",
            Pipeline::KeyedUpdate => "keyed-update",
            Pipeline::KeyedClose => "keyed-close",
            Pipeline::RekeyedUpdate => "rekeyed-update",
            Pipeline::RekeyedClose => "rekeyed-close",
            Pipeline::HoppingClose => "hopping-close",
            Pipeline::HourClose => "hour-close",
            Pipeline::LargeState => "large-state",
        }
    }

    /// Whether there is a repartition topic.
    pub fn is_rekeyed(self) -> bool {
        matches!(self, Pipeline::RekeyedUpdate | Pipeline::RekeyedClose)
    }

    /// Whether results come when windows close.
    pub fn is_on_close(self) -> bool {
        matches!(self, Pipeline::KeyedClose | Pipeline::RekeyedClose) || self.is_of_hours()
    }

    /// Whether windows are as long as an hour.
    pub fn is_of_hours(self) -> bool {
        matches!(self, Pipeline::HoppingClose | Pipeline::HourClose)
    }

    /// Who is measured on it.
    pub fn contenders(self) -> &'static [Who] {
        match self {
            Pipeline::Pass => &[Who::Floor, Who::Host, Who::Streams],
            // It is there for what windows that overlap cost more.
            Pipeline::HourClose => &[Who::Host],
            _ => &[Who::Host, Who::Streams],
        }
    }

    /// Steps and sink of the manifest. Functions are those of `udfs/prebuilt`.
    fn steps(self) -> String {
        let (filter, map) =
            ("  ip-lines: { from: log-lines, filter: only-ip }\n", "  by-ip: { from: ip-lines, map: extract-ip }\n");
        let emit = if self.is_on_close() { "on-close" } else { "on-update" };
        let count = |from: &str, more: &str| {
            let window = match self {
                Pipeline::HoppingClose => format!("hopping: {HOUR_MS}ms, advance: {SECOND_MS}ms"),
                Pipeline::HourClose => format!("tumbling: {HOUR_MS}ms"),
                _ => format!("tumbling: {WINDOW_MS}ms"),
            };
            format!(
                "  counts: {{ from: {from}, group: key, window: {{ {window}, grace: {GRACE_MS}ms }}, \
                 count: {{ format: long }}, emit: {emit}{more} }}\n"
            )
        };
        match self {
            Pipeline::Pass => [filter, map].concat(),
            Pipeline::LargeState => {
                "  counts: { from: log-lines, group: key, count: { format: long }, emit: on-update }\n".into()
            }
            _ if self.is_rekeyed() => [filter, map, &count("by-ip", ", idle: 1s")].concat(),
            _ => [filter, &count("ip-lines", "")].concat(),
        }
    }
}

/// One process of a contender.
pub struct Job<'a> {
    pub who: Who,
    pub pipeline: Pipeline,
    /// Of the pipeline, its group and its topics.
    pub name: &'a str,
    pub input: &'a str,
    pub output: &'a str,
    /// Number among processes that share the work.
    pub number: usize,
    pub interval_ms: u32,
    /// More properties of the client.
    pub properties: &'a [(&'a str, &'a str)],
}

/// A contender that runs.
pub enum Running {
    Program(Program),
    Host { host: Host, log: PathBuf },
}

impl Job<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, place: &Place, options: &Options) -> anyhow::Result<Running> {
        let folder = place.folder().join(format!("{}-{:?}-{}", self.name, self.who, self.number));
        match self.who {
            Who::Floor => self.floor(place, options, &folder),
            Who::Host => self.host(place, options, &folder),
            Who::Streams => self.streams(place, options, &folder),
        }
    }

    fn floor(&self, place: &Place, options: &Options, folder: &Path) -> anyhow::Result<Running> {
        let args = floor::Args {
            bootstrap: place.bootstrap(),
            group: self.name.into(),
            input: self.input.into(),
            output: self.output.into(),
            partitions: options.partitions,
            workers: options.workers.into(),
            interval_ms: self.interval_ms,
            compression: options.compression.clone(),
            more: options.kafka.clone(),
        };
        let mut command = Command::new(std::env::current_exe().context("this program has a path")?);
        Ok(Running::Program(Program::start(command.args(args.words()), &folder.with_extension("log"))?))
    }

    fn host(&self, place: &Place, options: &Options, folder: &Path) -> anyhow::Result<Running> {
        let functions = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../udfs/prebuilt"));
        let given = [("bootstrap.servers", place.bootstrap()), ("compression.type", options.compression.clone())];
        let more = self.properties.iter().map(|(name, value)| (*name, value.to_string()));
        let more = more.chain(options.kafka.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let kafka: Vec<String> =
            given.into_iter().chain(more).map(|(name, value)| format!("{name}: \"{value}\"")).collect();
        let text = format!(
            "pipeline: {name}\nkafka: {{ {kafka} }}\ncommit-interval: {interval}ms\nfunctions:\n  \
             only-ip: {{ component: {functions}/only-ip.wasm }}\n  extract-ip: {{ component: {functions}/extract-ip.wasm }}\n\
             sources:\n  log-lines: {{ topic: {input} }}\nsteps:\n{steps}sinks:\n  \
             out: {{ from: {last}, topic: {output}, key-format: kafka }}\n",
            name = self.name,
            kafka = kafka.join(", "),
            interval = self.interval_ms,
            functions = functions.display(),
            input = self.input,
            steps = self.pipeline.steps(),
            last = if self.pipeline == Pipeline::Pass { "by-ip" } else { "counts" },
            output = self.output,
        );
        // A manifest may only name functions that it uses.
        let text = match self.pipeline {
            Pipeline::LargeState => {
                let of_functions = |line: &str| line.contains(".wasm") || line == "functions:";
                text.lines().filter(|line| !of_functions(line)).map(|line| format!("{line}\n")).collect()
            }
            Pipeline::KeyedUpdate | Pipeline::KeyedClose | Pipeline::HoppingClose | Pipeline::HourClose => {
                text.lines().filter(|line| !line.contains("extract-ip")).map(|line| format!("{line}\n")).collect()
            }
            _ => text,
        };
        let manifest = folder.with_extension("yaml");
        fs::write(&manifest, text)?;
        let host = Host::on_kafka(&manifest, folder, &["--workers", &options.workers.to_string()]);
        Ok(Running::Host { host, log: folder.with_extension("log") })
    }

    fn streams(&self, place: &Place, options: &Options, folder: &Path) -> anyhow::Result<Running> {
        let mut args: Vec<String> = [self.pipeline.name(), self.name, self.input, self.output].map(String::from).into();
        let length_ms = if self.pipeline.is_of_hours() { HOUR_MS } else { WINDOW_MS };
        args.extend([length_ms.to_string(), GRACE_MS.to_string()]);
        let properties = [
            ("bootstrap.servers", place.bootstrap()),
            ("state.dir", folder.display().to_string()),
            ("num.stream.threads", options.workers.to_string()),
            ("commit.interval.ms", self.interval_ms.to_string()),
            ("producer.compression.type", options.compression.clone()),
        ];
        args.extend(properties.map(|(name, value)| format!("{name}={value}")));
        args.extend(self.properties.iter().map(|(name, value)| format!("{name}={value}")));
        let log = format!("{}-{}.log", self.name, self.number);
        Ok(Running::Program(place.java("Pipelines", &options.heap, &log, &args)?))
    }
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Running::Program(program) => program.id(),
            Running::Host { host, .. } => host.id(),
        }
    }

    /// Nothing, while it runs well.
    ///
    /// # Errors
    /// With what it said, when it has ended, or has stopped a task.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self {
            Running::Program(program) => program.check(),
            Running::Host { log, .. } => {
                let surprises = surprises(log, &["\"WARN\""]);
                ensure!(surprises.is_empty(), "the host is in trouble:\n{}", surprises.join("\n"));
                Ok(())
            }
        }
    }

    /// Number of its tasks that run.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn tasks(&mut self) -> anyhow::Result<usize> {
        match self {
            Running::Program(program) => Ok(program.ask("tasks")?.parse()?),
            Running::Host { host, .. } => {
                let tasks = host.get("/v1/tasks").map_err(anyhow::Error::msg)?;
                Ok(tasks.as_array().into_iter().flatten().filter(|task| task["state"] == "running").count())
            }
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(self) -> anyhow::Result<()> {
        match self {
            Running::Program(program) => program.stop(),
            Running::Host { host, log } => {
                ensure!(host.stop().success(), "the host did not end well; its log is {}", log.display());
                Ok(())
            }
        }
    }
}
