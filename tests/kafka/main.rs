//! The whole program on real brokers: a module for each promise. One binary, so that it links once and starts its brokers once.
//!
//! The short form runs in CI. The long form (`MILLSTREAM_LONG=1 ./x test -p millstream-tests --test kafka`) takes the sizes that
//! the promises are made for.

#[path = "../e2e/manifests.rs"]
#[allow(dead_code)]
mod manifests;

mod pipes;

mod absence;
mod at_least_once;
mod brokers;
mod directories;
mod exactly_once;
mod globals;
mod habits;
mod inside;
mod layouts;
mod lifecycle;
mod meetings;
mod processors;
mod routes;
mod scale;
mod security;
mod stores;
mod swaps;
mod tables;
mod topics;

/// Whether the long form was asked for.
fn long() -> bool {
    std::env::var_os("MILLSTREAM_LONG").is_some_and(|value| value == "1")
}
