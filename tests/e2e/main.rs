//! The whole program from outside, real parts only: a module for each promise. One binary, so that it links once.
//!
//! The short form runs in CI. The long form (`MILLSTREAM_LONG=1 ./x test -p millstream-tests`) takes the sizes that the
//! promises are made for.

mod cases;
mod cli;
mod cli_misuse;
mod collect;
mod demo;
mod exactly_once;
mod formats;
mod globals;
mod inside;
mod layouts;
mod manifests;
mod new;
mod poison;
mod prebuilt;
mod probation;
mod processors;
mod stores;
mod swap;
mod tables;
mod together;
mod trust;

/// Whether the long form was asked for.
fn long() -> bool {
    std::env::var_os("MILLSTREAM_LONG").is_some_and(|value| value == "1")
}
