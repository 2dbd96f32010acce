//! 2. Decode: what was read becomes flows for the sub-topology's sources; repartition values are opened, markers move the
//! clocks, and records that cannot be taken leave.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::emit::Reason;
use crate::envelope::{self, Opened};
use crate::error::Verdict;
use crate::flow::{Flow, Windows};
use crate::operator::Cx;
use crate::record::{BytesColumn, Timestamp};
use crate::time::{Clock, NEVER};
use crate::topology::graph::{InputKind, SubTopology};

/// A clock of a task: the inputs it covers, and where the upstream tasks of each begin among its slots.
#[derive(Clone, Debug)]
pub(crate) struct TaskClock {
    /// Inputs, as bits.
    pub inputs: u64,
    pub clock: Clock,
    /// First slot of each input; plain inputs share one.
    slots: Vec<usize>,
}

impl TaskClock {
    pub fn new(sub: &SubTopology, inputs: u64) -> Self {
        let mut slots = vec![usize::MAX; sub.inputs.len()];
        let mut next = 0;
        let mut plain = None;
        for (i, input) in sub.inputs.iter().enumerate().filter(|(i, _)| inputs >> i & 1 == 1) {
            match input.kind {
                InputKind::Repartition { upstream_tasks } => {
                    slots[i] = next;
                    next += upstream_tasks as usize;
                }
                InputKind::Source { .. } => {
                    slots[i] = *plain.get_or_insert(next);
                    next = next.max(slots[i] + 1);
                }
            }
        }
        Self { inputs, clock: Clock::new(next), slots }
    }
}

/// Times of the rows of a polled batch by one clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockTimes {
    pub own: Vec<Timestamp>,
    pub closing: Vec<Timestamp>,
}

/// A polled batch, opened.
#[derive(Default)]
pub(crate) struct Decoded {
    /// A flow for each input.
    pub flows: Vec<Flow>,
    /// For each clock.
    pub times: Vec<ClockTimes>,
}

enum Row {
    /// A record; of a repartition topic, with its upstream task and stream time.
    Record(u32, Timestamp),
    Marker(envelope::Marker),
    Gone,
}

pub(crate) fn decode(cx: &mut Cx<'_, '_>, clocks: &mut [TaskClock]) -> Result<Decoded, Verdict> {
    let mut rows = Vec::with_capacity(cx.polled.batch.len());
    let mut flows = Vec::with_capacity(cx.sub.inputs.len());
    let len = cx.polled.batch.len();
    rows.resize_with(len, || Row::Gone);
    for input in 0..cx.sub.inputs.len() {
        flows.push(match cx.sub.inputs[input].kind {
            InputKind::Source { .. } => plain(cx, input, &mut rows)?,
            InputKind::Repartition { .. } => repartitioned(cx, input, &mut rows),
        });
    }
    let times = clocks.iter_mut().map(|clock| times(cx, clock, &rows)).collect();
    Ok(Decoded { flows, times })
}

fn of_input(cx: &Cx<'_, '_>, input: usize) -> Vec<u32> {
    match &cx.polled.inputs {
        None if cx.polled.input as usize == input => (0..cx.polled.batch.len() as u32).collect(),
        None => Vec::new(),
        Some(inputs) => (0..inputs.len() as u32).filter(|r| inputs[*r as usize] as usize == input).collect(),
    }
}

fn plain(cx: &mut Cx<'_, '_>, input: usize, rows: &mut [Row]) -> Result<Flow, Verdict> {
    let mut mine = of_input(cx, input);
    let all = Flow { batch: cx.polled.batch.clone(), rows: Arc::new((0..rows.len() as u32).collect()), ..Flow::default() };
    let node = &cx.sub.nodes[cx.sub.inputs[input].node];
    let mut bad = Vec::new();
    mine.retain(|row| {
        let t = all.batch.timestamps[*row as usize];
        rows[*row as usize] = if t < 0 { Row::Gone } else { Row::Record(0, t) };
        if t < 0 {
            bad.push((*row, t));
        }
        t >= 0
    });
    for (row, t) in bad {
        let message = format!("the record's timestamp is {t}");
        cx.refuse(node, None, &all, row as usize, Reason::NegativeTimestamp, &message)?;
    }
    Ok(all.gather(&mine))
}

fn repartitioned(cx: &mut Cx<'_, '_>, input: usize, rows: &mut [Row]) -> Flow {
    let mine = of_input(cx, input);
    let batch = &cx.polled.batch;
    let name = &cx.sub.nodes[cx.sub.inputs[input].node].name;
    let mut values = BytesColumn::with_capacity(mine.len(), batch.values.data().len());
    let mut windows = Windows::default();
    let (mut any_window, mut kept) = (false, Vec::with_capacity(mine.len()));
    for row in mine {
        match batch.values.get(row as usize).and_then(envelope::open) {
            Some(Opened::Record { upstream, lag, window, value }) => {
                let t = batch.timestamps[row as usize];
                rows[row as usize] = Row::Record(upstream, t.saturating_add(lag));
                let (start, end) = window.unwrap_or((NEVER, NEVER));
                any_window |= window.is_some();
                windows.starts.push(start);
                windows.ends.push(end);
                values.push(value);
                kept.push(row);
            }
            Some(Opened::Marker(marker)) => rows[row as usize] = Row::Marker(marker),
            // The topic is ours alone; what somebody else put in is not a record of the pipeline.
            None => cx.out.dropped(name, Reason::ForeignRecord),
        }
    }
    let whole = kept.len() == batch.len();
    let source = Flow { batch: batch.clone(), ..Flow::default() };
    let mut flow = Flow { rows: Arc::new(kept.clone()), ..Flow::default() };
    flow.batch.keys = if whole { source.batch.keys } else { Arc::new(batch.keys.gather(&kept)) };
    flow.batch.values = Arc::new(values);
    flow.batch.timestamps = Arc::new(kept.iter().map(|r| batch.timestamps[*r as usize]).collect());
    flow.batch.headers = batch.headers.as_ref().map(|h| Arc::new(h.gather(&kept)));
    flow.windows = any_window.then(|| Arc::new(windows));
    flow
}

/// Walks the rows in order and notes, after each, what the clock says.
fn times(cx: &Cx<'_, '_>, clock: &mut TaskClock, rows: &[Row]) -> ClockTimes {
    let mut out = ClockTimes { own: Vec::with_capacity(rows.len()), closing: Vec::with_capacity(rows.len()) };
    for (at, row) in rows.iter().enumerate() {
        let input = cx.polled.inputs.as_ref().map_or(cx.polled.input, |i| i[at]) as usize;
        let mut own = NEVER;
        if clock.inputs >> input & 1 == 1 {
            let slot = |upstream: u32| {
                let slot = clock.slots[input] + upstream as usize;
                (slot < clock.clock.len()).then_some(slot)
            };
            match row {
                Row::Record(upstream, time) => {
                    if let Some(slot) = slot(*upstream) {
                        clock.clock.advance(slot, *time);
                        own = clock.clock.time(slot);
                    }
                }
                Row::Marker(marker) => {
                    if let Some(slot) = slot(marker.upstream) {
                        clock.clock.marker(slot, marker.time, marker.idle);
                    }
                }
                Row::Gone => {}
            }
        }
        out.own.push(own);
        out.closing.push(clock.clock.closing());
    }
    out
}
