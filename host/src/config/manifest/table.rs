//! The value of `table`: nothing, or how long rows are known as they were.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::DurationText;

/// How a table is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    /// For how long rows can be looked up as they were, by the step's time. Default: they are known only as they are.
    pub history: Option<DurationText>,
}

impl JsonSchema for Table {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Table".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let history = generator.subschema_for::<DurationText>();
        json_schema!({
            "type": ["object", "null"], "x-null": true, "title": "`{}` or `{ history: 1h }`",
            "properties": { "history": history }, "additionalProperties": false
        })
    }
}
