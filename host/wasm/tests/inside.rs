//! Seeing inside of guests: where lines came from, where time goes, what is left of a trap. What is counted is in `calls`.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Ask, Batch, Tried, config, filter_wat, udf, worker};
use millstream_core::function::{Context, Functions, Interface};
use millstream_core::poll::Polled;
use millstream_core::record::BatchBuilder;
use millstream_core::task::TaskId;
use millstream_wasm::dump::{CORE_DUMP_SUFFIX, CORE_DUMPS_MAX};
use millstream_wasm::{Config, Limits, LogLine, Place, Registry, WORKER_STACK_BYTES, WorkerFunctions};

const TASK: TaskId = TaskId { sub: 1, partition: 3 };

/// Records of one input, or of several with an offset each.
fn polled(texts: &[&str], each: Option<&[(u32, i64)]>) -> Polled {
    let mut batch = BatchBuilder::default();
    texts.iter().for_each(|text| batch.push(None, Some(text.as_bytes()), 0, []));
    Polled {
        batch: batch.finish(),
        inputs: each.map(|each| each.iter().map(|(input, _)| *input).collect()),
        input: 2,
        base_offset: 100,
        offsets: each.map_or_else(Vec::new, |each| each.iter().map(|(_, offset)| *offset).collect()),
        times: None,
        refused: BTreeMap::new(),
    }
}

#[test]
fn a_line_names_the_records_of_its_call() {
    let places: Arc<Mutex<Vec<Option<Place>>>> = Arc::default();
    let heard = places.clone();
    let log = move |line: &LogLine<'_>| heard.lock().unwrap().push(line.place);
    let registry = Registry::new(Config { log: Arc::new(log), ..config() }).unwrap();
    worker(|| {
        let mut tried = Tried::on(Arc::new(registry), &udf("surroundings"), Ask::Apply, &Limits::default());
        let place = |tried: &mut Tried, texts: &[&str], rows: Option<&[u32]>| {
            let context = Context { rows, ..Context::default() };
            tried.functions.apply(tried.prepared, context, Batch::of(texts).records()).unwrap();
            let mut told = std::mem::take(&mut *places.lock().unwrap());
            told.dedup();
            assert_eq!(told.len(), 1, "lines of one call name the same records");
            told[0].map(|place| (place.task, place.first, place.last))
        };
        assert_eq!(place(&mut tried, &["a"], None), None, "nothing was read");
        tried.functions.reads(TASK, &polled(&["a", "b", "c"], None));
        let mut one = |texts: &[&str], rows| place(&mut tried, texts, rows);
        assert_eq!(one(&["a", "b", "c"], None), Some((TASK, (2, 100), (2, 102))));
        assert_eq!(one(&["b", "c"], Some(&[1, 2])), Some((TASK, (2, 101), (2, 102))));
        assert_eq!(one(&["b"], Some(&[1 | 1 << 31])), Some((TASK, (2, 101), (2, 101))), "made of what was read");
        assert_eq!(one(&["a"], Some(&[])), None, "about no record");
        assert_eq!(one(&["a"], Some(&[3])), None, "no such record");
        tried.functions.reads(TASK, &polled(&["a", "b"], Some(&[(0, 7), (1, 4)])));
        let mut one = |texts: &[&str], rows| place(&mut tried, texts, rows);
        assert_eq!(one(&["a", "b"], None), Some((TASK, (0, 7), (1, 4))));
        assert_eq!(one(&["b", "b"], Some(&[1, 1])), Some((TASK, (1, 4), (1, 4))));
    });
}

/// A filter that counts in a function of its own, two deep, for longer than a tick, and then answers with nonsense.
const BUSY: &str = r#"(core module $m
  (memory (export "memory") 1)
  (func $count (param i32)
    (loop $on
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $on (local.get 0))))
  (func $busy (call $count (i32.const 20_000_000)))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $busy) (i32.const -1)))"#;

#[test]
fn time_is_seen_where_it_goes() {
    let registry = Arc::new(Registry::new(config()).unwrap());
    let component = filter_wat(BUSY);
    let limits = Limits { call_cpu_ms: 60_000, ..Limits::default() };
    let prepared = registry.prepare(&component, None, &[], &limits, &[Interface::Filter]).unwrap();
    let mut taken = None;
    thread::scope(|scope| {
        let calls = registry.clone();
        let caller = thread::Builder::new().stack_size(WORKER_STACK_BYTES);
        let caller = caller.spawn_scoped(scope, move || {
            let mut functions = WorkerFunctions::new(calls);
            let until = Instant::now() + Duration::from_millis(600);
            while Instant::now() < until {
                let batch = Batch::of(&["a"]);
                assert!(functions.keep(prepared, Context::default(), batch.records()).is_err());
            }
        });
        taken = registry.profile(prepared, || {
            assert!(registry.profile(prepared, || ()).is_none(), "one at a time");
            thread::sleep(Duration::from_millis(500));
        });
        caller.unwrap().join().unwrap();
    });
    let profile = taken.unwrap();
    let counted = profile.stacks.iter().filter(|(stack, _)| stack.ends_with(&["busy".into(), "count".into()]));
    let counted: u64 = counted.map(|(_, times)| times).sum();
    assert!(profile.samples() >= 20, "{profile:?}");
    assert!(counted * 10 >= profile.samples() * 9, "{profile:?}");
    assert!(registry.profile(prepared, || ()).is_some_and(|profile| profile.samples() == 0), "nobody calls");
}

#[test]
fn a_backtrace_has_files_and_lines_where_the_component_has_them() {
    worker(|| {
        let trap = |name: &str| {
            let mut tried = Tried::new(&udf(name), Ask::Keep, &Limits::default());
            let told = tried.fault(Ask::Keep, &Batch::of(&["panic"]));
            told.split_once("executed; in ").unwrap_or_else(|| panic!("{told}")).1.to_string()
        };
        let told = trap("bad-panic-debug");
        let at = told.split(" < ").find(|frame| frame.contains(" at ") && frame.ends_with("bad-panic.rs:6:5"));
        assert!(at.is_some(), "{told}");
        let told = trap("bad-panic");
        assert!(told.contains(" < ") && !told.contains(" at "), "names alone: {told}");
    });
}

#[test]
fn a_trap_leaves_a_core_dump_where_one_is_wanted() {
    let folder: PathBuf = std::env::temp_dir().join(format!("millstream-core-{}", std::process::id()));
    let registry = Registry::new(Config { core_dumps: Some(folder.clone()), ..config() }).unwrap();
    worker(|| {
        let mut tried = Tried::on(Arc::new(registry), &udf("bad-trap"), Ask::Keep, &Limits::default());
        let told = tried.fault(Ask::Keep, &Batch::of(&["trap"]));
        let path = told.split_once("; core dump: ").unwrap_or_else(|| panic!("{told}")).1;
        assert!(path.ends_with(CORE_DUMP_SUFFIX), "{path}");
        let bytes = std::fs::read(path).unwrap();
        let sections: Vec<String> = wasmparser::Parser::new(0)
            .parse_all(&bytes)
            .filter_map(|part| match part.unwrap() {
                wasmparser::Payload::CustomSection(section) => Some(section.name().to_string()),
                _ => None,
            })
            .collect();
        for section in ["core", "coremodules", "coreinstances", "corestack"] {
            assert!(sections.iter().any(|name| name == section), "{section}: {sections:?}");
        }
        for _ in 0..CORE_DUMPS_MAX + 2 {
            tried.fault(Ask::Keep, &Batch::of(&["trap"]));
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), CORE_DUMPS_MAX);
        let whole = tried.fault(Ask::Keep, &Batch::of(&["a", "trap"]));
        assert!(whole.contains("trapped") && !whole.contains("core dump"), "of batches one in a while: {whole}");
        let mut other = Tried::new(&udf("bad-trap"), Ask::Keep, &Limits::default());
        assert!(!other.fault(Ask::Keep, &Batch::of(&["trap"])).contains("core dump"), "nobody wants one");
    });
    std::fs::remove_dir_all(folder).unwrap();
}
