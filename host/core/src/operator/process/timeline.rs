//! What the time is at each record of a batch, and where closing time moves: known before the function is asked, but for the records
//! that it refuses, which have not moved time.

use alloc::vec::Vec;

use super::super::clock::{Passed, Walk};
use crate::flow::Flow;
use crate::record::Timestamp;

/// See the module.
pub(super) struct Timeline {
    /// Stream time of each record's own task with it.
    pub own: Vec<Timestamp>,
    /// Closing time once each record is in.
    pub closing: Vec<Timestamp>,
    /// Whether each record has moved time itself.
    pub moved: Vec<bool>,
    /// How many of the steps of closing time lie before each record or at it.
    steps: Vec<usize>,
    /// The steps, and the time behind the last row.
    pub passed: Passed,
}

impl Timeline {
    /// Goes through a flow; `refused`: whether a record is known to be refused.
    pub fn new<W: Walk>(flow: &Flow, mut walk: W, refused: impl Fn(usize) -> bool) -> Self {
        let len = flow.len();
        let (mut own, mut closing) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let (mut moved, mut steps) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for i in 0..len {
            own.push(walk.enter(i).0);
            let moves = walk.moved();
            if refused(i) {
                walk.refuse();
            }
            moved.push(moves && !refused(i));
            closing.push(walk.closing());
            steps.push(walk.steps().len());
        }
        Self { own, closing, moved, steps, passed: walk.finish() }
    }

    /// How many steps of closing time lie before record `at` or at it; behind the last record: all.
    pub fn steps_until(&self, at: usize) -> usize {
        self.steps.get(at).copied().unwrap_or(self.passed.steps.len())
    }
}
