//! Decimals: the two's complement of a whole number, big-endian, and decimal digits with a point.

/// Digits of a number with `scale` of them behind the point.
pub fn to_text(bytes: &[u8], scale: usize) -> String {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut rest = bytes.to_vec();
    if negative {
        negate(&mut rest);
    }
    // Long division by ten, a digit a round; the length is bounded by the caller.
    let mut digits = Vec::new();
    while rest.iter().any(|b| *b != 0) {
        let mut left = 0u16;
        for byte in &mut rest {
            let value = left << 8 | u16::from(*byte);
            (*byte, left) = ((value / 10) as u8, value % 10);
        }
        digits.push(b'0' + left as u8);
    }
    while digits.len() <= scale {
        digits.push(b'0');
    }
    let mut text = String::with_capacity(digits.len() + 2);
    if negative {
        text.push('-');
    }
    for (i, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(*digit));
        if i == scale && scale > 0 {
            text.push('.');
        }
    }
    text
}

/// The two's complement, in as few bytes as there can be, at least one.
///
/// # Errors
/// What is wrong: not digits, more digits than the precision, more behind the point than the scale. Nothing is rounded.
pub fn from_text(text: &str, precision: usize, scale: usize) -> Result<Vec<u8>, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (front, back) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if front.is_empty() || !are_digits(front) || !are_digits(back) || digits.ends_with('.') {
        return Err(format!("{} is not a decimal number", shown(text)));
    }
    let front = front.trim_start_matches('0');
    let back = back.trim_end_matches('0');
    if back.len() > scale {
        return Err(format!("{} has more than {scale} digits behind the point", shown(text)));
    }
    // With nothing in front there are no more digits than the scale, which is never above the precision.
    if !front.is_empty() && front.len() + scale > precision {
        return Err(format!("{} has more than {precision} digits", shown(text)));
    }
    let zeros = std::iter::repeat_n(b'0', scale - back.len());
    let mut bytes = vec![0u8];
    for digit in front.bytes().chain(back.bytes()).chain(zeros) {
        let mut carry = u16::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let value = u16::from(*byte) * 10 + carry;
            (*byte, carry) = (value as u8, value >> 8);
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
    }
    // Room for the sign, then as short as it can be.
    bytes.insert(0, 0);
    if negative {
        negate(&mut bytes);
    }
    let needless = |b: &[u8]| b.len() > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80);
    while needless(&bytes) {
        bytes.remove(0);
    }
    Ok(bytes)
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stand_as_two_complement_says() {
        let cases: [(&[u8], usize, &str); 8] = [
            (&[0], 0, "0"),
            (&[0], 2, "0.00"),
            (&[0x04, 0xd2], 2, "12.34"),
            (&[0xff], 0, "-1"),
            (&[0xff], 3, "-0.001"),
            (&[0x80], 0, "-128"),
            (&[0x00, 0x80], 0, "128"),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0, "2361183241434822606847"),
        ];
        for (bytes, scale, text) in cases {
            assert_eq!(to_text(bytes, scale), text);
            assert_eq!(from_text(text, 30, scale).unwrap(), bytes);
        }
        assert_eq!(to_text(&[], 0), "0");
    }

    #[test]
    fn nothing_is_rounded_and_too_much_is_told() {
        assert_eq!(from_text("1.50", 4, 1).unwrap(), [15]);
        assert_eq!(from_text("0.99", 2, 2).unwrap(), [99]);
        assert_eq!(from_text("0007", 1, 0).unwrap(), [7]);
        assert!(from_text("1.05", 4, 1).unwrap_err().contains("more than 1 digits behind"));
        assert!(from_text("1000", 3, 0).unwrap_err().contains("more than 3 digits"));
        assert!(from_text("1.00", 2, 2).unwrap_err().contains("more than 2 digits"));
        for wrong in ["", "-", ".5", "5.", "1e3", "+1", "1.2.3", "--1", "NaN"] {
            assert!(from_text(wrong, 9, 3).unwrap_err().contains("is not a decimal number"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number in any::<i128>(), scale in 0usize..40) {
            let text = to_text(&number.to_be_bytes(), scale);
            let bytes = from_text(&text, 80, scale).unwrap();
            let fill = if number < 0 { 0xff } else { 0 };
            let mut whole = vec![fill; 16 - bytes.len()];
            whole.extend(bytes);
            prop_assert_eq!(i128::from_be_bytes(whole.try_into().unwrap()), number);
        }
    }
}
