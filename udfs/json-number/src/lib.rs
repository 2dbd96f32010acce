//! Exact decimal numbers from a field of a JSON value, for the samples that calculate. A library, not a function; no
//! floats, whose sums depend on the order.

mod field;

pub use field::{Field, SETTINGS};

use std::fmt;

/// Digits behind the point that are kept.
pub const DECIMALS_MAX: u32 = 9;

const ONE: i128 = 10i128.pow(DECIMALS_MAX);

/// A decimal number of up to [`DECIMALS_MAX`] decimals, between about ±1.7e29. Nothing is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(i128);

impl Number {
    /// Reads a JSON number; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (sign, whole) = whole.strip_prefix('-').map_or((1, whole), |rest| (-1, rest));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err("is not a number");
        }
        let units = sign * digits_of(whole, fraction).ok_or("has too many digits")?;
        if units == 0 {
            return Ok(Self(0));
        }
        let exponent: i32 = exponent.parse().map_err(|_| "is not a number")?;
        let shift = i64::from(DECIMALS_MAX) + i64::from(exponent) - fraction.len() as i64;
        let power = usize::try_from(shift.unsigned_abs()).ok().and_then(|shift| POWERS.get(shift).copied());
        match (shift >= 0, power) {
            (true, power) => power.and_then(|power| units.checked_mul(power)).map(Self).ok_or("is too large"),
            (false, Some(power)) if units % power == 0 => Ok(Self(units / power)),
            (false, _) => Err("has more than 9 decimals"),
        }
    }

    /// The sum; `None` when it is out of range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` when it is out of range.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// 16 bytes, little-endian: how a state is stored.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// What [`to_bytes`](Self::to_bytes) made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.try_into().map_err(|_| format!("a number has 16 bytes, this state has {}", bytes.len()))?;
        Ok(Self(i128::from_le_bytes(bytes)))
    }
}

/// Powers of ten, as many as an i128 holds.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// Digits before and behind the point as one number.
fn digits_of(whole: &str, fraction: &str) -> Option<i128> {
    /// Digits that an u64 always holds: the usual case, without the slow arithmetic of 128 bits.
    const SHORT: usize = 19;
    let mut digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0');
    if whole.len() + fraction.len() <= SHORT {
        return Some(digits.fold(0u64, |sum, digit| sum * 10 + u64::from(digit)).into());
    }
    digits.try_fold(0i128, |sum, digit| sum.checked_mul(10)?.checked_add(digit.into()))
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        write!(formatter, "{sign}{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let digits = format!("{fraction:0width$}", width = DECIMALS_MAX as usize);
        write!(formatter, ".{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written_without_rounding() {
        let cases = [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e999999999", "0"),
            ("12", "12"),
            ("-12.50", "-12.5"),
            ("-0.25", "-0.25"),
            ("1.5e3", "1500"),
            ("15E-1", "1.5"),
            ("1000e-9", "0.000001"),
            ("0.1234567890", "0.123456789"),
            ("9999999999999999999", "9999999999999999999"),
            ("-12345678901234567890.5", "-12345678901234567890.5"),
            ("170141183460469231731687303715", "170141183460469231731687303715"),
        ];
        for (text, expected) in cases {
            assert_eq!(Number::parse(text).map(|number| number.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        let cases = [
            ("", "is not a number"),
            ("-", "is not a number"),
            ("1.5x", "is not a number"),
            ("1e", "is not a number"),
            ("0.0000000001", "has more than 9 decimals"),
            ("1e-99999", "has more than 9 decimals"),
            ("1e30", "is too large"),
            ("1e2147483647", "is too large"),
            ("-1701411834604692317316873037159", "is too large"),
            ("9999999999999999999999999999999999999999", "has too many digits"),
        ];
        for (text, expected) in cases {
            assert_eq!(Number::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn tenths_add_up() {
        let tenth = Number::parse("0.1").unwrap();
        let sum = (0..10).try_fold(Number::default(), |sum, _| sum.checked_add(tenth)).unwrap();
        assert_eq!(sum.to_string(), "1");
        assert_eq!(Number::from_bytes(&sum.to_bytes()), Ok(sum));
        assert_eq!(Number::from_bytes(b"12"), Err("a number has 16 bytes, this state has 2".into()));
        assert_eq!(Number(i128::MAX).checked_add(tenth), None);
    }
}
