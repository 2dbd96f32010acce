//! The manifest's form, as types: its JSON Schema is generated from them, and a text that fits it is read into them.
//!
//! Only the form: `lower` turns these into what the engine takes, and says what the schema cannot. The documentation of
//! fields here is what editors show. Titles complete the sentence "`…` is not …" in errors (see `structure`).

mod sink;
mod table;
mod window;
mod within;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use millstream_core::topology::check::PARTITIONS_MAX;

use super::formats::{Formats, Registry};

pub use sink::{KeyFormat, RoutedTopics, Sink};
pub use table::Table;
pub use window::{CalendarUnit, WeekDay, Window};
pub use within::{Apart, Within};

/// The version of the manifest's form that this program reads.
pub const MANIFEST_VERSION: u32 = 1;
/// Most characters of a name in a manifest; names become parts of topics' and files' names.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Latest time that a source may begin with, milliseconds since 1970: the end of the year 9999.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// Operators of steps; a step has exactly one.
pub const OPERATORS: [&str; 22] = [
    "filter",
    "filter-not",
    "map",
    "map-values",
    "flat-map",
    "flat-map-values",
    "select-key",
    "branch",
    "merge",
    "peek",
    "repartition",
    "count",
    "reduce",
    "aggregate",
    "scan",
    "cogroup",
    "deduplicate",
    "table",
    "global-table",
    "join",
    "group-by",
    "process",
];

/// The JSON Schema of the manifest.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Manifest>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.insert("title".into(), "Millstream pipeline".into());
    schema.to_value()
}

/// The schema as the text of `docs/manifest.schema.json`.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// An optional field is left out, not `null`: otherwise a forgotten value would pass for one.
fn without_null(schema: &mut Schema) {
    if schema.remove("x-null").is_some() {
        return;
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|t| t != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf")
        && let [Value::Object(one), Value::Object(null)] = choices.as_slice()
        && null.get("type").is_some_and(|t| t == "null")
    {
        let one = one.clone();
        schema.remove("anyOf");
        one.into_iter().for_each(|(key, value)| {
            schema.insert(key, value);
        });
    }
}

/// A pipeline: where records come from, what happens to them, where results go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Version of the manifest's form; 1 is the only one.
    #[schemars(range(min = 1, max = 1))]
    pub version: Option<u32>,
    /// Name of the pipeline: the consumer group, the prefix of internal topics, the folder of its state.
    pub pipeline: Name,
    /// What becomes visible after a failure. Local mode is exactly-once always.
    pub guarantee: Option<Guarantee>,
    /// Properties of the Kafka client, as librdkafka names them; `${NAME}` takes a value from the environment.
    pub kafka: Option<Kafka>,
    /// Public keys, as `millstream sign --new-key` prints them: a version of a function is taken only where one of them has signed it.
    /// Without it whoever may deploy is trusted.
    pub trust: Option<Vec<KeyText>>,
    /// A topic for the lines that functions write; without it they are in the hosts' own logs alone.
    pub logs: Option<Logs>,
    /// For how long the component of an earlier version is kept that nothing needs any more; then nobody can go back to it. Default `7d`.
    pub keep_components: Option<DurationText>,
    /// How internal topics (repartition topics and changelogs) are made at the brokers.
    pub internal_topics: Option<InternalTopics>,
    /// The Schema Registry, for formats by it.
    pub registry: Option<Registry>,
    /// How often results, state and offsets are committed together. Default `100ms`.
    pub commit_interval: Option<DurationText>,
    /// How long tasks that read several topics wait for one of which nothing is here, so that records come in the order of their
    /// times: `0`, for what is there already; a duration, that much longer; `none`, not at all. Default `0`.
    pub max_idle: Option<MaxIdle>,
    /// Settings of local mode, where the host keeps the topics itself.
    pub local: Option<Local>,
    /// Functions: WebAssembly components, by the names that steps use.
    #[serde(default)]
    pub functions: Named<Function>,
    /// Where records come from.
    pub sources: Named<Source>,
    /// What happens to them.
    #[serde(default)]
    pub steps: Named<Step>,
    /// Where results go.
    #[serde(default)]
    pub sinks: Named<Sink>,
}

/// Entries by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Named<T>(pub BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (entry, name) = (generator.subschema_for::<T>(), generator.subschema_for::<Name>());
        json_schema!({ "type": "object", "additionalProperties": entry, "propertyNames": name })
    }
}

/// A text of a form that the schema checks.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident($title:literal, $pattern:expr $(, $key:literal = $value:expr)*);)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Text").into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $title, "pattern": $pattern $(, $key: $value)* })
            }
        }
    )+ };
}

texts! {
    /// A name of a function, source, step, sink or output.
    Name("a name: letters, digits, `_` and `-`, at most 100", "^[A-Za-z0-9_][A-Za-z0-9_-]*$", "maxLength" = NAME_CHARACTERS_MAX);
    /// A name in `from`.
    Reference("the name of a source or step, or `step.output`", "^[A-Za-z0-9_][A-Za-z0-9_-]*([.][A-Za-z0-9_][A-Za-z0-9_-]*)?$");
    /// A topic's name, by Kafka's rules.
    TopicName("a topic's name: 1 to 249 letters, digits, `.`, `_` and `-`", "^[A-Za-z0-9._-]{1,249}$");
    /// A span of time.
    DurationText("a duration: a whole number and a unit, such as `250ms`, `10s`, `5m`, `2h`, `1d`", "^[0-9]+(ms|s|m|h|d)$");
    /// `idle`.
    IdleText("a duration such as `10s`, or `never`", "^([0-9]+(ms|s|m|h|d)|never)$");
    /// An amount of memory or storage.
    SizeText("a size: a whole number and a unit, such as `512B`, `64KiB`, `10MiB`, `2GiB`", "^[0-9]+(B|KiB|MiB|GiB|TiB)$");
    /// A time zone's name.
    ZoneText("the name of a time zone, such as `Europe/Berlin`", "^[A-Za-z0-9_+/-]{1,64}$");
    /// A public key.
    KeyText("a public key, as `millstream sign --new-key` prints it", "^ed25519:[A-Za-z0-9+/]{43}=$");
    /// A path to a component.
    PathText("a path to a file, relative to the manifest's folder", "^.+$");
}

/// What becomes visible after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`exactly-once` or `at-least-once`")]
pub enum Guarantee {
    /// Results, state and offsets together, once or not at all.
    #[default]
    ExactlyOnce,
    /// Nothing is lost; results may come twice after a failure.
    AtLeastOnce,
}

/// Properties of the Kafka client.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Kafka(pub BTreeMap<String, Value>);

impl JsonSchema for Kafka {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kafka".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value =
            json_schema!({ "type": ["string", "number", "boolean"], "title": "a text, a number, `true` or `false`" });
        json_schema!({ "type": "object", "title": "properties by name", "additionalProperties": value })
    }
}

/// How internal topics are made at the brokers. Those that are there already must serve.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InternalTopics {
    /// Replicas of each partition. Default: the brokers' (`default.replication.factor`).
    #[schemars(range(min = 1, max = 100))]
    pub replication: Option<i16>,
    /// Replicas that have a record before it counts as written. Default: the brokers' (`min.insync.replicas`).
    #[schemars(range(min = 1, max = 100))]
    pub min_isr: Option<u16>,
    /// Other settings, as brokers name them. What the host sets itself (clean-up, retention, timestamps) stays.
    pub settings: Option<Map<String, Value>>,
}

/// Settings of local mode.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Local {
    /// What a commit survives. Default `process`.
    pub durability: Option<Durability>,
    /// How much of the topics is kept. Default: everything.
    pub retention: Option<Retention>,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`process` or `device`")]
pub enum Durability {
    /// The death of the process. A power cut may take back the last seconds, all of it together: never a part of a commit.
    Process,
    /// A power cut as well: each commit waits for the device.
    Device,
}

/// How much of each partition of the user's topics is kept; what is older or beyond goes. Both may be given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retention {
    /// How long records are kept, by their timestamps.
    pub time: Option<DurationText>,
    /// How many bytes of each partition are kept.
    pub bytes: Option<SizeText>,
}

/// A function: a WebAssembly component and what it may use.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Function {
    /// The component's file, relative to the manifest's folder.
    pub component: PathText,
    /// Which function of the file, where it holds several.
    pub function: Option<Name>,
    /// Settings that the function reads when it starts.
    pub config: Option<Map<String, Value>>,
    /// What a call may use.
    pub limits: Option<Limits>,
    /// What it may learn of the machine.
    pub grants: Option<Grants>,
}

/// Where lines of functions go, besides the hosts' own logs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Logs {
    /// The topic; all lines go to its first partition.
    pub topic: TopicName,
    /// The least important lines that are sent. Default `info`.
    pub level: Option<Level>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`trace`, `debug`, `info`, `warn` or `error`")]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    #[default]
    Info,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Error,
}

/// What a function may learn of the machine it runs on; nothing by default.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    /// The machine's clock. Without it the time that WASI tells stands still.
    pub clock: Option<Clock>,
    /// The machine's random numbers. Without them those of WASI are the same in each call.
    pub random: Option<bool>,
    /// Names of variables of the host's environment.
    pub env: Option<Vec<String>>,
}

/// A clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`wall`")]
pub enum Clock {
    /// What time it is.
    Wall,
}

/// What a function may use.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Memory of an instance. Default `64MiB`.
    pub memory: Option<SizeText>,
    /// CPU time of a call, besides what each record adds. Default `200ms`.
    pub time_per_call: Option<DurationText>,
    /// Bytes that a call may return.
    pub result_bytes: Option<SizeText>,
}

/// One, or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several, in order.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "title": "a name or a list of names", "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

/// Where records come from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// The topic read, or a list of topics.
    pub topic: OneOrMany<TopicName>,
    /// Where the first run begins. Default `earliest`.
    pub start: Option<Start>,
    /// What the topic holds; functions get JSON. Default: bytes, as they are.
    pub format: Option<Formats>,
    /// A function of whose answers the timestamps are event time. Default: the timestamps that the records have.
    pub timestamp: Option<Name>,
    /// What becomes of a record that cannot be taken. Default `fail`.
    pub on_error: Option<OnError>,
    /// Partitions of the topic, where local mode makes it. Default 1.
    #[schemars(range(min = 1, max = PARTITIONS_MAX))]
    pub partitions: Option<u32>,
}

/// Where a source's first run begins.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`earliest`, `latest`, `{ time: 2024-05-01T12:00:00Z }` or `{ ago: 2h }`")]
pub enum Start {
    /// With the oldest record that is kept.
    Earliest,
    /// With the next record written.
    Latest,
    /// With the first record at or after a time: RFC 3339, or milliseconds since 1970.
    Time(TimeText),
    /// With the first record at or after this long ago.
    Ago(DurationText),
}

/// A point in time.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TimeText {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Milliseconds(i64),
    /// RFC 3339.
    Text(String),
}

impl JsonSchema for TimeText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let title = "a time such as `2024-05-01T12:00:00Z`, or milliseconds since 1970";
        json_schema!({ "type": ["string", "integer"], "title": title, "minimum": 0, "maximum": TIME_MS_MAX })
    }
}

/// How long a task waits for one of several inputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum MaxIdle {
    /// `0`, without a unit.
    Milliseconds(i64),
    /// A duration, or `none`.
    Text(String),
}

impl JsonSchema for MaxIdle {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MaxIdle".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (title, pattern) = ("`0`, a duration such as `5s`, or `none`", "^([0-9]+(ms|s|m|h|d)|none)$");
        json_schema!({ "type": ["string", "integer"], "title": title, "pattern": pattern, "minimum": 0, "maximum": 0 })
    }
}

/// What becomes of a record that cannot be handled.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`fail`, `skip` or `{ dead-letter: TOPIC }`")]
pub enum OnError {
    /// The task stops with the reason.
    Fail,
    /// The record is dropped and counted.
    Skip,
    /// The original record goes to this topic, with headers that say why.
    DeadLetter(TopicName),
}

/// One step; it has exactly one operator.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = one_of(&OPERATORS)))]
#[schemars(extend("dependentRequired" = beside()))]
pub struct Step {
    /// What it reads: a source, a step, a named output of one (`step.output`), or a list of them. Every operator needs it, but for
    /// `cogroup`, which names its inputs itself.
    pub from: Option<OneOrMany<Reference>>,
    /// Keeps the records for which the function says so.
    pub filter: Option<Name>,
    /// Drops the records for which the function says so.
    pub filter_not: Option<Name>,
    /// A function from a record to a record or nothing; anything may change.
    pub map: Option<Name>,
    /// As `map`, but the key stays, so no repartition follows.
    pub map_values: Option<Name>,
    /// A function from a record to any number of records; anything may change.
    pub flat_map: Option<Name>,
    /// As `flat-map`, but the key stays.
    pub flat_map_values: Option<Name>,
    /// A function of whose answer only the key is used.
    pub select_key: Option<Name>,
    /// A function that says to which of the `outputs` a record goes.
    pub branch: Option<Name>,
    /// Several streams into one: `from` is a list.
    #[serde(default, deserialize_with = "present")]
    pub merge: Option<Nothing>,
    /// Shows each record to a function and ignores its answer.
    pub peek: Option<Name>,
    /// Goes through a repartition topic, changed key or not.
    #[serde(default, deserialize_with = "present")]
    pub repartition: Option<Nothing>,
    /// Counts the records of each group; built in.
    #[serde(default, deserialize_with = "present")]
    pub count: Option<Count>,
    /// Folds the values of each group: the first is the state, the function adds the rest.
    pub reduce: Option<Name>,
    /// Folds the records of each group with a function, from an empty state.
    pub aggregate: Option<Name>,
    /// As `aggregate`, with a result after each record, by the function's `scanner`.
    pub scan: Option<Name>,
    /// Several inputs into one state of each key: inputs by name, each with the function that adds its records.
    pub cogroup: Option<Cogroup>,
    /// The function of a `cogroup` that makes results of states, and merges them. Default: that of the first input.
    pub finish: Option<Name>,
    /// Lets the first of records with one id through, and drops the others that are near in time.
    pub deduplicate: Option<Deduplicate>,
    /// Reads records as the latest value of each key: a null value removes the row. With `history` rows can be looked up as they were.
    #[serde(default, deserialize_with = "present")]
    pub table: Option<Table>,
    /// Reads a source as the latest value of each key, whole, on every host, for joins that look rows up by `key`.
    #[serde(default, deserialize_with = "present")]
    pub global_table: Option<Nothing>,
    /// Gives the rows of a table other keys and values, for a `count`, `reduce` or `aggregate` over it.
    pub group_by: Option<Name>,
    /// Joins with this step, which makes a table or a global table, or, `within` a time, with this stream; `from` is the left side.
    pub join: Option<Reference>,
    /// How near in time records of two streams are that a `join` brings together.
    pub within: Option<Within>,
    /// How long after its window's end a record of a `join` of two streams still meets others. Default `0ms`, with a warning. Of a stream with
    /// a table that has `history`: how long each record waits for the table. Default: it does not wait.
    pub grace: Option<DurationText>,
    /// What becomes of what has no partner in a `join`. Default `inner`.
    #[serde(rename = "type")]
    pub join_type: Option<JoinType>,
    /// The function of a `join`, which makes a value of two. Without it, two streams give `{"left": …, "right": …}`.
    pub with: Option<Name>,
    /// Of a `join` of two tables by foreign key, or with a global table: a function whose answer's key is that of the row that it is
    /// joined with.
    pub key: Option<Name>,
    /// A function with stores, timers and named outputs.
    pub process: Option<Name>,
    /// A processor's stores by the names that its function opens them by.
    pub stores: Option<Named<Store>>,
    /// By what `count`, `reduce`, `aggregate` and `scan` group: `key`.
    pub group: Option<Group>,
    /// Windows of event time that groups are cut into. Without it a group lasts for ever.
    pub window: Option<Window>,
    /// When results come out. Default `on-update`.
    pub emit: Option<Emit>,
    /// Every update comes out, also those that another follows before the commit. Default `false`.
    pub emit_every_update: Option<bool>,
    /// Topic for records that fall only in closed windows. Without it they are dropped and counted.
    pub late: Option<TopicName>,
    /// How long an upstream task may be silent before it no longer holds windows open. Default `10s`.
    pub idle: Option<IdleText>,
    /// By whose time a record is late, behind a repartition topic. Default `own-task`.
    pub lateness: Option<Lateness>,
    /// How long the others of several inputs are waited for. Default: as the pipeline says.
    pub max_idle: Option<MaxIdle>,
    /// Partitions of the repartition topic. Default: the largest of the sources before it.
    #[schemars(range(min = 1, max = PARTITIONS_MAX))]
    pub partitions: Option<u32>,
    /// Names of the outputs of a branch or a processor, in the order of the function's answers.
    pub outputs: Option<Vec<Name>>,
    /// Name of one more output of a branch, for records that match none. Without it they are dropped.
    pub otherwise: Option<Name>,
    /// What becomes of a record that the function cannot handle. Default `fail`.
    pub on_error: Option<OnError>,
}

/// What becomes of what has no partner in a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`inner`, `left` or `outer`")]
pub enum JoinType {
    /// It has no result.
    Inner,
    /// What stands on the left is joined with nothing.
    Left,
    /// What stands on either side is joined with nothing; of two tables or two streams only.
    Outer,
}

/// Which records are duplicates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deduplicate {
    /// What tells records apart: `key`, or a mapper, the key of whose result tells records of one key apart. Default `key`.
    pub by: Option<Name>,
    /// How far apart in event time records with one id are duplicates at the most.
    pub within: DurationText,
    /// How far behind the step's time a record may be, and is judged all the same; what is further behind is late. Default: as `within`.
    pub grace: Option<DurationText>,
}

/// Inputs of a cogroup, each with its function.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Cogroup(pub BTreeMap<String, Name>);

impl JsonSchema for Cogroup {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cogroup".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (function, input) = (generator.subschema_for::<Name>(), generator.subschema_for::<Reference>());
        json_schema!({
            "type": "object", "title": "inputs with their functions: `{ orders: add-order, payments: add-payment }`",
            "additionalProperties": function, "propertyNames": input, "minProperties": 1
        })
    }
}

/// A store of a processor.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    /// How long an entry is kept after it was written last, by the step's time. Default: for ever.
    pub ttl: Option<DurationText>,
}

/// What a field of a step needs beside it. Every operator says what it reads, but for a cogroup, which names its inputs itself.
fn beside() -> Value {
    let mut fields = serde_json::json!({
        "count": ["group"], "reduce": ["group"], "aggregate": ["group"], "scan": ["group"], "finish": ["cogroup"],
        "branch": ["outputs"], "otherwise": ["branch"], "stores": ["process"],
        "with": ["join"], "type": ["join"], "key": ["join", "with"], "within": ["join"], "grace": ["join"]
    });
    for operator in OPERATORS.iter().filter(|operator| **operator != "cogroup") {
        match fields[*operator].as_array_mut() {
            Some(others) => others.push("from".into()),
            None => fields[*operator] = serde_json::json!(["from"]),
        }
    }
    fields
}

/// Exactly one of these fields is there.
fn one_of(fields: &[&str]) -> Value {
    fields.iter().map(|field| serde_json::json!({ "required": [field] })).collect()
}

/// A field that is there even when it is `null`.
fn present<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

/// The value of an operator that takes none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl JsonSchema for Nothing {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nothing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "null"], "x-null": true, "title": "`{}`: it takes nothing", "maxProperties": 0 })
    }
}

/// How the built-in count is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Count {
    /// The form of the number.
    pub format: Option<CountFormat>,
}

impl JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let format = generator.subschema_for::<CountFormat>();
        json_schema!({
            "type": ["object", "null"], "x-null": true, "title": "`{}` or `{ format: text }`",
            "properties": { "format": format }, "additionalProperties": false
        })
    }
}

/// The form of a count.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`long` or `text`")]
pub enum CountFormat {
    /// Eight bytes, big-endian and signed, as Kafka's LongSerializer writes them.
    Long,
    /// Decimal digits.
    Text,
}

/// By what records are grouped.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`key`: to group by something else, make it the key first (`select-key`)")]
pub enum Group {
    /// By their key.
    Key,
}

/// When results come out.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`on-update` or `on-close`")]
pub enum Emit {
    /// At each update; the last for each key and window in a commit interval.
    OnUpdate,
    /// Once, when the window closes.
    OnClose,
}

/// By whose time a record is late.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`own-task` or `kafka-streams`")]
pub enum Lateness {
    /// By the stream time of its own upstream task; windows close by the smallest.
    OwnTask,
    /// By the stream time that the reader has seen, whatever the interleaving.
    KafkaStreams,
}
