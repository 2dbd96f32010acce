//! Functions that are several components in one file: what one hands to another is copied from memory to memory, the limits
//! hold for all of it together, and no module of it has more than one memory.

mod common;

use common::{Ask, Batch, Tried, filter_text, reasons, registry, wat, worker};
use millstream_core::function::{Fault, Interface};
use millstream_wasm::Limits;
use millstream_wasm::limits::MEMORIES_MAX;

/// Grows as it is asked, and gives nothing back.
const REALLOC: &str = r#"(global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (block $enough (loop $grow
        (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $grow)))
      (local.get $at))"#;

/// Two components: one keeps records by asking the other about each value, with the bytes. The other keeps what begins with
/// `k`, and on what begins with `g` takes 20 MiB. Their memories begin with so many pages.
fn composed(own_pages: u32, other_pages: u32) -> Vec<u8> {
    let other = format!(
        r#"(component $other
            (core module $m
              (memory (export "memory") {other_pages}) {REALLOC}
              (func (export "wanted") (param $at i32) (param $length i32) (result i32)
                (local $first i32)
                (if (i32.eqz (local.get $length)) (then (return (i32.const 0))))
                (local.set $first (i32.load8_u (local.get $at)))
                (if (i32.eq (local.get $first) (i32.const 103))
                  (then (if (i32.eq (memory.grow (i32.const 320)) (i32.const -1)) (then unreachable))))
                (i32.eq (local.get $first) (i32.const 107))))
            (core instance $i (instantiate $m))
            (func (export "wanted") (param "bytes" (list u8)) (result bool)
              (canon lift (core func $i "wanted") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
          (instance $other (instantiate $other))"#
    );
    let text = filter_text(&asking(own_pages)).replace("(core instance $i (instantiate $m))", WIRED);
    // A component that is exported whole has its types with it.
    let types =
        ["bytes-column", "batch", "rejection", "kept"].map(|name| format!("(export \"{name}\" (type ${name}))"));
    let text = text.replace("(instance $filter ", &format!("(instance $filter {} ", types.concat()));
    let own = text.replacen(
        "(component",
        r#"(component $own (import "wanted" (func $wanted (param "bytes" (list u8)) (result bool)))"#,
        1,
    );
    let name = "millstream:udf/filter@0.1.0";
    wat(&format!(
        r#"(component {other} {own} (instance $own (instantiate $own (with "wanted" (func $other "wanted"))))
          (export "{name}" (instance $own "{name}")))"#
    ))
}

/// The modules of the first component: one that has the memory, so that it is there when the function that asks is wired, and
/// one that asks.
fn asking(pages: u32) -> String {
    format!(
        r#"(core module $own (memory (export "memory") {pages}) {REALLOC})
          (core instance $own (instantiate $own))
          (core func $asked (canon lower (func $wanted) (memory (core memory $own "memory"))))
          (core module $m
            (import "own" "memory" (memory 1))
            (import "own" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (import "other" "wanted" (func $wanted (param i32 i32) (result i32)))
            (export "memory" (memory 0))
            (export "realloc" (func $realloc))
            ;; Of the values: the offsets at 6, their number at 7, the data at 8. The bits begin at 64; up to 64 records.
            (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
              (local $i i32) (local $from i32) (local $at i32)
              (i64.store (i32.const 64) (i64.const 0))
              (loop $next
                (if (i32.lt_u (i32.add (local.get $i) (i32.const 1)) (local.get 7)) (then
                  (local.set $at (i32.add (local.get 6) (i32.mul (local.get $i) (i32.const 4))))
                  (local.set $from (i32.load (local.get $at)))
                  (i64.store (i32.const 64) (i64.or (i64.load (i32.const 64)) (i64.shl
                    (i64.extend_i32_u (call $wanted
                      (i32.add (local.get 8) (local.get $from))
                      (i32.sub (i32.load offset=4 (local.get $at)) (local.get $from))))
                    (i64.extend_i32_u (local.get $i)))))
                  (local.set $i (i32.add (local.get $i) (i32.const 1)))
                  (br $next))))
              (i32.store (i32.const 20) (i32.const 64))
              (i32.store (i32.const 24) (i32.shr_u (i32.add (local.get $i) (i32.const 7)) (i32.const 3)))
              (i32.const 16)))"#
    )
}

const WIRED: &str = r#"(core instance $i (instantiate $m
    (with "own" (instance $own)) (with "other" (instance (export "wanted" (func $asked))))))"#;

#[test]
fn bytes_go_from_one_component_to_another() {
    let registry = registry();
    let inspection = registry.inspect(&composed(1, 1));
    assert_eq!((inspection.reasons, inspection.memories), (Vec::new(), 2));
    worker(|| {
        let mut tried = Tried::on(registry, &composed(1, 1), Ask::Keep, &Limits::default());
        let texts = ["keep", "no", "", "k", "ok", "kk", "c", "d", "kept in the second byte"];
        for _ in 0..3 {
            assert_eq!(tried.keep(&Batch::of(&texts)).unwrap().bits, [0b0010_1001, 1]);
        }
        // More than either memory begins with.
        let large = format!("k{}", "a".repeat(1 << 20));
        assert_eq!(tried.keep(&Batch::of(&["x", &large, "x"])).unwrap().bits, [0b010]);
    });
}

#[test]
fn the_limit_of_memory_is_for_all_components_together() {
    worker(|| {
        let mut tried = Tried::new(&composed(640, 1), Ask::Keep, &Limits::default());
        assert_eq!(tried.keep(&Batch::of(&["g", "k"])).unwrap().bits, [0b10], "40 and 20 MiB are within 64");
        let fault = tried.keep(&Batch::of(&["g"])).unwrap_err();
        let Fault::OutOfMemory { what } = &fault else { panic!("{fault:?}") };
        assert!(what.starts_with("64 MiB of memory (it asked for 80."), "{what}");
    });
    let prepare = |own, other| {
        reasons(registry().prepare(&composed(own, other), None, &[], &Limits::default(), &[Interface::Filter]))
    };
    let why = "an instance of it could not be made: it needs more to start than its limit of 64 MiB of memory (it asked \
        for 80 MiB)";
    assert_eq!(prepare(640, 640), why);
    assert_eq!(prepare(641, 1_025), "its memory begins with 64.06 MiB; its limit is 64 MiB");
}

#[test]
fn a_file_has_so_many_memories_and_no_more() {
    let more = |memories: u32| {
        let modules: String = (1..memories)
            .map(|i| format!("(core module $m{i} (memory 1)) (core instance (instantiate $m{i}))"))
            .collect();
        let module = format!(
            r#"(core module $m (memory (export "memory") 1) {REALLOC}
              (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (i32.const 16)))"#
        );
        wat(&filter_text(&format!("{modules} {module}")))
    };
    let registry = registry();
    let most = registry.inspect(&more(MEMORIES_MAX));
    assert_eq!((most.reasons, most.memories), (Vec::new(), MEMORIES_MAX));
    assert_eq!(registry.inspect(&more(MEMORIES_MAX + 1)).reasons, ["it has memories: 9; its limit is 8"]);
}

#[test]
fn no_module_has_two_memories() {
    let refused = |module: &str, wired: &str| {
        let text = filter_text(&format!("{module} {REALLOC} (func (export \"keep\") unreachable))"));
        let text = text.replace("(core instance $i (instantiate $m))", wired);
        let [why] = &registry().inspect(&wat::parse_str(text).unwrap()).reasons[..] else { panic!("several reasons") };
        why.clone()
    };
    let two = "one of the core modules in it has 2 memories, its own and those it imports; a module may have 1: build it \
        without several memories";
    let plain = "(core instance $i (instantiate $m))";
    assert_eq!(refused(r#"(core module $m (memory (export "memory") 1) (memory 1)"#, plain), two);
    let lent = r#"(core module $lib (memory (export "memory") 1)) (core instance $lib (instantiate $lib))
        (core module $m (import "lib" "memory" (memory 1)) (memory (export "memory") 1)"#;
    assert_eq!(refused(lent, r#"(core instance $i (instantiate $m (with "lib" (instance $lib))))"#), two);
}
