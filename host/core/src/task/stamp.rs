//! A task's sources that have a function for event times: when it is asked, and for what. The call itself is in
//! [`crate::operator::timestamp`].

use super::Task;
use crate::error::Verdict;
use crate::operator::{Ports, timestamp};

impl Task {
    /// Asks for the event times of the records that may be taken next.
    pub(super) fn stamp(&mut self, ports: &mut Ports<'_>) -> Result<(), Verdict> {
        let topology = self.topology.clone();
        let sub = &topology.subs[self.id.sub];
        for (number, input) in sub.inputs.iter().enumerate() {
            let Some(function) = input.timestamp() else { continue };
            let source = &sub.nodes[input.node].name;
            let pair = topology.formats.sources.get(source).copied().unwrap_or_default();
            while let Some(records) = self.inputs.unstamped(number) {
                let function = self.active[function].prepared;
                let stamps = timestamp::stamp(source, (function, pair), records, &mut self.isolation, ports)?;
                self.inputs.stamp(number, stamps);
            }
        }
        Ok(())
    }
}
