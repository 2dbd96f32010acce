//! Running instances: how one is made, and how a call goes into it and comes back. Which instance is asked, and when it is
//! replaced, is `worker`'s matter.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_core::function::{Context, Fault, Stop};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use crate::bindings::{Binding, Exports};
use crate::fault::{CallError, Phase, Returned, explained, fault};
use crate::limits::WORKER_STACK_BYTES;
use crate::log::Place;
use crate::store::{Data, Shared, store, thread_cpu, wind};

/// What an instance is made from.
#[derive(Clone)]
pub(crate) struct Mould {
    pub(crate) component: InstancePre<Data>,
    pub(crate) binding: Arc<dyn Binding>,
    /// Which function of the file it shall be, and its settings; `None` without a `lifecycle`.
    pub(crate) start: Option<Start>,
}

/// What `lifecycle.start` is told.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) function: String,
    pub(crate) settings: Vec<(String, String)>,
}

/// An instance with the store it lives in.
pub(crate) struct Live {
    store: Store<Data>,
    exports: Box<dyn Exports>,
}

impl Mould {
    /// A new instance, started.
    pub(crate) fn make(&self, engine: &Engine, shared: &Arc<Shared>) -> Result<Live, Fault> {
        let mut store = store(engine, shared);
        wind(&mut store, shared.limits.start_cpu_ms);
        let made = (|| {
            let instance = self.component.instantiate(&mut store)?;
            let exports = self.binding.load(&mut store, &instance)?;
            if let Some(start) = &self.start {
                exports.start(&mut store, &start.function, &start.settings)?;
            }
            Ok::<_, CallError>(exports)
        })();
        let dump = made.as_ref().err().and_then(|error| dump(error, 0, &mut store));
        let exports = ended(store.data_mut(), made, dump, Phase::Start)?;
        shared.counters.instance();
        shared.counters.memory(store.data().meter.memory_bytes());
        Ok(Live { store, exports })
    }
}

impl Live {
    /// Whether its version has another time now than this instance was told.
    pub(crate) fn is_told_another_time(&self) -> bool {
        let data = self.store.data();
        data.wasi.wall_ms != data.shared.wall_ms.load(Ordering::Relaxed)
    }

    /// One call, within its time; `records` of them count towards it.
    pub(crate) fn call<T>(
        &mut self,
        context: &Context<'_>,
        place: Option<Place>,
        records: usize,
        stretch: u32,
        ask: impl FnOnce(&dyn Exports, &mut Store<Data>) -> Returned<T>,
    ) -> Result<T, Fault> {
        let limit_ms = self.store.data().shared.limits.call_ms(records).saturating_mul(stretch.into());
        let data = self.store.data_mut();
        data.know(context);
        data.place = place;
        let sampled = data.shared.counters.samples_cpu().then(thread_cpu);
        wind(&mut self.store, limit_ms);
        let memory = self.store.data().meter.memory_bytes();
        let answer = ask(self.exports.as_ref(), &mut self.store);
        if answer.as_ref().is_err_and(is_made_again) {
            self.store.data_mut().hush(false);
            return Err(Fault::Unavailable { message: Stop::Again.to_string() });
        }
        let dump = answer.as_ref().err().and_then(|error| dump(error, records, &mut self.store));
        let data = self.store.data_mut();
        let answer = ended(data, answer, dump, Phase::Call);
        let nanoseconds = data.clock.nanoseconds();
        data.shared.counters.call(records, nanoseconds, answer.as_ref().err());
        if let Some(began) = sampled {
            data.shared.counters.cpu(nanoseconds, thread_cpu().saturating_sub(began));
        }
        if data.meter.memory_bytes() != memory {
            data.shared.counters.memory(data.meter.memory_bytes());
        }
        answer
    }

    /// A question outside the data path, within the time of a start.
    pub(crate) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&dyn Exports, &mut Store<Data>) -> Returned<T>,
    ) -> Result<T, Fault> {
        let limit_ms = self.store.data().shared.limits.start_cpu_ms;
        wind(&mut self.store, limit_ms);
        let answer = ask(self.exports.as_ref(), &mut self.store);
        ended(self.store.data_mut(), answer, None, Phase::Call)
    }
}

/// Whether the host ended the call though nothing is wrong: it counts nowhere.
fn is_made_again(error: &CallError) -> bool {
    matches!(error, CallError::Failed(error) if error.downcast_ref() == Some(&Stop::Again))
}

/// The core dump of a call that failed, where they are wanted: what became of it.
fn dump(error: &CallError, records: usize, store: &mut Store<Data>) -> Option<String> {
    let CallError::Failed(error) = error else { return None };
    let shared = store.data().shared.clone();
    shared.dumps.keep(shared.dump_folder.as_deref()?, &shared.component, records, error, store)
}

/// What a call gives in the end: its answer, or the fault, with what the guest said before a trap, and where the dump of it is.
fn ended<T>(data: &mut Data, answer: Returned<T>, dump: Option<String>, phase: Phase) -> Result<T, Fault> {
    match answer {
        Ok(value) => {
            data.hush(false);
            Ok(value)
        }
        Err(error) => {
            let fault = fault(error, data, phase);
            let words = data.hush(matches!(fault, Fault::Trap { .. }));
            Err(explained(fault, words, dump))
        }
    }
}

/// Runs `f` on a thread whose stack a guest cannot overrun, whoever calls: threads of a web server have too little.
pub(crate) fn on_guest_stack<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("wasm-check".into()).stack_size(WORKER_STACK_BYTES);
        match thread.spawn_scoped(scope, f)?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
