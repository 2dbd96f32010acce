//! As extract-ip, with the /24 network as key: a second version whose results visibly differ. IPv4 only.

use std::{net::Ipv4Addr, str};

use millstream_sdk::{Output, Record, Reject};

/// Key: the network, as `192.168.1.0/24`; time: the bracketed one; value: as it is.
pub fn extract_network(record: &Record, out: &mut Output) -> Result<(), Reject> {
    let line = extract_ip::parse(record.value_or_empty())?;
    let address: Option<Ipv4Addr> = str::from_utf8(line.ip).ok().and_then(|text| text.parse().ok());
    let [a, b, c, _] = address.ok_or("the field IP is not an IPv4 address")?.octets();
    out.emit(Some(format!("{a}.{b}.{c}.0/24").as_bytes()), record.value, line.timestamp);
    Ok(())
}

millstream_sdk::mapper!(extract_network);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_network() {
        let lines = ["[2021-05-01 14:30:00] IP: 192.168.1.17, User: Bob", "[2021-05-01 14:30:00] IP: here, User: Bob"];
        let record = |line: &'static str| Record { value: Some(line.as_bytes()), ..Record::default() };
        let output = millstream_sdk::apply(&extract_network, &lines.map(record).into_iter().collect());
        assert_eq!(output.keys, Some([Some(&b"192.168.1.0/24"[..])].into_iter().collect()));
        assert_eq!(output.sources, Some(vec![0]));
        assert_eq!(output.rejected[0].reason, "the field IP is not an IPv4 address");
    }
}
