//! Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record after
//! one gives how long the silence was. A record without a key is refused.

use millstream_sdk::{Call, Clock, Output, Record, Reject, Timer};

/// How long a key may be silent, milliseconds.
const SILENCE_MS: i64 = 30_000;

/// The store with what each key said last: eight bytes of time, little-endian; 1 when there was an alarm about it, else 0; the value.
const LAST: &str = "last";

/// The output of alarms, and that of keys that are heard of again.
const ALARM: u32 = 0;
const AGAIN: u32 = 1;

/// Notes what a key says and starts its thirty seconds anew.
pub fn heard(record: &Record, out: &mut Output, call: &mut Call) -> Result<(), Reject> {
    let key = record.key.ok_or_else(|| Reject::new("a record without a key belongs to nobody"))?;
    let mut last = call.store(LAST);
    let before = last.get(key).and_then(|held| Some((i64::from_le_bytes(*held.first_chunk()?), held[8])));
    if let Some((time, _)) = before.filter(|(time, alarmed)| *alarmed == 1 && record.timestamp > *time) {
        out.port(AGAIN);
        out.emit_value(Some((record.timestamp - time).to_string().as_bytes()));
    }
    // One that comes out of order is older than what is known.
    if before.is_none_or(|(time, _)| record.timestamp >= time) {
        let held = [&record.timestamp.to_le_bytes()[..], &[0], record.value_or_empty()].concat();
        last.put(key, &held);
        call.timers().set(Clock::EventTime, Some(key), "silent", record.timestamp + SILENCE_MS);
    }
    Ok(())
}

/// A key was silent for thirty seconds.
pub fn silent(timer: &Timer, out: &mut Output, call: &mut Call) {
    let (key, mut last) = (timer.key.unwrap_or_default(), call.store(LAST));
    let Some(mut held) = last.get(key).map(<[u8]>::to_vec) else { return };
    held[8] = 1;
    last.put(key, &held);
    out.port(ALARM);
    out.emit_value(Some(&held[9..]));
}

millstream_sdk::processor!(heard);
millstream_sdk::on_timer!(silent);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, OutputColumns, TestHost};

    fn say(host: &mut TestHost, items: &[(&'static str, i64)]) -> OutputColumns {
        let record = |(value, timestamp): &(&'static str, i64)| Record {
            key: Some(b"k"),
            timestamp: *timestamp,
            ..Record::of(value.as_bytes())
        };
        millstream_sdk::process(&heard, &items.iter().map(record).collect(), host.lend())
    }

    fn fire(host: &mut TestHost) -> (i64, OutputColumns) {
        let ((clock, key, name), due) = host.timers.pop_first().expect("a timer is set");
        let timer = Record { key: key.as_deref(), timestamp: due, ..Record::of(name.as_bytes()) };
        let due_now: Batch = [timer].into_iter().collect();
        (due, millstream_sdk::fire(&silent, clock, &due_now, host.lend()))
    }

    fn values(output: &OutputColumns) -> Vec<&str> {
        let values = output.values.iter().flat_map(|values| values.iter());
        values.map(|value| std::str::from_utf8(value.unwrap()).unwrap()).collect()
    }

    #[test]
    fn silence_gives_an_alarm_and_its_end_is_told() {
        let mut host = TestHost::default();
        assert!(values(&say(&mut host, &[("a", 1_000), ("b", 5_000), ("older", 2_000)])).is_empty());
        let (due, alarm) = fire(&mut host);
        assert_eq!((due, values(&alarm), alarm.ports.clone()), (35_000, vec!["b"], None));
        let again = say(&mut host, &[("c", 45_000), ("d", 46_000)]);
        assert_eq!((values(&again), again.ports.clone()), (vec!["40000"], Some(vec![AGAIN])));
        assert_eq!(fire(&mut host).0, 76_000);
    }

    #[test]
    fn a_record_without_a_key_is_refused() {
        let nobody: Batch = [Record::of(b"x")].into_iter().collect();
        let output = millstream_sdk::process(&heard, &nobody, TestHost::default().lend());
        assert_eq!(output.rejected.len(), 1);
    }
}
