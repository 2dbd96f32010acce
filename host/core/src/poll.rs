//! 1. Poll: what was fetched waits here, and the next records of a task are chosen.
//!
//! Inside a task with several inputs the next record is the one with the smallest timestamp among the heads; ties by
//! input order. While an input is empty here and not at its end, the task waits for it, and then for as long as `max-idle` says, as
//! Kafka Streams does by `max.task.idle.ms`. What time it is, and where an input ends, is told.

pub(crate) mod stamps;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::record::{Batch, BatchBuilder, Timestamp};
use crate::topology::spec::MaxIdle;
use stamps::Stamps;

pub use stamps::Refused;

/// Most records that are evaluated at once.
pub const BATCH_RECORDS_MAX: usize = 2048;

/// Bytes of one input that may wait before the shell should stop fetching it.
pub const BUFFER_BYTES_MAX: usize = 4 << 20;

/// A batch that waits.
#[derive(Clone, Debug, Default)]
struct Waiting {
    /// Offset of its first record.
    base: i64,
    batch: Batch,
    stamps: Stamps,
}

/// What waits of one input partition.
#[derive(Clone, Debug, Default)]
struct Buffer {
    /// A function gives event times.
    timed: bool,
    waiting: VecDeque<Waiting>,
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
    /// Since when nothing is here and nothing there, as far as is known; as [`crate::time::Now::passed_ms`].
    dry_since: Option<i64>,
    /// The topic does not have this partition.
    absent: bool,
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
    max_idle: MaxIdle,
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
    /// Event times, where a function gave those of some; `None`: the batch's timestamps are.
    pub times: Option<Arc<Vec<Timestamp>>>,
    /// Records that a function gave no event time, by row.
    pub refused: BTreeMap<usize, Refused>,
}

impl Polled {
    /// Input and offset of a row.
    pub fn origin(&self, row: usize) -> (usize, i64) {
        match &self.inputs {
            None => (self.input as usize, self.base_offset + row as i64),
            Some(inputs) => (inputs[row] as usize, self.offsets[row]),
        }
    }

    /// From where all of them are.
    pub fn origins(&self) -> Origins {
        let each = self.inputs.as_ref().map(|inputs| (inputs.clone(), self.offsets.clone()));
        Origins { from: (self.input, self.base_offset), each, len: self.batch.len() }
    }
}

/// From where polled records are, kept without them.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Input and first offset of all, where they came from one.
    from: (u32, i64),
    each: Option<(Vec<u32>, Vec<i64>)>,
    len: usize,
}

impl Origins {
    /// Input and offset of a row; `None` for what is no row.
    pub fn of(&self, row: usize) -> Option<(u32, i64)> {
        if row >= self.len {
            return None;
        }
        match &self.each {
            Some((inputs, offsets)) => Some((inputs[row], offsets[row])),
            None => Some((self.from.0, self.from.1 + row as i64)),
        }
    }
}

impl Inputs {
    /// Inputs that begin at these places; `max_idle`: how long one of them is waited for.
    pub fn new(places: &[Place], max_idle: MaxIdle) -> Self {
        let buffer = |p: &Place| {
            let (end, told_at) = if p.exists { (END_UNKNOWN, i64::MIN) } else { (p.position, i64::MAX) };
            Buffer {
                fetch: p.position,
                position: p.position,
                end,
                told_at,
                steady_since: i64::MIN,
                absent: !p.exists,
                ..Buffer::default()
            }
        };
        Self { buffers: places.iter().map(buffer).collect(), max_idle }
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
        buffer.waiting.push_back(Waiting { base: base_offset + skip as i64, batch, stamps: Stamps::default() });
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

    /// Notes which inputs have run dry, before it is asked whether they were waited for long enough.
    pub fn waited(&mut self, passed_ms: i64) -> &Self {
        for buffer in &mut self.buffers {
            if !buffer.is_dry() {
                buffer.dry_since = None;
            } else if buffer.dry_since.is_none() {
                buffer.dry_since = Some(passed_ms);
            }
        }
        self
    }

    /// Whether [`Inputs::take`] gives records now.
    pub fn may_take(&self, passed_ms: i64) -> bool {
        self.buffers.iter().any(|b| !b.waiting.is_empty()) && self.is_waited_for(passed_ms)
    }

    /// Whether no input has to be waited for.
    fn is_waited_for(&self, passed_ms: i64) -> bool {
        let MaxIdle::After(max_idle) = self.max_idle else { return true };
        let waited = |b: &Buffer| {
            let for_ms = passed_ms.saturating_sub(b.dry_since.unwrap_or(passed_ms));
            b.absent || !b.waiting.is_empty() || b.is_dry() && for_ms >= max_idle
        };
        self.buffers.iter().all(waited)
    }

    /// The next records, at most [`BATCH_RECORDS_MAX`]; `None`: nothing may be taken yet.
    pub fn take(&mut self, passed_ms: i64) -> Option<Polled> {
        if !self.may_take(passed_ms) {
            return None;
        }
        if self.buffers.iter().filter(|b| !b.waiting.is_empty()).count() == 1 {
            let input = self.buffers.iter().position(|b| !b.waiting.is_empty())?;
            return Some(self.next_of(input));
        }
        Some(self.next_merged(passed_ms))
    }

    /// From one input: a slice of what was fetched, shared where it is whole.
    fn next_of(&mut self, input: usize) -> Polled {
        let buffer = &mut self.buffers[input];
        let Waiting { base, batch, stamps } = &buffer.waiting[0];
        let from = buffer.taken;
        let to = batch.len().min(from + BATCH_RECORDS_MAX);
        let mut polled = Polled {
            batch: batch.slice(from, to),
            input: input as u32,
            base_offset: base + from as i64,
            ..Polled::default()
        };
        if buffer.timed {
            polled.times = Some(Arc::new(stamps.times(from, to).to_vec()));
            polled.refused = stamps.refused(from, to).map(|(at, refused)| (at - from, refused.clone())).collect();
        }
        buffer.take(to - from);
        // Only the rest behind a limit still waits; with others empty and at their ends nothing older can come first.
        polled
    }

    /// From several inputs, by event time, until one runs dry or the batch is full.
    fn next_merged(&mut self, passed_ms: i64) -> Polled {
        let mut out = BatchBuilder::default();
        let (mut inputs, mut offsets, mut refused) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut times = self.buffers.iter().any(|b| b.timed).then(Vec::new);
        while out.len() < BATCH_RECORDS_MAX {
            if !self.is_waited_for(passed_ms) {
                break;
            }
            let heads = self.buffers.iter().enumerate().filter_map(|(i, b)| Some((b.head()?, i)));
            let Some((time, input)) = heads.min() else { break };
            let buffer = &mut self.buffers[input];
            let Waiting { base, batch, stamps } = &buffer.waiting[0];
            let i = buffer.taken;
            refused.extend(stamps.refused(i, i + 1).map(|(_, why)| (out.len(), why.clone())));
            times.iter_mut().for_each(|times| times.push(time));
            let headers = batch.headers.iter().flat_map(|h| h.of(i));
            out.push(batch.keys.get(i), batch.values.get(i), batch.timestamps[i], headers);
            offsets.push(base + i as i64);
            inputs.push(input as u32);
            buffer.take(1);
        }
        let (batch, inputs, times) = (out.finish(), Some(inputs), times.map(Arc::new));
        Polled { batch, inputs, input: 0, base_offset: 0, offsets, times, refused }
    }
}

impl Buffer {
    /// Whether nothing is here, and nothing there, as far as is known.
    fn is_dry(&self) -> bool {
        self.waiting.is_empty() && self.fetch >= self.end
    }

    /// Event time of the next record.
    fn head(&self) -> Option<Timestamp> {
        let first = self.waiting.front()?;
        Some(if self.timed { first.stamps.time(self.taken) } else { first.batch.timestamps[self.taken] })
    }

    fn take(&mut self, count: usize) {
        let Some(Waiting { base, batch, .. }) = self.waiting.front() else { return };
        self.taken += count;
        self.position = base + self.taken as i64;
        if self.taken == batch.len() {
            self.bytes -= batch.bytes();
            self.taken = 0;
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                self.position = self.fetch;
                self.dry_since = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn batch(times: &[i64]) -> Batch {
        let mut out = BatchBuilder::default();
        times.iter().for_each(|t| out.push(None, None, *t, []));
        out.finish()
    }

    fn inputs(positions: &[i64]) -> Inputs {
        inputs_that_wait(positions, MaxIdle::default())
    }

    fn inputs_that_wait(positions: &[i64], max_idle: MaxIdle) -> Inputs {
        Inputs::new(&positions.iter().map(|p| Place { position: *p, exists: true }).collect::<Vec<_>>(), max_idle)
    }

    #[test]
    fn an_end_counts_for_as_long_as_its_word() {
        let exists = |exists| Place { position: 3, exists };
        let mut inputs = Inputs::new(&[exists(true), exists(false)], MaxIdle::default());
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
        let polled = inputs.take(0).unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [3, 4], "what came twice is skipped");
        assert_eq!(polled.origin(1), (0, 6));
        assert_eq!(inputs.positions().collect::<Vec<_>>(), [7]);
        assert!(inputs.take(0).is_none() && inputs.at_end(i64::MIN).is_some());
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
        assert!(inputs.take(0).is_none(), "records 0 and 1 come first");
        assert_eq!(inputs.wants(0), Some(0));
        inputs.fetched(0, 0, batch(&[1, 2]), 4);
        inputs.fetched(0, 2, batch(&[3, 4]), 4);
        let times: Vec<_> = core::iter::from_fn(|| inputs.take(0)).flat_map(|p| p.batch.timestamps.to_vec()).collect();
        assert_eq!(times, [1, 2, 3, 4]);
    }

    #[test]
    fn an_input_that_was_never_looked_at_is_waited_for_unless_it_does_not_exist() {
        let mut both = inputs(&[0, 0]);
        both.fetched(0, 0, batch(&[5]), 1);
        assert!(both.take(0).is_none() && both.at_end(i64::MIN).is_none(), "input 1 may hold older records");
        both.fetched(1, 0, Batch::default(), 0);
        assert_eq!(both.take(0).unwrap().batch.len(), 1);
        let (there, not) = (Place { position: 0, exists: true }, Place { position: 0, exists: false });
        let mut one = Inputs::new(&[there, not], MaxIdle::After(5_000));
        one.fetched(0, 0, batch(&[5]), 1);
        assert_eq!(one.take(0).unwrap().batch.len(), 1);
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
        assert_eq!(inputs.take(0).unwrap().base_offset, 0);
        assert_eq!(inputs.positions().next(), Some(2), "what comes next stands behind the gap");
        assert_eq!(inputs.take(0).unwrap().base_offset, 4);
        assert_eq!(inputs.positions().next(), Some(6));
        assert!(inputs.fetched(0, 9, Batch::default(), 9), "nothing waits");
        assert_eq!(inputs.positions().next(), Some(9));
    }

    #[test]
    fn several_inputs_come_by_time_and_wait_for_each_other() {
        let mut inputs = inputs(&[0, 0]);
        inputs.fetched(0, 0, batch(&[1, 5, 9]), 3);
        inputs.fetched(1, 0, Batch::default(), 2);
        assert!(inputs.take(0).is_none(), "input 1 has records that were not fetched yet");
        inputs.fetched(1, 0, batch(&[2]), 2);
        let polled = inputs.take(0).unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [1, 2], "input 1 ran dry before its end");
        inputs.fetched(1, 1, batch(&[5]), 2);
        let polled = inputs.take(0).unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [5, 5, 9]);
        assert_eq!(polled.inputs.as_deref(), Some(&[0, 1, 0][..]), "ties by input order");
        assert_eq!(polled.origin(1), (1, 1));
    }

    #[test]
    fn a_batch_is_bounded_and_so_is_the_buffer() {
        let mut inputs = inputs(&[0]);
        let n = BATCH_RECORDS_MAX as i64 + 10;
        inputs.fetched(0, 0, batch(&(0..n).collect::<Vec<_>>()), n);
        assert_eq!(inputs.take(0).unwrap().batch.len(), BATCH_RECORDS_MAX);
        assert_eq!(inputs.take(0).unwrap().batch.len(), 10);
        while let Some(at) = inputs.wants(0) {
            inputs.fetched(0, at, batch(&[0; 10_000]), i64::MAX);
        }
        assert!(inputs.bytes() >= BUFFER_BYTES_MAX && inputs.bytes() < BUFFER_BYTES_MAX + 200_000);
    }

    fn times(polled: Option<Polled>) -> Option<Vec<i64>> {
        polled.map(|polled| polled.batch.timestamps.to_vec())
    }

    /// `PartitionGroupTest.shouldBeReadyIfAllPartitionsAreBuffered`, `shouldBeReadyIfMaxTaskIdleIsDisabled`,
    /// `shouldWaitForFetchesWhenMetadataIsIncomplete`, `shouldWaitForPollWhenLagIsNonzero`.
    #[test]
    fn as_kafkas_partition_group_is_ready() {
        let filled = |max_idle| {
            let mut inputs = inputs_that_wait(&[0, 0], max_idle);
            inputs.fetched(0, 0, batch(&[1, 5]), 2);
            inputs
        };
        let mut all = filled(MaxIdle::After(0));
        all.fetched(1, 0, batch(&[1, 5]), 2);
        assert!(all.waited(0).may_take(0), "all are buffered");
        let mut disabled = filled(MaxIdle::No);
        assert!(disabled.waited(0).may_take(0), "it does not wait, also when nothing is known of the end");
        disabled.fetched(1, 0, Batch::default(), 7);
        assert_eq!(times(disabled.take(0)), Some(vec![1, 5]), "nor when it is known that there is more");
        let mut unknown = filled(MaxIdle::After(0));
        assert!(!unknown.waited(0).may_take(0), "nobody has looked for the end");
        unknown.fetched(1, 0, Batch::default(), 0);
        assert!(unknown.waited(0).may_take(0), "a lag of 0");
        let mut more = filled(MaxIdle::After(0));
        more.fetched(1, 0, Batch::default(), 1);
        assert!(!more.waited(0).may_take(i64::MAX), "a lag of 1 is waited for without an end");
    }

    /// `PartitionGroupTest.shouldIdleAsSpecifiedWhenLagIsZero`.
    #[test]
    fn as_kafkas_partition_group_idles() {
        let mut inputs = inputs_that_wait(&[0, 0], MaxIdle::After(1));
        inputs.fetched(1, 0, Batch::default(), 0);
        inputs.fetched(0, 0, batch(&[1, 5]), 2);
        assert!(!inputs.waited(0).may_take(0), "one millisecond from now on");
        assert!(inputs.waited(1).may_take(1) && inputs.waited(2).may_take(2));
    }

    /// `PartitionGroupTest.testTimeTracking` and `shouldChooseNextRecordBasedOnHeadTimestamp`: it is the heads that are compared.
    #[test]
    fn as_kafkas_partition_group_chooses_by_the_head() {
        let mut inputs = inputs_that_wait(&[0, 0], MaxIdle::No);
        inputs.fetched(0, 0, batch(&[1, 5, 3]), 3);
        inputs.fetched(1, 0, batch(&[2, 4, 6]), 3);
        assert_eq!(times(inputs.take(0)), Some(vec![1, 2, 4, 5, 3, 6]));
    }

    #[test]
    fn waiting_begins_when_an_input_runs_dry_and_again_each_time() {
        let mut inputs = inputs_that_wait(&[0, 0], MaxIdle::After(100));
        let take = |inputs: &mut Inputs, at| {
            inputs.waited(at);
            times(inputs.take(at))
        };
        inputs.fetched(0, 0, batch(&[1, 9]), 2);
        inputs.fetched(1, 0, batch(&[5]), 1);
        assert_eq!(take(&mut inputs, 0), Some(vec![1, 5]));
        assert_eq!((take(&mut inputs, 40), take(&mut inputs, 139)), (None, None), "since 40");
        inputs.fetched(1, 1, batch(&[6]), 2);
        assert_eq!(take(&mut inputs, 139), Some(vec![6]), "what has come goes first");
        assert_eq!((take(&mut inputs, 150), take(&mut inputs, 249)), (None, None));
        inputs.fetched(1, 2, Batch::default(), 3);
        assert_eq!(take(&mut inputs, 250), None, "there is more now");
        inputs.fetched(1, 2, batch(&[7]), 3);
        assert_eq!(take(&mut inputs, 260), Some(vec![7]));
        assert_eq!((take(&mut inputs, 270), take(&mut inputs, 369)), (None, None));
        assert_eq!(take(&mut inputs, 370), Some(vec![9]));
        inputs.fetched(0, 2, batch(&[10]), 3);
        assert_eq!(take(&mut inputs, 371), Some(vec![10]), "it was waited for long enough, as long as nothing comes");
    }
}
