//! What a call of a function costs, nanoseconds a record, by how many records a call has: copying in, the function itself,
//! copying out, and checking what came out. Printed, not judged.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_core::function::{Context, Functions, Groups, Interface, Prepared, Records};
use millstream_core::record::{BytesColumn, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use millstream_wasm::{Compiler, Config, Limits, Registry, WORKER_STACK_BYTES, WorkerFunctions};

/// Records a call.
const SIZES: [usize; 5] = [1, 16, 128, 1024, 8192];

/// Groups of a count.
const GROUPS: usize = 100;

/// How long and how often each figure is measured.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: u32 = 10;

/// Keys of 16 bytes, values of 66: access-log lines.
struct Columns {
    keys: BytesColumn,
    values: BytesColumn,
    timestamps: Vec<Timestamp>,
}

impl Columns {
    fn new(count: usize) -> Self {
        let column = |text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<Vec<_>>();
        let of = |texts: Vec<String>| texts.iter().map(|t| Some(t.as_bytes())).collect::<BytesColumn>();
        let line = |i| {
            format!("[2021-05-01 14:30:{:02}] IP: 192.168.{}.{}, User: Alice, Action: Login", i % 60, i % 7, i % 250)
        };
        Self {
            keys: of(column(&|i| format!("key-{:012}", i % GROUPS))),
            values: of(column(&line)),
            timestamps: (0..count as i64).collect(),
        }
    }

    fn records(&self) -> Records<'_> {
        Records { keys: &self.keys, values: &self.values, timestamps: &self.timestamps }
    }
}

/// Nanoseconds a record: CPU time, so that others on the machine count less; the best of some rounds.
fn measure(count: usize, mut call: impl FnMut()) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let round = |_| {
        let (start, mut calls) = (cpu(), 0u32);
        while cpu() - start < ROUND.as_nanos() as f64 {
            (0..10).for_each(|_| call());
            calls += 10;
        }
        (cpu() - start) / f64::from(calls) / count as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn row(name: &str, mut cost: impl FnMut(usize) -> f64) {
    let cells: Vec<String> = SIZES.iter().map(|&n| format!("{:>8.1}", cost(n))).collect();
    println!("{name:<38}{}", cells.join(""));
}

fn count(functions: &mut WorkerFunctions, function: Prepared, columns: &Columns) -> f64 {
    let records = columns.timestamps.len();
    let groups = GROUPS.min(records);
    let keys = columns.keys.slice(0, groups);
    let by_group = (0..groups).map(|g| (g..records).step_by(groups).map(|r| r as u32).collect::<Vec<_>>());
    let (mut offsets, mut members) = (vec![0], Vec::new());
    for group in by_group {
        members.extend(group);
        offsets.push(members.len() as u32);
    }
    let mut states = BytesColumn::nulls(groups);
    measure(records, || {
        let into =
            Groups { keys: &keys, starts: &[], ends: &[], states: &states, offsets: &offsets, members: &members };
        states = functions.add(function, Context::default(), into, columns.records()).unwrap().states;
    })
}

fn main() {
    let folder = std::env::var_os("MILLSTREAM_UDFS").expect("MILLSTREAM_UDFS names no folder: run ./x bench");
    let udf = |name: &str| std::fs::read(Path::new(&folder).join(format!("{name}.wasm"))).unwrap();
    let released = include_bytes!("../../../udfs/released-0.1.0/released.wasm");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_compile-function"));
    let registry = Arc::new(Registry::new(Config::new(Compiler { program, args: Vec::new() }, 1)).unwrap());
    let prepare =
        |component: &[u8], needed| registry.prepare(component, None, &[], &Limits::default(), &[needed]).unwrap();
    let filters = [
        ("filter, columns (released.wasm)", prepare(released, Interface::Filter)),
        ("filter, SDK (only-ip)", prepare(&udf("only-ip"), Interface::Filter)),
    ];
    let maps = [
        ("map that changes nothing (released.wasm)", prepare(released, Interface::Mapper)),
        ("map, SDK: values (stamp-v1)", prepare(&udf("stamp-v1"), Interface::Mapper)),
        ("map, SDK: key and time (extract-ip)", prepare(&udf("extract-ip"), Interface::Mapper)),
    ];
    let counts = prepare(&udf("count"), Interface::Aggregator);
    let run = || {
        let mut functions = WorkerFunctions::new(registry.clone());
        let batches = SIZES.map(Columns::new);
        let of = |n: usize| batches.iter().find(|b| b.timestamps.len() == n).unwrap();
        println!("{:<38}{}", "ns a record, by records a call", SIZES.map(|n| format!("{n:>8}")).join(""));
        for (name, function) in filters {
            row(name, |n| {
                let records = of(n).records();
                measure(n, || drop(black_box(functions.keep(function, Context::default(), records).unwrap())))
            });
        }
        for (name, function) in maps {
            row(name, |n| {
                let records = of(n).records();
                measure(n, || drop(black_box(functions.apply(function, Context::default(), records).unwrap())))
            });
        }
        row("count, SDK, 100 groups: add", |n| count(&mut functions, counts, of(n)));
        row("filter on a fresh instance each call", |n| {
            let (records, function) = (of(n).records(), filters[0].1);
            measure(n, || {
                functions.renew(function);
                drop(black_box(functions.keep(function, Context::default(), records).unwrap()));
            })
        });
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn_scoped(scope, run).unwrap();
    });
}
