//! Cases of a function: what it is given and what it must answer, written as YAML, so that a function in any language is
//! tested by the same file. Each case is run with several cuts, and must answer the same in all of them.
//!
//! | module | what |
//! |---|---|
//! | `read` | YAML text → cases, every error at once, each with its place |
//! | `datum` | bytes as they are written in a case, and as they are shown |
//! | `each` | filters, mappers, routers, joiners: an answer for each record |
//! | `fold` | aggregators, mergers, scanners, migrators: states |
//! | `process` | processors, in a step of their own: what leaves with each record |
//!
//! Nothing here knows WebAssembly: functions are called through the core's port.

mod datum;
mod each;
mod fold;
mod process;
pub mod read;

use std::ops::Range;

use millstream_core::function::{Context, Functions, Interface, Prepared, Records};
use millstream_core::record::{Batch, BatchBuilder};

pub use datum::Datum;

use crate::alone::Store;

/// Bytes of a file of cases at the most.
pub const CASES_BYTES_MAX: usize = 4 << 20;

/// Mismatches that are told of one case; the number of the others is told.
pub const MISMATCHES_SHOWN_MAX: usize = 10;

/// A file of cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// Which function of a file that holds several.
    pub function: Option<String>,
    /// Settings that it is started with, as the text of a JSON object; empty: none.
    pub settings: String,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it says of the function.
    pub name: String,
    /// Where it is written, bytes of the text.
    pub place: Range<usize>,
    /// Where its kind is written.
    pub kind_place: Range<usize>,
    /// Function of this case alone.
    pub function: Option<String>,
    /// Settings of this case alone.
    pub settings: Option<String>,
    /// What is asked.
    pub ask: Ask,
}

/// What a case asks of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Records by themselves, of the interface named: filter, mapper, router or joiner.
    Each(Interface, Vec<Item>),
    /// Folds.
    Aggregate(Vec<Fold>),
    /// Two folds that become one.
    Merge(Vec<Merge>),
    /// Folds of which every intermediate result leaves.
    Scan(Vec<Fold>),
    /// States of another layout.
    Migrate(Vec<Migrate>),
    /// Records that go through a step with stores and timers.
    Process(Vec<Process>),
    /// Whether it starts; the text is part of why not.
    Start(Option<String>),
}

/// Records for a processor, from empty stores on.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Where it is written.
    pub place: Range<usize>,
    /// Its stores, as a manifest has them.
    pub stores: Vec<Store>,
    /// How many outputs it has.
    pub outputs: u32,
    /// The records; what leaves with each is what it and the timers before it give.
    pub records: Vec<Item>,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Its key.
    pub key: Datum,
    /// Its value; of a joiner the left one.
    pub value: Datum,
    /// Event time, milliseconds.
    pub timestamp: i64,
    /// Names and values.
    pub headers: Vec<(String, Datum)>,
}

/// A record and what must become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it is written.
    pub place: Range<usize>,
    /// The record.
    pub record: Record,
    /// Of a joiner the right value.
    pub right: Datum,
    /// Largest event time of the case's records up to this one.
    pub stream_time: i64,
    /// What must become of it.
    pub expect: Expect,
}

/// What must become of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// A fold takes it.
    Taken,
    /// A filter keeps it, or not.
    Keep(bool),
    /// A mapper makes these of it.
    Into(Vec<Made>),
    /// A router sends it to a topic (null: the sink's own) and a partition (`None`: that of its key).
    Route(Datum, Option<u32>),
    /// A joiner or a scanner gives this value.
    Value(Datum),
    /// It is rejected, for a reason that contains this.
    Rejected(String),
    /// A call with this record fails, in words that contain this.
    Fails(String),
}

/// A record that a mapper makes; what is `None` must be as in the record that it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Its key.
    pub key: Option<Datum>,
    /// Its value.
    pub value: Option<Datum>,
    /// Its event time.
    pub timestamp: Option<i64>,
    /// Its headers, in order.
    pub headers: Option<Vec<(String, Datum)>>,
    /// Number of the output of a branch.
    pub output: u32,
}

/// One group of an aggregator or a scanner.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Where it is written.
    pub place: Range<usize>,
    /// Key and window.
    pub group: Group,
    /// The state before.
    pub from_state: Datum,
    /// Records that are added or scanned.
    pub add: Vec<Item>,
    /// Records that are taken out again, after all others came in.
    pub remove: Vec<Item>,
    /// What it must come to.
    pub end: End,
}

/// Which group a state belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its key.
    pub key: Datum,
    /// Start and end of its window, milliseconds.
    pub window: Option<(i64, i64)>,
}

/// What a fold must come to; what is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// The state, exactly.
    pub state: Option<Datum>,
    /// What leaves.
    pub result: Option<Datum>,
    /// A call fails, in words that contain this.
    pub fails: Option<String>,
}

/// Two states that become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The earlier side; its `end` holds what both together must come to.
    pub left: Fold,
    /// The later side.
    pub right: Fold,
}

/// A state of another layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrate {
    /// Where it is written.
    pub place: Range<usize>,
    /// The other layout.
    pub layout: u32,
    /// Whether the state goes to that layout instead of coming from it.
    pub back: bool,
    /// A processor's store; empty for an aggregate's states.
    pub store: String,
    /// Key and window.
    pub group: Group,
    /// The state before.
    pub state: Datum,
    /// What it must become.
    pub end: End,
}

/// How records are cut into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything of a case in one call.
    Together,
    /// One record a call, all to the same instance.
    Single,
    /// One record a call, each to an instance of its own.
    Fresh,
}

impl Cut {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Cut; 3] = [Cut::Together, Cut::Single, Cut::Fresh];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Cut::Together => "all records in one call",
            Cut::Single => "one record a call",
            Cut::Fresh => "one record a call, each to a fresh instance",
        }
    }
}

/// An answer that is not the one expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where the expectation is written, bytes of the text.
    pub place: Range<usize>,
    /// How the records were cut; `None`: it has nothing to do with it.
    pub cut: Option<Cut>,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub came: String,
}

impl Case {
    /// Interfaces that the function must export.
    pub fn needs(&self) -> Vec<Interface> {
        match &self.ask {
            Ask::Each(interface, _) => vec![*interface],
            Ask::Aggregate(folds) if folds.iter().all(|fold| fold.remove.is_empty()) => vec![Interface::Aggregator],
            Ask::Aggregate(_) => vec![Interface::Aggregator, Interface::Retractor],
            Ask::Merge(_) => vec![Interface::Merger, Interface::Aggregator],
            Ask::Scan(_) => vec![Interface::Scanner],
            Ask::Migrate(all) if all.iter().all(|one| one.end.result.is_none()) => vec![Interface::Migrator],
            Ask::Migrate(_) => vec![Interface::Migrator, Interface::Aggregator],
            Ask::Process(_) => vec![Interface::Processor],
            Ask::Start(_) => Vec::new(),
        }
    }

    /// Asks a function that was started; the mismatches of the first cut that has any. Empty: it answers as it must. `others` makes
    /// functions that a step of its own can have.
    pub fn run(
        &self,
        functions: &mut dyn Functions,
        function: Prepared,
        others: &dyn Fn() -> Box<dyn Functions>,
    ) -> Vec<Mismatch> {
        for cut in Cut::ALL {
            if let Ask::Process(all) = &self.ask {
                let mismatches: Vec<_> =
                    all.iter().flat_map(|one| process::run(others(), function, cut, one)).collect();
                if !mismatches.is_empty() {
                    return mismatches;
                }
                continue;
            }
            functions.renew(function);
            let mut caller = Caller { functions, function, cut, mismatches: Vec::new() };
            match &self.ask {
                Ask::Each(interface, items) => each::run(&mut caller, *interface, items),
                Ask::Aggregate(folds) => fold::aggregate(&mut caller, folds),
                Ask::Merge(merges) => fold::merge(&mut caller, merges),
                Ask::Scan(folds) => fold::scan(&mut caller, folds),
                Ask::Migrate(all) => fold::migrate(&mut caller, all),
                Ask::Process(_) | Ask::Start(_) => {}
            }
            if !caller.mismatches.is_empty() {
                return caller.mismatches;
            }
        }
        Vec::new()
    }
}

/// A function in one run of a case.
struct Caller<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
    cut: Cut,
    mismatches: Vec<Mismatch>,
}

impl Caller<'_> {
    /// Before a call.
    fn renew(&mut self) {
        if self.cut == Cut::Fresh {
            self.functions.renew(self.function);
        }
    }

    /// How many of `items` a call takes.
    fn call_len(&self, items: usize) -> usize {
        if self.cut == Cut::Together { items.max(1) } else { 1 }
    }

    fn mismatch(&mut self, place: &Range<usize>, expected: String, came: String) {
        self.mismatches.push(Mismatch { place: place.clone(), cut: Some(self.cut), expected, came });
    }
}

/// Records as a call has them, with their stream times.
struct Given {
    batch: Batch,
    stream_times: Vec<i64>,
}

impl Given {
    fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let (mut batch, mut stream_times) = (BatchBuilder::default(), Vec::new());
        for item in items {
            let Record { key, value, timestamp, headers } = &item.record;
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.bytes()));
            batch.push(key.bytes(), value.bytes(), *timestamp, headers);
            stream_times.push(item.stream_time);
        }
        Self { batch: batch.finish(), stream_times }
    }

    fn call(&self) -> (Context<'_>, Records<'_>) {
        let Self { batch, stream_times } = self;
        let context = Context { headers: batch.headers.as_deref(), stream_times, ..Context::default() };
        (context, Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps })
    }
}

#[cfg(test)]
mod tests;
