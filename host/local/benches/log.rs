//! What the log itself costs for each record: storage is in memory, so that only cutting, writing and joining chunks is
//! measured. Run by `cargo bench -p millstream-local`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Instant;

use millstream_core::record::{Batch, BatchBuilder, Header};

use common::{append, log};

const RECORDS: usize = 1_000_000;
const ROUNDS: usize = 5;

/// Records with a value of 100 bytes, and keys or not.
fn batch(records: usize, key_bytes: Option<usize>, headers: bool) -> Batch {
    let mut out = BatchBuilder::default();
    let value = [7u8; 100];
    let header: [Header<'_>; 1] = [(b"source", Some(b"bench"))];
    for i in 0..records {
        let key = key_bytes.map(|n| vec![i as u8; n]);
        out.push(key.as_deref(), Some(&value), i as i64, if headers { &header[..] } else { &[] }.iter().copied());
    }
    out.finish()
}

/// Nanoseconds a record of appending and of reading, the best of some rounds.
fn measure(batch: &Batch, read_bytes: usize) -> (f64, f64) {
    let appends = RECORDS.div_ceil(batch.len());
    let records = (appends * batch.len()) as f64;
    let (mut append_ns, mut read_ns) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (_, log) = log(1);
        let start = Instant::now();
        (0..appends).for_each(|_| {
            black_box(append(&log, 0, batch.clone()));
        });
        append_ns = append_ns.min(start.elapsed().as_nanos() as f64 / records);
        let start = Instant::now();
        let (mut offset, mut read) = (0, 0);
        loop {
            let fetched = log.read("t", 0, offset, read_bytes).unwrap();
            if fetched.batch.is_empty() {
                break;
            }
            read += black_box(&fetched.batch).len();
            offset += fetched.batch.len() as i64;
        }
        read_ns = read_ns.min(start.elapsed().as_nanos() as f64 / records);
        assert_eq!(read as f64, records);
    }
    (append_ns, read_ns)
}

fn main() {
    println!("values of 100 bytes, ns a record         append     read");
    for (what, key_bytes, headers) in
        [("no keys", None, false), ("16-byte keys", Some(16), false), ("and a header", Some(16), true)]
    {
        for records in [1, 10, 100, 1_000, 10_000, 100_000] {
            let (append, read) = measure(&batch(records, key_bytes, headers), 1 << 20);
            println!("{what:>14}, {records:>7} an append   {append:>12.1} {read:>8.1}");
        }
    }
}
