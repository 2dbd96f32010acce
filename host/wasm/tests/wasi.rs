//! Guests that import WASI: what they see is the same in every run and says nothing of the machine; what they print is
//! logged. One is made of the interfaces by hand, one by Rust's standard library; how they are built is not here.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Ask, Batch, Tried, listening, reasons, registry, udf, wat, worker};
use millstream_core::function::{Fault, Functions, Interface};
use millstream_wasm::{Grants, Limits, Registry};

/// Built once for `wasm32-wasip2`, so that these tests need no such target.
const RUST: &[u8] = include_bytes!("../../../udfs/released-wasip2/released-wasip2.wasm");

/// What `surroundings` sees, with no time set.
const SEEN: &str = "env [] args [] cwd None; terminals (false, false, false); \
    input Err(StreamError::Closed) Err(StreamError::Closed); files 0; \
    sockets Err(\"access-denied\") Err(\"access-denied\") Err(\"access-denied\"); \
    wall 0.000000000; clock 1000 2000; waited false [2] [1] true 1000004000 5000001000; \
    random [69, 51, 44] 79fd7525af4ba3d2 [] 1cb8e53e0980dd80 \
    (2afbcfde72c3345, 79fd7525af4ba3d2)";

/// What Rust's standard library sees.
const SEEN_BY_RUST: &str = "0 variables, 0 arguments, now Ok(0), slept 3 s, input Ok(\"\"), file Err(NotFound), \
    written Err(NotFound), socket Err(PermissionDenied), bound Err(PermissionDenied)";

/// Values that the function gives for these, asked in calls of so many records.
fn values(tried: &mut Tried, texts: &[&str], in_a_call: usize) -> Vec<String> {
    let mut out = Vec::new();
    for part in texts.chunks(in_a_call) {
        let values = tried.apply(&Batch::of(part)).unwrap().values.unwrap();
        out.extend((0..values.len()).map(|i| String::from_utf8(values.get(i).unwrap().to_vec()).unwrap()));
    }
    out
}

/// Time enough for a crowded machine, none for one that waits.
fn limits() -> Limits {
    Limits { call_cpu_ms: 1_000, wall_factor: 1_000, log_lines_per_second: 10_000, ..Limits::default() }
}

#[test]
fn what_is_seen_is_always_the_same_however_records_are_cut() {
    let texts = ["a", "b", "c", "d", "e", "f", "g"];
    for (component, seen) in [(&udf("surroundings")[..], SEEN), (RUST, SEEN_BY_RUST)] {
        let (registry, lines) = listening();
        worker(|| {
            let mut tried = Tried::on(registry, component, Ask::Apply, &limits());
            for in_a_call in [7, 3, 1] {
                assert_eq!(values(&mut tried, &texts, in_a_call), [seen; 7], "{in_a_call} in a call");
                let printed: Vec<_> = texts.iter().map(|text| format!("Some(0) Info saw {text} 0")).collect();
                assert_eq!(std::mem::take(&mut *lines.lock().unwrap()), printed);
                tried.functions.renew(tried.prepared);
            }
        });
    }
}

#[test]
fn handles_are_given_back() {
    worker(|| {
        let mut tried = Tried::new(&udf("surroundings"), Ask::Apply, &limits());
        for _ in 0..500 {
            assert_eq!(values(&mut tried, &["a"], 1), [SEEN]);
        }
        assert_eq!(tried.registry.stats(tried.prepared).instances, 1);
    });
}

#[test]
fn the_wall_clock_stands_where_the_host_puts_it() {
    worker(|| {
        let mut tried = Tried::new(&udf("surroundings"), Ask::Apply, &limits());
        assert_eq!(values(&mut tried, &["a"], 1), [SEEN]);
        for (unix_ms, shown, instances) in [(0, "0.000000000", 1), (1_700_000_000_123, "1700000000.123000000", 2)] {
            tried.registry.set_wall_clock(tried.prepared, unix_ms);
            let expected = SEEN.replace("wall 0.000000000", &format!("wall {shown}"));
            assert_eq!(values(&mut tried, &["a"], 1), [expected]);
            let stats = tried.registry.stats(tried.prepared);
            assert_eq!(stats.instances, instances, "an instance that may have kept another time is let go");
        }
    });
}

/// What each value makes the function end with; afterwards it answers as ever.
#[test]
fn whoever_misbehaves_gets_a_fault() {
    let cases = [
        ("poll", "took longer than its limit of 50 ms"),
        ("poll nothing", "trapped: polled nothing; in "),
        ("exit", "trapped: it called exit with code 1; in "),
        ("exit well", "trapped: it called exit with code 0; in "),
        ("exit with 7", "trapped: it called exit with code 7; in "),
        ("panic", "trapped: panicked at surroundings-rust/src/lib.rs:"),
        ("handles", "trapped: it holds 1000 handles of WASI, and wants another; in "),
        ("random", "trapped: asked for 18446744073709551615 random bytes at once; 65536 are possible; in "),
        ("zeroes", "trapped: wrote 65537 bytes at once; 65536 are possible; in "),
        ("write", "trapped: wrote 1048576 bytes at once; 65536 are possible; in "),
        ("traceback", "trapped: Traceback (most recent call last): in handle ValueError: no; wasm `unreachable`"),
    ];
    worker(|| {
        let limits = Limits { call_cpu_ms: 50, ..limits() };
        let mut tried = Tried::new(&udf("surroundings"), Ask::Apply, &limits);
        for (value, expected) in cases {
            let got = tried.fault(Ask::Apply, &Batch::of(&["a", value]));
            assert!(got.starts_with(expected), "{value}: {got}");
            assert_eq!(values(&mut tried, &["a"], 1), [SEEN], "{value}");
        }
        let mut rust = Tried::new(RUST, Ask::Apply, &limits);
        let got = rust.fault(Ask::Apply, &Batch::of(&["exit"]));
        // Its library knows no exit code beyond success and failure.
        assert!(got.starts_with("trapped: it called exit with code 1; in "), "{got}");
        let Fault::Trap { message } = rust.apply(&Batch::of(&["panic"])).unwrap_err() else { panic!("a trap") };
        assert!(message.starts_with("thread ") && message.contains(": the value is not a number note: "), "{message}");
        assert!(message.contains("; wasm `unreachable` instruction executed; in "), "{message}");
    });
}

/// Each grant opens what it names and nothing else.
#[test]
fn what_is_granted_is_seen() {
    worker(|| {
        let seen = |grants: Grants| {
            let limits = Limits { grants, ..limits() };
            let mut tried = Tried::new(&udf("surroundings"), Ask::Apply, &limits);
            let first = values(&mut tried, &["a"], 1).remove(0);
            (first, values(&mut tried, &["a"], 1).remove(0))
        };
        let env = vec![("REGION".to_string(), "eu-1".to_string())];
        let (first, again) = seen(Grants { env, ..Grants::default() });
        let expected = SEEN.replace("env []", "env [(\"REGION\", \"eu-1\")]");
        assert_eq!([&first, &again], [&expected; 2]);

        let part = |text: &str, from: &str, to: &str| {
            let (before, rest) = text.split_once(from).unwrap();
            let (part, after) = rest.split_once(to).unwrap();
            (part.to_string(), format!("{before}{from}{to}{after}"))
        };
        let (first, again) = seen(Grants { wall_clock: true, ..Grants::default() });
        let told = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let (first, again) = (part(&first, "wall ", ";"), part(&again, "wall ", ";"));
        let (earlier, later): (f64, f64) = (first.0.parse().unwrap(), again.0.parse().unwrap());
        assert!(earlier < later && later <= told && told - earlier < 60.0, "{earlier} {later} {told}");
        assert_eq!([first.1, again.1], [(); 2].map(|()| part(SEEN, "wall ", ";").1), "and nothing else");

        let random = |text: &str| {
            let at = text.find("random ").unwrap();
            (text[at..].to_string(), text[..at].to_string())
        };
        let (first, again) = seen(Grants { random: true, ..Grants::default() });
        let (first, again) = (random(&first), random(&again));
        assert!(first.0 != again.0 && first.0 != random(SEEN).0, "{first:?} {again:?}");
        assert_eq!([first.1, again.1], [(); 2].map(|()| random(SEEN).1), "and nothing else");
    });
}

/// What is granted is held to the limit of what is not.
#[test]
fn granted_chance_is_bounded() {
    worker(|| {
        let grants = Grants { random: true, ..Grants::default() };
        let mut tried = Tried::new(&udf("surroundings"), Ask::Apply, &Limits { grants, ..limits() });
        let got = tried.fault(Ask::Apply, &Batch::of(&["random"]));
        let expected = "trapped: asked for 18446744073709551615 random bytes at once; 65536 are possible; in ";
        assert!(got.starts_with(expected), "{got}");
    });
}

#[test]
fn what_is_printed_is_lines_of_the_log() {
    worker(|| {
        let (registry, lines) = listening();
        let limits = Limits { log_line_bytes: 80, ..limits() };
        let mut tried = Tried::on(registry.clone(), &udf("surroundings"), Ask::Apply, &limits);
        let mut printed = |value: &str| {
            let _ = tried.apply(&Batch::of(&[value]));
            std::mem::take(&mut *lines.lock().unwrap())
        };
        let saw = |value: &str| format!("Some(0) Info saw {value} 0");
        assert_eq!(printed("two\nlines"), ["Some(0) Info saw two 0", "Some(0) Info lines 0"]);
        assert_eq!(printed("warn"), [saw("warn"), "Some(0) Warn a warning 0".into()], "it ends with the call");
        assert_eq!(printed("binary"), [saw("binary"), "Some(0) Info \u{fffd} 0".into()]);
        let long = printed("long");
        assert_eq!(long[1], format!("Some(0) Info {}… 0", "x".repeat(80)), "100 KiB without an end");
        assert_eq!(long.len(), 2);
        // Lines before a trap, however it comes, are not lost.
        assert_eq!(printed("exit"), [saw("exit")]);
        let traceback = printed("traceback");
        let expected = ["Warn Traceback (most recent call last): 0", "Warn   in handle 0", "Warn ValueError: no 0"];
        assert_eq!(traceback[1..], expected.map(|line| format!("Some(0) {line}")));
        assert_eq!(printed("traceback"), [saw("traceback")], "the same explanation, in the trap alone");
        let stats = registry.stats(tried.prepared);
        assert_eq!((stats.log_lines, stats.log_lines_dropped), (14, 0));
        let mut rust = Tried::on(registry, RUST, Ask::Apply, &limits);
        rust.apply(&Batch::of(&["warn"])).unwrap();
        assert_eq!(*lines.lock().unwrap(), ["Some(1) Info saw warn 0", "Some(1) Warn a warning 0"]);
    });
}

#[test]
fn too_many_lines_are_dropped_and_counted() {
    worker(|| {
        let (registry, lines) = listening();
        let limits = Limits { log_lines_per_second: 3, call_cpu_ms: 1_000, ..limits() };
        let mut tried = Tried::on(registry.clone(), &udf("surroundings"), Ask::Apply, &limits);
        tried.apply(&Batch::of(&["a\nb\nc\nd\ne"])).unwrap();
        assert_eq!(lines.lock().unwrap().len(), 3);
        let stats = registry.stats(tried.prepared);
        assert_eq!((stats.log_lines, stats.log_lines_dropped), (3, 2));
    });
}

#[test]
fn inspect_says_how_each_interface_is_met() {
    let inspection = registry().inspect(&udf("surroundings"));
    assert!(inspection.accepted, "{:?}", inspection.reasons);
    let met = |name: &str| {
        let import = inspection.imports.iter().find(|import| import.name == name).unwrap();
        (import.granted, import.met.as_deref())
    };
    assert_eq!(met("wasi:clocks/wall-clock@0.2.12"), (true, Some("stands still, unless it is granted")));
    assert_eq!(met("wasi:sockets/tcp-create-socket@0.2.12"), (true, Some("access denied")));
    assert_eq!(met("millstream:udf/types@0.1.0"), (true, None));
    assert!(registry().inspect(RUST).accepted);
}

/// What is outside of the set is refused, by name.
#[test]
fn what_is_not_offered_of_wasi_is_refused_by_name() {
    let registry: &Registry = &registry();
    let prepare = |imports: &str| {
        let filter = r#"(instance $i) (export "millstream:udf/filter@0.1.0" (instance $i))"#;
        let component = wat(&format!("(component {imports} {filter})"));
        reasons(registry.prepare(&component, None, &[], &Limits::default(), &[Interface::Filter]))
    };
    let not = |name: &str| {
        format!(
            "it imports `{name}`, which this host does not offer: functions have no capabilities, and of WASI only \
             cli, clocks, filesystem, io, random and sockets of WASI 0.2"
        )
    };
    let both = r#"(import "wasi:http/types@0.2.3" (instance)) (import "wasi:cli/stdin@0.3.0" (instance))"#;
    let got = prepare(both);
    assert_eq!(got, [not("wasi:http/types@0.2.3"), not("wasi:cli/stdin@0.3.0")].join("\n"));
    let unknown = prepare(r#"(import "wasi:cli/exit@0.2.99" (instance (export "exit-politely" (func))))"#);
    let missing = "what it imports is not what this host offers: component imports instance `wasi:cli/exit@0.2.99`, but a \
        matching implementation was not found in the linker: instance export `exit-politely` has the wrong type: function \
        implementation is missing";
    assert_eq!(unknown, missing);
    let other = prepare(r#"(import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func))))"#);
    assert!(
        other.ends_with("instance export `get-random-u64` has the wrong type: type mismatch with results: expected 1-tuple, found 0-tuple"),
        "{other}"
    );
}
