//! The oracle's steps that deduplicate: they keep everything that has passed, for ever, and look through all of it.

use std::collections::BTreeSet;

use millstream_core::topology::spec::Deduplicate;

use super::fold::Clock;
use super::{Item, NEVER, Row};

/// What tells records apart: window of the key, key, what a function gave.
pub type Id = (Option<(i64, i64)>, Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
pub struct Passed {
    spec: Deduplicate,
    pub by_window: bool,
    pub clock: Option<Clock>,
    observed: i64,
    passed: BTreeSet<(Id, i64)>,
}

impl Passed {
    pub fn new(spec: Deduplicate, by_window: bool, clock: Option<Clock>) -> Self {
        Self { spec, by_window, clock, observed: NEVER, passed: BTreeSet::new() }
    }

    /// Takes a record in that was not refused; says why it does not pass.
    pub fn take(&mut self, item: &Item, id: Option<Id>, row: Option<&Row>) -> Result<(), &'static str> {
        let time = item.rec.time;
        self.observed = self.observed.max(time);
        let (own, closing) = match &mut self.clock {
            None => (self.observed, self.observed),
            Some(clock) => {
                let own = clock.own(time, row);
                (own, clock.closing())
            }
        };
        let Some(id) = id else { return Ok(()) };
        for (now, reason) in [(own, "late"), (closing, "late-after-idle")] {
            if now != NEVER && i128::from(time) < i128::from(now) - i128::from(self.spec.grace_ms) {
                return Err(reason);
            }
        }
        let near = |other: i64| (i128::from(other) - i128::from(time)).abs() <= i128::from(self.spec.within_ms);
        if self.passed.iter().any(|(other, at)| *other == id && near(*at)) {
            return Err("duplicate");
        }
        self.passed.insert((id, time));
        Ok(())
    }
}
