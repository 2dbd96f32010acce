//! What stands beside a committed offset: who committed it, in which interval, and the task's metadata. A text, since Kafka's is.
//!
//! `1 OWNER INTERVAL META`: version, transactional id and session of the producer, number of the interval, the task's metadata
//! in base64. The whole stands at the first of the task's partitions; the others have `-` for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use millstream_core::meta::Meta;

const VERSION: &str = "1";

/// Bytes that a broker takes beside an offset (`offset.metadata.max.bytes`, its default).
pub const METADATA_BYTES_MAX: usize = 4_096;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Transactional id and session of the producer, no blanks in it.
    pub owner: String,
    /// Number of the interval in that session.
    pub interval: u64,
    /// The task's metadata; `None` at all partitions but its first.
    pub meta: Option<Vec<u8>>,
}

impl Beside {
    /// As text.
    ///
    /// # Errors
    /// Its length in bytes, when that is more than a broker takes.
    pub fn encode(&self) -> Result<String, usize> {
        let meta = self.meta.as_ref().map_or("-".to_string(), |meta| BASE64.encode(meta));
        let text = format!("{VERSION} {} {} {meta}", self.owner, self.interval);
        if text.len() > METADATA_BYTES_MAX { Err(text.len()) } else { Ok(text) }
    }

    /// Reads a text; `None` where it is not ours, or of a version that this one does not know.
    pub fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        if parts.next()? != VERSION {
            return None;
        }
        let (owner, interval, meta) = (parts.next()?, parts.next()?, parts.next()?);
        let meta = if meta == "-" { None } else { Some(BASE64.decode(meta).ok()?) };
        let all = parts.next().is_none();
        all.then_some(Self { owner: owner.to_string(), interval: interval.parse().ok()?, meta })
    }
}

/// A task's metadata in two: what is small and goes beside the offsets, and the clocks, which grow with the number of upstream
/// tasks and go through a changelog; `None`: there are none.
pub fn split(mut meta: Meta) -> (Vec<u8>, Option<Vec<u8>>) {
    let clocks = std::mem::take(&mut meta.clocks);
    let clocks = (!clocks.is_empty()).then(|| Meta { clocks, ..Meta::default() }.encode());
    (meta.encode(), clocks)
}

/// The two in one again; `None` where one cannot be read.
pub fn join(small: &[u8], clocks: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut meta = Meta::decode(small)?;
    if let Some(clocks) = clocks {
        meta.clocks = Meta::decode(clocks)?.clocks;
    }
    Some(meta.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::meta::ClockMeta;
    use millstream_core::time::Upstream;

    #[test]
    fn it_comes_back_and_what_is_not_ours_is_seen() {
        let beside = Beside { owner: "p-host-0/ab12".into(), interval: 77, meta: Some(vec![1, 0, 255]) };
        let text = beside.encode().unwrap();
        assert_eq!(text, "1 p-host-0/ab12 77 AQD/");
        assert_eq!(Beside::decode(&text), Some(beside.clone()));
        let other = Beside { meta: None, ..beside };
        assert_eq!(Beside::decode(&other.encode().unwrap()), Some(other));
        for foreign in ["", "by hand", "2 a 1 -", "1 a x -", "1 a 1 ?", "1 a 1", "1 a 1 - -"] {
            assert_eq!(Beside::decode(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn more_than_a_broker_takes_is_told() {
        let beside = |bytes| Beside { owner: "o".into(), interval: 1, meta: Some(vec![0; bytes]) };
        assert!(beside(3_000).encode().is_ok());
        assert_eq!(beside(3_100).encode(), Err(4_140));
    }

    #[test]
    fn clocks_go_apart_and_come_back() {
        let clock = ClockMeta {
            node: "n".into(),
            closing: 5,
            inputs: vec![("t".into(), vec![Upstream { time: 9, idle: true }])],
        };
        let meta = Meta { positions: vec![("in".into(), 3)], clocks: vec![clock], interval: 4, ..Meta::default() };
        let (small, clocks) = split(meta.clone());
        assert!(Meta::decode(&small).unwrap().clocks.is_empty());
        assert_eq!(join(&small, clocks.as_deref()), Some(meta.encode()));
        let without = Meta { clocks: vec![], ..meta };
        assert_eq!(split(without.clone()), (without.encode(), None));
    }
}
