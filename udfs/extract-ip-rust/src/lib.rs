//! Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value
//! is left as it is; what the address looks like is not judged.

use memchr::{memchr, memchr_iter};
use millstream_sdk::{Output, Record, Reject};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text after `IP:` up to the next comma.
    pub ip: &'a [u8],
    /// The bracketed UTC time, milliseconds since 1970.
    pub timestamp: i64,
}

/// Reads a line; the error says what is missing from it.
pub fn parse(line: &[u8]) -> Result<Line<'_>, Reject> {
    let time = line.strip_prefix(b"[").and_then(|rest| rest.split_first_chunk());
    let Some((time, rest)) = time.filter(|(_, rest)| rest.starts_with(b"]")) else {
        return Err(Reject::new("the line does not start with [YYYY-MM-DD hh:mm:ss]"));
    };
    let timestamp = milliseconds(time).ok_or("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss")?;
    if timestamp < 0 {
        return Err(Reject::new("the bracketed time is before 1970"));
    }
    let at = memchr_iter(b'I', rest).find(|at| rest[*at..].starts_with(b"IP:")).ok_or("the line has no field IP")?;
    let ip = &rest[at + 3..];
    let ip = ip[..memchr(b',', ip).unwrap_or(ip.len())].trim_ascii();
    if ip.is_empty() {
        return Err(Reject::new("the field IP is empty"));
    }
    Ok(Line { ip, timestamp })
}

/// `YYYY-MM-DD hh:mm:ss` in UTC; leap seconds are not taken.
fn milliseconds(text: &[u8; 19]) -> Option<i64> {
    for (place, mark) in [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')] {
        (text[place] == mark).then_some(())?;
    }
    let mut digits = true;
    let mut number = |from: usize, to: usize| {
        text[from..to].iter().fold(0, |sum, byte| {
            let digit = byte.wrapping_sub(b'0');
            digits &= digit <= 9;
            sum * 10 + i32::from(digit)
        })
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (digits && (1..=days_of_month).contains(&day) && hour < 24 && minute < 60 && second < 60).then_some(())?;
    // Days since 1970 by the civil calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some((i64::from(days) * 86_400 + i64::from((hour * 60 + minute) * 60 + second)) * 1000)
}

/// Key: the address; time: the bracketed one; value: as it is.
pub fn extract_ip(record: &Record, out: &mut Output) -> Result<(), Reject> {
    let line = parse(record.value_or_empty())?;
    out.emit(Some(line.ip), record.value, line.timestamp);
    Ok(())
}

#[cfg(feature = "export")]
millstream_sdk::mapper!(extract_ip);

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";

    #[test]
    fn address_and_time_of_a_line() {
        let expected = Line { ip: b"192.168.1.1", timestamp: 1_619_879_400_000 };
        assert_eq!(parse(LINE.as_bytes()), Ok(expected));
        let cases = [
            ("1970-01-01 00:00:00", Some(0)),
            ("0000-01-01 00:00:00", Some(-62_167_219_200_000)),
            ("9999-12-31 23:59:59", Some(253_402_300_799_000)),
            ("2000-02-29 23:59:59", Some(951_868_799_000)),
            ("2024-03-01 00:00:00", Some(1_709_251_200_000)),
            ("1900-02-29 00:00:00", None),
            ("2021-13-01 00:00:00", None),
            ("2021-05-01 24:00:00", None),
            ("2021-05-0x 10:00:00", None),
            ("2021-05-01T10:00:00", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text.as_bytes().try_into().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_line_that_does_not_parse_says_why() {
        let reason = |line: &str| parse(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(reason(""), "the line does not start with [YYYY-MM-DD hh:mm:ss]");
        assert_eq!(reason("[2021-05-01 14:30:00"), "the line does not start with [YYYY-MM-DD hh:mm:ss]");
        let time = "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss";
        assert_eq!(reason(&LINE.replace("05-01", "05-32")), time);
        assert_eq!(reason("[1969-12-31 23:59:59] IP: ::1"), "the bracketed time is before 1970");
        assert_eq!(reason("[2021-05-01 14:30:00] User: Alice"), "the line has no field IP");
        assert_eq!(reason("[2021-05-01 14:30:00] IP: , User: Alice"), "the field IP is empty");
    }

    #[test]
    fn the_value_column_is_not_sent() {
        let records = [Record { value: Some(LINE.as_bytes()), ..Record::default() }].into_iter().collect();
        let output = millstream_sdk::apply(&extract_ip, &records);
        assert_eq!(output.keys, Some([Some(&b"192.168.1.1"[..])].into_iter().collect()));
        assert_eq!((output.values, output.timestamps), (None, Some(vec![1_619_879_400_000])));
    }
}
