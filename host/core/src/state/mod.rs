//! State: reads now, a write set for later.

pub mod buffer;
pub mod changelog;
pub mod entries;
pub mod key;
pub mod keyspace;
pub mod memory;
pub mod query;
pub mod sessions;
pub mod slices;
pub mod store;
pub mod timers;
pub mod value;
pub mod waiting;

#[cfg(any(test, feature = "laws"))]
pub mod laws;
