//! How near in time records of two streams are that meet: a duration, or one for each direction.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::DurationText;

/// How far apart in time records of two streams may be that meet.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Within {
    /// As far in both directions.
    Both(DurationText),
    /// By direction.
    Apart(Apart),
}

/// How much earlier and how much later than the left record the right one may be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Apart {
    /// How much earlier than the left record the right one may be.
    pub before: DurationText,
    /// How much later.
    pub after: DurationText,
}

impl JsonSchema for Within {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Within".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (both, apart) = (generator.subschema_for::<DurationText>(), generator.subschema_for::<Apart>());
        let title = "a duration such as `5m`, or `{ before: 1m, after: 10m }`";
        json_schema!({ "title": title, "anyOf": [both, apart] })
    }
}
