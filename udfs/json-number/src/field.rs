//! A field of a JSON value by its path, read without building the value. Nothing is allocated for a record that is right.

use millstream_sdk::{Record, Reject, Settings};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Number;

/// JSON Schema of the settings that [`Field::new`] reads.
pub const SETTINGS: &str = r#"{"type":"object","properties":{"field":{"type":"string","description":"The field that holds the number, as a.b for one inside another; without it the whole value is the number."}},"additionalProperties":false}"#;

/// Which field of a record's JSON value is meant.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// From the outside in; empty: the value itself.
    path: Vec<String>,
}

impl Field {
    /// The field that the setting `field` names.
    ///
    /// # Errors
    /// When a part of the path is empty.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let Some(text) = settings.get("field") else { return Ok(Self::default()) };
        let path: Vec<_> = text.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(format!("the setting `field` is `{text}`: between dots there are names, as in `user.age`"));
        }
        Ok(Self { path })
    }

    /// The JSON text of the field.
    pub fn text<'a>(&self, record: &Record<'a>) -> Result<&'a str, Reject> {
        let value = record.value.ok_or("the record has no value")?;
        let mut json = serde_json::Deserializer::from_slice(value);
        let found = Pick(&self.path).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
        match found {
            Ok(Some(raw)) => Ok(raw.get()),
            Ok(None) => Err(Reject::new(format!("the value has no field `{}`", self.path.join(".")))),
            Err(error) if error.is_data() => {
                Err(Reject::new(format!("the value has no field `{}`: {error}", self.path.join("."))))
            }
            Err(error) => Err(Reject::new(format!("the value is not JSON: {error}"))),
        }
    }

    /// The number in the field.
    pub fn number(&self, record: &Record<'_>) -> Result<Number, Reject> {
        Number::parse(self.text(record)?).map_err(|wrong| match &self.path[..] {
            [] => Reject::new(format!("the value {wrong}")),
            path => Reject::new(format!("the field `{}` {wrong}", path.join("."))),
        })
    }
}

/// Follows a path into a value; of fields of one name the last counts.
struct Pick<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue>::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (first, rest) = self.0.split_first().expect("an empty path is not followed");
        let mut found = None;
        while let Some(same) = map.next_key_seed(Named(first))? {
            if same {
                found = map.next_value_seed(Pick(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this name.
struct Named<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: Option<&str>, value: &str) -> Result<String, String> {
        let settings = path.map_or(Settings::default(), |path| Settings::from([("field", path)]));
        let number = Field::new(&settings).unwrap().number(&Record::of(value.as_bytes()));
        number.map(|number| number.to_string()).map_err(|reject| reject.to_string())
    }

    #[test]
    fn a_field_is_found_at_its_path() {
        let value = r#" {"a": {"n": 1.50, "m": [2]}, "n": "x", "\u006e": 7, "o": {"n": 3}} "#;
        assert_eq!(number(Some("a.n"), value), Ok("1.5".into()));
        assert_eq!(number(Some("n"), value), Ok("7".into()), "the last of a name, escapes read");
        assert_eq!(number(None, " 12 "), Ok("12".into()));
    }

    #[test]
    fn what_is_not_there_or_no_number_is_said() {
        let value = r#"{"a": {"n": null}, "s": "12", "t": true}"#;
        assert_eq!(number(Some("b"), value), Err("the value has no field `b`".into()));
        assert_eq!(number(Some("a.m"), value), Err("the value has no field `a.m`".into()));
        assert!(
            number(Some("s.m"), value).unwrap_err().starts_with("the value has no field `s.m`: invalid type: string")
        );
        for field in ["a.n", "s", "t", "a"] {
            assert_eq!(number(Some(field), value), Err(format!("the field `{field}` is not a number")));
        }
        assert!(number(Some("a"), "{\"a\":1} x").unwrap_err().starts_with("the value is not JSON: trailing"));
        assert!(number(Some("a"), "{\"a\":").unwrap_err().starts_with("the value is not JSON: EOF"));
        assert!(number(None, "x").unwrap_err().starts_with("the value is not JSON"));
        let none = Field::default().number(&Record::default());
        assert_eq!(none.unwrap_err().reason(), "the record has no value");
    }

    #[test]
    fn a_path_with_an_empty_name_is_refused() {
        for path in ["", "a.", ".a", "a..b"] {
            assert!(Field::new(&Settings::from([("field", path)])).is_err(), "{path}");
        }
    }
}
