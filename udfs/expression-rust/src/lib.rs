//! Filters and maps that are written in the manifest, as expressions in jq's language over a record's JSON value. Nothing of a
//! record's neighbours, of the machine or of the clock is in an expression's reach.
//!
//! `$key` is the record's key (text, or null), `$timestamp` its event time in milliseconds.

mod jq;

use millstream_sdk::{Filter, Mapper, Output, Record, Reject, Settings};

use jq::{Expression, Input, Value};

/// Keeps records for which an expression's first result is neither `false` nor `null`, as jq's `select` does.
pub struct JqFilter {
    expression: Expression,
}

impl JqFilter {
    /// Takes the setting `expression`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { expression: Expression::new("expression", settings.required("expression")?)? })
    }
}

impl Filter for JqFilter {
    fn keep(&self, record: &Record<'_>) -> Result<bool, Reject> {
        let first = self.expression.first(&Input::of(record)?)?;
        Ok(first.is_some_and(|value| value.is_true()))
    }
}

/// Makes new records: one for each result of an expression, or another key or time.
pub struct JqMap {
    /// `None`: the value stays, byte by byte.
    value: Option<Expression>,
    key: Option<Expression>,
    timestamp: Option<Expression>,
}

impl JqMap {
    /// Takes the settings `value`, `key` and `timestamp`, at least one of them.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let of = |name| settings.get(name).map(|text| Expression::new(name, text)).transpose();
        let made = Self { value: of("value")?, key: of("key")?, timestamp: of("timestamp")? };
        if made.value.is_none() && made.key.is_none() && made.timestamp.is_none() {
            return Err("one of the settings `value`, `key`, `timestamp` must be given".into());
        }
        Ok(made)
    }

    fn key(&self, input: &Input, record: &Record<'_>) -> Result<Option<Vec<u8>>, Reject> {
        match &self.key {
            None => Ok(record.key.map(<[u8]>::to_vec)),
            Some(expression) => expression.only(input)?.into_key(),
        }
    }

    fn timestamp(&self, input: &Input, record: &Record<'_>) -> Result<i64, Reject> {
        let Some(expression) = &self.timestamp else { return Ok(record.timestamp) };
        let value = expression.only(input)?;
        let time = value.milliseconds().filter(|time| *time >= 0);
        time.ok_or_else(|| {
            Reject::new(format!("the setting `timestamp` gives {value}, which is no time in milliseconds since 1970"))
        })
    }
}

impl Mapper for JqMap {
    fn map(&self, record: &Record<'_>, out: &mut Output) -> Result<(), Reject> {
        let input = Input::of(record)?;
        let (key, timestamp) = (self.key(&input, record)?, self.timestamp(&input, record)?);
        match &self.value {
            None => out.emit(key.as_deref(), record.value, timestamp),
            Some(expression) => {
                // All of them before the first is sent: a record that is refused has no result.
                let values = expression.all(&input)?.into_iter().map(Value::into_json);
                for value in values.collect::<Result<Vec<_>, Reject>>()? {
                    out.emit(key.as_deref(), value.as_deref(), timestamp);
                }
            }
        }
        Ok(())
    }
}

/// Settings of `jq-filter`, as JSON Schema.
const FILTER_SETTINGS: &str = r#"{"type":"object","properties":{"expression":{"type":"string","description":"An expression in jq's language over the record's JSON value; the record stays when its first result is neither false nor null. $key and $timestamp are the record's."}},"required":["expression"],"additionalProperties":false}"#;

/// Settings of `jq-map`, as JSON Schema.
const MAP_SETTINGS: &str = r#"{"type":"object","properties":{"value":{"type":"string","description":"An expression in jq's language over the record's JSON value: each result becomes a record; null has no value. Without it the value stays."},"key":{"type":"string","description":"An expression with one result, the key: text as it is, null for none, all else as JSON. Without it the key stays."},"timestamp":{"type":"string","description":"An expression with one result, the event time in milliseconds since 1970. Without it the time stays."}},"minProperties":1,"additionalProperties":false}"#;

millstream_sdk::functions! {
    /// Keeps records for which a jq expression over their JSON value is true.
    "jq-filter": filter = JqFilter::new, settings = FILTER_SETTINGS;
    /// Makes value, key and time of records by jq expressions over their JSON value.
    "jq-map": mapper = JqMap::new, settings = MAP_SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, start};

    fn records(values: &[&'static str]) -> Batch {
        values.iter().map(|value| Record { key: Some(b"k"), timestamp: 5, ..Record::of(value.as_bytes()) }).collect()
    }

    #[test]
    fn a_filter_keeps_what_is_true() {
        let keeps = |expression: &str, value: &'static str| {
            let filter = start(FUNCTIONS, "jq-filter", &Settings::from([("expression", expression)])).unwrap();
            let kept = filter.keep(&records(&[value])).unwrap();
            kept.rejected.first().map_or(Ok(kept.bits[0] == 1), |rejected| Err(rejected.reason.clone()))
        };
        for (expression, expected) in
            [(".a > 1", true), (".a > 2", false), (".b", false), ("empty", false), (".a", true)]
        {
            assert_eq!(keeps(expression, r#"{"a":2}"#), Ok(expected), "{expression}");
        }
        assert_eq!(keeps(r#"$key == "k" and $timestamp == 5"#, "0"), Ok(true));
        assert!(keeps(".a", "[1]").unwrap_err().contains("cannot index"));
        for wrong in ["", "{", "1 2", "NaN", "nan", "b\"a\"", "{1:2}", "\u{feff}1"] {
            assert!(keeps(".", wrong).unwrap_err().contains("the value is not JSON"), "{wrong}");
        }
    }

    #[test]
    fn a_map_makes_values_keys_and_times() {
        let map = |settings: &[(&str, &str)], value: &'static str| {
            let settings = settings.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect();
            start(FUNCTIONS, "jq-map", &settings).unwrap().apply(&records(&[value])).unwrap()
        };
        let output =
            map(&[("value", ".[] | {n: .}"), ("key", "length"), ("timestamp", "1619879400000 + .[0]")], "[1,2.50]");
        let values: Vec<_> =
            output.values.as_ref().unwrap().iter().map(|v| String::from_utf8_lossy(v.unwrap()).into_owned()).collect();
        assert_eq!(values, [r#"{"n":1}"#, r#"{"n":2.50}"#]);
        assert_eq!((output.timestamps, output.sources), (Some(vec![1_619_879_400_001; 2]), Some(vec![0, 0])));
        assert_eq!(map(&[("value", "null")], "1").values, Some([None].into_iter().collect()));
        let reason = |settings: &[(&str, &str)]| map(settings, r#"{"a":"x"}"#).rejected.remove(0).reason;
        assert!(reason(&[("timestamp", ".a")]).contains("is no time"), "{}", reason(&[("timestamp", ".a")]));
        assert!(reason(&[("timestamp", "-1")]).contains("is no time"));
        assert!(reason(&[("key", "empty")]).contains("gives no result"));
        assert!(reason(&[("key", "1, 2")]).contains("gives several results"));
        assert!(reason(&[("value", "1, error(\"no\")")]).contains("no"));
        assert!(reason(&[("value", "nan")]).contains("is not JSON"));
    }

    #[test]
    fn an_expression_that_is_none_is_told_with_its_place() {
        let said = |text: &str| start(FUNCTIONS, "jq-filter", &Settings::from([("expression", text)])).err().unwrap();
        assert!(
            said(".a ==").starts_with("the setting `expression` is no expression at column 6"),
            "{}",
            said(".a ==")
        );
        assert!(said(".a | nosuch").contains("at column 6: there is no filter `nosuch`"), "{}", said(".a | nosuch"));
        assert!(said(".a | $x").contains("at column 6: there is no"), "{}", said(".a | $x"));
        assert!(said("\"a").contains("at column "), "{}", said("\"a"));
        for gone in ["now", "env", "input", "$ENV", "halt", "debug", "stderr", "localtime", "input_filename"] {
            assert!(said(gone).contains("there is no"), "{gone}: {}", said(gone));
        }
        assert!(start(FUNCTIONS, "jq-map", &Settings::default()).err().unwrap().contains("one of the settings"));
    }
}
