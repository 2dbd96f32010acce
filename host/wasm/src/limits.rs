//! What a function may use, as named numbers with units, and beside them what it is granted. Who holds a guest to them is `instance`,
//! `trial`, `compile` and `registry`.

use crate::grants::Grants;

/// Stack of a running guest, bytes. A guest that recurses further traps.
pub const WASM_STACK_BYTES: usize = 1 << 20;

/// Stack of every thread that calls guests, bytes: with less than the guest's own stack and room for the host's part, a
/// recursing guest would end the process.
pub const WORKER_STACK_BYTES: usize = WASM_STACK_BYTES + (2 << 20);

/// Largest memory that any function can be given, bytes: what a 32-bit memory can hold.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Most table elements that any function can be given, in one table.
pub const TABLE_ELEMENTS_MAX: u32 = 200_000;

/// Memories that one component may have, those of the components and adapters inside it among them. `memory` of [`Limits`]
/// holds for their sum.
pub const MEMORIES_MAX: u32 = 8;

/// Memories that one core module may have, its own and those it imports. Only what the engine itself puts between two
/// components inside a file has two.
pub const MODULE_MEMORIES_MAX: u32 = 1;

/// Tables that one component may have.
pub const TABLES_MAX: u32 = 16;

/// Core instances that one component may have.
pub const CORE_INSTANCES_MAX: u32 = 64;

/// Frames of a guest's backtrace that are told where it trapped.
pub const BACKTRACE_FRAMES_MAX: usize = 16;

/// Frames of a guest's stack that are looked at: a profile shows them all.
pub const STACK_FRAMES_MAX: usize = 128;

/// Bytes of a fault's text, of a guest's refusal, and of a rejection's reason that are kept.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Bytes of what a guest said before a trap that are kept in the trap's text.
pub const LAST_WORDS_BYTES_MAX: usize = 1 << 10;

/// Functions that one component may name.
pub const FUNCTIONS_MAX: usize = 1_000;

/// Bytes of everything that a component says of its functions.
pub const FUNCTIONS_BYTES_MAX: usize = 1 << 20;

/// Reasons against one component that are told.
pub const REASONS_MAX: usize = 20;

/// Layouts of stored states that one function may name, read and written together.
pub const LAYOUTS_MAX: usize = 1_000;

/// What one function may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Memory of one instance, bytes, all its memories together.
    pub memory_bytes: u64,
    /// Elements of one instance's tables, together.
    pub table_elements: u32,
    /// CPU time of a call, milliseconds, however few records it has.
    pub call_cpu_ms: u64,
    /// CPU time of a call for each of its records, microseconds, on top of `call_cpu_ms`.
    pub record_cpu_us: u64,
    /// Wall time of a call, as a multiple of its CPU time: for a guest on a machine that has no time for it.
    pub wall_factor: u32,
    /// CPU time of a new instance before its first call, milliseconds: its own start, `lifecycle.start`, `describe`.
    pub start_cpu_ms: u64,
    /// What one call may return, bytes in the host's memory, all columns and texts together.
    pub result_bytes: usize,
    /// Results for each record of a call, on average over the call.
    pub results_per_record: u32,
    /// Log lines in a second, over all instances of the function; more are counted and dropped.
    pub log_lines_per_second: u32,
    /// Bytes of a log line; a longer one is cut.
    pub log_line_bytes: usize,
    /// What it may learn of the machine.
    pub grants: Grants,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            call_cpu_ms: 200,
            record_cpu_us: 20,
            wall_factor: 30,
            start_cpu_ms: 2_000,
            result_bytes: 64 << 20,
            results_per_record: 10_000,
            log_lines_per_second: 100,
            log_line_bytes: 2 << 10,
            grants: Grants::default(),
        }
    }
}

impl Limits {
    /// CPU time of a call with this many records, milliseconds.
    pub fn call_ms(&self, records: usize) -> u64 {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.call_cpu_ms.saturating_add(self.record_cpu_us.saturating_mul(records) / 1_000)
    }

    /// What is wrong with these numbers themselves, in words for people.
    pub fn faults(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut bounded = |name: &str, value: u64, low: u64, high: u64, unit: &str| {
            if value < low || value > high {
                out.push(format!("the limit `{name}` is {value} {unit}; it can be {low} to {high}"));
            }
        };
        bounded("memory", self.memory_bytes, 64 << 10, MEMORY_BYTES_MAX, "bytes");
        bounded("table-elements", self.table_elements.into(), 0, TABLE_ELEMENTS_MAX.into(), "elements");
        bounded("time-per-call", self.call_cpu_ms, 1, 600_000, "ms");
        bounded("time-per-record", self.record_cpu_us, 0, 60_000_000, "µs");
        bounded("wall-factor", self.wall_factor.into(), 1, 1_000, "times");
        bounded("start-time", self.start_cpu_ms, 1, 600_000, "ms");
        bounded("result-bytes", self.result_bytes as u64, 1 << 10, 2 << 30, "bytes");
        bounded("results-per-record", self.results_per_record.into(), 1, u32::MAX.into(), "results");
        bounded("log-line-size", self.log_line_bytes as u64, 16, 1 << 20, "bytes");
        out.extend(self.grants.faults());
        out
    }
}

/// `bytes` for people: whole units where it is one, else two digits behind the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes >= 1 << shift {
            let whole = bytes >> shift;
            let rest = bytes & ((1 << shift) - 1);
            return if rest == 0 {
                format!("{whole} {unit}")
            } else {
                format!("{:.2} {unit}", bytes as f64 / (1u64 << shift) as f64)
            };
        }
    }
    format!("{bytes} bytes")
}

/// At most `bytes_max` bytes of a text, cut between characters.
pub(crate) fn cut(text: &mut String, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    text.truncate(text.floor_char_boundary(bytes_max));
    text.push('…');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_records() {
        let limits = Limits { call_cpu_ms: 10, record_cpu_us: 500, ..Limits::default() };
        assert_eq!([0, 1, 2, 1000].map(|n| limits.call_ms(n)), [10, 10, 11, 510]);
        let most = Limits { record_cpu_us: u64::MAX, ..Limits::default() };
        assert_eq!(most.call_ms(usize::MAX), 200 + u64::MAX / 1000);
    }

    #[test]
    fn limits_out_of_bounds_are_named() {
        assert_eq!(Limits::default().faults(), Vec::<String>::new());
        let wrong =
            Limits { memory_bytes: 1, call_cpu_ms: 0, table_elements: TABLE_ELEMENTS_MAX + 1, ..Limits::default() };
        let wrong = wrong.faults().join("\n");
        let expected = "the limit `memory` is 1 bytes; it can be 65536 to 4294967296\n\
            the limit `table-elements` is 200001 elements; it can be 0 to 200000\n\
            the limit `time-per-call` is 0 ms; it can be 1 to 600000";
        assert_eq!(wrong, expected);
    }

    #[test]
    fn sizes_are_short() {
        let got = [0, 1023, 1 << 10, 64 << 20, (64 << 20) + (1 << 19), 3 << 30].map(size);
        assert_eq!(got, ["0 bytes", "1023 bytes", "1 KiB", "64 MiB", "64.50 MiB", "3 GiB"]);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let mut text = "aäö".to_string();
        assert!(!cut(&mut text, 5));
        assert!(cut(&mut text, 4));
        assert_eq!(text, "aä…");
    }
}
