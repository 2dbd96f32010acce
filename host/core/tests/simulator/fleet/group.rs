//! The consumer group: who is in it, which generation, whose tasks. A rebalance waits until all members have given up what
//! moves, or goes on without those that did not in time; these learn of it when they ask next.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::task::TaskId;

/// A rebalance under way.
#[derive(Clone, Debug)]
struct Pending {
    assignment: BTreeMap<TaskId, usize>,
    /// Members that have given up what moves away from them.
    ready: BTreeSet<usize>,
    /// Those who will be in.
    wanted: BTreeSet<usize>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub generation: u64,
    members: BTreeSet<usize>,
    assignment: BTreeMap<TaskId, usize>,
    pending: Option<Pending>,
}

impl Group {
    pub fn is_member(&self, host: usize) -> bool {
        self.members.contains(&host)
    }

    pub fn members(&self) -> impl Iterator<Item = usize> {
        self.members.iter().copied()
    }

    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Tasks of a host in the generation that is.
    pub fn tasks(&self, host: usize) -> BTreeSet<TaskId> {
        self.assignment.iter().filter(|(_, of)| **of == host).map(|(task, _)| *task).collect()
    }

    /// What a host will have, when it has to get ready for it.
    pub fn to_come(&self, host: usize) -> Option<BTreeSet<TaskId>> {
        let pending = self.pending.as_ref().filter(|p| p.wanted.contains(&host) && !p.ready.contains(&host))?;
        Some(pending.assignment.iter().filter(|(_, of)| **of == host).map(|(task, _)| *task).collect())
    }

    /// Begins a rebalance. One that is under way starts over.
    pub fn begin(&mut self, assignment: BTreeMap<TaskId, usize>, wanted: BTreeSet<usize>) {
        // Who is new has nothing to give up.
        let ready = wanted.iter().filter(|host| !self.members.contains(host)).copied().collect();
        self.pending = Some(Pending { assignment, ready, wanted });
    }

    /// A member has given up what moves away from it.
    pub fn ready(&mut self, host: usize) {
        if let Some(pending) = &mut self.pending {
            pending.ready.insert(host);
        }
    }

    /// Ends the rebalance when all are ready. `late`: those who are not are left out, and nobody who will be in takes their
    /// tasks now; the next rebalance gives these out.
    pub fn end(&mut self, late: bool) {
        let Some(pending) = &self.pending else { return };
        if pending.ready.is_empty() || !late && pending.ready != pending.wanted {
            return;
        }
        let Some(pending) = self.pending.take() else { return };
        let ready: Vec<usize> = pending.ready.iter().copied().collect();
        let spread = |(number, (task, host)): (usize, (&TaskId, &usize))| {
            let to = if pending.ready.contains(host) { *host } else { ready[number % ready.len()] };
            (*task, to)
        };
        self.assignment = pending.assignment.iter().enumerate().map(spread).collect();
        self.members = pending.ready;
        self.generation += 1;
    }

    /// A host is gone for good, or has said that it leaves.
    pub fn leave(&mut self, host: usize) {
        self.members.remove(&host);
        if let Some(pending) = &mut self.pending {
            pending.wanted.remove(&host);
            pending.ready.remove(&host);
        }
        // Nobody is left to wait for.
        self.pending.take_if(|pending| pending.wanted.is_empty());
    }
}
