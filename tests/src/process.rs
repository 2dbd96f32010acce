//! What the operating system says of a process: CPU time of all its threads, peak memory. No tools, no sampling.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Clock ticks are this many a second on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of a process and of its threads that have ended; not of its children.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(id: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).with_context(|| format!("look at process {id}"))?;
    // The name, in parentheses, may hold blanks; `utime` and `stime` are the 14th and 15th fields.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).context("CPU time");
    Ok((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND)
}

/// Peak resident memory of a process, MiB.
///
/// # Errors
/// When there is no such process.
pub fn peak_mib(id: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("look at process {id}"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak memory")?;
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().context("peak memory")?;
    Ok(kib / 1024.0)
}

/// The machine in one line: processor, cores, memory, system.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_string();
        line.split_once(':').map(|(_, value)| value.trim().to_string()).unwrap_or_else(|| "unknown".into())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory: f64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let system = read("/proc/sys/kernel/osrelease").trim().to_string();
    format!("{processor}, {cores} cores, {:.0} GiB, Linux {system}", memory / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time_and_memory() {
        let own = std::process::id();
        let (before, peak) = (cpu_seconds(own).unwrap(), peak_mib(own).unwrap());
        let data: Vec<u64> = (0..8 << 20).collect();
        let mut sum = data.iter().sum::<u64>();
        while cpu_seconds(own).unwrap() < before + 0.05 {
            sum = sum.wrapping_mul(31) ^ data[sum as usize % data.len()];
        }
        assert!(peak_mib(own).unwrap() >= peak.max(64.0), "{sum}");
        assert!(cpu_seconds(u32::MAX).is_err() && peak_mib(u32::MAX).is_err());
        assert!(!machine().contains("unknown"), "{}", machine());
    }
}
