//! The core's port to functions, for one worker thread: which instance answers, and when it is replaced. How a call goes
//! is `instance`'s matter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_core::flow::DERIVED;
use millstream_core::function::{
    Answer, Context, Fault, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records,
    Rejection, Routed, Scanned, TimerClock,
};
use millstream_core::poll::{Origins, Polled};
use millstream_core::record::BytesColumn;
use millstream_core::task::TaskId;
use wasmtime::Store;

use crate::bindings::{Exports, Migration};
use crate::desk::lend;
use crate::fault::{CallError, Returned};
use crate::instance::Live;
use crate::log::Place;
use crate::registry::{Entry, Registry};
use crate::store::Data;

/// The functions of one worker thread: an instance for each prepared version, kept from call to call, and replaced with
/// its store after any fault. Its thread needs a stack of [`crate::WORKER_STACK_BYTES`].
pub struct WorkerFunctions {
    registry: Arc<Registry>,
    slots: Vec<Slot>,
    /// Changes that were seen.
    changes: u64,
    /// What the calls are about: the task's records that were read last.
    reads: Option<(TaskId, Origins)>,
}

/// Of calls that are about no records that were read: about keys, states, timers.
const NO_RECORDS: Context<'static> = Context {
    headers: None,
    stream_times: &[],
    windows: None,
    inputs: None,
    rows: Some(&[]),
    takes: None,
    closing: &[],
};

#[derive(Default)]
struct Slot {
    entry: Option<Arc<Entry>>,
    live: Option<Live>,
    /// Multiplies the time of the next call.
    stretch: u32,
}

impl std::fmt::Debug for WorkerFunctions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let live = self.slots.iter().filter(|s| s.live.is_some()).count();
        f.debug_struct("WorkerFunctions").field("instances", &live).finish_non_exhaustive()
    }
}

impl WorkerFunctions {
    /// No instance yet; each is made at its first call.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, slots: Vec::new(), changes: 0, reads: None }
    }

    fn call<T>(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        records: usize,
        ask: impl FnOnce(&dyn Exports, &mut Store<Data>) -> Returned<T>,
    ) -> Answer<T> {
        self.let_go();
        let place = self.place(&context, records);
        let registry = &self.registry;
        let slot = slot(&mut self.slots, function);
        let entry = match &slot.entry {
            Some(entry) => entry,
            None => {
                let unknown = || Fault::Unavailable { message: format!("there is no prepared version {}", function.0) };
                slot.entry.insert(registry.entry(function).ok_or_else(unknown)?)
            }
        };
        let stretch = std::mem::take(&mut slot.stretch).max(1);
        let live = match &mut slot.live {
            Some(live) => live,
            None => match entry.mould.make(&registry.engine, &entry.shared) {
                Ok(live) => slot.live.insert(live),
                Err(fault) => {
                    entry.shared.counters.call(records, 0, Some(&fault));
                    return Err(fault);
                }
            },
        };
        let answer = live.call(&context, place, records, stretch, ask);
        if answer.is_err() {
            slot.live = None;
        }
        answer
    }

    /// The first and the last of the records that a call is about, as far as they were read and not made.
    fn place(&self, context: &Context<'_>, records: usize) -> Option<Place> {
        let (task, origins) = self.reads.as_ref()?;
        let (first, last) = match context.rows {
            None => (0, records.checked_sub(1)?),
            Some(rows) => ((rows.first()? & !DERIVED) as usize, (rows.last()? & !DERIVED) as usize),
        };
        Some(Place { task: *task, first: origins.of(first)?, last: origins.of(last)? })
    }

    /// Drops instances of released versions, and of those that have another time now.
    fn let_go(&mut self) {
        let changes = self.registry.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            for slot in &mut self.slots {
                let released = slot.entry.as_ref().is_some_and(|e| e.released.load(Ordering::Relaxed));
                if released || slot.live.as_ref().is_some_and(Live::is_told_another_time) {
                    slot.live = None;
                }
            }
        }
    }

    fn of<T>(&self, function: Prepared, get: impl FnOnce(&Entry) -> T, default: T) -> T {
        match self.slots.get(function.0 as usize).and_then(|s| s.entry.as_ref()) {
            Some(entry) => get(entry),
            None => self.registry.entry(function).map_or(default, |entry| get(&entry)),
        }
    }

    fn limit(&self, function: Prepared) -> usize {
        self.of(function, |e| e.shared.limits.results_per_record as usize, 0)
    }
}

fn slot(slots: &mut Vec<Slot>, function: Prepared) -> &mut Slot {
    let at = function.0 as usize;
    if slots.len() <= at {
        slots.resize_with(at + 1, Slot::default);
    }
    &mut slots[at]
}

/// A function may not turn few records into very many.
fn few(output: Output, records: usize, limit: usize) -> Returned<Output> {
    let results = output.sources.as_ref().map_or(0, Vec::len);
    if results > records.saturating_mul(limit) {
        let what = format!("it gives {results} results for {records} records; the limit is {limit} for each");
        return Err(CallError::Bad(what));
    }
    Ok(output)
}

/// Nor reject more of them than there are: each rejection becomes a record of its own.
fn once(store: &Store<Data>, rejected: &[Rejection], records: usize) -> Returned<()> {
    if rejected.len() > records {
        return Err(CallError::Bad(format!("it rejects {} of {records} records", rejected.len())));
    }
    if !rejected.is_empty() {
        store.data().shared.counters.rejected(rejected.len());
    }
    Ok(())
}

/// An item for each that was given.
fn as_many(what: &str, items: &BytesColumn, count: usize) -> Returned<()> {
    if items.len() != count {
        return Err(CallError::Bad(format!("it gives {} {what} for {count}", items.len())));
    }
    Ok(())
}

/// What was never stored cannot change its layout, and what was is still there.
fn null_stays(migrated: &BytesColumn, states: &BytesColumn) -> Returned<()> {
    let changed = (0..states.len()).find(|&i| migrated.get(i).is_some() != states.get(i).is_some());
    match changed {
        Some(at) if states.get(at).is_some() => Err(CallError::Bad(format!("it makes state {at} null"))),
        Some(at) => Err(CallError::Bad(format!("it makes a state of null {at}"))),
        None => Ok(()),
    }
}

impl Functions for WorkerFunctions {
    fn reads(&mut self, task: TaskId, polled: &Polled) {
        self.reads = Some((task, polled.origins()));
    }

    fn wants_stream_times(&self, function: Prepared) -> bool {
        self.of(function, |e| e.shared.reads.stream_times, false)
    }

    fn exports(&self, function: Prepared, interface: Interface) -> bool {
        self.of(function, |e| e.interfaces.contains(&interface), false)
    }

    fn layout(&self, function: Prepared) -> u32 {
        self.of(function, |e| e.layouts.current, 0)
    }

    fn migrator(&self, function: Prepared, stored: u32) -> Option<Prepared> {
        let own = |e: &Entry| e.layouts.reads.contains(&stored).then_some(function);
        self.of(function, |e| own(e).or_else(|| e.ways_back().get(&stored).copied()), None)
    }

    fn migrates(&self, function: Prepared) -> bool {
        self.of(function, |e| e.interfaces.contains(&Interface::Migrator) || !e.ways_back().is_empty(), false)
    }

    fn renew(&mut self, function: Prepared) {
        slot(&mut self.slots, function).live = None;
    }

    fn stretch(&mut self, function: Prepared, factor: u32) {
        slot(&mut self.slots, function).stretch = factor;
    }

    fn stretched(&self, function: Prepared) -> u32 {
        self.slots.get(function.0 as usize).map_or(1, |slot| slot.stretch.max(1))
    }

    fn keep(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let count = records.timestamps.len();
        self.call(function, context, count, |exports, store| {
            let kept = exports.keep(store, records)?;
            once(store, &kept.rejected, count).map(|()| kept)
        })
    }

    fn apply(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let (count, limit) = (records.timestamps.len(), self.limit(function));
        self.call(function, context, count, |exports, store| {
            let output = few(exports.apply(store, records)?, count, limit)?;
            once(store, &output.rejected, count).map(|()| output)
        })
    }

    fn route(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        let count = records.timestamps.len();
        self.call(function, context, count, |exports, store| {
            let routed = exports.route(store, records)?;
            as_many("topics", &routed.topics, count)?;
            once(store, &routed.rejected, count).map(|()| routed)
        })
    }

    fn add(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let count = into.members.len();
        self.call(function, context, count, |exports, store| {
            let folded = exports.add(store, into, records)?;
            once(store, &folded.rejected, count).map(|()| folded)
        })
    }

    fn finish(&mut self, function: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        self.call(function, NO_RECORDS, of.keys.len(), |exports, store| exports.finish(store, of))
    }

    fn remove(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        from: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let count = from.members.len();
        self.call(function, context, count, |exports, store| {
            let folded = exports.remove(store, from, records)?;
            once(store, &folded.rejected, count).map(|()| folded)
        })
    }

    fn scan(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Scanned> {
        let count = into.members.len();
        self.call(function, context, count, |exports, store| {
            let scanned = exports.scan(store, into, records)?;
            once(store, &scanned.rejected, count).map(|()| scanned)
        })
    }

    fn merge(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<BytesColumn> {
        let count = keys.len();
        self.call(function, NO_RECORDS, count, |exports, store| {
            let merged = exports.merge(store, [keys, left, right])?;
            as_many("states", &merged, count).map(|()| merged)
        })
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
        let of = Migration { store, old, new, keys, states };
        let count = keys.len();
        self.call(function, NO_RECORDS, count, |exports, store| {
            let migrated = exports.migrate(store, of)?;
            as_many("states", &migrated, count)?;
            null_stays(&migrated, states).map(|()| migrated)
        })
    }

    fn join(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<Joined> {
        let count = keys.len();
        self.call(function, NO_RECORDS, count, |exports, store| {
            let joined = exports.join(store, [keys, left, right])?;
            as_many("values", &joined.values, count)?;
            once(store, &joined.rejected, count).map(|()| joined)
        })
    }

    fn process(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let (count, limit) = (records.timestamps.len(), self.limit(function));
        self.call(function, context, count, |exports, store| {
            let output = lend(store, host, |store| exports.process(store, records))?;
            once(store, &output.rejected, count)?;
            few(output, count, limit)
        })
    }

    fn fire(
        &mut self,
        function: Prepared,
        clock: TimerClock,
        due: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let (count, limit) = (due.timestamps.len(), self.limit(function));
        let context = Context { stream_times: due.timestamps, ..NO_RECORDS };
        self.call(function, context, count, |exports, store| {
            let output = lend(store, host, |store| exports.fire(store, clock, due))?;
            once(store, &output.rejected, count)?;
            few(output, count, limit)
        })
    }
}
