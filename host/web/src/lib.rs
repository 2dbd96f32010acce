//! The HTTP API of a host: its JSON types, its router, its server. What is answered, the host says through [`Api`].
//!
//! The only crate that knows axum, hyper and prometheus-client. It knows no other crate of ours: it is not a place for
//! what a pipeline does, only for how that is asked and told. Tokio runs this server and nothing else; every call of
//! [`Api`] runs on a thread that may block.
//!
//! ```no_run
//! # fn f(api: std::sync::Arc<dyn millstream_web::Api>) -> Result<(), Box<dyn std::error::Error>> {
//! use millstream_web::{Access, Config, Server};
//! let access = Access::open(".millstream/counts".as_ref())?;
//! let server = Server::start(api, Config::new("127.0.0.1:7070".parse()?, access.token().clone()))?;
//! access.announce(&server.url())?;
//! server.stop();
//! access.withdraw();
//! # Ok(()) }
//! ```

// The made-up host of the tests names this crate as others do.
#[cfg(test)]
extern crate self as millstream_web;
#[cfg(test)]
#[path = "../tests/http/fake.rs"]
#[allow(dead_code)]
mod fake;

pub mod access;
pub mod api;
mod guard;
mod inside;
mod metrics;
mod openapi;
pub mod problem;
pub mod record;
mod router;
mod routes;
pub mod server;
mod stores;
mod together;
mod topics;
pub mod types;

pub use access::{Access, Token};
pub use api::Api;
pub use inside::LEVELS;
pub use openapi::openapi;
pub use problem::{Kind, Problem};
pub use server::{Config, Exposure, Listening, Server};
pub use stores::place_text;
pub use together::MEDIA_TYPE as TOGETHER;
pub use topics::{END_HEADER, NDJSON, NEXT_HEADER, RAW, RECORDS_HEADER};

/// Bytes of a component's file; the largest that are made, Python's, have 18 MiB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Bytes of a function's settings, as JSON text.
pub const SETTINGS_BYTES_MAX: usize = 16 << 10;

/// Functions of a pipeline that one call deploys together; all their components have the bytes of one.
pub const TOGETHER_MAX: usize = 16;

/// Bytes of records that one call brings.
pub const RECORDS_BODY_BYTES_MAX: usize = 8 << 20;

/// Records that one call brings or takes.
pub const RECORDS_MAX: usize = 50_000;

/// Bytes of keys and values after which an answer with records ends; the record that passes it is still in it.
pub const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Records that a call takes which does not say how many.
pub const RECORDS_DEFAULT: usize = 1_000;

/// Rows that an answer about a store has at the most.
pub const ROWS_MAX: usize = 1_000;

/// Rows of an answer to a question that does not say how many.
pub const ROWS_DEFAULT: usize = 100;

/// Questions to stores that are answered at one time.
pub const QUESTIONS_MAX: usize = 4;

/// How long a call may wait for records, milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;

/// Requests that are answered at one time; probes of health come on top.
pub const REQUESTS_MAX: usize = 64;

/// Requests that wait for records at one time.
pub const WAITING_MAX: usize = 32;

/// Components that are received and prepared at one time; one is prepared, one may queue behind it.
pub const DEPLOYS_MAX: usize = 2;

/// Connections that are open at one time; more wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 256;

/// How long the headers of a request may take to come, milliseconds.
pub const HEADERS_MS_MAX: u64 = 10_000;

/// How long the body of a request may take to come, milliseconds.
pub const BODY_MS_MAX: u64 = 60_000;

/// Bytes of a refused request that are read and dropped, so that its sender comes to read the refusal.
pub const DISCARD_BYTES_MAX: usize = 128 << 20;

/// Bytes of a request's headers and address after which no more of them is read.
pub const HEADERS_BYTES_MAX: usize = 64 << 10;

/// How long requests under way may take when the server stops, milliseconds.
pub const STOP_MS_MAX: u64 = 5_000;
