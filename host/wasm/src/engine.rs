//! The one engine: every setting of wasmtime that a function can feel, the pool of its instances, and the clock that
//! interrupts. What a single instance may use is not here but in `instance`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::limits::{
    CORE_INSTANCES_MAX, MEMORY_BYTES_MAX, MODULE_MEMORIES_MAX, STACK_FRAMES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
    WASM_STACK_BYTES,
};

/// Time between two looks at a running guest's clock, milliseconds.
pub const TICK_MS: u64 = 5;

/// Memory that a slot of the pool keeps when its instance is gone, bytes: what a next instance need not ask the kernel for.
pub const KEPT_RESIDENT_BYTES: usize = 4 << 20;

/// Memories of a pool, all workers and versions together. Each takes 4 GiB of addresses and no memory before it is used.
pub const POOL_MEMORIES: u32 = 1_000;

/// Tables of a pool.
pub const POOL_TABLES: u32 = 2_000;

/// Core instances of a pool: as many as its components can have, since they take nothing before they are there. Those of
/// QuickJS have about ten each.
pub const POOL_CORE_INSTANCES: u32 = POOL_MEMORIES * CORE_INSTANCES_MAX;

/// For whom an engine is made: both give and take the same compiled code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Runs functions; `dumps`: what a trap leaves is kept for a core dump.
    Run { dumps: bool },
    /// Compiles in a child process, whose address space is limited: no pool.
    Compile,
}

/// An engine with the settings of every host: same records, same bytes, on every machine.
pub(crate) fn engine(purpose: Purpose) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // Costs of features that no guest uses: 397 → 133 ns a call.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.consume_fuel(false);
    config.max_wasm_stack(WASM_STACK_BYTES);
    // Where machines differ: the bits of a NaN, and what relaxed SIMD leaves open.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_memory64(false);
    // For what the engine puts between two components inside a file, which copies from one's memory to the other's. The
    // modules of a function itself have one memory each: `modules` sees to that, and the pool.
    config.wasm_multi_memory(true);
    config.wasm_custom_page_sizes(false);
    config.cranelift_opt_level(OptLevel::Speed);
    config.parallel_compilation(false);
    config.generate_address_map(true);
    // Files and lines in backtraces, for components that were built with debug information; others have nothing to keep.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(STACK_FRAMES_MAX));
    if let Purpose::Run { dumps } = purpose {
        config.coredump_on_trap(dumps);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    }
    Engine::new(&config)
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(POOL_MEMORIES);
    pool.total_tables(POOL_TABLES);
    pool.total_core_instances(POOL_CORE_INSTANCES);
    pool.total_component_instances(POOL_MEMORIES);
    pool.max_memories_per_module(MODULE_MEMORIES_MAX);
    // How many a component may have, `inspect` says, in its own words.
    pool.max_memories_per_component(POOL_MEMORIES);
    pool.max_tables_per_module(TABLES_MAX);
    pool.max_tables_per_component(TABLES_MAX);
    pool.max_core_instances_per_component(CORE_INSTANCES_MAX);
    pool.max_memory_size(usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX));
    pool.table_elements(TABLE_ELEMENTS_MAX as usize);
    pool.linear_memory_keep_resident(KEPT_RESIDENT_BYTES);
    pool.table_keep_resident(64 << 10);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// Names compiled code that this engine can run: a hash over wasmtime's version, all settings, and the features of the processor.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("only the digest is asked for")
        }
    }
    let mut sink = Sink(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sink);
    crate::digest::hex(&sink.0.finalize()[..8])
}

/// The thread that moves the engine's epoch on, every [`TICK_MS`]. Ends with its owner.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, engine) = (stop.clone(), engine.weak());
        let thread = std::thread::Builder::new().name("wasm-ticker".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(TICK_MS));
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It sleeps one tick at the most; a panic in it would have been printed already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_purposes_make_the_same_code() {
        let run = engine(Purpose::Run { dumps: true }).unwrap();
        assert_eq!(fingerprint(&run), fingerprint(&engine(Purpose::Run { dumps: false }).unwrap()));
        let compile = engine(Purpose::Compile).unwrap();
        assert_eq!(fingerprint(&run), fingerprint(&compile));
        assert_eq!(fingerprint(&run).len(), 16);
    }

    #[test]
    fn other_settings_have_another_name() {
        let mut config = Config::new();
        config.concurrency_support(false);
        let other = Engine::new(&config).unwrap();
        assert_ne!(fingerprint(&other), fingerprint(&engine(Purpose::Compile).unwrap()));
    }
}
