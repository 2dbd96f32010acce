//! 6. Commit: everything an interval did becomes one fact, or none.
//!
//! ```text
//!            close               Committed
//!   Idle ──────────▶ Committing ───────────▶ Idle
//!                     ▲  │  │ Unknown
//!      Aborted: again └──┘  ▼
//!                     ▲  Resolving ── Resolved(true) ──▶ Idle
//!                     └────── Resolved(false): again
//! ```
//!
//! Unknown is neither success nor failure: the shell looks up which interval the tasks' metadata names, and only then is
//! the commit made again or taken as done.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::record::Timestamp;
use crate::task::TaskPart;

/// What is committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its number: 1, 2, …, of this worker since it started with [`crate::worker::Worker::new`]'s first number.
    pub id: u64,
    /// Wall time at which it was closed.
    pub closed_at: Timestamp,
    /// What each task did.
    pub parts: Vec<TaskPart>,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is there.
    Committed,
    /// None of it is there, and it may be tried again.
    Aborted,
    /// A time-out, a lost connection: it is there, or not.
    Unknown,
}

/// Where a worker's commit stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// Nothing is being committed.
    #[default]
    Idle,
    /// The shell was asked to commit it.
    Committing(Arc<Interval>),
    /// The shell was asked to find out whether it is there.
    Resolving(Arc<Interval>),
}

/// What follows from an outcome.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// It is done.
    Done(Arc<Interval>),
    /// Ask for the same commit again.
    Again(Arc<Interval>),
    /// Ask whether it is there.
    Resolve(Arc<Interval>),
    /// Not an answer to what was asked: an old one, come twice.
    Stale,
}

impl State {
    /// The interval that is under way.
    pub fn under_way(&self) -> Option<&Arc<Interval>> {
        match self {
            State::Idle => None,
            State::Committing(interval) | State::Resolving(interval) => Some(interval),
        }
    }

    /// The commit ended.
    pub fn outcome(&mut self, id: u64, outcome: CommitOutcome) -> Next {
        let State::Committing(interval) = self else { return Next::Stale };
        if interval.id != id {
            return Next::Stale;
        }
        let interval = interval.clone();
        match outcome {
            CommitOutcome::Committed => {
                *self = State::Idle;
                Next::Done(interval)
            }
            CommitOutcome::Aborted => Next::Again(interval),
            CommitOutcome::Unknown => {
                *self = State::Resolving(interval.clone());
                Next::Resolve(interval)
            }
        }
    }

    /// It was found out whether an interval is there.
    pub fn resolved(&mut self, id: u64, there: bool) -> Next {
        let State::Resolving(interval) = self else { return Next::Stale };
        if interval.id != id {
            return Next::Stale;
        }
        let interval = interval.clone();
        if there {
            *self = State::Idle;
            Next::Done(interval)
        } else {
            *self = State::Committing(interval.clone());
            Next::Again(interval)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committing(id: u64) -> State {
        State::Committing(Arc::new(Interval { id, closed_at: 0, parts: Vec::new() }))
    }

    #[test]
    fn every_outcome_has_its_duty() {
        assert!(matches!(committing(1).outcome(1, CommitOutcome::Committed), Next::Done(_)));
        assert!(matches!(committing(1).outcome(1, CommitOutcome::Aborted), Next::Again(_)));
        let mut state = committing(1);
        assert!(matches!(state.outcome(1, CommitOutcome::Unknown), Next::Resolve(_)));
        assert!(matches!(state.outcome(1, CommitOutcome::Committed), Next::Stale), "unknown is not taken back");
        assert!(matches!(state.resolved(1, false), Next::Again(_)));
        assert!(matches!(state, State::Committing(_)));
        state.outcome(1, CommitOutcome::Unknown);
        assert!(matches!(state.resolved(1, true), Next::Done(_)));
        assert!(state.under_way().is_none());
    }

    #[test]
    fn old_answers_change_nothing() {
        let mut state = committing(2);
        assert!(matches!(state.outcome(1, CommitOutcome::Committed), Next::Stale));
        assert!(matches!(state.resolved(2, true), Next::Stale));
        assert!(matches!(State::Idle.outcome(0, CommitOutcome::Committed), Next::Stale));
    }
}
