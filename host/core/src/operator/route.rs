//! Sinks that have a function for it: to which topic, and which partition of it, each result goes. How results are written is
//! [`super::sink`]'s matter.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::isolate::{self, Isolation, Work};
use super::sink::Sink;
use super::{Cx, bad_result, check_rejections, part};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::function::{Answer, Fault, Functions, Routed};
use crate::time::NEVER;
use crate::topology::graph::{Node, RouteNode};

/// What goes to one topic.
#[derive(Default)]
struct Share {
    /// Places of the results, in order.
    places: Vec<u32>,
    /// Of each its partition; [`u32::MAX`]: by its key.
    partitions: Vec<u32>,
}

/// Writes results where the function says; what it refuses, and what it sends elsewhere than the sink may write, goes where
/// `on-error` says.
///
/// # Errors
/// What `on-error: fail` makes of a bad record; those of isolation.
pub(crate) fn write(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    (sink, route): (Sink, &RouteNode),
    flow: &Flow,
) -> Result<(), Verdict> {
    let prepared = cx.active[route.function].prepared;
    let wanted = cx.ports.functions.wants_stream_times(prepared);
    let mut work = Routing { cx, node, own: sink.topic, route, flow, wanted, shares: BTreeMap::new() };
    isolate::run(&mut work, &node.name, prepared, flow.len())?;
    let Routing { cx, shares, .. } = work;
    for (topic, share) in shares {
        let whole = share.places.len() == flow.len();
        let gathered;
        let flow = if whole {
            flow
        } else {
            gathered = flow.gather(&share.places);
            &gathered
        };
        let given = share.partitions.iter().any(|p| *p != BY_KEY).then_some(&share.partitions[..]);
        Sink { topic, ..sink }.write(cx, node, flow, given)?;
    }
    Ok(())
}

/// Stands for the partition that follows from the key.
pub(crate) const BY_KEY: u32 = u32::MAX;

struct Routing<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    /// Number of the sink's own topic.
    own: usize,
    route: &'w RouteNode,
    flow: &'w Flow,
    /// The function reads stream times. A sink has none.
    wanted: bool,
    shares: BTreeMap<usize, Share>,
}

impl Routing<'_, '_, '_> {
    /// Number of the topic that has this name, where the sink may write it.
    fn topic(&self, name: &[u8]) -> Option<usize> {
        let named = |topic: &usize| self.cx.topology.topics[*topic].name.as_bytes() == name;
        self.route.topics.iter().copied().chain([self.own]).find(named)
    }

    fn refuse(&mut self, at: usize, reason: Reason, message: &str) -> Result<(), Verdict> {
        self.cx.refuse(self.node, Some(self.route.function), self.flow, at, reason, message)
    }

    /// One result, by what the function has said of it.
    fn place(&mut self, at: usize, name: Option<&[u8]>, partition: Option<u32>) -> Result<(), Verdict> {
        let Some(topic) = name.map_or(Some(self.own), |name| self.topic(name)) else {
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            let shown: String = name.chars().take(SHOWN_CHARACTERS_MAX).collect();
            let message = format!("`{shown}` is none of the topics that the sink may write");
            return self.refuse(at, Reason::NoSuchTopic, &message);
        };
        let planned = &self.cx.topology.topics[topic];
        if let Some(partition) = partition.filter(|p| *p >= planned.partitions) {
            let message = format!("`{}` has no partition {partition}; it has {}", planned.name, planned.partitions);
            return self.refuse(at, Reason::NoSuchPartition, &message);
        }
        let share = self.shares.entry(topic).or_default();
        share.places.push(at as u32);
        share.partitions.push(partition.unwrap_or(BY_KEY));
        Ok(())
    }
}

/// Most characters of a name that no topic has in a message: no topic has a longer one.
const SHOWN_CHARACTERS_MAX: usize = crate::topology::check::TOPIC_CHARACTERS_MAX;

impl Work for Routing<'_, '_, '_> {
    type Given = Routed;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Routed> {
        let times = if self.wanted { vec![NEVER; to - from] } else { Vec::new() };
        let part = part(self.flow, from, to, times);
        let prepared = self.cx.active[self.route.function].prepared;
        let routed = self.cx.ports.functions.route(prepared, part.context(), part.records())?;
        let counts = [("topics", Some(routed.topics.len())), ("partitions", routed.partitions.as_ref().map(Vec::len))];
        for (what, count) in counts {
            if let Some(count) = count.filter(|count| *count != to - from) {
                return Err(bad_result(format!("`{what}` has {count} items for {} records", to - from)));
            }
        }
        check_rejections(&routed.rejected, "record", to - from)?;
        Ok(routed)
    }

    fn accept(&mut self, from: usize, to: usize, routed: Routed) -> Result<usize, Verdict> {
        let mut rejected: Vec<Option<&str>> = vec![None; to - from];
        routed.rejected.iter().for_each(|r| rejected[r.index as usize] = Some(&r.reason));
        for (i, reason) in rejected.into_iter().enumerate() {
            match reason {
                Some(reason) => self.refuse(from + i, Reason::Rejected, reason)?,
                None => self.place(from + i, routed.topics.get(i), routed.partitions.as_ref().map(|p| p[i]))?,
            }
        }
        Ok(to - from)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.refuse(at, Reason::Poisoned, &format!("{fault}"))
    }
}
