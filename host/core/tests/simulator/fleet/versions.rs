//! What must hold of versions in a fleet: which a task's commits name, which a task is opened with, and that in the end all
//! have the same.

use millstream_core::meta::Meta;
use millstream_core::swap::{Entry, Outcome};
use millstream_core::task::{TaskId, TaskPart};

use super::Fleet;
use super::host::Host;

impl Fleet {
    /// What a task commits names epochs of the control log, and none that is older than before.
    pub fn epochs_of_commit(&mut self, part: &TaskPart) -> Result<(), String> {
        let meta = Meta::decode(&part.meta).ok_or("metadata that nobody can read")?;
        for (function, epoch) in meta.epochs {
            if !self.control.is_epoch(&function, epoch) {
                return Err(format!("epoch {epoch} of `{function}` is nothing that the control log put in force"));
            }
            let last = self.committed_epochs.entry((part.task, function.clone())).or_default();
            if epoch < *last {
                return Err(format!("epoch {epoch} of `{function}` is committed after epoch {last}"));
            }
            *last = epoch;
        }
        Ok(())
    }

    /// Whether metadata names an epoch that a process has not come to.
    pub fn is_ahead(&self, host: &Host, meta: Option<&[u8]>) -> bool {
        let (Some(process), Some(meta)) = (&host.process, meta.and_then(Meta::decode)) else { return false };
        let number = |name: &String| self.control.functions.iter().position(|other| other == name);
        meta.epochs.iter().any(|(name, epoch)| number(name).is_none_or(|f| !process.follower.knows(f, *epoch)))
    }

    /// A task that was told to be opened by a process that has not come to its epochs is not open.
    pub fn not_opened(&self, host: &Host, task: TaskId) -> Result<(), String> {
        let worker = host.process.as_ref().map(|process| &process.watched.worker);
        if worker.is_some_and(|worker| worker.tasks().any(|open| open.id() == task)) {
            return Err(format!(
                "{task:?} is open though its last commit names an epoch that this host has not come to"
            ));
        }
        Ok(())
    }

    /// Whether anything of the control log is still to be done.
    pub fn swaps_are_over(&self, hosts: &[Host]) -> bool {
        let over = |h: &Host| h.process.as_ref().is_none_or(|p| p.follower.is_at_rest(&self.control));
        self.control.fold().open().next().is_none() && hosts.iter().all(over)
    }

    /// When nothing goes wrong any more all is decided soon, and everybody has what is in force.
    pub fn versions_agree(&self, hosts: &[Host]) -> Result<(), String> {
        let fold = self.control.fold();
        for place in 0..self.control.len() {
            let Some((at, Entry::Propose(proposal))) = self.control.entry(place) else { continue };
            match fold.outcome(&proposal.id) {
                Some(Outcome::Hindered(_) | Outcome::Void(_) | Outcome::Activated(_)) => {}
                other => return Err(format!("proposal {at} is never decided: {other:?}")),
            }
        }
        let in_force = self.control.in_force(fold);
        for (host, process) in hosts.iter().filter_map(|h| Some((h.number, h.process.as_ref()?))) {
            if process.follower.control != *fold {
                let (last, end) = (process.follower.control.last(), fold.last());
                return Err(format!("host {host} has read the control log to {last}, and it ends at {end}"));
            }
            if process.follower.told != in_force {
                return Err(format!("host {host} runs {:?}, in force is {in_force:?}", process.follower.told));
            }
        }
        Ok(())
    }

    /// The last look: what every task has committed last is what is in force.
    pub fn versions_at_rest(&self) -> Result<(), String> {
        let fold = self.control.fold();
        for task in self.tasks() {
            let committed = self.broker.stable_offsets(task).map_err(|e| format!("{task:?}: {e:?}"))?;
            let meta = committed.and_then(|c| Meta::decode(&c.meta)).ok_or(format!("{task:?} has never committed"))?;
            for (name, epoch) in &meta.epochs {
                let want = fold.function(name).and_then(|f| f.in_force()).map_or(0, |a| a.epoch);
                if *epoch != want {
                    return Err(format!("{task:?} ends with epoch {epoch} of `{name}`, in force is epoch {want}"));
                }
            }
        }
        Ok(())
    }
}
