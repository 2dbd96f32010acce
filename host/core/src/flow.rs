//! Records on their way between nodes: a batch, and where each record came from.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::record::{Batch, BatchBuilder, BytesColumn, Timestamp};
use crate::time::NEVER;

/// The row of a record that came out between batches.
pub const NO_ROW: u32 = DERIVED - 1;

/// Marks, in the rows of a flow, a record that no single record of the polled batch made: the row is what set it off, not
/// where it came from.
pub const DERIVED: u32 = 1 << 31;

/// Windows of keys, one for each record. A start of [`NEVER`]: this key has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Starts, inclusive.
    pub starts: Vec<Timestamp>,
    /// Ends.
    pub ends: Vec<Timestamp>,
}

impl Windows {
    /// The windows at these places.
    pub fn gather(&self, at: &[u32]) -> Self {
        let pick = |from: &[Timestamp]| at.iter().map(|a| from[*a as usize]).collect();
        Self { starts: pick(&self.starts), ends: pick(&self.ends) }
    }

    fn push(&mut self, window: Option<(Timestamp, Timestamp)>) {
        let (start, end) = window.unwrap_or((NEVER, NEVER));
        self.starts.push(start);
        self.ends.push(end);
    }
}

/// What the rows of a table were before each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Olds {
    /// Values; null: there was no row.
    pub values: BytesColumn,
    /// Timestamps; [`NEVER`] where there was no row.
    pub timestamps: Vec<Timestamp>,
    /// For each change of a table with history, whether it came behind a newer version of its row, which it leaves as it is. Empty: none did.
    pub behind: Vec<bool>,
}

impl Olds {
    /// Adds what a row was.
    pub fn push(&mut self, row: Option<(&[u8], Timestamp)>) {
        self.values.push(row.map(|(value, _)| value));
        self.timestamps.push(row.map_or(NEVER, |(_, time)| time));
    }

    /// What the row was before change `i`.
    pub fn get(&self, i: usize) -> Option<(&[u8], Timestamp)> {
        self.values.get(i).map(|value| (value, self.timestamps[i]))
    }

    /// The rows at these places.
    pub fn gather(&self, at: &[u32]) -> Self {
        let timestamps = at.iter().map(|a| self.timestamps[*a as usize]).collect();
        let behind = if self.behind.is_empty() { &[][..] } else { at };
        let behind = behind.iter().map(|a| self.behind[*a as usize]).collect();
        Self { values: self.values.gather(at), timestamps, behind }
    }
}

/// Records between two nodes.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// The records.
    pub batch: Batch,
    /// For each record the row of the polled batch that it came from, never falling, perhaps with [`DERIVED`]; [`NO_ROW`]
    /// for results that come out between batches. `None`: record i came from row i.
    pub rows: Option<Arc<Vec<u32>>>,
    /// Windows of the keys, where any has one.
    pub windows: Option<Arc<Windows>>,
    /// Which of the inputs of the step that comes next each record came from; `None`: it has only one.
    pub inputs: Option<Arc<Vec<u32>>>,
    /// Changes of a table: what each row was before; the records' values are what it is now, null: no row. `None`: records
    /// of a stream.
    pub old: Option<Arc<Olds>>,
}

impl Flow {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The row of the polled batch that made a record, or set it off.
    #[inline]
    pub fn row(&self, i: usize) -> u32 {
        self.marked_row(i) & !DERIVED
    }

    #[inline]
    fn marked_row(&self, i: usize) -> u32 {
        self.rows.as_ref().map_or(i as u32, |rows| rows[i])
    }

    /// The row of the polled batch that a record came from; `None` for a result that no single record made.
    pub fn origin(&self, i: usize) -> Option<u32> {
        Some(self.marked_row(i)).filter(|row| row & DERIVED == 0)
    }

    /// The rows of the records at these places, marks included.
    pub fn rows_of(&self, at: &[u32]) -> Option<Arc<Vec<u32>>> {
        Some(Arc::new(at.iter().map(|a| self.marked_row(*a as usize)).collect()))
    }

    /// The window of a record's key.
    pub fn window(&self, i: usize) -> Option<(Timestamp, Timestamp)> {
        let windows = self.windows.as_ref()?;
        (windows.starts[i] != NEVER).then(|| (windows.starts[i], windows.ends[i]))
    }

    /// The records at these places, in this order. Shares everything when that is all of them.
    pub fn gather(&self, at: &[u32]) -> Flow {
        if at.len() == self.len() && at.iter().enumerate().all(|(i, a)| i == *a as usize) {
            return self.clone();
        }
        Flow {
            batch: self.batch.gather(at),
            rows: self.rows_of(at),
            windows: self.windows.as_ref().map(|w| Arc::new(w.gather(at))),
            inputs: self.inputs.as_ref().map(|inputs| Arc::new(at.iter().map(|a| inputs[*a as usize]).collect())),
            old: self.old.as_ref().map(|old| Arc::new(old.gather(at))),
        }
    }

    /// Changes of a table as a stream of new values.
    pub fn as_stream(&self) -> Flow {
        Flow { old: None, ..self.clone() }
    }

    /// Changes of a table, without those that leave their row as it is.
    pub fn latest(&self) -> Cow<'_, Flow> {
        let Some(old) = self.old.as_ref().filter(|old| old.behind.contains(&true)) else { return Cow::Borrowed(self) };
        let changed: Vec<u32> = (0u32..).zip(&old.behind).filter(|(_, behind)| !**behind).map(|(at, _)| at).collect();
        Cow::Owned(self.gather(&changed))
    }

    /// Several flows as one, with the number of the flow that each record came from.
    pub fn join(flows: &[&Flow]) -> Flow {
        let number =
            |(input, flow): (u32, &&Flow)| Flow { inputs: Some(Arc::new(vec![input; flow.len()])), ..(*flow).clone() };
        let numbered: Vec<Flow> = (0..).zip(flows).filter(|(_, flow)| !flow.is_empty()).map(number).collect();
        Flow::merge(&numbered.iter().collect::<Vec<_>>())
    }

    /// Several flows as one: by row, then in the order given. Changes of several tables are a stream.
    pub fn merge(flows: &[&Flow]) -> Flow {
        let full: Vec<&Flow> = flows.iter().copied().filter(|f| !f.is_empty()).collect();
        match full[..] {
            [] => return Flow::default(),
            [one] => return one.as_stream(),
            _ => {}
        }
        let mut out = BatchBuilder::default();
        let mut rows = Vec::with_capacity(full.iter().map(|f| f.len()).sum());
        let mut windows = full.iter().any(|f| f.windows.is_some()).then(Windows::default);
        let mut inputs = full.iter().any(|f| f.inputs.is_some()).then(Vec::new);
        let mut beside = |flow: &Flow, i: usize| {
            rows.push(flow.marked_row(i));
            windows.iter_mut().for_each(|w| w.push(flow.window(i)));
            inputs.iter_mut().for_each(|all| all.push(flow.inputs.as_ref().map_or(0, |inputs| inputs[i])));
        };
        if full.windows(2).all(|pair| pair[0].row(pair[0].len() - 1) <= pair[1].row(0)) {
            for flow in &full {
                out.extend(&flow.batch);
                (0..flow.len()).for_each(|i| beside(flow, i));
            }
        } else {
            for (flow, i) in by_row(&full) {
                let headers = flow.batch.headers.iter().flat_map(|h| h.of(i));
                out.push(flow.batch.keys.get(i), flow.batch.values.get(i), flow.batch.timestamps[i], headers);
                beside(flow, i);
            }
        }
        let (windows, inputs) = (windows.map(Arc::new), inputs.map(Arc::new));
        Flow { batch: out.finish(), rows: Some(Arc::new(rows)), windows, inputs, old: None }
    }
}

/// Flows and places in them, by row, then in the order of the flows.
fn by_row<'f>(flows: &[&'f Flow]) -> impl Iterator<Item = (&'f Flow, usize)> {
    let mut next = vec![0usize; flows.len()];
    core::iter::from_fn(move || {
        let heads = flows.iter().enumerate().filter(|(f, flow)| next[*f] < flow.len());
        let (f, flow) = heads.min_by_key(|(f, flow)| flow.row(next[*f]))?;
        next[f] += 1;
        Some((*flow, next[f] - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(items: &[(u32, &str)]) -> Flow {
        let mut batch = BatchBuilder::default();
        items.iter().for_each(|(row, v)| batch.push(None, Some(v.as_bytes()), i64::from(*row), []));
        let rows = Some(Arc::new(items.iter().map(|(row, _)| *row).collect()));
        Flow { batch: batch.finish(), rows, ..Flow::default() }
    }

    #[test]
    fn merged_flows_stand_as_record_by_record() {
        let (a, b) = (flow(&[(0, "a0"), (2, "a2"), (2, "a2'")]), flow(&[(0, "b0"), (1, "b1"), (2, "b2")]));
        let merged = Flow::merge(&[&a, &b]);
        let values: Vec<_> = (0..merged.len()).map(|i| merged.batch.values.get(i).unwrap()).collect();
        assert_eq!(values, [&b"a0"[..], b"b0", b"b1", b"a2", b"a2'", b"b2"]);
        assert_eq!(**merged.rows.as_ref().unwrap(), [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn a_merge_keeps_where_each_record_came_from() {
        let mut result = flow(&[(1, "r")]);
        result.rows = Some(Arc::new(vec![1 | DERIVED]));
        let merged = Flow::merge(&[&flow(&[(0, "a"), (1, "b"), (2, "c")]), &result]);
        let origins: Vec<_> = (0..merged.len()).map(|i| (merged.row(i), merged.origin(i))).collect();
        assert_eq!(origins, [(0, Some(0)), (1, Some(1)), (1, None), (2, Some(2))]);
    }

    #[test]
    fn a_join_says_which_input_each_record_came_from() {
        let (a, b) = (flow(&[(0, "a"), (2, "c")]), flow(&[(1, "b")]));
        let inputs = |flows: &[&Flow]| Flow::join(flows).inputs.map(|i| i.to_vec());
        assert_eq!(inputs(&[&a, &b]), Some(vec![0, 1, 0]));
        assert_eq!(inputs(&[&Flow::default(), &b]), Some(vec![1]));
        assert_eq!(Flow::join(&[&a, &b]).gather(&[1]).inputs.map(|i| i.to_vec()), Some(vec![1]));
    }

    #[test]
    fn changes_keep_what_rows_were_and_several_tables_are_a_stream() {
        let mut old = Olds::default();
        [Some((&b"was"[..], 7)), None, Some((&b"is"[..], 9))].into_iter().for_each(|row| old.push(row));
        let changes = Flow { old: Some(Arc::new(old)), ..flow(&[(0, "a"), (1, "b"), (2, "c")]) };
        let picked = changes.gather(&[2, 1]).old.unwrap();
        assert_eq!((picked.get(0), picked.get(1)), (Some((&b"is"[..], 9)), None));
        assert!(Flow::merge(&[&changes, &flow(&[(1, "d")])]).old.is_none());
        assert!(Flow::merge(&[&changes, &Flow::default()]).old.is_none(), "also when the other has nothing just now");
        assert!(changes.as_stream().old.is_none() && changes.as_stream().len() == 3);
    }

    #[test]
    fn changes_behind_a_newer_version_are_looked_past() {
        let old = |behind: &[bool]| {
            let mut old = Olds { behind: behind.to_vec(), ..Olds::default() };
            (0..3).for_each(|_| old.push(None));
            Flow { old: Some(Arc::new(old)), ..flow(&[(0, "a"), (1, "b"), (2, "c")]) }
        };
        let changes = old(&[false, true, false]);
        let latest = changes.latest();
        assert_eq!((latest.len(), latest.row(1), changes.as_stream().len()), (2, 2, 3));
        assert_eq!(changes.gather(&[1, 2]).latest().row(0), 2, "also of some of them");
        assert!(matches!(old(&[]).latest(), Cow::Borrowed(_)) && matches!(flow(&[]).latest(), Cow::Borrowed(_)));
    }

    #[test]
    fn gathering_all_shares() {
        let a = flow(&[(0, "x"), (1, "y")]);
        assert!(Arc::ptr_eq(&a.gather(&[0, 1]).batch.values, &a.batch.values));
        assert_eq!(a.gather(&[1]).batch.values.get(0), Some(&b"y"[..]));
    }
}
