//! The rows of a table under other keys, for a grouping: each change of a row takes out what was sent for it and sends what it
//! is now. What was sent is kept, since a function that was swapped meanwhile would say otherwise.
//!
//! A change that a repartition topic would not take, or the changelog, has not come for the step: all of it, so that nothing is
//! taken out of a group that never came in.
//!
//! What flows on is for aggregates over tables alone: under its new key, what is taken out as the old value, what comes in
//! as the new one.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::Cx;
use super::super::aggregate::ground;
use super::super::stateless::{self, Noted, Rules, StreamTimes};
use super::write::{STORED_BYTES, read_ahead, row_key};
use super::{State as TableState, shown};
use crate::codec::{Reader, put_bytes};
use crate::decode::Row;
use crate::envelope;
use crate::error::Verdict;
use crate::flow::{Flow, Olds};
use crate::limits::Refusal;
use crate::record::{BatchBuilder, Header, Timestamp};
use crate::state::store::hash;
use crate::state::value::State;
use crate::topology::graph::{Node, RegroupNode};
use crate::topology::spec::MapForm;

/// What was sent for a row: key and value.
fn sent(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader(bytes);
    Some((reader.bytes()?, reader.0))
}

/// Takes changes of a table in.
pub(crate) fn regroup(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &RegroupNode,
    state: &mut TableState,
    flow: &Flow,
    rows: &[Row],
) -> Result<Flow, Verdict> {
    if flow.is_empty() {
        return Ok(cx.empty.clone());
    }
    let (shown, mut noted) = (shown(flow), Noted::default());
    let asked = flow.gather(&shown);
    let wanted = cx.ports.functions.wants_stream_times(cx.active[spec.function].prepared);
    let times = StreamTimes { wanted, observed: &mut state.observed, rows };
    let rules = Rules::Form(MapForm::Map);
    let mut results = stateless::map(cx, node, spec.function, rules, &asked, times, Some(&mut noted))?;
    let results = results.pop().unwrap_or_default();
    let mut given: Vec<Option<u32>> = alloc::vec![None; flow.len()];
    (0u32..).zip(&noted.sources).for_each(|(at, source)| given[shown[*source as usize] as usize] = Some(at));
    let mut refused = alloc::vec![false; flow.len()];
    noted.refused.iter().for_each(|at| refused[shown[*at as usize] as usize] = true);
    let ground = ground(cx, spec.store);
    read_ahead(&mut state.store, ground, spec.by_window, flow)?;
    let (mut sending, mut too_much) = (Sending::default(), Vec::new());
    for i in (0..flow.len()).filter(|i| !refused[*i]) {
        let new = given[i].map(|at| Given { flow: &results, at: at as usize });
        // Without a key or a value it is in no group.
        let new = new.filter(|r| r.key().is_some() && r.value().is_some());
        let row = row_key(spec.by_window, flow, i);
        let slot = state.store.locate(ground, None, hash(&row), &row)?;
        let entry = state.store.entry(slot).1;
        let old = match entry.state() {
            None => None,
            Some(bytes) => {
                let why = "what was sent for a row has a form this version does not know";
                let (key, value) = sent(bytes).ok_or_else(|| Verdict::Corrupted(why.into()))?;
                Some((key, value, entry.timestamp))
            }
        };
        if old.is_none() && new.is_none() {
            continue;
        }
        let (time, pieces) = pieces(flow, i, old, new.as_ref());
        let mut bytes = Vec::new();
        if let Some(new) = &new {
            put_bytes(&mut bytes, new.key().unwrap_or_default());
            bytes.extend_from_slice(new.value().unwrap_or_default());
        }
        if let Some(refusal) = refusal(cx, spec, row.len() + bytes.len(), time, &pieces) {
            too_much.push((i, refusal));
            continue;
        }
        pieces.iter().flatten().for_each(|piece| sending.push(i, time, piece));
        let is = if new.is_some() { State::new(&bytes) } else { State::Absent };
        state.store.set(slot, 0, time, is);
    }
    for (i, refusal) in too_much {
        let message = alloc::format!("what is sent and kept for the row: {refusal}");
        cx.refuse(node, None, flow, i, refusal.reason(), &message)?;
    }
    Ok(sending.flow(flow))
}

/// Why a change cannot be sent, or not be kept, as a whole: what was sent in part could never be taken out rightly.
fn refusal(
    cx: &Cx<'_, '_>,
    spec: &RegroupNode,
    stored_bytes: usize,
    time: Timestamp,
    pieces: &[Option<Piece<'_>>; 2],
) -> Option<Refusal> {
    let limits = &cx.sub.stores[spec.store].limits;
    if let Some(max) = limits.record_bytes_max {
        let bytes = limits.record_bytes(stored_bytes + STORED_BYTES, []);
        if bytes > max {
            return Some(Refusal::TooLarge { bytes, max });
        }
    }
    let topics = || spec.topics.iter().map(|topic| &cx.topology.topics[*topic].limits);
    let refusal = |piece: &Piece<'_>| {
        topics().find_map(|limits| limits.refuse(cx.now.wall, piece.bytes_max(), time, piece.headers()))
    };
    pieces.iter().flatten().find_map(refusal)
}

/// A result of the function.
struct Given<'r> {
    flow: &'r Flow,
    at: usize,
}

impl Given<'_> {
    fn key(&self) -> Option<&[u8]> {
        self.flow.batch.keys.get(self.at)
    }

    fn value(&self) -> Option<&[u8]> {
        self.flow.batch.values.get(self.at)
    }

    fn time(&self) -> Timestamp {
        self.flow.batch.timestamps[self.at]
    }
}

/// A record that is sent: what of a row goes out of a group, or comes into it, or both.
struct Piece<'p> {
    key: &'p [u8],
    value: Option<&'p [u8]>,
    old: Option<(&'p [u8], Timestamp)>,
    /// Whose headers it has.
    of: (&'p Flow, usize),
}

impl Piece<'_> {
    /// Bytes of key and value in a repartition topic, at the most.
    fn bytes_max(&self) -> usize {
        let old = self.old.map_or(0, |(value, _)| envelope::OLD_BYTES_MAX + value.len());
        envelope::HEAD_BYTES_MAX + old + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.of.0.batch.headers.iter().flat_map(|h| h.of(self.of.1))
    }
}

/// What was sent for a row goes, and what it is now comes: as one where the group stays the same. And at which time.
fn pieces<'p>(
    flow: &'p Flow,
    i: usize,
    old: Option<(&'p [u8], &'p [u8], Timestamp)>,
    new: Option<&'p Given<'p>>,
) -> (Timestamp, [Option<Piece<'p>>; 2]) {
    let time = new.map_or(flow.batch.timestamps[i], Given::time);
    let same = old.is_some_and(|(key, ..)| new.is_some_and(|new| new.key() == Some(key)));
    let gone = old.filter(|_| !same).map(|(key, value, sent_at)| {
        let old = Some((value, sent_at));
        Piece { key, value: None, old, of: (flow, i) }
    });
    let came = new.map(|new| {
        let old = old.filter(|_| same).map(|(_, value, sent_at)| (value, sent_at));
        Piece { key: new.key().unwrap_or_default(), value: new.value(), old, of: (new.flow, new.at) }
    });
    (time, [gone, came])
}

/// What is sent, as it comes about.
#[derive(Default)]
struct Sending {
    batch: BatchBuilder,
    old: Olds,
    at: Vec<u32>,
}

impl Sending {
    fn push(&mut self, i: usize, time: Timestamp, piece: &Piece<'_>) {
        self.batch.push(Some(piece.key), piece.value, time, piece.headers());
        self.old.push(piece.old);
        self.at.push(i as u32);
    }

    fn flow(self, of: &Flow) -> Flow {
        Flow {
            batch: self.batch.finish(),
            rows: of.rows_of(&self.at),
            old: Some(Arc::new(self.old)),
            ..Flow::default()
        }
    }
}
