//! Starting a pipeline over: what would be deleted, and in local mode its deletion. What lies at brokers is
//! [`kafka::reset`](super::kafka::reset)'s.
//!
//! A local reset sets a mark first, and its last write takes it away together with states and positions: between the two no host
//! starts, and the reset is run again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_local::{Log, TopicInfo};
use millstream_rocksdb::Database;
use serde::Serialize;

use super::plan::{Pipeline, user_topics};
use super::storage::{HOST_SPACE, TASKS_SPACE, own};

/// The key that says that a reset is under way.
const MARK: &[u8] = b"reset";

/// Larger than every key: those of states begin with a partition's number, the others with a name.
const LAST: [u8; 8] = [u8::MAX; 8];

/// What a reset deletes and leaves.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// The pipeline.
    pub pipeline: String,
    /// `local` or `kafka`.
    pub mode: &'static str,
    /// Positions that are forgotten: partitions with committed offsets, in local mode tasks.
    pub offsets: u32,
    /// Internal topics.
    pub topics: Vec<Topic>,
    /// States on this host.
    pub folders: Vec<Folder>,
    /// Topics of the user's, which stay.
    pub kept: Vec<String>,
    /// An earlier reset was broken off.
    pub half_done: bool,
    /// Why it cannot be done now.
    pub obstacles: Vec<String>,
}

/// A topic that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Offsets that it spans: no more records than that.
    pub records: u64,
}

/// A state that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folder {
    /// Where it is: a folder, or in local mode the store in the database.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Plan {
    /// Of a pipeline, with nothing found yet.
    pub fn of(pipeline: &Pipeline) -> Self {
        let mode = if pipeline.kafka.is_some() { "kafka" } else { "local" };
        Self { pipeline: pipeline.spec.pipeline.clone(), mode, kept: user_topics(&pipeline.spec), ..Self::default() }
    }

    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.offsets == 0 && self.topics.is_empty() && self.folders.is_empty() && !self.half_done
    }
}

/// Bytes of all files in a folder; what cannot be looked at has none.
pub fn bytes_of(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return path.metadata().map_or(0, |m| m.len()) };
    entries.filter_map(Result::ok).map(|entry| bytes_of(&entry.path())).sum()
}

/// A pipeline in a local folder that is to start over.
pub struct Local<'a> {
    pipeline: &'a Pipeline,
    db: Arc<Database>,
    log: Log,
    host: Space,
    tasks: Space,
    /// Stores by name, of earlier manifests too.
    stores: Vec<(String, Space)>,
}

/// Refuses a folder whose reset was begun and not finished.
///
/// # Errors
/// That it was; those of the storage.
pub fn refuse_half_done(db: &dyn Keyspaces) -> anyhow::Result<()> {
    let host = db.open_space(HOST_SPACE, SpaceKind::State)?;
    if db.get(host, MARK)?.is_some() {
        bail!("a reset of this folder was broken off: run `millstream reset` to its end first");
    }
    Ok(())
}

impl<'a> Local<'a> {
    /// Looks at the folder's database.
    ///
    /// # Errors
    /// When it is another pipeline's; those of the storage.
    pub fn new(pipeline: &'a Pipeline, db: Arc<Database>, log: Log) -> anyhow::Result<Self> {
        own(db.as_ref(), &pipeline.spec.pipeline)?;
        let space = |name: &str| db.open_space(name, SpaceKind::State);
        let names = db.states()?.into_iter().filter(|name| name.starts_with("store."));
        let stores = names.map(|name| space(&name).map(|s| (name, s))).collect::<Result<_, _>>()?;
        Ok(Self { pipeline, log, host: space(HOST_SPACE)?, tasks: space(TASKS_SPACE)?, stores, db })
    }

    fn internal(&self) -> Vec<TopicInfo> {
        self.log.topics().into_iter().filter(|topic| topic.config.internal).collect()
    }

    /// What is there to delete.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let topic = |info: TopicInfo| {
            let spans = (0..info.partitions).filter_map(|p| self.log.partition(&info.name, p));
            let records = spans.map(|p| (p.end - p.start).unsigned_abs()).sum();
            Topic { name: info.name, partitions: info.partitions, records }
        };
        let mut folders = Vec::new();
        for (name, space) in &self.stores {
            let (_, bytes) = self.size(*space)?;
            if bytes > 0 {
                folders.push(Folder { path: name.into(), bytes });
            }
        }
        Ok(Plan {
            offsets: self.size(self.tasks)?.0,
            topics: self.internal().into_iter().map(topic).collect(),
            folders,
            half_done: self.db.get(self.host, MARK)?.is_some(),
            ..Plan::of(self.pipeline)
        })
    }

    /// Entries of a space, and bytes of their keys and values.
    fn size(&self, space: Space) -> Result<(u32, u64), StorageError> {
        let (mut entries, mut bytes) = (0, 0);
        self.db.scan(space, &[], None, &mut |key, value| {
            entries += 1;
            bytes += (key.len() + value.len()) as u64;
            Scan::Continue
        })?;
        Ok((entries, bytes))
    }

    /// Deletes it. Safe to repeat after it was broken off at any point.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn carry_out(&self) -> anyhow::Result<()> {
        self.db.apply(vec![Write::Put(self.host, MARK.to_vec(), Vec::new())], Durability::Device)?;
        for topic in self.internal() {
            self.log.delete_topic(&topic.name)?;
        }
        let all = |space: Space| Write::DeleteRange(space, Vec::new(), LAST.to_vec());
        let stores = self.stores.iter().map(|(_, space)| all(*space));
        let last = [all(self.tasks), Write::Delete(self.host, MARK.to_vec())];
        Ok(self.db.apply(stores.chain(last).collect(), Durability::Device)?)
    }
}
