//! WASI 0.2 for guests whose language wants one, without any capability that was not granted: no environment, files, sockets, and no
//! time or chance that differs between runs. What an instance sees of it is a function of its version and of its own calls.
//! Not a way out of the sandbox, and never a refusal in the middle of a call that `inspect` did not announce: what is not
//! offered here is refused by name before anything runs.

mod clocks;
mod io;
mod nothing;

use wasmtime::component::{HasSelf, Linker, ResourceTable};

use crate::store::Data;

/// Handles to streams, pollables and networks that one instance may have at a time.
pub const HANDLES_MAX: usize = 1_000;

/// Bytes that one write to a stream may bring, and one request for random bytes get.
pub const TRANSFER_BYTES_MAX: u64 = 64 << 10;

#[allow(missing_docs, dead_code, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "millstream:wasi-host/functions",
        imports: { default: trappable },
        with: {
            "wasi:cli/terminal-input.terminal-input": crate::wasi::nothing::Nothing,
            "wasi:cli/terminal-output.terminal-output": crate::wasi::nothing::Nothing,
            "wasi:filesystem/types.descriptor": crate::wasi::nothing::Nothing,
            "wasi:filesystem/types.directory-entry-stream": crate::wasi::nothing::Nothing,
            "wasi:io/error.error": crate::wasi::nothing::Nothing,
            "wasi:io/poll.pollable": crate::wasi::io::Pollable,
            "wasi:io/streams.input-stream": crate::wasi::io::Ended,
            "wasi:io/streams.output-stream": crate::voice::Stream,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::wasi::nothing::Nothing,
            "wasi:sockets/network.network": crate::wasi::nothing::Network,
            "wasi:sockets/tcp.tcp-socket": crate::wasi::nothing::Nothing,
            "wasi:sockets/udp.incoming-datagram-stream": crate::wasi::nothing::Nothing,
            "wasi:sockets/udp.outgoing-datagram-stream": crate::wasi::nothing::Nothing,
            "wasi:sockets/udp.udp-socket": crate::wasi::nothing::Nothing,
        },
    });
}

/// The interfaces that are offered, and how each is met, in words for people.
const OFFERED: [(&str, &str); 27] = [
    ("wasi:cli/environment", "empty, but for what is granted"),
    ("wasi:cli/exit", "ends the call with a fault"),
    ("wasi:cli/stderr", "lines go to the log, as warnings"),
    ("wasi:cli/stdin", "at its end"),
    ("wasi:cli/stdout", "lines go to the log"),
    ("wasi:cli/terminal-input", "there is none"),
    ("wasi:cli/terminal-output", "there is none"),
    ("wasi:cli/terminal-stderr", "there is none"),
    ("wasi:cli/terminal-stdin", "there is none"),
    ("wasi:cli/terminal-stdout", "there is none"),
    ("wasi:clocks/monotonic-clock", "counts its readings, anew in each call"),
    ("wasi:clocks/wall-clock", "stands still, unless it is granted"),
    ("wasi:filesystem/preopens", "there are none"),
    ("wasi:filesystem/types", "there are no files"),
    ("wasi:io/error", "deterministic"),
    ("wasi:io/poll", "never waits"),
    ("wasi:io/streams", "deterministic"),
    ("wasi:random/insecure", "the same in each call, unless chance is granted"),
    ("wasi:random/insecure-seed", "the same in each call, unless chance is granted"),
    ("wasi:random/random", "the same in each call, so not secret, unless chance is granted"),
    ("wasi:sockets/instance-network", "access denied"),
    ("wasi:sockets/ip-name-lookup", "access denied"),
    ("wasi:sockets/network", "access denied"),
    ("wasi:sockets/tcp", "access denied"),
    ("wasi:sockets/tcp-create-socket", "access denied"),
    ("wasi:sockets/udp", "access denied"),
    ("wasi:sockets/udp-create-socket", "access denied"),
];

/// What is offered, for who imports something else.
pub(crate) const SUMMARY: &str = "cli, clocks, filesystem, io, random and sockets of WASI 0.2";

/// How this import is met; `None` where it is not: another interface, or one of another version than 0.2.
pub(crate) fn met(import: &str) -> Option<&'static str> {
    let (name, version) = import.split_once('@')?;
    // Patch versions only add; pre-releases (`0.2.0-rc-…`) were something else.
    version.strip_prefix("0.2.")?.parse::<u32>().ok()?;
    OFFERED.iter().find(|(offered, _)| *offered == name).map(|(_, how)| *how)
}

/// Offers all of it.
pub(crate) fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    // What WASI itself does not promise yet is not offered.
    let promised = generated::LinkOptions::default();
    generated::Functions::add_to_linker::<_, HasSelf<Data>>(linker, &promised, |data| data)
}

/// What one instance has of it.
pub(crate) struct Wasi {
    handles: ResourceTable,
    clock: clocks::Counter,
    random: clocks::Stream,
    /// Milliseconds since 1970 that the wall clock stands at.
    pub(crate) wall_ms: u64,
}

impl Wasi {
    pub(crate) fn new(wall_ms: u64) -> Self {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(HANDLES_MAX);
        Self { handles, clock: clocks::Counter::default(), random: clocks::Stream::default(), wall_ms }
    }

    /// A call begins: it sees what every call sees.
    pub(crate) fn begin(&mut self) {
        self.clock = clocks::Counter::default();
        self.random = clocks::Stream::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_met_is_what_is_linked() {
        let world = include_str!("../../wit/wasi.wit");
        let imports = world.lines().filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix("@0.2.12;"));
        assert_eq!(imports.collect::<Vec<_>>(), OFFERED.map(|(name, _)| name));
    }

    #[test]
    fn versions_of_the_track_are_met_and_others_are_not() {
        assert_eq!(met("wasi:cli/stdin@0.2.0"), Some("at its end"));
        assert_eq!(met("wasi:cli/stdin@0.2.99"), Some("at its end"));
        let others = ["wasi:cli/stdin@0.3.0", "wasi:cli/stdin@0.2.0-rc-2023", "wasi:cli/stdin", "wasi:cli/run@0.2.0"];
        assert_eq!(others.map(met), [None; 4]);
    }
}
