//! Bytes as a case has them: a text, null, `{ hex: … }`, `{ base64: … }`, `{ json: … }`.

use serde_json::Value;

/// Characters of bytes that are shown at the most.
const SHOWN_CHARS_MAX: usize = 400;

/// Bytes that a function is given, or must give.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Datum {
    /// Null.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// JSON: given in its compact form, compared by its meaning.
    Json {
        /// The compact form.
        text: Vec<u8>,
        /// What it means.
        value: Value,
    },
}

impl Datum {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// JSON.
    pub fn json(value: Value) -> Self {
        Self::Json { text: value.to_string().into_bytes(), value }
    }

    /// As a function is given it.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Datum::Null => None,
            Datum::Bytes(bytes) | Datum::Json { text: bytes, .. } => Some(bytes),
        }
    }

    /// Whether what came is this.
    pub fn is(&self, came: Option<&[u8]>) -> bool {
        match (self, came) {
            (Datum::Json { value, .. }, Some(came)) => {
                serde_json::from_slice::<Value>(came).is_ok_and(|came| came == *value)
            }
            (other, came) => other.bytes() == came,
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Datum::Json { text, .. } => format!("JSON {}", String::from_utf8_lossy(text)),
            other => shown(other.bytes()),
        }
    }
}

/// Bytes for people: text in quotes where they are text, else hexadecimal; cut.
pub fn shown(bytes: Option<&[u8]>) -> String {
    let text = match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => return "null".to_string(),
        Some((_, Ok(text))) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) => {
            format!("{text:?}")
        }
        Some((bytes, _)) => format!("hex {}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    };
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    let all = bytes.map_or(0, <[u8]>::len);
    text.chars().take(SHOWN_CHARS_MAX).chain(format!("… ({all} bytes)").chars()).collect()
}

/// Bytes from hexadecimal digits, which may have spaces between them; the error says what is wrong.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(other) = digits.iter().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("`{other}` is no hexadecimal digit"));
    }
    if digits.len() % 2 == 1 {
        return Err(format!("a byte has two hexadecimal digits, and here are {} in all", digits.len()));
    }
    let digit = |c: char| c.to_digit(16).unwrap_or_default() as u8;
    Ok(digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}
