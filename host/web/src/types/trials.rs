//! What is told of versions on trial: how a new one fares beside the one in force.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/functions/{name}/probation`: the last deploy of a function that was tried first, or is being tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probation {
    /// The function.
    pub function: String,
    /// SHA-256 of the component on trial.
    pub digest: String,
    /// Where it comes from.
    pub origin: String,
    /// Whether nothing is decided about it yet.
    pub open: bool,
    /// Whether it waits to be promoted.
    pub held: bool,
    /// What each host saw, as far as it has told; of the host that is asked, what it sees now.
    pub hosts: BTreeMap<String, Trial>,
}

/// How a version fared beside the one in force, on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// The function.
    pub function: String,
    /// The host.
    pub host: String,
    /// SHA-256 of the component on trial.
    pub digest: String,
    /// For how long.
    pub seconds: f64,
    /// Whether the version was called at all; where not, nothing is known of it.
    pub exercised: bool,
    /// Records that the version in force handled meanwhile.
    pub records: u64,
    /// Records from before the trial that were taken through again first, with empty stores; they are among `records`.
    #[serde(default)]
    pub replayed: u64,
    /// Those of all that were given to the version on trial as well.
    pub compared: u64,
    /// Share of keys that was followed to the end, 0 to 1, of a function with states.
    pub keys_share: f64,
    /// Outputs compared: a record's results, or what would come out of a group after a change.
    pub outputs: u64,
    /// Those that differ.
    pub differing: u64,
    /// The first of those.
    pub examples: Vec<Example>,
    /// States that began as what the version in force had, at their first change, or because the pair was lost.
    pub states_begun: u64,
    /// What the version in force costs.
    pub old: Cost,
    /// What the version on trial costs.
    pub new: Cost,
    /// Why the version on trial did not come through.
    pub failed: Option<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// What a version costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// CPU time of a record, nanoseconds, with copying in and out; none without records.
    pub ns_per_record: Option<f64>,
    /// Most memory that one instance had, bytes.
    pub memory_bytes: u64,
}

/// An output that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The record's key, or the group's: text, or hexadecimal behind `0x`.
    pub key: serde_json::Value,
    /// `TOPIC:PARTITION:OFFSET` of the record as it was read; of a group, of the last one of it; none where that is not known.
    pub position: Option<String>,
    /// Start and end of the group's window.
    pub window: Option<(i64, i64)>,
    /// What the version in force says.
    pub old: serde_json::Value,
    /// What the version on trial says.
    pub new: serde_json::Value,
}
