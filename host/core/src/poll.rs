//! 1. Poll: what was fetched waits here, and the next records of a task are chosen.
//!
//! Inside a task with several inputs the next record is the one with the smallest timestamp among the heads; ties by
//! input order. While an input is empty here and not at its end, the task waits for it (`max-idle: 0`).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::record::{Batch, BatchBuilder};

/// Most records that are evaluated at once.
pub const BATCH_RECORDS_MAX: usize = 2048;

/// Bytes of one input that may wait before the shell should stop fetching it.
pub const BUFFER_BYTES_MAX: usize = 4 << 20;

/// What waits of one input partition.
#[derive(Clone, Debug, Default)]
struct Buffer {
    /// Batches with the offset of their first record.
    waiting: VecDeque<(i64, Batch)>,
    /// Records of the first batch already taken.
    taken: usize,
    bytes: usize,
    /// Next offset to fetch.
    fetch: i64,
    /// Position: offset behind the last record taken.
    position: i64,
    /// End of the partition when it was last looked at; [`END_UNKNOWN`] before the first answer.
    end: i64,
    /// When that was, as [`crate::time::Now::passed_ms`].
    told_at: i64,
    /// Since when that has been told again and again, without a gap.
    steady_since: i64,
}

/// The end of a partition that nobody has looked at yet: it may hold records, so a task with several inputs waits for it.
const END_UNKNOWN: i64 = i64::MAX;

/// Where an input begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of the next record.
    pub position: i64,
    /// The topic has this partition; one with fewer partitions than there are tasks is at its end for the others.
    pub exists: bool,
}

/// The inputs of a task.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    buffers: Vec<Buffer>,
}

/// The next records of a task.
#[derive(Clone, Debug, Default)]
pub struct Polled {
    /// The records as they were read.
    pub batch: Batch,
    /// Which input each came from; `None`: all from `input`.
    pub inputs: Option<Vec<u32>>,
    /// The input, where all came from one.
    pub input: u32,
    /// Offset of the first record, where all came from one input.
    pub base_offset: i64,
    /// Offsets, where they came from several.
    pub offsets: Vec<i64>,
}

impl Polled {
    /// Input and offset of a row.
    pub fn origin(&self, row: usize) -> (usize, i64) {
        match &self.inputs {
            None => (self.input as usize, self.base_offset + row as i64),
            Some(inputs) => (inputs[row] as usize, self.offsets[row]),
        }
    }
}

impl Inputs {
    /// Inputs that begin at these places.
    pub fn new(places: &[Place]) -> Self {
        let buffer = |p: &Place| {
            let (end, told_at) = if p.exists { (END_UNKNOWN, i64::MIN) } else { (p.position, i64::MAX) };
            Buffer {
                fetch: p.position,
                position: p.position,
                end,
                told_at,
                steady_since: i64::MIN,
                ..Buffer::default()
            }
        };
        Self { buffers: places.iter().map(buffer).collect() }
    }

    /// Takes in what was fetched. `end`: the end of the partition as known now.
    ///
    /// Records before the next expected offset were seen already (a fetch that was answered twice) and are skipped;
    /// records behind it came out of order and will be asked for again. No records, but a later offset: there are none in
    /// between, since retention took them or since a log keeps marks of its own there. Gives whether the position has moved
    /// over such; while records wait in front it moves when the last of them is taken.
    pub fn fetched(&mut self, input: usize, base_offset: i64, batch: Batch, end: i64) -> bool {
        let buffer = &mut self.buffers[input];
        buffer.end = if buffer.end == END_UNKNOWN { end } else { buffer.end.max(end) };
        if batch.is_empty() && base_offset > buffer.fetch {
            // Nothing is in between (any more): the shell has said so, and reading goes on behind it.
            buffer.fetch = base_offset;
            if buffer.waiting.is_empty() {
                buffer.position = base_offset;
                return true;
            }
            return false;
        }
        let after = base_offset + batch.len() as i64;
        if batch.is_empty() || after <= buffer.fetch || base_offset > buffer.fetch {
            return false;
        }
        let skip = (buffer.fetch - base_offset) as usize;
        let batch = batch.slice(skip, batch.len());
        buffer.bytes += batch.bytes();
        buffer.waiting.push_back((base_offset + skip as i64, batch));
        buffer.fetch = after;
        false
    }

    /// The next offset to fetch of an input, or `None` while enough of it waits here.
    pub fn wants(&self, input: usize) -> Option<i64> {
        let buffer = &self.buffers[input];
        (buffer.bytes < BUFFER_BYTES_MAX).then_some(buffer.fetch)
    }

    /// Whether nothing of an input waits here.
    pub fn is_dry(&self, input: usize) -> bool {
        self.buffers[input].waiting.is_empty()
    }

    /// Offsets behind the last record taken, one for each input.
    pub fn positions(&self) -> impl Iterator<Item = i64> {
        self.buffers.iter().map(|b| b.position)
    }

    /// The end of an input is told now. What was told before `ends_since` says nothing any more, so that there is a gap.
    pub fn told(&mut self, input: usize, passed_ms: i64, ends_since: i64) {
        let buffer = &mut self.buffers[input];
        if buffer.told_at < ends_since {
            buffer.steady_since = passed_ms;
        }
        buffer.told_at = passed_ms;
    }

    /// Since when it is known that there may be silence, once everything known of the partitions was taken, and what is known was
    /// told since `ends_since`.
    pub fn at_end(&self, ends_since: i64) -> Option<i64> {
        let at_end = |b: &Buffer| b.waiting.is_empty() && b.fetch >= b.end && b.told_at >= ends_since;
        self.buffers.iter().all(at_end).then(|| self.buffers.iter().map(|b| b.steady_since).max().unwrap_or(i64::MIN))
    }

    /// Bytes that wait here.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(|b| b.bytes).sum()
    }

    /// Bytes of one input that wait here.
    pub fn bytes_of(&self, input: usize) -> usize {
        self.buffers[input].bytes
    }

    /// Whether [`Inputs::take`] gives records now.
    pub fn may_take(&self) -> bool {
        let empty = |b: &Buffer| b.waiting.is_empty();
        !self.buffers.iter().all(empty) && !self.buffers.iter().any(|b| empty(b) && b.fetch < b.end)
    }

    /// The next records, at most [`BATCH_RECORDS_MAX`]; `None`: nothing may be taken yet.
    pub fn take(&mut self) -> Option<Polled> {
        if !self.may_take() {
            return None;
        }
        if self.buffers.iter().filter(|b| !b.waiting.is_empty()).count() == 1 {
            let input = self.buffers.iter().position(|b| !b.waiting.is_empty())?;
            return Some(self.next_of(input));
        }
        Some(self.next_merged())
    }

    /// From one input: a slice of what was fetched, shared where it is whole.
    fn next_of(&mut self, input: usize) -> Polled {
        let buffer = &mut self.buffers[input];
        let (base, batch) = &buffer.waiting[0];
        let from = buffer.taken;
        let to = batch.len().min(from + BATCH_RECORDS_MAX);
        let base_offset = base + from as i64;
        let batch = batch.slice(from, to);
        buffer.take(to - from);
        // Only the rest behind a limit still waits; with others empty and at their ends nothing older can come first.
        Polled { batch, inputs: None, input: input as u32, base_offset, offsets: Vec::new() }
    }

    /// From several inputs, by timestamp, until one runs dry or the batch is full.
    fn next_merged(&mut self) -> Polled {
        let mut out = BatchBuilder::default();
        let (mut inputs, mut offsets) = (Vec::new(), Vec::new());
        while out.len() < BATCH_RECORDS_MAX {
            if self.buffers.iter().any(|b| b.waiting.is_empty() && b.fetch < b.end) {
                break;
            }
            let heads = self.buffers.iter().enumerate().filter_map(|(i, b)| Some((b.head()?, i)));
            let Some((_, input)) = heads.min() else { break };
            let buffer = &mut self.buffers[input];
            let (base, batch) = &buffer.waiting[0];
            let i = buffer.taken;
            let headers = batch.headers.iter().flat_map(|h| h.of(i));
            out.push(batch.keys.get(i), batch.values.get(i), batch.timestamps[i], headers);
            offsets.push(base + i as i64);
            inputs.push(input as u32);
            buffer.take(1);
        }
        Polled { batch: out.finish(), inputs: Some(inputs), input: 0, base_offset: 0, offsets }
    }
}

impl Buffer {
    fn head(&self) -> Option<i64> {
        self.waiting.front().map(|(_, b)| b.timestamps[self.taken])
    }

    fn take(&mut self, count: usize) {
        let Some((base, batch)) = self.waiting.front() else { return };
        self.taken += count;
        self.position = base + self.taken as i64;
        if self.taken == batch.len() {
            self.bytes -= batch.bytes();
            self.taken = 0;
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                self.position = self.fetch;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(times: &[i64]) -> Batch {
        let mut out = BatchBuilder::default();
        times.iter().for_each(|t| out.push(None, None, *t, []));
        out.finish()
    }

    fn inputs(positions: &[i64]) -> Inputs {
        Inputs::new(&positions.iter().map(|p| Place { position: *p, exists: true }).collect::<Vec<_>>())
    }

    #[test]
    fn an_end_counts_for_as_long_as_its_word() {
        let exists = |exists| Place { position: 3, exists };
        let mut inputs = Inputs::new(&[exists(true), exists(false)]);
        let always = i64::MIN;
        assert_eq!(inputs.at_end(always), None, "nobody has looked");
        let told = |inputs: &mut Inputs, end, at| {
            inputs.fetched(0, 3, Batch::default(), end);
            inputs.told(0, at, at - 50);
        };
        told(&mut inputs, 3, 100);
        assert_eq!((inputs.at_end(100), inputs.at_end(101)), (Some(100), None));
        told(&mut inputs, 3, 150);
        told(&mut inputs, 3, 200);
        assert_eq!(inputs.at_end(200), Some(100), "a partition that is not there needs no word");
        told(&mut inputs, 3, 251);
        assert_eq!(inputs.at_end(201), Some(251), "nobody knows what was in between");
        told(&mut inputs, 4, 252);
        assert_eq!(inputs.at_end(always), None, "there is more");
    }

    #[test]
    fn one_input_is_passed_on_whole() {
        let mut inputs = inputs(&[5]);
        inputs.fetched(0, 3, batch(&[1, 2, 3, 4]), 7);
        let polled = inputs.take().unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [3, 4], "what came twice is skipped");
        assert_eq!(polled.origin(1), (0, 6));
        assert_eq!(inputs.positions().collect::<Vec<_>>(), [7]);
        assert!(inputs.take().is_none() && inputs.at_end(i64::MIN).is_some());
    }

    #[test]
    fn reading_goes_on_behind_records_that_are_gone() {
        let mut inputs = inputs(&[5]);
        assert!(inputs.fetched(0, 9, Batch::default(), 9), "and is committed");
        assert_eq!((inputs.wants(0), inputs.positions().next()), (Some(9), Some(9)));
        assert!(inputs.at_end(i64::MIN).is_some());
    }

    #[test]
    fn what_comes_out_of_order_is_asked_for_again() {
        let mut inputs = inputs(&[0]);
        inputs.fetched(0, 2, batch(&[3, 4]), 4);
        assert!(inputs.take().is_none(), "records 0 and 1 come first");
        assert_eq!(inputs.wants(0), Some(0));
        inputs.fetched(0, 0, batch(&[1, 2]), 4);
        inputs.fetched(0, 2, batch(&[3, 4]), 4);
        let times: Vec<_> = core::iter::from_fn(|| inputs.take()).flat_map(|p| p.batch.timestamps.to_vec()).collect();
        assert_eq!(times, [1, 2, 3, 4]);
    }

    #[test]
    fn an_input_that_was_never_looked_at_is_waited_for_unless_it_does_not_exist() {
        let mut both = inputs(&[0, 0]);
        both.fetched(0, 0, batch(&[5]), 1);
        assert!(both.take().is_none() && both.at_end(i64::MIN).is_none(), "input 1 may hold older records");
        both.fetched(1, 0, Batch::default(), 0);
        assert_eq!(both.take().unwrap().batch.len(), 1);
        let (there, not) = (Place { position: 0, exists: true }, Place { position: 0, exists: false });
        let mut one = Inputs::new(&[there, not]);
        one.fetched(0, 0, batch(&[5]), 1);
        assert_eq!(one.take().unwrap().batch.len(), 1);
        assert!(one.at_end(i64::MIN).is_some());
    }

    #[test]
    fn a_gap_behind_what_waits_is_stepped_over_when_it_is_taken() {
        let mut inputs = inputs(&[0]);
        inputs.fetched(0, 0, batch(&[1, 2]), 9);
        assert!(!inputs.fetched(0, 4, Batch::default(), 9), "two wait in front of it");
        assert_eq!((inputs.wants(0), inputs.positions().next()), (Some(4), Some(0)));
        inputs.fetched(0, 4, batch(&[3]), 9);
        inputs.fetched(0, 6, Batch::default(), 9);
        assert_eq!(inputs.take().unwrap().base_offset, 0);
        assert_eq!(inputs.positions().next(), Some(2), "what comes next stands behind the gap");
        assert_eq!(inputs.take().unwrap().base_offset, 4);
        assert_eq!(inputs.positions().next(), Some(6));
        assert!(inputs.fetched(0, 9, Batch::default(), 9), "nothing waits");
        assert_eq!(inputs.positions().next(), Some(9));
    }

    #[test]
    fn several_inputs_come_by_time_and_wait_for_each_other() {
        let mut inputs = inputs(&[0, 0]);
        inputs.fetched(0, 0, batch(&[1, 5, 9]), 3);
        inputs.fetched(1, 0, Batch::default(), 2);
        assert!(inputs.take().is_none(), "input 1 has records that were not fetched yet");
        inputs.fetched(1, 0, batch(&[2]), 2);
        let polled = inputs.take().unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [1, 2], "input 1 ran dry before its end");
        inputs.fetched(1, 1, batch(&[5]), 2);
        let polled = inputs.take().unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [5, 5, 9]);
        assert_eq!(polled.inputs.as_deref(), Some(&[0, 1, 0][..]), "ties by input order");
        assert_eq!(polled.origin(1), (1, 1));
    }

    #[test]
    fn a_batch_is_bounded_and_so_is_the_buffer() {
        let mut inputs = inputs(&[0]);
        let n = BATCH_RECORDS_MAX as i64 + 10;
        inputs.fetched(0, 0, batch(&(0..n).collect::<Vec<_>>()), n);
        assert_eq!(inputs.take().unwrap().batch.len(), BATCH_RECORDS_MAX);
        assert_eq!(inputs.take().unwrap().batch.len(), 10);
        while let Some(at) = inputs.wants(0) {
            inputs.fetched(0, at, batch(&[0; 10_000]), i64::MAX);
        }
        assert!(inputs.bytes() >= BUFFER_BYTES_MAX && inputs.bytes() < BUFFER_BYTES_MAX + 200_000);
    }
}
