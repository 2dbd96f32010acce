//! The port to durable storage: named, ordered keyspaces with atomic batches across them.
//!
//! RocksDB implements it with a column family for each space; [`super::memory`] is its twin for tests and simulation.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// An open keyspace. Numbers are given by [`Keyspaces::open_space`] and hold while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u32);

/// How a keyspace is used; an implementation may lay it out differently, never answer differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceKind {
    /// Small values, point reads and short scans.
    State,
    /// Large values (chunks of 10 KiB to 1 MiB) written once in key order, read in key order, dropped by range.
    Log,
}

/// One change in an atomic batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(Space, Vec<u8>, Vec<u8>),
    /// Removes a key; nothing happens where it is not there.
    Delete(Space, Vec<u8>),
    /// Removes every key with `from <= key < to`.
    DeleteRange(Space, Vec<u8>, Vec<u8>),
}

/// What a write survives once [`Keyspaces::apply`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process; a power cut may lose the last seconds, in order: never a write before one it keeps.
    Process,
    /// A power cut: synced to the device before returning.
    Device,
}

/// Storage failed. Typed by what the receiver must do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The device refused for now (full disk, no memory): nothing was written, try again later.
    #[error("storage is not available: {0}")]
    Unavailable(String),
    /// Damaged, or written by something else: stop using it, say so, never overwrite.
    #[error("storage is corrupted: {0}")]
    Corrupted(String),
}

/// An entry of a keyspace.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Goes on or stops a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Show the next entry.
    Continue,
    /// That was enough.
    Stop,
}

/// Ordered keyspaces with atomic batches. Keys are compared as unsigned bytes. Shared between threads: a scan sees the
/// state at its start; readers never see half of a batch.
pub trait Keyspaces: Send + Sync {
    /// Opens a keyspace, making it where it does not exist.
    ///
    /// # Errors
    /// [`StorageError`].
    fn open_space(&self, name: &str, kind: SpaceKind) -> Result<Space, StorageError>;

    /// The value of a key.
    ///
    /// # Errors
    /// [`StorageError`].
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// The values of many keys, in the order of the keys, which are ascending and of one task: what is in files is found sooner so than
    /// by one key after the other.
    ///
    /// # Errors
    /// [`StorageError`].
    fn get_all(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        keys.iter().map(|key| self.get(space, key)).collect()
    }

    /// Shows entries with `from <= key < to` in key order (`to` `None`: to the end) until `visit` says stop.
    ///
    /// # Errors
    /// [`StorageError`].
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError>;

    /// The entry with the largest key below `before` and at or above `from`.
    ///
    /// # Errors
    /// [`StorageError`].
    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<KeyValue>, StorageError>;

    /// Applies all changes, in order, or none.
    ///
    /// # Errors
    /// [`StorageError`]; then none of the changes was applied.
    fn apply(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StorageError>;

    /// What is there now, kept readable while others go on writing; to be let go of soon, since it holds on to what is replaced.
    ///
    /// # Errors
    /// [`StorageError`]; of keyspaces that have no one moment, being many databases, always.
    fn view(&self) -> Result<Box<dyn View + '_>, StorageError> {
        Err(StorageError::Unavailable("these keyspaces have no view of one moment".to_string()))
    }
}

/// Keyspaces as they were at one moment: every read sees the same batches whole, and none that came later.
pub trait View {
    /// As [`Keyspaces::get`].
    ///
    /// # Errors
    /// [`StorageError`].
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// As [`Keyspaces::scan`].
    ///
    /// # Errors
    /// [`StorageError`].
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError>;
}
