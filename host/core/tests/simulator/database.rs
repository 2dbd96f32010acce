//! The simulated database: keyspaces in memory that refuse when told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_core::state::memory::{Guard, Memory, Spaces};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().expect("nobody panics here"))
    }
}

#[derive(Default)]
pub struct Database {
    memory: Memory<Locked>,
    refusing: AtomicBool,
}

impl Database {
    /// Whether reads are refused from now on.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Everything that is in it.
    pub fn copy(&self) -> Spaces {
        self.memory.0.with(|spaces| spaces.clone())
    }

    /// Has this in it from now on.
    pub fn replace(&self, with: Spaces) {
        self.memory.0.with(|spaces| *spaces = with);
    }

    fn ask(&self) -> Result<(), StorageError> {
        match self.refusing.load(Ordering::Relaxed) {
            true => Err(StorageError::Unavailable("planned".into())),
            false => Ok(()),
        }
    }
}

impl Keyspaces for Database {
    fn open_space(&self, name: &str, kind: SpaceKind) -> Result<Space, StorageError> {
        self.memory.open_space(name, kind)
    }
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.ask()?;
        self.memory.get(space, key)
    }
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        self.ask()?;
        self.memory.scan(space, from, to, visit)
    }
    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        self.ask()?;
        self.memory.last(space, from, before)
    }
    fn apply(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StorageError> {
        self.memory.apply(writes, durability)
    }
}
