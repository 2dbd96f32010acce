//! The embedded log: topics with partitions over the core's port of keyspaces. A row is a chunk of columns, not a record.
//!
//! Open a [`Log`], then [`Log::append`] and [`Log::read`]. Offsets of a partition are contiguous and never given twice.
//! Records of an append, and whatever the caller writes with them, are one atomic write: a reader sees all or nothing.
//!
//! What is absent, on purpose: groups of consumers (whoever reads keeps its own positions), compaction by key, async, a
//! wire protocol, clocks (time is an argument). It is not a Kafka server and does not claim to be.
//!
//! # What is stored
//!
//! | keyspace     | key                                               | value                                            |
//! |--------------|---------------------------------------------------|--------------------------------------------------|
//! | `log.chunks` | topic id (4), partition (4), first offset (8)      | a chunk, see [`chunk`]                           |
//! | `log.index`  | the same                                          | records, largest timestamp, bytes, bytes to here |
//! | `log.topics` | 0                                                 | the next topic id                                |
//! |              | 1, name                                           | id, partitions, configuration                    |
//! |              | 2, topic id (4), partition (4)                     | start offset, where it is not 0                  |
//!
//! Numbers in keys are big-endian, so that keys sort as offsets do. Every value begins with a version byte. The index is
//! small and says what is in a chunk without reading it: retention, times and offsets inside a chunk are found there.
//!
//! Chunks have no checksum of their own: storage has one for each of its blocks, and a second one over the same bytes
//! would cost more than all other work on a record. What is read is still checked for shape, so that damage which storage
//! does not see is an error that names its place, never a wrong record count or a panic.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod log;

mod append;
mod read;
mod retention;
mod topic;

mod bell;
mod chunk;
mod columns;
mod index;
mod rows;

pub use append::{Append, AppendError};
pub use chunk::{CHUNK_BYTES_MAX, HEADER_BYTES, RECORD_BYTES_MAX};
pub use log::{ChangeError, Log, PartitionInfo, Unknown};
pub use read::{Fetched, READ_BYTES_MAX, ReadError};
pub use retention::Dropped;
pub use topic::{CreateError, NAME_LENGTH_MAX, PARTITIONS_MAX, TOPICS_MAX, TopicConfig, TopicInfo};
