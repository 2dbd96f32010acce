//! Contract 0.1, generated from its frozen WIT and put behind the common door. Checks that hold for every version are
//! in `convert`.

use millstream_core::function::{
    Folded, Groups, Joined, Kept, Output, Records, Rejection, Routed, Scanned, TimerClock,
};
use millstream_core::record::{BytesColumn, HeaderColumns};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker, Resource};

use self::generated::exports::millstream::udf::{
    aggregator, filter, joiner, lifecycle, mapper, merger, migrator, on_timer, processor, retractor, router, scanner,
};
use self::generated::millstream::udf::{context, log, state, timers, types};
use super::{Binding, Contract, Exports, Layouts, Migration, convert};
use crate::fault::{CallError, Returned};
use crate::inspect::FunctionInfo;
use crate::log::LogLevel;
use crate::store::Data;

#[allow(missing_docs, dead_code, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({
        inline: "package millstream:host-v0-1;
            world functions {
                import millstream:udf/context@0.1.0;
                import millstream:udf/log@0.1.0;
                import millstream:udf/state@0.1.0;
                import millstream:udf/timers@0.1.0;
                export millstream:udf/lifecycle@0.1.0;
                export millstream:udf/filter@0.1.0;
                export millstream:udf/mapper@0.1.0;
                export millstream:udf/router@0.1.0;
                export millstream:udf/aggregator@0.1.0;
                export millstream:udf/retractor@0.1.0;
                export millstream:udf/scanner@0.1.0;
                export millstream:udf/merger@0.1.0;
                export millstream:udf/migrator@0.1.0;
                export millstream:udf/joiner@0.1.0;
                export millstream:udf/processor@0.1.0;
                export millstream:udf/on-timer@0.1.0;
            }",
        path: "../../wit/released/0.1.0",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: {
            "millstream:udf/state": trappable,
            "millstream:udf/timers": trappable,
        },
        with: { "millstream:udf/state.store": super::StoreHandle },
    });
}

/// What stands behind a guest's handle of a store: its number alone is used.
pub struct StoreHandle;

/// Contract 0.1.
pub(super) struct V0_1;

impl Contract for V0_1 {
    fn version(&self) -> &'static str {
        "0.1.0"
    }

    fn link(&self, linker: &mut Linker<Data>) -> wasmtime::Result<()> {
        types::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)?;
        context::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)?;
        log::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)?;
        state::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)?;
        timers::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)
    }

    fn bind(&self, component: &InstancePre<Data>) -> Result<Box<dyn Binding>, Vec<String>> {
        let mut reasons = Vec::new();
        let found = Indices::find(component, &mut reasons);
        if reasons.is_empty() { Ok(Box::new(found)) } else { Err(reasons) }
    }
}

/// The interfaces of the contract that this host calls, each named once.
macro_rules! interfaces {
    ($($interface:ident = $name:literal),* $(,)?) => {
        /// Where a component's exports are; what it does not export is not there.
        struct Indices {
            $($interface: Option<$interface::GuestIndices>,)*
        }

        /// The exports of one instance.
        struct Guest {
            $($interface: Option<$interface::Guest>,)*
        }

        impl Indices {
            fn find(component: &InstancePre<Data>, reasons: &mut Vec<String>) -> Self {
                Self {
                    $($interface: exported(component, concat!("millstream:udf/", $name, "@0.1.0"))
                        .then(|| $interface::GuestIndices::new(component))
                        .and_then(|found| found.map_err(|e| reasons.push(format!("{e:#}"))).ok()),)*
                }
            }
        }

        impl Binding for Indices {
            fn load(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Box<dyn Exports>> {
                Ok(Box::new(Guest {
                    $($interface: self.$interface.as_ref().map(|found| found.load(&mut *store, instance)).transpose()
                        .map_err(|e| e.context(concat!("its `", $name, "` is not as in the contract")))?,)*
                }))
            }
        }
    };
}

interfaces! {
    lifecycle = "lifecycle",
    filter = "filter",
    mapper = "mapper",
    router = "router",
    aggregator = "aggregator",
    retractor = "retractor",
    scanner = "scanner",
    merger = "merger",
    migrator = "migrator",
    joiner = "joiner",
    processor = "processor",
    on_timer = "on-timer",
}

fn exported(component: &InstancePre<Data>, name: &str) -> bool {
    component.component().get_export_index(None, name).is_some()
}

/// An interface that is called; the check made sure that it is there.
fn there<'a, T>(interface: &'a Option<T>, name: &str) -> Returned<&'a T> {
    interface.as_ref().ok_or_else(|| CallError::Bad(format!("it exports no `{name}`")))
}

/// The answer to a call: its value, or the guest's refusal.
fn answer<T>(answer: wasmtime::Result<Result<T, String>>) -> Returned<T> {
    answer?.map_err(CallError::Refused)
}

fn lower(column: &BytesColumn) -> types::BytesColumnParam<'_> {
    types::BytesColumnParam { offsets: column.offsets(), data: column.data(), validity: column.validity() }
}

fn batch(records: Records<'_>) -> types::Batch<'_> {
    types::Batch { keys: lower(records.keys), values: lower(records.values), timestamps: records.timestamps }
}

fn groups(groups: Groups<'_>) -> types::Groups<'_> {
    types::Groups {
        keys: lower(groups.keys),
        starts: groups.starts,
        ends: groups.ends,
        states: lower(groups.states),
        offsets: groups.offsets,
        members: groups.members,
    }
}

fn lift(what: &str, column: types::BytesColumnResult) -> Returned<BytesColumn> {
    convert::column(what, column.offsets, column.data, column.validity)
}

fn rejected(rejected: Vec<types::Rejection>) -> Vec<Rejection> {
    rejected.into_iter().map(|r| convert::rejection(r.index, r.reason)).collect()
}

fn folded(folded: types::Folded) -> Returned<Folded> {
    Ok(Folded { states: lift("states", folded.states)?, rejected: rejected(folded.rejected) })
}

impl Exports for Guest {
    fn functions(&self, store: &mut Store<Data>) -> Returned<Vec<FunctionInfo>> {
        let functions = there(&self.lifecycle, "lifecycle")?.call_functions(store)?;
        let info = |f: lifecycle::Function| FunctionInfo { name: f.name, interfaces: f.interfaces, details: f.details };
        Ok(functions.into_iter().map(info).collect())
    }

    fn start(&self, store: &mut Store<Data>, function: &str, settings: &[(String, String)]) -> Returned<()> {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        answer(there(&self.lifecycle, "lifecycle")?.call_start(store, function, &settings))
    }

    fn describe(&self, store: &mut Store<Data>) -> Returned<Layouts> {
        let layouts = there(&self.migrator, "migrator")?.call_describe(store)?;
        Ok(Layouts { current: layouts.current, reads: layouts.reads, writes: layouts.writes })
    }

    fn keep(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Kept> {
        let kept = answer(there(&self.filter, "filter")?.call_keep(store, batch(records)))?;
        Ok(Kept { bits: kept.bits, rejected: rejected(kept.rejected) })
    }

    fn apply(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Output> {
        output(answer(there(&self.mapper, "mapper")?.call_apply(store, batch(records)))?)
    }

    fn route(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Routed> {
        let routed = answer(there(&self.router, "router")?.call_route(store, batch(records)))?;
        Ok(Routed {
            topics: lift("topics", routed.topics)?,
            partitions: routed.partitions,
            rejected: rejected(routed.rejected),
        })
    }

    fn add(&self, store: &mut Store<Data>, into: Groups<'_>, records: Records<'_>) -> Returned<Folded> {
        let aggregator = there(&self.aggregator, "aggregator")?;
        folded(answer(aggregator.call_add(store, groups(into), batch(records)))?)
    }

    fn finish(&self, store: &mut Store<Data>, of: Groups<'_>) -> Returned<BytesColumn> {
        lift("results", answer(there(&self.aggregator, "aggregator")?.call_finish(store, groups(of)))?)
    }

    fn remove(&self, store: &mut Store<Data>, from: Groups<'_>, records: Records<'_>) -> Returned<Folded> {
        let retractor = there(&self.retractor, "retractor")?;
        folded(answer(retractor.call_remove(store, groups(from), batch(records)))?)
    }

    fn scan(&self, store: &mut Store<Data>, into: Groups<'_>, records: Records<'_>) -> Returned<Scanned> {
        let scanned = answer(there(&self.scanner, "scanner")?.call_scan(store, groups(into), batch(records)))?;
        Ok(Scanned {
            states: lift("states", scanned.states)?,
            values: lift("values", scanned.values)?,
            rejected: rejected(scanned.rejected),
        })
    }

    fn merge(&self, store: &mut Store<Data>, [keys, left, right]: [&BytesColumn; 3]) -> Returned<BytesColumn> {
        let merger = there(&self.merger, "merger")?;
        lift("states", answer(merger.call_merge(store, lower(keys), lower(left), lower(right)))?)
    }

    fn migrate(&self, store: &mut Store<Data>, of: Migration<'_>) -> Returned<BytesColumn> {
        let migrator = there(&self.migrator, "migrator")?;
        let (keys, states) = (lower(of.keys), lower(of.states));
        lift("states", answer(migrator.call_migrate(store, of.store, of.old, of.new, keys, states))?)
    }

    fn join(&self, store: &mut Store<Data>, [keys, left, right]: [&BytesColumn; 3]) -> Returned<Joined> {
        let joiner = there(&self.joiner, "joiner")?;
        let joined = answer(joiner.call_join(store, lower(keys), lower(left), lower(right)))?;
        Ok(Joined { values: lift("values", joined.values)?, rejected: rejected(joined.rejected) })
    }

    fn process(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Output> {
        output(answer(there(&self.processor, "processor")?.call_process(store, batch(records)))?)
    }

    fn fire(&self, store: &mut Store<Data>, clock: TimerClock, due: Records<'_>) -> Returned<Output> {
        let clock = match clock {
            TimerClock::EventTime => types::Clock::EventTime,
            TimerClock::WallClock => types::Clock::WallClock,
        };
        output(answer(there(&self.on_timer, "on-timer")?.call_fire(store, clock, batch(due)))?)
    }
}

fn output(output: types::Output) -> Returned<Output> {
    Ok(Output {
        taken: output.taken,
        sources: output.sources,
        ports: output.ports,
        keys: output.keys.map(|c| lift("keys", c)).transpose()?,
        values: output.values.map(|c| lift("values", c)).transpose()?,
        timestamps: output.timestamps,
        headers: output.headers.map(headers).transpose()?,
        rejected: rejected(output.rejected),
    })
}

fn headers(headers: types::HeaderColumns) -> Returned<HeaderColumns> {
    let (names, values) = (lift("header names", headers.names)?, lift("header values", headers.values)?);
    convert::headers(headers.offsets, names, values)
}

fn own(column: &BytesColumn) -> types::BytesColumnResult {
    types::BytesColumnResult {
        offsets: column.offsets().to_vec(),
        data: column.data().to_vec(),
        validity: column.validity().to_vec(),
    }
}

impl types::Host for Data {}

impl context::Host for Data {
    fn headers(&mut self) -> Option<types::HeaderColumns> {
        let headers = self.facts.headers.as_ref()?;
        let offsets = headers.offsets.clone();
        Some(types::HeaderColumns { offsets, names: own(&headers.names), values: own(&headers.values) })
    }

    fn stream_times(&mut self) -> Vec<i64> {
        self.facts.stream_times.clone()
    }

    fn windows(&mut self) -> Option<(Vec<i64>, Vec<i64>)> {
        self.facts.windows.clone()
    }

    fn inputs(&mut self) -> Option<Vec<u32>> {
        self.facts.inputs.clone()
    }
}

impl log::Host for Data {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log(level, message);
    }
}

impl state::Host for Data {}

/// A column that a guest hands over while it runs: what is wrong with it ends the call.
fn given(what: &str, column: types::BytesColumnResult) -> wasmtime::Result<BytesColumn> {
    lift(what, column).map_err(|error| match error {
        CallError::Failed(error) => error,
        CallError::Refused(what) | CallError::Bad(what) => wasmtime::Error::msg(what),
    })
}

impl state::HostStore for Data {
    fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<StoreHandle>, String>> {
        Ok(self.desk.open(&name)?.map(Resource::new_own))
    }

    fn get(
        &mut self,
        handle: Resource<StoreHandle>,
        keys: types::BytesColumnResult,
    ) -> wasmtime::Result<types::BytesColumnResult> {
        let keys = given("keys", keys)?;
        let (store, host) = self.desk.store(handle.rep())?;
        Ok(own(&host.get(store, &keys)?))
    }

    fn put(&mut self, handle: Resource<StoreHandle>, changes: state::Entries) -> wasmtime::Result<()> {
        let (keys, values) = (given("keys", changes.keys)?, given("values", changes.values)?);
        let (store, host) = self.desk.store(handle.rep())?;
        Ok(host.put(store, &keys, &values)?)
    }

    fn range(
        &mut self,
        handle: Resource<StoreHandle>,
        start: Vec<u8>,
        end: Vec<u8>,
        limit: u32,
    ) -> wasmtime::Result<state::Entries> {
        let (store, host) = self.desk.store(handle.rep())?;
        let (keys, values) = host.range(store, &start, &end, limit)?;
        Ok(state::Entries { keys: own(&keys), values: own(&values) })
    }

    fn drop(&mut self, _: Resource<StoreHandle>) -> wasmtime::Result<()> {
        self.desk.close();
        Ok(())
    }
}

fn timer_clock(clock: types::Clock) -> TimerClock {
    match clock {
        types::Clock::EventTime => TimerClock::EventTime,
        types::Clock::WallClock => TimerClock::WallClock,
    }
}

impl timers::Host for Data {
    fn set(
        &mut self,
        clock: types::Clock,
        keys: types::BytesColumnResult,
        name: String,
        due: Vec<i64>,
    ) -> wasmtime::Result<()> {
        let keys = given("keys", keys)?;
        Ok(self.desk.host()?.set(timer_clock(clock), &keys, &name, &due)?)
    }

    fn cancel(&mut self, clock: types::Clock, keys: types::BytesColumnResult, name: String) -> wasmtime::Result<()> {
        let keys = given("keys", keys)?;
        Ok(self.desk.host()?.cancel(timer_clock(clock), &keys, &name)?)
    }
}
