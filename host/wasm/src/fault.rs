//! From wasmtime's errors to the core's faults: one place that knows what a failed call means. What to do about a fault is
//! the core's matter.

use millstream_core::function::Fault;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::limits::{BACKTRACE_FRAMES_MAX, MESSAGE_BYTES_MAX, cut, size};
use crate::store::{Data, Expired};

/// Why a call of a guest gave nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It did not come back, or with something that is no value of the contract's types.
    Failed(wasmtime::Error),
    /// It answered with an error.
    Refused(String),
    /// It answered with something that breaks the contract.
    Bad(String),
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> Self {
        CallError::Failed(error)
    }
}

/// What a call gives.
pub(crate) type Returned<T> = Result<T, CallError>;

/// When a call was made: decides what a denied growth means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While an instance was made.
    Start,
    /// While it ran.
    Call,
}

/// The fault behind a call's error.
pub(crate) fn fault(error: CallError, data: &Data, phase: Phase) -> Fault {
    match error {
        CallError::Refused(message) => Fault::Refused { message: bounded(message) },
        CallError::Bad(what) => Fault::BadResult { what: bounded(what) },
        CallError::Failed(error) => failed(&error, data, phase),
    }
}

fn failed(error: &wasmtime::Error, data: &Data, phase: Phase) -> Fault {
    if let Some(Expired { limit_ms }) = error.downcast_ref() {
        return Fault::TimedOut { limit_ms: *limit_ms };
    }
    let trap = error.downcast_ref::<Trap>();
    if let (Some(denied), true) = (&data.meter.denied, trap.is_some() || phase == Phase::Start) {
        return Fault::OutOfMemory { what: denied.clone() };
    }
    if let Some(trap) = trap {
        let text = trap.to_string();
        let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
        return Fault::Trap { message: bounded(format!("{text}{}", trace(error))) };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::Unavailable { message: format!("no room for another instance: {error:#}") };
    }
    let text = error.root_cause().to_string();
    if text == FUEL {
        let limit = size(data.shared.limits.result_bytes as u64);
        return Fault::BadResult { what: format!("what it returns is larger than its limit of {limit}") };
    }
    match phase {
        Phase::Start => Fault::Unavailable { message: bounded(text) },
        // Imports of ours end a call with an error of their own: with a backtrace, since the guest was running.
        Phase::Call if error.is::<WasmBacktrace>() => {
            Fault::Trap { message: bounded(format!("{text}{}", trace(error))) }
        }
        // Not while it ran: its answer could not be read.
        Phase::Call => Fault::BadResult { what: bounded(text) },
    }
}

/// Wasmtime's words where a guest hands over more than the store's host-call fuel; the type is not public.
const FUEL: &str =
    "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted";

fn bounded(mut text: String) -> String {
    cut(&mut text, MESSAGE_BYTES_MAX);
    text
}

/// The guest's functions on the stack, the innermost first, in one line.
fn trace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    // Wasmtime demangles names in its text only: `  0: 0x1234 - module!name`.
    let text = backtrace.to_string();
    let names = text.lines().skip(1).filter_map(|line| line.split_once(" - "));
    let names = names.map(|(_, name)| name.split_once('!').map_or(name, |(_, name)| name).trim());
    let names: Vec<&str> = names.take(BACKTRACE_FRAMES_MAX).collect();
    if names.is_empty() { String::new() } else { format!("; in {}", names.join(" < ")) }
}
