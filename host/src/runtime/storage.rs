//! The folder of an embedded pipeline: one database for topics, state, positions, versions and their history.

use std::sync::Arc;

use anyhow::{Context, bail};
use millstream_core::commit::Interval;
use millstream_core::made_with;
use millstream_core::meta::Meta;
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, StorageError, View, Write};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::task_prefix;
use millstream_local::{Append, AppendError, Log};

use super::fleet::entries::SwitchRecord;
use super::fleet::local::{history_space, switch_write};

/// Keyspace of what is noted of the host itself.
pub const HOST_SPACE: &str = "host";

/// Keyspace of the tasks' metadata.
pub const TASKS_SPACE: &str = "tasks";

/// The key under which a database has its pipeline's name.
const PIPELINE: &[u8] = b"pipeline";

/// Everything durable of a pipeline in embedded mode.
pub struct Storage {
    /// The database.
    pub db: Arc<dyn Keyspaces>,
    /// Its topics.
    pub log: Arc<Log>,
    /// What an interval survives once it is committed.
    pub durability: Durability,
    tasks: Space,
    history: Space,
    stores: Vec<Vec<Space>>,
}

impl Storage {
    /// Opens what hangs on `db` for a topology.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn open(
        db: Arc<dyn Keyspaces>,
        log: Arc<Log>,
        topology: &Topology,
        durability: Durability,
    ) -> anyhow::Result<Self> {
        own(db.as_ref(), &topology.pipeline)?;
        let tasks = db.open_space(TASKS_SPACE, SpaceKind::State)?;
        let history = history_space(db.as_ref())?;
        let mut stores = Vec::new();
        for sub in &topology.subs {
            let spaces = sub.stores.iter().map(|s| db.open_space(&format!("store.{}", s.name), SpaceKind::State));
            stores.push(spaces.collect::<Result<Vec<_>, _>>()?);
        }
        refuse_changed(db.as_ref(), topology, &stores)?;
        Ok(Self { db, log, durability, tasks, history, stores })
    }

    /// Spaces of the stores, by sub-topology.
    pub fn spaces(&self) -> &[Vec<Space>] {
        &self.stores
    }

    fn task_key(topology: &Topology, task: TaskId) -> Vec<u8> {
        // By the sub-topology's first step rather than its number, which moves when a source is added in front.
        let sub = &topology.subs[task.sub];
        let name = sub.nodes.first().map_or("", |n| n.name.as_str());
        [name.as_bytes(), &[0], &task_prefix(task)].concat()
    }

    /// What a task's last commit wrote.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn meta(&self, topology: &Topology, task: TaskId) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.db.get(self.tasks, &Self::task_key(topology, task))?)
    }

    /// As [`Storage::meta`], in a view of the database.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn meta_in(&self, view: &dyn View, topology: &Topology, task: TaskId) -> Result<Option<Vec<u8>>, StorageError> {
        view.get(self.tasks, &Self::task_key(topology, task))
    }

    /// The largest interval number that any task's metadata names.
    ///
    /// # Errors
    /// Those of the storage; metadata that cannot be read.
    pub fn last_interval(&self, topology: &Topology) -> anyhow::Result<u64> {
        let mut last = 0;
        for (sub, plan) in topology.subs.iter().enumerate() {
            for partition in 0..plan.tasks {
                let task = TaskId { sub, partition };
                if let Some(bytes) = self.meta(topology, task)? {
                    let meta = Meta::decode(&bytes)
                        .with_context(|| format!("the metadata of task {sub}_{partition} cannot be read"))?;
                    last = last.max(meta.interval);
                }
            }
        }
        Ok(last)
    }

    /// All writes of an interval but its records: state, metadata, history.
    ///
    /// # Errors
    /// Those of [`switch_write`].
    pub fn writes(&self, topology: &Topology, interval: &Interval) -> anyhow::Result<Vec<Write>> {
        let mut writes = Vec::new();
        for part in &interval.parts {
            let prefix = task_prefix(part.task);
            for (space, changes) in self.stores[part.task.sub].iter().zip(&part.changes) {
                writes.extend(change_writes(*space, &prefix, changes));
            }
            let key = Self::task_key(topology, part.task);
            writes.push(Write::Put(self.tasks, key, part.meta.clone()));
            for switch in &part.switches {
                let function = &topology.functions[switch.function];
                writes.push(switch_write(self.history, &SwitchRecord::new(part.task, function, switch))?);
            }
        }
        Ok(writes)
    }

    /// Makes an interval one fact: its records, state, metadata and history in one atomic write.
    ///
    /// # Errors
    /// Typed by what to do; nothing of the interval is there then.
    pub fn commit(&self, topology: &Topology, interval: &Interval) -> Result<(), CommitError> {
        let writes = self.writes(topology, interval).map_err(|why| CommitError::Fatal(format!("{why:#}")))?;
        let outputs = interval.parts.iter().flat_map(|part| &part.outputs);
        let appends = outputs.map(|output| Append {
            topic: topology.topics[output.topic].name.clone(),
            partition: output.partition,
            batch: output.batch.clone(),
        });
        match self.log.append(appends.collect(), writes, self.durability) {
            Ok(_) => Ok(()),
            Err(AppendError::Storage(StorageError::Unavailable(why))) => Err(CommitError::Retry(why)),
            Err(other) => Err(CommitError::Fatal(other.to_string())),
        }
    }
}

/// Refuses states that were made with other settings than they are to go on with, all of them at once, before a task is opened.
fn refuse_changed(db: &dyn Keyspaces, topology: &Topology, stores: &[Vec<Space>]) -> anyhow::Result<()> {
    let mut told: Vec<String> = Vec::new();
    for ((sub, plan), spaces) in topology.subs.iter().enumerate().zip(stores) {
        for partition in 0..plan.tasks {
            let prefix = task_prefix(TaskId { sub, partition });
            for changed in made_with::read(plan, db, spaces, &prefix)?.changed {
                let why = changed.to_string();
                if !told.contains(&why) {
                    told.push(why);
                }
            }
        }
    }
    if told.is_empty() { Ok(()) } else { bail!("{}", told.join("\n")) }
}

/// Marks a database as a pipeline's. Another one would go on from its positions, with its states where steps have the same names.
///
/// # Errors
/// When it is another's; those of the storage.
pub fn own(db: &dyn Keyspaces, pipeline: &str) -> anyhow::Result<()> {
    let space = db.open_space(HOST_SPACE, SpaceKind::State)?;
    match db.get(space, PIPELINE)? {
        None => {
            let mark = Write::Put(space, PIPELINE.to_vec(), pipeline.as_bytes().to_vec());
            Ok(db.apply(vec![mark], Durability::Device)?)
        }
        Some(name) if name == pipeline.as_bytes() => Ok(()),
        Some(name) => bail!(
            "the folder belongs to pipeline `{}`, not to `{pipeline}`; give each a folder of its own (`--local DIR`)",
            String::from_utf8_lossy(&name)
        ),
    }
}

/// Why an interval is not there, by what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The storage refuses for now (a full disk): try the same again.
    Retry(String),
    /// Trying again cannot help.
    Fatal(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;

    #[test]
    fn a_folder_is_one_pipelines() {
        let db = memory();
        own(db.as_ref(), "counts").unwrap();
        own(db.as_ref(), "counts").unwrap();
        let why = own(db.as_ref(), "sums").unwrap_err().to_string();
        assert!(why.contains("belongs to pipeline `counts`, not to `sums`"), "{why}");
    }
}
