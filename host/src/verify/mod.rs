//! Does a function keep the pledge that its results depend on nothing but its records? Tried, not proved.
//!
//! The same records are given again: to the same instance, to a fresh one, in other cuts, in another order where order must
//! not matter, and for aggregators with merging instead of folding. Whatever differs is hidden state, randomness, or a result
//! that depends on how records were cut into calls; the engine promises none of these to anybody.
//! Nothing here knows WebAssembly: functions are called through the core's port.

mod fold;
mod single;

use std::fmt;

use millstream_core::function::{Functions, Interface, Prepared};
use millstream_core::record::Batch;

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
    /// The interface called: `filter`, `mapper`, `aggregator`.
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

/// Tries every kind that the function offers and that works on records: filter, mapper, aggregator with its merger.
pub fn verify(functions: &mut dyn Functions, function: Prepared, records: &Batch, seed: u64) -> Report {
    let mut report = Report::default();
    for kind in [Interface::Filter, Interface::Mapper] {
        if functions.exports(function, kind) {
            single::verify(functions, function, kind, records, seed, &mut report);
        }
    }
    if functions.exports(function, Interface::Aggregator) {
        fold::verify(functions, function, records, seed, &mut report);
    }
    report
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
