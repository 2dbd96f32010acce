//! What was meant by a value that is wrong, where a habit from elsewhere shows: units spelled otherwise, quotes, paths.
//!
//! Not here: names that are nearly right, which `problem::nearest` finds.

use serde_json::Value;

/// Help for mistakes that YAML invites.
pub fn hint(path: &[String], value: &Value, expected: &str) -> String {
    match value {
        Value::String(text) if path.len() == 2 && path[0] == "functions" => {
            format!("write `{}: {{ component: {text} }}`", path[1])
        }
        Value::String(_) if path.last().is_some_and(|key| key == "window") => {
            "write `window: { tumbling: 10s, grace: 2s }`".to_string()
        }
        Value::String(text) if expected.contains("`true`") && ["true", "false"].contains(&text.as_str()) => {
            "it is in quotes, which makes it a text: leave them out".to_string()
        }
        Value::String(text) if expected.contains("whole number") && text.parse::<u64>().is_ok() => {
            "it is in quotes, which makes it a text: leave them out".to_string()
        }
        Value::String(text) if expected.starts_with("a duration") => duration_meant(text).unwrap_or_default(),
        Value::String(text) if expected.starts_with("a name") && (text.contains('/') || text.ends_with(".wasm")) => {
            "give the file a name under `functions`, and write that name here".to_string()
        }
        Value::Object(_) if expected.contains("`{ ago: 2h }`") => "keep one of `time` and `ago`".to_string(),
        Value::Number(number) if expected.starts_with("a duration") => {
            format!("add the unit: `{number}s`, `{number}ms`")
        }
        Value::Number(number) if expected.starts_with("a size") => format!("add the unit: `{number}MiB`, `{number}B`"),
        Value::Number(_) | Value::Bool(_) if expected.starts_with("a name") || expected.starts_with("the name") => {
            format!("YAML reads it as a {}; in quotes it is a text: `\"{value}\"`", kind_of(value))
        }
        Value::String(text) if expected.contains("`true`") && ["yes", "on", "no", "off"].contains(&text.as_str()) => {
            format!("in YAML 1.2 `{text}` is a text")
        }
        Value::String(text) if expected.starts_with("a size") => size_meant(text).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A duration in a form that is common elsewhere, as it is written here.
fn duration_meant(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    let unit = match unit.to_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "us" | "µs" | "ns" => return Some("the shortest is a millisecond: `1ms`".to_string()),
        "w" | "week" | "weeks" => return Some("write it in days: a week is `7d`".to_string()),
        _ => return None,
    };
    match number.contains('.') {
        true => Some(format!("write a whole number, in a smaller unit than `{unit}`")),
        false => Some(format!("write `{number}{unit}`")),
    }
}

/// A size in a form that is common elsewhere, as it is written here.
fn size_meant(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    let unit = match unit.to_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        _ => return None,
    };
    match number.contains('.') {
        true => Some(format!("write a whole number, in a smaller unit than `{unit}`")),
        false => Some(format!("write `{number}{unit}`; units are powers of 1024")),
    }
}

/// `10 sec` → `10` and `sec`; `None` where it is not a number and a word.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    number.parse::<f64>().ok().map(|_| (number, unit.trim()))
}

fn kind_of(value: &Value) -> &'static str {
    if value.is_boolean() { "truth value" } else { "number" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_of_elsewhere_are_known() {
        let duration = |text| duration_meant(text).unwrap_or_default();
        for (text, right) in [("10 sec", "10s"), ("2S", "2s"), ("5min", "5m"), ("1 Hour", "1h"), ("3days", "3d")] {
            assert_eq!(duration(text), format!("write `{right}`"));
        }
        assert!(duration("1.5s").contains("a whole number"));
        assert!(duration("10us").contains("`1ms`"));
        assert!(duration("2 weeks").contains("`7d`"));
        let size = |text| size_meant(text).unwrap_or_default();
        for (text, right) in [("64 MB", "64MiB"), ("1k", "1KiB"), ("7 bytes", "7B"), ("2gb", "2GiB"), ("1T", "1TiB")] {
            assert_eq!(size(text), format!("write `{right}`; units are powers of 1024"));
        }
        for nothing in ["", "s", "10", "-10s", "1.2.3s", "10 parsecs", "é"] {
            assert_eq!((duration_meant(nothing), size_meant(nothing)), (None, None), "{nothing}");
        }
    }
}
