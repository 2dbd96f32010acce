//! What the host keeps beside each running instance: its meter, its clock, the facts of the call, its voice. One store for
//! each instance, gone with it. How a fault is told from what these saw is `fault`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream_core::function::{Context, Prepared};
use millstream_core::record::{HeaderColumns, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline, WasmBacktrace};

use crate::desk::Desk;
use crate::dump::Dumps;
use crate::fault::stack_names;
use crate::limits::{CORE_INSTANCES_MAX, Limits, MEMORIES_MAX, TABLES_MAX, size};
use crate::log::{Gate, LogSink, Place};
use crate::profile::Sampler;
use crate::stats::Counters;
use crate::voice::Voice;
use crate::wasi::Wasi;

/// Everything that instances of one version share.
pub(crate) struct Shared {
    /// Number of the version; `None` while it is being checked.
    pub(crate) number: Option<Prepared>,
    /// Digest of the component.
    pub(crate) component: String,
    pub(crate) limits: Limits,
    pub(crate) reads: Reads,
    pub(crate) counters: Counters,
    pub(crate) gate: Gate,
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) sampler: Sampler,
    /// The folder of core dumps, where they are wanted.
    pub(crate) dump_folder: Option<PathBuf>,
    pub(crate) dumps: Dumps,
    /// What WASI's wall clock says, milliseconds since 1970.
    pub(crate) wall_ms: AtomicU64,
}

/// Which facts a component asks for: the functions of `context` that it imports. Others are not kept ready for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) headers: bool,
    pub(crate) stream_times: bool,
    pub(crate) windows: bool,
    pub(crate) inputs: bool,
}

/// The facts of the call in progress, as the contract's `context` hands them out; each call brings its own.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) headers: Option<HeaderColumns>,
    pub(crate) stream_times: Vec<Timestamp>,
    pub(crate) windows: Option<(Vec<Timestamp>, Vec<Timestamp>)>,
    pub(crate) inputs: Option<Vec<u32>>,
}

/// What a store holds.
pub(crate) struct Data {
    pub(crate) shared: Arc<Shared>,
    pub(crate) meter: Meter,
    pub(crate) clock: Clock,
    pub(crate) facts: Facts,
    /// The records of the call in progress.
    pub(crate) place: Option<Place>,
    pub(crate) voice: Voice,
    pub(crate) wasi: Wasi,
    pub(crate) desk: Desk,
}

/// A store for one instance of a version.
pub(crate) fn store(engine: &Engine, shared: &Arc<Shared>) -> Store<Data> {
    let limits = &shared.limits;
    let data = Data {
        meter: Meter::new(limits),
        clock: Clock::default(),
        facts: Facts::default(),
        place: None,
        voice: Voice::default(),
        desk: Desk::default(),
        wasi: Wasi::new(shared.wall_ms.load(Ordering::Relaxed)),
        shared: shared.clone(),
    };
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.meter);
    store.set_hostcall_fuel(limits.result_bytes);
    store.epoch_deadline_callback(|mut context| {
        context.data_mut().clock.look()?;
        if context.data().shared.sampler.is_on() {
            let stack = WasmBacktrace::force_capture(&context);
            context.data().shared.sampler.take(stack_names(&stack.to_string()));
        }
        Ok(UpdateDeadline::Continue(1))
    });
    store
}

/// Lets the store's clock run for a call that may take so many milliseconds.
pub(crate) fn wind(store: &mut Store<Data>, cpu_ms: u64) {
    let data = store.data_mut();
    data.clock.start(cpu_ms, data.shared.limits.wall_factor);
    data.meter.denied = None;
    data.wasi.begin();
    store.set_epoch_deadline(1);
}

impl Data {
    /// Takes the facts of the call that begins: a copy of what this component will ask for. A store cannot hold what it does
    /// not own, and few components ask.
    pub(crate) fn know(&mut self, context: &Context<'_>) {
        let reads = self.shared.reads;
        if reads == Reads::default() {
            return;
        }
        let facts = &mut self.facts;
        facts.headers = if reads.headers { context.headers.cloned() } else { None };
        facts.stream_times.clear();
        if reads.stream_times {
            facts.stream_times.extend_from_slice(context.stream_times);
        }
        facts.windows = if reads.windows { context.windows.map(|(s, e)| (s.to_vec(), e.to_vec())) } else { None };
        facts.inputs = if reads.inputs { context.inputs.map(<[u32]>::to_vec) } else { None };
    }
}

/// A call is over its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("took longer than its limit of {limit_ms} ms")]
pub(crate) struct Expired {
    pub(crate) limit_ms: u64,
}

/// How long the call has been running, asked once a tick while it runs.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    cpu: Duration,
    wall: Duration,
    /// The thread's CPU clock at the first look. A call pays nothing for it unless it lasts to the next tick, and what it used
    /// before the first look, a tick at the most, is given to it.
    first_look: Option<Duration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), cpu: Duration::MAX, wall: Duration::MAX, first_look: None }
    }
}

impl Clock {
    fn start(&mut self, cpu_ms: u64, wall_factor: u32) {
        self.started = Instant::now();
        self.cpu = Duration::from_millis(cpu_ms);
        self.wall = self.cpu.saturating_mul(wall_factor);
        self.first_look = None;
    }

    /// Time since the start, nanoseconds.
    pub(crate) fn nanoseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn look(&mut self) -> Result<(), Expired> {
        let cpu = thread_cpu();
        let used = cpu.saturating_sub(*self.first_look.get_or_insert(cpu));
        let over = if used >= self.cpu {
            self.cpu
        } else if self.started.elapsed() >= self.wall {
            self.wall
        } else {
            return Ok(());
        };
        Err(Expired { limit_ms: u64::try_from(over.as_millis()).unwrap_or(u64::MAX) })
    }
}

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What an instance has taken of memory and tables, all of its core instances together.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_bytes: u64,
    memory_bytes_limit: u64,
    table_elements: u64,
    table_elements_limit: u64,
    /// What was granted last and is taken back when it could not be had.
    granted: u64,
    /// What was denied in this call.
    pub(crate) denied: Option<String>,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_limit: limits.memory_bytes,
            table_elements: 0,
            table_elements_limit: limits.table_elements.into(),
            granted: 0,
            denied: None,
        }
    }

    /// Memory it has now, bytes; it never shrinks.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let (asked, limit) = (self.memory_bytes.saturating_add(more), self.memory_bytes_limit);
        if asked > limit {
            self.denied = Some(format!("{} of memory (it asked for {})", size(limit), size(asked)));
            return Ok(false);
        }
        self.granted = more;
        self.memory_bytes = asked;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let (asked, limit) = (self.table_elements.saturating_add(more), self.table_elements_limit);
        if asked > limit {
            self.denied = Some(format!("{limit} table elements (it asked for {asked})"));
            return Ok(false);
        }
        self.granted = more;
        self.table_elements = asked;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}
