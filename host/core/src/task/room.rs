//! How much room a task takes in memory, as bounds go by it.

use super::{NodeState, Task};

impl Task {
    /// Bytes of the open interval's results and changes, with what each costs besides.
    pub fn result_bytes(&self) -> usize {
        let bytes = |n: &NodeState| match n {
            NodeState::Aggregate(a) => a.store.changed_bytes(),
            NodeState::Table(t) => t.changed_bytes(),
            NodeState::Subscriptions(entries) => entries.changed_bytes(),
            NodeState::Process(p) => p.changed_bytes(),
            NodeState::Join(j) => j.changed_bytes(),
            NodeState::Delayed(d) => d.changed_bytes(),
            NodeState::Stateless { .. } | NodeState::Writer(_) => 0,
        };
        self.out.bytes() + self.nodes.iter().map(bytes).sum::<usize>()
    }

    /// Bytes of state in memory, estimated.
    pub fn state_bytes(&self) -> usize {
        let bytes = |n: &NodeState| match n {
            NodeState::Aggregate(a) => a.store.bytes(),
            NodeState::Table(t) => t.bytes(),
            NodeState::Subscriptions(entries) => entries.bytes(),
            NodeState::Process(p) => p.bytes(),
            NodeState::Join(j) => j.bytes(),
            NodeState::Delayed(d) => d.bytes(),
            NodeState::Stateless { .. } | NodeState::Writer(_) => 0,
        };
        self.nodes.iter().map(bytes).sum()
    }
}
