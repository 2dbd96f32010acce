//! What stands beside a committed offset: who committed it, in which interval, and the task's metadata. A text, since Kafka's is.
//!
//! `1 OWNER INTERVAL META`: version, transactional id and session of the producer, number of the interval, the task's metadata
//! in base64. The whole stands at the first of the task's partitions; the others have `-` for it.
//!
//! `2 OWNER INTERVAL META ENDS`: without a transaction, so that the owner only tells hosts apart; the ends of the task's changelogs as
//! `STORE=OFFSET`, with commas between, or `-`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use millstream_core::meta::Meta;

use super::repair::Ends;

const TRANSACTIONAL: &str = "1";
const PLAIN: &str = "2";

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
    /// How much of its changelogs belongs to this; `None`: the transaction says it.
    pub ends: Option<Ends>,
}

impl Beside {
    /// As text.
    ///
    /// # Errors
    /// Its length in bytes, when that is more than a broker takes.
    pub fn encode(&self) -> Result<String, usize> {
        let meta = self.meta.as_ref().map_or("-".to_string(), |meta| BASE64.encode(meta));
        let Self { owner, interval, ends, .. } = self;
        let text = match ends {
            None => format!("{TRANSACTIONAL} {owner} {interval} {meta}"),
            Some(ends) => format!("{PLAIN} {owner} {interval} {meta} {}", ends_text(ends)),
        };
        if text.len() > METADATA_BYTES_MAX { Err(text.len()) } else { Ok(text) }
    }

    /// Reads a text; `None` where it is not ours, or of a version that this one does not know.
    pub fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let version = parts.next()?;
        let (owner, interval, meta) = (parts.next()?, parts.next()?, parts.next()?);
        let meta = if meta == "-" { None } else { Some(BASE64.decode(meta).ok()?) };
        let ends = match version {
            TRANSACTIONAL => None,
            PLAIN => Some(ends_of(parts.next()?)?),
            _ => return None,
        };
        let all = parts.next().is_none();
        all.then_some(Self { owner: owner.to_string(), interval: interval.parse().ok()?, meta, ends })
    }
}

fn ends_text(ends: &Ends) -> String {
    if ends.is_empty() {
        return "-".into();
    }
    let all: Vec<String> = ends.iter().map(|(store, offset)| format!("{store}={offset}")).collect();
    all.join(",")
}

fn ends_of(text: &str) -> Option<Ends> {
    if text == "-" {
        return Some(Ends::new());
    }
    let one = |end: &str| {
        let (store, offset) = end.split_once('=')?;
        Some((store.to_string(), offset.parse().ok()?))
    };
    text.split(',').map(one).collect()
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
        let beside = Beside { owner: "p-host-0/ab12".into(), interval: 77, meta: Some(vec![1, 0, 255]), ends: None };
        let text = beside.encode().unwrap();
        assert_eq!(text, "1 p-host-0/ab12 77 AQD/");
        for (ends, last) in [(Ends::new(), "-"), (Ends::from([("a".into(), 15), ("b.c".into(), 300)]), "a=15,b.c=300")]
        {
            let plain = Beside { ends: Some(ends), ..beside.clone() };
            let text = plain.encode().unwrap();
            assert_eq!(text, format!("2 p-host-0/ab12 77 AQD/ {last}"));
            assert_eq!(Beside::decode(&text), Some(plain));
        }
        assert_eq!(Beside::decode(&text), Some(beside.clone()));
        let other = Beside { meta: None, ..beside };
        assert_eq!(Beside::decode(&other.encode().unwrap()), Some(other));
        for foreign in [
            "",
            "by hand",
            "3 a 1 -",
            "1 a x -",
            "1 a 1 ?",
            "1 a 1",
            "1 a 1 - -",
            "2 a 1 -",
            "2 a 1 - a",
            "2 a 1 - a=b",
        ] {
            assert_eq!(Beside::decode(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn more_than_a_broker_takes_is_told() {
        let beside = |bytes| Beside { owner: "o".into(), interval: 1, meta: Some(vec![0; bytes]), ends: None };
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
