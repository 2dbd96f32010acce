//! The heart of the host: what happens to a record, and nothing about how it got here.
//!
//! What is absent, on purpose: clocks, files, sockets, threads, async, Kafka, RocksDB, WebAssembly.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

pub mod function;
pub mod record;
pub mod state;
pub mod topology;
