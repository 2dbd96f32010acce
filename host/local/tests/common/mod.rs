//! What the log's tests and its bench share: storage in memory that can be told to fail, and records. No tests.

#![allow(dead_code)] // Each user takes what it needs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use millstream_core::record::{Batch, BatchBuilder, Header, Timestamp};
use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_local::{Append, Log, TopicConfig};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// Keyspaces in memory.
#[derive(Default)]
pub struct Disk {
    memory: Memory<Locked>,
    /// Writes are refused.
    pub full: AtomicBool,
    /// Writes let other threads run before and after, so that threads meet where they may.
    pub slow: AtomicBool,
}

impl Keyspaces for Disk {
    fn open_space(&self, name: &str, kind: SpaceKind) -> Result<Space, StorageError> {
        self.memory.open_space(name, kind)
    }
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.memory.get(space, key)
    }
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        self.memory.scan(space, from, to, visit)
    }
    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        self.memory.last(space, from, before)
    }
    fn apply(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StorageError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StorageError::Unavailable("no space left".into()));
        }
        let pause = || (0..3).filter(|_| self.slow.load(Ordering::Relaxed)).for_each(|_| std::thread::yield_now());
        pause();
        let applied = self.memory.apply(writes, durability);
        pause();
        applied
    }
}

impl Disk {
    /// All rows of a keyspace.
    pub fn rows(&self, space: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let space = self.open_space(space, SpaceKind::State).unwrap();
        let mut rows = Vec::new();
        self.scan(space, &[], None, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Scan::Continue
        })
        .unwrap();
        rows
    }

    /// Sets a row from outside.
    pub fn set(&self, space: &str, key: &[u8], value: &[u8]) {
        let space = self.open_space(space, SpaceKind::State).unwrap();
        self.apply(vec![Write::Put(space, key.to_vec(), value.to_vec())], Durability::Process).unwrap();
    }
}

/// A log with the topic `t` of so many partitions, and what it is on.
pub fn log(partitions: u32) -> (Arc<Disk>, Log) {
    let disk = Arc::new(Disk::default());
    let log = Log::open(disk.clone()).unwrap();
    log.create_topic("t", partitions, TopicConfig::default()).unwrap();
    (disk, log)
}

/// A record as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: Timestamp,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Records as a batch.
pub fn batch(records: &[Record]) -> Batch {
    let mut out = BatchBuilder::default();
    for r in records {
        let headers = r.headers.iter().map(|(name, value)| -> Header<'_> { (name, value.as_deref()) });
        out.push(r.key.as_deref(), r.value.as_deref(), r.time, headers);
    }
    out.finish()
}

/// A batch as records.
pub fn records(batch: &Batch) -> Vec<Record> {
    let headers = |i| match &batch.headers {
        None => vec![],
        Some(h) => h.of(i).map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
    };
    let owned = |item: Option<&[u8]>| item.map(<[u8]>::to_vec);
    let record = |i| Record {
        key: owned(batch.keys.get(i)),
        value: owned(batch.values.get(i)),
        time: batch.timestamps[i],
        headers: headers(i),
    };
    (0..batch.len()).map(record).collect()
}

/// A batch of values of so many bytes, without keys; the timestamp is the number of the record.
pub fn values(count: usize, bytes: usize) -> Batch {
    let mut out = BatchBuilder::default();
    (0..count).for_each(|i| out.push(None, Some(&vec![i as u8; bytes]), i as i64, []));
    out.finish()
}

/// Appends to topic `t`; the first offset.
pub fn append(log: &Log, partition: u32, batch: Batch) -> i64 {
    let append = Append { topic: "t".into(), partition, batch };
    log.append(vec![append], vec![], Durability::Process).unwrap()[0]
}
