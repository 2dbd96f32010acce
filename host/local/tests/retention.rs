//! What retention drops and what it keeps, at the edges of its rules. Random mixtures are in `model`.

mod common;

use millstream_core::record::BatchBuilder;
use millstream_local::{Dropped, Log, TopicConfig};

use common::{append, log};

/// A log with a chunk for each list of timestamps.
fn chunks(times: &[&[i64]]) -> Log {
    let (_, log) = log(1);
    for times in times {
        let mut batch = BatchBuilder::default();
        times.iter().for_each(|time| batch.push(None, Some(b"value"), *time, []));
        append(&log, 0, batch.finish());
    }
    log
}

/// Start offset and records dropped by retention at time 100.
fn retain(log: &Log, retention_ms: Option<i64>, retention_bytes: Option<u64>) -> (i64, u64) {
    log.set_config("t", TopicConfig { retention_ms, retention_bytes, internal: false }).unwrap();
    let dropped = log.enforce_retention(100).unwrap();
    assert_eq!(log.enforce_retention(100).unwrap(), Dropped::default(), "once is enough");
    (log.start_offset("t", 0).unwrap(), dropped.records)
}

#[test]
fn by_age_a_chunk_goes_when_its_youngest_record_is_too_old() {
    let times: &[&[i64]] = &[&[10, 50], &[60, 20, 30], &[70]];
    assert_eq!(retain(&chunks(times), Some(51), None), (0, 0));
    assert_eq!(retain(&chunks(times), Some(50), None), (0, 0), "as old as may be");
    assert_eq!(retain(&chunks(times), Some(49), None), (2, 2), "too old by one millisecond");
    assert_eq!(retain(&chunks(times), Some(39), None), (5, 5));
    assert_eq!(retain(&chunks(times), Some(29), None), (6, 6), "a partition may become empty");
    assert_eq!(retain(&chunks(times), None, None), (0, 0), "kept for ever");
}

#[test]
fn a_record_from_the_future_holds_what_is_behind_it() {
    assert_eq!(retain(&chunks(&[&[1], &[1_000], &[1]]), Some(10), None), (1, 1));
}

#[test]
fn by_size_a_chunk_goes_when_the_rest_is_enough() {
    let times: &[&[i64]] = &[&[1], &[1], &[1]];
    let chunk = chunks(times).size("t", 0).unwrap() / 3;
    assert_eq!(retain(&chunks(times), None, Some(2 * chunk + 1)), (0, 0));
    assert_eq!(retain(&chunks(times), None, Some(2 * chunk)), (1, 1));
    assert_eq!(retain(&chunks(times), None, Some(1)), (2, 2), "what is kept is at least as much as asked for");
    assert_eq!(retain(&chunks(times), None, Some(0)), (3, 3));
}

#[test]
fn whichever_rule_drops_more_is_followed() {
    let times: &[&[i64]] = &[&[1], &[80], &[80]];
    let chunk = chunks(times).size("t", 0).unwrap() / 3;
    assert_eq!(retain(&chunks(times), Some(50), Some(10 * chunk)), (1, 1));
    assert_eq!(retain(&chunks(times), Some(1_000), Some(chunk)), (2, 2));
}

#[test]
fn records_that_were_truncated_are_not_counted_again() {
    let log = chunks(&[&[1, 1, 1], &[90]]);
    let size = log.size("t", 0).unwrap();
    assert_eq!(log.truncate_before("t", 0, 2).unwrap(), Dropped { records: 2, bytes: 0 }, "the chunk stays");
    assert_eq!(log.size("t", 0), Some(size));
    assert_eq!(retain(&log, Some(50), None), (3, 1));
    assert!(log.size("t", 0).unwrap() < size);
}

#[test]
fn time_before_the_epoch_and_without_end() {
    let log = chunks(&[&[i64::MIN], &[-5], &[i64::MAX]]);
    log.set_config("t", TopicConfig { retention_ms: Some(i64::MAX), ..TopicConfig::default() }).unwrap();
    assert_eq!(log.enforce_retention(i64::MIN).unwrap().records, 0);
    assert_eq!(retain(&log, Some(0), None), (2, 2));
}
