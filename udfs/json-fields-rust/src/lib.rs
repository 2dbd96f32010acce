//! Several functions in one file, over fields of JSON values; a manifest picks one by `function: NAME`. The aggregates are
//! those of sum-rust and max-rust.

use json_number::{Field, Number, SETTINGS};
use max::Max;
use millstream_sdk::{Filter, Mapper, Output, Record, Reject, Settings};
use sum::Sum;

/// Keeps records whose number is large enough.
pub struct AtLeast {
    field: Field,
    least: Number,
}

impl AtLeast {
    /// JSON Schema of its settings.
    pub const SETTINGS: &str = r#"{"type":"object","properties":{"field":{"type":"string"},"least":{"type":"number"}},"required":["least"],"additionalProperties":false}"#;

    /// Takes the settings `field` and `least`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let text = settings.required("least")?;
        let least = Number::parse(text).map_err(|wrong| format!("the setting `least` is `{text}`, which {wrong}"))?;
        Ok(Self { field: Field::new(settings)?, least })
    }
}

impl Filter for AtLeast {
    fn keep(&self, record: &Record<'_>) -> Result<bool, Reject> {
        Ok(self.field.number(record)? >= self.least)
    }
}

/// Makes a field the key.
pub struct ByField {
    field: Field,
}

impl ByField {
    /// Takes the setting `field`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        settings.required("field")?;
        Ok(Self { field: Field::new(settings)? })
    }
}

impl Mapper for ByField {
    fn map(&self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Reject> {
        let json = self.field.text(record)?;
        match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => out.emit_key(Some(plain.as_bytes())),
            Some(_) => {
                let text: String = serde_json::from_str(json).map_err(|error| error.to_string())?;
                out.emit_key(Some(text.as_bytes()));
            }
            None if json == "null" => out.emit_key(None),
            None => out.emit_key(Some(json.as_bytes())),
        }
        Ok(())
    }
}

millstream_sdk::functions! {
    /// Keeps records whose number in a JSON field is `least` or more.
    "at-least": filter = AtLeast::new, settings = AtLeast::SETTINGS;
    /// Makes a JSON field the key: text as it is, all else as JSON.
    "by-field": mapper = ByField::new, settings = SETTINGS;
    /// Adds up the number in a JSON field.
    "sum": aggregator + merger = Sum::new, settings = SETTINGS;
    /// The largest number in a JSON field.
    "max": aggregator + merger = Max::new, settings = SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, BytesColumn, start};

    fn records(values: &[&'static str]) -> Batch {
        values.iter().map(|value| Record::of(value.as_bytes())).collect()
    }

    #[test]
    fn at_least_compares_numbers_not_text() {
        let settings = Settings::from([("field", "n"), ("least", "9.5")]);
        let kept = start(FUNCTIONS, "at-least", &settings).unwrap();
        let kept = kept.keep(&records(&[r#"{"n":10}"#, r#"{"n":9.49}"#, r#"{"n":9.5}"#, r#"{"n":"x"}"#])).unwrap();
        assert_eq!((kept.bits, kept.rejected[0].index), (vec![0b101], 3));
        let error = |settings| start(FUNCTIONS, "at-least", &settings).err().unwrap();
        assert_eq!(error(Settings::from([("field", "n")])), "the setting `least` is missing");
        assert_eq!(error(Settings::from([("least", "a")])), "the setting `least` is `a`, which is not a number");
    }

    #[test]
    fn a_field_becomes_the_key() {
        let by_field = start(FUNCTIONS, "by-field", &Settings::from([("field", "k")])).unwrap();
        let values = [r#"{"k":"a"}"#, r#"{"k":"\u00e9\""}"#, r#"{"k":12}"#, r#"{"k":null}"#, r#"{"k":[1]}"#, "{}"];
        let output = by_field.apply(&records(&values)).unwrap();
        let keys = [Some("a"), Some("é\""), Some("12"), None, Some("[1]")].map(|key| key.map(str::as_bytes));
        assert_eq!(output.keys, Some(keys.into_iter().collect::<BytesColumn>()));
        assert_eq!((output.values, output.rejected.len()), (None, 1));
        assert!(start(FUNCTIONS, "by-field", &Settings::default()).is_err());
    }

    #[test]
    fn each_function_says_what_it_is() {
        let told: Vec<_> = FUNCTIONS.iter().map(|function| (function.name, function.interfaces)).collect();
        let folds: &[&str] = &["aggregator", "merger"];
        assert_eq!(told, [("at-least", &["filter"][..]), ("by-field", &["mapper"]), ("sum", folds), ("max", folds)]);
        for function in FUNCTIONS {
            let schema: serde_json::Value = serde_json::from_str(function.settings_schema).unwrap();
            assert!(schema["properties"]["field"].is_object(), "{}", function.name);
        }
    }
}
