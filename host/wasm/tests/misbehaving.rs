//! Functions that break the pledge, one by one: each ends with its own fault, and the host goes on. What the core makes of
//! answers whose counts are wrong is not here.

mod common;

use common::{Ask, Batch, Tried, filter_wat, listening, registry, udf, worker};
use millstream_core::function::{Fault, Functions, Interface};
use millstream_wasm::Limits;

/// Limits under which a time-out is quickly reached, and by CPU time also where the machine is crowded.
fn quick() -> Limits {
    Limits { call_cpu_ms: 30, record_cpu_us: 0, wall_factor: 1_000, ..Limits::default() }
}

fn small_results() -> Limits {
    Limits { result_bytes: 8 << 20, ..Limits::default() }
}

/// Each function is asked about `a` and `trap`; then twice about `a` and `b`, which must be answered the same way, or well,
/// each time: nothing of the fault is left.
fn check(cases: &[(&str, Ask, Limits, &str)]) {
    let registry = registry();
    worker(|| {
        for (name, ask, limits, expected) in cases {
            let mut tried = Tried::on(registry.clone(), &udf(name), *ask, limits);
            let got = tried.fault(*ask, &Batch::of(&["a", "trap"]));
            let shown: String = got.chars().take(expected.chars().count()).collect();
            assert_eq!(shown, *expected, "{name}: {got}");
            assert!(got.len() < 5_000, "{name}: a fault of {} bytes", got.len());
            let well = Batch::of(&["a", "b"]);
            let [first, second] = [tried.fault(*ask, &well), tried.fault(*ask, &well)];
            assert!(first == "ok" || first == got, "{name}: {first}, and before {got}");
            assert_eq!(first, second, "{name}");
        }
    });
}

const UNREACHABLE: &str = "wasm `unreachable` instruction executed; in ";

/// A trap after a panic, whose text the SDK logs just before.
fn panicked(text: &str) -> String {
    format!("trapped: panicked at misbehaving-rust/examples/{text}; {UNREACHABLE}")
}

#[test]
fn traps_and_exhaustion() {
    let default = Limits::default;
    check(&[
        ("bad-spin-always", Ask::Keep, quick(), "took longer than its limit of 30 ms"),
        ("bad-memory", Ask::Keep, default(), "asked for more than its limit of 64 MiB of memory (it asked for 6"),
        (
            "bad-table",
            Ask::Keep,
            default(),
            "asked for more than its limit of 100000 table elements (it asked for 100001)",
        ),
        (
            "bad-recursion",
            Ask::Keep,
            default(),
            "trapped: out of bounds memory access; in bad_recursion::bad::deep (16 times)",
        ),
        ("bad-stack", Ask::Keep, default(), "trapped: call stack exhausted; in deep (16 times)"),
        (
            "bad-trap",
            Ask::Keep,
            default(),
            &format!("trapped: {UNREACHABLE}millstream_sdk::filter::keep < <bad_trap::"),
        ),
        ("bad-trap-always", Ask::Keep, default(), &format!("trapped: {UNREACHABLE}")),
        ("bad-trap-add", Ask::Add, default(), &panicked("bad-trap-add.rs:6:5: the key is `trap`")),
        ("bad-trap-finish", Ask::Finish, default(), &panicked("bad-trap-finish.rs:6:5: the key is `trap`")),
    ]);
}

/// A record is asked about many times until it is known to be the one; its panic is in the fault each time, in the log once.
#[test]
fn a_panic_explains_the_trap_and_is_logged_once() {
    worker(|| {
        let (registry, lines) = listening();
        let mut tried = Tried::on(registry.clone(), &udf("bad-panic"), Ask::Keep, &Limits::default());
        let panic = |ms: u32| panicked(&format!("bad-panic.rs:6:5: the record at {ms} is not to my taste"));
        for batch in [&["a", "panic"][..], &["a", "panic"], &["b", "panic"]] {
            let got = tried.fault(Ask::Keep, &Batch::of(batch));
            assert!(got.starts_with(&panic(1_000)), "{got}");
        }
        let got = tried.fault(Ask::Keep, &Batch::of(&["panic"]));
        assert!(got.starts_with(&panic(0)), "{got}");
        let logged = |ms: u32| {
            let place = "Some(0) Error panicked at misbehaving-rust/examples/bad-panic.rs:6:5:";
            format!("{place}\nthe record at {ms} is not to my taste 0")
        };
        assert_eq!(*lines.lock().unwrap(), [logged(1_000), logged(0)]);
        assert_eq!(registry.stats(tried.prepared).log_lines, 2);
    });
}

#[test]
fn results_that_are_too_large() {
    let large = "gave a result that breaks the contract: what it returns is larger than its limit of ";
    check(&[
        ("bad-amplify", Ask::Keep, Limits::default(), &format!("{large}64 MiB")),
        ("bad-large", Ask::Apply, small_results(), &format!("{large}8 MiB")),
        ("bad-state-large", Ask::Add, Limits { memory_bytes: 128 << 20, ..small_results() }, &format!("{large}8 MiB")),
        (
            "bad-results",
            Ask::Apply,
            Limits::default(),
            "gave a result that breaks the contract: it gives 4000000 results for 2 records; the limit is 10000 for each",
        ),
        (
            "bad-rejections",
            Ask::Keep,
            Limits::default(),
            "gave a result that breaks the contract: it rejects 100000 of 2 records",
        ),
        ("bad-error-huge", Ask::Apply, Limits::default(), "refused the batch: xxxx"),
        ("bad-rejection-huge", Ask::Keep, Limits::default(), "ok"),
    ]);
}

#[test]
fn results_that_have_no_shape() {
    let bad = |what: &str| format!("gave a result that breaks the contract: {what}");
    let default = Limits::default;
    check(&[
        ("bad-pointer", Ask::Keep, default(), &bad("pointer out of bounds of memory")),
        ("bad-offsets", Ask::Apply, default(), &bad("`values`: offset 0 of the column falls below")),
        (
            "bad-offsets-end",
            Ask::Apply,
            default(),
            &bad("`values`: the last offset of the column is 2, its data has 1 bytes"),
        ),
        ("bad-offsets-none", Ask::Apply, default(), &bad("`values`: a column has one offset more than items")),
        (
            "bad-validity",
            Ask::Apply,
            default(),
            &bad("`values`: the validity of a column of 2 items has 2 bytes, not 1"),
        ),
        ("bad-null", Ask::Apply, default(), &bad("`values`: item 0 of the column is null and has bytes")),
        ("bad-header-name", Ask::Apply, default(), &bad("`headers`: the name of entry 0 is not UTF-8")),
        ("bad-header-null", Ask::Apply, default(), &bad("`headers`: the name of entry 0 is null")),
        (
            "bad-header-counts",
            Ask::Apply,
            default(),
            &bad("`headers`: the offsets do not rise from 0 to the number of names, 2"),
        ),
        (
            "bad-migrator-lies",
            Ask::Migrate,
            default(),
            "refused the batch: layout 0 to 1 of 2 states was never written",
        ),
    ]);
}

/// Merged and migrated states, one for each that was given; what was null stays it.
#[test]
fn states_that_do_not_fit_those_given() {
    let bad = |what: &str| format!("gave a result that breaks the contract: {what}");
    let default = Limits::default;
    check(&[
        ("bad-merge", Ask::Merge, default(), &bad("it gives 1 states for 2")),
        ("bad-migrator-count", Ask::Migrate, default(), &bad("it gives 1 states for 2")),
        ("bad-migrator-loses", Ask::Migrate, default(), &bad("it makes state 0 null")),
        // Of states that are all there it makes states.
        ("bad-migrator-makes", Ask::Migrate, default(), "ok"),
    ]);
    worker(|| {
        let mut makes = Tried::new(&udf("bad-migrator-makes"), Ask::Migrate, &Limits::default());
        let got = makes.fault(Ask::Migrate, &Batch::of_values(&[Some(b"a"), None]));
        assert_eq!(got, bad("it makes a state of null 1"));
    });
}

/// Counts that do not fit the call are the core's to find, in the answers as they are.
#[test]
fn answers_that_do_not_fit_the_call_are_handed_on() {
    worker(|| {
        let two = Batch::of(&["a", "b"]);
        let mut lengths = Tried::new(&udf("bad-lengths"), Ask::Apply, &Limits::default());
        assert_eq!(lengths.apply(&two).unwrap().values.unwrap().len(), 3);
        let mut bits = Tried::new(&udf("bad-bits"), Ask::Keep, &Limits::default());
        assert_eq!(bits.keep(&two).unwrap().bits.len(), 2);
        let mut huge = Tried::new(&udf("bad-rejection-huge"), Ask::Keep, &Limits::default());
        let reason = &huge.keep(&two).unwrap().rejected[0].reason;
        assert_eq!(reason.len(), millstream_wasm::limits::MESSAGE_BYTES_MAX + "…".len());
    });
}

#[test]
fn one_record_that_never_ends_is_told_from_those_beside_it() {
    worker(|| {
        let mut tried = Tried::new(&udf("bad-spin"), Ask::Keep, &quick());
        assert_eq!(tried.keep(&Batch::of(&["a", "b"])).unwrap().bits, [0b11]);
        let start = std::time::Instant::now();
        let fault = tried.keep(&Batch::of(&["a", "spin"])).unwrap_err();
        assert_eq!(fault, Fault::TimedOut { limit_ms: 30 });
        assert!(start.elapsed().as_millis() >= 30);
        tried.functions.stretch(tried.prepared, 2);
        let twice = Fault::TimedOut { limit_ms: 60 };
        assert_eq!(tried.keep(&Batch::of(&["spin"])).unwrap_err(), twice);
        // For that one call only.
        assert_eq!(tried.keep(&Batch::of(&["spin"])).unwrap_err(), fault);
        assert_eq!(tried.keep(&Batch::of(&["a", "b"])).unwrap().bits, [0b11]);
        let stats = tried.registry.stats(tried.prepared);
        assert_eq!((stats.calls, stats.records, stats.timed_out, stats.instances), (5, 8, 3, 4));
    });
}

#[test]
fn time_grows_with_the_records_of_a_call() {
    worker(|| {
        let limits = Limits { call_cpu_ms: 10, record_cpu_us: 5_000, ..quick() };
        let mut tried = Tried::new(&udf("bad-spin-always"), Ask::Keep, &limits);
        let fault = tried.keep(&Batch::of(&["a", "b", "c", "d"])).unwrap_err();
        assert_eq!(fault, Fault::TimedOut { limit_ms: 30 });
    });
}

#[test]
fn a_fault_and_renew_end_an_instance_and_an_answer_does_not() {
    worker(|| {
        let one = Batch::of(&["a", "b", "c"]);
        let mut counter = Tried::new(&udf("bad-counter"), Ask::Keep, &Limits::default());
        assert_eq!(counter.keep(&one).unwrap().bits, [0b101]);
        assert_eq!(counter.keep(&one).unwrap().bits, [0b010], "the same instance");
        counter.functions.renew(counter.prepared);
        assert_eq!(counter.keep(&one).unwrap().bits, [0b101], "a fresh instance");
        let mut fresh = Tried::new(&udf("bad-fresh"), Ask::Keep, &Limits::default());
        let faults: Vec<_> = (0..3).map(|_| fresh.fault(Ask::Keep, &one).starts_with("trapped")).collect();
        assert_eq!(faults, [true; 3]);
        assert_eq!(fresh.registry.stats(fresh.prepared).instances, 3);
    });
}

#[test]
fn memory_that_is_not_given_back_ends_with_the_instance() {
    worker(|| {
        let one = Batch::of(&["a"]);
        let mut leak = Tried::new(&udf("bad-leak"), Ask::Keep, &Limits::default());
        let outcomes: Vec<_> = (0..20).map(|_| leak.keep(&one)).collect();
        let faults: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
        assert!((2..=3).contains(&faults.len()), "{faults:?}");
        assert!(faults.iter().all(|f| matches!(f, Fault::OutOfMemory { .. })), "{faults:?}");
        let stats = leak.registry.stats(leak.prepared);
        assert_eq!(stats.out_of_memory, faults.len() as u64);
        assert!((48 << 20..=64 << 20).contains(&stats.memory_bytes_max), "{stats:?}");
    });
}

/// Memory that was denied in one call does not explain a trap in another.
#[test]
fn a_denied_growth_belongs_to_its_call() {
    let component = filter_wat(
        r#"(core module $m (memory (export "memory") 1) (global $asked (mut i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (if (global.get $asked) (then unreachable))
            (global.set $asked (i32.const 1))
            (if (i32.ne (memory.grow (i32.const 10000)) (i32.const -1)) (then unreachable))
            (i32.const 0)))"#,
    );
    worker(|| {
        let mut tried = Tried::new(&component, Ask::Keep, &Limits::default());
        let one = Batch::of(&["a"]);
        assert_eq!(tried.keep(&one).unwrap().bits, Vec::<u8>::new(), "it lives without");
        assert_eq!(
            tried.fault(Ask::Keep, &one),
            "trapped: wasm `unreachable` instruction executed; in <wasm function 1>"
        );
    });
}

#[test]
fn an_unknown_number_is_not_the_records_fault() {
    worker(|| {
        let mut tried = Tried::new(&udf("only-ip"), Ask::Keep, &Limits::default());
        tried.prepared.0 += 1;
        let fault = tried.keep(&Batch::of(&["a"])).unwrap_err();
        assert_eq!(fault, Fault::Unavailable { message: "there is no prepared version 1".into() });
        let unknown = tried.prepared;
        assert!(!tried.functions.exports(unknown, Interface::Filter));
        assert_eq!((tried.functions.layout(unknown), tried.functions.wants_stream_times(unknown)), (0, false));
    });
}
