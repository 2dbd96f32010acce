//! State: reads now, a write set for later.

pub mod keyspace;
pub mod memory;

#[cfg(any(test, feature = "laws"))]
pub mod laws;
