//! The program as a library: what `main.rs` and the tests from outside use.
//!
//! `config` turns a manifest into plain values, `runtime` runs them, `api` shows them over HTTP, `cli` is the command line.
//! Errors become text in `cli` alone.

pub mod config;

pub mod runtime;

pub mod verify;

pub mod cases;

mod alone;

pub mod templates;

pub mod api;

pub mod trust;

pub mod cli;
