//! What stands between the replayed pipeline and its functions: every call goes through as it came, and those of one function are
//! written down. The conversions are `items`.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use millstream_core::function::{
    Answer, Context, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records, Routed,
    Scanned, TimerClock,
};
use millstream_core::poll::Polled;
use millstream_core::record::BytesColumn;
use millstream_core::task::TaskId;
use millstream_web::types::inside::{Call, Item};

use super::{CALLS_MAX, items, lock};

/// See the module.
pub(super) struct Recorder<F> {
    inner: F,
    watched: Prepared,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl<F: Functions> Recorder<F> {
    /// Around these functions; calls of `watched` go to `calls`.
    pub fn new(inner: F, watched: Prepared, calls: &Arc<Mutex<Vec<Call>>>) -> Self {
        Self { inner, watched, calls: calls.clone() }
    }

    /// Makes a call, and writes it down where it is one of the function that is watched.
    fn call<T>(
        &mut self,
        function: Prepared,
        name: &str,
        given: impl FnOnce() -> Vec<Item>,
        call: impl FnOnce(&mut F) -> Answer<T>,
        told: impl FnOnce(&T) -> Vec<Item>,
    ) -> Answer<T> {
        if function != self.watched {
            return call(&mut self.inner);
        }
        let given = given();
        let began = Instant::now();
        let answer = call(&mut self.inner);
        let microseconds = began.elapsed().as_nanos() as f64 / 1e3;
        let (answered, fault) = match &answer {
            Ok(answer) => (told(answer), None),
            Err(fault) => (Vec::new(), Some(fault.to_string())),
        };
        let mut calls = lock(&self.calls);
        if calls.len() < CALLS_MAX {
            calls.push(Call { name: name.into(), microseconds, given, answer: answered, fault });
        }
        drop(calls);
        answer
    }
}

/// Groups, and the records that fall into them.
fn folded(groups: Groups<'_>, context: Context<'_>, records: Records<'_>) -> Vec<Item> {
    let mut given = items::groups("group", groups, groups.states);
    given.extend(items::records(records, context.headers));
    given
}

/// The key of the record that a member of a group is.
fn member<'a>(groups: Groups<'a>, records: Records<'a>) -> impl Fn(usize) -> Option<millstream_web::types::Bytes> + 'a {
    let key = items::key_of(records);
    move |place| key(*groups.members.get(place)? as usize)
}

impl<F: Functions> Functions for Recorder<F> {
    fn reads(&mut self, task: TaskId, polled: &Polled) {
        self.inner.reads(task, polled);
    }

    fn wants_stream_times(&self, function: Prepared) -> bool {
        self.inner.wants_stream_times(function)
    }

    fn exports(&self, function: Prepared, interface: Interface) -> bool {
        self.inner.exports(function, interface)
    }

    fn layout(&self, function: Prepared) -> u32 {
        self.inner.layout(function)
    }

    fn migrator(&self, function: Prepared, stored: u32) -> Option<Prepared> {
        self.inner.migrator(function, stored)
    }

    fn migrates(&self, function: Prepared) -> bool {
        self.inner.migrates(function)
    }

    fn renew(&mut self, function: Prepared) {
        self.inner.renew(function);
    }

    fn stretch(&mut self, function: Prepared, factor: u32) {
        self.inner.stretch(function, factor);
    }

    fn stretched(&self, function: Prepared) -> u32 {
        self.inner.stretched(function)
    }

    fn keep(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let told = |kept: &Kept| {
            let mut out = items::records(records, None);
            for (i, item) in out.iter_mut().enumerate() {
                item.what = if kept.bits[i / 8] >> (i % 8) & 1 == 1 { "kept" } else { "dropped" }.into();
            }
            out.extend(items::rejected(&kept.rejected, items::key_of(records)));
            out
        };
        let given = || items::records(records, context.headers);
        self.call(function, "filter.keep", given, |inner| inner.keep(function, context, records), told)
    }

    fn apply(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let told = |output: &Output| {
            let mut out = items::results(records, context.headers, output);
            out.extend(items::rejected(&output.rejected, items::key_of(records)));
            out
        };
        let given = || items::records(records, context.headers);
        self.call(function, "mapper.apply", given, |inner| inner.apply(function, context, records), told)
    }

    fn route(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        let told = |routed: &Routed| {
            let mut out = items::keyed("topic", records.keys, &routed.topics, None);
            let partitions = routed.partitions.iter().flatten();
            out.iter_mut().zip(partitions).for_each(|(item, partition)| item.output = Some(*partition));
            out.extend(items::rejected(&routed.rejected, items::key_of(records)));
            out
        };
        let given = || items::records(records, context.headers);
        self.call(function, "router.route", given, |inner| inner.route(function, context, records), told)
    }

    fn add(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let told = |folded: &Folded| {
            let mut out = items::groups("state", into, &folded.states);
            out.extend(items::rejected(&folded.rejected, member(into, records)));
            out
        };
        let given = || folded(into, context, records);
        self.call(function, "aggregator.add", given, |inner| inner.add(function, context, into, records), told)
    }

    fn finish(&mut self, function: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        let given = || items::groups("group", of, of.states);
        let told = |values: &BytesColumn| items::groups("result", of, values);
        self.call(function, "aggregator.finish", given, |inner| inner.finish(function, of), told)
    }

    fn remove(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        from: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let told = |folded: &Folded| {
            let mut out = items::groups("state", from, &folded.states);
            out.extend(items::rejected(&folded.rejected, member(from, records)));
            out
        };
        let given = || folded(from, context, records);
        self.call(function, "retractor.remove", given, |inner| inner.remove(function, context, from, records), told)
    }

    fn scan(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Scanned> {
        let told = |scanned: &Scanned| {
            let mut out = items::groups("state", into, &scanned.states);
            let keys: BytesColumn = into.members.iter().map(|row| records.keys.get(*row as usize)).collect();
            out.extend(items::keyed("result", &keys, &scanned.values, None));
            out.extend(items::rejected(&scanned.rejected, member(into, records)));
            out
        };
        let given = || folded(into, context, records);
        self.call(function, "scanner.scan", given, |inner| inner.scan(function, context, into, records), told)
    }

    fn merge(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<BytesColumn> {
        let given = || items::keyed("states", keys, left, Some(right));
        let told = |states: &BytesColumn| items::keyed("state", keys, states, None);
        self.call(function, "merger.merge", given, |inner| inner.merge(function, keys, left, right), told)
    }

    fn migrate(
        &mut self,
        function: Prepared,
        store: &str,
        old: u32,
        new: u32,
        keys: &BytesColumn,
        states: &BytesColumn,
    ) -> Answer<BytesColumn> {
        let given = || items::keyed("state", keys, states, None);
        let told = |states: &BytesColumn| items::keyed("state", keys, states, None);
        let call = |inner: &mut F| inner.migrate(function, store, old, new, keys, states);
        self.call(function, "migrator.migrate", given, call, told)
    }

    fn join(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<Joined> {
        let given = || items::keyed("pair", keys, left, Some(right));
        let told = |joined: &Joined| {
            let mut out = items::keyed("result", keys, &joined.values, None);
            let key = |i: usize| (i < keys.len()).then(|| keys.get(i)).flatten();
            let key = |i: usize| key(i).map(|key| millstream_web::types::Bytes(key.to_vec()));
            out.extend(items::rejected(&joined.rejected, key));
            out
        };
        self.call(function, "joiner.join", given, |inner| inner.join(function, keys, left, right), told)
    }

    fn process(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let told = |output: &Output| {
            let mut out = items::results(records, context.headers, output);
            out.extend(items::rejected(&output.rejected, items::key_of(records)));
            out
        };
        let given = || items::records(records, context.headers);
        let call = |inner: &mut F| inner.process(function, context, records, host);
        self.call(function, "processor.process", given, call, told)
    }

    fn fire(
        &mut self,
        function: Prepared,
        clock: TimerClock,
        due: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let told = |output: &Output| items::results(due, None, output);
        let given = || items::records(due, None);
        self.call(function, "on-timer.fire", given, |inner| inner.fire(function, clock, due, host), told)
    }
}
