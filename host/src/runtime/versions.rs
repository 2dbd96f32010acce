//! Versions of functions: the control log, the modules, and which records each version handled.
//!
//! Three keyspaces: `control` holds the log by position, `modules` the components by digest, `history` a line for each
//! task's switch. What is in force is [`millstream_core::swap`]'s fold over the log, the same at every start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, anyhow, bail};
use millstream_core::operator::Active;
use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, Write};
use millstream_core::swap::{Activation, Applied, Control, Entry, FunctionControl, Version};
use millstream_core::task::{Switch, TaskId};
use serde::{Deserialize, Serialize};

/// An entry as it is kept: JSON, since people look at it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
enum Kept {
    Propose { function: String, digest: String, settings: String, origin: String, proposed_at: i64, builds_on: u64 },
    Void { proposal: u64, reason: String },
    Activate { proposal: u64 },
}

impl From<&Entry> for Kept {
    fn from(entry: &Entry) -> Self {
        match entry.clone() {
            Entry::Propose { function, version, builds_on } => Kept::Propose {
                function,
                digest: version.digest,
                settings: version.settings,
                origin: version.origin,
                proposed_at: version.proposed_at,
                builds_on,
            },
            Entry::Void { proposal, reason } => Kept::Void { proposal, reason },
            Entry::Activate { proposal } => Kept::Activate { proposal },
        }
    }
}

impl From<Kept> for Entry {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Propose { function, digest, settings, origin, proposed_at, builds_on } => {
                let version = Version { digest, settings, origin, proposed_at };
                Entry::Propose { function, version, builds_on }
            }
            Kept::Void { proposal, reason } => Entry::Void { proposal, reason },
            Kept::Activate { proposal } => Entry::Activate { proposal },
        }
    }
}

/// From where a task ran a version, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct SwitchRecord {
    /// The function.
    pub function: String,
    /// Number of the sub-topology.
    pub sub_topology: usize,
    /// Partition number of the task.
    pub partition: u32,
    /// Epoch of the version.
    pub epoch: u64,
    /// First offset handled, by topic.
    pub positions: BTreeMap<String, i64>,
}

/// The control log and what hangs on it.
pub struct Versions {
    db: Arc<dyn Keyspaces>,
    control: Space,
    modules: Space,
    history: Space,
    state: Mutex<Control>,
}

impl Versions {
    /// Reads the log; gives up proposals that a host left open when it died.
    ///
    /// # Errors
    /// Those of the storage; a log that cannot be read.
    pub fn open(db: Arc<dyn Keyspaces>) -> anyhow::Result<Self> {
        let control = db.open_space("control", SpaceKind::State)?;
        let modules = db.open_space("modules", SpaceKind::Log)?;
        let history = db.open_space("history", SpaceKind::State)?;
        let mut state = Control::default();
        let mut failed = None;
        db.scan(control, &[], None, &mut |key, value| match read_entry(&mut state, key, value) {
            Ok(()) => Scan::Continue,
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        })?;
        if let Some(error) = failed {
            return Err(error.context("read the control log"));
        }
        let versions = Self { db, control, modules, history, state: Mutex::new(state) };
        let open: Vec<u64> = versions.lock().open_proposals().map(|(_, at)| at).collect();
        for proposal in open {
            let reason = "the host stopped before it was prepared".to_string();
            versions.append(&Entry::Void { proposal, reason }, Vec::new())?;
        }
        Ok(versions)
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Appends an entry, with other writes in the same atomic batch, and tells what it did.
    fn append(&self, entry: &Entry, mut writes: Vec<Write>) -> anyhow::Result<(u64, Applied)> {
        let mut state = self.lock();
        let at = state.last() + 1;
        let bytes = serde_json::to_vec(&Kept::from(entry))?;
        writes.push(Write::Put(self.control, at.to_be_bytes().to_vec(), bytes));
        self.db.apply(writes, Durability::Device).context("write the control log")?;
        let applied = state.apply(at, entry).map_err(|expected| anyhow!("control log: expected entry {expected}"))?;
        Ok((at, applied))
    }

    /// What the log says of a function.
    pub fn function(&self, name: &str) -> Option<FunctionControl> {
        self.lock().function(name).cloned()
    }

    /// The version in force.
    pub fn in_force(&self, function: &str) -> Option<Activation> {
        self.lock().function(function).and_then(|f| f.in_force().cloned())
    }

    /// Proposes a version, keeps its component, and gives the proposal's position.
    ///
    /// # Errors
    /// Why the proposal is void, in words for the user; those of the storage.
    pub fn propose(&self, function: &str, component: &[u8], version: Version) -> anyhow::Result<u64> {
        let builds_on = self.in_force(function).map_or(0, |a| a.epoch);
        let module = Write::Put(self.modules, version.digest.clone().into_bytes(), component.to_vec());
        let entry = Entry::Propose { function: function.to_string(), version, builds_on };
        match self.append(&entry, vec![module])? {
            (at, Applied::Opened) => Ok(at),
            (_, Applied::Void(reason)) => bail!(reason),
            (_, other) => bail!("unexpected answer to a proposal: {other:?}"),
        }
    }

    /// Gives a proposal up.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn void(&self, proposal: u64, reason: &str) -> anyhow::Result<()> {
        self.append(&Entry::Void { proposal, reason: reason.to_string() }, Vec::new()).map(|_| ())
    }

    /// Puts a proposal in force.
    ///
    /// # Errors
    /// Why it is not open any more; those of the storage.
    pub fn activate(&self, proposal: u64) -> anyhow::Result<Activation> {
        match self.append(&Entry::Activate { proposal }, Vec::new())? {
            (_, Applied::Activated(activation)) => Ok(activation),
            (_, other) => bail!("the proposal cannot be activated: {other:?}"),
        }
    }

    /// A component, by its digest.
    ///
    /// # Errors
    /// When it is not kept; those of the storage.
    pub fn module(&self, digest: &str) -> anyhow::Result<Vec<u8>> {
        self.db.get(self.modules, digest.as_bytes())?.with_context(|| format!("no component {digest} is kept"))
    }

    /// The write that notes a task's switch, for the commit of the interval that is the first under it.
    ///
    /// # Errors
    /// None in practice: the record is always JSON.
    pub fn switch_write(&self, task: TaskId, function: &str, switch: &Switch) -> anyhow::Result<Write> {
        let record = SwitchRecord {
            function: function.to_string(),
            sub_topology: task.sub,
            partition: task.partition,
            epoch: switch.epoch,
            positions: switch.positions.iter().cloned().collect(),
        };
        let mut key = function.as_bytes().to_vec();
        key.push(0);
        key.extend_from_slice(&switch.epoch.to_be_bytes());
        key.extend_from_slice(&(task.sub as u32).to_be_bytes());
        key.extend_from_slice(&task.partition.to_be_bytes());
        Ok(Write::Put(self.history, key, serde_json::to_vec(&record)?))
    }

    /// Every switch of a function, by epoch, then task.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn switches(&self, function: &str) -> anyhow::Result<Vec<SwitchRecord>> {
        let from = [function.as_bytes(), &[0]].concat();
        let to = [function.as_bytes(), &[1]].concat();
        let (mut out, mut failed) = (Vec::new(), None);
        self.db.scan(self.history, &from, Some(&to), &mut |_, value| match serde_json::from_slice(value) {
            Ok(record) => {
                out.push(record);
                Scan::Continue
            }
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        })?;
        match failed {
            Some(error) => Err(anyhow::Error::new(error).context("read the history")),
            None => Ok(out),
        }
    }
}

fn read_entry(state: &mut Control, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let at = key.try_into().map(u64::from_be_bytes).map_err(|_| anyhow!("an entry's key has not 8 bytes"))?;
    let kept: Kept = serde_json::from_slice(value).with_context(|| format!("entry {at}"))?;
    state.apply(at, &kept.into()).map_err(|expected| anyhow!("entry {expected} is missing, {at} follows"))?;
    Ok(())
}

/// What a worker runs of each function.
pub type ActiveVersions = Vec<Active>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;

    fn version(digest: &str) -> Version {
        Version { digest: digest.into(), settings: "{}".into(), origin: "test".into(), proposed_at: 1 }
    }

    #[test]
    fn the_log_survives_and_open_proposals_are_given_up() {
        let db = memory();
        let versions = Versions::open(db.clone()).unwrap();
        let first = versions.propose("f", b"one", version("d1")).unwrap();
        assert_eq!(versions.activate(first).unwrap().number, 1);
        versions.propose("f", b"two", version("d2")).unwrap();
        assert!(versions.propose("f", b"three", version("d3")).is_err(), "one is open");
        let again = Versions::open(db).unwrap();
        assert_eq!(again.in_force("f").unwrap().version.digest, "d1");
        assert_eq!(again.module("d2").unwrap(), b"two");
        let voided = again.function("f").unwrap().voided;
        assert!(voided.iter().any(|v| v.reason.contains("host stopped")), "{voided:?}");
        let next = again.propose("f", b"two", version("d2")).unwrap();
        assert_eq!(again.activate(next).unwrap().number, 2);
    }

    #[test]
    fn switches_come_back_in_order() {
        let db = memory();
        let versions = Versions::open(db.clone()).unwrap();
        for (epoch, partition) in [(7, 1), (3, 0), (7, 0)] {
            let switch = Switch { function: 0, epoch, positions: vec![("in".into(), 5)] };
            let write = versions.switch_write(TaskId { sub: 0, partition }, "f", &switch).unwrap();
            db.apply(vec![write], Durability::Process).unwrap();
        }
        let order: Vec<_> = versions.switches("f").unwrap().iter().map(|s| (s.epoch, s.partition)).collect();
        assert_eq!(order, [(3, 0), (7, 0), (7, 1)]);
        assert!(versions.switches("ff").unwrap().is_empty());
    }
}
