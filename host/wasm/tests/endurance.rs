//! What holds under load: slots of the pool, clocks, many threads. Memory is in `memory`, a process of its own.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Ask, Batch, Tried, filter_wat, registry, udf, worker};
use millstream_core::function::{Context, Fault, Functions, Interface};
use millstream_wasm::engine::POOL_MEMORIES;
use millstream_wasm::{Limits, WORKER_STACK_BYTES, WorkerFunctions};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `f` while more threads than there are cores want to run as well.
fn crowded<T>(f: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 * std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        let value = f();
        stop.store(true, Ordering::Relaxed);
        value
    })
}

/// How long a call that never ends was let run: CPU time and wall time.
fn spin(limits: &Limits) -> (Fault, Duration, Duration) {
    worker(|| {
        let mut tried = Tried::new(&udf("bad-spin-always"), Ask::Keep, limits);
        // The instance is made before the clocks are read.
        tried.keep(&Batch::of(&["a"])).unwrap_err();
        crowded(|| {
            let (started, used) = (Instant::now(), cpu());
            let fault = tried.keep(&Batch::of(&["a"])).unwrap_err();
            (fault, cpu() - used, started.elapsed())
        })
    })
}

const CPU_MS: u64 = 100;

#[test]
fn a_time_out_counts_cpu_time_where_the_machine_is_crowded() {
    let limits = Limits { call_cpu_ms: CPU_MS, record_cpu_us: 0, wall_factor: 1_000, ..Limits::default() };
    let (fault, used, wall) = spin(&limits);
    assert_eq!(fault, Fault::TimedOut { limit_ms: CPU_MS });
    let limit = Duration::from_millis(CPU_MS);
    assert!(used >= limit, "{used:?} of CPU time");
    assert!(used < 2 * limit, "{used:?} of CPU time");
    assert!(wall > used + limit / 4, "it was not crowded: {used:?} of CPU time in {wall:?}");
}

#[test]
fn wall_time_ends_what_the_machine_has_no_time_for() {
    let limits = Limits { call_cpu_ms: CPU_MS, record_cpu_us: 0, wall_factor: 1, ..Limits::default() };
    let (fault, used, wall) = spin(&limits);
    assert_eq!(fault, Fault::TimedOut { limit_ms: CPU_MS });
    assert!(wall >= Duration::from_millis(CPU_MS), "{wall:?}");
    assert!(used < Duration::from_millis(CPU_MS), "{used:?} of CPU time in {wall:?}");
}

#[test]
fn a_full_pool_says_so_and_has_room_again() {
    worker(|| {
        let one = Batch::of(&["IP:"]);
        let mut tried = Tried::new(&udf("only-ip"), Ask::Keep, &Limits::default());
        let (registry, function) = (tried.registry.clone(), tried.prepared);
        let mut others = Vec::new();
        for _ in 0..POOL_MEMORIES {
            let mut functions = WorkerFunctions::new(registry.clone());
            functions.keep(function, Context::default(), one.records()).unwrap();
            others.push(functions);
        }
        let fault = tried.keep(&one).unwrap_err();
        let Fault::Unavailable { message } = &fault else { panic!("{fault:?}") };
        assert!(message.starts_with("no room for another instance: "), "{message}");
        others.pop();
        assert_eq!(tried.keep(&one).unwrap().bits, [1]);
        assert_eq!(registry.stats(function).unavailable, 1);
    });
}

#[test]
fn instances_of_released_versions_are_let_go() {
    worker(|| {
        let batch = Batch::of(&["a", "b", "c"]);
        let mut counter = Tried::new(&udf("bad-counter"), Ask::Keep, &Limits::default());
        let registry = counter.registry.clone();
        let other = registry.prepare(&udf("keep-all"), None, &[], &Limits::default(), &[Interface::Filter]).unwrap();
        assert_eq!(counter.keep(&batch).unwrap().bits, [0b101]);
        registry.release(other);
        let stays = [(); 2].map(|()| counter.keep(&batch).unwrap().bits);
        assert_eq!(stays, [[0b010], [0b101]], "its own instance stays");
        registry.release(counter.prepared);
        assert_eq!(counter.keep(&batch).unwrap().bits, [0b101], "let go, and still callable");
        let again = registry.prepare(&udf("bad-counter"), None, &[], &Limits::default(), &[Interface::Filter]);
        assert_eq!(again.unwrap(), counter.prepared);
    });
}

#[test]
fn many_threads_prepare_and_call() {
    let registry = registry();
    let texts: Vec<String> = (0..500).map(|i| format!("IP: {i}")).collect();
    let batch = Batch::of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let names = ["only-ip", "keep-all", "bad-trap-always", "bad-counter"];
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (registry, batch) = (Arc::clone(&registry), &batch);
            let run = move || {
                let mut functions = WorkerFunctions::new(registry.clone());
                for call in 0..200 {
                    let name = names[(call + thread) % names.len()];
                    let limits = Limits::default();
                    let function = registry.prepare(&udf(name), None, &[], &limits, &[Interface::Filter]).unwrap();
                    let answer = functions.keep(function, Context::default(), batch.records());
                    match name {
                        "bad-trap-always" => assert!(answer.is_err()),
                        "bad-counter" => assert!(answer.is_ok()),
                        _ => assert!(answer.unwrap().bits[..62].iter().all(|&b| b == 0xff)),
                    }
                }
            };
            std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn_scoped(scope, run).unwrap();
        }
    });
    let calls: u64 = (0..4).map(|n| registry.stats(millstream_core::function::Prepared(n)).calls).sum();
    assert_eq!(calls, 800);
}

/// A component whose start recurses until the stack is full, on a thread like those of a web server: it would end the process.
#[test]
fn checks_run_on_a_stack_of_their_own() {
    let component = filter_wat(
        r#"(core module $m (memory (export "memory") 1)
        (func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
        (func $begin (drop (call $deep (i32.const 0))))
        (start $begin)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#,
    );
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let reasons = small.spawn(move || registry().inspect(&component).reasons).unwrap().join().unwrap();
    let expected = "an instance of it could not be made: trapped: call stack exhausted; in deep (16 times)";
    assert_eq!(reasons, [expected]);
}
