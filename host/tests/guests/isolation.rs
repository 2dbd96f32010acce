//! One record on which a function never ends, in a batch as large as they come, with the limits that a function has when
//! its manifest says nothing: it is found within the budget of an interval, and all others pass.

use std::time::Duration;

use millstream_core::function::Prepared;
use millstream_core::operator::isolate::ISOLATION_TIMEOUTS_MS_MAX;
use rustix::time::{ClockId, clock_gettime};

use crate::{driver, feed, registry, values, worker};

/// Records of the batch.
const RECORDS: usize = 2_048;

/// Time-outs until the record is known: the batch twice, parts of 128, 8 and 1, and the record once more with time enough.
const TIMEOUTS: u64 = 6;

#[test]
fn a_record_that_never_ends_is_found_within_the_budget_with_default_limits() {
    let registry = registry();
    for at in [0, RECORDS / 2 + 1, RECORDS - 1] {
        let text = |i: usize| if i == at { "spin".to_string() } else { i.to_string() };
        let texts: Vec<String> = (0..RECORDS).map(text).collect();
        let mut records: Vec<&str> = texts.iter().map(String::as_str).collect();
        worker(|| {
            let mut driver = driver(&registry, "bad-spin", "filter: bad, on-error: { dead-letter: dead }");
            let (before, cpu) = (registry.stats(Prepared(0)).timed_out, thread_cpu());
            feed(&mut driver, &records).unwrap();
            let spent = thread_cpu() - cpu;
            assert!(spent < Duration::from_millis(ISOLATION_TIMEOUTS_MS_MAX), "{spent:?} for record {at}");
            assert_eq!(registry.stats(Prepared(0)).timed_out - before, TIMEOUTS);
            assert_eq!(values(&driver, "dead"), [records.remove(at)]);
            assert_eq!(values(&driver, "out"), records);
        });
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
