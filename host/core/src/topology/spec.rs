//! What a user asked for: the manifest's content as plain values, names not yet resolved.
//!
//! The shell parses text into a [`Spec`]; [`super::check`] finds what is wrong with it; [`super::graph`] cuts it into
//! sub-topologies. Every named thing keeps the order of the manifest.

use alloc::string::String;
use alloc::vec::Vec;

use crate::calendar::Calendar;

/// A pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Name of the pipeline: consumer group, prefix of internal topics.
    pub pipeline: String,
    /// Functions by the names that steps use.
    pub functions: Vec<FunctionSpec>,
    /// Where records come from.
    pub sources: Vec<SourceSpec>,
    /// What happens to them.
    pub steps: Vec<StepSpec>,
    /// Where results go.
    pub sinks: Vec<SinkSpec>,
    /// How long tasks with several inputs wait, where no step says otherwise.
    pub max_idle: MaxIdle,
}

/// A user function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSpec {
    /// The name that steps use.
    pub name: String,
}

/// A source: one topic or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// The name that steps use in `from`.
    pub name: String,
    /// Topics read, in this order.
    pub topics: Vec<String>,
    /// A mapper of whose answers the timestamps are the records' event times; `None`: their own timestamps are.
    pub timestamp: Option<String>,
    /// What happens to a record that cannot be taken (a negative timestamp).
    pub on_error: OnError,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSpec {
    /// Its name.
    pub name: String,
    /// What it writes.
    pub from: Vec<From>,
    /// The topic written.
    pub topic: String,
    /// How windowed keys are written.
    pub key_format: KeyFormat,
    /// Whether `window.start` and `window.end` headers are written with formats that carry the window in the key.
    pub window_headers: bool,
    /// What happens to a result that the log refuses.
    pub on_error: OnError,
    /// The function that says to which topic a result goes, where there is one.
    pub route: Option<Route>,
}

/// A sink's router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The function.
    pub function: String,
    /// Topics that it may name beside the sink's own; of a pattern those that are there and match, which the shell knows.
    pub topics: Vec<String>,
    /// The pattern, where there is one: a name in which each `*` stands for any number of characters.
    pub pattern: Option<String>,
}

impl Route {
    /// Whether a topic's name is one that the pattern stands for.
    pub fn matches(&self, topic: &str) -> bool {
        let Some(pattern) = &self.pattern else { return false };
        let (mut pieces, mut rest) = (pattern.split('*'), topic);
        let first = pieces.next().unwrap_or_default();
        let Some(behind) = rest.strip_prefix(first) else { return false };
        rest = behind;
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// Its name; stores and internal topics are named after it.
    pub name: String,
    /// What it reads, in order.
    pub from: Vec<From>,
    /// What it does.
    pub operator: Operator,
    /// What happens to a record that its function cannot handle.
    pub on_error: OnError,
    /// Topic for records that came too late.
    pub late: Option<String>,
    /// How long an upstream task may be silent before it no longer holds windows open, for repartitioned input.
    pub idle: Idle,
    /// By whose time a record is late, for repartitioned input.
    pub lateness: Lateness,
    /// How long a task waits for the others of its inputs, where the step reads several; `None`: as the pipeline says.
    pub max_idle: Option<MaxIdle>,
}

impl Spec {
    /// Whether a step reads changes of a table: alone, and not as a stream of new values.
    pub fn reads_table(&self, step: &StepSpec) -> bool {
        // As many steps as there are: a circle ends.
        self.reads_table_within(step, self.steps.len())
    }

    fn reads_table_within(&self, step: &StepSpec, steps: usize) -> bool {
        let [from] = &step.from[..] else { return false };
        let found = self.steps.iter().find(|s| s.name == from.name && from.output.is_none());
        let Some((parent, left)) = found.zip(steps.checked_sub(1)) else { return false };
        match &parent.operator {
            Operator::Table { .. } | Operator::Regroup { .. } => true,
            Operator::Filter { .. } | Operator::Map { form: MapForm::MapValues, .. } | Operator::Join(_) => {
                self.reads_table_within(parent, left)
            }
            _ => false,
        }
    }
}

impl StepSpec {
    /// Everything that it reads: `from`, then the other side of a join.
    pub fn reads(&self) -> impl Iterator<Item = &From> {
        let other = match &self.operator {
            Operator::Join(join) => Some(&join.other),
            Operator::StreamJoin(join) => Some(&join.other),
            _ => None,
        };
        self.from.iter().chain(other)
    }
}

/// A name in `from`: a source, a step, or a branch step's named output (`step.output`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Source or step.
    pub name: String,
    /// Named output of a branch.
    pub output: Option<String>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Keeps records for which the function says so, or, negated, the others.
    Filter {
        /// The function.
        function: String,
        /// `filter-not`.
        negate: bool,
    },
    /// A function on single records; which changes it may make depends on the form.
    Map {
        /// The function.
        function: String,
        /// What it may change.
        form: MapForm,
    },
    /// To the first matching branch.
    Branch {
        /// A mapper that names the output by its port.
        function: String,
        /// Named outputs, by port.
        outputs: Vec<String>,
        /// Named output of records that match none; without it they are dropped.
        otherwise: Option<String>,
    },
    /// Several streams into one.
    Merge,
    /// Shows records to a filter and ignores its answer.
    Peek {
        /// The function.
        function: String,
    },
    /// Goes through a repartition topic, changed key or not.
    Repartition {
        /// Partitions; `None`: the largest of the sub-topology's sources.
        partitions: Option<u32>,
    },
    /// Groups by key and folds.
    Aggregate(Aggregate),
    /// Reads records as the latest value of each key.
    Table {
        /// Partitions of the repartition topic, where there is one.
        partitions: Option<u32>,
        /// For how long rows can be looked up as they were, milliseconds of the step's time, at least 0; the latest is then the one with the
        /// largest timestamp. `None`: only as they are, and the latest is the last to come.
        history_ms: Option<i64>,
    },
    /// Reads a source as the latest value of each key, whole, on every host.
    GlobalTable,
    /// Joins what the step reads with a table.
    Join(Join),
    /// Joins the stream that the step reads with another, in windows.
    StreamJoin(StreamJoin),
    /// Gives the rows of a table other keys, for an aggregate over it.
    Regroup {
        /// A mapper: key and value under which a row is grouped; no result, and it is in no group.
        function: String,
    },
    /// A function with stores, timers and named outputs.
    Process(Process),
    /// Lets the first of records with one id through.
    Deduplicate(Deduplicate),
}

/// Which records are duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplicate {
    /// A mapper: the key of its result is, together with the record's key, the id; `None`: the record's key alone.
    pub function: Option<String>,
    /// How far apart in event time records of one id are duplicates at the most, milliseconds, at least 0.
    pub within_ms: i64,
    /// How far behind the step's time a record may be to be judged, milliseconds, at least 0.
    pub grace_ms: i64,
    /// Partitions of the repartition topic, where there is one.
    pub partitions: Option<u32>,
}

/// A join of what a step reads, its left side, with a table. Where that is a table too, the result is one; with a global table what
/// the step reads is a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The right side.
    pub other: From,
    /// What becomes of rows that have no partner.
    pub kind: JoinKind,
    /// The function that makes a value of two.
    pub function: String,
    /// A mapper whose answer's key is that of the right row: a join by foreign key, or with a global table; `None`: both keys are
    /// the same.
    pub key: Option<String>,
    /// Of a stream with a table that has history: how long each record waits for the table, milliseconds of the step's time, at least 0;
    /// `None`: it does not wait.
    pub grace_ms: Option<i64>,
}

/// A join of two streams: records of a key meet whose times are near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamJoin {
    /// The right side.
    pub other: From,
    /// What becomes of records that have no partner.
    pub kind: JoinKind,
    /// The function that makes a value of two; `None`: they are put together as they are.
    pub function: Option<String>,
    /// How near.
    pub window: JoinWindow,
}

/// Which records of two streams meet: `-before <= time of the right - time of the left <= after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindow {
    /// How much earlier than the left record the right one may be, milliseconds, at least 0.
    pub before_ms: i64,
    /// How much later, milliseconds, at least 0.
    pub after_ms: i64,
    /// How long after its window's end a record still meets others, milliseconds, at least 0.
    pub grace_ms: i64,
}

/// What becomes of what has no partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinKind {
    /// It has no result.
    #[default]
    Inner,
    /// What stands on the left is joined with nothing.
    Left,
    /// What stands on either side is joined with nothing; of two tables or two streams only.
    Outer,
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The function.
    pub function: String,
    /// Its stores, in the manifest's order; that of its timers is not among them.
    pub stores: Vec<StoreSpec>,
    /// Named outputs, by port; none: one output without a name.
    pub outputs: Vec<String>,
    /// Partitions of the repartition topic, where there is one.
    pub partitions: Option<u32>,
}

/// A named store of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// The name that the function opens it by.
    pub name: String,
    /// How long an entry is kept after it was written last, milliseconds of the step's time, at least 1; `None`: for ever.
    pub ttl_ms: Option<i64>,
}

/// What a [`Operator::Map`] may change, and how many results it may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapForm {
    /// `map`: 0 or 1 result, anything may change.
    Map,
    /// `map-values`: exactly the same key, 0 or 1 result.
    MapValues,
    /// `flat-map`: 0..n results, anything may change.
    FlatMap,
    /// `flat-map-values`: 0..n results with the same key.
    FlatMapValues,
    /// `select-key`: only the key of the answer is used.
    SelectKey,
}

impl MapForm {
    /// Whether a grouping after it needs a repartition topic.
    pub fn may_change_key(self) -> bool {
        matches!(self, MapForm::Map | MapForm::FlatMap | MapForm::SelectKey)
    }

    /// Whether more than one result for a record is allowed.
    pub fn may_multiply(self) -> bool {
        matches!(self, MapForm::FlatMap | MapForm::FlatMapValues)
    }
}

/// Grouping, window, fold, and when results come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The fold.
    pub fold: Fold,
    /// The window; `None`: one group for each key, for ever.
    pub window: Option<Window>,
    /// When results come out.
    pub emit: Emit,
    /// Turns off the compaction of updates within an interval.
    pub emit_every_update: bool,
    /// Partitions of the repartition topic, where there is one.
    pub partitions: Option<u32>,
}

/// How records become a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Built in.
    Count(CountFormat),
    /// The first value is the state, `add` does the rest, no `finish`.
    Reduce {
        /// The function.
        function: String,
    },
    /// `add` and `finish`, from a null state.
    Aggregate {
        /// The function.
        function: String,
    },
    /// Several inputs into one state, each with the `add` of its own function; `finish` and `merge` of one of them.
    Cogroup {
        /// Functions, one for each input of the step, in their order.
        adders: Vec<String>,
        /// The function that finishes and merges.
        finisher: String,
    },
    /// `scan`, from a null state: a result after each record, all of which come out.
    Scan {
        /// The function.
        function: String,
    },
}

impl Fold {
    /// The name of the function that finishes and merges, where there is one; but for a cogroup it is the only one.
    pub fn function(&self) -> Option<&str> {
        match self {
            Fold::Count(_) => None,
            Fold::Cogroup { finisher, .. } => Some(finisher),
            Fold::Reduce { function } | Fold::Aggregate { function } | Fold::Scan { function } => Some(function),
        }
    }
}

impl Fold {
    /// Names of the functions that add records, by input of the step.
    pub fn adders(&self) -> &[String] {
        if let Fold::Cogroup { adders, .. } = self { adders } else { &[] }
    }
}

/// How the built-in count is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountFormat {
    /// Big-endian signed 64-bit, as Kafka's LongSerializer.
    #[default]
    Long,
    /// Decimal digits.
    Text,
}

/// Which records of a key belong together, by their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The form of the windows.
    pub form: WindowForm,
    /// How long after its end a window takes records, milliseconds, at least 0.
    pub grace_ms: i64,
}

/// The form of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowForm {
    /// `[start, start + size)`, with starts at the multiples of the advance; tumbling is hopping with both the same.
    Hopping {
        /// Length, milliseconds, at least 1.
        size_ms: i64,
        /// Distance of starts, milliseconds, `1..=size_ms`.
        advance_ms: i64,
    },
    /// From each multiple of the size one window to each step: `[start, start + step)`, `[start, start + 2 * step)`, and so
    /// on to `[start, start + size)`.
    Cumulating {
        /// Length of the longest, milliseconds, a multiple of the step.
        size_ms: i64,
        /// By how much each is longer than the one before, milliseconds, at least 1.
        step_ms: i64,
    },
    /// `[first, last]` of records none of which is further than the gap from the next.
    Session {
        /// The largest distance within a session, milliseconds, at least 1.
        gap_ms: i64,
    },
    /// `[t - difference, t]` of each record's time `t`, and `[t + 1, t + 1 + difference]`, where those hold a record.
    Sliding {
        /// The largest distance of two records in one window, milliseconds, at least 0.
        difference_ms: i64,
    },
    /// Side by side between given boundaries: days, weeks, months of a time zone.
    Calendar(&'static Calendar),
    /// Hopping windows that are put together from panes, so that a record is folded once: for a count, and for functions that
    /// can merge states.
    Panes {
        /// Length, milliseconds, at least 1.
        size_ms: i64,
        /// Distance of starts, milliseconds, `1..=size_ms`.
        advance_ms: i64,
    },
}

impl WindowForm {
    /// Whether states of one key are merged, so that a function needs the interface for it.
    pub fn merges(self) -> bool {
        matches!(self, WindowForm::Session { .. } | WindowForm::Sliding { .. } | WindowForm::Panes { .. })
    }
}

/// When results come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// At each update; within an interval only the last for each key and window.
    #[default]
    OnUpdate,
    /// Once, when the window closes.
    OnClose,
}

/// What happens to a record that cannot be handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The task stops with the reason.
    #[default]
    Fail,
    /// The record is dropped and counted.
    Skip,
    /// The original record goes to this topic, with headers that say why.
    DeadLetter(String),
}

/// How long an upstream task may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Milliseconds.
    After(i64),
    /// It holds windows open for ever.
    Never,
}

/// Milliseconds of silence after which an upstream task no longer holds windows open, unless the manifest says otherwise.
pub const IDLE_DEFAULT_MS: i64 = 10_000;

impl Default for Idle {
    fn default() -> Self {
        Idle::After(IDLE_DEFAULT_MS)
    }
}

/// How long a task with several inputs waits for one of which nothing is here, so that records come in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaxIdle {
    /// Not at all: what is here is taken.
    No,
    /// For what its topic holds and was not fetched yet, and once that is all here so many milliseconds more.
    After(i64),
}

impl Default for MaxIdle {
    fn default() -> Self {
        MaxIdle::After(0)
    }
}

/// By whose time a record is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lateness {
    /// By its own upstream task's stream time; windows close by the smallest.
    #[default]
    OwnTask,
    /// By the stream time the reader has seen, whatever the interleaving.
    KafkaStreams,
}

/// How windowed keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// Key bytes, then the start as a big-endian signed 64-bit; of a session the end before it.
    #[default]
    Kafka,
    /// `{"key": …, "start": …, "end": …}`.
    Json,
    /// Key bytes alone, bounds in the headers `window.start` and `window.end`.
    Plain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_also_for_none() {
        let matches = |pattern: &str, topic: &str| {
            Route { function: String::new(), topics: Vec::new(), pattern: Some(pattern.into()) }.matches(topic)
        };
        for (pattern, yes, no) in [
            ("a-*", &["a-", "a-b", "a-*"][..], &["a", "b-a-"][..]),
            ("*-a", &["-a", "b-a", "-a-a"], &["a", "-a-"]),
            ("a*b*c", &["abc", "axbxc", "abbcc", "abcbc"], &["ac", "ab", "abcd", "acb"]),
            ("ab", &["ab"], &["a", "abb"]),
            ("a*a", &["aa", "aba"], &["a"]),
        ] {
            yes.iter().for_each(|topic| assert!(matches(pattern, topic), "{pattern} {topic}"));
            no.iter().for_each(|topic| assert!(!matches(pattern, topic), "{pattern} {topic}"));
        }
        assert!(!Route::default().matches("a"), "without a pattern");
    }
}
