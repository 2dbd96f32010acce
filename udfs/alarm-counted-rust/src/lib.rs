//! Tells of keys that have fallen silent, and how many records they had in a row: the successor of alarm-rust, whose entries
//! it reads and writes back. For keys that only alarm-rust heard of, their records are not known and count as 0.

use millstream_sdk::{Call, Clock, Migrate, Output, Record, Reject, Stored, Timer};

/// How long a key may be silent, milliseconds.
const SILENCE_MS: i64 = 30_000;

/// The store with what each key said last.
const LAST: &str = "last";

/// The output of alarms, and that of keys that are heard of again.
const ALARM: u32 = 0;
const AGAIN: u32 = 1;

/// Layout 0: the entry of alarm-rust, which is eight bytes of time, little-endian; 1 when there was an alarm about it, else 0;
/// the value. Layout 1: that, and a u64 of records behind it, little-endian.
const ALARM_RUST: u32 = 0;

/// What is known of a key.
struct Entry<'a> {
    /// When it was heard of last, event time in milliseconds.
    time: i64,
    /// Whether there was an alarm about it.
    alarmed: bool,
    /// What it said last.
    value: &'a [u8],
    /// How many records it had with no alarm between them, up to this one.
    records: u64,
}

impl<'a> Entry<'a> {
    fn decode_alarm(bytes: &'a [u8]) -> Result<Self, String> {
        match bytes.split_first_chunk() {
            Some((time, [alarmed @ (0 | 1), value @ ..])) => {
                Ok(Self { time: i64::from_le_bytes(*time), alarmed: *alarmed == 1, value, records: 0 })
            }
            _ => Err("an entry has eight bytes of time, a 0 or a 1, and a value".into()),
        }
    }

    fn encode_alarm(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.time.to_le_bytes());
        into.push(u8::from(self.alarmed));
        into.extend_from_slice(self.value);
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, String> {
        let (alarm, records) = bytes.split_last_chunk().ok_or("an entry has eight bytes of records at its end")?;
        Ok(Self { records: u64::from_le_bytes(*records), ..Self::decode_alarm(alarm)? })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.encode_alarm(into);
        into.extend_from_slice(&self.records.to_le_bytes());
    }

    /// One that this function has stored: what is none is no record's fault.
    fn known(bytes: &'a [u8]) -> Self {
        Self::decode(bytes).expect("the store `last` has entries of layout 1")
    }

    fn put(&self, call: &mut Call, key: &[u8]) {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        call.store(LAST).put(key, &bytes);
    }
}

/// What is sent: a text, and how many records there were in a row.
fn counted(text: &[u8], records: u64) -> Vec<u8> {
    [text, format!(", {records} records").as_bytes()].concat()
}

/// Notes what a key says and starts its thirty seconds anew.
pub fn heard(record: &Record, out: &mut Output, call: &mut Call) -> Result<(), Reject> {
    let key = record.key.ok_or_else(|| Reject::new("a record without a key belongs to nobody"))?;
    let mut last = call.store(LAST);
    let before = last.get(key).map(Entry::known);
    if let Some(before) = before.as_ref().filter(|before| before.alarmed && record.timestamp > before.time) {
        let silence_ms = record.timestamp - before.time;
        out.port(AGAIN);
        out.emit_value(Some(&counted(silence_ms.to_string().as_bytes(), before.records)));
    }
    // One that comes out of order is older than what is known.
    if before.as_ref().is_none_or(|before| record.timestamp >= before.time) {
        let records = before.filter(|before| !before.alarmed).map_or(0, |before| before.records) + 1;
        let entry = Entry { time: record.timestamp, alarmed: false, value: record.value_or_empty(), records };
        entry.put(call, key);
        call.timers().set(Clock::EventTime, Some(key), "silent", record.timestamp + SILENCE_MS);
    }
    Ok(())
}

/// A key was silent for thirty seconds.
pub fn silent(timer: &Timer, out: &mut Output, call: &mut Call) {
    let key = timer.key.unwrap_or_default();
    let Some(held) = call.store(LAST).get(key).map(<[u8]>::to_vec) else { return };
    let entry = Entry { alarmed: true, ..Entry::known(&held) };
    entry.put(call, key);
    out.port(ALARM);
    out.emit_value(Some(&counted(entry.value, entry.records)));
}

/// The layouts of the entries.
pub struct Entries;

impl Migrate for Entries {
    const CURRENT: u32 = 1;
    const READS: &'static [u32] = &[ALARM_RUST];
    const WRITES: &'static [u32] = &[ALARM_RUST];

    fn migrate(&self, stored: &Stored<'_>, old: u32, _new: u32, into: &mut Vec<u8>) -> Result<(), String> {
        match (stored.store, old) {
            (LAST, ALARM_RUST) => Entry::decode_alarm(stored.state)?.encode(into),
            (LAST, _) => Entry::decode(stored.state)?.encode_alarm(into),
            (other, _) => return Err(format!("the only store is `{LAST}`, and this entry is of `{other}`")),
        }
        Ok(())
    }
}

millstream_sdk::processor!(heard);
millstream_sdk::on_timer!(silent);
millstream_sdk::migrator!(Entries);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, BytesColumn, OutputColumns, TestHost};

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

    fn column(item: &[u8]) -> BytesColumn {
        [Some(item)].into_iter().collect()
    }

    fn migrate(store: &str, old: u32, new: u32, entry: &[u8]) -> Result<Vec<u8>, String> {
        let migrated = millstream_sdk::migrate(&Entries, store, old, new, &column(b"k"), &column(entry))?;
        Ok(migrated.get(0).expect("an entry stays one").to_vec())
    }

    /// At 1 s, without an alarm, `up`.
    const OF_ALARM: &[u8] = b"\xe8\x03\0\0\0\0\0\0\0up";

    #[test]
    fn silence_and_its_end_tell_how_many_records_there_were() {
        let mut host = TestHost::default();
        assert!(values(&say(&mut host, &[("a", 1_000), ("b", 5_000), ("older", 2_000)])).is_empty());
        let (due, alarm) = fire(&mut host);
        assert_eq!((due, values(&alarm), alarm.ports.clone()), (35_000, vec!["b, 2 records"], None));
        let again = say(&mut host, &[("c", 45_000), ("d", 46_000), ("e", 47_000)]);
        assert_eq!((values(&again), again.ports.clone()), (vec!["40000, 2 records"], Some(vec![AGAIN])));
        assert_eq!((fire(&mut host).0, values(&say(&mut host, &[("f", 77_001)]))), (77_000, vec!["30001, 3 records"]));
    }

    #[test]
    fn a_record_without_a_key_is_refused() {
        let nobody: Batch = [Record::of(b"x")].into_iter().collect();
        let output = millstream_sdk::process(&heard, &nobody, TestHost::default().lend());
        assert_eq!(output.rejected.len(), 1);
    }

    #[test]
    fn entries_of_alarm_are_read_and_written_back() {
        let new = migrate(LAST, ALARM_RUST, 1, OF_ALARM).unwrap();
        assert_eq!(new, [OF_ALARM, &[0; 8]].concat());
        assert_eq!(migrate(LAST, 1, ALARM_RUST, &new), Ok(OF_ALARM.to_vec()));
        for wrong in [&OF_ALARM[..8], b"", b"\xe8\x03\0\0\0\0\0\0\x02up"] {
            assert!(migrate(LAST, ALARM_RUST, 1, wrong).is_err(), "{wrong:?}");
        }
        assert!(migrate(LAST, 1, ALARM_RUST, &new[..16]).is_err());
        let why = migrate("first", ALARM_RUST, 1, OF_ALARM).unwrap_err();
        assert_eq!(why, "the only store is `last`, and this entry is of `first`");
    }

    #[test]
    fn a_key_that_alarm_heard_of_is_counted_from_here_on() {
        let mut host = TestHost::default();
        say(&mut host, &[("up", 1_000)]);
        let entry = host.stores.get_mut(LAST).and_then(|entries| entries.get_mut(&b"k"[..])).expect("it is there");
        *entry = migrate(LAST, ALARM_RUST, 1, OF_ALARM).unwrap();
        assert_eq!(values(&fire(&mut host).1), ["up, 0 records"]);
        assert_eq!(values(&say(&mut host, &[("back", 41_000)])), ["40000, 0 records"]);
        assert_eq!(values(&fire(&mut host).1), ["back, 1 records"]);
    }
}
