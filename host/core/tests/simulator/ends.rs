//! What the functions at a pipeline's ends do: event times of sources, ways of sinks. Pure, as `roles`; how they are called in
//! batches is in `native`, which of them a case has in `case/ends`.

use super::roles::{Rec, Role, Running, number};

/// Topics that only routers write.
pub const ROUTED: [&str; 5] = ["ra1", "ra2", "rb1", "r1b", "r"];

/// Names that routers give besides: topics of others, and names that no topic has.
const ELSEWHERE: [&[u8]; 7] = [b"out0", b"late", b"dead", b"in00", b"ra", b"", b"\xff"];

/// Where a result goes: a topic's name, or to the sink's own, and a partition, or by its key.
pub type Way = (Option<Vec<u8>>, Option<u32>);

impl Running {
    /// The answer of a function for event times, of which only the timestamp is of use. `stream`: the stream time that it was shown; there
    /// should be none.
    pub fn when(self, rec: &Rec, stream: i64, h: u64) -> Vec<(u32, Rec)> {
        let Role::When { moves, timed } = self.role else { unreachable!("it gives event times") };
        if h % 16 == 3 {
            return Vec::new();
        }
        let moved = ((h / 32).wrapping_mul(self.version) % 50) as i64 - 20;
        let time = match h % 32 {
            _ if !moves => rec.time,
            5 => -1 - moved.abs(),
            21 => i64::MIN,
            9 | 25 => rec.time,
            _ => rec.time.max(0).saturating_add(moved).max(0),
        };
        let time = if timed && stream != i64::MIN { time.saturating_add(1) } else { time };
        let headers = vec![(b"w".to_vec(), None)];
        vec![(0, Rec { key: Some(b"of no use".to_vec()), value: None, time, headers })]
    }

    /// A router's answer about a result; minds its window, and `stream` as [`Running::when`] does.
    pub fn route(self, rec: &Rec, window: Option<(i64, i64)>, stream: i64) -> Way {
        let Role::Router { parts, timed } = self.role else { unreachable!("it is a router") };
        let value = rec.value.as_deref().unwrap_or(b"null");
        let bounds = window.map_or(0, |(start, end)| start.wrapping_mul(31).wrapping_add(end) as u64);
        let shown = u64::from(timed && stream != i64::MIN);
        let of = [value, rec.key.as_deref().unwrap_or(b"no key")].map(number);
        let h = (of[0] ^ of[1].rotate_left(9)).wrapping_add(bounds).wrapping_mul(2 * self.version + 1);
        let h = (h >> 7).wrapping_add(shown + self.function as u64);
        let topic = match h % 16 {
            0..5 => None,
            5 => Some(ELSEWHERE[(h / 16) as usize % ELSEWHERE.len()].to_vec()),
            6 => Some(b"out0".to_vec()),
            n => Some(ROUTED[n as usize % ROUTED.len()].as_bytes().to_vec()),
        };
        let partition = match h / 16 % 32 {
            _ if !parts => None,
            0 => Some(u32::MAX),
            1 => Some(3),
            n => Some(n as u32 % 2),
        };
        (topic, partition)
    }
}
