//! The header that producers with a Schema Registry put before each value: a zero byte, the schema's id in four bytes,
//! big-endian; for Protobuf then the place of the message within its schema.
//!
//! After Confluent's documentation ("Wire format"). Ids in record headers, a later addition of theirs, are not read.

use crate::limits::MESSAGE_INDEXES_MAX;

/// The first byte of the header.
const MAGIC: u8 = 0;

/// Takes the header off: the schema's id, and what is behind it.
///
/// # Errors
/// What is there instead.
pub fn open(bytes: &[u8]) -> Result<(u32, &[u8]), String> {
    match bytes {
        [MAGIC, a, b, c, d, rest @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        [MAGIC, ..] | [] => {
            Err(format!("{} bytes are too few for the header with a schema's id, which has 5", bytes.len()))
        }
        [other, ..] => Err(format!(
            "the first byte is {other} and not 0, as it is before a schema's id: not written with a registry"
        )),
    }
}

/// Writes the header.
pub fn write(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Takes the place of a message off: which message of the file, then which within that, and so on.
///
/// # Errors
/// What is wrong with it.
pub fn open_indexes(bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let (mut rest, count) = zigzag(bytes)?;
    // Zero stands for the first message of the file, the usual one.
    if count == 0 {
        return Ok((vec![0], rest));
    }
    if count < 0 || count > MESSAGE_INDEXES_MAX as i64 {
        return Err(format!("{count} message indexes; there may be {MESSAGE_INDEXES_MAX}"));
    }
    let mut indexes = Vec::new();
    for _ in 0..count {
        let (behind, index) = zigzag(rest)?;
        indexes.push(usize::try_from(index).map_err(|_| format!("a message index of {index}"))?);
        rest = behind;
    }
    Ok((indexes, rest))
}

/// Writes the place of a message.
pub fn write_indexes(indexes: &[usize], out: &mut Vec<u8>) {
    if indexes == [0] {
        out.push(0);
        return;
    }
    [indexes.len()].iter().chain(indexes).for_each(|n| {
        let mut value = (*n as u64) << 1;
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    });
}

fn zigzag(bytes: &[u8]) -> Result<(&[u8], i64), String> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((&bytes[i + 1..], (value >> 1) as i64 ^ -((value & 1) as i64)));
        }
    }
    Err("a message index that does not end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        let mut out = Vec::new();
        write(0x0102_0304, &mut out);
        out.push(9);
        assert_eq!(out, [0, 1, 2, 3, 4, 9]);
        assert_eq!(open(&out).unwrap(), (0x0102_0304, &[9u8][..]));
        for short in 0..5 {
            assert!(open(&out[..short]).unwrap_err().contains("too few"));
        }
        assert!(open(b"{\"a\":1}").unwrap_err().contains("the first byte is 123"));
    }

    #[test]
    fn places_of_messages_come_back() {
        for (indexes, bytes) in [
            (vec![0], vec![0]),
            (vec![1, 0], vec![4, 2, 0]),
            (vec![100], vec![2, 0xc8, 1]),
            (vec![0, 0], vec![4, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_indexes(&indexes, &mut out);
            assert_eq!(out, bytes);
            out.push(7);
            assert_eq!(open_indexes(&out).unwrap(), (indexes, &[7u8][..]));
            for short in 0..bytes.len() {
                assert!(open_indexes(&bytes[..short]).unwrap_err().contains("does not end"), "{bytes:?} {short}");
            }
        }
        // The long form of the first message is read as well.
        assert_eq!(open_indexes(&[2, 0]).unwrap().0, [0]);
        assert!(open_indexes(&[1]).unwrap_err().contains("-1 message indexes"));
        assert!(open_indexes(&[2, 1]).unwrap_err().contains("a message index of -1"));
        let mut many = vec![(2 * (MESSAGE_INDEXES_MAX + 1)) as u8];
        many.extend([0; MESSAGE_INDEXES_MAX + 1]);
        assert!(open_indexes(&many).unwrap_err().contains("there may be"));
        assert!(open_indexes(&[0xff; 9]).unwrap_err().contains("does not end"));
    }
}
