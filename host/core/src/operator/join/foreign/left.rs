//! Where the left rows are: each asks for the right row that its function names, and is joined with what it is answered.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Messages;
use super::message::{Answer, Asker, Subscription};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow, Olds};
use crate::operator::Cx;
use crate::operator::join::Side;
use crate::operator::join::moments::Moments;
use crate::operator::join::tables::{Changes, write_joined};
use crate::partition::murmur2;
use crate::record::{BatchBuilder, Timestamp};
use crate::state::store::Store;
use crate::topology::graph::{JoinNode, Node};

/// Which of the events is a change of a left row's foreign key, as [`Flow::join`] numbers them.
const CHANGED: u32 = 0;

/// What the left side of the join reads.
pub(crate) struct Left<'s> {
    /// The foreign key of each left row, as a table.
    pub keys: Side<'s>,
    /// The left rows.
    pub rows: Side<'s>,
    /// What the right side says.
    pub answers: &'s Flow,
}

/// Takes changes and answers in, row by row; gives the changes of the result, and the subscriptions. `into`: number and rows of
/// the result.
pub(crate) fn left(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &JoinNode,
    from: Left<'_>,
    into: (usize, &mut Store),
) -> Result<[Flow; 2], Verdict> {
    let events = Flow::join(&[from.keys.flow, from.answers]);
    if events.is_empty() {
        return Ok([cx.empty.clone(), cx.empty.clone()]);
    }
    let changed = from.keys.flow;
    let (mut keys, mut rows) = (Moments::new(from.keys, false), Moments::new(from.rows, false));
    let (mut asking, mut met) = (Messages::default(), Met::default());
    let mut next = 0;
    for i in 0..events.len() {
        let (row, behind) = (events.batch.keys.get(i).unwrap_or_default(), events.row(i) + 1);
        let left = rows.at(cx, &events, i, behind)?;
        if events.inputs.as_ref().is_none_or(|inputs| inputs[i] == CHANGED) {
            let was = changed.old.as_ref().and_then(|old| old.get(next)).map(|(foreign, _)| foreign);
            next += 1;
            let is = events.batch.values.get(i).filter(|_| left.is_some());
            let mark = murmur2(left.map_or(&[][..], |(value, _)| value));
            let asker = Asker { partition: cx.partition, mark };
            if let Some(was) = was.filter(|was| is != Some(*was)) {
                asking.push(&events, i, origin(&events, i), was, &Subscription { gone: true, asker, row }.encode());
            }
            match is {
                Some(is) => {
                    let asks = Subscription { gone: false, asker, row }.encode();
                    asking.push(&events, i, origin(&events, i), is, &asks);
                }
                // It has no partner, and nobody will answer.
                None => met.push(&events, i, origin(&events, i), left, (None, None)),
            }
            continue;
        }
        let Some(answer) = events.batch.values.get(i).and_then(Answer::decode) else {
            cx.out.dropped(&node.name, Reason::ForeignRecord);
            continue;
        };
        // One to a question that the row no longer asks; another answer has come or will come.
        let asks = keys.at(cx, &events, i, behind)?.is_some_and(|(foreign, _)| foreign == answer.foreign);
        if asks && left.is_some_and(|(value, _)| murmur2(value) == answer.asker.mark) {
            met.push(&events, i, events.row(i) | DERIVED, left, (answer.value, answer.time));
        }
    }
    let changes = write_joined(cx, node, spec, met.changes(), into)?;
    Ok([changes, asking.flow()])
}

/// The row of the polled batch that an event came from, marked where no single record made it.
fn origin(events: &Flow, i: usize) -> u32 {
    events.origin(i).unwrap_or(events.row(i) | DERIVED)
}

/// Rows that have met what there is for them.
#[derive(Default)]
struct Met {
    batch: BatchBuilder,
    rows: Vec<u32>,
    rights: Olds,
    times: Vec<Timestamp>,
}

impl Met {
    fn push(
        &mut self,
        events: &Flow,
        i: usize,
        row: u32,
        left: Option<(&[u8], Timestamp)>,
        right: (Option<&[u8]>, Option<Timestamp>),
    ) {
        let time = left.map_or(events.batch.timestamps[i], |(_, time)| time);
        let time = right.1.map_or(time, |other| other.max(time));
        let headers = events.batch.headers.iter().flat_map(|h| h.of(i));
        self.batch.push(events.batch.keys.get(i), left.map(|(value, _)| value), time, headers);
        self.rows.push(row);
        self.times.push(time);
        self.rights.push(right.0.map(|value| (value, time)));
    }

    fn changes(self) -> Changes {
        let flow = Flow { batch: self.batch.finish(), rows: Some(Arc::new(self.rows)), ..Flow::default() };
        Changes { flow, others: self.rights, times: self.times }
    }
}
