//! Durations, sizes and times as the manifest writes them. Text in, numbers out; the schema has checked the form before.

/// Longest duration, milliseconds: a hundred years of 365 days. Sums of several stay far from the end of 64 bits.
pub const DURATION_MS_MAX: i64 = 100 * 365 * 86_400_000;
/// Largest size, bytes: 1 PiB.
pub const SIZE_BYTES_MAX: u64 = 1 << 50;

/// Milliseconds of a duration such as `10s`; `None` where it is not one, or longer than [`DURATION_MS_MAX`].
///
/// ```
/// use millstream::config::units::duration_ms;
///
/// assert_eq!(duration_ms("5m"), Some(300_000));
/// assert_eq!(duration_ms("5 m"), None);
/// ```
pub fn duration_ms(text: &str) -> Option<i64> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let (number, unit) = split(text)?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<i64>().ok()?.checked_mul(factor).filter(|ms| *ms <= DURATION_MS_MAX)
}

/// Bytes of a size such as `64KiB`; `None` where it is not one, or larger than [`SIZE_BYTES_MAX`].
pub fn size_bytes(text: &str) -> Option<u64> {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (number, unit) = split(text)?;
    let power = units.iter().position(|name| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(1 << (10 * power)).filter(|bytes| *bytes <= SIZE_BYTES_MAX)
}

/// Milliseconds since 1970 of a time in RFC 3339; the reason, in words, where it is not one or lies before 1970.
///
/// # Errors
/// Why it cannot be used.
pub fn time_ms(text: &str) -> Result<i64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|why: jiff::Error| why.to_string())?;
    let ms = time.as_millisecond();
    if ms < 0 { Err("it lies before 1970-01-01T00:00:00Z".to_string()) } else { Ok(ms) }
}

/// Digits and unit.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    (at > 0).then(|| text.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_their_ends() {
        let durations =
            [("250ms", Some(250)), ("10s", Some(10_000)), ("2h", Some(7_200_000)), ("1d", Some(86_400_000))];
        for (text, expected) in durations {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
        for text in ["", "10", "s", "10 s", "1.5s", "-1s", "10S", "99999999999999999999ms"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
        assert_eq!(duration_ms("36500d"), Some(DURATION_MS_MAX));
        assert_eq!(duration_ms("36501d"), None);
        assert_eq!(size_bytes("64KiB"), Some(65_536));
        assert_eq!(size_bytes("7B"), Some(7));
        assert_eq!(size_bytes("1024TiB"), Some(SIZE_BYTES_MAX));
        for text in ["1025TiB", "64KB", "64", "99999999999999999999B"] {
            assert_eq!(size_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time_ms("2021-05-01T14:30:00Z"), Ok(1_619_879_400_000));
        assert_eq!(time_ms("2021-05-01T16:30:00+02:00"), Ok(1_619_879_400_000));
        assert!(time_ms("1969-12-31T23:59:59Z").is_err());
        assert!(time_ms("yesterday").is_err());
    }
}
