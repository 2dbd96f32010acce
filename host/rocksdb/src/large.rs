//! States that are larger than what a cache holds: what one lookup costs may not grow with them.

use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, Write};
use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

use crate::{Database, Options};

/// So many that the filter of their file is larger than what one part of the cache holds.
const KEYS: u64 = 1_200_000;

/// Keys of one write.
const WRITE_KEYS: u64 = 10_000;

const LOOKUPS: u64 = 1_000;

/// A part of a filter, one of an index, and a block of entries, which has 8 KiB before it is compressed.
const LOOKUP_BYTES_MAX: u64 = 32 << 10;

/// Every second one is there; their order is that of nobody's inserts.
fn key(number: u64) -> Vec<u8> {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes().to_vec()
}

/// Bytes that one lookup of such keys reads from files.
fn lookup_bytes(db: &Database, space: Space, number: impl Fn(u64) -> u64, there: bool) -> u64 {
    let mut context = PerfContext::default();
    context.reset();
    for i in 0..LOOKUPS {
        let found = db.get(space, &key(number(i * 7_919 % KEYS))).unwrap();
        assert_eq!(found.is_some(), there);
    }
    context.metric(PerfMetric::BlockReadByte) / LOOKUPS
}

#[test]
fn a_lookup_in_a_large_state_reads_little() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { wal: false, block_cache_bytes: 24 << 20, write_buffer_bytes: 16 << 20 };
    let db = Database::open(dir.path(), options).unwrap();
    let space = db.open_space("s", SpaceKind::State).unwrap();
    for from in (0..KEYS).step_by(WRITE_KEYS as usize) {
        let writes = (from..from + WRITE_KEYS).map(|number| Write::Put(space, key(2 * number), b"value".to_vec()));
        db.apply(writes.collect(), Durability::Process).unwrap();
    }
    // One file of all that was written, as compaction leaves it in time.
    db.db.compact_range_cf(&db.family(space).unwrap(), None::<&[u8]>, None::<&[u8]>);
    set_perf_stats(PerfStatsLevel::EnableCount);
    let (there, not_there) =
        (lookup_bytes(&db, space, |i| 2 * i, true), lookup_bytes(&db, space, |i| 2 * i + 1, false));
    println!("{there} bytes where the key is there, {not_there} where it is not");
    assert!(there <= LOOKUP_BYTES_MAX && not_there <= LOOKUP_BYTES_MAX, "{there} and {not_there} bytes");
    assert!(there > 1_000, "what is looked up is in files");
}
