//! The access-log example seen from outside: lines into a topic, and a plain fold that says what must come out. Shares
//! nothing with the engine or the sample functions.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use millstream::cli::generate::{Lines, Shape};
use millstream::runtime::folder::Folder;
use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::Durability;
use millstream_local::{Append, Log, TopicConfig};

/// The topic that lines are written to.
pub const INPUT: &str = "input-topic";
/// The topic that counts are written to.
pub const OUTPUT: &str = "output-topic";
/// Length of the example's windows, milliseconds.
pub const WINDOW_MS: i64 = 10_000;
/// Grace of the example's windows, milliseconds.
pub const GRACE_MS: i64 = 2_000;

/// Lines appended at once to one partition.
const CHUNK_LINES: usize = 4_096;

/// The gap of sessions, milliseconds: some of an address's lines are further apart, most are not.
pub const GAP_MS: i64 = 2_000;

/// Counts by window start and address; of sessions the address has the end behind it.
pub type Counts = BTreeMap<(i64, String), u64>;

/// Lines as the tests and benches use them: `n` of them, 1.5 s out of order.
pub fn lines(n: usize, addresses: u32) -> impl Iterator<Item = String> {
    Lines::new(Shape { seed: 1, addresses, per_second: 1_000, disorder_ms: 1_500 }).take(n)
}

/// Writes lines to the input topic of a folder that no host runs on, in turn over its partitions.
///
/// # Errors
/// Those of the folder and its topics.
pub fn fill(folder: &Path, partitions: u32, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let folder = Folder::open(folder)?;
    let log = folder.log()?;
    if log.topic(INPUT).is_none() {
        let config = TopicConfig { retention_ms: None, retention_bytes: None, internal: false };
        log.create_topic(INPUT, partitions, config)?;
    }
    let mut builders: Vec<BatchBuilder> = (0..partitions).map(|_| BatchBuilder::default()).collect();
    for (i, line) in lines.enumerate() {
        let partition = i % partitions as usize;
        builders[partition].push(None, Some(line.as_bytes()), 0, []);
        if builders[partition].len() == CHUNK_LINES {
            append(&log, partition as u32, std::mem::take(&mut builders[partition]))?;
        }
    }
    for (partition, builder) in builders.into_iter().enumerate().filter(|(_, b)| !b.is_empty()) {
        append(&log, partition as u32, builder)?;
    }
    Ok(())
}

fn append(log: &Log, partition: u32, builder: BatchBuilder) -> anyhow::Result<()> {
    let append = Append { topic: INPUT.into(), partition, batch: builder.finish() };
    log.append(vec![append], Vec::new(), Durability::Process)?;
    Ok(())
}

/// What must come out of lines once every task is idle: counts of the windows that have closed.
pub fn expected(lines: impl Iterator<Item = String>) -> Counts {
    let (mut counts, mut last) = (Counts::new(), i64::MIN);
    for line in lines {
        let Some((ip, time)) = parse(&line) else { continue };
        last = last.max(time);
        *counts.entry((time - time.rem_euclid(WINDOW_MS), ip.to_string())).or_default() += 1;
    }
    counts.retain(|(start, _), _| start + WINDOW_MS + GRACE_MS <= last);
    counts
}

/// As [`expected`], of sessions. Lines are less out of order than the grace, so it does not matter to which task they went.
pub fn expected_sessions(lines: impl Iterator<Item = String>) -> Counts {
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for line in lines {
        let Some((ip, time)) = parse(&line) else { continue };
        times.entry(ip.to_string()).or_default().push(time);
    }
    let last = times.values().flatten().copied().max().unwrap_or(i64::MIN);
    let mut counts = Counts::new();
    for (ip, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|a, b| b - a <= GAP_MS) {
            let (start, end) = (session[0], session[session.len() - 1]);
            if end + GAP_MS + GRACE_MS < last {
                counts.insert((start, format!("{ip}/{end}")), session.len() as u64);
            }
        }
    }
    counts
}

/// Address and time of a line; `None` for lines that the example drops.
pub fn parse(line: &str) -> Option<(&str, i64)> {
    let ip = line.split("IP: ").nth(1)?.split(',').next()?;
    let (date, clock) = line.strip_prefix('[')?.split(']').next()?.split_once(' ')?;
    let time: jiff::civil::DateTime = format!("{date}T{clock}").parse().ok()?;
    Some((ip, jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond()))
}

/// Reads the output topic of a folder that no host runs on; a window counted twice is an error.
///
/// # Errors
/// Those of the folder; a key that is not address and window; a window that came out twice.
pub fn results(folder: &Path) -> anyhow::Result<Counts> {
    let folder = Folder::open(folder)?;
    let log = folder.log()?;
    let mut counts = Counts::new();
    for partition in 0..log.topic(OUTPUT).context("there is no output topic")?.partitions {
        let mut offset = log.start_offset(OUTPUT, partition).context("the output topic has no start")?;
        while offset < log.end_offset(OUTPUT, partition).context("the output topic has no end")? {
            let batch = log.read(OUTPUT, partition, offset, 1 << 20)?.batch;
            for i in 0..batch.len() {
                let (ip, start) = windowed(batch.keys.get(i).context("a result has no key")?)?;
                let value = std::str::from_utf8(batch.values.get(i).context("a result has no value")?)?;
                let before = counts.insert((start, ip.clone()), value.parse()?);
                ensure!(before.is_none(), "the window {start} of {ip} came out twice: {before:?} and {value}");
            }
            offset += batch.len() as i64;
        }
    }
    Ok(counts)
}

/// Address and window start of a key in the format `kafka`.
///
/// # Errors
/// For a key that is shorter.
pub fn windowed(key: &[u8]) -> anyhow::Result<(String, i64)> {
    let (ip, start) = key.split_last_chunk::<8>().context("a windowed key has at least 8 bytes")?;
    Ok((String::from_utf8(ip.to_vec())?, i64::from_be_bytes(*start)))
}

/// Address with the end behind it, and start, of a session's key in the format `kafka`.
///
/// # Errors
/// For a key that is shorter.
pub fn session(key: &[u8]) -> anyhow::Result<(String, i64)> {
    let (rest, start) = key.split_last_chunk::<8>().context("a session's key has at least 16 bytes")?;
    let (ip, end) = rest.split_last_chunk::<8>().context("a session's key has at least 16 bytes")?;
    let ip = String::from_utf8(ip.to_vec())?;
    Ok((format!("{ip}/{}", i64::from_be_bytes(*end)), i64::from_be_bytes(*start)))
}

/// The differences between two counts, the first few of them in words; empty when they are equal.
pub fn differences(expected: &Counts, got: &Counts) -> String {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(got.keys()).collect();
    let differing = keys.into_iter().filter(|k| expected.get(*k) != got.get(*k));
    let lines: Vec<String> =
        differing.map(|k| format!("{k:?}: expected {:?}, got {:?}", expected.get(k), got.get(k))).collect();
    match lines.len() {
        0 => String::new(),
        n => format!("{n} windows differ\n{}", lines.iter().take(10).cloned().collect::<Vec<_>>().join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fold_counts_closed_windows_only() {
        let line = |clock: &str, ip: &str| format!("[2021-05-01 14:30:{clock}] IP: {ip}, User: A, Action: B");
        let lines = [line("00", "1.1"), line("09", "1.1"), line("05", "2.2"), line("10", "1.1"), line("22", "3.3")];
        let noise = "[2021-05-01 14:30:59] health check passed".to_string();
        let counts = expected(lines.into_iter().chain([noise]));
        let start = 1_619_879_400_000;
        let expected = [((start, "1.1"), 2), ((start, "2.2"), 1), ((start + 10_000, "1.1"), 1)];
        let expected: Counts = expected.map(|((s, ip), n)| ((s, ip.to_string()), n)).into();
        assert_eq!(counts, expected, "the window of the last line is open");
        assert_eq!(differences(&expected, &counts), "");
        assert!(differences(&Counts::new(), &counts).starts_with("3 windows differ"));
    }

    #[test]
    fn the_fold_of_sessions_cuts_where_a_gap_is_longer() {
        let line = |clock: &str, ip: &str| format!("[2021-05-01 14:30:{clock}] IP: {ip}, User: A, Action: B");
        let lines = [line("02", "1.1"), line("00", "1.1"), line("05", "1.1"), line("05", "2.2"), line("10", "3.3")];
        let start = 1_619_879_400_000;
        let session = |from: i64, to: i64, ip: &str, n| ((start + from, format!("{ip}/{}", start + to)), n);
        let expected = [session(0, 2_000, "1.1", 2), session(5_000, 5_000, "1.1", 1), session(5_000, 5_000, "2.2", 1)];
        assert_eq!(expected_sessions(lines.into_iter()), expected.into(), "the session of the last line is open");
    }
}
