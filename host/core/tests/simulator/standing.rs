//! What whoever watches a processor's calls may rely on: of the calls that stand, each record of a step comes in one, in the order in
//! which the step has them, whatever was taken back between.

use std::collections::BTreeMap;

use millstream_core::flow::DERIVED;
use millstream_core::function::Place;

/// Calls of processors of one batch.
#[derive(Default)]
pub struct Standing {
    made: u64,
    /// Calls that may be taken back: their number, their step, the rows of the first and the last record that they took.
    open: Vec<(u64, (u32, String), u32, u32)>,
    /// Rows up to which each step's calls stand, and how many have.
    passed: BTreeMap<(u32, String), u32>,
    /// What does not hold.
    pub wrong: Option<String>,
}

impl Standing {
    /// Another batch: what was open is of one that was given up.
    pub fn reads(&mut self) {
        self.open.clear();
        self.passed.clear();
    }

    pub fn made(&self) -> u64 {
        self.made
    }

    /// A call, which has taken so many records, those of these rows; none: it has failed.
    pub fn call(&mut self, place: &Place<'_>, rows: Option<&[u32]>, taken: Option<usize>) {
        self.made += 1;
        if let Some(taken @ 1..) = taken {
            let row = |i: usize| rows.map_or(i as u32, |rows| rows[i] & !DERIVED);
            let step = (place.partition, place.step.to_string());
            self.open.push((self.made, step, row(0), row(taken - 1)));
        }
    }

    pub fn taken_back(&mut self, first: u64) {
        self.open.retain(|(number, ..)| *number <= first);
    }

    pub fn stand(&mut self) {
        for (_, step, first, last) in std::mem::take(&mut self.open) {
            let passed = self.passed.entry(step.clone()).or_default();
            if first < *passed {
                self.wrong = Some(format!("a call of {step:?} over the rows {first} to {last} stands behind {passed}"));
            }
            *passed = last;
        }
    }
}
