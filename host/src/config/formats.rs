//! Formats of sources and sinks: their form in the manifest, and what is meant.
//!
//! Not here: what a schema means. Its file is read when the pipeline is started; here it only has to be there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_core::formats::{Assigned, Pair};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::manifest::PathText;
use crate::runtime::formats::{Access, Asked, Auth, Form, Kind, Target};

/// Words for formats.
const WORDS: [&str; 5] = ["bytes", "json", "avro", "protobuf", "json-schema"];

/// What `format` is.
const TITLE: &str = "`bytes`, `json`, `avro`, `protobuf`, `json-schema`, one of the last three with settings, such as \
                     `{ avro: { schema: order.avsc } }`, or two: `{ key: …, value: … }`";

/// A Schema Registry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Registry {
    /// Its address: `https://HOST:PORT`. As in all fields here, `${NAME}` takes a value from the environment.
    pub url: String,
    /// User, for HTTP basic authentication.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A bearer token, instead of user and password.
    pub token: Option<String>,
    /// File with certificates of authorities, PEM, relative to the manifest's folder. Default: the system's.
    pub ca: Option<PathText>,
    /// File with this client's certificate, PEM.
    pub certificate: Option<PathText>,
    /// File with the key of this client's certificate, PEM.
    pub key: Option<PathText>,
}

/// What keys and values of a topic are.
#[derive(Clone, Debug, Default)]
pub struct Formats {
    /// Keys.
    pub key: Option<Format>,
    /// Values.
    pub value: Option<Format>,
}

/// One format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    word: String,
    settings: Settings,
}

/// Settings of a format with a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The schema's file, relative to the manifest's folder. Without `subject` records have no header with a schema's id.
    pub schema: Option<String>,
    /// Files that the schema refers to, each behind those that it refers to itself; `import` and `$ref` name them as they
    /// are written here.
    pub references: Option<Vec<String>>,
    /// The registry's subject by whose schema results are written. Default `TOPIC-value`, `TOPIC-key`.
    pub subject: Option<String>,
    /// The schema's file is registered where the subject has it not. Default `false`.
    pub register: Option<bool>,
    /// Which of Protobuf's messages. Default: the first.
    pub message: Option<String>,
}

impl JsonSchema for Formats {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Formats".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<Settings>();
        let one = serde_json::json!({ "anyOf": [
            { "enum": WORDS },
            { "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
              "properties": { "avro": settings, "protobuf": settings, "json-schema": settings } }
        ]});
        let two = serde_json::json!({ "type": "object", "minProperties": 1, "additionalProperties": false,
            "properties": { "key": one, "value": one } });
        let mut forms = one["anyOf"].as_array().cloned().unwrap_or_default();
        forms.push(two);
        json_schema!({ "title": TITLE, "anyOf": forms })
    }
}

impl<'de> Deserialize<'de> for Formats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let part = |name: &str| value.get(name).map(|v| format(v).map_err(D::Error::custom)).transpose();
        let (key, of_value) = (part("key")?, part("value")?);
        if key.is_some() || of_value.is_some() {
            return Ok(Self { key, value: of_value });
        }
        Ok(Self { key: None, value: Some(format(&value).map_err(D::Error::custom)?) })
    }
}

fn format(value: &Value) -> Result<Format, String> {
    match value {
        Value::String(word) => Ok(Format { word: word.clone(), settings: Settings::default() }),
        Value::Object(object) if object.len() == 1 => {
            let (word, settings) = object.iter().next().ok_or("nothing")?;
            let settings = serde_json::from_value(settings.clone()).map_err(|why| why.to_string())?;
            Ok(Format { word: word.clone(), settings })
        }
        _ => Err(format!("not {TITLE}")),
    }
}

/// Where something is wrong (below `sources` or `sinks`, or `registry`), what, and what would be right.
pub type Fault = (Vec<String>, String, String);

/// Gathers the formats of a manifest.
pub struct Gather<'a> {
    /// Before relative paths.
    pub folder: &'a std::path::Path,
    /// What was gathered.
    pub asked: Asked,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Whether the manifest has a registry.
    pub has_registry: bool,
}

/// Which side of the pipeline a format is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What a source reads.
    Source,
    /// What a sink writes.
    Sink,
}

impl Side {
    fn section(self) -> &'static str {
        match self {
            Side::Source => "sources",
            Side::Sink => "sinks",
        }
    }
}

impl Gather<'_> {
    /// Takes the formats of a source or a sink. `topic`: the one that a sink writes.
    pub fn add(&mut self, side: Side, name: &str, topic: &str, formats: &Formats) {
        let pair = Pair {
            key: formats.key.as_ref().and_then(|f| self.one(side, name, topic, "key", f)),
            value: formats.value.as_ref().and_then(|f| self.one(side, name, topic, "value", f)),
        };
        let all: &mut Assigned = &mut self.asked.assigned;
        let all = if side == Side::Source { &mut all.sources } else { &mut all.sinks };
        if !pair.is_none() {
            all.insert(name.to_string(), pair);
        }
    }

    /// The number of a format; `None`: bytes, or something is wrong.
    fn one(&mut self, side: Side, name: &str, topic: &str, part: &str, format: &Format) -> Option<usize> {
        let form = self.form(side, name, topic, part, format)?;
        let place = format!("{}.{name}, {part}", side.section());
        self.asked.forms.push((place, form));
        Some(self.asked.forms.len() - 1)
    }

    fn form(&mut self, side: Side, name: &str, topic: &str, part: &str, format: &Format) -> Option<Form> {
        let settings = &format.settings;
        let kind = match format.word.as_str() {
            "json" => return Some(Form::Json),
            "avro" => Kind::Avro,
            "protobuf" => Kind::Protobuf,
            "json-schema" => Kind::JsonSchema,
            _ => return None,
        };
        let mut fault = |message: &str, help: &str| {
            let at = vec![side.section().to_string(), name.to_string(), "format".to_string()];
            self.faults.push((at, message.to_string(), help.to_string()));
        };
        let only =
            |what: &str| format!("`{what}` says how results are written: a source reads by what each record names");
        if side == Side::Source && (settings.subject.is_some() || settings.register.is_some()) {
            let what = if settings.subject.is_some() { "subject" } else { "register" };
            fault(&only(what), "leave it out");
            return None;
        }
        let register = settings.register.unwrap_or_default();
        if register && settings.schema.is_none() {
            fault("there is nothing to register", "name the file: `schema: FILE`");
            return None;
        }
        if settings.message.is_some() && kind != Kind::Protobuf {
            fault("`message` belongs to `protobuf`", "leave it out");
            return None;
        }
        if settings.references.is_some() && settings.schema.is_none() {
            fault("`references` are those of a schema's file", "name the file: `schema: FILE`");
            return None;
        }
        let (message, schema) = (settings.message.clone(), settings.schema.as_ref().map(|s| self.folder.join(s)));
        let by_registry = settings.subject.is_some() || register || schema.is_none();
        if let (Some(schema), false) = (schema.clone(), by_registry) {
            let references = settings.references.iter().flatten();
            let references = references.map(|name| (name.clone(), self.folder.join(name))).collect();
            return Some(Form::File { kind, schema, references, message });
        }
        if !self.has_registry {
            fault(
                &format!("`{}` needs a schema", format.word),
                "name its file, `schema: FILE`, or a registry: `registry: { url: https://HOST:PORT }`",
            );
            return None;
        }
        if side == Side::Source && message.is_some() {
            fault("`message` is named by each record", "leave it out");
            return None;
        }
        if settings.references.is_some() {
            fault(
                "a schema with `references` cannot be looked up or registered",
                "register it, and leave `schema` out",
            );
            return None;
        }
        let subject = settings.subject.clone().unwrap_or_else(|| format!("{topic}-{part}"));
        Some(Form::Registry { kind, target: Target { subject, schema, register, message } })
    }
}

/// A text with each `${NAME}` replaced, or what is wrong and what would be right.
type Replaced<'r> = &'r dyn Fn(&str) -> Result<String, (String, String)>;

/// A registry, with values from the environment put in by `value`, which says what is wrong with a text.
///
/// # Errors
/// Field, what is wrong and what would be right.
pub fn access(
    given: &Registry,
    folder: &std::path::Path,
    value: Replaced<'_>,
) -> Result<Access, (&'static str, String, String)> {
    let mut texts = BTreeMap::new();
    let path = |p: &Option<PathText>| p.as_ref().map(|p| p.0.clone());
    let fields = [
        ("url", Some(given.url.clone())),
        ("user", given.user.clone()),
        ("password", given.password.clone()),
        ("token", given.token.clone()),
        ("ca", path(&given.ca)),
        ("certificate", path(&given.certificate)),
        ("key", path(&given.key)),
    ];
    for (field, text) in fields {
        let Some(text) = text else { continue };
        texts.insert(field, value(&text).map_err(|(message, help)| (field, message, help))?);
    }
    let file = |field: &str| texts.get(field).map(|text| folder.join(text));
    let auth = match (texts.get("user"), texts.get("password"), texts.get("token")) {
        (None, None, None) => Auth::None,
        (Some(user), Some(password), None) => Auth::Basic(user.clone(), password.clone()),
        (None, None, Some(token)) => Auth::Bearer(token.clone()),
        (_, _, Some(_)) => return Err(("token", "both a token and a user".into(), "keep one of them".into())),
        _ => return Err(("user", "`user` and `password` belong together".into(), "give both".into())),
    };
    let identity = match (file("certificate"), file("key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let help = "give both".to_string();
            return Err(("certificate", "`certificate` and `key` belong together".into(), help));
        }
    };
    let url = texts.get("url").cloned().unwrap_or_default();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(("url", format!("`{url}` is no address"), "write `https://HOST:PORT`".into()));
    }
    Ok(Access { url, auth, authorities: file("ca"), identity })
}

/// Files that a pipeline's formats need and that are not there.
pub fn missing(asked: &Asked) -> Vec<(String, PathBuf)> {
    let mut out = Vec::new();
    for (place, form) in &asked.forms {
        let files: Vec<&PathBuf> = match form {
            Form::Json => Vec::new(),
            Form::File { schema, references, .. } => {
                std::iter::once(schema).chain(references.iter().map(|(_, p)| p)).collect()
            }
            Form::Registry { target, .. } => target.schema.iter().collect(),
        };
        out.extend(files.into_iter().filter(|f| !f.exists()).map(|f| (place.clone(), f.clone())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(json: &str) -> Formats {
        serde_json::from_str(json).unwrap()
    }

    fn gathered(side: Side, json: &str, has_registry: bool) -> (Asked, Vec<String>) {
        let (folder, faults) = (std::path::Path::new("dir"), Vec::new());
        let mut gather = Gather { folder, asked: Asked::default(), faults, has_registry };
        gather.add(side, "x", "topic", &formats(json));
        (gather.asked, gather.faults.into_iter().map(|(_, message, _)| message).collect())
    }

    #[test]
    fn a_word_is_the_values_and_key_and_value_are_told_apart() {
        let (asked, faults) = gathered(Side::Source, "\"json\"", false);
        assert_eq!((asked.assigned.sources["x"], faults.len()), (Pair { key: None, value: Some(0) }, 0));
        let (asked, _) = gathered(Side::Sink, r#"{"key":"json","value":"bytes"}"#, false);
        assert_eq!(asked.assigned.sinks["x"], Pair { key: Some(0), value: None });
        assert!(gathered(Side::Sink, "\"bytes\"", false).0.assigned.sinks.is_empty());
    }

    #[test]
    fn a_file_alone_is_without_a_registry_and_a_subject_is_named_after_the_topic() {
        let (asked, _) = gathered(Side::Source, r#"{"avro":{"schema":"a.avsc"}}"#, true);
        let file = Form::File { kind: Kind::Avro, schema: "dir/a.avsc".into(), references: vec![], message: None };
        assert_eq!(asked.forms, [("sources.x, value".to_string(), file)]);
        let (asked, _) = gathered(Side::Sink, r#"{"key":"avro"}"#, true);
        let Form::Registry { target, .. } = &asked.forms[0].1 else { panic!("{asked:?}") };
        assert_eq!((target.subject.as_str(), &target.schema, target.register), ("topic-key", &None, false));
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let told = |side, json, has_registry| gathered(side, json, has_registry).1.join("; ");
        assert!(told(Side::Source, "\"avro\"", false).contains("needs a schema"));
        assert!(told(Side::Source, r#"{"avro":{"subject":"s"}}"#, true).contains("says how results are written"));
        assert!(told(Side::Sink, r#"{"avro":{"register":true}}"#, true).contains("nothing to register"));
        assert!(told(Side::Sink, r#"{"avro":{"message":"M"}}"#, true).contains("belongs to `protobuf`"));
        assert_eq!(told(Side::Sink, r#"{"protobuf":{"message":"M"}}"#, true), "");
    }

    #[test]
    fn access_takes_one_way_to_say_who_asks() {
        let registry = |json: &str| serde_json::from_str::<Registry>(json).unwrap();
        let value = |text: &str| Ok(text.replace("${P}", "secret"));
        let open = |json| access(&registry(json), std::path::Path::new("dir"), &value);
        let basic = open(r#"{"url":"https://r","user":"u","password":"${P}","ca":"c.pem"}"#).unwrap();
        assert_eq!(
            (basic.auth, basic.authorities),
            (Auth::Basic("u".into(), "secret".into()), Some("dir/c.pem".into()))
        );
        assert_eq!(open(r#"{"url":"https://r","user":"u"}"#).unwrap_err().0, "user");
        assert_eq!(open(r#"{"url":"https://r","user":"u","password":"p","token":"t"}"#).unwrap_err().0, "token");
        assert_eq!(open(r#"{"url":"r:8081"}"#).unwrap_err().0, "url");
        assert_eq!(open(r#"{"url":"https://r","key":"k"}"#).unwrap_err().0, "certificate");
    }
}
