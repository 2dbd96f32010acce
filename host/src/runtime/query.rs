//! Stores of a running pipeline for whoever reads them beside its workers: each task's, as its last commit left it. A reader has a view of
//! the database of its own, so that no worker waits for it and it waits for none. What is asked, and how it is told, is not known here.

use std::sync::Arc;

use millstream_core::function::Prepared;
use millstream_core::meta::Meta;
use millstream_core::state::keyspace::{Space, StorageError, View};
use millstream_core::state::query::QueryError;
use millstream_core::task::TaskId;
use millstream_core::worker::task_prefix;
use millstream_wasm::{Registry, WorkerFunctions};

use super::Host;
use super::fleet::Fleet;
use super::kafka::KafkaHost;
use super::kafka::owners::Owner;
use super::status::TaskState;

/// A store of a task as a commit left it.
pub struct Committed<'v> {
    /// The database at that moment.
    pub view: &'v dyn View,
    /// The store's keyspace.
    pub space: Space,
    /// In front of the task's keys.
    pub prefix: &'v [u8],
    /// What the commit says beside the stores; that of a task which has not committed yet says nothing.
    pub meta: Meta,
}

/// Why a task's store could not be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Away {
    /// It is this host's and not up to date; the text says why.
    Restoring(String),
    /// It is not this host's.
    NotHere,
}

/// Reads a store.
pub type Read<'r> = &'r mut dyn FnMut(Committed<'_>) -> Result<(), QueryError>;

/// Functions of a question's own, and the version that is to be called: workers' instances are theirs alone.
pub struct Callable {
    /// Calls it, on a thread with a stack of [`millstream_wasm::WORKER_STACK_BYTES`].
    pub functions: WorkerFunctions,
    /// The version.
    pub prepared: Prepared,
}

impl Callable {
    fn new(registry: &Arc<Registry>, prepared: Prepared) -> Self {
        Self { functions: WorkerFunctions::new(registry.clone()), prepared }
    }
}

/// Where stores can be read.
pub trait Stores: Sync {
    /// Reads a store of a task: its sub-topology's with this number.
    ///
    /// # Errors
    /// Those of the storage and of `read`; the inner one: it is not here to be read, and `read` was not called.
    fn look(&self, task: TaskId, store: usize, read: Read<'_>) -> Result<Result<(), Away>, QueryError>;

    /// The version of a function, by its number in the plan, with which a task's commit was made: it reads the states that are there.
    /// `None`: another one is taking over just now.
    fn functions(&self, function: usize, meta: &Meta) -> Option<Callable>;

    /// Who has tasks that are not here, in their order.
    fn owners(&self, of: &[TaskId]) -> Vec<Holder>;
}

/// Who has a task, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A host at this address.
    At(String),
    /// Not known, or nobody now; the text says why.
    Unknown(String),
}

/// The version of a function with which a task's commit was made; for a task that has not committed yet, and so has no states, the one
/// that runs.
fn callable(fleet: &Fleet, registry: &Arc<Registry>, name: &str, function: usize, meta: &Meta) -> Option<Callable> {
    let prepared = match meta.epochs.iter().find(|(of, _)| of == name) {
        Some((_, epoch)) => fleet.prepared_at(function, *epoch),
        None => fleet.prepared(function),
    };
    prepared.map(|prepared| Callable::new(registry, prepared))
}

fn unreadable() -> StorageError {
    StorageError::Corrupted("a task's metadata has a form this version does not know".into())
}

impl Stores for Host {
    /// Everything is one database, and every write to it is a commit.
    fn look(&self, task: TaskId, store: usize, read: Read<'_>) -> Result<Result<(), Away>, QueryError> {
        let view = self.storage.db.view()?;
        let meta = self.storage.meta_in(view.as_ref(), &self.topology, task)?;
        let meta = meta.map_or(Ok(Meta::default()), |bytes| Meta::decode(&bytes).ok_or_else(unreadable))?;
        let space = self.storage.spaces()[task.sub][store];
        read(Committed { view: view.as_ref(), space, prefix: &task_prefix(task), meta })?;
        Ok(Ok(()))
    }

    fn functions(&self, function: usize, meta: &Meta) -> Option<Callable> {
        callable(&self.fleet, &self.registry, &self.topology.functions[function], function, meta)
    }

    fn owners(&self, of: &[TaskId]) -> Vec<Holder> {
        of.iter().map(|_| Holder::Unknown("in local mode this host has everything".into())).collect()
    }
}

/// Why a task that stands so is not to be read; `None`: it is. What is paused or stopped stands at its last commit.
fn not_readable(state: &TaskState) -> Option<String> {
    match state {
        TaskState::Running | TaskState::Paused | TaskState::Stopped(_) => None,
        TaskState::Starting => Some("it is being opened".into()),
        TaskState::Restoring { done, of } => Some(format!("its state is being restored: {done} of {of} offsets")),
        TaskState::Retrying(why) => Some(format!("it is opened again: {why}")),
    }
}

impl Stores for KafkaHost {
    /// How the task stands is looked at before its database: what is in a view that is taken later is of a later commit. While a state
    /// is restored its database says of itself that it is between two commits, so a restore that begins meanwhile is seen.
    fn look(&self, task: TaskId, store: usize, read: Read<'_>) -> Result<Result<(), Away>, QueryError> {
        let Some(stands) = self.status.stands(task) else { return Ok(Err(Away::NotHere)) };
        if let Some(why) = not_readable(&stands) {
            return Ok(Err(Away::Restoring(why)));
        }
        let between = || Away::Restoring("its state is between two commits".into());
        let Some(state) = self.directory.opened(task) else { return Ok(Err(between())) };
        let view = state.view()?;
        let Some(meta) = state.committed_in(view.as_ref())? else { return Ok(Err(between())) };
        let meta = Meta::decode(&meta).ok_or_else(unreadable)?;
        read(Committed { view: view.as_ref(), space: state.store(store), prefix: state.prefix(), meta })?;
        Ok(Ok(()))
    }

    fn functions(&self, function: usize, meta: &Meta) -> Option<Callable> {
        callable(&self.fleet, &self.registry, &self.topology.functions[function], function, meta)
    }

    fn owners(&self, of: &[TaskId]) -> Vec<Holder> {
        let found = match self.owners.of(of) {
            Ok(found) => found,
            Err(why) => {
                return of
                    .iter()
                    .map(|_| Holder::Unknown(format!("the brokers do not say who has it: {why}")))
                    .collect();
            }
        };
        let holder = |task: &TaskId| match found.get(task) {
            Some(Owner::At(address)) => Holder::At(address.clone()),
            Some(Owner::This) => Holder::Unknown("this host is taking it on, or giving it up".into()),
            Some(Owner::Unreachable(host)) => Holder::Unknown(format!(
                "host {host} has it and does not say where it is reached; it is to be started with --advertise"
            )),
            Some(Owner::Nobody) | None => Holder::Unknown("nobody has it yet".into()),
        };
        of.iter().map(holder).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_its_last_commit_is_readable() {
        let readable = |state| not_readable(&state).is_none();
        assert!(
            readable(TaskState::Running) && readable(TaskState::Paused) && readable(TaskState::Stopped("x".into()))
        );
        assert!(!readable(TaskState::Starting) && !readable(TaskState::Retrying("x".into())));
        let why = not_readable(&TaskState::Restoring { done: 3, of: 10 }).unwrap();
        assert!(why.ends_with("3 of 10 offsets"), "{why}");
    }
}
