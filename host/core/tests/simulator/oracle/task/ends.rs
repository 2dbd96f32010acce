//! The ends of the oracle's tasks: which event time a record of a source has, and where a result goes.

use millstream_core::topology::spec::{OnError, SinkSpec};

use super::super::super::roles::{Mark, Rec, mark};
use super::super::plan::Kind;
use super::super::wire;
use super::super::{Item, NEVER, Row};
use super::{OracleTask, function_of};

/// The event time of a record.
pub struct When {
    /// By which it is taken: before all others of whatever time, where there is none.
    pub turn: i64,
    /// Or why it has none, with the function that is to blame.
    pub time: Result<i64, (&'static str, Option<usize>)>,
}

impl OracleTask {
    /// When a record of an input is to be taken, and with what time; those of repartition topics have their own.
    pub fn when(&self, input: usize, rec: &Rec) -> When {
        let entry = &self.plan.nodes[self.plan.inputs(self.sub)[input].1].kind;
        let Kind::Entry { .. } = entry else { return When { turn: rec.time, time: Ok(rec.time) } };
        let function = function_of(entry);
        let given = match function {
            None => Ok(rec.time),
            Some(f) => match mark(f, rec.value.as_deref()) {
                Some(Mark::Trap | Mark::Bad) => Err(("poisoned", function)),
                Some(Mark::Reject) => Err(("rejected", function)),
                // It is shown no stream time.
                _ => match &self.running(f).map(rec, NEVER, None)[..] {
                    [(_, answer)] => Ok(answer.time),
                    _ => Err(("rejected", function)),
                },
            },
        };
        let turn = given.unwrap_or(NEVER);
        When { turn, time: given.and_then(|t| if t < 0 { Err(("negative-timestamp", function)) } else { Ok(t) }) }
    }

    /// A record of a topic of the user's, with its event time; `None`: it was refused.
    pub(super) fn entering(&mut self, input: usize, on_error: &OnError, row: &Row) -> Option<Item> {
        let item = Item { rec: row.rec.clone(), window: None, derived: false, old: None, behind: false };
        match self.when(input, &row.rec).time {
            Ok(time) => Some(Item { rec: Rec { time, ..item.rec }, ..item }),
            Err((reason, function)) => {
                let name = self.source_name(&row.topic);
                self.refuse(&name, function, on_error, &item, Some(row), reason);
                None
            }
        }
    }

    pub(super) fn sink(&mut self, at: usize, sink: &SinkSpec, item: Item, row: Option<&Row>) {
        let (topic, given) = match self.way(at, sink, &item) {
            Ok(way) => way,
            Err((reason, function)) => {
                return self.refuse(&sink.name, Some(function), &sink.on_error, &item, row, reason);
            }
        };
        let partition = given.unwrap_or_else(|| self.partition_of(&item.rec, &topic));
        let rec = wire::windowed(item.rec.clone(), item.window, sink, self.plan.nodes[at].sessions);
        match self.refusal(&topic, &rec) {
            Some(reason) => self.refuse(&sink.name, None, &sink.on_error, &item, row, reason),
            None => self.put(&topic, partition, rec),
        }
    }

    /// Topic and, where it is said, partition of a result.
    fn way(&self, at: usize, sink: &SinkSpec, item: &Item) -> Result<(String, Option<u32>), (&'static str, usize)> {
        let Some(function) = function_of(&self.plan.nodes[at].kind) else { return Ok((sink.topic.clone(), None)) };
        match mark(function, item.rec.value.as_deref()) {
            Some(Mark::Trap | Mark::Bad) => return Err(("poisoned", function)),
            Some(Mark::Reject) => return Err(("rejected", function)),
            _ => {}
        }
        let (name, partition) = self.running(function).route(&item.rec, item.window, NEVER);
        let named = |topic: &String| name.as_ref().is_none_or(|name| topic.as_bytes() == &name[..]);
        let Some(topic) = written_by(sink).find(|topic| named(topic)) else {
            return Err(("no-such-topic", function));
        };
        match partition {
            Some(p) if p >= self.plan.partitions[topic] => Err(("no-such-partition", function)),
            partition => Ok((topic.clone(), partition)),
        }
    }
}

/// Topics that a planned sink may write; its own is the first.
pub fn written_by(sink: &SinkSpec) -> impl Iterator<Item = &String> {
    [&sink.topic].into_iter().chain(sink.route.iter().flat_map(|route| &route.topics))
}
