//! User functions: components of WebAssembly behind the core's port [`millstream_core::function::Functions`]. The only
//! crate that knows wasmtime. Nothing here knows pipelines, logs or state; nothing here waits on anything but its own
//! compiling child process.
//!
//! | module | what |
//! |---|---|
//! | [`registry`] | a host's functions: inspected, prepared, numbered, counted |
//! | [`worker`] | one thread's instances, as the core calls them |
//! | `trial`, [`inspect`] | from bytes to something that can be called, or to every reason why not |
//! | `modules` | what is looked at in a component before it is compiled |
//! | [`componentize`] | from a core module to a component; nothing of it runs |
//! | [`compile`], `cache` | compiled code: made in a child process, kept in a folder |
//! | `instance`, `store`, `voice`, `fault` | one instance: its limits, a call, what it says, what a failed call means |
//! | `profile`, `dump` | where a guest spends its time; what is kept of one that trapped |
//! | `desk` | a processor's stores and timers, lent for a call |
//! | `bindings` | the released versions of the contract, behind one door |
//! | `wasi` | WASI 0.2 without any capability that was not granted (`grants`), for languages that want one |
//! | `engine` | every setting of wasmtime, the pool, the clock that interrupts |
//!
//! *Invariant:* what a guest supplies is bounded before it is copied, and checked before the core sees it.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod registry;
pub mod worker;

pub mod inspect;
mod modules;
mod trial;

pub mod componentize;

mod cache;
pub mod compile;

mod bindings;
mod wasi;

mod desk;
pub mod dump;
mod fault;
mod instance;
mod store;
mod voice;

pub mod engine;

mod digest;
pub mod grants;
pub mod limits;
pub mod log;
pub mod profile;
pub mod stats;

pub use bindings::Layouts;
pub use compile::{CompileLimits, Compiler, compile_child};
pub use componentize::componentize;
pub use desk::{STORE_HANDLES_MAX, STORE_NAME_BYTES_MAX, STORE_NAMES_MAX};
pub use grants::Grants;
pub use inspect::{FunctionInfo, Import, Inspection, interface_name, interface_named};
pub use limits::{Limits, WORKER_STACK_BYTES};
pub use log::{LogLevel, LogLine, LogSink, Place};
pub use profile::Profile;
pub use registry::{Config, Refusal, Registry, RegistryError};
pub use stats::{FULL_CALL_RECORDS, Stats};
pub use worker::WorkerFunctions;
