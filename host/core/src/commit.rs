//! 6. Commit: everything an interval did becomes one fact, or none.
//!
//! ```text
//!            close                Committed
//!   Idle ───────────▶ Committing ────────────▶ Idle
//!                      ▲  │  │  │ Fenced, Fatal: its tasks are given up
//!       Aborted: again └──┘  │  └─────────────▶ Idle
//!       (what has gone       │ Unknown               ▲
//!        meanwhile left out) ▼                       │ Fenced, Fatal: likewise
//!                      ▲  Resolving ── Resolved(true), ─┘
//!                      └───── Resolved(false): again, as above
//! ```
//!
//! Unknown is neither success nor failure: the shell looks up which interval the tasks' metadata names, and only then is
//! the commit made again or taken as done. Only one interval is under way; the next is worked on meanwhile and is closed
//! when its end is known. So the database always holds just what was committed before the interval that is being committed.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::Verdict;
use crate::record::Timestamp;
use crate::task::{TaskId, TaskPart};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is there, and the database of the tasks' stores holds its changes: apply them before saying so, and never
    /// before it is known, since what was not committed cannot be taken back.
    Committed,
    /// None of it is there, the tasks are still owned, and it may be tried again.
    Aborted,
    /// A time-out, a lost connection: it is there, or not.
    Unknown,
    /// None of it is there, and its tasks are somebody else's now, or may be: why.
    Fenced(String),
    /// None of it is there, and trying again cannot help: why.
    Fatal(String),
}

/// Where it stands.
#[derive(Clone, Debug, Default)]
enum State {
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
    /// It will never be there: give its tasks up.
    GiveUp(Arc<Interval>, Verdict),
    /// Nobody here holds any of its tasks any more, and it is not there.
    Dropped,
    /// Not an answer to what was asked: an old one, come twice.
    Stale,
}

/// The commit of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    state: State,
    /// Tasks that were closed, or stopped, while their part is under way.
    gone: BTreeSet<TaskId>,
}

impl Commit {
    /// The interval that is under way.
    pub fn under_way(&self) -> Option<&Arc<Interval>> {
        match &self.state {
            State::Idle => None,
            State::Committing(interval) | State::Resolving(interval) => Some(interval),
        }
    }

    /// Whether a task's part is under way.
    pub fn holds(&self, task: TaskId) -> bool {
        self.under_way().is_some_and(|interval| interval.parts.iter().any(|part| part.task == task))
    }

    /// The shell is asked to commit it. Only one at a time.
    pub fn begin(&mut self, interval: Arc<Interval>) {
        assert!(self.under_way().is_none(), "interval {} was closed while one is under way", interval.id);
        self.state = State::Committing(interval);
    }

    /// A task is not open here any more. If its part turns out not to be there, it must not come there any more: the task
    /// may be somebody else's, or is opened again where its last commit left it.
    pub fn let_go(&mut self, task: TaskId) {
        if self.holds(task) {
            self.gone.insert(task);
        }
    }

    /// The commit ended. That somebody else has taken over, or that it can never be, is also an answer to whether it is there.
    pub fn outcome(&mut self, id: u64, outcome: CommitOutcome) -> Next {
        let (interval, committing) = match &self.state {
            State::Committing(interval) => (interval.clone(), true),
            State::Resolving(interval) => (interval.clone(), false),
            State::Idle => return Next::Stale,
        };
        match outcome {
            _ if interval.id != id => Next::Stale,
            CommitOutcome::Fenced(why) => self.end(Next::GiveUp(interval, Verdict::Fenced(why))),
            CommitOutcome::Fatal(why) => self.end(Next::GiveUp(interval, Verdict::Fatal(why))),
            _ if !committing => Next::Stale,
            CommitOutcome::Committed => self.end(Next::Done(interval)),
            CommitOutcome::Aborted => self.again(&interval),
            CommitOutcome::Unknown => {
                self.state = State::Resolving(interval.clone());
                Next::Resolve(interval)
            }
        }
    }

    /// It was found out whether an interval is there.
    pub fn resolved(&mut self, id: u64, there: bool) -> Next {
        match &self.state {
            State::Resolving(interval) if interval.id == id => {
                let interval = interval.clone();
                if there { self.end(Next::Done(interval)) } else { self.again(&interval) }
            }
            _ => Next::Stale,
        }
    }

    fn end(&mut self, next: Next) -> Next {
        self.state = State::Idle;
        self.gone.clear();
        next
    }

    /// The same again, but for the tasks that have gone meanwhile.
    fn again(&mut self, interval: &Arc<Interval>) -> Next {
        let interval = if self.gone.is_empty() {
            interval.clone()
        } else {
            let mut left = Interval::clone(interval);
            left.parts.retain(|part| !self.gone.contains(&part.task));
            Arc::new(left)
        };
        self.gone.clear();
        if interval.parts.is_empty() {
            return self.end(Next::Dropped);
        }
        self.state = State::Committing(interval.clone());
        Next::Again(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn task(partition: u32) -> TaskId {
        TaskId { sub: 0, partition }
    }

    fn committing(id: u64) -> Commit {
        let part = |partition| TaskPart { task: task(partition), ..TaskPart::default() };
        let mut commit = Commit::default();
        commit.begin(Arc::new(Interval { id, closed_at: 0, parts: vec![part(0), part(1)] }));
        commit
    }

    fn tasks(next: Next) -> Vec<u32> {
        let Next::Again(interval) = next else { panic!("again was expected, not {next:?}") };
        interval.parts.iter().map(|part| part.task.partition).collect()
    }

    #[test]
    fn every_outcome_has_its_duty() {
        assert!(matches!(committing(1).outcome(1, CommitOutcome::Committed), Next::Done(_)));
        assert_eq!(tasks(committing(1).outcome(1, CommitOutcome::Aborted)), [0, 1]);
        let mut commit = committing(1);
        assert!(matches!(commit.outcome(1, CommitOutcome::Unknown), Next::Resolve(_)));
        assert!(matches!(commit.outcome(1, CommitOutcome::Committed), Next::Stale), "unknown is not taken back");
        assert!(matches!(commit.outcome(1, CommitOutcome::Aborted), Next::Stale), "neither way");
        assert_eq!(tasks(commit.resolved(1, false)), [0, 1]);
        assert!(matches!(commit.resolved(1, true), Next::Stale), "it is being committed again");
        commit.outcome(1, CommitOutcome::Unknown);
        assert!(matches!(commit.resolved(1, true), Next::Done(_)));
        assert!(commit.under_way().is_none());
    }

    #[test]
    fn fenced_and_fatal_end_it_also_while_it_is_looked_for() {
        for unknown in [false, true] {
            for outcome in [CommitOutcome::Fenced("a".into()), CommitOutcome::Fatal("a".into())] {
                let mut commit = committing(7);
                if unknown {
                    commit.outcome(7, CommitOutcome::Unknown);
                }
                assert!(matches!(commit.outcome(6, outcome.clone()), Next::Stale));
                let Next::GiveUp(interval, verdict) = commit.outcome(7, outcome.clone()) else { panic!("{outcome:?}") };
                let fenced = matches!(outcome, CommitOutcome::Fenced(_));
                assert_eq!((interval.id, matches!(verdict, Verdict::Fenced(_))), (7, fenced));
                assert!(commit.under_way().is_none());
            }
        }
    }

    #[test]
    fn what_has_gone_meanwhile_is_not_produced_again_and_what_is_there_stays() {
        let mut commit = committing(1);
        commit.let_go(task(1));
        commit.let_go(task(9));
        assert_eq!(tasks(commit.outcome(1, CommitOutcome::Aborted)), [0]);
        commit.outcome(1, CommitOutcome::Unknown);
        commit.let_go(task(0));
        assert!(matches!(commit.resolved(1, false), Next::Dropped) && commit.under_way().is_none());
        let mut commit = committing(2);
        commit.let_go(task(0));
        let Next::Done(interval) = commit.outcome(2, CommitOutcome::Committed) else { panic!("it is done") };
        assert_eq!(interval.parts.len(), 2);
        commit.begin(interval);
        assert_eq!(tasks(commit.outcome(2, CommitOutcome::Aborted)), [0, 1], "that was another interval's matter");
    }

    #[test]
    fn old_answers_change_nothing() {
        let mut commit = committing(2);
        assert!(matches!(commit.outcome(1, CommitOutcome::Committed), Next::Stale));
        assert!(matches!(commit.resolved(2, true), Next::Stale));
        assert!(matches!(Commit::default().outcome(0, CommitOutcome::Committed), Next::Stale));
    }
}
