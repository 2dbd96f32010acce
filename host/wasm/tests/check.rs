//! What `inspect` says, and why components are refused: texts, held by golden files. `UPDATE_GOLDEN=1` writes them anew.

mod common;

use std::fmt::Write;
use std::path::Path;

use common::{config, filter_wat, reasons, registry, udf, wat};
use millstream_core::function::Interface;
use millstream_wasm::{Inspection, Limits, Refusal, Registry, interface_name, interface_named};

/// A component that never changes.
const RELEASED: &[u8] = include_bytes!("../../../udfs/released-0.1.0/released.wasm");

/// Compares with a golden file, or writes it.
fn golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, expected, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

#[test]
fn a_component_is_described() {
    let registry = registry();
    let released = registry.inspect(RELEASED);
    assert!(released.compile_ms.is_some_and(|ms| ms > 0) && released.instantiate_us.is_some_and(|us| us > 0));
    // How long it took is another time each time.
    let timeless = Inspection { compile_ms: Some(7), instantiate_us: Some(7), ..released };
    let mut text = serde_json::to_string_pretty(&timeless).unwrap();
    text.push('\n');
    golden("released.json", &text);
    let several = registry.inspect(&udf("json-fields"));
    let names: Vec<_> = several.functions.iter().map(|f| (f.name.as_str(), f.interfaces.join("+"))).collect();
    let aggregate = || "aggregator+merger".to_string();
    let expected =
        [("at-least", "filter".into()), ("by-field", "mapper".into()), ("sum", aggregate()), ("max", aggregate())];
    assert_eq!(names, expected);
    assert!(several.functions[0].detail("settings-schema").unwrap().contains("least"));
    assert_eq!(several.functions[0].detail("ports"), None);
    let imports: Vec<_> = several.imports.iter().map(|i| (i.name.as_str(), i.functions.join("+"), i.granted)).collect();
    let write = || "write".to_string();
    let expected = [("millstream:udf/types@0.1.0", String::new(), true), ("millstream:udf/log@0.1.0", write(), true)];
    assert_eq!(imports, expected);
    assert!(several.accepted && several.reasons.is_empty());
}

/// Components that are refused for what they are, each with all of its reasons.
#[test]
fn refusals_are_exact() {
    let registry = registry();
    let limits = Limits { start_cpu_ms: 3_000, wall_factor: 1_000, ..Limits::default() };
    let mut text = String::new();
    let mut refused = |name: &str, bytes: &[u8], needed: Interface| {
        let got = reasons(registry.prepare(bytes, None, &[], &limits, &[needed]));
        // Backtraces name the inside of the guest's standard library.
        let lines = got.lines().map(|line| line.split("; in ").next().unwrap_or_default());
        writeln!(text, "{name}:").unwrap();
        lines.for_each(|line| writeln!(text, "    {line}").unwrap());
    };
    for name in [
        "bad-kind",
        "bad-module",
        "bad-import",
        "bad-contract",
        "bad-types",
        "bad-static-memory",
        "bad-static-table",
        "bad-functions",
        "bad-instantiate-traps",
        "bad-start-refuses",
        "bad-start-traps",
    ] {
        refused(name, &udf(name), Interface::Filter);
    }
    refused("bad-migrator-many", &udf("bad-migrator-many"), Interface::Aggregator);
    for (name, bytes) in odd_bytes() {
        refused(name, &bytes, Interface::Filter);
    }
    for (name, component) in odd_components() {
        refused(name, &component, Interface::Filter);
    }
    golden("refusals.txt", &text);
}

fn odd_bytes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an empty file", Vec::new()),
        ("a text", b"hello, this is not a component".to_vec()),
        ("WebAssembly text", b"  (component)".to_vec()),
        ("half a header", b"\0asm\x01".to_vec()),
        ("another format", b"\0asm\x0e\0\x01\0".to_vec()),
        ("half a component", RELEASED[..1000].to_vec()),
        ("too large a file", vec![0; millstream_wasm::inspect::COMPONENT_BYTES_MAX + 1]),
    ]
}

const KEEP: &str = r#"(func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    unreachable)"#;

fn odd_components() -> Vec<(&'static str, Vec<u8>)> {
    let realloc = |memory: &str| {
        let realloc = r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;
        filter_wat(&format!("(core module $m {memory} {realloc} {KEEP})"))
    };
    let memory = |memory: &str| realloc(&format!("(memory (export \"memory\") {memory})"));
    let imports = |imports: &str| wat(&format!("(component {imports})"));
    vec![
        ("threads", memory("1 1 shared")),
        ("a memory of 64 bits", memory("i64 1")),
        ("two memories", realloc(r#"(memory (export "memory") 1) (memory $second 1)"#)),
        ("odd pages", memory("1 (pagesize 1)")),
        ("garbage collection", realloc(r#"(memory (export "memory") 1) (type $s (struct (field i32)))"#)),
        (
            "imports of many kinds",
            imports(
                r#"(import "wasi:cli/environment@0.2.6" (instance (export "get-environment" (func))))
                (import "wasi:http/outgoing-handler@0.2.6" (instance (export "handle" (func))))
                (import "millstream:udf/context@0.1.0" (instance (export "headers" (func)) (export "weather" (func))))
                (import "millstream:udf/context@0.3.0" (instance (export "headers" (func))))
                (import "millstream:udf/state@0.1.0" (instance (export "get" (func))))
                (import "millstream:udf/secrets@0.1.0" (instance (export "get" (func))))
                (import "door" (func))"#,
            ),
        ),
        (
            "timers without their processor",
            wat(r#"(component
                (import "millstream:udf/timers@0.1.0" (instance (export "set" (func))))
                (instance $i)
                (export "millstream:udf/on-timer@0.1.0" (instance $i)))"#),
        ),
        (
            "timers that nobody fires",
            wat(r#"(component
                (import "millstream:udf/timers@0.1.0" (instance (export "set" (func)) (export "sleep" (func))))
                (instance $i)
                (export "millstream:udf/processor@0.1.0" (instance $i)))"#),
        ),
        (
            "a processor that is none",
            wat(r#"(component (instance $i) (export "millstream:udf/processor@0.1.0" (instance $i)))"#),
        ),
        (
            "another type of log",
            wat(r#"(component
                (import "millstream:udf/log@0.1.0" (instance $log (export "write" (func (param "message" string)))))
                (core module $m (import "log" "write" (func (param i32 i32))))
                (core module $memory (memory (export "memory") 1))
                (core instance $memory (instantiate $memory))
                (core func $write (canon lower (func $log "write") (memory (core memory $memory "memory"))))
                (core instance (instantiate $m (with "log" (instance (export "write" (func $write))))))
                (instance $i)
                (export "millstream:udf/filter@0.1.0" (instance $i)))"#),
        ),
    ]
}

#[test]
fn starts_that_do_not_end_are_refused() {
    let registry = registry();
    let limits = Limits { start_cpu_ms: 40, wall_factor: 1_000, ..Limits::default() };
    let with = |name, limits| reasons(registry.prepare(&udf(name), None, &[], limits, &[Interface::Filter]));
    let prepare = |name| with(name, &limits);
    let late = "it takes longer to start than its limit of 40 ms";
    assert_eq!(prepare("bad-start-spins"), format!("it could not be started: {late}"));
    assert_eq!(prepare("bad-functions-spins"), format!("an instance of it could not be made: {late}"));
    assert_eq!(prepare("bad-instantiate-spins"), format!("an instance of it could not be made: {late}"));
    let memory = with("bad-start-memory", &Limits::default());
    assert!(memory.starts_with("it could not be started: it needs more to start than its limit of 64 MiB of memory"));
}

#[test]
fn limits_of_a_function_hold_from_the_start() {
    let registry = registry();
    let prepare = |limits: Limits| reasons(registry.prepare(&udf("only-ip"), None, &[], &limits, &[Interface::Filter]));
    let memory = prepare(Limits { memory_bytes: 1 << 20, ..Limits::default() });
    assert_eq!(memory, "its memory begins with 1.06 MiB; its limit is 1 MiB");
    let tables = prepare(Limits { table_elements: 1, ..Limits::default() });
    assert!(tables.starts_with("elements in one of its tables: ") && tables.ends_with("; its limit is 1"), "{tables}");
    let wrong = prepare(Limits { memory_bytes: 0, wall_factor: 0, ..Limits::default() });
    assert_eq!(wrong.lines().count(), 2, "{wrong}");
}

#[test]
fn there_is_no_room_beyond_the_sum() {
    let mut config = config();
    (config.workers, config.memory_bytes) = (3, 128 << 20);
    let registry = Registry::new(config).unwrap();
    let prepare = |name: &str, needed| registry.prepare(&udf(name), None, &[], &Limits::default(), &[needed]);
    let first = prepare("stamp-v1", Interface::Mapper).unwrap();
    prepare("stamp-v2", Interface::Mapper).unwrap();
    let Refusal::NoRoom(why) = prepare("only-ip", Interface::Filter).unwrap_err() else { panic!("room") };
    let expected = "there is no room for it: the memory limits of 3 versions, 192 MiB together, on 4 threads come to \
        768 MiB; this host allows 512 MiB (4 × 128 MiB): lower the limits, or give it more memory";
    assert_eq!(why, expected);
    registry.release(first);
    prepare("only-ip", Interface::Filter).unwrap();
    // The released version has its number still, and no room.
    let Refusal::NoRoom(_) = prepare("stamp-v1", Interface::Mapper).unwrap_err() else { panic!("room") };
}

#[test]
fn the_pool_is_not_overbooked() {
    let mut config = config();
    config.workers = 999;
    config.memory_bytes = 1 << 50;
    let registry = Registry::new(config).unwrap();
    let prepare = |name: &str, needed| registry.prepare(&udf(name), None, &[], &Limits::default(), &[needed]);
    prepare("only-ip", Interface::Filter).unwrap();
    let Refusal::NoRoom(why) = prepare("keep-all", Interface::Filter).unwrap_err() else { panic!("room") };
    let expected = "there is no room for it: 2 versions have 2 memories, on 1000 threads 2000; this host has 1000";
    assert_eq!(why, expected);
}

#[test]
fn interfaces_have_the_contracts_names() {
    for interface in [Interface::Lifecycle, Interface::Filter, Interface::OnTimer] {
        assert_eq!(interface_named(interface_name(interface)), Some(interface));
    }
    assert_eq!((interface_name(Interface::OnTimer), interface_named("timer")), ("on-timer", None));
}
