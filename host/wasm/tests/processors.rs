//! Processors as the core calls them: what a guest finds at its host, in batches, and how a call ends that its host has ended.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Batch, column, in_languages, reasons, registry, udf, worker};
use millstream_core::function::{
    Answer, Context, Fault, Functions, Hosted, Interface, Output, Place, Prepared, Stop, TimerClock,
};
use millstream_core::record::{BytesColumn, Timestamp};
use millstream_wasm::{Limits, Registry, Stats, WorkerFunctions};

/// A host with one store, which ends calls when told to.
#[derive(Default)]
struct Shelf {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    timers: Vec<String>,
    asked: Vec<String>,
    ends: Option<Stop>,
}

impl Shelf {
    fn asked(&mut self, what: String) -> Result<(), Stop> {
        self.asked.push(what);
        self.ends.map_or(Ok(()), Err)
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned()
}

impl Hosted for Shelf {
    fn place(&self) -> Place<'_> {
        Place { partition: 0, step: "alarms", stores: vec!["last"] }
    }
    fn store(&self, name: &str) -> Option<u32> {
        (name == "last").then_some(0)
    }
    fn get(&mut self, store: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop> {
        self.asked(format!("get {store} {}", keys.len()))?;
        Ok((0..keys.len()).map(|i| self.entries.get(keys.get(i).unwrap()).map(|v| &v[..])).collect())
    }
    fn put(&mut self, store: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop> {
        self.asked(format!("put {store} {}", keys.len()))?;
        for i in 0..keys.len() {
            self.entries.insert(keys.get(i).unwrap().to_vec(), values.get(i).unwrap().to_vec());
        }
        Ok(())
    }
    fn range(&mut self, store: u32, _: &[u8], _: &[u8], limit: u32) -> Result<(BytesColumn, BytesColumn), Stop> {
        self.asked(format!("range {store} {limit}")).map(|()| Default::default())
    }
    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop> {
        self.asked(format!("set {}", keys.len()))?;
        let one = |i: usize| format!("{clock:?} {} {name} {}", text(keys.get(i)), due[i]);
        self.timers.extend((0..keys.len()).map(one));
        Ok(())
    }
    fn cancel(&mut self, _: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop> {
        self.asked(format!("cancel {} {name}", keys.len()))
    }
}

struct Alarm {
    registry: Arc<Registry>,
    functions: WorkerFunctions,
    prepared: Prepared,
}

/// The sample in every language in which it is written.
fn alarms() -> Vec<Alarm> {
    in_languages("alarm", &["c", "cpp"]).iter().map(|name| alarm(name)).collect()
}

fn alarm(name: &str) -> Alarm {
    let registry = registry();
    let needed = [Interface::Processor, Interface::OnTimer];
    let prepared = registry.prepare(&udf(name), None, &[], &Limits::default(), &needed).unwrap();
    Alarm { functions: WorkerFunctions::new(registry.clone()), registry, prepared }
}

impl Alarm {
    fn stats(&self) -> Stats {
        self.registry.stats(self.prepared)
    }

    fn process(&mut self, records: &Batch, shelf: &mut Shelf) -> Answer<Output> {
        self.functions.process(self.prepared, Context::default(), records.records(), shelf)
    }
}

fn batch(items: &[(Option<&str>, &str, Timestamp)]) -> Batch {
    Batch {
        keys: column(&items.iter().map(|i| i.0).collect::<Vec<_>>()),
        values: column(&items.iter().map(|i| Some(i.1)).collect::<Vec<_>>()),
        timestamps: items.iter().map(|i| i.2).collect(),
    }
}

#[test]
fn records_and_timers_go_in_and_writes_go_out_in_batches() {
    worker(|| {
        for mut alarm in alarms() {
            let mut shelf = Shelf::default();
            let records = batch(&[
                (Some("a"), "x", 1_000),
                (None, "nobody's", 2_000),
                (Some("b"), "y", 3_000),
                (Some("a"), "z", 4_000),
            ]);
            let output = alarm.process(&records, &mut shelf).unwrap();
            assert_eq!((output.taken, output.sources, output.rejected.len()), (4, Some(vec![]), 1));
            assert_eq!(
                shelf.asked,
                ["get 0 1", "get 0 1", "put 0 2", "set 3"],
                "each key is read once, and all is written at once"
            );
            assert_eq!(
                shelf.timers,
                ["EventTime a silent 31000", "EventTime b silent 33000", "EventTime a silent 34000"]
            );
            let due = batch(&[(Some("b"), "silent", 33_000), (Some("a"), "silent", 34_000)]);
            let fired = alarm.functions.fire(alarm.prepared, TimerClock::EventTime, due.records(), &mut shelf).unwrap();
            assert_eq!((fired.taken, fired.keys, fired.values), (2, None, Some(column(&[Some("y"), Some("z")]))));
            let again = alarm.process(&batch(&[(Some("b"), "back", 53_000)]), &mut shelf).unwrap();
            assert_eq!((again.values, again.ports), (Some(column(&[Some("50000")])), Some(vec![1])));
        }
    });
}

#[test]
fn a_call_that_its_host_ends_is_over_and_the_next_instance_works() {
    worker(|| {
        for mut alarm in alarms() {
            let mut shelf = Shelf { ends: Some(Stop::Ended), ..Shelf::default() };
            let records = batch(&[(Some("a"), "x", 1_000)]);
            let ended = alarm.process(&records, &mut shelf);
            assert!(
                matches!(&ended, Err(Fault::Trap { message }) if message.contains("ended by its host")),
                "{ended:?}"
            );
            assert_eq!(shelf.asked.len(), 1, "nothing more was asked");
            let counted = alarm.stats();
            assert_eq!((counted.calls, counted.trapped), (1, 1));
            // Nothing is wrong with it: it counts nowhere.
            shelf.ends = Some(Stop::Again);
            let again = alarm.process(&records, &mut shelf);
            assert!(matches!(again, Err(Fault::Unavailable { .. })), "{again:?}");
            assert_eq!(alarm.stats(), Stats { instances: 2, ..counted });
            shelf.ends = None;
            assert_eq!(alarm.process(&records, &mut shelf).unwrap().taken, 1);
        }
    });
}

#[test]
fn a_store_that_the_step_does_not_have_is_told_by_name() {
    /// A host without stores.
    struct Bare;
    impl Hosted for Bare {
        fn place(&self) -> Place<'_> {
            Place { partition: 0, step: "bare", stores: Vec::new() }
        }
        fn store(&self, _: &str) -> Option<u32> {
            None
        }
        fn get(&mut self, _: u32, _: &BytesColumn) -> Result<BytesColumn, Stop> {
            Err(Stop::Ended)
        }
        fn put(&mut self, _: u32, _: &BytesColumn, _: &BytesColumn) -> Result<(), Stop> {
            Err(Stop::Ended)
        }
        fn range(&mut self, _: u32, _: &[u8], _: &[u8], _: u32) -> Result<(BytesColumn, BytesColumn), Stop> {
            Err(Stop::Ended)
        }
        fn set(&mut self, _: TimerClock, _: &BytesColumn, _: &str, _: &[Timestamp]) -> Result<(), Stop> {
            Err(Stop::Ended)
        }
        fn cancel(&mut self, _: TimerClock, _: &BytesColumn, _: &str) -> Result<(), Stop> {
            Err(Stop::Ended)
        }
    }
    worker(|| {
        for mut alarm in alarms() {
            let records = batch(&[(Some("a"), "x", 1_000)]);
            let answer = alarm.functions.process(alarm.prepared, Context::default(), records.records(), &mut Bare);
            let told =
                matches!(&answer, Err(Fault::Trap { message }) if message.contains("the step has no store `last`"));
            assert!(told, "{answer:?}");
        }
    });
}

#[test]
fn a_step_that_needs_a_processor_says_so() {
    let registry = registry();
    let refused = registry.prepare(&udf("only-ip"), None, &[], &Limits::default(), &[Interface::Processor]);
    assert_eq!(reasons(refused), "a step needs a `processor`; the function is: filter");
    let info = registry.inspect(&udf("alarm"));
    assert_eq!((info.kinds, info.reasons), (vec!["processor".to_string(), "on-timer".into()], vec![]));
}
