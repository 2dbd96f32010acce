//! Formats as a pipeline asks for them, as plain values, and made ready: files are read, the registry's address is checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use millstream_core::formats::{Assigned, Formats, NoFormats};
use millstream_formats::registry::{self, Kind as SchemaKind};
use millstream_formats::{Format, Schema, Subject};

/// Formats that all workers share.
pub type Shared = Arc<dyn Formats + Send + Sync>;

/// What a pipeline asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The registry.
    pub registry: Option<Access>,
    /// Formats by number, each with where it stands in the manifest.
    pub forms: Vec<(String, Form)>,
    /// Which sources and sinks have which.
    pub assigned: Assigned,
}

/// Who asks a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    #[default]
    None,
    /// User and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

/// How a registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Its address.
    pub url: String,
    /// Who asks.
    pub auth: Auth,
    /// File with certificates of authorities.
    pub authorities: Option<PathBuf>,
    /// Files with this client's certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What kind of schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    JsonSchema,
}

/// A format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON without a schema.
    Json,
    /// By the schema of a file, without a header.
    File {
        /// Its kind.
        kind: Kind,
        /// The file.
        schema: PathBuf,
        /// Files that it refers to, by the names that it has for them.
        references: Vec<(String, PathBuf)>,
        /// Which of Protobuf's messages.
        message: Option<String>,
    },
    /// By the schemas of the registry.
    Registry {
        /// Their kind.
        kind: Kind,
        /// By which of them results are written.
        target: Target,
    },
}

/// By which schema results are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The subject.
    pub subject: String,
    /// The schema's file; without it the subject's newest.
    pub schema: Option<PathBuf>,
    /// Whether it is registered.
    pub register: bool,
    /// Which of Protobuf's messages.
    pub message: Option<String>,
}

/// Makes formats ready. No registry is asked yet.
///
/// # Errors
/// Which file cannot be read or used, and where the manifest names it.
pub fn open(asked: &Asked) -> anyhow::Result<Shared> {
    if asked.forms.is_empty() {
        return Ok(Arc::new(NoFormats));
    }
    let access = asked.registry.as_ref().map(access).transpose()?;
    let one = |(place, form): &(String, Form)| format(form).with_context(|| format!("the format of {place}"));
    let formats = asked.forms.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?;
    let opened = millstream_formats::Formats::open(access, formats);
    let opened = opened.map_err(|(number, why)| match number {
        Some(number) => anyhow!("the format of {}: {why}", asked.forms[number].0),
        None => anyhow!("the schema registry: {why}"),
    })?;
    Ok(Arc::new(opened))
}

fn format(form: &Form) -> anyhow::Result<Format> {
    Ok(match form {
        Form::Json => Format::Json,
        Form::File { kind, schema, references, message } => {
            let text = text(schema)?;
            let references = references.iter().map(|(name, path)| Ok((name.clone(), self::text(path)?)));
            let references = references.collect::<anyhow::Result<_>>()?;
            Format::File(schema_kind(*kind), Schema { text, references, message: message.clone() })
        }
        Form::Registry { kind, target } => {
            let schema = target.schema.as_deref().map(text).transpose()?;
            let (name, register, message) = (target.subject.clone(), target.register, target.message.clone());
            Format::Registry(schema_kind(*kind), Subject { name, schema, register, message })
        }
    })
}

fn schema_kind(kind: Kind) -> SchemaKind {
    match kind {
        Kind::Avro => SchemaKind::Avro,
        Kind::Protobuf => SchemaKind::Protobuf,
        Kind::JsonSchema => SchemaKind::Json,
    }
}

fn access(access: &Access) -> anyhow::Result<registry::Access> {
    let bytes = |path: &Path| fs::read(path).with_context(|| format!("the schema registry: read {}", path.display()));
    let identity = access.identity.as_ref();
    Ok(registry::Access {
        url: access.url.clone(),
        auth: match access.auth.clone() {
            Auth::None => registry::Auth::None,
            Auth::Basic(user, password) => registry::Auth::Basic(user, password),
            Auth::Bearer(token) => registry::Auth::Bearer(token),
        },
        authorities: access.authorities.as_deref().map(bytes).transpose()?,
        identity: identity.map(|(chain, key)| anyhow::Ok((bytes(chain)?, bytes(key)?))).transpose()?,
    })
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read the schema {}", path.display()))
}
