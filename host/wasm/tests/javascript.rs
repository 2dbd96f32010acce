//! Functions in JavaScript: what they throw, see and hoard is handled as with any other function, whatever the engine does by
//! itself. What they answer is in `udfs/cases`; how they are built is not here.

mod common;

use std::sync::{Arc, Mutex, OnceLock};

use common::{Ask, Batch, Tried, listening, udf, worker};
use millstream_core::function::{Fault, Functions};
use millstream_wasm::{Limits, Registry};

/// A host, and the lines that its functions log.
type Host = (Arc<Registry>, Arc<Mutex<Vec<String>>>);

/// The host of all these tests: the component is compiled once.
fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(listening)
}

/// The sample with so much time a call, another version for each test: time enough for a crowded machine.
fn tried(call_cpu_ms: u64) -> Tried {
    let limits = Limits { call_cpu_ms, record_cpu_us: 0, wall_factor: 1_000, ..Limits::default() };
    Tried::on(host().0.clone(), &udf("surroundings-javascript"), Ask::Apply, &limits)
}

/// Values that the function gives for these, asked in calls of so many records.
fn values(tried: &mut Tried, texts: &[&str], in_a_call: usize) -> Vec<String> {
    let mut out = Vec::new();
    for part in texts.chunks(in_a_call) {
        let values = tried.apply(&Batch::of(part)).unwrap().values.unwrap();
        out.extend((0..values.len()).map(|i| String::from_utf8(values.get(i).unwrap().to_vec()).unwrap()));
    }
    out
}

#[test]
fn time_and_chance_are_the_same_in_every_call_and_on_every_instance() {
    worker(|| {
        let mut tried = tried(2001);
        let first = values(&mut tried, &["random", "random", "time", "time"], 4);
        assert_ne!(first[0], first[1], "numbers of one call differ");
        assert_eq!(first[2..], ["0 0", "0 0"]);
        for _ in 0..3 {
            assert_eq!(values(&mut tried, &["random", "random", "time", "time"], 4), first);
            assert_eq!(values(&mut tried, &["random", "random"], 1), [&first[0][..]; 2]);
            tried.functions.renew(tried.prepared);
        }
        tried.registry.set_wall_clock(tried.prepared, 1_700_000_000_123);
        assert_eq!(values(&mut tried, &["time", "time"], 2), ["1700000000123 0"; 2]);
    });
}

#[test]
fn what_is_thrown_is_told_with_its_place() {
    worker(|| {
        let mut tried = tried(2002);
        let mut thrown = |text: &str| match tried.apply(&Batch::of(&["random", text])).unwrap_err() {
            Fault::Refused { message } => message,
            fault => panic!("{text}: {fault:?}"),
        };
        let error = thrown("throw an error");
        assert!(error.starts_with("TypeError: cannot read property 'length' of null, at throw an error"), "{error}");
        assert!(error.contains("program.js:"), "{error}");
        assert_eq!(thrown("throw a text"), "a text");
        assert_eq!(thrown("throw nothing"), "undefined");
    });
}

#[test]
fn what_is_printed_is_logged() {
    worker(|| {
        let mut tried = tried(2005);
        values(&mut tried, &["print"], 1);
        let line = format!("Some({}) Warn printed 1 null 0", tried.prepared.0);
        assert_eq!(*host().1.lock().unwrap(), [line]);
    });
}

#[test]
fn what_takes_too_much_ends() {
    worker(|| {
        let fault = tried(100).apply(&Batch::of(&["spin"])).unwrap_err();
        assert_eq!(fault, Fault::TimedOut { limit_ms: 100 });
        let mut tried = tried(2003);
        let fault = tried.apply(&Batch::of(&["hoard"])).unwrap_err();
        let Fault::OutOfMemory { what } = &fault else { panic!("{fault:?}") };
        assert!(what.starts_with("64 MiB of memory (it asked for 6"), "{what}");
        assert!(what.contains(", and said: InternalError: out of memory, at hoard (/program.js:"), "{what}");
        let fault = tried.apply(&Batch::of(&["recurse"])).unwrap_err();
        assert!(
            matches!(&fault, Fault::Trap { message } if message.starts_with("call stack exhausted; in ")),
            "{fault:?}"
        );
        // The next call finds a new instance.
        assert_eq!(values(&mut tried, &["time"], 1), ["0 0"]);
    });
}

#[test]
fn what_nobody_holds_is_collected() {
    worker(|| {
        let mut tried = tried(2004);
        let mut calls = |calls: usize| {
            (0..calls).for_each(|_| drop(values(&mut tried, &["litter", "record", "random"], 3)));
            let stats = tried.registry.stats(tried.prepared);
            (stats.memory_bytes_max, stats.instances)
        };
        let (before, after) = (calls(20), calls(400));
        assert_eq!(after, before, "400 MiB were thrown away");
        assert!(before.0 < 16 << 20 && before.1 == 1, "{before:?}");
    });
}

#[test]
fn a_component_needs_nothing_that_is_not_met() {
    let inspection = host().0.inspect(&udf("surroundings-javascript"));
    assert_eq!((inspection.reasons, inspection.memories), (Vec::new(), 2));
    let others = inspection.imports.iter().filter(|import| !import.name.starts_with("millstream:udf/"));
    assert!(others.clone().count() > 10 && others.clone().all(|import| import.met.is_some()), "{others:?}");
}
