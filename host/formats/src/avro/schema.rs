//! Avro schemas: their JSON text as a flat list of types that name each other by number.
//!
//! After the Apache Avro specification, 1.12. What only serves readers with another schema (aliases, defaults of enums,
//! order) is not kept. A schema that a registry gives is hostile until it has been read: depth and numbers are bounded.

use std::collections::HashMap;

use crate::json::{Json, twice};
use crate::limits::{DECIMAL_BYTES_MAX, SCHEMA_BYTES_MAX, SCHEMA_TYPES_MAX};

/// A type, others by number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Record {
        name: String,
        fields: Vec<Field>,
    },
    Enum {
        name: String,
        symbols: Vec<String>,
    },
    List(usize),
    Map(usize),
    Union(Union),
    Fixed {
        name: String,
        bytes: usize,
    },
    /// `of`: the name and the bytes of a fixed; none: as many bytes as the number takes.
    Decimal {
        precision: usize,
        scale: usize,
        of: Option<(String, usize)>,
    },
    /// A fixed of 16 bytes.
    Uuid {
        name: String,
    },
    /// A fixed of 12 bytes: months, days and milliseconds.
    Duration {
        name: String,
    },
    /// Named before what it is was read.
    Unread {
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub name: String,
    pub of: usize,
    /// JSON text.
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Union {
    pub branches: Vec<usize>,
    /// Place of null among the branches.
    pub null: Option<usize>,
    /// The branch beside null, where there is exactly one: its values need no name in JSON.
    pub only: Option<usize>,
}

/// An Avro schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub(super) types: Vec<Type>,
    pub(super) root: usize,
}

impl Schema {
    /// Reads a schema. `before`: texts of the schemas that it refers to, each after those it refers to itself.
    ///
    /// # Errors
    /// What is wrong with which text.
    pub fn parse(text: &str, before: &[String]) -> Result<Self, String> {
        let mut reader = Reader::default();
        for (i, other) in before.iter().enumerate() {
            reader.text(other).map_err(|why| format!("reference {}: {why}", i + 1))?;
        }
        let root = reader.text(text)?;
        Ok(Self { types: reader.types, root })
    }

    /// The name of a branch in JSON: that of a named type in full, else the word of the type.
    pub(super) fn branch_name(&self, number: usize) -> &str {
        match &self.types[number] {
            Type::Null => "null",
            Type::Boolean => "boolean",
            Type::Int => "int",
            Type::Long => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::Bytes | Type::Decimal { of: None, .. } => "bytes",
            Type::Text => "string",
            Type::List(_) => "array",
            Type::Map(_) => "map",
            Type::Union(_) => "union",
            Type::Record { name, .. }
            | Type::Enum { name, .. }
            | Type::Fixed { name, .. }
            | Type::Decimal { of: Some((name, _)), .. }
            | Type::Uuid { name }
            | Type::Duration { name }
            | Type::Unread { name } => name,
        }
    }
}

#[derive(Default)]
struct Reader {
    types: Vec<Type>,
    names: HashMap<String, usize>,
}

impl Reader {
    fn text(&mut self, text: &str) -> Result<usize, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("the schema has {} bytes, and at most {SCHEMA_BYTES_MAX} are read", text.len()));
        }
        // A schema's depth is that of its JSON, which is bounded. Registries also give bare names of types.
        self.of(&Json::parse(text.as_bytes())?, "")
    }

    fn add(&mut self, of: Type) -> Result<usize, String> {
        if self.types.len() == SCHEMA_TYPES_MAX {
            return Err(format!("the schema has more than {SCHEMA_TYPES_MAX} types"));
        }
        self.types.push(of);
        Ok(self.types.len() - 1)
    }

    fn of(&mut self, json: &Json<'_>, space: &str) -> Result<usize, String> {
        match json {
            Json::Text(name) => self.named(name, space),
            Json::List(branches) => self.union(branches, space),
            Json::Object(_) => match json.get("type") {
                Some(Json::Text(word)) => self.complex(word, json, space),
                // `{"type": {"type": "string"}}`, and unions so wrapped.
                Some(inner @ (Json::Object(_) | Json::List(_))) => self.of(inner, space),
                _ => Err("an Avro type has no `type`".into()),
            },
            other => Err(format!("{} stands where an Avro type should be", other.kind())),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<usize, String> {
        if let Some(primitive) = primitive(name) {
            return self.add(primitive);
        }
        let full = full_name(name, space);
        let known = self.names.get(&full).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("there is no Avro type `{full}`"))
    }

    fn complex(&mut self, word: &str, json: &Json<'_>, space: &str) -> Result<usize, String> {
        match word {
            "record" | "error" => self.record(json, space),
            "enum" => {
                let (name, number) = self.declare(json, space)?;
                let symbols = strings(json.get("symbols")).ok_or_else(|| format!("enum `{name}` has no `symbols`"))?;
                if let Some(symbol) = twice(symbols.iter().map(String::as_str)) {
                    return Err(format!("enum `{name}` has the symbol `{symbol}` twice"));
                }
                self.types[number] = Type::Enum { name, symbols };
                Ok(number)
            }
            "fixed" => {
                let (name, number) = self.declare(json, space)?;
                let bytes = whole(json.get("size")).ok_or_else(|| format!("fixed `{name}` has no `size`"))?;
                self.types[number] = match (logical(json), bytes) {
                    ("uuid", 16) => Type::Uuid { name },
                    ("duration", 12) => Type::Duration { name },
                    _ => match decimal(json, Some(bytes)) {
                        Some((precision, scale)) => Type::Decimal { precision, scale, of: Some((name, bytes)) },
                        None => Type::Fixed { name, bytes },
                    },
                };
                Ok(number)
            }
            "array" => {
                let items = json.get("items").ok_or("an array has no `items`")?;
                let items = self.of(items, space)?;
                self.add(Type::List(items))
            }
            "map" => {
                let values = json.get("values").ok_or("a map has no `values`")?;
                let values = self.of(values, space)?;
                self.add(Type::Map(values))
            }
            "bytes" => match decimal(json, None) {
                Some((precision, scale)) => self.add(Type::Decimal { precision, scale, of: None }),
                None => self.add(Type::Bytes),
            },
            name => self.named(name, space),
        }
    }

    fn record(&mut self, json: &Json<'_>, space: &str) -> Result<usize, String> {
        let (name, number) = self.declare(json, space)?;
        let inner = name.rsplit_once('.').map_or("", |(space, _)| space).to_string();
        let Some(Json::List(given)) = json.get("fields") else {
            return Err(format!("record `{name}` has no `fields`"));
        };
        let mut fields = Vec::with_capacity(given.len());
        for field in given {
            let of = field.get("name").and_then(Json::text).zip(field.get("type"));
            let (field_name, of) = of.ok_or_else(|| format!("a field of record `{name}` lacks `name` or `type`"))?;
            let default = field.get("default").map(|value| {
                let mut text = Vec::new();
                value.write(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            });
            fields.push(Field { name: field_name.to_string(), of: self.of(of, &inner)?, default });
        }
        if let Some(field) = twice(fields.iter().map(|f| f.name.as_str())) {
            return Err(format!("record `{name}` has the field `{field}` twice"));
        }
        self.types[number] = Type::Record { name, fields };
        Ok(number)
    }

    /// Takes the name of a named type, so that what follows may refer to it.
    fn declare(&mut self, json: &Json<'_>, space: &str) -> Result<(String, usize), String> {
        let name =
            json.get("name").and_then(Json::text).filter(|n| !n.is_empty()).ok_or("a named Avro type has no `name`")?;
        let space = json.get("namespace").and_then(Json::text).unwrap_or(space);
        let full = full_name(name, space);
        let number = self.add(Type::Unread { name: full.clone() })?;
        match self.names.insert(full.clone(), number) {
            Some(_) => Err(format!("the Avro type `{full}` is there twice")),
            None => Ok((full, number)),
        }
    }

    fn union(&mut self, given: &[Json<'_>], space: &str) -> Result<usize, String> {
        let branches = given.iter().map(|b| self.of(b, space)).collect::<Result<Vec<_>, _>>()?;
        if branches.is_empty() {
            return Err("a union has no branches".into());
        }
        if branches.iter().any(|b| matches!(self.types[*b], Type::Union(_))) {
            return Err("a union stands in a union".into());
        }
        let null = branches.iter().position(|b| self.types[*b] == Type::Null);
        let mut others = branches.iter().enumerate().filter(|(i, _)| Some(*i) != null).map(|(i, _)| i);
        let only = others.next().filter(|_| others.next().is_none());
        let union = Union { branches, null, only };
        let so_far = Schema { types: std::mem::take(&mut self.types), root: 0 };
        let names: Vec<&str> = union.branches.iter().map(|b| so_far.branch_name(*b)).collect();
        let doubled = twice(names.iter().copied()).map(str::to_string);
        self.types = so_far.types;
        match doubled {
            Some(name) => Err(format!("a union has two branches `{name}`")),
            None => self.add(Type::Union(union)),
        }
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_string() } else { format!("{space}.{name}") }
}

fn logical<'j>(json: &'j Json<'_>) -> &'j str {
    json.get("logicalType").and_then(Json::text).unwrap_or_default()
}

/// Precision and scale of a decimal; as the specification wants it, one that makes no sense is no decimal.
fn decimal(json: &Json<'_>, fixed: Option<usize>) -> Option<(usize, usize)> {
    let precision = whole(json.get("precision")).filter(|p| logical(json) == "decimal" && *p > 0)?;
    let scale = json.get("scale").map_or(Some(0), |s| whole(Some(s))).filter(|s| *s <= precision)?;
    // So many digits fit into so many bytes of two's complement.
    let digits_max = |bytes: usize| ((8 * bytes - 1) as f64 * std::f64::consts::LOG10_2).floor() as usize;
    let fits = match fixed {
        Some(bytes) => (1..=DECIMAL_BYTES_MAX).contains(&bytes) && precision <= digits_max(bytes),
        None => precision <= digits_max(DECIMAL_BYTES_MAX),
    };
    fits.then_some((precision, scale))
}

fn whole(json: Option<&Json<'_>>) -> Option<usize> {
    if let Some(Json::Number(text)) = json { text.parse().ok() } else { None }
}

fn strings(json: Option<&Json<'_>>) -> Option<Vec<String>> {
    let Some(Json::List(items)) = json else { return None };
    items.iter().map(|i| i.text().map(str::to_string)).collect()
}
