//! Functions for Millstream in Rust: written on single records, run on columns. Not the host, and no runtime: what is
//! here is compiled into the guest, or into its native tests.
#![doc = include_str!("../README.md")]

mod columns;
mod context;
mod record;

mod aggregator;
mod filter;
mod joiner;
mod mapper;
mod migrator;
mod processor;
mod router;

mod lifecycle;
mod settings;

pub mod log;

mod export;

#[cfg(target_arch = "wasm32")]
pub mod bindings;

pub use aggregator::{Aggregator, Leaves, Merge, Retract, add, finish, merge, remove, scan};
pub use columns::{
    Batch, BytesColumn, Folded, Group, Groups, Header, HeaderColumns, Joined, Kept, OutputColumns, Rejection, Routed,
    Scanned,
};
pub use context::{Context, Place, Window};
#[doc(hidden)]
pub use export::__made;
pub use filter::{Filter, Verdict, keep};
pub use joiner::{Joiner, Pair, join};
pub use lifecycle::{Function, Parts, start};
#[doc(hidden)]
pub use lifecycle::{start_instance, with_instance};
pub use mapper::{Mapped, Mapper, Output, RESULT_BYTES_MAX, apply};
pub use migrator::{Layouts, Migrate, Stored, layouts, migrate};
#[cfg(not(target_arch = "wasm32"))]
pub use processor::TestHost;
pub use processor::{Call, Clock, Host, OnTimer, Processor, Store, Timer, Timers, fire, process};
pub use record::{Record, Reject};
pub use router::{Route, Router, route};
pub use settings::Settings;
