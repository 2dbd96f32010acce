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
        // Languages with exceptions do not trap when memory is denied: they throw, and that becomes the answer.
        CallError::Refused(message) => match &data.meter.denied {
            Some(denied) => Fault::OutOfMemory { what: bounded(format!("{denied}, and said: {message}")) },
            None => Fault::Refused { message: bounded(message) },
        },
        CallError::Bad(what) => Fault::BadResult { what: bounded(what) },
        CallError::Failed(error) => failed(&error, data, phase),
    }
}

/// A trap with what the guest said before it, as by itself it says only `unreachable`, and with what became of its core dump.
pub(crate) fn explained(fault: Fault, words: Option<String>, dump: Option<String>) -> Fault {
    match fault {
        Fault::Trap { message } => {
            let parts = words.into_iter().chain([message]).chain(dump);
            Fault::Trap { message: bounded(parts.collect::<Vec<_>>().join("; ")) }
        }
        fault => fault,
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
        Phase::Start => Fault::Unavailable { message: bounded(format!("{error:#}")) },
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
    let frames = frames(&backtrace.to_string());
    if frames.is_empty() { frames } else { format!("; in {frames}") }
}

/// The guest's functions on a stack, the innermost first, from wasmtime's text of a backtrace, the only place where names are
/// demangled: `  0: 0x1234 - module!name`. Where the component has debug information the name has no module, functions that were
/// inlined stand in lines of their own (`- name`), and each has its place below it (`at file:line:column`).
pub(crate) fn stack_names(text: &str) -> Vec<String> {
    stack(text).into_iter().map(|(name, _)| name).collect()
}

/// As [`stack_names`], with the place in the source where it is known.
fn stack(text: &str) -> Vec<(String, Option<&str>)> {
    let mut out: Vec<(String, Option<&str>)> = Vec::new();
    for line in text.lines().skip(1).map(str::trim_start) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some((_, at)) = out.last_mut() {
                *at = Some(without_toolchain(place));
            }
        } else if let Some((number, name)) = line.split_once("- ")
            && number.trim_end().bytes().all(|b| b.is_ascii_hexdigit() || b": x".contains(&b))
        {
            // In a Rust name an exclamation mark is a type; a module's name has no path before it.
            let name = match name.split_once('!') {
                Some((module, name)) if !module.contains("::") => name,
                _ => name,
            };
            out.push((without_hashes(name.trim()), None));
        }
    }
    out
}

/// A file of Rust's own libraries without where they lay when they were built: `/rustc/COMMIT/library/core/…`.
fn without_toolchain(place: &str) -> &str {
    const DIGITS: usize = 40;
    match place.strip_prefix("/rustc/").and_then(|place| place.split_once('/')) {
        Some((commit, rest)) if commit.len() == DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit()) => rest,
        _ => place,
    }
}

/// A stack in one line.
fn frames(text: &str) -> String {
    let mut out: Vec<(String, usize)> = Vec::new();
    for (name, place) in stack(text).into_iter().take(BACKTRACE_FRAMES_MAX) {
        let name = place.map_or(name.clone(), |place| format!("{name} at {place}"));
        match out.last_mut() {
            Some((last, times)) if *last == name => *times += 1,
            _ => out.push((name, 1)),
        }
    }
    let shown = out.into_iter().map(|(name, times)| if times == 1 { name } else { format!("{name} ({times} times)") });
    shown.collect::<Vec<_>>().join(" < ")
}

/// A Rust name without what tells one build from another: `::h0123456789abcdef` at its end, `[0123456789abcdef]` in it.
fn without_hashes(name: &str) -> String {
    const DIGITS: usize = 16;
    let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == DIGITS && hexadecimal(hash) => name,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if (DIGITS - 1..=DIGITS).contains(&hash.len()) && hexadecimal(hash) => {
                out.push_str(rest)
            }
            _ => {
                out.push('[');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backtraces_become_a_line() {
        let text = "error while executing at wasm backtrace:\n\
            \x20   0:   0x30 - guest.wasm!guest::deep::h2a9a0be01f99537c\n\
            \x20   1:   0x31 - guest.wasm!guest::deep::h2a9a0be01f99537c\n\
            \x20   2:  0x1b3 - guest.wasm!<[u8] as std[a543996e6e7dbf1e]::Of>::keep::{closure#0}\n\
            \x20   3:  0x1c0 - <unknown>!millstream:udf/filter@0.1.0#keep";
        let line = "guest::deep (2 times) < <[u8] as std::Of>::keep::{closure#0} < millstream:udf/filter@0.1.0#keep";
        assert_eq!(frames(text), line);
        assert_eq!(frames("error while executing at wasm backtrace:"), "");
        let debug = "error while executing at wasm backtrace:\n\
            \x20   0:   0x30 - core::panicking::panic::h2a9a0be01f99537c\n\
            \x20                   at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/lib.rs:7:5\n\
            \x20             - guest::keep::{{closure}}\n\
            \x20                   at /src/lib.rs:12\n\
            \x20   1:  0x1b3 - <unknown>!keep";
        let line =
            "core::panicking::panic at library/core/lib.rs:7:5 < guest::keep::{{closure}} at /src/lib.rs:12 < keep";
        assert_eq!(frames(debug), line);
        assert_eq!(stack_names(debug), ["core::panicking::panic", "guest::keep::{{closure}}", "keep"]);
        let many: String = (0..100).map(|i| format!("{i}: 0x{i} - m!f{i}\n")).collect();
        assert_eq!(frames(&many).split(" < ").count(), BACKTRACE_FRAMES_MAX);
    }
}
