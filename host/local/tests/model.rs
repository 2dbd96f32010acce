//! The log against a list of records: random appends, refused writes, truncations, retention, reopening, reads from anywhere.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_core::state::keyspace::Durability;
use millstream_local::{Append, AppendError, ChangeError, Dropped, Log, ReadError, TopicConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use common::{Disk, Record, batch, log, records};

const PARTITIONS: u32 = 3;

/// What is done. Places are parts of 255 of what there is, so that they hit.
#[derive(Clone, Debug)]
enum Step {
    Append { batches: Vec<(u32, Vec<Record>)>, refused: bool },
    Read { partition: u32, place: u8, bytes: usize },
    Time { partition: u32, place: u8, later: i64 },
    Truncate { partition: u32, place: u8 },
    Retain { now: i64, ms: Option<i64>, bytes: Option<u64> },
    Reopen,
}

fn bytes(len: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![1 => Just(None), 3 => vec(any::<u8>(), 0..len).prop_map(Some)]
}

fn record() -> impl Strategy<Value = Record> {
    let headers = prop_oneof![3 => Just(vec![]), 1 => vec((vec(97u8..123, 1..5), bytes(6)), 1..3)];
    (bytes(8), bytes(40), 0i64..1_000, headers).prop_map(|(key, value, time, headers)| Record {
        key,
        value,
        time,
        headers,
    })
}

/// Anywhere, and often the end.
fn place() -> impl Strategy<Value = u8> {
    prop_oneof![4 => any::<u8>(), 1 => Just(255)]
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    let batches = vec((partition.clone(), vec(record(), 0..12)), 0..5);
    prop_oneof![
        8 => (batches, prop::bool::weighted(0.2)).prop_map(|(batches, refused)| Step::Append { batches, refused }),
        8 => (partition.clone(), place(), 0usize..2_000)
            .prop_map(|(partition, place, bytes)| Step::Read { partition, place, bytes }),
        2 => (partition.clone(), place(), 0i64..2)
            .prop_map(|(partition, place, later)| Step::Time { partition, place, later }),
        2 => (partition, place()).prop_map(|(partition, place)| Step::Truncate { partition, place }),
        1 => (0i64..1_200, prop::option::of(0i64..1_000), prop::option::of(0u64..3_000))
            .prop_map(|(now, ms, bytes)| Step::Retain { now, ms, bytes }),
        2 => Just(Step::Reopen),
    ]
}

/// What a partition must hold.
#[derive(Default)]
struct Partition {
    /// All records ever, by offset.
    records: Vec<Record>,
    start: usize,
    /// End and bytes of each chunk.
    chunks: Vec<(usize, u64)>,
}

struct Model {
    disk: Arc<Disk>,
    log: Log,
    partitions: Vec<Partition>,
}

impl Partition {
    fn place(&self, place: u8) -> i64 {
        (self.records.len() * usize::from(place) / 255) as i64
    }

    /// Bytes of the chunks with a record behind `start`.
    fn bytes(&self) -> u64 {
        self.chunks.iter().filter(|(end, _)| *end > self.start).map(|(_, bytes)| bytes).sum()
    }

    /// What retention may drop: chunk by chunk from the front.
    fn retain(&mut self, oldest: Option<i64>, bytes: Option<u64>) {
        for i in 0..self.chunks.len() {
            let from = if i == 0 { 0 } else { self.chunks[i - 1].0 };
            let to = self.chunks[i].0;
            if to <= self.start {
                continue;
            }
            let rest: u64 = self.chunks[i + 1..].iter().map(|(_, bytes)| bytes).sum();
            let old = oldest.is_some_and(|oldest| self.records[from..to].iter().all(|r| r.time < oldest));
            if !old && bytes.is_none_or(|bytes| rest < bytes) {
                return;
            }
            self.start = to;
        }
    }
}

impl Model {
    fn append(&mut self, batches: Vec<(u32, Vec<Record>)>, refused: bool) {
        let append = |(partition, records): &(u32, Vec<Record>)| Append {
            topic: "t".into(),
            partition: *partition,
            batch: batch(records),
        };
        let appends: Vec<Append> = batches.iter().map(append).collect();
        let any = batches.iter().any(|(_, records)| !records.is_empty());
        self.disk.full.store(refused, Ordering::Relaxed);
        let result = self.log.append(appends, vec![], Durability::Process);
        self.disk.full.store(false, Ordering::Relaxed);
        if refused && any {
            assert!(matches!(result, Err(AppendError::Storage(_))), "{result:?}");
            return;
        }
        let ends: Vec<usize> = self.partitions.iter().map(|p| p.records.len()).collect();
        let mut expected = vec![];
        for (partition, records) in batches {
            let partition = &mut self.partitions[partition as usize];
            expected.push(partition.records.len() as i64);
            partition.records.extend(records);
        }
        assert_eq!(result.unwrap(), expected);
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            if partition.records.len() > ends[number] {
                let size = self.log.size("t", number as u32).unwrap();
                let bytes = size - partition.bytes();
                partition.chunks.push((partition.records.len(), bytes));
            }
        }
    }

    fn read(&self, number: u32, place: u8, bytes: usize) {
        let partition = &self.partitions[number as usize];
        let (offset, start, end) = (partition.place(place), partition.start as i64, partition.records.len() as i64);
        let result = self.log.read("t", number, offset, bytes);
        if offset < start {
            assert_eq!(result, Err(ReadError::OffsetOutOfRange { offset, start, end }));
            return;
        }
        let fetched = result.unwrap();
        assert_eq!((fetched.base_offset, fetched.log_end), (offset, end));
        let read = records(&fetched.batch);
        assert_eq!(read, partition.records[offset as usize..offset as usize + read.len()]);
        assert_eq!(read.is_empty(), offset == end, "at least one record where there is one");
    }

    fn time(&self, number: u32, place: u8, later: i64) {
        let partition = &self.partitions[number as usize];
        let near = partition.records.get(partition.place(place) as usize);
        let time = near.map_or(0, |r| r.time) + later;
        let mut kept = partition.records.iter().enumerate().skip(partition.start);
        let expected = kept.find(|(_, r)| r.time >= time).map(|(i, _)| i as i64);
        assert_eq!(self.log.offset_for_time("t", number, time).unwrap(), expected);
    }

    fn truncate(&mut self, number: u32, place: u8) {
        let partition = &mut self.partitions[number as usize];
        let (offset, end) = (partition.place(place), partition.records.len() as i64);
        self.log.truncate_before("t", number, offset).unwrap();
        partition.start = partition.start.max(offset as usize);
        let beyond = self.log.truncate_before("t", number, end + 1);
        assert!(matches!(beyond, Err(ChangeError::BeyondEnd { .. })), "{beyond:?}");
    }

    fn retain(&mut self, now: i64, retention_ms: Option<i64>, retention_bytes: Option<u64>) {
        self.log.set_config("t", TopicConfig { retention_ms, retention_bytes, internal: false }).unwrap();
        let count = |model: &Self| model.partitions.iter().map(|p| p.start as u64).sum::<u64>();
        let size = |model: &Self| model.partitions.iter().map(Partition::bytes).sum::<u64>();
        let (records, bytes) = (count(self), size(self));
        let dropped = self.log.enforce_retention(now).unwrap();
        self.partitions.iter_mut().for_each(|p| p.retain(retention_ms.map(|ms| now - ms), retention_bytes));
        assert_eq!(dropped, Dropped { records: count(self) - records, bytes: bytes - size(self) });
    }

    fn check(&self) {
        for (number, partition) in self.partitions.iter().enumerate() {
            let info = self.log.partition("t", number as u32).unwrap();
            assert_eq!(info.start, partition.start as i64);
            assert_eq!(info.end, partition.records.len() as i64);
            assert_eq!(info.bytes, partition.bytes());
            let beyond = self.log.read("t", number as u32, info.end + 1, 1);
            let out_of_range = ReadError::OffsetOutOfRange { offset: info.end + 1, start: info.start, end: info.end };
            assert_eq!(beyond, Err(out_of_range));
            let (mut offset, mut read) = (info.start, vec![]);
            while offset < info.end {
                let fetched = self.log.read("t", number as u32, offset, 300).unwrap();
                read.extend(records(&fetched.batch));
                offset += fetched.batch.len() as i64;
            }
            assert_eq!(read, partition.records[partition.start..]);
        }
        let kept =
            self.partitions.iter().map(|p| p.chunks.iter().filter(|(end, _)| *end > p.start).count()).sum::<usize>();
        assert_eq!(self.disk.rows("log.chunks").len(), kept, "what was dropped is gone");
        assert_eq!(self.disk.rows("log.index").len(), kept);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { batches, refused } => self.append(batches, refused),
            Step::Read { partition, place, bytes } => self.read(partition, place, bytes),
            Step::Time { partition, place, later } => self.time(partition, place, later),
            Step::Truncate { partition, place } => self.truncate(partition, place),
            Step::Retain { now, ms, bytes } => self.retain(now, ms, bytes),
            Step::Reopen => self.log = Log::open(self.disk.clone()).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_of_records(steps in vec(step(), 1..40)) {
        let (disk, log) = log(PARTITIONS);
        let partitions = (0..PARTITIONS).map(|_| Partition::default()).collect();
        let mut model = Model { disk, log, partitions };
        steps.into_iter().for_each(|step| model.step(step));
        model.check();
        model.step(Step::Reopen);
        model.check();
    }
}
