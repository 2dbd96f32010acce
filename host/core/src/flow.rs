//! Records on their way between nodes: a batch, and where each record came from.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::record::{Batch, BatchBuilder, Timestamp};
use crate::time::NEVER;

/// The row of a record that no single input row made.
pub const NO_ROW: u32 = u32::MAX;

/// Windows of keys, one for each record. A start of [`NEVER`]: this key has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Starts, inclusive.
    pub starts: Vec<Timestamp>,
    /// Ends.
    pub ends: Vec<Timestamp>,
}

/// Records between two nodes.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// The records.
    pub batch: Batch,
    /// For each record the row of the polled batch that it came from, never falling; [`NO_ROW`] for results that come out
    /// between batches.
    pub rows: Arc<Vec<u32>>,
    /// Windows of the keys, where any has one.
    pub windows: Option<Arc<Windows>>,
    /// Results of an aggregate: the row is what set them off, not where they came from.
    pub derived: bool,
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
            rows: Arc::new(at.iter().map(|a| self.rows[*a as usize]).collect()),
            windows: self.windows.as_ref().map(|w| {
                let pick = |from: &[Timestamp]| at.iter().map(|a| from[*a as usize]).collect();
                Arc::new(Windows { starts: pick(&w.starts), ends: pick(&w.ends) })
            }),
            derived: self.derived,
        }
    }

    /// Several flows as one: by row, then in the order given.
    pub fn merge(flows: &[&Flow]) -> Flow {
        let full: Vec<&&Flow> = flows.iter().filter(|f| !f.is_empty()).collect();
        match full[..] {
            [] => return Flow::default(),
            [one] => return (*one).clone(),
            _ => {}
        }
        let total = full.iter().map(|f| f.len()).sum();
        let mut next = vec![0usize; full.len()];
        let mut out = BatchBuilder::default();
        let mut rows = Vec::with_capacity(total);
        let mut windows = full.iter().any(|f| f.windows.is_some()).then(Windows::default);
        for _ in 0..total {
            let heads = full.iter().enumerate().filter(|(f, flow)| next[*f] < flow.len());
            let Some((f, flow)) = heads.min_by_key(|(f, flow)| flow.rows[next[*f]]) else { break };
            let i = next[f];
            next[f] += 1;
            let headers = flow.batch.headers.iter().flat_map(|h| h.of(i));
            out.push(flow.batch.keys.get(i), flow.batch.values.get(i), flow.batch.timestamps[i], headers);
            rows.push(flow.rows[i]);
            if let Some(windows) = &mut windows {
                let (start, end) = flow.window(i).unwrap_or((NEVER, NEVER));
                windows.starts.push(start);
                windows.ends.push(end);
            }
        }
        let derived = full.iter().any(|f| f.derived);
        Flow { batch: out.finish(), rows: Arc::new(rows), windows: windows.map(Arc::new), derived }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(items: &[(u32, &str)]) -> Flow {
        let mut batch = BatchBuilder::default();
        items.iter().for_each(|(row, v)| batch.push(None, Some(v.as_bytes()), i64::from(*row), []));
        let rows = Arc::new(items.iter().map(|(row, _)| *row).collect());
        Flow { batch: batch.finish(), rows, ..Flow::default() }
    }

    #[test]
    fn merged_flows_stand_as_record_by_record() {
        let (a, b) = (flow(&[(0, "a0"), (2, "a2"), (2, "a2'")]), flow(&[(0, "b0"), (1, "b1"), (2, "b2")]));
        let merged = Flow::merge(&[&a, &b]);
        let values: Vec<_> = (0..merged.len()).map(|i| merged.batch.values.get(i).unwrap()).collect();
        assert_eq!(values, [&b"a0"[..], b"b0", b"b1", b"a2", b"a2'", b"b2"]);
        assert_eq!(*merged.rows, [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn gathering_all_shares() {
        let a = flow(&[(0, "x"), (1, "y")]);
        assert!(Arc::ptr_eq(&a.gather(&[0, 1]).batch.values, &a.batch.values));
        assert_eq!(a.gather(&[1]).batch.values.get(0), Some(&b"y"[..]));
    }
}
