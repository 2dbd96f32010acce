//! Functions for Millstream in Rust: written on single records, run on columns. Not the host, and no runtime: what is
//! here is compiled into the guest, or into its native tests.
#![doc = include_str!("../README.md")]

mod columns;
mod record;

mod aggregator;
mod filter;
mod mapper;

mod export;

#[cfg(target_arch = "wasm32")]
pub mod bindings;

pub use aggregator::{Aggregator, Merge, add, finish, merge};
pub use columns::{Batch, BytesColumn, Folded, Groups, Kept, OutputColumns, Rejection};
pub use filter::{Filter, Verdict, keep};
pub use mapper::{Mapped, Mapper, Output, RESULT_BYTES_MAX, apply};
pub use record::{Record, Reject};
