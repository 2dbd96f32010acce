//! What a record costs on its way out, printed: `cargo test -p millstream-kafka --test producing speed -- --nocapture`. Not a bench.

use std::time::Instant;

use millstream_core::record::BatchBuilder;
use millstream_test_broker::Cluster;
use rustix::time::{ClockId, clock_gettime};

use crate::support::*;

const BATCHES: usize = 60;
const BATCH_RECORDS: usize = 5_000;
/// Ten batches a transaction, as an interval would have.
const TRANSACTION_BATCHES: usize = 10;
/// Far above what it is (less than 1 µs), so that only a blunder fails.
const CPU_NS_MAX: u64 = 10_000;

fn cpu_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
fn producing_is_lean() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "speed", 1);
    let mut producer = producer(cluster, "speed-0", &[]);
    let mut rows = BatchBuilder::default();
    let value = [b"GET /index.html HTTP/1.1 200 ".as_slice(), &[b'x'; 71]].concat();
    for i in 0..BATCH_RECORDS {
        rows.push(
            Some(format!("10.0.{}.{}", i / 256, i % 256).as_bytes()),
            Some(&value),
            1_700_000_000_000 + i as i64,
            [],
        );
    }
    let rows = rows.finish();
    let (mut handing_in, mut own) = (0, 0);
    let (begin, own_begin) = (Instant::now(), cpu_ns(ClockId::ThreadCPUTime));
    for _ in 0..BATCHES / TRANSACTION_BATCHES {
        producer.begin().unwrap();
        let before = cpu_ns(ClockId::ThreadCPUTime);
        for _ in 0..TRANSACTION_BATCHES {
            producer.produce(&to, &rows, 0, LONG).unwrap();
        }
        handing_in += cpu_ns(ClockId::ThreadCPUTime) - before;
        producer.commit(LONG).unwrap();
    }
    own += cpu_ns(ClockId::ThreadCPUTime) - own_begin;
    let records = (BATCHES * BATCH_RECORDS) as u64;
    let rate = records as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{records} records of 100 bytes: {} ns to hand in, {} ns with reports, on the worker's thread; {rate:.0} records/s",
        handing_in / records,
        own / records
    );
    assert!(own / records < CPU_NS_MAX);
    assert_eq!(
        admin(cluster).watermarks(std::slice::from_ref(&to)).unwrap()[&to].high,
        records as i64 + (BATCHES / TRANSACTION_BATCHES) as i64
    );
}
