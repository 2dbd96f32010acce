//! The state directory of a host: its id, its lock, and a database for each task it has or had.
//!
//! `host-id` names the host in the group and in its transactions; `lock` keeps a second process out; `tasks/` has a folder for
//! each task. A task that goes to another host leaves its database here: if it comes back, only the changelog's tail is
//! replayed. Nothing here knows the broker.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use millstream_core::state::keyspace::{
    Durability, KeyValue, Keyspaces, Scan, Space, SpaceKind, StorageError, View, Write,
};
use millstream_core::state::store::Ground;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::task_prefix;
use millstream_rocksdb::{Database, OpenError, Options, SharedMemory};
use rustix::fs::{FlockOperation, flock};
use tracing::{info, warn};

use super::changelog::CLOCKS;
use super::metadata;
use super::repair::Repairs;

/// Bytes of a host's id before it is written as hexadecimal digits.
const HOST_ID_BYTES: usize = 6;

/// Bytes in front of the keys of a task's database: the task's partition, as in databases of several tasks.
const PREFIX_BYTES: usize = 4;

/// Bits of a space's number that say which store of the sub-topology it is.
const STORE_BITS: u32 = 16;

/// What a folder may hold before a host has made itself at home: what a start that failed left, and local mode.
const OWN_FILES: [&str; 7] = ["lock", "tasks", "cache", "token", "url", "producers", "db"];

/// The key, in a task's own space, of what its last commit says beside its stores.
const COMMITTED: &[u8] = b"committed";

/// How long a database that is to be closed may still be used: by a commit that is being written to it.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Time between two looks at that.
const CLOSE_LOOK: Duration = Duration::from_millis(5);

/// An open state directory; while it is open no other process can open it.
pub struct Directory {
    path: PathBuf,
    host_id: String,
    memory: Arc<SharedMemory>,
    options: Options,
    open: RwLock<BTreeMap<TaskId, Arc<TaskState>>>,
    /// Held while a database is opened, or closed and moved.
    opening: Mutex<()>,
    _lock: File,
}

/// The database of a task.
pub struct TaskState {
    /// Where it is.
    pub path: PathBuf,
    db: Database,
    prefix: [u8; PREFIX_BYTES],
    stores: Vec<Space>,
    own: Space,
    names: Vec<String>,
    /// What the next commit writes first.
    repairs: Mutex<Arc<Repairs>>,
}

/// What a task's database says of the changelogs it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Offset behind the last changelog record that is in it.
    pub offset: i64,
    /// Wall time at which that was written, milliseconds since the epoch.
    pub written_at: i64,
}

impl Directory {
    /// Opens a directory, making it where there is none.
    ///
    /// # Errors
    /// In words for the user: of something else, of another pipeline, in use by another process, not writable.
    pub fn open(path: &Path, pipeline: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        refuse_foreign(path)?;
        std::fs::create_dir_all(path.join("tasks")).with_context(|| format!("make {}", path.display()))?;
        let file = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = lock.with_context(|| format!("open {}", file.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "{} is in use by another process; each host needs a state directory of its own: give this one \
                 another with --state-dir",
                path.display()
            );
        }
        belongs_to(path, pipeline)?;
        let options = Options { wal: false, ..Options::default() };
        Ok(Self {
            path: path.to_path_buf(),
            host_id: host_id(path)?,
            memory: Arc::new(SharedMemory::new(&options)),
            options,
            open: RwLock::default(),
            opening: Mutex::default(),
            _lock: lock,
        })
    }

    /// Names this host in the group and in its transactions, for as long as the directory exists.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many transactional producers this directory's hosts ever had at once; at least `workers` from now on.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn producers_ever(&self, workers: usize) -> anyhow::Result<usize> {
        let file = self.path.join("producers");
        let before = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().with_context(|| format!("{} holds no number", file.display()))?,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => 0,
            Err(why) => return Err(why).with_context(|| format!("read {}", file.display())),
        };
        if workers > before {
            write_whole(&file, &format!("{workers}\n"))?;
        }
        Ok(before.max(workers))
    }

    /// The database of a task, opened where it is not: kept from last time, or new.
    ///
    /// A damaged or foreign database is set aside, not deleted, and the task begins with an empty one, which its changelog
    /// fills again.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn task(&self, topology: &Topology, id: TaskId) -> anyhow::Result<Arc<TaskState>> {
        if let Some(state) = self.read().get(&id) {
            return Ok(state.clone());
        }
        let _one_at_a_time = lock(&self.opening);
        if let Some(state) = self.read().get(&id) {
            return Ok(state.clone());
        }
        let path = self.folder(topology, id);
        let opened = match Database::open_sharing(&path, self.options, self.memory.clone()) {
            Ok(db) => db,
            Err(why @ (OpenError::Unavailable { .. } | OpenError::InUse(_))) => return Err(why.into()),
            Err(why) => {
                let aside = set_aside(&path)?;
                warn!(task = %path.display(), error = %why, aside = %aside.display(), "its state is built anew from its changelog");
                Database::open_sharing(&path, self.options, self.memory.clone())?
            }
        };
        let state = Arc::new(TaskState::new(path, opened, topology, id)?);
        self.write().insert(id, state.clone());
        Ok(state)
    }

    /// The database of a task, where it is open.
    pub fn opened(&self, id: TaskId) -> Option<Arc<TaskState>> {
        self.read().get(&id).cloned()
    }

    /// A task has gone: its database stays open for when it comes back, and what is in memory is written out.
    pub fn park(&self, id: TaskId) {
        if let Some(state) = self.read().get(&id)
            && let Err(why) = state.flush()
        {
            warn!(task = %state.path.display(), error = %why, "could not be flushed; if this process is killed more is replayed");
        }
    }

    /// Closes a task's database and moves it out of the way, for whoever wants to look at it; the task begins with an empty one.
    ///
    /// # Errors
    /// While somebody uses it; when the device refuses.
    pub fn set_aside(&self, topology: &Topology, id: TaskId, why: &str) -> anyhow::Result<()> {
        let _one_at_a_time = lock(&self.opening);
        let state = self.write().remove(&id);
        if let Some(state) = state {
            let until = Instant::now() + CLOSE_WAIT;
            while Arc::strong_count(&state) > 1 && Instant::now() < until {
                std::thread::sleep(CLOSE_LOOK);
            }
            if let Err(state) = Arc::try_unwrap(state) {
                self.write().insert(id, state);
                bail!("the state is still in use");
            }
        }
        let path = self.folder(topology, id);
        if path.exists() {
            let aside = set_aside(&path)?;
            warn!(task = %path.display(), error = why, aside = %aside.display(), "its state is built anew from its changelog");
        }
        Ok(())
    }

    fn folder(&self, topology: &Topology, id: TaskId) -> PathBuf {
        self.path.join("tasks").join(task_name(topology, id))
    }

    /// Empties a task's database: its changelog says other than it does.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn start_over(&self, topology: &Topology, id: TaskId, why: &str) -> anyhow::Result<Arc<TaskState>> {
        let state = self.task(topology, id)?;
        info!(task = %state.path.display(), reason = why, "state is built anew from its changelog");
        state.clear()?;
        Ok(state)
    }

    /// Bytes of memory that all databases' caches and write buffers take now.
    pub fn memory_bytes(&self) -> usize {
        self.memory.memory_bytes()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<TaskId, Arc<TaskState>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<TaskId, Arc<TaskState>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's folder: the sub-topology's first step rather than its number, which moves when a source is added in front.
fn task_name(topology: &Topology, id: TaskId) -> String {
    let name = topology.subs[id.sub].nodes.first().map_or("", |node| node.name.as_str());
    format!("{name}_{}", id.partition)
}

/// Reads the host's id, or makes one.
fn host_id(path: &Path) -> anyhow::Result<String> {
    let file = path.join("host-id");
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let id = text.trim();
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                bail!("{} should hold letters, digits and `-`, and holds {id:?}", file.display());
            }
            Ok(id.to_string())
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; HOST_ID_BYTES];
            getrandom::fill(&mut bytes).context("ask the system for random bytes")?;
            let id: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            write_whole(&file, &format!("{id}\n"))?;
            Ok(id)
        }
        Err(why) => Err(why).with_context(|| format!("read {}", file.display())),
    }
}

/// Refuses a folder that holds what no host puts there: most likely the path is wrong.
fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    if path.join("host-id").exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let name = entry.with_context(|| format!("read {}", path.display()))?.file_name();
        if !OWN_FILES.iter().any(|own| name == *own) {
            bail!(
                "{} is not empty and no state directory (it has no `host-id`, but `{}`); give --state-dir a folder for this host alone",
                path.display(),
                name.to_string_lossy()
            );
        }
    }
    Ok(())
}

/// Notes whose state it is, or refuses that of another pipeline: its tasks may have the same names.
fn belongs_to(path: &Path, pipeline: &str) -> anyhow::Result<()> {
    let file = path.join("pipeline");
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim() == pipeline => Ok(()),
        Ok(text) => bail!(
            "{} holds the state of pipeline `{}`, and this is `{pipeline}`; give --state-dir a folder of its own",
            path.display(),
            text.trim()
        ),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => write_whole(&file, &format!("{pipeline}\n")),
        Err(why) => Err(why).with_context(|| format!("read {}", file.display())),
    }
}

/// Writes a small file whole or not at all.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    let written = File::create(&new).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    written.and_then(|()| std::fs::rename(&new, file)).with_context(|| format!("write {}", file.display()))
}

/// Moves a folder that cannot be used out of the way.
pub fn set_aside(path: &Path) -> anyhow::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".set-aside-{now}"));
    let aside = path.with_file_name(name);
    std::fs::rename(path, &aside).with_context(|| format!("move {} aside", path.display()))?;
    Ok(aside)
}

impl TaskState {
    fn new(path: PathBuf, db: Database, topology: &Topology, id: TaskId) -> anyhow::Result<Self> {
        let names: Vec<String> = topology.subs[id.sub].stores.iter().map(|store| store.name.clone()).collect();
        let stores = names.iter().map(|name| db.open_space(&format!("store.{name}"), SpaceKind::State));
        let stores = stores.collect::<Result<Vec<_>, _>>()?;
        let own = db.open_space("task", SpaceKind::State)?;
        Ok(Self { path, prefix: task_prefix(id), stores, own, names, db, repairs: Mutex::default() })
    }

    /// What of its changelogs the next commit is to undo.
    pub fn repairs(&self) -> Arc<Repairs> {
        lock(&self.repairs).clone()
    }

    /// Says what of its changelogs is to be undone from now on.
    pub fn set_repairs(&self, repairs: Repairs) {
        *lock(&self.repairs) = Arc::new(repairs);
    }

    /// What stands in front of its keys.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The space of a store of its sub-topology.
    pub fn store(&self, number: usize) -> Space {
        self.stores[number]
    }

    fn checkpoint_key(&self, store: usize) -> Vec<u8> {
        [b"changelog ", self.names[store].as_bytes()].concat()
    }

    /// How far a store's changelog is in here; `None`: nothing is.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn checkpoint(&self, store: usize) -> Result<Option<Checkpoint>, StorageError> {
        let bytes = self.db.get(self.own, &self.checkpoint_key(store))?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        let read = |bytes: Vec<u8>| {
            let (offset, written_at) = bytes.split_at_checked(8)?;
            Some(Checkpoint { offset: number(offset)?, written_at: number(written_at)? })
        };
        match bytes {
            None => Ok(None),
            Some(bytes) => read(bytes)
                .map(Some)
                .ok_or_else(|| StorageError::Corrupted("a checkpoint has a form this version does not know".into())),
        }
    }

    /// The write that moves a store's checkpoint.
    pub fn checkpoint_write(&self, store: usize, checkpoint: Checkpoint) -> Write {
        let bytes = [checkpoint.offset.to_be_bytes(), checkpoint.written_at.to_be_bytes()].concat();
        Write::Put(self.own, self.checkpoint_key(store), bytes)
    }

    fn changelog_key(&self, store: usize) -> Vec<u8> {
        [b"changelog-id ", self.names[store].as_bytes()].concat()
    }

    /// Id of the changelog topic that a store is made from; `None`: of none yet.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn changelog(&self, store: usize) -> Result<Option<String>, StorageError> {
        let id = self.db.get(self.own, &self.changelog_key(store))?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    /// The write that says which changelog topic a store is made from.
    pub fn changelog_write(&self, store: usize, id: &str) -> Write {
        Write::Put(self.own, self.changelog_key(store), id.into())
    }

    /// The write that says that the stores are as a commit left them, with the small part of what it says beside them. It goes with the
    /// commit's own writes, and at the end of a restore.
    pub fn committed_write(&self, small: Vec<u8>) -> Write {
        Write::Put(self.own, COMMITTED.to_vec(), small)
    }

    /// The write that says that the stores are between two commits: at the beginning of a restore.
    pub fn restoring_write(&self) -> Write {
        Write::Delete(self.own, COMMITTED.to_vec())
    }

    /// Its stores as they are now, for whoever reads them beside the engine.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn view(&self) -> Result<Box<dyn View + '_>, StorageError> {
        self.db.view()
    }

    /// What the last commit says beside the stores, small part and clocks; `None`: the stores are between two commits.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn committed_in(&self, view: &dyn View) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(small) = view.get(self.own, COMMITTED)? else { return Ok(None) };
        let clocks = match self.stores.first() {
            Some(space) => view.get(*space, &[&self.prefix, CLOCKS].concat())?.filter(|clocks| !clocks.is_empty()),
            None => None,
        };
        let unknown = || StorageError::Corrupted("a task's metadata has a form this version does not know".into());
        metadata::join(&small, clocks.as_deref()).map(Some).ok_or_else(unknown)
    }

    /// The ground of a store: as the engine sees it.
    pub fn ground(&self, store: usize) -> Ground<'_> {
        Ground { db: &self.db, space: self.stores[store], prefix: &self.prefix }
    }

    /// The task's clocks, which the last commit wrote; `None`: it has none.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn clocks(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(space) = self.stores.first() else { return Ok(None) };
        self.db.get(*space, &[&self.prefix, CLOCKS].concat())
    }

    /// The write that sets them, for a task with a store; no other has clocks.
    pub fn clocks_write(&self, bytes: Vec<u8>) -> Option<Write> {
        self.stores.first().map(|space| Write::Put(*space, [&self.prefix, CLOCKS].concat(), bytes))
    }

    /// Applies writes whole. They outlive the process once [`TaskState::flush`]ed; before that the changelog has them.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn apply(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.db.apply(writes, Durability::Process)
    }

    /// Writes to files what is in memory, in the background.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.db.flush()
    }

    fn clear(&self) -> Result<(), StorageError> {
        let all = |space: &Space| Write::DeleteRange(*space, Vec::new(), vec![u8::MAX; PREFIX_BYTES + 1]);
        let mut writes: Vec<Write> = self.stores.iter().map(all).collect();
        writes.push(all(&self.own));
        self.apply(writes)
    }
}

/// All tasks' databases as one, for the engine: a space's number says sub-topology and store, a key's first bytes the task.
impl Directory {
    /// The spaces of every sub-topology's stores, for [`millstream_core::worker::Grounds`].
    pub fn spaces(topology: &Topology) -> Vec<Vec<Space>> {
        let of = |(sub, plan): (usize, &millstream_core::topology::graph::SubTopology)| {
            (0..plan.stores.len()).map(|store| Space((sub as u32) << STORE_BITS | store as u32)).collect()
        };
        topology.subs.iter().enumerate().map(of).collect()
    }

    fn of(&self, space: Space, key: &[u8]) -> Result<(Arc<TaskState>, Space), StorageError> {
        let (sub, store) = ((space.0 >> STORE_BITS) as usize, (space.0 & ((1 << STORE_BITS) - 1)) as usize);
        let prefix = key.first_chunk::<PREFIX_BYTES>().copied().unwrap_or_default();
        let id = TaskId { sub, partition: u32::from_be_bytes(prefix) };
        let state = self.read().get(&id).cloned();
        let state =
            state.ok_or_else(|| StorageError::Unavailable(format!("task {sub}_{} is not open", id.partition)))?;
        let space = state.stores[store];
        Ok((state, space))
    }
}

impl Keyspaces for Directory {
    fn open_space(&self, name: &str, _: SpaceKind) -> Result<Space, StorageError> {
        Err(StorageError::Corrupted(format!("keyspace `{name}` is opened with its task")))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let (state, space) = self.of(space, key)?;
        state.db.get(space, key)
    }

    fn get_all(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let (state, space) = self.of(space, first)?;
        state.db.get_all(space, keys)
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
        Err(StorageError::Corrupted("states are written with their task's commit".into()))
    }
}

/// A lock that a panic elsewhere does not spoil.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::meta::{ClockMeta, Meta};
    use millstream_core::topology::graph::plan;
    use millstream_core::topology::spec::{From, Idle, Lateness, OnError, Operator, SourceSpec, Spec, StepSpec};

    /// One table.
    fn topology() -> Topology {
        let source =
            SourceSpec { name: "in".into(), topics: vec!["in".into()], timestamp: None, on_error: OnError::Fail };
        let step = StepSpec {
            name: "table".into(),
            from: vec![From { name: "in".into(), output: None }],
            operator: Operator::Table { partitions: None, history_ms: None },
            on_error: OnError::Fail,
            late: None,
            idle: Idle::Never,
            lateness: Lateness::OwnTask,
            max_idle: None,
        };
        let spec = Spec { pipeline: "p".into(), sources: vec![source], steps: vec![step], ..Spec::default() };
        plan(&spec, &|_| Some(2)).unwrap()
    }

    #[test]
    fn a_view_is_of_a_commit_or_says_that_it_is_of_none() {
        let (dir, topology, id) = (tempfile::tempdir().unwrap(), topology(), TaskId { sub: 0, partition: 1 });
        let directory = Directory::open(dir.path(), "p").unwrap();
        assert!(directory.opened(id).is_none());
        let state = directory.task(&topology, id).unwrap();
        assert!(directory.opened(id).is_some());
        let seen =
            || state.committed_in(state.view().unwrap().as_ref()).unwrap().map(|meta| Meta::decode(&meta).unwrap());
        assert_eq!(seen(), None, "nothing was restored or committed");
        let clocks = vec![ClockMeta { node: "n".into(), closing: 5, inputs: vec![] }];
        let meta = Meta { positions: vec![("in".into(), 3)], clocks, interval: 4, ..Meta::default() };
        let (small, clocks) = metadata::split(meta.clone());
        let row = [state.prefix(), b"\x01k"].concat();
        let put = Write::Put(state.store(0), row.clone(), b"v".to_vec());
        let all = [Some(put), Some(state.committed_write(small)), state.clocks_write(clocks.unwrap())];
        state.apply(all.into_iter().flatten().collect()).unwrap();
        assert_eq!(seen(), Some(meta), "clocks and all");
        let before = state.view().unwrap();
        state.apply(vec![state.restoring_write(), Write::Delete(state.store(0), row.clone())]).unwrap();
        assert_eq!(seen(), None, "it is restored");
        assert!(state.committed_in(before.as_ref()).unwrap().is_some(), "what was seen stays");
        assert_eq!(before.get(state.store(0), &row).unwrap().as_deref(), Some(&b"v"[..]));
        state.apply(vec![state.committed_write(Meta::default().encode())]).unwrap();
        drop(before);
        directory.start_over(&topology, id, "a test").unwrap();
        assert_eq!(seen(), None, "and so is one that begins anew");
    }
}
