//! From Avro's binary form to JSON, in one walk over the schema, without a tree in between.

use std::collections::HashSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::decimal;
use super::schema::{Schema, Type};
use crate::json::write_text;
use crate::limits::{DECIMAL_BYTES_MAX, DECODED_BYTES_MAX, EMPTY_ITEMS_MAX, NESTING_MAX};

/// Writes the value that `bytes` hold, all of them, as compact JSON.
///
/// # Errors
/// What is wrong and at which byte; `out` then holds a part.
pub fn decode(schema: &Schema, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let bytes_max = out.len().saturating_add(DECODED_BYTES_MAX);
    let mut decoder = Decoder { schema, bytes, at: 0, out, bytes_max, empty: 0 };
    decoder.value(schema.root, 0)?;
    match bytes.len() - decoder.at {
        0 => Ok(()),
        more => Err(format!("{more} bytes too many: the value ends at byte {}", decoder.at)),
    }
}

struct Decoder<'a> {
    schema: &'a Schema,
    bytes: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
    bytes_max: usize,
    /// Items of lists that took no bytes.
    empty: u64,
}

impl<'a> Decoder<'a> {
    /// Every value writes at least a byte, so that what is written bounds what is done.
    fn value(&mut self, number: usize, depth: usize) -> Result<(), String> {
        if self.out.len() > self.bytes_max {
            return Err(format!("the value has more than {DECODED_BYTES_MAX} bytes as JSON"));
        }
        if depth > NESTING_MAX {
            return Err(format!("more than {NESTING_MAX} levels deep at byte {}", self.at));
        }
        let schema = self.schema;
        match &schema.types[number] {
            Type::Record { fields, .. } => {
                self.out.push(b'{');
                for (i, field) in fields.iter().enumerate() {
                    self.comma(i > 0);
                    write_text(&field.name, self.out);
                    self.out.push(b':');
                    self.value(field.of, depth + 1)?;
                }
                self.out.push(b'}');
            }
            Type::List(items) => self.list(*items, depth)?,
            Type::Map(values) => self.map(*values, depth)?,
            Type::Union(_) => self.union(number, depth)?,
            other => self.scalar(other)?,
        }
        Ok(())
    }

    /// A value that is not made of others.
    fn scalar(&mut self, of: &'a Type) -> Result<(), String> {
        match of {
            Type::Null => self.out.extend_from_slice(b"null"),
            Type::Boolean => self.boolean()?,
            Type::Int => {
                let n = self.long()?;
                let n = i32::try_from(n).map_err(|_| format!("{n} at byte {} is no int", self.at))?;
                self.out.extend_from_slice(n.to_string().as_bytes());
            }
            Type::Long => {
                let n = self.long()?;
                self.out.extend_from_slice(n.to_string().as_bytes());
            }
            Type::Float => {
                let n = f32::from_le_bytes(self.array()?);
                self.float(f64::from(n), format!("{n:?}"));
            }
            Type::Double => {
                let n = f64::from_le_bytes(self.array()?);
                self.float(n, format!("{n:?}"));
            }
            Type::Bytes => {
                let bytes = self.sized()?;
                self.base64(bytes);
            }
            Type::Text => {
                let text = self.text()?;
                write_text(text, self.out);
            }
            Type::Enum { name, symbols } => {
                let n = self.long()?;
                let symbol = usize::try_from(n).ok().and_then(|n| symbols.get(n));
                let symbol = symbol.ok_or_else(|| format!("enum `{name}` has no symbol {n}, at byte {}", self.at))?;
                write_text(symbol, self.out);
            }
            Type::Fixed { bytes, .. } => {
                let bytes = self.take(*bytes)?;
                self.base64(bytes);
            }
            Type::Decimal { scale, of, .. } => {
                let bytes = match of {
                    Some((_, bytes)) => self.take(*bytes)?,
                    None => self.sized()?,
                };
                if bytes.len() > DECIMAL_BYTES_MAX {
                    return Err(format!("a decimal of {} bytes; at most {DECIMAL_BYTES_MAX} are read", bytes.len()));
                }
                write_text(&decimal::to_text(bytes, *scale), self.out);
            }
            Type::Uuid { .. } => {
                let hex = self.take(16)?.iter().map(|b| format!("{b:02x}")).collect::<String>();
                let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
                write_text(&parts.join("-"), self.out);
            }
            Type::Duration { .. } => {
                let [months, days, millis] = [self.array()?, self.array()?, self.array()?].map(u32::from_le_bytes);
                let text = format!("{{\"months\":{months},\"days\":{days},\"millis\":{millis}}}");
                self.out.extend_from_slice(text.as_bytes());
            }
            Type::Unread { name } => return Err(format!("the schema does not say what `{name}` is")),
            Type::Record { .. } | Type::List(_) | Type::Map(_) | Type::Union(_) => {
                unreachable!("it is made of other values")
            }
        }
        Ok(())
    }

    fn comma(&mut self, there: bool) {
        if there {
            self.out.push(b',');
        }
    }

    fn boolean(&mut self) -> Result<(), String> {
        let word: &[u8] = match self.take(1)?[0] {
            0 => b"false",
            1 => b"true",
            other => return Err(format!("{other} at byte {} is no truth value", self.at - 1)),
        };
        self.out.extend_from_slice(word);
        Ok(())
    }

    /// JSON has no word for what is not a number; these are the texts of Protobuf's JSON mapping.
    fn float(&mut self, value: f64, digits: String) {
        match value {
            n if n.is_nan() => self.out.extend_from_slice(b"\"NaN\""),
            n if n.is_infinite() => {
                self.out.extend_from_slice(if n > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
            }
            _ => self.out.extend_from_slice(digits.as_bytes()),
        }
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
        self.out.push(b'"');
    }

    fn list(&mut self, items: usize, depth: usize) -> Result<(), String> {
        self.out.push(b'[');
        let mut first = true;
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.comma(!first);
                first = false;
                let start = self.at;
                self.value(items, depth + 1)?;
                self.empty += u64::from(self.at == start);
                if self.empty > EMPTY_ITEMS_MAX {
                    return Err(format!("more than {EMPTY_ITEMS_MAX} items that take no bytes"));
                }
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, values: usize, depth: usize) -> Result<(), String> {
        self.out.push(b'{');
        let mut keys: HashSet<&'a str> = HashSet::new();
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let key = self.text()?;
                self.comma(!keys.is_empty());
                if !keys.insert(key) {
                    return Err(format!("the key {key:?} stands twice in one map, at byte {}", self.at));
                }
                write_text(key, self.out);
                self.out.push(b':');
                self.value(values, depth + 1)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// How many items follow; 0: the end.
    fn block(&mut self) -> Result<u64, String> {
        let count = self.long()?;
        if count < 0 {
            // How many bytes they take, for those who skip.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    fn union(&mut self, number: usize, depth: usize) -> Result<(), String> {
        let schema = self.schema;
        let Type::Union(union) = &schema.types[number] else { return Ok(()) };
        let n = self.long()?;
        let branch = usize::try_from(n).ok().and_then(|n| Some((n, *union.branches.get(n)?)));
        let (place, branch) = branch.ok_or_else(|| format!("a union has no branch {n}, at byte {}", self.at))?;
        if union.only.is_some() || Some(place) == union.null {
            return self.value(branch, depth + 1);
        }
        self.out.push(b'{');
        write_text(schema.branch_name(branch), self.out);
        self.out.push(b':');
        self.value(branch, depth + 1)?;
        self.out.push(b'}');
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err(format!("{count} bytes should follow byte {}, and there are {}", self.at, rest.len()));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.long()?;
        let count = usize::try_from(length).map_err(|_| format!("a length of {length} at byte {}", self.at))?;
        self.take(count)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let bytes = self.sized()?;
        let start = self.at - bytes.len();
        std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", start + e.valid_up_to()))
    }

    /// A zigzag varint of at most 64 bits.
    fn long(&mut self) -> Result<i64, String> {
        let (mut value, start) = (0u64, self.at);
        for shift in (0..).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return Err(format!("a number of more than 64 bits at byte {start}"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
