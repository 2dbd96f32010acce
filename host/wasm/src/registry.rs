//! All functions of a host: checked, compiled, numbered, counted. The instances are not here: each worker has its own.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use millstream_core::function::{Interface, Prepared};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::bindings::{self, Layouts};
use crate::cache::{CACHE_BYTES_MAX, Cache};
use crate::compile::{CompileLimits, Compiler, program_exists};
use crate::dump::Dumps;
use crate::engine::{POOL_MEMORIES, POOL_TABLES, Purpose, Ticker, engine, fingerprint};
use crate::inspect::Inspection;
use crate::instance::Mould;
use crate::limits::{Limits, size};
use crate::log::{Gate, LogSink};
use crate::profile::{Profile, Sampler};
use crate::stats::{Counters, Stats};
use crate::store::{Data, Shared};
use crate::trial::{Chosen, Wanted, told};

/// How far the memory limits of all functions may go beyond the memory there is: few functions ever need their limit.
pub const MEMORY_OVERCOMMIT: u64 = 4;

/// What a registry is made from.
#[derive(Clone)]
pub struct Config {
    /// Where compiled code is kept: a folder of this user's alone. `None`: a temporary one.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of compiled code kept there.
    pub cache_bytes_max: u64,
    /// The program that compiles.
    pub compiler: Compiler,
    /// What compiling one component may take.
    pub compile_limits: CompileLimits,
    /// Threads that will call functions.
    pub workers: usize,
    /// Memory for functions, bytes: their limits together may come to [`MEMORY_OVERCOMMIT`] times this.
    pub memory_bytes: u64,
    /// Where the functions' log lines go.
    pub log: Arc<dyn LogSink>,
    /// The folder into which a core dump of each function that traps goes; `None`: nowhere. They hold what it had of records.
    pub core_dumps: Option<PathBuf>,
}

impl Config {
    /// The defaults: half of the machine's memory, log lines to nowhere.
    pub fn new(compiler: Compiler, workers: usize) -> Self {
        Self {
            cache_dir: None,
            cache_bytes_max: CACHE_BYTES_MAX,
            compiler,
            compile_limits: CompileLimits::default(),
            workers,
            memory_bytes: machine_memory_bytes() / 2,
            log: Arc::new(|_: &crate::log::LogLine<'_>| {}),
            core_dumps: None,
        }
    }
}

/// Memory of this machine; what a small one has, where it cannot be read.
fn machine_memory_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    total.and_then(|kib| kib.trim().parse::<u64>().ok()).map_or(4 << 30, |kib| kib.saturating_mul(1 << 10))
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The engine cannot work on this machine.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The folder for compiled code cannot be used.
    #[error("the folder for compiled functions: {0}")]
    Cache(io::Error),
    /// The program that compiles is not there.
    #[error("the compiler of functions is not at {0}")]
    Compiler(PathBuf),
}

/// Why a component was not prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what is asked for, or it breaks a rule; another component is needed.
    #[error("{}", .0.join("; "))]
    Component(Vec<String>),
    /// There is no room beside those that are prepared.
    #[error("{0}")]
    NoRoom(String),
    /// The host could not do it; says nothing about the component.
    #[error("{0}")]
    Host(String),
}

/// A prepared version.
pub(crate) struct Entry {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mould: Mould,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) layouts: Layouts,
    /// Versions that turn states back into its layout, by the layout that they are stored in.
    pub(crate) ways_back: RwLock<BTreeMap<u32, Prepared>>,
    demand: Demand,
    /// Nobody needs it now: it takes no room, and instances of it are let go.
    pub(crate) released: AtomicBool,
}

impl Entry {
    pub(crate) fn ways_back(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Prepared>> {
        self.ways_back.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one instance takes of the pool and of memory.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    memory_bytes: u64,
    memories: u64,
    tables: u64,
}

/// What makes two versions the same.
type Key = (String, Option<String>, Vec<(String, String)>, Limits);

/// The prepared functions of a host.
pub struct Registry {
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    pub(crate) cache: Cache,
    pub(crate) linkers: BTreeMap<&'static str, Linker<Data>>,
    entries: RwLock<Vec<Arc<Entry>>>,
    /// Held while a component is prepared: one at a time, so that the sums hold.
    keys: Mutex<HashMap<Key, Prepared>>,
    /// Counts releases and new times, so that workers notice.
    pub(crate) changes: AtomicU64,
    _ticker: Ticker,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("entries", &self.entries().len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn new(config: Config) -> Result<Self, RegistryError> {
        if !program_exists(&config.compiler.program) {
            return Err(RegistryError::Compiler(config.compiler.program.clone()));
        }
        let wrong = |e: wasmtime::Error| RegistryError::Engine(format!("{e:#}"));
        let engine = engine(Purpose::Run { dumps: config.core_dumps.is_some() }).map_err(wrong)?;
        let cache = Cache::open(config.cache_dir.as_deref(), fingerprint(&engine), config.cache_bytes_max);
        let mut linkers = BTreeMap::new();
        for contract in bindings::all() {
            let mut linker = Linker::new(&engine);
            contract.link(&mut linker).map_err(wrong)?;
            crate::wasi::link(&mut linker).map_err(wrong)?;
            linkers.insert(contract.version(), linker);
        }
        let ticker = Ticker::start(&engine).map_err(|e| RegistryError::Engine(e.to_string()))?;
        Ok(Self {
            cache: cache.map_err(RegistryError::Cache)?,
            engine,
            config,
            linkers,
            entries: RwLock::default(),
            keys: Mutex::default(),
            changes: AtomicU64::new(0),
            _ticker: ticker,
        })
    }

    /// A registry with the same settings and the same compiled code, with nothing prepared and a pool of its own, for one worker.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn another(&self, log: Arc<dyn LogSink>, core_dumps: Option<PathBuf>) -> Result<Self, RegistryError> {
        Self::new(Config { log, core_dumps, workers: 1, ..self.config.clone() })
    }

    /// What a component is, what it can do, and whether this host would take it, with the default limits.
    pub fn inspect(&self, component: &[u8]) -> Inspection {
        self.examine(component, &crate::digest::sha256(component), &Limits::default()).inspection
    }

    /// Makes a component ready to be called: `export` names the function where the file holds several, `needed` are the
    /// interfaces that steps will call. The same component, export, settings and limits give the same number.
    ///
    /// # Errors
    /// Every reason against it at once, see [`Refusal`].
    pub fn prepare(
        &self,
        component: &[u8],
        export: Option<&str>,
        settings: &[(String, String)],
        limits: &Limits,
        needed: &[Interface],
    ) -> Result<Prepared, Refusal> {
        let wrong = limits.faults();
        if !wrong.is_empty() {
            return Err(Refusal::Component(wrong));
        }
        let digest = crate::digest::sha256(component);
        let key = (digest.clone(), export.map(str::to_string), settings.to_vec(), limits.clone());
        let mut keys = self.keys();
        if let Some(&prepared) = keys.get(&key) {
            return self.again(prepared, needed);
        }
        let examined = self.examine(component, &digest, limits);
        let inspection = examined.inspection;
        let usable = match (examined.usable, examined.trouble) {
            (_, Some(trouble)) => return Err(Refusal::Host(trouble)),
            (Some(usable), None) if inspection.accepted => usable,
            _ => return Err(Refusal::Component(inspection.reasons)),
        };
        let reads = usable.reads;
        let wanted = Wanted { export, settings, needed };
        let chosen =
            self.choose(usable, &inspection, limits, wanted).map_err(|reasons| Refusal::Component(told(reasons)))?;
        let Chosen { mould, interfaces, layouts } = chosen;
        let demand = Demand {
            memory_bytes: limits.memory_bytes,
            memories: inspection.memories.into(),
            tables: inspection.tables.into(),
        };
        self.admit(demand)?;
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let number = Prepared(u32::try_from(entries.len()).map_err(|e| Refusal::NoRoom(e.to_string()))?);
        let shared = Arc::new(Shared {
            number: Some(number),
            component: digest,
            limits: limits.clone(),
            reads,
            counters: Counters::default(),
            gate: Gate::default(),
            sink: self.config.log.clone(),
            sampler: Sampler::default(),
            dump_folder: self.config.core_dumps.clone(),
            dumps: Dumps::default(),
            wall_ms: AtomicU64::new(0),
        });
        let released = AtomicBool::new(false);
        entries.push(Arc::new(Entry {
            shared,
            mould,
            interfaces,
            layouts,
            ways_back: RwLock::default(),
            demand,
            released,
        }));
        keys.insert(key, number);
        Ok(number)
    }

    /// A version that was prepared before is wanted again.
    fn again(&self, prepared: Prepared, needed: &[Interface]) -> Result<Prepared, Refusal> {
        let entry = self.entry(prepared).ok_or_else(|| Refusal::Host("a prepared version is gone".to_string()))?;
        let reasons = crate::trial::lacking(&entry.interfaces, needed);
        if !reasons.is_empty() {
            return Err(Refusal::Component(reasons));
        }
        if entry.released.load(Ordering::Relaxed) {
            self.admit(entry.demand)?;
            entry.released.store(false, Ordering::Relaxed);
        }
        Ok(prepared)
    }

    /// Whether one version more fits: all that are not released, and this, on every worker and once for checks.
    fn admit(&self, more: Demand) -> Result<(), Refusal> {
        let entries = self.entries();
        let there = entries.iter().filter(|e| !e.released.load(Ordering::Relaxed)).map(|e| e.demand);
        let (mut sum, mut versions) = (Demand::default(), 0u64);
        for demand in there.chain([more]) {
            versions += 1;
            sum.memory_bytes = sum.memory_bytes.saturating_add(demand.memory_bytes);
            sum.memories += demand.memories;
            sum.tables += demand.tables;
        }
        let threads = self.config.workers as u64 + 1;
        let limit = self.config.memory_bytes.saturating_mul(MEMORY_OVERCOMMIT);
        let all = sum.memory_bytes.saturating_mul(threads);
        if all > limit {
            return Err(Refusal::NoRoom(format!(
                "there is no room for it: the memory limits of {versions} versions, {} together, on {threads} threads \
                 come to {}; this host allows {} ({MEMORY_OVERCOMMIT} × {}): lower the limits, or give it more memory",
                size(sum.memory_bytes),
                size(all),
                size(limit),
                size(self.config.memory_bytes)
            )));
        }
        for (what, sum, pool) in [("memories", sum.memories, POOL_MEMORIES), ("tables", sum.tables, POOL_TABLES)] {
            if sum * threads > pool.into() {
                return Err(Refusal::NoRoom(format!(
                    "there is no room for it: {versions} versions have {sum} {what}, on {threads} threads {}; this host \
                     has {pool}",
                    sum * threads
                )));
            }
        }
        Ok(())
    }

    /// Says that a version is not in use now: it takes no room any more, and workers let its instances go. It keeps its
    /// number, can still be called, and takes room again when it is prepared again.
    pub fn release(&self, prepared: Prepared) {
        if let Some(entry) = self.entry(prepared) {
            entry.released.store(true, Ordering::Relaxed);
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What WASI's wall clock says to a version, milliseconds since 1970: always that, so that the same records give the
    /// same results. 0 until it is set. Instances that were told another time are let go.
    pub fn set_wall_clock(&self, prepared: Prepared, unix_ms: u64) {
        if let Some(entry) = self.entry(prepared) {
            // The time is there before workers are told of the change.
            entry.shared.wall_ms.store(unix_ms, Ordering::Relaxed);
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// What a version has cost so far; zeros for a number that was never given.
    pub fn stats(&self, prepared: Prepared) -> Stats {
        self.entry(prepared).map(|e| e.shared.counters.read()).unwrap_or_default()
    }

    /// SHA-256 of a version's component; `None` for a number that was never given.
    pub fn digest(&self, prepared: Prepared) -> Option<String> {
        self.entry(prepared).map(|entry| entry.shared.component.clone())
    }

    /// Where the instances of a version spend their time, on all threads, while `watch` runs; `None` where somebody looks already, or
    /// the number was never given.
    pub fn profile(&self, prepared: Prepared, watch: impl FnOnce()) -> Option<Profile> {
        /// Ends it also where `watch` panics.
        struct End<'e>(&'e Entry);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.shared.sampler.stop();
            }
        }
        let entry = self.entry(prepared)?;
        if !entry.shared.sampler.start() {
            return None;
        }
        let end = End(&entry);
        watch();
        Some(end.0.shared.sampler.stop())
    }

    /// The layouts of stored states that a version reads and writes; layout 0 alone for a number that was never given.
    pub fn layouts(&self, prepared: Prepared) -> Layouts {
        self.entry(prepared).map(|e| e.layouts.clone()).unwrap_or_default()
    }

    /// Notes which versions turn states back into a version's layout, by the layout that those are stored in. Each must be prepared.
    pub fn set_ways_back(&self, prepared: Prepared, ways: BTreeMap<u32, Prepared>) {
        if let Some(entry) = self.entry(prepared) {
            *entry.ways_back.write().unwrap_or_else(PoisonError::into_inner) = ways;
        }
    }

    /// Takes away what was noted so, where the version is in use no more.
    pub fn take_ways_back(&self, prepared: Prepared) -> BTreeMap<u32, Prepared> {
        let take =
            |entry: Arc<Entry>| std::mem::take(&mut *entry.ways_back.write().unwrap_or_else(PoisonError::into_inner));
        self.entry(prepared).map(take).unwrap_or_default()
    }

    /// Whether a version needs another one to turn states back into its layout.
    pub fn turns_back(&self, prepared: Prepared, by: Prepared) -> bool {
        let has = |entry: &Entry| entry.ways_back().values().any(|way| *way == by);
        self.entry(prepared).is_some_and(|entry| has(&entry))
    }

    pub(crate) fn entry(&self, prepared: Prepared) -> Option<Arc<Entry>> {
        self.entries().get(prepared.0 as usize).cloned()
    }

    fn entries(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Entry>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Prepared>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
