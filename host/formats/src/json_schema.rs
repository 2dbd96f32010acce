//! JSON Schema: a value is JSON that fits its schema; as bytes it is the same text, compact.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;

use crate::json::Json;
use crate::limits::SCHEMA_BYTES_MAX;

/// A schema, ready to check values.
pub struct Schema {
    validator: Validator,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Schema")
    }
}

/// Schemas by the name that `$ref` has. Nothing else is fetched from anywhere.
struct Texts(BTreeMap<String, Value>);

impl Retrieve for Texts {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        // A name is relative to the schema that it stands in, whose own address may be anything.
        let names = |name: &str| uri == name || uri.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
        let found = self.0.iter().find(|(name, _)| names(name));
        found
            .map(|(_, schema)| schema.clone())
            .ok_or_else(|| format!("`{uri}` is none of the schema's references").into())
    }
}

impl Schema {
    /// Reads a schema. `references`: other schemas, by the names that `$ref` has.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        let schema = value(text)?;
        let others = references.iter().map(|(name, text)| Ok((name.clone(), value(text)?)));
        let others: BTreeMap<String, Value> = others.collect::<Result<_, String>>()?;
        let options = jsonschema::options()
            .with_retriever(Texts(others))
            // Time in proportion to the text, whatever the pattern: no look-around, no back-references.
            .with_pattern_options(PatternOptions::regex());
        let validator = options.build(&schema).map_err(|why| format!("the JSON Schema is wrong: {why}"))?;
        Ok(Self { validator })
    }

    /// Checks a value and writes it without needless space.
    ///
    /// # Errors
    /// That it is not JSON, or the first thing that does not fit and where.
    pub fn check(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let json = Json::parse(bytes)?;
        let value: Value = serde_json::from_slice(bytes).map_err(|why| format!("not JSON: {why}"))?;
        if let Err(error) = self.validator.validate(&value) {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the value" } else { &place };
            let what: String = error.to_string().chars().take(500).collect();
            return Err(format!("does not fit its schema at {place}: {what}"));
        }
        json.write(out);
        Ok(())
    }
}

fn value(text: &str) -> Result<Value, String> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(format!("the schema has {} bytes, and at most {SCHEMA_BYTES_MAX} are read", text.len()));
    }
    Json::parse(text.as_bytes())?;
    serde_json::from_str(text).map_err(|why| format!("the schema is not JSON: {why}"))
}
