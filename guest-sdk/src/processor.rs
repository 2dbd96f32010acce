//! Processors: a record at a time, with stores and timers. What a function writes in a call is held here and goes to the host at once,
//! behind the last record; what it writes for a record that it refuses never goes.

use std::collections::BTreeMap;

use crate::mapper::{Mapped, Output, RESULT_BYTES_MAX};
use crate::{Batch, OutputColumns, Record, Reject, Rejection};

/// What time a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// The step's stream time; behind a repartition topic the smallest of its upstream tasks'.
    EventTime,
    /// The host's wall clock.
    WallClock,
}

/// Handles records with stores and timers. Any `fn(&Record, &mut Output, &mut Call)`, with or without `-> Result<(), Reject>`, is one.
pub trait Processor {
    /// Handles `record`: reads and writes stores, sets timers, writes results into `out`. On an error nothing of it counts.
    fn process(&self, record: &Record<'_>, out: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject>;
}

impl<F, R> Processor for F
where
    F: for<'a, 'b, 'c, 'd, 'e, 'f> Fn(&'a Record<'b>, &'c mut Output<'d>, &'e mut Call<'f>) -> R,
    R: Mapped,
{
    #[inline]
    fn process(&self, record: &Record<'_>, out: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject> {
        self(record, out, call).mapped()
    }
}

/// A timer that is due.
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    /// Which clock it goes by.
    pub clock: Clock,
    /// `None`: it is the task's.
    pub key: Option<&'a [u8]>,
    /// Its name.
    pub name: &'a str,
    /// The time for which it was set, milliseconds since 1970-01-01T00:00:00Z.
    pub due: i64,
}

/// Handles timers that are due. Any `fn(&Timer, &mut Output, &mut Call)`, with or without `-> Result<(), Reject>`, is one. Results have the
/// timer's key and its due time unless they are given others.
pub trait OnTimer {
    /// Handles `timer`, which is gone unless it is set again. On an error nothing of it counts.
    fn fire(&self, timer: &Timer<'_>, out: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject>;
}

impl<F, R> OnTimer for F
where
    F: for<'a, 'b, 'c, 'd, 'e, 'f> Fn(&'a Timer<'b>, &'c mut Output<'d>, &'e mut Call<'f>) -> R,
    R: Mapped,
{
    #[inline]
    fn fire(&self, timer: &Timer<'_>, out: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject> {
        self(timer, out, call).mapped()
    }
}

/// An entry as this call sees it.
#[derive(Clone, Debug)]
struct Held {
    value: Option<Vec<u8>>,
    written: bool,
}

type Entries = BTreeMap<Vec<u8>, Held>;

/// A change of a timer; without a time it is cancelled.
#[derive(Clone, Debug)]
struct Change {
    clock: Clock,
    name: String,
    key: Option<Vec<u8>>,
    due: Option<i64>,
}

/// The stores and timers of a call.
pub struct Call<'c> {
    host: Host<'c>,
    /// By name.
    stores: Vec<(String, Entries)>,
    /// What was there before each write for the record at hand: store, key, entry.
    undo: Vec<(usize, Vec<u8>, Option<Held>)>,
    timers: Vec<Change>,
    /// How changes of timers go to the host; none where the function has none, so that it does not import them.
    send: Option<fn(&mut Host<'_>, &[Change])>,
    /// The earliest event time for which a timer was set.
    earliest: Option<i64>,
}

/// A store of a step, by the name that the manifest gives it.
pub struct Store<'s, 'c> {
    call: &'s mut Call<'c>,
    at: usize,
}

/// The timers of a step. There is one for each clock, key and name: setting it again moves it.
pub struct Timers<'s, 'c> {
    call: &'s mut Call<'c>,
}

impl<'c> Call<'c> {
    fn new(host: Host<'c>) -> Self {
        Self { host, stores: Vec::new(), undo: Vec::new(), timers: Vec::new(), send: None, earliest: None }
    }

    /// A store.
    pub fn store(&mut self, name: &str) -> Store<'_, 'c> {
        let at = self.stores.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.stores.push((name.to_owned(), Entries::new()));
            self.stores.len() - 1
        });
        Store { call: self, at }
    }

    /// The timers.
    pub fn timers(&mut self) -> Timers<'_, 'c> {
        Timers { call: self }
    }

    /// The record at hand is refused: what was written for it is forgotten.
    fn forget(&mut self, timers: usize, earliest: Option<i64>) {
        for (at, key, before) in self.undo.drain(..).rev() {
            let entries = &mut self.stores[at].1;
            match before {
                Some(before) => drop(entries.insert(key, before)),
                None => drop(entries.remove(&key)),
            }
        }
        self.timers.truncate(timers);
        self.earliest = earliest;
    }

    /// Hands what was written over.
    fn flush(&mut self) {
        for (name, entries) in &mut self.stores {
            let written: Vec<_> = entries.iter().filter(|(_, held)| held.written).collect();
            if !written.is_empty() {
                self.host.put(
                    name,
                    &written.iter().map(|(key, held)| (&key[..], held.value.as_deref())).collect::<Vec<_>>(),
                );
            }
            entries.values_mut().for_each(|held| held.written = false);
        }
        if let Some(send) = self.send {
            send(&mut self.host, &std::mem::take(&mut self.timers));
        }
    }
}

impl Store<'_, '_> {
    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let Call { host, stores, .. } = &mut *self.call;
        let (name, entries) = &mut stores[self.at];
        if !entries.contains_key(key) {
            entries.insert(key.to_vec(), Held { value: host.get(name, key), written: false });
        }
        entries.get(key).and_then(|held| held.value.as_deref())
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.write(key, Some(value));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) {
        self.write(key, None);
    }

    fn write(&mut self, key: &[u8], value: Option<&[u8]>) {
        let held = Held { value: value.map(<[u8]>::to_vec), written: true };
        let before = self.call.stores[self.at].1.insert(key.to_vec(), held);
        self.call.undo.push((self.at, key.to_vec(), before));
    }

    /// Keys and values with `start` <= key < `end` in key order, at most `limit` of them; an empty `end` is no bound.
    pub fn range(&mut self, start: &[u8], end: &[u8], limit: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        // The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
        // forgets the call and asks again without it.
        self.call.flush();
        self.call.host.range(&self.call.stores[self.at].0, start, end, limit)
    }
}

impl Timers<'_, '_> {
    /// Sets a timer, or moves it. `key` none: it is the task's.
    pub fn set(&mut self, clock: Clock, key: Option<&[u8]>, name: &str, due: i64) {
        if clock == Clock::EventTime {
            self.call.earliest = Some(self.call.earliest.map_or(due, |earliest| earliest.min(due)));
        }
        self.change(clock, key, name, Some(due));
    }

    /// Cancels a timer, where there is one.
    pub fn cancel(&mut self, clock: Clock, key: Option<&[u8]>, name: &str) {
        self.change(clock, key, name, None);
    }

    fn change(&mut self, clock: Clock, key: Option<&[u8]>, name: &str, due: Option<i64>) {
        self.call.send = Some(send);
        self.call.timers.push(Change { clock, name: name.to_owned(), key: key.map(<[u8]>::to_vec), due });
    }
}

/// Changes of timers in their order; those that follow each other and are alike go together.
fn send(host: &mut Host<'_>, changes: &[Change]) {
    let alike = |a: &Change, b: &Change| a.clock == b.clock && a.name == b.name && a.due.is_some() == b.due.is_some();
    for run in changes.chunk_by(alike) {
        let keys: Vec<Option<&[u8]>> = run.iter().map(|change| change.key.as_deref()).collect();
        let due: Option<Vec<i64>> = run.iter().map(|change| change.due).collect();
        host.time(run[0].clock, &run[0].name, &keys, due.as_deref());
    }
}

/// Handles records until they are all dealt with, a timer that was set is due before the next one, or the result is
/// [`RESULT_BYTES_MAX`] bytes.
pub fn process<P: Processor + ?Sized>(processor: &P, records: &Batch, host: Host<'_>) -> OutputColumns {
    let mut call = Call::new(host);
    let mut newest = i64::MIN;
    let output = run(records, false, &mut call, |at, out, call| {
        // A timer that is due before this record has to fire before it.
        let next = newest.max(records.timestamps[at]);
        if at > 0 && call.earliest.is_some_and(|due| due <= next) {
            return None;
        }
        newest = next;
        Some(processor.process(&records.record(at), out, call))
    });
    call.flush();
    output
}

/// Handles timers; `due` has their keys, their names as values, their times.
pub fn fire<T: OnTimer + ?Sized>(on_timer: &T, clock: Clock, due: &Batch, host: Host<'_>) -> OutputColumns {
    let mut call = Call::new(host);
    let output = run(due, true, &mut call, |at, out, call| {
        let name = std::str::from_utf8(due.values.get(at).unwrap_or_default()).expect("names of timers are text");
        let timer = Timer { clock, key: due.keys.get(at), name, due: due.timestamps[at] };
        Some(on_timer.fire(&timer, out, call))
    });
    call.flush();
    output
}

/// `each` handles one, or says that those from there on are for the next call. `values`: they are given in any case.
fn run(
    records: &Batch,
    values: bool,
    call: &mut Call<'_>,
    mut each: impl FnMut(usize, &mut Output<'_>, &mut Call<'_>) -> Option<Result<(), Reject>>,
) -> OutputColumns {
    let mut out = Output::new(records);
    if values {
        out.give_values();
    }
    let (mut rejected, mut taken) = (Vec::new(), 0);
    while taken < records.len() && out.bytes() < RESULT_BYTES_MAX {
        let (results, timers, earliest) = (out.begin(taken), call.timers.len(), call.earliest);
        match each(taken, &mut out, call) {
            None => break,
            Some(Ok(())) => call.undo.clear(),
            Some(Err(reject)) => {
                out.truncate(results);
                call.forget(timers, earliest);
                rejected.push(Rejection { index: taken as u32, reason: reject.into_reason() });
            }
        }
        taken += 1;
    }
    out.into_columns(taken, rejected)
}

/// The host of a call: in WebAssembly the one that calls, natively one for tests.
#[cfg(target_arch = "wasm32")]
pub struct Host<'c>(std::marker::PhantomData<&'c mut ()>);

#[cfg(target_arch = "wasm32")]
mod imported {
    use std::cell::RefCell;

    use super::{Clock, Host};
    use crate::BytesColumn;
    use crate::bindings::stores::millstream::udf::state::{Entries, Store};
    use crate::bindings::{timers::millstream::udf::timers, types};

    thread_local! {
        /// Stores that were opened, for as long as the instance lives.
        static OPEN: RefCell<Vec<(String, Store)>> = const { RefCell::new(Vec::new()) };
    }

    fn with<T>(name: &str, ask: impl FnOnce(&Store) -> T) -> T {
        OPEN.with_borrow_mut(|open| {
            let at = open.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                let store = Store::open(name).unwrap_or_else(|why| panic!("{why}"));
                open.push((name.to_owned(), store));
                open.len() - 1
            });
            ask(&open[at].1)
        })
    }

    fn column<'a>(items: impl IntoIterator<Item = Option<&'a [u8]>>) -> types::BytesColumn {
        items.into_iter().collect::<BytesColumn>().into()
    }

    impl Host<'_> {
        /// The one that calls.
        pub fn calling() -> Self {
            Self(std::marker::PhantomData)
        }

        pub(super) fn get(&mut self, store: &str, key: &[u8]) -> Option<Vec<u8>> {
            let values: BytesColumn = with(store, |store| store.get(&column([Some(key)]))).into();
            values.get(0).map(<[u8]>::to_vec)
        }

        pub(super) fn put(&mut self, store: &str, entries: &[(&[u8], Option<&[u8]>)]) {
            let keys = column(entries.iter().map(|(key, _)| Some(*key)));
            let values = column(entries.iter().map(|(_, value)| *value));
            with(store, |store| store.put(&Entries { keys, values }));
        }

        pub(super) fn range(&mut self, store: &str, start: &[u8], end: &[u8], limit: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
            let Entries { keys, values } = with(store, |store| store.range(start, end, limit));
            let (keys, values): (BytesColumn, BytesColumn) = (keys.into(), values.into());
            let own = |item: Option<&[u8]>| item.unwrap_or_default().to_vec();
            keys.iter().map(own).zip(values.iter().map(own)).collect()
        }

        pub(super) fn time(&mut self, clock: Clock, name: &str, keys: &[Option<&[u8]>], due: Option<&[i64]>) {
            let clock = match clock {
                Clock::EventTime => types::Clock::EventTime,
                Clock::WallClock => types::Clock::WallClock,
            };
            let keys = column(keys.iter().copied());
            match due {
                Some(due) => timers::set(clock, &keys, name, due),
                None => timers::cancel(clock, &keys, name),
            }
        }
    }
}

/// The host of a call: in WebAssembly the one that calls, natively one for tests.
#[cfg(not(target_arch = "wasm32"))]
pub struct Host<'c>(&'c mut TestHost);

/// Stores and timers for tests of processors: they are there when the test asks, and nothing fires by itself.
///
/// ```
/// use millstream_sdk::{Call, Clock, Output, Record, TestHost, process};
///
/// /// Sets a timer for each record, ten seconds later.
/// fn later(record: &Record, _: &mut Output, call: &mut Call) {
///     call.timers().set(Clock::EventTime, record.key, "later", record.timestamp + 10_000);
/// }
///
/// let mut host = TestHost::default();
/// process(&later, &[Record { timestamp: 5, ..Record::of(b"x") }].into_iter().collect(), host.lend());
/// assert_eq!(host.timers[&(Clock::EventTime, None, "later".into())], 10_005);
/// ```
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestHost {
    /// By store, entries.
    pub stores: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// By clock, key and name, due times.
    pub timers: BTreeMap<(Clock, Option<Vec<u8>>, String), i64>,
    /// Questions asked of it: what a function costs besides its own work.
    pub asked: usize,
}

#[cfg(not(target_arch = "wasm32"))]
impl TestHost {
    /// For one call.
    pub fn lend(&mut self) -> Host<'_> {
        Host(self)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Host<'_> {
    fn get(&mut self, store: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.0.asked += 1;
        self.0.stores.get(store)?.get(key).cloned()
    }

    fn put(&mut self, store: &str, entries: &[(&[u8], Option<&[u8]>)]) {
        self.0.asked += 1;
        let held = self.0.stores.entry(store.to_owned()).or_default();
        for (key, value) in entries {
            match value {
                Some(value) => drop(held.insert(key.to_vec(), value.to_vec())),
                None => drop(held.remove(*key)),
            }
        }
    }

    fn range(&mut self, store: &str, start: &[u8], end: &[u8], limit: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.asked += 1;
        let inside = |key: &[u8]| key >= start && (end.is_empty() || key < end);
        let entries = self.0.stores.get(store).into_iter().flatten().filter(|(key, _)| inside(key));
        entries.take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn time(&mut self, clock: Clock, name: &str, keys: &[Option<&[u8]>], due: Option<&[i64]>) {
        self.0.asked += 1;
        for (i, key) in keys.iter().enumerate() {
            let id = (clock, key.map(<[u8]>::to_vec), name.to_owned());
            match due {
                Some(due) => drop(self.0.timers.insert(id, due[i])),
                None => drop(self.0.timers.remove(&id)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(items: &[(&str, &str, i64)]) -> Batch {
        let record = |(key, value, timestamp): &(&'static str, &'static str, i64)| Record {
            key: Some(key.as_bytes()),
            timestamp: *timestamp,
            ..Record::of(value.as_bytes())
        };
        // Leaked: a test's few bytes.
        let items: Vec<(&'static str, &'static str, i64)> =
            items.iter().map(|(k, v, t)| (&*k.to_string().leak(), &*v.to_string().leak(), *t)).collect();
        items.iter().map(record).collect()
    }

    /// Counts by key, with a timer five later; `no` is refused behind everything else.
    fn count(record: &Record, out: &mut Output, call: &mut Call) -> Result<(), Reject> {
        let key = record.key.unwrap_or_default();
        let count = call.store("counts").get(key).map_or(0, |bytes| bytes[0]) + 1;
        call.store("counts").put(key, &[count]);
        call.timers().set(Clock::EventTime, record.key, "end", record.timestamp + 5);
        out.emit_value(Some(&[count]));
        if record.value == Some(b"no") { Err(Reject::new("no")) } else { Ok(()) }
    }

    #[test]
    fn records_see_what_those_before_wrote_and_nothing_of_those_refused() {
        let mut host = TestHost::default();
        let given = records(&[("a", "x", 1), ("b", "x", 2), ("a", "no", 3), ("c", "no", 3), ("a", "x", 3)]);
        let output = process(&count, &given, host.lend());
        assert_eq!((output.taken, output.sources), (5, Some(vec![0, 1, 4])));
        assert_eq!(output.values, Some([Some(&[1][..]), Some(&[1]), Some(&[2])].into_iter().collect()));
        assert_eq!(output.rejected.iter().map(|r| r.index).collect::<Vec<_>>(), [2, 3]);
        let want: BTreeMap<Vec<u8>, Vec<u8>> = [(b"a".to_vec(), vec![2]), (b"b".to_vec(), vec![1])].into();
        assert_eq!(host.stores["counts"], want);
        assert_eq!(host.timers.values().copied().collect::<Vec<_>>(), [8, 7]);
        assert_eq!(host.asked, 3 + 1 + 1, "a question for each key, one put, one for the timers");
    }

    #[test]
    fn a_call_stops_before_the_record_at_which_its_timer_is_due() {
        let stops = |times: &[i64]| {
            let given: Vec<_> = times.iter().map(|t| ("a", "x", *t)).collect();
            process(&count, &records(&given), TestHost::default().lend()).taken
        };
        assert_eq!((stops(&[1, 5, 9]), stops(&[1, 6, 9]), stops(&[1, 3, 5, 2])), (2, 1, 4));
        assert_eq!(stops(&[9, 1, 2]), 2, "the second sets one for a time that has passed");
    }

    /// Lists a store, and writes before and after.
    fn list(record: &Record, out: &mut Output, call: &mut Call) {
        let mut store = call.store("s");
        store.put(record.value_or_empty(), b"1");
        let found = store.range(b"b", b"", 2);
        store.remove(b"b");
        out.emit_value(Some(&found.into_iter().flat_map(|(key, _)| key).collect::<Vec<u8>>()));
    }

    #[test]
    fn a_range_has_what_was_written_so_far() {
        let mut host = TestHost::default();
        let given = records(&[("", "c", 1), ("", "a", 1), ("", "b", 1), ("", "d", 1)]);
        let output = process(&list, &given, host.lend());
        let values: Vec<_> = output.values.as_ref().unwrap().iter().map(|v| v.unwrap().to_vec()).collect();
        assert_eq!(values, [&b"c"[..], b"c", b"bc", b"cd"]);
        assert_eq!(host.stores["s"].keys().map(|k| k[0]).collect::<Vec<_>>(), b"acd");
    }

    /// Tells what it is told, and starts over; `bad` is refused.
    fn ring(timer: &Timer, out: &mut Output, call: &mut Call) -> Result<(), Reject> {
        call.timers().cancel(timer.clock, None, "other");
        call.timers().set(timer.clock, timer.key, timer.name, timer.due + 1);
        if timer.name == "bad" {
            return Err(Reject::new("bad"));
        }
        out.emit_same();
        Ok(())
    }

    #[test]
    fn timers_are_told_and_their_results_have_values() {
        let mut host = TestHost::default();
        host.timers.insert((Clock::WallClock, None, "other".into()), 1);
        let due = records(&[("a", "one", 7), ("b", "bad", 7), ("b", "two", 7)]);
        let output = fire(&ring, Clock::WallClock, &due, host.lend());
        assert_eq!((output.taken, output.sources, output.keys), (3, Some(vec![0, 2]), None));
        assert_eq!(output.values, Some([Some(&b"one"[..]), Some(b"two")].into_iter().collect()));
        let set: Vec<_> = host.timers.keys().map(|(_, key, name)| (key.clone().unwrap(), &name[..])).collect();
        assert_eq!(set, [(b"a".to_vec(), "one"), (b"b".to_vec(), "two")]);
    }
}
