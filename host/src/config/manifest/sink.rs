//! Sinks: where results go, and in which form.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use millstream_core::topology::check::PARTITIONS_MAX;

use super::{Formats, Name, OnError, OneOrMany, Reference, TopicName};

/// Topics that a router may name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RoutedTopics {
    /// A name in which `*` stands for any characters.
    Pattern(String),
    /// These.
    Listed(Vec<TopicName>),
}

impl JsonSchema for RoutedTopics {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RoutedTopics".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let pattern = json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._*-]{1,249}$" });
        let listed = json_schema!({ "type": "array", "minItems": 1, "items": generator.subschema_for::<TopicName>() });
        json_schema!({ "title": "a list of topics, or a pattern such as `alerts-*`", "anyOf": [pattern, listed] })
    }
}

/// Where results go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("dependentRequired" = { "topics": ["route"] }))]
pub struct Sink {
    /// What it writes: a source, a step, a branch's output (`step.output`), or a list of them.
    pub from: OneOrMany<Reference>,
    /// The topic written.
    pub topic: TopicName,
    /// A function that says to which of the `topics` a result goes, and to which partition.
    pub route: Option<Name>,
    /// Topics that the function may name beside the sink's own: a list, or a pattern such as `alerts-*`.
    pub topics: Option<RoutedTopics>,
    /// How windowed keys are written. Default `kafka`.
    pub key_format: Option<KeyFormat>,
    /// Headers `window.start` and `window.end` also with formats that carry the window in the key. Default `false`.
    pub window_headers: Option<bool>,
    /// What the topic is to hold, of the JSON that functions make. Default: bytes, as they are.
    pub format: Option<Formats>,
    /// What becomes of a result that has no form in the format, or that the log refuses. Default `fail`.
    pub on_error: Option<OnError>,
    /// Partitions of the topic, where local mode makes it. Default 1.
    #[schemars(range(min = 1, max = PARTITIONS_MAX))]
    pub partitions: Option<u32>,
}

/// How windowed keys are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`kafka`, `json` or `plain`")]
pub enum KeyFormat {
    /// Key bytes, then the window's start, as Kafka Streams writes them.
    Kafka,
    /// `{"key": …, "start": …, "end": …}`.
    Json,
    /// Key bytes alone; start and end go into the headers `window.start` and `window.end`.
    Plain,
}
