//! Whether results are right: what a contender left out or made up is a figure of the report, since leaving out is quick.

use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_kafka::replay::{Replay, Stretch};
use millstream_tests::access::{Counts, windowed};

use crate::contender::Pipeline;
use crate::input::{HOUR_MS, Input, SECOND_MS};
use crate::place::{Place, partitions};

const QUEUE_BYTES: usize = 64 << 20;
const MESSAGES_MAX: usize = 50_000;
const READ_WAIT: Duration = Duration::from_millis(200);
/// Looks at the results, and the pause between two: those of idle tasks come a second after the last record.
const LOOKS: u32 = 8;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Input records whose results are missing, and results of records that there are not; 0 when all is right.
///
/// # Errors
/// Those of the broker.
pub fn differing(place: &Place, input: &Input, pipeline: Pipeline, output: &str) -> anyhow::Result<u64> {
    let mut least = u64::MAX;
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(LOOK_PAUSE);
        }
        let differing = match pipeline {
            Pipeline::LargeState => counted_keys(place, input, output)?,
            Pipeline::Pass => read(place, input, output, &mut |_, _| Ok(()))?.abs_diff(input.kept),
            _ => counted(place, input, pipeline, output)?,
        };
        least = least.min(differing);
        if least == 0 {
            break;
        }
    }
    Ok(least)
}

/// The last count of each window against that of a plain fold.
fn counted(place: &Place, input: &Input, pipeline: Pipeline, output: &str) -> anyhow::Result<u64> {
    let closed;
    let expected = match pipeline.is_on_close() {
        true => {
            closed = match pipeline {
                Pipeline::HoppingClose => input.closed_hours(SECOND_MS),
                Pipeline::HourClose => input.closed_hours(HOUR_MS),
                _ => input.closed(),
            };
            &closed
        }
        false => &input.counts,
    };
    let mut got = Counts::new();
    read(place, input, output, &mut |key, value| {
        let (ip, start) = windowed(key)?;
        let count = u64::from_be_bytes(value.try_into().context("a count has eight bytes")?);
        let before = got.insert((start, ip), count);
        ensure!(before.is_none() || !pipeline.is_on_close(), "a window came out twice");
        Ok(())
    })?;
    let missing: u64 = expected.iter().map(|(window, n)| n.abs_diff(got.get(window).copied().unwrap_or(0))).sum();
    let more: u64 = got.iter().filter(|(window, _)| !expected.contains_key(window)).map(|(_, n)| n).sum();
    Ok(missing + more)
}

/// The largest count of each key against how often it was written.
fn counted_keys(place: &Place, input: &Input, output: &str) -> anyhow::Result<u64> {
    let keys = input.load.keys.context("the input is one of keys")?;
    let (each, mut got) = (input.kept / keys, vec![0u8; keys as usize]);
    read(place, input, output, &mut |key, value| {
        let number = std::str::from_utf8(key)?.strip_prefix("key-").context("it is no key")?.parse::<usize>()?;
        let count = u64::from_be_bytes(value.try_into().context("a count has eight bytes")?);
        let got = got.get_mut(number).context("there is no such key")?;
        *got = (*got).max(u8::try_from(count).context("a count is too large")?);
        Ok(())
    })?;
    Ok(got.iter().map(|got| u64::from(*got).abs_diff(each)).sum())
}

/// What takes results: key and value.
type Take<'t> = dyn FnMut(&[u8], &[u8]) -> anyhow::Result<()> + 't;

/// Reads a topic, read committed; tells how many records there are.
fn read(place: &Place, input: &Input, topic: &str, take: &mut Take<'_>) -> anyhow::Result<u64> {
    let all = partitions(topic, input.times.len() as u32);
    let stretches: Vec<Stretch> = all.into_iter().map(|partition| Stretch { partition, from: None }).collect();
    let mut replay = Replay::start(&place.properties, &place.name("reader"), &stretches, QUEUE_BYTES)?;
    let mut records = 0;
    while !replay.is_done() {
        for fetched in replay.read(MESSAGES_MAX, READ_WAIT)? {
            records += fetched.batch.len() as u64;
            for row in 0..fetched.batch.len() {
                let key = fetched.batch.keys.get(row).context("a result has no key")?;
                take(key, fetched.batch.values.get(row).context("a result has no value")?)?;
            }
        }
    }
    Ok(records)
}
