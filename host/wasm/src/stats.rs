//! What a prepared version has cost so far, over all workers. Counters only.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use millstream_core::function::Fault;

/// Of so many calls the CPU time of one is taken: to ask for it costs as much as a hundred records of a small function.
pub const CPU_SAMPLED: u64 = 16;

/// A call of so many records or more is full: what it costs to be called at all is small beside them.
pub const FULL_CALL_RECORDS: usize = 1_024;

/// Costs of a prepared version since it was prepared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls, the failed ones included.
    pub calls: u64,
    /// Records given to them.
    pub records: u64,
    /// Wall time in them, nanoseconds, with copying in and out.
    pub nanoseconds: u64,
    /// Records of full calls ([`FULL_CALL_RECORDS`]), and the wall time in those, nanoseconds.
    pub full_records: u64,
    /// See there.
    pub full_nanoseconds: u64,
    /// CPU time in them, nanoseconds: estimated from what one call in [`CPU_SAMPLED`] took of the CPU and of wall time.
    pub cpu_nanoseconds: u64,
    /// Records that it answered with a rejection.
    pub rejected: u64,
    /// Instances made.
    pub instances: u64,
    /// Most memory that one instance had, bytes.
    pub memory_bytes_max: u64,
    /// Calls that trapped.
    pub trapped: u64,
    /// Calls that took too long.
    pub timed_out: u64,
    /// Calls that asked for too much memory.
    pub out_of_memory: u64,
    /// Calls whose result broke the contract.
    pub bad_result: u64,
    /// Calls answered with an error.
    pub refused: u64,
    /// Calls for which there was no instance.
    pub unavailable: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines dropped for being too many.
    pub log_lines_dropped: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    records: AtomicU64,
    nanoseconds: AtomicU64,
    full_records: AtomicU64,
    full_nanoseconds: AtomicU64,
    /// CPU time and wall time of the calls whose CPU time was taken.
    sampled_cpu: AtomicU64,
    sampled_wall: AtomicU64,
    rejected: AtomicU64,
    instances: AtomicU64,
    memory_bytes_max: AtomicU64,
    faults: [AtomicU64; 6],
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
}

fn place(fault: &Fault) -> usize {
    match fault {
        Fault::Trap { .. } => 0,
        Fault::TimedOut { .. } => 1,
        Fault::OutOfMemory { .. } => 2,
        Fault::BadResult { .. } => 3,
        Fault::Refused { .. } => 4,
        Fault::Unavailable { .. } => 5,
    }
}

impl Counters {
    /// One call: its records, how long it took, and what went wrong.
    pub(crate) fn call(&self, records: usize, nanoseconds: u64, fault: Option<&Fault>) {
        self.calls.fetch_add(1, Relaxed);
        self.records.fetch_add(records as u64, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
        if records >= FULL_CALL_RECORDS {
            self.full_records.fetch_add(records as u64, Relaxed);
            self.full_nanoseconds.fetch_add(nanoseconds, Relaxed);
        }
        if let Some(fault) = fault {
            self.faults[place(fault)].fetch_add(1, Relaxed);
        }
    }

    /// Whether the CPU time of the next call is to be taken.
    pub(crate) fn samples_cpu(&self) -> bool {
        self.calls.load(Relaxed).is_multiple_of(CPU_SAMPLED)
    }

    /// What a call took of wall time, nanoseconds, and of the CPU.
    pub(crate) fn cpu(&self, wall: u64, cpu: Duration) {
        self.sampled_wall.fetch_add(wall, Relaxed);
        self.sampled_cpu.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX).min(wall), Relaxed);
    }

    pub(crate) fn rejected(&self, records: usize) {
        self.rejected.fetch_add(records as u64, Relaxed);
    }

    pub(crate) fn instance(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(crate) fn memory(&self, bytes: u64) {
        self.memory_bytes_max.fetch_max(bytes, Relaxed);
    }

    pub(crate) fn log(&self, dropped: bool) {
        let counter = if dropped { &self.log_lines_dropped } else { &self.log_lines };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let fault = |place: usize| self.faults[place].load(Relaxed);
        Stats {
            calls: self.calls.load(Relaxed),
            records: self.records.load(Relaxed),
            nanoseconds: self.nanoseconds.load(Relaxed),
            full_records: self.full_records.load(Relaxed),
            full_nanoseconds: self.full_nanoseconds.load(Relaxed),
            cpu_nanoseconds: share(self.nanoseconds.load(Relaxed), &self.sampled_cpu, &self.sampled_wall),
            rejected: self.rejected.load(Relaxed),
            instances: self.instances.load(Relaxed),
            memory_bytes_max: self.memory_bytes_max.load(Relaxed),
            trapped: fault(0),
            timed_out: fault(1),
            out_of_memory: fault(2),
            bad_result: fault(3),
            refused: fault(4),
            unavailable: fault(5),
            log_lines: self.log_lines.load(Relaxed),
            log_lines_dropped: self.log_lines_dropped.load(Relaxed),
        }
    }
}

/// Of all wall time what the CPU was in the sampled part of it.
fn share(all: u64, cpu: &AtomicU64, wall: &AtomicU64) -> u64 {
    let (cpu, wall) = (cpu.load(Relaxed), wall.load(Relaxed).max(1));
    u64::try_from(u128::from(all) * u128::from(cpu) / u128::from(wall)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_estimated_from_samples() {
        let counters = Counters::default();
        for call in 0..2 * CPU_SAMPLED {
            if counters.samples_cpu() {
                counters.cpu(1_000, Duration::from_nanos(if call == 0 { 500 } else { 2_000 }));
            }
            counters.call(3, 1_000, None);
        }
        let stats = counters.read();
        assert_eq!((stats.calls, stats.records, stats.nanoseconds), (32, 96, 32_000));
        assert_eq!(stats.cpu_nanoseconds, 24_000, "half in one sample, all in the other, and never more than all");
        assert_eq!(Counters::default().read(), Stats::default());
        counters.call(FULL_CALL_RECORDS, 5_000, None);
        counters.call(FULL_CALL_RECORDS - 1, 7_000, None);
        let stats = counters.read();
        assert_eq!((stats.full_records, stats.full_nanoseconds), (1_024, 5_000));
    }
}
