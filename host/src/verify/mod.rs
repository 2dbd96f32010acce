//! Does a function keep the pledge that its results depend on nothing but its records? Tried, not proved.
//!
//! The same records are given again: to the same instance, to a fresh one, in other cuts, in another order where order must
//! not matter, and for aggregators with merging instead of folding, and taken out again. Whatever differs is hidden state,
//! randomness, or a result that depends on how records were cut into calls; the engine promises none of these to anybody.
//! Nothing here knows WebAssembly: functions are called through the core's port.

mod fold;
mod migrate;
pub mod process;
mod scan;
mod single;

use std::collections::BTreeMap;
use std::fmt;

use millstream_core::function::{Answer, Context, Fault, Functions, Interface, Prepared, Records};
use millstream_core::record::{Batch, BytesColumn};

pub use migrate::Ways;

/// Records of a call in the first run, with which the others are compared.
pub const CALL_RECORDS: usize = 1_024;

/// Different cuts that are tried.
const CUTS_TRIED: u64 = 3;

/// Differences that are kept of each trial.
const DIFFERENCES_MAX: usize = 5;

/// A result that came out otherwise than at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which record, by its place in the input; for aggregators, the key.
    pub at: String,
    /// What came out at first.
    pub first: String,
    /// What came out in the trial.
    pub then: String,
}

/// One way in which the records were given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The interface called: `filter`, `mapper`, `router`, `joiner`, `aggregator`, `retractor`, `scanner`, `migrator`, `processor`.
    pub kind: &'static str,
    /// How they were given.
    pub how: String,
    /// How many results differed.
    pub differing: usize,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All trials, in the order in which they were made.
    pub trials: Vec<Trial>,
    /// Records on which the function failed by itself, with the fault; not a difference, but worth knowing.
    pub failing: Vec<(usize, String)>,
}

impl Report {
    /// Whether nothing differed.
    pub fn passed(&self) -> bool {
        self.trials.iter().all(|trial| trial.differing == 0)
    }
}

/// What functions are tried with.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Records; of a joiner the left side.
    pub records: &'a Batch,
    /// Of a joiner the right side; `None`: the same records.
    pub right: Option<&'a Batch>,
    /// Another one gives other cuts, orders and pairs.
    pub seed: u64,
    /// Layouts that the function's migrator knows.
    pub ways: Ways<'a>,
}

/// Tries every kind that the function offers and that works on records: filter, mapper, router, joiner, aggregator with its merger and its
/// retractor, scanner. Processors, which ask their host in the middle of a call, have [`process::verify`].
pub fn verify(functions: &mut dyn Functions, function: Prepared, input: Input<'_>) -> Report {
    let mut report = Report::default();
    for kind in [Interface::Filter, Interface::Mapper, Interface::Router, Interface::Joiner] {
        if functions.exports(function, kind) {
            single::verify(functions, function, kind, input, &mut report);
        }
    }
    if functions.exports(function, Interface::Aggregator) {
        fold::verify(functions, function, input.records, input.seed, &mut report);
        if functions.exports(function, Interface::Migrator)
            && let Some(states) = fold::states(functions, function, input.records)
        {
            migrate::verify(functions, function, &states, input.ways, &mut report);
        }
    }
    if functions.exports(function, Interface::Scanner) {
        scan::verify(functions, function, input.records, input.seed, &mut report);
    }
    report
}

/// The records that are folded, as the engine does: none without key or value.
fn foldable(records: &Batch) -> Batch {
    let whole = |row: &u32| !records.keys.is_null(*row as usize) && !records.values.is_null(*row as usize);
    let rows: Vec<u32> = (0..records.len() as u32).filter(whole).collect();
    records.gather(&rows)
}

/// Records by key, as a call has them.
struct Members {
    /// Each key.
    keys: Vec<Vec<u8>>,
    /// Key k owns `rows[offsets[k]..offsets[k + 1]]`.
    offsets: Vec<u32>,
    rows: Vec<u32>,
}

impl Members {
    fn of(batch: &Batch) -> Self {
        let mut members: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for row in 0..batch.len() {
            members.entry(batch.keys.get(row).unwrap_or_default()).or_default().push(row as u32);
        }
        let mut out = Self { keys: Vec::new(), offsets: vec![0], rows: Vec::new() };
        for (key, rows) in members {
            out.keys.push(key.to_vec());
            out.rows.extend(rows);
            out.offsets.push(out.rows.len() as u32);
        }
        out
    }

    /// The keys, and what states have of them.
    fn columns(&self, states: &States) -> (BytesColumn, BytesColumn) {
        let state = |key: &Vec<u8>| states.get(key).and_then(|state| state.clone());
        let states: Vec<Option<Vec<u8>>> = self.keys.iter().map(state).collect();
        let keys = self.keys.iter().map(|key| Some(&key[..])).collect();
        (keys, states.iter().map(|state| state.as_deref()).collect())
    }
}

/// States by key.
type States = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Notes what a call left of the groups that it had.
fn keep(states: &mut States, members: &Members, left: &BytesColumn) -> Answer<()> {
    same_length(left, members.keys.len(), "groups")?;
    for (i, key) in members.keys.iter().enumerate() {
        states.insert(key.clone(), left.get(i).map(<[u8]>::to_vec));
    }
    Ok(())
}

fn same_length(column: &BytesColumn, expected: usize, of: &str) -> Answer<()> {
    if column.len() == expected {
        return Ok(());
    }
    Err(Fault::BadResult { what: format!("{} items for {expected} {of}", column.len()) })
}

fn records_of(batch: &Batch) -> (Context<'_>, Records<'_>) {
    let context = Context { headers: batch.headers.as_deref(), stream_times: &batch.timestamps, ..Context::default() };
    (context, Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps })
}

/// Compares by place and notes a trial.
fn note<T: PartialEq + fmt::Display>(
    report: &mut Report,
    kind: &'static str,
    how: String,
    first: &[(String, T)],
    then: &[(String, T)],
) {
    assert_eq!(first.len(), then.len(), "both runs answer for the same records");
    let mut trial = Trial { kind, how, differing: 0, differences: Vec::new() };
    for ((at, first), (_, then)) in first.iter().zip(then).filter(|((_, first), (_, then))| first != then) {
        trial.differing += 1;
        if trial.differences.len() < DIFFERENCES_MAX {
            trial.differences.push(Difference { at: at.clone(), first: first.to_string(), then: then.to_string() });
        }
    }
    report.trials.push(trial);
}

/// SplitMix64 (Steele, Lea, Flood 2014): trials are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    /// Ends of calls over `len` records, of random lengths, short ones as likely as long ones.
    fn cuts(&mut self, len: usize) -> Vec<usize> {
        let (mut ends, mut at) = (Vec::new(), 0);
        while at < len {
            let longest = 1 << self.below(11);
            at = (at + 1 + self.below(longest)).min(len);
            ends.push(at);
        }
        ends
    }
}

/// Ends of calls of a fixed length.
fn every(records: usize, len: usize) -> Vec<usize> {
    (0..len.div_ceil(records)).map(|i| ((i + 1) * records).min(len)).collect()
}

/// Bytes for people: text where they are, else hexadecimal; cut.
fn shown(bytes: Option<&[u8]>) -> String {
    const CHARS_MAX: usize = 120;
    let text = match bytes {
        None => return "null".to_string(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(|c: char| c.is_control()) => format!("`{text}`"),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        },
    };
    if text.chars().count() <= CHARS_MAX { text } else { text.chars().take(CHARS_MAX).chain(['…']).collect() }
}

#[cfg(test)]
mod tests;
