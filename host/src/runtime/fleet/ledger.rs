//! Where a fleet's control log, its components and its history are: the port that local mode and Kafka each fill.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_core::swap::{Entry, Version};

use super::entries::SwitchRecord;

/// An entry of the control log at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its position, from 1 on; positions grow.
    pub at: u64,
    /// When it was appended, milliseconds since 1970.
    pub time: i64,
    /// The entry.
    pub entry: Entry,
}

/// The log does not take what this host writes, as it lacks a right: to write it again is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Writes, and what is asked now and then. Calls may block.
pub trait Ledger: Send + Sync {
    /// Appends an entry.
    ///
    /// # Errors
    /// [`Refused`]; else it is there or not, and the same again does no harm.
    fn append(&self, entry: &Entry) -> anyhow::Result<()>;

    /// Keeps a component where all hosts find it, each time in a place of its own; gives the place, for [`Version::place`].
    ///
    /// # Errors
    /// Those of the storage; it may be kept in part, which does no harm.
    fn keep(&self, digest: &str, component: &[u8]) -> anyhow::Result<String>;

    /// A version's component, with the digest it should have.
    ///
    /// # Errors
    /// When it is not kept; those of the storage.
    fn component(&self, version: &Version) -> anyhow::Result<Vec<u8>>;

    /// Lets go of what is kept in a place; the same again does no harm.
    ///
    /// # Errors
    /// Those of the storage; it may be there still.
    fn discard(&self, digest: &str, place: &str) -> anyhow::Result<()>;

    /// These digests alone are needed here from now on; of others this host may drop its own copies.
    fn needs(&self, digests: &BTreeSet<String>);

    /// Hosts that are there now.
    ///
    /// # Errors
    /// When that cannot be found out now, or hosts cannot be told apart.
    fn live(&self) -> anyhow::Result<BTreeSet<String>>;

    /// Where tasks switched to versions of a function, by epoch and task.
    ///
    /// # Errors
    /// Those of the storage.
    fn switches(&self, function: &str) -> anyhow::Result<Vec<SwitchRecord>>;
}

/// Why the control log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Not now; ask again.
    #[error("{0:#}")]
    Retry(anyhow::Error),
    /// Never again: the host would go by another log than the others.
    #[error("{0:#}")]
    Fatal(anyhow::Error),
}

/// Reads the control log from its beginning on.
pub trait Follow: Send {
    /// The next entries; none after `wait`.
    ///
    /// # Errors
    /// By what to do.
    fn read(&mut self, wait: Duration) -> Result<Vec<Logged>, FollowError>;

    /// Whether all has been read that was there when reading began.
    fn is_at_end(&self) -> bool;
}
