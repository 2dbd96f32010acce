//! A host's state directory: a database for each task it has or had, with checkpoints. What was not flushed when a process dies
//! may be lost, but never a part of a commit.

use std::collections::BTreeMap;

use millstream_core::state::changelog::OWN_KIND;
use millstream_core::state::keyspace::{Durability, KeyValue, Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_core::state::memory::Spaces;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::task_prefix;

use super::super::database::Database;

/// Bits of a space's number that say which store of the sub-topology it is.
const STORE_BITS: u32 = 8;

/// How far a store's changelog is in its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub offset: i64,
    /// A time at which nothing that it holds had been removed for good.
    pub at: i64,
}

pub struct TaskState {
    db: Database,
    prefix: [u8; 4],
    stores: usize,
    /// What a crash leaves.
    flushed: Spaces,
}

#[derive(Default)]
pub struct Directory {
    tasks: BTreeMap<TaskId, TaskState>,
    refusing: bool,
}

impl TaskState {
    fn new(id: TaskId, stores: usize) -> Self {
        let db = Database::default();
        // One space for each store, and one of its own.
        (0..=stores).for_each(|n| drop(db.open_space(&format!("{n}"), SpaceKind::State)));
        let flushed = db.copy();
        Self { db, prefix: task_prefix(id), stores, flushed }
    }

    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub fn db(&self) -> &Database {
        &self.db
    }

    pub fn store(&self, number: usize) -> Space {
        Space(number as u32)
    }

    pub fn apply(&self, writes: Vec<Write>) {
        self.db.apply(writes, Durability::Process).expect("memory takes all");
    }

    pub fn checkpoint(&self, store: usize) -> Option<Checkpoint> {
        let bytes = self.db.get(Space(self.stores as u32), &[store as u8]).expect("memory answers")?;
        let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        Some(Checkpoint { offset: number(&bytes[..8]), at: number(&bytes[8..]) })
    }

    pub fn checkpoint_write(&self, store: usize, checkpoint: Checkpoint) -> Write {
        let bytes = [checkpoint.offset.to_be_bytes(), checkpoint.at.to_be_bytes()].concat();
        Write::Put(Space(self.stores as u32), vec![store as u8], bytes)
    }

    /// The clocks, as the changelog of the first store had them.
    pub fn clocks(&self) -> Option<Vec<u8>> {
        let key = [&self.prefix[..], CLOCKS].concat();
        if self.stores == 0 { None } else { self.db.get(Space(0), &key).expect("memory answers") }
    }

    pub fn flush(&mut self) {
        self.flushed = self.db.copy();
    }
}

/// The key of a task's clocks, in its first store and the changelog of that.
pub const CLOCKS: &[u8] = &[OWN_KIND, b'c'];

impl Directory {
    /// A task's database, kept from last time, or new.
    pub fn task(&mut self, topology: &Topology, id: TaskId) -> &mut TaskState {
        let stores = topology.subs[id.sub].stores.len();
        self.tasks.entry(id).or_insert_with(|| TaskState::new(id, stores))
    }

    /// Empties a task's database.
    pub fn start_over(&mut self, topology: &Topology, id: TaskId) {
        self.tasks.remove(&id);
        self.task(topology, id);
    }

    /// The process dies; `losing`: what was not flushed is lost.
    pub fn crash(&mut self, losing: impl Fn(TaskId) -> bool) {
        for (id, state) in &mut self.tasks {
            if losing(*id) {
                state.db.replace(state.flushed.clone());
            }
        }
    }

    pub fn flush(&mut self, nth: u64) {
        let len = self.tasks.len().max(1) as u64;
        if let Some(state) = self.tasks.values_mut().nth((nth % len) as usize) {
            state.flush();
        }
    }

    /// Whether reads are refused from now on.
    pub fn refuse(&mut self, refusing: bool) {
        self.refusing = refusing;
    }

    /// Spaces of all stores, for the engine.
    pub fn spaces(topology: &Topology) -> Vec<Vec<Space>> {
        let of = |(sub, stores): (usize, usize)| {
            (0..stores).map(|store| Space((sub as u32) << STORE_BITS | store as u32)).collect()
        };
        topology.subs.iter().map(|s| s.stores.len()).enumerate().map(of).collect()
    }

    fn of(&self, space: Space, key: &[u8]) -> Result<(&TaskState, Space), StorageError> {
        let (sub, store) = ((space.0 >> STORE_BITS) as usize, space.0 & ((1 << STORE_BITS) - 1));
        let partition = u32::from_be_bytes(key[..4].try_into().expect("keys begin with their task"));
        if self.refusing {
            return Err(StorageError::Unavailable("planned".into()));
        }
        Ok((&self.tasks[&TaskId { sub, partition }], Space(store)))
    }
}

/// All databases as one: a space's number says sub-topology and store, a key's first bytes the task.
impl Keyspaces for Directory {
    fn open_space(&self, _: &str, _: SpaceKind) -> Result<Space, StorageError> {
        Err(StorageError::Unavailable("spaces are opened with their task".into()))
    }
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let (state, space) = self.of(space, key)?;
        state.db.get(space, key)
    }
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        let (state, space) = self.of(space, from)?;
        state.db.scan(space, from, to, visit)
    }
    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<KeyValue>, StorageError> {
        let (state, space) = self.of(space, from)?;
        state.db.last(space, from, before)
    }
    fn apply(&self, _: Vec<Write>, _: Durability) -> Result<(), StorageError> {
        Err(StorageError::Unavailable("states are written with their task's commit".into()))
    }
}
