//! Which versions of functions a task runs, and from where.

use super::{Switch, Task, function_of, others_of};
use crate::operator::Active;
use crate::topology::graph::SubTopology;

/// Whether a step of a sub-topology calls a function, or an input of it.
pub fn uses(sub: &SubTopology, function: usize) -> bool {
    sub.nodes.iter().any(|n| function_of(n) == Some(function) || others_of(n).contains(&function))
        || sub.inputs.iter().any(|input| input.timestamp() == Some(function))
}

impl Task {
    /// Whether a step of it calls a function.
    pub fn uses(&self, function: usize) -> bool {
        uses(self.sub(), function)
    }

    /// Runs another version from the next record on. Only between intervals. Epochs never fall: an older one is ignored.
    pub fn switch(&mut self, function: usize, active: Active) {
        if active.epoch <= self.active[function].epoch {
            return;
        }
        self.active[function] = active;
        self.forget_stamps(function);
        if self.uses(function) {
            self.note_switch(function, active.epoch);
        }
    }

    pub(super) fn note_switch(&mut self, function: usize, epoch: u64) {
        let topics = self.sub().inputs.iter().map(|i| self.topology.topics[i.topic].name.clone());
        let positions = topics.zip(self.inputs.positions()).collect();
        self.switches.push(Switch { function, epoch, positions });
        self.touched = true;
    }

    /// Another version of a function gives the event times of what was not taken yet.
    fn forget_stamps(&mut self, function: usize) {
        for (number, input) in self.topology.subs[self.id.sub].inputs.iter().enumerate() {
            if input.timestamp() == Some(function) {
                self.inputs.forget_stamps(number);
            }
        }
    }
}
