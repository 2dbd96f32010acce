//! From JSON to Avro's binary form.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::decimal;
use super::schema::{Field, Schema, Type, Union};
use crate::json::Json;
use crate::limits::{DECIMAL_BYTES_MAX, ENCODED_BYTES_MAX, ENCODED_VALUES_MAX, NESTING_MAX};

/// Writes a value as the schema has it.
///
/// # Errors
/// What does not fit, and where in the value (`$.orders[3].price`); `out` then holds a part.
pub fn encode(schema: &Schema, json: &Json<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let bytes_max = out.len().saturating_add(ENCODED_BYTES_MAX);
    let mut encoder = Encoder { schema, out, bytes_max, values: 0, place: "$".into() };
    encoder.value(schema.root, json, 0, Source::Value)
}

/// Where a value comes from. Schemas write some values of defaults otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Value,
    Default,
}

struct Encoder<'a> {
    schema: &'a Schema,
    out: &'a mut Vec<u8>,
    bytes_max: usize,
    values: usize,
    place: String,
}

impl Encoder<'_> {
    fn value(&mut self, number: usize, json: &Json<'_>, depth: usize, source: Source) -> Result<(), String> {
        self.values += 1;
        if self.values > ENCODED_VALUES_MAX || self.out.len() > self.bytes_max {
            return Err(format!("more than {ENCODED_VALUES_MAX} values or {ENCODED_BYTES_MAX} bytes"));
        }
        if depth > NESTING_MAX {
            return Err(format!("more than {NESTING_MAX} levels deep at {}", self.place));
        }
        let schema = self.schema;
        match (&schema.types[number], json) {
            (Type::Record { name, fields }, Json::Object(members)) => {
                self.record(name, fields, members, depth, source)?;
            }
            (Type::List(items), Json::List(given)) => self.list(*items, given, depth, source)?,
            (Type::Map(values), Json::Object(members)) => self.map(*values, members, depth, source)?,
            (Type::Union(union), _) => self.union(union, json, depth, source)?,
            _ => self.scalar(number, json, source)?,
        }
        Ok(())
    }

    /// A value that is not made of others.
    fn scalar(&mut self, number: usize, json: &Json<'_>, source: Source) -> Result<(), String> {
        let schema = self.schema;
        match (&schema.types[number], json) {
            (Type::Null, Json::Null) => {}
            (Type::Boolean, Json::Bool(value)) => self.out.push(u8::from(*value)),
            (Type::Int, Json::Number(text)) => {
                let n = whole(text).and_then(|n| i32::try_from(n).ok());
                self.long(i64::from(n.ok_or_else(|| self.no(text, "an int of 32 bits"))?));
            }
            (Type::Long, Json::Number(text)) => {
                let n = whole(text).ok_or_else(|| self.no(text, "a whole number of 64 bits"))?;
                self.long(n);
            }
            // Numbers that a reader in JavaScript could not hold may come back as text, as in Protobuf's JSON.
            (Type::Long, Json::Text(text)) => {
                let n = text.parse().map_err(|_| self.no(text, "a whole number of 64 bits"))?;
                self.long(n);
            }
            (Type::Float, Json::Number(_) | Json::Text(_)) => {
                let (digits, expected) = (word(json), "a float of 32 bits");
                let n: f32 = special(json)
                    .map(|n| n as f32)
                    .or_else(|| number_of(json))
                    .ok_or_else(|| self.no(digits, expected))?;
                self.out.extend_from_slice(&n.to_le_bytes());
            }
            (Type::Double, Json::Number(_) | Json::Text(_)) => {
                let (digits, expected) = (word(json), "a float of 64 bits");
                let n: f64 = special(json).or_else(|| number_of(json)).ok_or_else(|| self.no(digits, expected))?;
                self.out.extend_from_slice(&n.to_le_bytes());
            }
            (Type::Text, Json::Text(text)) => self.sized(text.as_bytes()),
            (Type::Bytes, Json::Text(text)) => {
                let bytes = self.bytes(text, source)?;
                self.sized(&bytes);
            }
            (Type::Fixed { name, bytes }, Json::Text(text)) => {
                let given = self.bytes(text, source)?;
                if given.len() != *bytes {
                    return Err(self.wrong(&format!("{} bytes, where `{name}` has {bytes}", given.len())));
                }
                self.out.extend_from_slice(&given);
            }
            (Type::Decimal { precision, scale, of }, Json::Text(_) | Json::Number(_)) => {
                let bytes = match (source, json) {
                    (Source::Default, Json::Text(text)) => self.bytes(text, source)?,
                    _ => decimal::from_text(word(json), *precision, *scale).map_err(|why| self.wrong(&why))?,
                };
                self.decimal(bytes, of.as_ref().map(|(_, bytes)| *bytes))?;
            }
            (Type::Uuid { .. }, Json::Text(text)) => self.uuid(text, source)?,
            (Type::Duration { .. }, Json::Object(members)) => self.duration(members)?,
            (Type::Enum { name, symbols }, Json::Text(text)) => {
                let place = symbols.iter().position(|s| s == text);
                let place = place.ok_or_else(|| self.wrong(&format!("enum `{name}` has no symbol {text:?}")))?;
                self.long(place as i64);
            }
            (_, json) => {
                return Err(self.wrong(&format!(
                    "{}, where Avro's `{}` should be",
                    json.kind(),
                    schema.branch_name(number)
                )));
            }
        }
        Ok(())
    }

    fn uuid(&mut self, text: &str, source: Source) -> Result<(), String> {
        let bytes = match source {
            Source::Default => self.bytes(text, source)?,
            Source::Value => uuid(text).ok_or_else(|| self.no(text, "a UUID"))?,
        };
        if bytes.len() != 16 {
            return Err(self.wrong("not the 16 bytes of a UUID"));
        }
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    fn wrong(&self, what: &str) -> String {
        format!("at {}: {what}", self.place)
    }

    fn no(&self, text: &str, expected: &str) -> String {
        let text: String = text.chars().take(60).collect();
        self.wrong(&format!("{text:?} is not {expected}"))
    }

    /// Goes into a part of the value and comes out again.
    fn within(&mut self, step: &str, then: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        let length = self.place.len();
        self.place.push_str(step);
        then(self)?;
        self.place.truncate(length);
        Ok(())
    }

    fn record(
        &mut self,
        name: &str,
        fields: &[Field],
        members: &[(std::borrow::Cow<'_, str>, Json<'_>)],
        depth: usize,
        source: Source,
    ) -> Result<(), String> {
        if let Some((member, _)) = members.iter().find(|(m, _)| fields.iter().all(|f| f.name != *m)) {
            return Err(self.wrong(&format!("record `{name}` has no field {member:?}")));
        }
        for (i, field) in fields.iter().enumerate() {
            // Mostly they stand in the order of the schema.
            let in_order = members.get(i).filter(|(m, _)| *m == field.name);
            let found = in_order.or_else(|| members.iter().find(|(m, _)| *m == field.name));
            self.within(&format!(".{}", field.name), |encoder| match (found, &field.default) {
                (Some((_, value)), _) => encoder.value(field.of, value, depth + 1, source),
                (None, Some(default)) => {
                    let default = Json::parse(default.as_bytes())?;
                    encoder.value(field.of, &default, depth + 1, Source::Default)
                }
                (None, None) => Err(encoder.wrong(&format!("record `{name}` lacks it, and it has no default"))),
            })?;
        }
        Ok(())
    }

    fn list(&mut self, items: usize, given: &[Json<'_>], depth: usize, source: Source) -> Result<(), String> {
        if !given.is_empty() {
            self.long(given.len() as i64);
            for (i, item) in given.iter().enumerate() {
                self.within(&format!("[{i}]"), |encoder| encoder.value(items, item, depth + 1, source))?;
            }
        }
        self.long(0);
        Ok(())
    }

    fn map(
        &mut self,
        values: usize,
        members: &[(std::borrow::Cow<'_, str>, Json<'_>)],
        depth: usize,
        source: Source,
    ) -> Result<(), String> {
        if !members.is_empty() {
            self.long(members.len() as i64);
            for (key, value) in members {
                self.sized(key.as_bytes());
                self.within(&format!("[{key:?}]"), |encoder| encoder.value(values, value, depth + 1, source))?;
            }
        }
        self.long(0);
        Ok(())
    }

    fn union(&mut self, union: &Union, json: &Json<'_>, depth: usize, source: Source) -> Result<(), String> {
        if source == Source::Default {
            return self.default_of_union(union, json, depth);
        }
        let schema = self.schema;
        let (place, value) = match (json, union.null, union.only) {
            (Json::Null, Some(null), _) => (null, json),
            (_, _, Some(only)) => (only, json),
            (Json::Object(members), _, None) if members.len() == 1 => {
                let (name, value) = &members[0];
                let named = |b: &usize| schema.branch_name(*b) == *name;
                let place = union.branches.iter().position(named);
                (place.ok_or_else(|| self.wrong(&format!("the union has no branch {name:?}")))?, value)
            }
            _ => {
                let names: Vec<&str> = union.branches.iter().map(|b| schema.branch_name(*b)).collect();
                let expected = format!("a value of a union is `{{\"BRANCH\": …}}`, one of {}", names.join(", "));
                return Err(self.wrong(&format!("{}, where {expected}", json.kind())));
            }
        };
        self.long(place as i64);
        self.value(union.branches[place], value, depth + 1, source)
    }

    /// A default is written without a name; that of the first branch which it fits.
    fn default_of_union(&mut self, union: &Union, json: &Json<'_>, depth: usize) -> Result<(), String> {
        let (length, place) = (self.out.len(), self.place.len());
        for (i, branch) in union.branches.iter().enumerate() {
            self.long(i as i64);
            if self.value(*branch, json, depth + 1, Source::Default).is_ok() {
                return Ok(());
            }
            self.out.truncate(length);
            self.place.truncate(place);
        }
        Err(self.wrong("the schema's default fits no branch of its union"))
    }

    fn duration(&mut self, members: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> Result<(), String> {
        let expected = "`{\"months\": …, \"days\": …, \"millis\": …}`, whole numbers of 32 bits";
        let part = |name: &str| match members.iter().find(|(n, _)| n == name) {
            Some((_, Json::Number(text))) => whole(text).and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        let parts = ["months", "days", "millis"].map(part);
        let [Some(months), Some(days), Some(millis)] = parts else {
            return Err(self.wrong(&format!("not {expected}")));
        };
        if members.len() != 3 {
            return Err(self.wrong(&format!("not {expected}")));
        }
        [months, days, millis].iter().for_each(|n| self.out.extend_from_slice(&n.to_le_bytes()));
        Ok(())
    }

    fn decimal(&mut self, bytes: Vec<u8>, fixed: Option<usize>) -> Result<(), String> {
        let Some(size) = fixed else {
            if bytes.len() > DECIMAL_BYTES_MAX {
                return Err(self.wrong(&format!("a decimal of more than {DECIMAL_BYTES_MAX} bytes")));
            }
            self.sized(&bytes);
            return Ok(());
        };
        let missing = size.checked_sub(bytes.len()).ok_or_else(|| self.wrong(&format!("more than {size} bytes")))?;
        let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        self.out.extend(std::iter::repeat_n(fill, missing));
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Base64 in values; in a schema's defaults each character stands for a byte.
    fn bytes(&self, text: &str, source: Source) -> Result<Vec<u8>, String> {
        match source {
            Source::Value => BASE64_STANDARD.decode(text).map_err(|why| self.wrong(&format!("not base64: {why}"))),
            Source::Default => text.chars().map(|c| u8::try_from(c).map_err(|_| self.no(text, "bytes"))).collect(),
        }
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.out.extend_from_slice(bytes);
    }

    fn long(&mut self, n: i64) {
        let mut value = ((n << 1) ^ (n >> 63)) as u64;
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

/// A number's digits, or a text.
fn word<'j>(json: &'j Json<'_>) -> &'j str {
    match json {
        Json::Number(text) => text,
        Json::Text(text) => text,
        _ => "",
    }
}

/// Bits that a float holds exactly: whole numbers up to this may come as `5.0`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let n: f64 = text.parse().ok()?;
        (n.fract() == 0.0 && n.abs() <= EXACT_MAX).then_some(n as i64)
    })
}

fn special(json: &Json<'_>) -> Option<f64> {
    match json.text()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A number that its type can hold: what would become infinite does not fit.
fn number_of<F: std::str::FromStr + Into<f64> + Copy>(json: &Json<'_>) -> Option<F> {
    let Json::Number(text) = json else { return None };
    text.parse().ok().filter(|n: &F| {
        let n: f64 = (*n).into();
        n.is_finite()
    })
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let dashes = [8, 13, 18, 23];
    let right = text.len() == 36 && text.bytes().enumerate().all(|(i, b)| (b == b'-') == dashes.contains(&i));
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    if !right || !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or_default() as u8;
    Some(hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}
