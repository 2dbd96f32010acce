//! What goes over the wire as JSON, for both sides. Not the core's types: the host converts, by hand, so that either may
//! change without the other. Times are milliseconds since 1970-01-01T00:00:00Z; counts are since the host started.

pub mod inside;
mod stores;
pub mod trials;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use stores::{AsOf, At, Bytes, NotRead, Row, Rows, Store, StoredValue};

/// `GET /v1/pipeline`: what runs here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// Its name in the manifest.
    pub name: String,
    /// Whether this host takes records.
    pub state: Standing,
    /// Version of the host.
    pub host_version: String,
    /// `local` while topics are in the host's own log, else `kafka`.
    pub mode: String,
    /// When the host started.
    pub started_at: i64,
    /// Milliseconds between commits.
    pub commit_interval_ms: i64,
    /// Tasks in all.
    pub tasks: u32,
    /// Names of its functions.
    pub functions: Vec<String>,
    /// Topics it reads or writes, without its internal ones.
    pub topics: Vec<String>,
}

/// Whether a host takes records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It does.
    #[default]
    Running,
    /// It takes no more, and commits what is done.
    Pausing,
    /// It takes none until it is resumed; what was done is committed.
    Paused,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Standing::Running => "running",
            Standing::Pausing => "pausing",
            Standing::Paused => "paused",
        })
    }
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Not opened yet.
    Starting,
    /// Its state is brought up to date.
    Restoring,
    /// At work.
    Running,
    /// Closed until the host is resumed.
    Paused,
    /// Opened again after a failure that passes.
    Retrying,
    /// Stopped until somebody acts.
    Stopped,
}

impl TaskState {
    /// All of them.
    pub const ALL: [TaskState; 6] = [
        TaskState::Starting,
        TaskState::Restoring,
        TaskState::Running,
        TaskState::Paused,
        TaskState::Retrying,
        TaskState::Stopped,
    ];

    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Starting => "starting",
            TaskState::Restoring => "restoring",
            TaskState::Running => "running",
            TaskState::Paused => "paused",
            TaskState::Retrying => "retrying",
            TaskState::Stopped => "stopped",
        }
    }
}

/// How far something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much.
    pub of: u64,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Number of its sub-topology.
    pub sub_topology: u32,
    /// Its partition number.
    pub partition: u32,
    /// Which worker has it.
    pub worker: u32,
    /// How it stands.
    pub state: TaskState,
    /// Why it is retrying or stopped.
    pub reason: Option<String>,
    /// While it is restoring: offsets of its changelogs that were read.
    #[serde(default)]
    pub restored: Option<Progress>,
    /// What it reads, and how far it is.
    pub positions: Vec<Position>,
    /// Records taken and committed.
    pub records: u64,
    /// Records written and committed.
    pub results: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Its stream time; none before any record.
    pub stream_time: Option<i64>,
    /// Bytes of state it holds in memory.
    pub state_bytes: u64,
    /// Of steps whose function has a migrator: how far the states that earlier versions wrote are brought into its layout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<Sweep>,
}

/// How far the states of a step are brought into the layout of the version in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// The step.
    pub step: String,
    /// The layout that all are to have.
    pub layout: u32,
    /// Stored states that were looked at.
    pub looked: u64,
    /// States that were written anew; those that records touched first are not among them.
    pub migrated: u64,
    /// None is in another layout any more.
    pub done: bool,
}

impl Task {
    /// Its name: sub-topology and partition.
    pub fn id(&self) -> String {
        format!("{}_{}", self.sub_topology, self.partition)
    }

    /// Records that are in its inputs and not committed yet.
    pub fn lag(&self) -> u64 {
        self.positions.iter().map(|p| u64::try_from(p.end - p.offset).unwrap_or(0)).sum()
    }
}

/// How far a task is in a topic's partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The next offset to be handled.
    pub offset: i64,
    /// The offset that the next record written will have.
    pub end: i64,
}

/// A version of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// 1, 2, … in the order in which they came into force.
    pub number: u64,
    /// Where the control log put it in force; grows with the number, over all functions.
    pub epoch: u64,
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// Where it came from, for people.
    pub origin: String,
    /// When it was asked for.
    pub proposed_at: i64,
    /// Its settings.
    pub settings: serde_json::Value,
}

/// What a version of a function has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// Calls.
    pub calls: u64,
    /// Records it was called with.
    pub records: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Of those, seconds of the CPU, estimated from a part of the calls.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Records that it rejected.
    #[serde(default)]
    pub rejected: u64,
    /// Records that left without a result because of it, by reason: into a topic of dead letters, where `on-error` of the step says so.
    #[serde(default)]
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Lines that it logged.
    #[serde(default)]
    pub log_lines: u64,
    /// Lines that were dropped for being too many.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// Calls that failed, by kind of failure.
    pub faults: std::collections::BTreeMap<String, u64>,
    /// Bytes of memory its largest instance had.
    pub memory_bytes: u64,
}

/// A function of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Function {
    /// Its name in the manifest.
    pub name: String,
    /// The version in force.
    pub version: Option<Version>,
    /// Whether a deploy is being prepared.
    pub deploying: bool,
    /// What the version in force has done.
    pub work: Option<Work>,
    /// Other versions that are ready here, and what they have done.
    #[serde(default)]
    pub others: Vec<Other>,
    /// Layouts in which its states may be stored: each has to be one that a version reads, or that is turned back for it.
    #[serde(default)]
    pub layouts: Vec<u32>,
}

/// A version that is ready to be called beside the one in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Other {
    /// Its number; none while it is on trial.
    pub version: Option<u64>,
    /// `before` (it was in force, and stays ready to go back to) or `on-trial`.
    pub standing: String,
    /// What it has done.
    pub work: Work,
}

/// From where a task ran a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switch {
    /// Number of the task's sub-topology.
    pub sub_topology: u32,
    /// The task's partition.
    pub partition: u32,
    /// First offset that the version handled, by topic.
    pub offsets: std::collections::BTreeMap<String, i64>,
}

/// A version with the places where it took over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Past {
    /// The version.
    #[serde(flatten)]
    pub version: Version,
    /// Why the pipeline went back from it by itself, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Number of the version that it went back from to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_from: Option<u64>,
    /// When its component was collected, where it was: it cannot be gone back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<i64>,
    /// Where each task took it on; a task that had nothing to do under it is not there.
    pub switches: Vec<Switch>,
}

/// A version that was asked for and not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// SHA-256 of the component.
    pub digest: String,
    /// Where it came from.
    pub origin: String,
    /// When it was asked for.
    pub proposed_at: i64,
    /// Why it was not taken.
    pub reason: String,
}

/// `GET /v1/functions/{name}/history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The function.
    pub function: String,
    /// Versions that are or were in force, oldest first.
    pub versions: Vec<Past>,
    /// Versions not taken, oldest first.
    pub rejected: Vec<Rejected>,
}

/// Which version handled a record in one sub-topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Handled {
    /// The sub-topology.
    pub sub_topology: u32,
    /// Number of the version.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// The first offset that it handled in the record's partition.
    pub since: i64,
}

impl History {
    /// Which version handles the record at a position, for each sub-topology that reads the topic; empty where no task has
    /// ever handled a record there. Whether the record has been handled yet, the tasks' positions say.
    pub fn at(&self, topic: &str, partition: u32, offset: i64) -> Vec<Handled> {
        let mut found = std::collections::BTreeMap::new();
        // Offsets of switches never fall from version to version, so the last that is not behind the record has it.
        for past in &self.versions {
            for switch in past.switches.iter().filter(|s| s.partition == partition) {
                if let Some(&since) = switch.offsets.get(topic).filter(|first| **first <= offset) {
                    let (version, digest) = (past.version.number, past.version.digest.clone());
                    let sub_topology = switch.sub_topology;
                    found.insert(sub_topology, Handled { sub_topology, version, digest, since });
                }
            }
        }
        found.into_values().collect()
    }
}

/// What a deploy or a rollback answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// The function.
    pub function: String,
    /// The version in force now; none where what was deployed is on trial until it is promoted.
    pub version: Option<Version>,
    /// Number of the version that was in force before, or is still.
    pub previous: Option<u64>,
    /// What the check of the component saw; null where it was checked before.
    pub inspection: serde_json::Value,
    /// How it fared beside the version before, on each host that has told; none where it was not tried.
    #[serde(default)]
    pub trials: Vec<trials::Trial>,
}

/// What a deploy of several functions answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Together {
    /// What came of each, in the order of the call.
    pub functions: Vec<Deployed>,
    /// What whoever deploys them should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A function of a deploy of several, as its first line names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The function.
    pub function: String,
    /// Bytes of its component.
    pub bytes: usize,
    /// Its settings; without them, those in force stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Where the component comes from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What `millstream sign` wrote for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// `POST /v1/functions/{name}/rollback`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Number of the version to go back to; without it, the one before.
    #[serde(default)]
    pub to: Option<u64>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether the pipeline made it for itself; nobody else may write to it.
    pub internal: bool,
    /// How long records are kept, milliseconds; for ever without it.
    pub retention_ms: Option<u64>,
    /// Bytes that are kept of each partition; all without it.
    pub retention_bytes: Option<u64>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    /// Its number.
    pub partition: u32,
    /// Offset of the oldest record kept.
    pub start: i64,
    /// The offset that the next record will have.
    pub end: i64,
    /// Bytes it takes.
    pub bytes: u64,
}

/// What writing records answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Appended {
    /// The topic.
    pub topic: String,
    /// Records written.
    pub records: u64,
    /// Where they are; not told in the answer to a repetition.
    pub partitions: Vec<AppendedTo>,
    /// Whether these records had been written by an earlier request with this producer and sequence.
    #[serde(default)]
    pub repeated: bool,
}

/// Where records of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppendedTo {
    /// The partition.
    pub partition: u32,
    /// Offset of the first.
    pub first: i64,
    /// How many.
    pub records: u64,
}

/// `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Always true: where it is not, a problem document says why.
    pub ready: bool,
    /// A host that was paused is ready: it does what it was told.
    pub state: Standing,
}

/// `GET /healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `alive`.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(number: u64, switches: &[(u32, u32, i64)]) -> Past {
        let (digest, settings) = (format!("d{number}"), serde_json::json!({}));
        let version = Version { number, epoch: number, digest, origin: String::new(), proposed_at: 0, settings };
        let switches = switches.iter().map(|(sub_topology, partition, first)| Switch {
            sub_topology: *sub_topology,
            partition: *partition,
            offsets: [("in".into(), *first)].into(),
        });
        Past { version, failed: None, back_from: None, collected: None, switches: switches.collect() }
    }

    #[test]
    fn a_record_was_handled_by_the_version_that_began_last_before_it() {
        // Version 2 began and ended between two records of partition 0; partition 1 never had version 3.
        let versions = vec![
            past(1, &[(0, 0, 0), (0, 1, 4)]),
            past(2, &[(0, 0, 10), (0, 1, 7), (2, 0, 5)]),
            past(3, &[(0, 0, 10)]),
        ];
        let history = History { function: "f".into(), versions, rejected: Vec::new() };
        let at = |topic: &str, partition, offset| -> Vec<(u32, u64, i64)> {
            let found = history.at(topic, partition, offset).into_iter();
            found.map(|h| (h.sub_topology, h.version, h.since)).collect()
        };
        assert_eq!(at("in", 0, 0), [(0, 1, 0)]);
        assert_eq!(at("in", 0, 9), [(0, 1, 0), (2, 2, 5)]);
        assert_eq!(at("in", 0, 10), [(0, 3, 10), (2, 2, 5)]);
        assert_eq!(at("in", 1, 3), []);
        assert_eq!(at("in", 1, i64::MAX), [(0, 2, 7)]);
        assert_eq!(at("other", 0, 5), []);
    }
}
