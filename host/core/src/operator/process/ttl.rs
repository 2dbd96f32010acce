//! How long entries are kept. They age by the step's closing time, in steps of a fraction of their `ttl`: within such a step it does
//! not matter which record of a batch wrote an entry, and calls never go over one, so that records give what they would give one by
//! one. An entry is there for its `ttl` at least, and for two steps more at the most.

use crate::record::Timestamp;
use crate::time::NEVER;
use crate::topology::spec::StoreSpec;

/// Into how many steps a `ttl` is cut.
pub const TTL_STEPS: i64 = 16;

/// Entries of the database that are looked at at the end of an interval, for each store that has a `ttl`, and for each entry
/// written in the interval: so that what is too old goes faster than anything comes.
pub const SWEEP_ENTRIES_MIN: usize = 1_000;
/// See [`SWEEP_ENTRIES_MIN`].
pub const SWEEP_ENTRIES_PER_WRITE: usize = 2;

/// What the time is for entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    /// Closing time; when a timer fires, its due time, unless time was further already.
    pub now: Timestamp,
    /// The first time that was known; [`NEVER`]: none is yet. What was written before counts as written then.
    pub first: Timestamp,
}

impl Age {
    /// For the entries of a store.
    pub fn of(self, spec: &StoreSpec) -> Ages {
        Ages { ttl_ms: spec.ttl_ms, age: self }
    }
}

/// What the time is for the entries of one store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    ttl_ms: Option<i64>,
    age: Age,
}

impl Ages {
    /// When an entry that is written now was written.
    pub fn stamp(self) -> Timestamp {
        self.ttl_ms.map_or(self.age.now, |ttl| step(ttl, self.age.now))
    }

    /// Whether an entry that was written then is no more.
    pub fn is_old(self, written: Timestamp) -> bool {
        let Some(ttl) = self.ttl_ms.filter(|_| self.age.now != NEVER) else { return false };
        let written = if written == NEVER { self.age.first } else { written };
        let age = step(ttl, self.age.now).saturating_sub(step(ttl, written));
        written != NEVER && age >= ttl.saturating_add(step_ms(ttl))
    }
}

/// Which entries of a store are there still at a task's last commit, for whoever reads them from outside.
#[derive(Clone, Copy, Debug)]
pub struct Kept(Ages);

impl Kept {
    /// All of them.
    pub fn always() -> Self {
        Self(Ages { ttl_ms: None, age: Age { now: NEVER, first: NEVER } })
    }

    /// Those that are not too old at the time `now`; `first`: the first time that was known.
    pub fn for_ttl(ttl_ms: i64, now: Timestamp, first: Timestamp) -> Self {
        Self(Ages { ttl_ms: Some(ttl_ms), age: Age { now, first } })
    }

    /// Whether an entry that was written then is there.
    pub fn is_kept(self, written: Timestamp) -> bool {
        !self.0.is_old(written)
    }
}

/// Whether records at these closing times may be in one call.
pub(super) fn same_step(specs: &[StoreSpec], a: Timestamp, b: Timestamp) -> bool {
    a == b || specs.iter().filter_map(|spec| spec.ttl_ms).all(|ttl| step(ttl, a) == step(ttl, b))
}

fn step_ms(ttl: i64) -> i64 {
    (ttl / TTL_STEPS).max(1)
}

/// The beginning of the step that a time is in.
fn step(ttl: i64, time: Timestamp) -> Timestamp {
    if time == NEVER { NEVER } else { time.saturating_sub(time.rem_euclid(step_ms(ttl))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ages(ttl: i64, closing: Timestamp) -> Ages {
        Ages { ttl_ms: Some(ttl), age: Age { now: closing, first: 5 } }
    }

    proptest! {
        #[test]
        fn an_entry_is_there_for_its_ttl_and_little_longer(ttl in 1i64..100_000, at in 0i64..1_000_000, later in 0i64..200_000) {
            let gone = ages(ttl, at + later).is_old(ages(ttl, at).stamp());
            prop_assert!(!(gone && later <= ttl), "it is there for {ttl} ms and was not after {later}");
            prop_assert!(gone || later < ttl + 2 * step_ms(ttl), "it was there after {later} of {ttl} ms");
            prop_assert!(ttl >= 2 * TTL_STEPS || gone == (later > ttl), "to the millisecond");
        }
    }

    #[test]
    fn what_was_written_before_time_was_known_counts_from_when_it_is() {
        assert!(!ages(10, NEVER).is_old(NEVER));
        assert!(!ages(10, 15).is_old(NEVER) && ages(10, 16).is_old(NEVER));
        assert_eq!(ages(10, NEVER).stamp(), NEVER);
    }

    #[test]
    fn without_a_ttl_nothing_is_old() {
        let ages = Ages { ttl_ms: None, ..ages(1, i64::MAX) };
        assert!(!ages.is_old(0));
    }
}
