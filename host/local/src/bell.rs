//! Wakes those who wait for records. It counts, so that a ring between a look and a wait is not missed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A counter that can be waited for.
#[derive(Debug, Default)]
pub struct Bell {
    generation: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it was rung.
    pub fn generation(&self) -> u64 {
        *self.lock()
    }

    /// Wakes everybody.
    pub fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// Waits until it was rung more often than `seen`, at most `timeout`; how often it was rung now.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.rung.wait_timeout_while(self.lock(), timeout, |generation| *generation == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
