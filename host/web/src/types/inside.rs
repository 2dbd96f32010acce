//! What is told of what goes on inside of functions: their log lines, where their time goes, and one record taken through one of
//! them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stores::Bytes;

/// `GET /v1/logs`: lines of functions, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Logs {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// What `after` takes to go on.
    pub next: u64,
    /// Lines between `after` and the first of these that are not kept any more, of all functions.
    pub lost: u64,
}

/// A line that a function wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Its number on this host.
    pub sequence: u64,
    /// When it was written, milliseconds since 1970.
    pub time: i64,
    /// The functions that its component runs as; more than one where they share it, with its settings.
    pub by: Vec<Speaker>,
    /// SHA-256 of the component.
    pub component: String,
    /// `trace`, `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// The text.
    pub message: String,
    /// Lines that were dropped for being too many since the last one that was let through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// The records of the call that wrote it, where it was about records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Speaker {
    /// The function.
    pub function: String,
    /// Number of its version; none while it is on trial.
    pub version: Option<u64>,
}

/// Which records a call was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Records {
    /// Number of the task's sub-topology.
    pub sub_topology: u32,
    /// The task's partition.
    pub partition: u32,
    /// The first.
    pub first: RecordAt,
    /// The last.
    pub last: RecordAt,
}

/// Where a record is, in the partition of its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAt {
    /// The topic.
    pub topic: String,
    /// The offset.
    pub offset: i64,
}

/// `GET /v1/functions/{name}/profile`: where a function spent its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The function.
    pub function: String,
    /// Number of the version; none while it is on trial.
    pub version: Option<u64>,
    /// SHA-256 of the component.
    pub component: String,
    /// For how long it was watched.
    pub seconds: f64,
    /// Milliseconds of wall time in the function that a sample stands for.
    pub sample_ms: u64,
    /// Samples, on all workers of this host together.
    pub samples: u64,
    /// Those of them whose stacks were too many to be told apart.
    pub untold: u64,
    /// The stacks, the most frequent first.
    pub stacks: Vec<Stack>,
}

/// A stack of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stack {
    /// Its functions, the outermost first.
    pub frames: Vec<String>,
    /// How often it was seen.
    pub samples: u64,
}

/// `POST /v1/functions/{name}/replay`: one record, taken through the pipeline once more, and what a function made of it. Nothing of it
/// is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// The function.
    pub function: String,
    /// Number of the version; none where a component came with the question.
    pub version: Option<u64>,
    /// SHA-256 of the component.
    pub component: String,
    /// The record.
    pub record: Item,
    /// Where it is.
    pub at: Option<RecordAt>,
    /// The partition that it is in.
    pub partition: u32,
    /// Each call of the function, in order.
    pub calls: Vec<Call>,
    /// What it wrote meanwhile.
    pub lines: Vec<String>,
    /// What left the pipeline.
    pub results: Vec<Left>,
    /// Why a task stopped over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// A core dump of the trap, where one was asked for and it trapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_dump: Option<Bytes>,
}

/// A call of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// Which: `filter.keep`, `aggregator.add`, …
    pub name: String,
    /// Wall time, microseconds.
    pub microseconds: f64,
    /// What went in.
    pub given: Vec<Item>,
    /// What came out; empty where it failed.
    pub answer: Vec<Item>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Something that goes into a function or comes out of it; what it is not about is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// What it is: `record`, `group`, `kept`, `dropped`, `result`, `state`, `topic`, `rejected`, …
    #[serde(default)]
    pub what: String,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Bytes>,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Bytes>,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The headers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Start and end of the window, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<(i64, i64)>,
    /// The other side of a join or a merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Bytes>,
    /// The way it takes: number of an output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u32>,
    /// Words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A record that left the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Left {
    /// Its topic.
    pub topic: String,
    /// The record.
    #[serde(flatten)]
    pub record: Item,
}
