//! That nothing is left of instances that were replaced. A process of its own, so that its memory is its own.

mod common;

use common::{Ask, Batch, Tried, udf, worker};
use millstream_core::function::{Fault, Functions};
use millstream_wasm::Limits;

/// Resident memory, KiB, and mappings of this process.
fn footprint() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let kib = resident.trim().trim_end_matches("kB").trim().parse().unwrap();
    (kib, std::fs::read_to_string("/proc/self/maps").unwrap().lines().count() as i64)
}

#[test]
fn ten_thousand_replaced_instances_leave_nothing() {
    worker(|| {
        let one = Batch::of(&["a"]);
        let mut renewed = Tried::new(&udf("only-ip"), Ask::Keep, &Limits::default());
        let mut trapped = Tried::new(&udf("bad-trap-always"), Ask::Keep, &Limits::default());
        let mut round = |calls: usize| {
            for _ in 0..calls {
                renewed.keep(&one).unwrap();
                renewed.functions.renew(renewed.prepared);
                assert!(matches!(trapped.keep(&one), Err(Fault::Trap { .. })));
            }
        };
        round(500);
        let before = footprint();
        round(5_000);
        let after = footprint();
        println!("KiB and mappings: {before:?}, then {after:?}");
        assert!(after.0 - before.0 < 16 << 10, "KiB: {before:?} to {after:?}");
        assert!(after.1 - before.1 < 100, "mappings: {before:?} to {after:?}");
        let stats = (renewed.registry.stats(renewed.prepared), trapped.registry.stats(trapped.prepared));
        assert_eq!((stats.0.instances, stats.1.instances, stats.1.trapped), (5_500, 5_500, 5_500));
    });
}
