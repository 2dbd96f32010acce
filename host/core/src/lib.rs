//! The heart of the host: what happens to a record, and nothing about how it got here.
//!
//! A record's path is the order of these modules:
//!
//! | step    | module       | turns                                     |
//! |---------|--------------|-------------------------------------------|
//! | poll    | [`poll`]     | batches from partitions → the next records |
//! | decode  | `decode`     | bytes → records and times, or a rejection |
//! | operate | [`operator`] | records → records, through functions      |
//! | state   | [`state`]    | reads now, a write set for later          |
//! | emit    | [`emit`]     | results → outgoing records                |
//! | commit  | [`commit`]   | all of the above → one fact, or none      |
//!
//! [`task`] joins the six for one partition, [`worker`] runs several tasks behind one door. Start reading there.
//!
//! What is absent, on purpose: clocks, files, sockets, threads, async, Kafka, RocksDB, WebAssembly. What must be waited
//! for is returned as a [`worker::Effect`]; what must be asked in the middle of a step is asked through a port
//! ([`state::keyspace::Keyspaces`], [`function::Functions`], [`formats::Formats`]).

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

pub mod worker;

pub mod task;

pub mod poll;

mod decode;

pub mod operator;

pub mod state;

pub mod emit;

pub mod commit;

pub mod swap;

pub mod calendar;
pub mod codec;
pub mod envelope;
pub mod error;
pub mod flow;
pub mod formats;
pub mod function;
pub mod globals;
pub mod letter;
pub mod limits;
pub mod made_with;
pub mod meta;
pub mod partition;
pub mod record;
mod search;
pub mod slicing;
pub mod time;
pub mod topology;
pub mod window;
