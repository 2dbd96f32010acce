//! How RocksDB is set up, and why.

use millstream_core::state::keyspace::SpaceKind;
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, WriteBufferManager};

/// What a database may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Write-ahead log: on where nothing else keeps the writes (embedded mode), off where a changelog does.
    pub wal: bool,
    /// Bytes for blocks, indexes and filters together.
    pub block_cache_bytes: usize,
    /// Bytes for writes that are not in a file yet, over all keyspaces; counted against the block cache.
    pub write_buffer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { wal: true, block_cache_bytes: 256 << 20, write_buffer_bytes: 128 << 20 }
    }
}

/// Files that may be open at once; each holds its index in the block cache, not outside it.
const OPEN_FILES_MAX: i32 = 512;

/// Bytes of one keyspace's write buffer before it becomes a file.
const MEMTABLE_BYTES: usize = 32 << 20;

/// Share of a write buffer that its bloom filter takes: some ten bits for each of half a million small entries.
const MEMTABLE_BLOOM_RATIO: f64 = 0.02;

/// Values of a log from this size on go to blob files, bytes.
const BLOB_BYTES_MIN: u64 = 4 << 10;

/// Bytes of log files kept for a write-ahead log before memtables are forced out.
const WAL_BYTES_MAX: u64 = 256 << 20;

/// Prefix of column families of each kind: it says how a family must be opened again.
const LOG_PREFIX: &str = "log:";
const STATE_PREFIX: &str = "state:";

pub fn family_name(name: &str, kind: SpaceKind) -> String {
    match kind {
        SpaceKind::Log => format!("{LOG_PREFIX}{name}"),
        SpaceKind::State => format!("{STATE_PREFIX}{name}"),
    }
}

/// Name of the keyspace of state that a family is of.
pub fn state_name(family: &str) -> Option<&str> {
    family.strip_prefix(STATE_PREFIX)
}

pub fn kind_of(family: &str) -> SpaceKind {
    if family.starts_with(LOG_PREFIX) { SpaceKind::Log } else { SpaceKind::State }
}

/// Block cache and write buffers of one or several databases.
pub struct SharedMemory {
    cache: Cache,
    buffers: WriteBufferManager,
}

impl SharedMemory {
    /// With the sizes of `options`.
    pub fn new(options: &Options) -> Self {
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(options.write_buffer_bytes, true, cache.clone());
        Self { cache, buffers }
    }

    /// Bytes in use now.
    pub fn memory_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    pub(crate) fn database(&self, options: &Options) -> rocksdb::Options {
        let mut out = rocksdb::Options::default();
        out.create_if_missing(true);
        out.create_missing_column_families(true);
        out.set_write_buffer_manager(&self.buffers);
        out.set_max_open_files(OPEN_FILES_MAX);
        out.set_max_background_jobs(2);
        out.set_max_total_wal_size(WAL_BYTES_MAX);
        out.set_keep_log_file_num(4);
        // RocksDB refuses it together with atomic flush.
        out.set_enable_pipelined_write(options.wal);
        // Without a write-ahead log, families must reach their files together or a crash would tear an interval.
        out.set_atomic_flush(!options.wal);
        out
    }

    pub(crate) fn family(&self, kind: SpaceKind) -> rocksdb::Options {
        let mut out = rocksdb::Options::default();
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_format_version(5);
        out.set_write_buffer_size(MEMTABLE_BYTES);
        out.set_compression_type(DBCompressionType::Lz4);
        match kind {
            SpaceKind::State => {
                blocks.set_bloom_filter(10.0, false);
                // The filter of a whole file is as large as the part of the cache that its hash leads to: a state of some ten million keys would
                // read megabytes, and check them, for each key that it looks for.
                blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
                blocks.set_partition_filters(true);
                // Of a large state most keys that are read are in no memtable, and a search through one costs as much as a file's.
                out.set_memtable_whole_key_filtering(true);
                out.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO);
                blocks.set_block_size(8 << 10);
                out.set_level_compaction_dynamic_level_bytes(true);
            }
            SpaceKind::Log => {
                out.set_enable_blob_files(true);
                out.set_min_blob_size(BLOB_BYTES_MIN);
                out.set_blob_compression_type(DBCompressionType::Lz4);
                out.set_enable_blob_gc(true);
            }
        }
        out.set_block_based_table_factory(&blocks);
        out
    }
}
