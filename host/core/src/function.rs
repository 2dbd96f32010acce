//! The port to user functions: what the engine asks of WebAssembly, without knowing it.
//!
//! Calls are synchronous and carry columns. Results arrive with well-formed columns (see
//! [`BytesColumn::from_parts`]); that their counts fit the call is checked by the engine, for every implementation.

use alloc::string::String;
use alloc::vec::Vec;

use crate::operator::stateless::Takes;
use crate::poll::Polled;
use crate::record::{BytesColumn, HeaderColumns, Timestamp};
use crate::task::TaskId;

/// A prepared version of a function, as the worker's shell numbers them. The same number means the same component and
/// settings for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prepared(pub u32);

/// The interfaces of the contract that a component may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Names several functions in one file, takes settings.
    Lifecycle,
    /// Keep or drop.
    Filter,
    /// 0..n records for each record.
    Mapper,
    /// Topic and partition of results.
    Router,
    /// Folds records into states.
    Aggregator,
    /// Takes records out of states.
    Retractor,
    /// Every intermediate result.
    Scanner,
    /// Two states become one.
    Merger,
    /// Layouts of stored states.
    Migrator,
    /// A value from a left and a right record.
    Joiner,
    /// Stores, timers, named outputs.
    Processor,
    /// Timers that are due.
    OnTimer,
}

/// Records as a call sees them; all columns have the same length.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// Keys; null is allowed.
    pub keys: &'a BytesColumn,
    /// Values; null is allowed.
    pub values: &'a BytesColumn,
    /// Event times.
    pub timestamps: &'a [Timestamp],
}

/// Facts about the call in progress, handed out through the imported `context` interface on demand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Headers of the records; `None` when no record has any.
    pub headers: Option<&'a HeaderColumns>,
    /// The step's stream time once each record is in; empty where the function does not import it.
    pub stream_times: &'a [Timestamp],
    /// Start and end of the window of each record's key; `None` where keys have no window.
    pub windows: Option<(&'a [Timestamp], &'a [Timestamp])>,
    /// Which of the step's inputs each record came from; `None` when there is only one.
    pub inputs: Option<&'a [u32]>,
    /// Not for the function, for whoever watches calls: which row of what the task has read ([`Functions::reads`]) each record came
    /// from, as [`crate::flow::Flow::rows`].
    pub rows: Option<&'a [u32]>,
    /// Not for the function either: what the step takes of a mapper's or a processor's results.
    pub takes: Option<Takes>,
    /// Nor this: of a processor, the time by which its timers of event time are due, once each record is in; else empty.
    pub closing: &'a [Timestamp],
}

/// A record a function will not handle, by its place in what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Place in the call's records, or in `members` for folds.
    pub index: u32,
    /// The function's own words.
    pub reason: String,
}

/// A filter's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bit i is 1: record i is kept.
    pub bits: Vec<u8>,
    /// Records refused.
    pub rejected: Vec<Rejection>,
}

/// A mapper's answer: 0..n records for each record taken. Field by field as the contract's `output`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// How many of the records were dealt with, at least 1.
    pub taken: u32,
    /// Which record each result came from, never falling; `None`: one result for each record taken.
    pub sources: Option<Vec<u32>>,
    /// To which named output each result goes; `None`: all to the first.
    pub ports: Option<Vec<u32>>,
    /// `None`: as in the source record.
    pub keys: Option<BytesColumn>,
    /// `None`: as in the source record.
    pub values: Option<BytesColumn>,
    /// `None`: as in the source record.
    pub timestamps: Option<Vec<Timestamp>>,
    /// `None`: as in the source record.
    pub headers: Option<HeaderColumns>,
    /// Records refused; when not empty, `sources` is given.
    pub rejected: Vec<Rejection>,
}

/// A router's answer: an item for each record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// Names of topics; null: the sink's own.
    pub topics: BytesColumn,
    /// Their partitions; `None`: murmur2 of the key.
    pub partitions: Option<Vec<u32>>,
    /// Records refused.
    pub rejected: Vec<Rejection>,
}

/// Some groups, and which records fall into each. Field by field as the contract's `groups`.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    /// One key for each group.
    pub keys: &'a BytesColumn,
    /// Window starts; empty when there is no window.
    pub starts: &'a [Timestamp],
    /// Window ends; empty when there is no window.
    pub ends: &'a [Timestamp],
    /// Null: nothing was stored for this group.
    pub states: &'a BytesColumn,
    /// Group g owns `members[offsets[g]..offsets[g+1]]`.
    pub offsets: &'a [u32],
    /// Indexes of records, in their order.
    pub members: &'a [u32],
}

/// What a fold left in each group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// One for each group; null removes the group.
    pub states: BytesColumn,
    /// By place in `members`.
    pub rejected: Vec<Rejection>,
}

/// What each record of a scan left, besides the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// One for each group; null removes the group.
    pub states: BytesColumn,
    /// One for each entry of `members`; null: nothing leaves after that record.
    pub values: BytesColumn,
    /// By place in `members`.
    pub rejected: Vec<Rejection>,
}

/// A joiner's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// One for each pair; null: the function says that there is no value.
    pub values: BytesColumn,
    /// Pairs refused.
    pub rejected: Vec<Rejection>,
}

/// What time a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerClock {
    /// Stream time of the step; closing time behind a repartition topic.
    EventTime,
    /// The worker's wall clock.
    WallClock,
}

/// The call cannot go on: end it with a trap. Why is known to whoever said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Something is wrong, with what was asked or with the host.
    #[error("the call was ended by its host")]
    Ended,
    /// Nothing is wrong: the call does not count, and is made again.
    #[error("the call was ended by its host, to be made again")]
    Again,
}

/// Where a processor is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'h> {
    /// Partition of the task.
    pub partition: u32,
    /// The step's name.
    pub step: &'h str,
    /// Names of the step's stores, by their numbers.
    pub stores: Vec<&'h str>,
}

/// What a processor asks of its host in the middle of a call: the step's stores and its timers, those of the task at hand.
/// What is written here counts when the call succeeds.
pub trait Hosted {
    /// Not for the function, for whoever watches calls: where it is called.
    fn place(&self) -> Place<'_>;
    /// Number of a store that the manifest gives to the step.
    fn store(&self, name: &str) -> Option<u32>;
    /// Values of keys; null where there is none.
    ///
    /// # Errors
    /// [`Stop`]: a number that [`Hosted::store`] did not give, a null among the keys, a limit, the database.
    fn get(&mut self, store: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop>;
    /// Sets as many keys as there are values; a null value removes the key.
    ///
    /// # Errors
    /// As for [`Hosted::get`]; counts that differ.
    fn put(&mut self, store: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop>;
    /// Keys and values with `start` <= key < `end` in key order; an empty `end` is no bound; at most `limit` of them.
    ///
    /// # Errors
    /// As for [`Hosted::get`].
    fn range(&mut self, store: u32, start: &[u8], end: &[u8], limit: u32) -> Result<(BytesColumn, BytesColumn), Stop>;
    /// Sets a timer of this name for each key, moving those that are set already. A null key: the task's.
    ///
    /// # Errors
    /// [`Stop`]: counts that differ, a limit, the database, a function that does not export `on-timer`.
    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop>;
    /// Removes the timers of this name of these keys, where they are.
    ///
    /// # Errors
    /// As for [`Hosted::set`].
    fn cancel(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop>;
}

/// Why a call gave no usable answer. The receiver isolates the poisoned record; only `Unavailable` is the host's matter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped.
    #[error("trapped: {message}")]
    Trap {
        /// What happened, in wasmtime's words, with the guest's backtrace where there is one.
        message: String,
    },
    /// The CPU time or the wall time of the call is used up.
    #[error("took longer than its limit of {limit_ms} ms")]
    TimedOut {
        /// The limit that was passed, milliseconds.
        limit_ms: u64,
    },
    /// The guest asked for more memory, or larger tables, than its limit.
    #[error("asked for more than its limit of {what}")]
    OutOfMemory {
        /// Which limit, with its number and unit.
        what: String,
    },
    /// The answer breaks a rule of the contract.
    #[error("gave a result that breaks the contract: {what}")]
    BadResult {
        /// Which rule.
        what: String,
    },
    /// The guest answered the whole call with an error.
    #[error("refused the batch: {message}")]
    Refused {
        /// The guest's own words.
        message: String,
    },
    /// No instance could be had; says nothing about the records.
    #[error("could not be run: {message}")]
    Unavailable {
        /// Why.
        message: String,
    },
}

/// What an answer looks like: a value, or a fault.
pub type Answer<T> = Result<T, Fault>;

/// The functions of one worker. An implementation keeps an instance for each prepared version, reuses it from call to
/// call, and replaces it after a trap.
pub trait Functions {
    /// The calls from here on are about these records of a task. For whoever watches them.
    fn reads(&mut self, _task: TaskId, _polled: &Polled) {}
    /// How many calls of processors were made so far. For whoever watches them, as the two that follow.
    fn calls_made(&self) -> u64 {
        0
    }
    /// All that calls of processors did that came after the first `first` of them is taken back: their records and timers will be
    /// given again, in other cuts.
    fn calls_taken_back(&mut self, _first: u64) {}
    /// None of the calls so far will be taken back any more.
    fn calls_stand(&mut self) {}

    /// Whether this version reads `context.stream-times`, which cost something to keep.
    fn wants_stream_times(&self, function: Prepared) -> bool;
    /// Whether this version exports an interface.
    fn exports(&self, function: Prepared, interface: Interface) -> bool;
    /// Layout number that this version writes (see the contract's `migrator`); 0 without one.
    fn layout(&self, function: Prepared) -> u32;
    /// The version that turns states that are stored in this layout into that of this version; `None`: none does. It may be this one itself, or a
    /// later one that is gone back from.
    fn migrator(&self, function: Prepared, _stored: u32) -> Option<Prepared> {
        self.exports(function, Interface::Migrator).then_some(function)
    }
    /// Whether states of any other layout can be turned into that of this version.
    fn migrates(&self, function: Prepared) -> bool {
        self.exports(function, Interface::Migrator)
    }
    /// Drops the instance, so that the next call gets a fresh one.
    fn renew(&mut self, function: Prepared);
    /// Multiplies the time limit of the next call only (a time-out is confirmed with twice the limit).
    fn stretch(&mut self, function: Prepared, factor: u32);
    /// By what the time limit of the next call is multiplied: for a call that is made again though nothing is wrong with it.
    fn stretched(&self, function: Prepared) -> u32;

    /// `filter.keep`.
    fn keep(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Kept>;
    /// `mapper.apply`.
    fn apply(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output>;
    /// `router.route`.
    fn route(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Routed>;
    /// `aggregator.add`.
    fn add(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded>;
    /// `aggregator.finish`.
    fn finish(&mut self, function: Prepared, of: Groups<'_>) -> Answer<BytesColumn>;
    /// `retractor.remove`.
    fn remove(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        from: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded>;
    /// `scanner.scan`.
    fn scan(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Scanned>;
    /// `merger.merge`.
    fn merge(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<BytesColumn>;
    /// `migrator.migrate`; `store` is empty for an aggregate's states.
    fn migrate(
        &mut self,
        function: Prepared,
        store: &str,
        old: u32,
        new: u32,
        keys: &BytesColumn,
        states: &BytesColumn,
    ) -> Answer<BytesColumn>;
    /// `joiner.join`; a null on one side stands for what is missing there.
    fn join(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<Joined>;
    /// `processor.process`.
    fn process(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output>;
    /// `on-timer.fire`: `due` are timers, each with its key, its name as value and its due time.
    fn fire(
        &mut self,
        function: Prepared,
        clock: TimerClock,
        due: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output>;
}
