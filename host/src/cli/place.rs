//! Where a record is, as it is written on the command line.

use super::client::name;

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not TOPIC:PARTITION:OFFSET, as in input-topic:3:81204");
        let mut parts = text.split(':');
        let (Some(topic), Some(partition), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let offset = offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(wrong)?;
        Ok(Self { topic: name(topic)?, partition: partition.parse().map_err(|_| wrong())?, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_topic_partition_offset() {
        let place: Place = "in-1:3:81204".parse().unwrap();
        assert_eq!((place.topic.as_str(), place.partition, place.offset), ("in-1", 3, 81_204));
        for wrong in ["", "in", "in:1", "in:1:2:3", "in:x:1", "in:1:-1", "in:-1:1", ":1:1", "in:1:x"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
