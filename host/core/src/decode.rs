//! 2. Decode: what was read becomes flows for the sub-topology's sources; repartition values are opened, and records that
//!    cannot be taken leave.
//!
//! What rows say of upstream tasks' times is noted here; the clocks of the aggregates move by it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::emit::Reason;
use crate::envelope::{self, Opened};
use crate::error::Verdict;
use crate::flow::{Flow, Olds, Windows};
use crate::formats;
use crate::operator::Cx;
use crate::record::{BytesColumn, Timestamp};
use crate::time::NEVER;
use crate::topology::graph::InputKind;

/// A polled batch, opened.
#[derive(Default)]
pub(crate) struct Decoded {
    /// A flow for each input.
    pub flows: Vec<Flow>,
    /// What each row says of time; empty where the sub-topology reads no repartition topic.
    pub rows: Vec<Row>,
    /// How many rows are markers.
    pub markers: u64,
}

/// What a row of a polled batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record of the user's, or one that left here: it says nothing of an upstream task.
    Plain,
    /// A record of an upstream task.
    Record,
    /// A marker of one; the flag: it is idle.
    Marker { idle: bool },
}

/// What a row says of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub kind: Kind,
    /// The input, and the upstream task's number.
    pub input: u32,
    pub upstream: u32,
    /// The upstream task's stream time with this row; [`NEVER`] where it has none.
    pub time: Timestamp,
}

const PLAIN: Row = Row { kind: Kind::Plain, input: 0, upstream: 0, time: NEVER };

pub(crate) fn decode(cx: &mut Cx<'_, '_>) -> Result<Decoded, Verdict> {
    let repartition = |i: &crate::topology::graph::Input| matches!(i.kind, InputKind::Repartition { .. });
    let timed = cx.sub.inputs.iter().any(repartition);
    let mut out =
        Decoded { rows: if timed { vec![PLAIN; cx.polled.batch.len()] } else { Vec::new() }, ..Decoded::default() };
    for input in 0..cx.sub.inputs.len() {
        let flow = match of_input(cx, input) {
            Mine::None => cx.empty.clone(),
            mine if repartition(&cx.sub.inputs[input]) => repartitioned(cx, input, mine, &mut out),
            mine => plain(cx, input, mine)?,
        };
        out.flows.push(flow);
    }
    Ok(out)
}

/// Which rows came from an input.
enum Mine {
    None,
    All,
    Some(Vec<u32>),
}

fn of_input(cx: &Cx<'_, '_>, input: usize) -> Mine {
    match &cx.polled.inputs {
        None if cx.polled.input as usize == input => Mine::All,
        None => Mine::None,
        Some(inputs) => {
            Mine::Some((0..inputs.len() as u32).filter(|r| inputs[*r as usize] as usize == input).collect())
        }
    }
}

fn plain(cx: &mut Cx<'_, '_>, input: usize, mine: Mine) -> Result<Flow, Verdict> {
    let mut all = Flow { batch: cx.polled.batch.clone(), ..Flow::default() };
    if let Some(times) = &cx.polled.times {
        all.batch.timestamps = times.clone();
    }
    let (source, polled) = (&cx.sub.inputs[input], cx.polled);
    let (node, function) = (&cx.sub.nodes[source.node], source.timestamp());
    let pair = cx.topology.formats.sources.get(&node.name).copied().unwrap_or_default();
    let is_bad = |t: &Timestamp| *t < 0;
    let times = all.batch.timestamps.clone();
    let mine = match mine {
        Mine::Some(rows) => Some(rows),
        _ if !times.iter().any(is_bad) => None,
        _ => Some((0..times.len() as u32).collect()),
    };
    if mine.is_none() && pair.is_none() {
        return Ok(all);
    }
    // Rows of the batch, and why they are refused: by row, however records are cut into batches.
    let mut refused: BTreeMap<u32, (Reason, String)> = BTreeMap::new();
    if let Some(rows) = &mine {
        for row in rows.iter().filter(|r| is_bad(&times[**r as usize])) {
            let time = times[*row as usize];
            let why = match (polled.refused.get(&(*row as usize)), function) {
                (Some(refused), _) => (refused.reason, refused.message.clone()),
                (None, None) => (Reason::NegativeTimestamp, format!("the record's timestamp is {time}")),
                (None, Some(_)) => (Reason::NegativeTimestamp, format!("the function gave the timestamp {time}")),
            };
            refused.insert(*row, why);
        }
        let good: Vec<u32> = rows.iter().copied().filter(|r| !refused.contains_key(r)).collect();
        all = all.gather(&good);
    }
    let read = all.clone();
    if !pair.is_none() {
        let formats = cx.ports.formats;
        let decoded = formats::convert(&all.batch, pair, |format, items| formats.decode(format, items))?;
        all.batch = decoded.batch;
        refused.extend(decoded.rejected.into_iter().map(|(i, why)| (read.row(i), (Reason::NotDecoded, why))));
    }
    let original = Flow { batch: cx.polled.batch.clone(), ..Flow::default() };
    for (row, (reason, message)) in &refused {
        // A record that is not in its format was shown to no function.
        let function = function.filter(|_| *reason != Reason::NotDecoded);
        cx.refuse(node, function, &original, *row as usize, *reason, message)?;
    }
    let good: Vec<u32> = (0..all.len() as u32).filter(|i| !refused.contains_key(&read.row(*i as usize))).collect();
    Ok(all.gather(&good))
}

fn repartitioned(cx: &mut Cx<'_, '_>, input: usize, mine: Mine, out: &mut Decoded) -> Flow {
    let batch = &cx.polled.batch;
    let mine = match mine {
        Mine::Some(rows) => rows,
        _ => (0..batch.len() as u32).collect(),
    };
    let name = &cx.sub.nodes[cx.sub.inputs[input].node].name;
    let mut values = BytesColumn::with_capacity(mine.len(), batch.values.data().len());
    let mut windows = Windows::default();
    let (mut any_window, mut kept) = (false, Vec::with_capacity(mine.len()));
    let (mut any_old, mut old) = (false, Olds::default());
    for row in mine {
        let at = row as usize;
        let (kind, upstream, time) = match batch.values.get(at).and_then(envelope::open) {
            Some(Opened::Record { upstream, lag, window, old: taken_out, value }) => {
                let (start, end) = window.unwrap_or((NEVER, NEVER));
                any_window |= window.is_some();
                windows.starts.push(start);
                windows.ends.push(end);
                any_old |= taken_out.is_some();
                old.push(taken_out.map(|(time, value)| (value, time)));
                values.push(value);
                kept.push(row);
                (Kind::Record, upstream, batch.timestamps[at].saturating_add(lag))
            }
            Some(Opened::Marker(marker)) => {
                out.markers += 1;
                (Kind::Marker { idle: marker.idle }, marker.upstream, marker.time.unwrap_or(NEVER))
            }
            None => {
                // The topic is ours alone; what somebody else put in is not a record of the pipeline.
                cx.out.dropped(name, Reason::ForeignRecord);
                continue;
            }
        };
        out.rows[at] = Row { kind, input: input as u32, upstream, time };
    }
    let whole = kept.len() == batch.len();
    let mut flow = Flow::default();
    flow.batch.values = Arc::new(values);
    flow.windows = any_window.then(|| Arc::new(windows));
    flow.old = any_old.then(|| Arc::new(old));
    if whole {
        flow.batch.keys = batch.keys.clone();
        flow.batch.timestamps = batch.timestamps.clone();
        flow.batch.headers.clone_from(&batch.headers);
    } else {
        flow.batch.keys = Arc::new(batch.keys.gather(&kept));
        flow.batch.timestamps = Arc::new(kept.iter().map(|r| batch.timestamps[*r as usize]).collect());
        flow.batch.headers = batch.headers.as_ref().map(|h| Arc::new(h.gather(&kept)));
        flow.rows = Some(Arc::new(kept));
    }
    flow
}
