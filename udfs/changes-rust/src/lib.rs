//! Two functions in one file: what has changed since the record of its key before, and to which topic a result goes.

use json_number::Field;
use millstream_sdk::{Call, Clock, OnTimer, Output, Processor, Record, Reject, Router, Settings, Timer};

/// The store with the JSON text of the field that each key had last.
const LAST: &str = "last";

/// Passes a record when a field has another value than in the record of its key before. A record without a key is refused.
pub struct Changed {
    field: Field,
    /// After how long without a record a key is forgotten, milliseconds; `None`: never.
    forget_ms: Option<i64>,
}

impl Changed {
    /// JSON Schema of its settings.
    pub const SETTINGS: &str = r#"{"type":"object","properties":{"field":{"type":"string"},"forget-ms":{"type":"integer","minimum":1}},"required":["field"],"additionalProperties":false}"#;

    /// Takes the settings `field` and `forget-ms`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        settings.required("field")?;
        let forget_ms = settings.parsed("forget-ms")?;
        if let Some(ms) = forget_ms.filter(|ms| *ms < 1) {
            return Err(format!("the setting `forget-ms` is {ms}; it is a millisecond at least"));
        }
        Ok(Self { field: Field::new(settings)?, forget_ms })
    }
}

impl Processor for Changed {
    fn process(&self, record: &Record<'_>, out: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or("a record without a key has none before it")?;
        let now = self.field.text(record)?.as_bytes();
        let mut last = call.store(LAST);
        if last.get(key) != Some(now) {
            last.put(key, now);
            out.emit_same();
        }
        if let Some(ms) = self.forget_ms {
            call.timers().set(Clock::EventTime, Some(key), "forget", record.timestamp.saturating_add(ms));
        }
        Ok(())
    }
}

impl OnTimer for Changed {
    fn fire(&self, timer: &Timer<'_>, _: &mut Output<'_>, call: &mut Call<'_>) -> Result<(), Reject> {
        call.store(LAST).remove(timer.key.unwrap_or_default());
        Ok(())
    }
}

/// Sends a result to the topic whose name is a prefix and the text of a field.
pub struct ToTopic {
    field: Field,
    prefix: String,
}

impl ToTopic {
    /// JSON Schema of its settings.
    pub const SETTINGS: &str = r#"{"type":"object","properties":{"field":{"type":"string"},"prefix":{"type":"string"}},"required":["field","prefix"],"additionalProperties":false}"#;

    /// Takes the settings `field` and `prefix`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        settings.required("field")?;
        Ok(Self { field: Field::new(settings)?, prefix: settings.required("prefix")?.to_string() })
    }
}

impl Router for ToTopic {
    type Route = Option<String>;

    fn route(&self, record: &Record<'_>) -> Result<Option<String>, Reject> {
        let text = self.field.text(record)?;
        Ok(Some(format!("{}-{}", self.prefix, text.trim_matches('"'))))
    }
}

millstream_sdk::functions! {
    /// Passes a record when a JSON field has another value than in the record of its key before.
    "changed": processor + on_timer = Changed::new, settings = Changed::SETTINGS;
    /// Sends a result to the topic that a prefix and a JSON field name.
    "to-topic": router = ToTopic::new, settings = ToTopic::SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, TestHost, start};

    fn at(key: &'static str, value: &'static str, timestamp: i64) -> Record<'static> {
        Record { key: Some(key.as_bytes()), timestamp, ..Record::of(value.as_bytes()) }
    }

    #[test]
    fn a_record_passes_where_its_field_has_changed_or_is_forgotten() {
        let settings = Settings::from([("field", "s"), ("forget-ms", "100")]);
        let changed = start(FUNCTIONS, "changed", &settings).unwrap();
        let mut host = TestHost::default();
        let mut passed = |records: &[Record<'static>]| {
            let records: Batch = records.iter().copied().collect();
            let output = changed.process(&records, host.lend()).unwrap();
            let due = host.timers.pop_first();
            if let Some(((clock, key, name), due)) = due {
                let timer = Record { key: key.as_deref(), timestamp: due, ..Record::of(name.as_bytes()) };
                changed.fire(clock, &[timer].into_iter().collect(), host.lend()).unwrap();
            }
            (output.taken, output.sources.map_or(records.len(), |sources| sources.len()), output.rejected.len())
        };
        let same = r#"{"s":"up"}"#;
        assert_eq!(passed(&[at("a", same, 0), at("a", r#"{"s":"up","n":1}"#, 1)]).1, 1, "the field is what it was");
        assert_eq!(passed(&[at("a", same, 2)]).1, 1, "it was forgotten");
        assert_eq!(passed(&[at("b", "no", 3)]).2, 1);
        let error = |settings| start(FUNCTIONS, "changed", &settings).err().unwrap();
        assert_eq!(error(Settings::default()), "the setting `field` is missing");
        assert!(error(Settings::from([("field", "s"), ("forget-ms", "0")])).contains("`forget-ms` is 0"));
    }

    #[test]
    fn a_result_goes_to_the_topic_of_its_field() {
        let settings = Settings::from([("field", "s"), ("prefix", "of")]);
        let routed = start(FUNCTIONS, "to-topic", &settings).unwrap();
        let records = [at("a", r#"{"s":"up"}"#, 0), at("a", r#"{"s":4}"#, 0), at("a", "{}", 0)].into_iter().collect();
        let routed = routed.route(&records).unwrap();
        assert_eq!((routed.topics.get(0), routed.topics.get(1)), (Some(&b"of-up"[..]), Some(&b"of-4"[..])));
        assert_eq!(routed.rejected.len(), 1);
    }
}
