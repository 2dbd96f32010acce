//! Event times of records that wait, where a source has a function for them: they are needed before a record is chosen, as the one
//! with the smallest goes first. Kept beside the batch, whose own timestamps stay what was read. Nothing here calls a function.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{BATCH_RECORDS_MAX, Inputs};
use crate::emit::Reason;
use crate::record::{Batch, Timestamp};
use crate::time::NEVER;

/// Why a record has no event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In a word.
    pub reason: Reason,
    /// In the function's words, or in those of its failure.
    pub message: String,
}

/// Event times of the first records of a batch, as many as were asked for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// [`NEVER`] for a record that was refused: it goes first, as soon as its turn comes, since nothing orders it.
    times: Vec<Timestamp>,
    /// By place.
    refused: BTreeMap<usize, Refused>,
}

impl Stamps {
    /// How many records have one, or have been refused.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The event time of the next record.
    pub fn push(&mut self, time: Timestamp) {
        self.times.push(time);
    }

    /// The next record has none.
    pub fn refuse(&mut self, reason: Reason, message: String) {
        self.refused.insert(self.times.len(), Refused { reason, message });
        self.times.push(NEVER);
    }

    /// For the next record what another one's place has.
    pub fn push_of(&mut self, other: &Stamps, at: usize) {
        match other.refused.get(&at) {
            Some(refused) => self.refuse(refused.reason, refused.message.clone()),
            None => self.push(other.times[at]),
        }
    }

    /// The event time at a place that has one.
    pub fn time(&self, at: usize) -> Timestamp {
        self.times[at]
    }

    /// Those of a range.
    pub fn times(&self, from: usize, to: usize) -> &[Timestamp] {
        &self.times[from..to]
    }

    /// Records of a range that were refused, by place.
    pub fn refused(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, &Refused)> {
        self.refused.range(from..to).map(|(at, refused)| (*at, refused))
    }

    fn append(&mut self, more: Stamps) {
        let base = self.times.len();
        self.times.extend(more.times);
        self.refused.extend(more.refused.into_iter().map(|(at, refused)| (base + at, refused)));
    }

    fn truncate(&mut self, len: usize) {
        self.times.truncate(len);
        self.refused.split_off(&len);
    }
}

impl Inputs {
    /// Records of an input come with event times that a function gives: see [`Inputs::unstamped`].
    pub fn use_stamps(&mut self, input: usize) {
        self.buffers[input].timed = true;
    }

    /// Records of an input whose event times are needed before [`Inputs::take`]: at most [`BATCH_RECORDS_MAX`]. Asked until
    /// there are none.
    pub(crate) fn unstamped(&self, input: usize) -> Option<Batch> {
        let buffer = &self.buffers[input];
        if !buffer.timed {
            return None;
        }
        let mut ahead = 0;
        for (number, waits) in buffer.waiting.iter().enumerate() {
            let (stamped, len) = (waits.stamps.len(), waits.batch.len());
            ahead += stamped - if number == 0 { buffer.taken } else { 0 };
            if ahead >= BATCH_RECORDS_MAX {
                return None;
            }
            if stamped < len {
                return Some(waits.batch.slice(stamped, len.min(stamped + BATCH_RECORDS_MAX - ahead)));
            }
        }
        None
    }

    /// The event times of what [`Inputs::unstamped`] gave.
    pub(crate) fn stamp(&mut self, input: usize, stamps: Stamps) {
        let first = self.buffers[input].waiting.iter_mut().find(|w| w.stamps.len() < w.batch.len());
        let waits = first.expect("event times are given for records that wait");
        waits.stamps.append(stamps);
        assert!(waits.stamps.len() <= waits.batch.len(), "more event times than records");
    }

    /// Another version of the function gives the event times of records that were not taken yet.
    pub(crate) fn forget_stamps(&mut self, input: usize) {
        let buffer = &mut self.buffers[input];
        for (number, waits) in buffer.waiting.iter_mut().enumerate() {
            waits.stamps.truncate(if number == 0 { buffer.taken } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::Place;
    use crate::record::BatchBuilder;
    use crate::topology::spec::MaxIdle;
    use alloc::vec;

    fn batch(times: &[i64]) -> Batch {
        let mut out = BatchBuilder::default();
        times.iter().for_each(|t| out.push(None, None, *t, []));
        out.finish()
    }

    /// Two inputs, of which the first has a function: a record's event time is ten times its timestamp; of 7 there is none.
    fn stamp_all(inputs: &mut Inputs) -> Vec<usize> {
        let mut asked = Vec::new();
        while let Some(records) = inputs.unstamped(0) {
            let mut stamps = Stamps::default();
            for time in records.timestamps.iter() {
                match time {
                    7 => stamps.refuse(Reason::Rejected, "seven".into()),
                    time => stamps.push(time * 10),
                }
            }
            asked.push(records.len());
            inputs.stamp(0, stamps);
        }
        asked
    }

    fn inputs() -> Inputs {
        let place = Place { position: 0, exists: true };
        let mut inputs = Inputs::new(&[place, place], MaxIdle::default());
        inputs.use_stamps(0);
        inputs
    }

    #[test]
    fn records_come_by_the_functions_times_and_the_batch_keeps_its_own() {
        let mut inputs = inputs();
        inputs.fetched(0, 0, batch(&[1, 3, 7, 2]), 4);
        inputs.fetched(1, 0, batch(&[5, 15, 25]), 3);
        assert_eq!(stamp_all(&mut inputs), [4]);
        assert_eq!(inputs.unstamped(1), None, "that one has no function");
        let polled = inputs.take(0).unwrap();
        assert_eq!((*polled.batch.timestamps).as_slice(), [5, 1, 15, 25, 3, 7, 2], "7 goes as soon as it is its turn");
        assert_eq!(polled.times.as_ref().unwrap()[..], [5, 10, 15, 25, 30, NEVER, 20]);
        assert_eq!(polled.refused.iter().map(|(row, r)| (*row, &*r.message)).collect::<Vec<_>>(), [(5, "seven")]);
    }

    #[test]
    fn only_what_a_batch_may_take_is_asked_for_and_all_of_that() {
        let mut inputs = inputs();
        inputs.fetched(1, 0, Batch::default(), 0);
        let n = BATCH_RECORDS_MAX as i64 + 10;
        inputs.fetched(0, 0, batch(&[1, 1, 1]), 2 * n);
        inputs.fetched(0, 3, batch(&vec![2; n as usize]), 2 * n);
        assert_eq!(stamp_all(&mut inputs), [3, BATCH_RECORDS_MAX - 3]);
        assert_eq!(inputs.take(0).unwrap().times.unwrap().len(), 3);
        assert_eq!(stamp_all(&mut inputs), [3]);
        assert_eq!(inputs.take(0).unwrap().times.unwrap()[..], vec![20; BATCH_RECORDS_MAX]);
        assert_eq!(stamp_all(&mut inputs), [10]);
        assert_eq!(inputs.take(0).unwrap().times.unwrap()[..], [20; 10]);
        assert_eq!((stamp_all(&mut inputs), inputs.take(0).is_none()), (vec![], true));
    }

    #[test]
    fn another_version_is_asked_again_for_what_was_not_taken() {
        let mut inputs = inputs();
        inputs.fetched(1, 0, batch(&[15]), 9);
        inputs.fetched(0, 0, batch(&[1, 2, 7]), 9);
        inputs.fetched(0, 3, batch(&[4]), 9);
        assert_eq!(stamp_all(&mut inputs), [3, 1]);
        assert_eq!(inputs.take(0).unwrap().times.unwrap()[..], [10, 15], "input 1 has more");
        inputs.forget_stamps(0);
        assert_eq!(stamp_all(&mut inputs), [2, 1]);
        inputs.fetched(1, 1, batch(&[99]), 9);
        let polled = inputs.take(0).unwrap();
        assert_eq!(polled.times.unwrap()[..], [20, NEVER, 40]);
        assert_eq!(polled.refused.into_keys().collect::<Vec<_>>(), [1]);
    }
}
