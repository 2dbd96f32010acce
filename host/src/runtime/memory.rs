//! Storage in memory, for `millstream test` and for tests.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_core::state::keyspace::Keyspaces;
use millstream_core::state::memory::{Guard, Memory, Spaces};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Empty keyspaces in memory.
pub fn memory() -> Arc<dyn Keyspaces> {
    Arc::new(Memory(Locked::default()))
}
