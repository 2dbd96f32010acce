//! What is told of stores and their rows.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::{Datum, Window};

/// `GET /v1/stores`: a store of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// Its name: the step's; of a processor's stores the step's and its own.
    pub name: String,
    /// The step that has it.
    pub step: String,
    /// Number of its sub-topology.
    pub sub_topology: u32,
    /// In how many partitions it is.
    pub partitions: u32,
    /// What it holds: `rows`, `aggregates`, `windows`, `sessions`, `entries`; of those that are not to be asked `timers`, `ids`, `waiting`,
    /// `sent`.
    pub kind: String,
    /// What its values are: `bytes`, `states` (of a function, in its own layout) or `counts` (numbers).
    pub values: String,
    /// Whether its keys have windows.
    pub windowed: bool,
    /// Questions that it answers: `key`, `keys` (a range of them), `windows` (of all keys).
    pub answers: Vec<String>,
    /// Whether `values=results` gives what its function's `finish` makes of its states.
    #[serde(default)]
    pub results: bool,
    /// Why it answers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Bytes, as JSON has them in records: a string where they are UTF-8, else `{"base64": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Datum(Some(Cow::Borrowed(&self.0))).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Packed { base64: String },
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Packed { base64 } => STANDARD.decode(base64).map(Self).map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: a string where they are UTF-8, else in base64.",
            "oneOf": [
                { "type": "string" },
                { "type": "object", "required": ["base64"], "additionalProperties": false,
                    "properties": { "base64": { "type": "string" } } }
            ]
        })
    }
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StoredValue {
    /// A count.
    Count(i64),
    /// Anything else.
    Bytes(Bytes),
}

/// A row of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The partition that it is in.
    pub partition: u32,
    /// Its key, without its window.
    pub key: Bytes,
    /// Its window, where keys have one: the end is exclusive, of a session the time of its last record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Its value; of an aggregate its state, or with `values=results` what leaves the step.
    pub value: StoredValue,
    /// Of an aggregate the largest timestamp of its records, of a table's row that of its record, of a processor's entry when it was
    /// written; none where no time was known then.
    pub timestamp: Option<i64>,
}

/// The commit as which a partition was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AsOf {
    /// The partition.
    pub partition: u32,
    /// The next offset of each of its task's inputs: everything before it is in what was read, and nothing behind it. None where the
    /// task has not committed yet.
    pub positions: Vec<At>,
    /// The step's stream time.
    pub stream_time: Option<i64>,
}

/// A place in an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The topic.
    pub topic: String,
    /// The next offset.
    pub offset: i64,
}

/// A partition that was not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NotRead {
    /// The partition.
    pub partition: u32,
    /// The address of the host that has it, where one has it and says where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why it was not read.
    pub reason: String,
}

/// `GET /v1/stores/{store}/…`: what a store has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rows {
    /// The store.
    pub store: String,
    /// What was read, in the order of partitions.
    pub as_of: Vec<AsOf>,
    /// The rows, partition by partition.
    pub rows: Vec<Row>,
    /// What `cursor` takes to go on; none: that was all.
    pub next: Option<String>,
    /// Partitions of the question that this host could not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_read: Vec<NotRead>,
}
