//! What a host answers about the inside of functions: a part of the port of `api`.

use crate::Problem;
use crate::types::inside::{Logs, Profile, Replayed};

/// Log lines that one answer may have.
pub const LOG_LINES_MAX: usize = 1_000;

/// Log lines of an answer to a question that does not say how many.
pub const LOG_LINES_DEFAULT: usize = 100;

/// For how long a function may be watched in one call, seconds.
pub const PROFILE_SECONDS_MAX: u32 = 60;

/// See the module.
pub trait Inside {
    /// Lines that functions wrote on this host, as far as they are kept.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`](crate::Kind::UnknownFunction).
    fn logs(&self, asked: &AskedLogs) -> Result<Logs, Problem>;

    /// Watches a function for a while, and says where it spends its time. Blocks for as long.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`](crate::Kind::UnknownFunction), [`Kind::UnknownVersion`](crate::Kind::UnknownVersion): one that is not
    /// prepared here; [`Kind::Busy`](crate::Kind::Busy): somebody watches it already.
    fn profile(&self, asked: &AskedProfile) -> Result<Profile, Problem>;

    /// Takes a stored record through the pipeline once more, with empty stores and without effect.
    ///
    /// # Errors
    /// As [`Inside::profile`]; that the record is not there; why the component is refused; those of the storage.
    fn replay(&self, asked: &AskedReplay) -> Result<Replayed, Problem>;
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedLogs {
    /// Of this function.
    pub function: Option<String>,
    /// Of the version of it with this number.
    pub version: Option<u64>,
    /// No less important than this.
    pub level: Option<String>,
    /// Behind this one, the oldest first; without it the newest.
    pub after: Option<u64>,
    /// At the most.
    pub limit: usize,
}

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedProfile {
    /// The function.
    pub function: String,
    /// The version with this number; without it the one in force.
    pub version: Option<u64>,
    /// For how many seconds.
    pub seconds: u32,
}

/// Which record is to be taken through which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedReplay {
    /// The function.
    pub function: String,
    /// The version with this number; without it the one in force.
    pub version: Option<u64>,
    /// This component in place of a version.
    pub component: Option<Vec<u8>>,
    /// The record's topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Whether a core dump is wanted where it traps.
    pub core_dump: bool,
}
