//! What can go wrong inside a step, typed by what the receiver must do.

use alloc::string::String;

use crate::state::keyspace::StorageError;

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
}

/// Why a task cannot go on. What it did in the open interval is dropped; earlier intervals stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// Nothing is wrong with the records: open the task again from its last commit, later.
    #[error("{0}")]
    Retry(String),
    /// Stored data cannot be trusted: rebuild it where it can be rebuilt, never overwrite it.
    #[error("{0}")]
    Corrupted(String),
    /// The task is somebody else's now, or may be: give it up until it is assigned again.
    #[error("{0}")]
    Fenced(String),
    /// What it did can never be committed. The task stays stopped until somebody acts.
    #[error("{0}")]
    Fatal(String),
    /// A record that its step's `on-error: fail` does not let pass. The task stays stopped until somebody acts.
    #[error("step `{step}`: {}{reason}", at.as_ref().map(|p| alloc::format!("{}/{} offset {}: ", p.topic, p.partition, p.offset)).unwrap_or_default())]
    Poisoned {
        /// The step.
        step: String,
        /// The record; `None` for a result that no single record made.
        at: Option<Position>,
        /// What happened.
        reason: String,
        /// A function would not take it, or failed on it; otherwise the record is at fault whatever version runs.
        by_function: bool,
    },
    /// The function fails whatever it is given. The task stays stopped until somebody acts.
    #[error("step `{step}`: the function is broken: {reason}")]
    BrokenFunction {
        /// The step.
        step: String,
        /// What happened.
        reason: String,
    },
}

impl From<StorageError> for Verdict {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(why) => Verdict::Retry(why),
            StorageError::Corrupted(why) => Verdict::Corrupted(why),
        }
    }
}

impl Verdict {
    /// The step whose function stopped the task, where it was one.
    pub fn blamed_step(&self) -> Option<&str> {
        match self {
            Verdict::Poisoned { step, by_function: true, .. } | Verdict::BrokenFunction { step, .. } => Some(step),
            _ => None,
        }
    }
}
