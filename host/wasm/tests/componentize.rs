//! Core modules become components that answer; what does not fit the contract is refused with what would be right.

mod common;

use common::{Batch, prepare, registry, wat, worker};
use millstream_core::function::{Context, Functions as _, Interface};
use millstream_wasm::{WorkerFunctions, componentize};

/// Asks everything that a standard library asks of WASI preview 1, and traps where the answer is not the one that there is.
const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $free)
    (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8))))
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
  (func $now (param $clock i32) (result i64)
    (call $must (i32.eqz (call $clock (local.get $clock) (i64.const 0) (i32.const 1024))))
    (i64.load (i32.const 1024)))
  (func $named_function (local $from i64)
    (call $must (i64.eqz (call $now (i32.const 0))))
    (local.set $from (call $now (i32.const 1)))
    (call $must (i64.eq (call $now (i32.const 1)) (i64.add (local.get $from) (i64.const 1000))))
    ;; Of two waits the shorter one is over first, and the clock has moved by it.
    (i64.store (i32.const 2048) (i64.const 7)) (i64.store (i32.const 2072) (i64.const 5000000000))
    (i64.store (i32.const 2096) (i64.const 9)) (i64.store (i32.const 2120) (i64.const 1000000000))
    (call $must (i32.eqz (call $poll (i32.const 2048) (i32.const 3072) (i32.const 2) (i32.const 3584))))
    (call $must (i64.eq (i64.load (i32.const 3072)) (i64.const 9)))
    (call $must (i32.eq (i32.load (i32.const 3584)) (i32.const 1)))
    (call $must (i64.eq (call $now (i32.const 1)) (i64.add (local.get $from) (i64.const 1000002000))))
    ;; A descriptor is ready before a clock.
    (i32.store8 (i32.const 2104) (i32.const 1))
    (call $must (i32.eqz (call $poll (i32.const 2048) (i32.const 3072) (i32.const 2) (i32.const 3584))))
    (call $must (i32.eq (i32.load8_u (i32.const 3082)) (i32.const 1)))
    (call $must (i32.ne (call $poll (i32.const 2048) (i32.const 3072) (i32.const 0) (i32.const 3584)) (i32.const 0)))
    (i32.store (i32.const 4100) (i32.const 5)) (i32.store (i32.const 4108) (i32.const 6))
    (call $must (i32.eqz (call $write (i32.const 1) (i32.const 4096) (i32.const 2) (i32.const 4200))))
    (call $must (i32.eq (i32.load (i32.const 4200)) (i32.const 11)))
    (call $must (i32.eq (call $write (i32.const 3) (i32.const 4096) (i32.const 1) (i32.const 4200)) (i32.const 8)))
    (call $must (i32.eqz (call $random (i32.const 8192) (i32.const 9))))
    (call $must (i64.ne (i64.load (i32.const 8192)) (i64.const 0)))
    (call $must (i32.eqz (i32.load8_u (i32.const 8201))))
    (call $must (i32.eqz (call $environ (i32.const 8300) (i32.const 8304)))))
  (func (export "millstream:udf/filter@0.1.0#keep")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    ;; A record whose value is one byte long wants to end the program.
    (if (i32.eq (local.get 9) (i32.const 1)) (then (call $exit (i32.const 3))))
    (call $named_function)
    (i32.store8 (i32.const 16384) (i32.const 1))
    (i32.store (i32.const 20000) (i32.const 0))
    (i32.store (i32.const 20004) (i32.const 16384)) (i32.store (i32.const 20008) (i32.const 1))
    (i32.store (i32.const 20012) (i32.const 0)) (i32.store (i32.const 20016) (i32.const 0))
    (i32.const 20000)))"#;

#[test]
fn a_module_becomes_a_component_that_answers_without_an_import() {
    let made = componentize(MODULE.as_bytes()).unwrap();
    assert_eq!((made.exports, made.stubbed.len()), (vec!["filter".to_string()], 6));
    assert!(made.component.windows(14).any(|part| part == b"named_function"), "names are kept");
    assert_eq!(componentize(&wat(MODULE)).unwrap().component, made.component, "binary and text are the same");
    let registry = registry();
    let inspection = registry.inspect(&made.component);
    assert!(inspection.accepted, "{:?}", inspection.reasons);
    let foreign = inspection.imports.iter().filter(|import| !import.functions.is_empty()).count();
    assert_eq!((inspection.kinds, foreign), (vec!["filter".to_string()], 0));
    let filter = prepare(&registry, &made.component, Interface::Filter);
    worker(|| {
        let mut functions = WorkerFunctions::new(registry.clone());
        let mut keep = |value: &str| functions.keep(filter, Context::default(), Batch::of(&[value]).records());
        assert_eq!(keep("two").map(|kept| kept.bits), Ok(vec![1]));
        let ended = keep("1").unwrap_err().to_string();
        assert!(ended.starts_with("trapped"), "{ended}");
    });
}

#[test]
fn the_world_that_is_written_in_a_module_counts() {
    use wit_component::{StringEncoding, embed_component_metadata};
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_str("udf.wit", include_str!("../../../wit/udf.wit")).unwrap();
    let package = resolve
        .push_str("own.wit", "package a:b; world mine { export millstream:udf/filter@0.1.0; export c: func(); }")
        .unwrap();
    let world = resolve.select_world(&[package], Some("mine")).unwrap();
    let of = |text: &str| {
        let mut module = wat(text);
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        componentize(&module)
    };
    let lacking = of(MODULE).unwrap_err();
    assert!(lacking.contains("does not fit the contract") && lacking.contains('c'), "{lacking}");
    let whole = of(&MODULE.replace("(func $must", "(func (export \"c\")) (func $must")).unwrap();
    assert!(registry().inspect(&whole.component).accepted);
}

#[test]
fn what_does_not_fit_is_refused_with_what_would_be_right() {
    let why = |text: &str| componentize(text.as_bytes()).unwrap_err();
    let component = componentize(MODULE.as_bytes()).unwrap().component;
    assert_eq!(componentize(&component).unwrap_err(), "it is a component already");
    assert!(componentize(b"\0asm\x07\0\0\0").unwrap_err().contains("no WebAssembly"));
    assert!(why("(module").contains("no WebAssembly text"));
    assert!(why("(module)").contains("exports nothing. Build it against wit/udf.wit"), "{}", why("(module)"));
    let exported = |name: &str| why(&format!("(module (func (export \"{name}\")))"));
    assert!(exported("keep").contains("it exports `keep`"));
    assert!(exported("millstream:udf/filter@0.2.0#keep").contains("of contract 0.2.0; this program knows 0.1.0"));
    assert!(exported("millstream:udf/filter#keep").contains("without a version"));
    assert!(exported("millstream:udf/poet@0.1.0#write").contains("not all of contract 0.1.0"));
    let signature = exported("millstream:udf/filter@0.1.0#keep");
    assert!(signature.contains("does not fit the contract"), "{signature}");
    let abort = why(&MODULE.replace("(memory (export", "(import \"env\" \"abort\" (func)) (memory (export"));
    assert!(abort.contains("it imports `abort` of `env`, which no host offers"), "{abort}");
    let unknown = why(&MODULE.replace("\"proc_exit\"", "\"proc_leave\""));
    assert!(unknown.contains("`proc_leave` of `wasi_snapshot_preview1`"), "{unknown}");
    let half = why(r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "millstream:udf/aggregator@0.1.0#add") (param i32) (result i32) unreachable))"#);
    assert!(half.contains("does not fit the contract") && half.contains("finish"), "{half}");
}
