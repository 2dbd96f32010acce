//! The manifest: from YAML text to a checked pipeline, every error at once, each with its place.
//!
//! In layers, each of which goes on where the one before found something wrong: `text` (YAML with places), `structure` (the
//! JSON Schema generated from `manifest`), `lower` (units, what belongs together), and `meaning`
//! ([`millstream_core::topology::check`], which is pure). Not here: components, which a caller may have looked at too.

pub mod text;
mod times;

pub mod calendar;

pub mod structure;

mod hints;

pub mod formats;

pub mod manifest;

pub mod lower;

pub mod meaning;

pub mod pipeline;

pub mod problem;
pub mod svg;
pub mod units;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use millstream_core::state::keyspace::Durability;
use millstream_core::topology::spec::Spec;

use crate::runtime::formats::Asked;
use crate::trust::PublicKey;

pub use manifest::Guarantee;
pub use problem::{Problem, Report, Severity};

/// Milliseconds between commits, unless the manifest says otherwise.
pub const COMMIT_INTERVAL_DEFAULT_MS: i64 = 100;
/// Shortest time between commits, milliseconds.
pub const COMMIT_INTERVAL_MS_MIN: i64 = 1;

/// Shortest time for which components are kept that nothing needs, milliseconds: longer than a deploy takes from file to proposal is wise.
pub const KEEP_COMPONENTS_MS_MIN: i64 = 1_000;
/// Longest time between commits, milliseconds: results wait that long, and all since then is done again after a failure.
pub const COMMIT_INTERVAL_MS_MAX: i64 = 60_000;

/// A checked manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The graph.
    pub spec: Spec,
    /// What becomes visible after a failure.
    pub guarantee: Guarantee,
    /// Properties of the Kafka client, with values from the environment put in; `None` in local mode.
    pub kafka: Option<BTreeMap<String, String>>,
    /// How internal topics are made at the brokers.
    pub internal_topics: InternalTopics,
    /// Keys whose signatures versions of functions need; none: they need none.
    pub trust: Vec<PublicKey>,
    /// Where lines of functions go, besides the hosts' own logs.
    pub logs: Option<Logs>,
    /// Functions, in the order of the graph's.
    pub functions: Vec<Function>,
    /// Partition counts that the manifest gives, by topic.
    pub partitions: Vec<(String, u32)>,
    /// Where sources begin on their first run, by topic.
    pub starts: Vec<(String, Start)>,
    /// Milliseconds between commits.
    pub commit_interval_ms: i64,
    /// For how long components are kept that nothing needs, milliseconds.
    pub keep_components_ms: i64,
    /// What a commit survives, in local mode.
    pub durability: Durability,
    /// How long records of the user's topics are kept, milliseconds, in local mode.
    pub retention_ms: Option<i64>,
    /// How many bytes of each of their partitions are kept, in local mode.
    pub retention_bytes: Option<u64>,
    /// What topics hold.
    pub formats: Asked,
}

impl Manifest {
    /// How many partitions a topic has by the manifest; 1 where it does not say.
    pub fn partitions_of(&self, topic: &str) -> u32 {
        self.partitions.iter().find(|(t, _)| t == topic).map_or(1, |(_, n)| *n)
    }
}

/// A function of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The component's file; relative paths have the manifest's folder before them.
    pub component: PathBuf,
    /// Which function of the file, where it holds several.
    pub export: Option<String>,
    /// Settings, as the text of a JSON object with sorted keys.
    pub settings: String,
    /// What it may use; what is `None` is up to the host.
    pub limits: Limits,
    /// What it may learn of the machine.
    pub grants: Grants,
}

/// How internal topics are made at the brokers; what is `None` is up to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternalTopics {
    /// Replicas of each partition.
    pub replication: Option<i16>,
    /// Replicas that have a record before it counts as written.
    pub min_isr: Option<u16>,
    /// Other settings, as brokers call them.
    pub settings: BTreeMap<String, String>,
}

/// What a function may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of an instance.
    pub memory_bytes: Option<u64>,
    /// Milliseconds of CPU time for a call, besides what each record adds.
    pub time_per_call_ms: Option<u64>,
    /// Bytes that a call may return.
    pub result_bytes: Option<u64>,
}

/// Where lines of functions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// The topic.
    pub topic: String,
    /// The least important that are sent.
    pub level: manifest::Level,
}

/// What a function may learn of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// What time it is.
    pub wall_clock: bool,
    /// Random numbers.
    pub random: bool,
    /// Variables of the environment, with their values.
    pub env: Vec<(String, String)>,
}

/// Where a source begins on its first run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is kept.
    #[default]
    Earliest,
    /// With the next record written.
    Latest,
    /// With the first record at or after this time, milliseconds since 1970.
    At(i64),
    /// With the first record at or after this long before the start, milliseconds.
    Ago(i64),
}

/// What a look at a component has to say about a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// The function's field that it is about: `component`, `function`, `config` or `limits`.
    pub field: &'static str,
    /// What is wrong, one line.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
}

/// What is wrong with a property of the Kafka client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyRemark {
    /// How bad it is.
    pub severity: Severity,
    /// Its name; one that is not there is missing.
    pub name: String,
    /// What is wrong, one line.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Around the text of a manifest.
pub struct Surroundings<'a> {
    /// The file, as the user named it, for messages.
    pub file: &'a str,
    /// The manifest's folder, before relative paths.
    pub folder: &'a Path,
    /// Local mode was asked for (`--local`): `kafka:` is left aside.
    pub local: bool,
    /// A variable of the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What there is to say about a function's component, given the graph that it is for.
    pub component: &'a dyn Fn(&Spec, &Function) -> Vec<Remark>,
    /// What there is to say against the Kafka client's properties.
    pub properties: &'a dyn Fn(&BTreeMap<String, String>) -> Vec<PropertyRemark>,
}

/// A manifest, if it has no error, and what was found in it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The manifest; `None` when the report has an error.
    pub manifest: Option<Manifest>,
    /// Errors and warnings.
    pub report: Report,
}

/// Reads a manifest's file; components are not looked at unless `component` does.
///
/// # Errors
/// When the file cannot be read. What is wrong with its content is in the report.
pub fn load(file: &Path, local: bool, component: &dyn Fn(&Spec, &Function) -> Vec<Remark>) -> anyhow::Result<Loaded> {
    let name = file.display().to_string();
    let mut bytes = Vec::new();
    let reader = std::fs::File::open(file).map(|file| file.take(text::MANIFEST_BYTES_MAX as u64 + 1));
    reader
        .and_then(|mut reader| reader.read_to_end(&mut bytes))
        .with_context(|| format!("read the manifest {name}"))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        // It is refused for its size in any case, and its last character may have been cut in two.
        Err(why) if why.as_bytes().len() > text::MANIFEST_BYTES_MAX => String::from_utf8_lossy(why.as_bytes()).into(),
        Err(why) => return Ok(Loaded { manifest: None, report: not_text(&name, &why) }),
    };
    let surroundings = Surroundings {
        file: &name,
        folder: file.parent().unwrap_or(Path::new("")),
        local,
        environment: &|name| std::env::var(name).ok(),
        component,
        properties: &pipeline::properties,
    };
    Ok(parse(&text, &surroundings))
}

/// What is said of a file that is not UTF-8: where it ceases to be.
fn not_text(file: &str, why: &std::string::FromUtf8Error) -> Report {
    let (bytes, at) = (why.as_bytes(), why.utf8_error().valid_up_to());
    let help = match bytes {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => "it is UTF-16: save it as UTF-8",
        _ => "save it as UTF-8",
    };
    let message = format!("the manifest is not UTF-8: byte {:#04x}", bytes[at]);
    Report::new(file, String::from_utf8_lossy(bytes), vec![Problem::error(at..at + 1, message).help(help)])
}

/// Checks the text of a manifest.
pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Loaded {
    let mut problems = Vec::new();
    let manifest = text::read(text, &mut problems).and_then(|tree| {
        let fitting = structure::check(&tree, &mut problems);
        let manifest = lower::lower(&tree, &fitting, surroundings, &mut problems)?;
        meaning::check(&tree, &fitting, &manifest, &mut problems);
        lower::components(&tree, &fitting, &manifest, surroundings, &mut problems);
        Some(manifest)
    });
    let report = Report::new(surroundings.file, text, problems);
    Loaded { manifest: manifest.filter(|_| !report.has_errors()), report }
}
