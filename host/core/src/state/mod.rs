//! State: reads now, a write set for later.

pub mod buffer;
pub mod changelog;
pub mod entries;
pub mod history;
pub mod key;
pub mod keyspace;
pub(crate) mod layers;
pub mod memory;
pub mod query;
pub mod sessions;
pub mod slices;
pub mod store;
pub mod timers;
pub mod value;
pub mod version;
pub mod versions;
pub mod waiting;

#[cfg(any(test, feature = "laws"))]
pub mod laws;

/// What a change costs until its interval is committed, beside its key and its value, bytes, estimated: the change itself, its record in
/// the changelog, its write, and what clients and databases keep of these.
pub const CHANGE_BYTES: usize = 512;
