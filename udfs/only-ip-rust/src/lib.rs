//! Keeps lines that carry an address. Whether the address is one is not its matter.

use memchr::memchr_iter;
use millstream_sdk::Record;

/// Whether the value contains `IP:`.
pub fn only_ip(record: &Record) -> bool {
    let value = record.value_or_empty();
    memchr_iter(b'I', value).any(|at| value[at..].starts_with(b"IP:"))
}

millstream_sdk::filter!(only_ip);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_an_address_are_kept() {
        let keeps = |value: Option<&[u8]>| only_ip(&Record { value, ..Record::default() });
        assert!(keeps(Some(b"[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice")));
        assert!(keeps(Some(b"IP:")));
        for other in [Some(&b"IP 192.168.1.1"[..]), Some(b"IP"), Some(b""), None] {
            assert!(!keeps(other), "{other:?}");
        }
    }
}
