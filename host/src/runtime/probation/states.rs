//! States of a version on trial: each stands for a state of the version in force, and is thrown away with the trial.
//!
//! The pair is found by key and by the bytes of the state that the version in force had, and where both are known by the window: a
//! merge does not tell windows. So nothing is lost where windows move, and what is not found begins anew from the state in force.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use millstream_core::record::Timestamp;

/// Bytes that an entry takes besides its state, roughly.
const ENTRY_BYTES: usize = 120;

/// Start and end of a window.
pub(super) type Window = Option<(Timestamp, Timestamp)>;

#[derive(Clone, Debug)]
struct Held {
    window: Window,
    state: Option<Vec<u8>>,
}

/// See the module.
pub(super) struct States {
    held: HashMap<u128, Vec<Held>>,
    /// In the order in which they came; some are gone.
    order: VecDeque<u128>,
    bytes: usize,
    bytes_max: usize,
}

impl States {
    /// None yet.
    pub fn new(bytes_max: usize) -> Self {
        Self { held: HashMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Takes out the state that stands for `old`; the inner `None`: the version on trial has none there.
    #[allow(clippy::option_option)] // whether there is an entry, and whether there is a state in it
    pub fn take(&mut self, key: Option<&[u8]>, window: Window, old: &[u8]) -> Option<Option<Vec<u8>>> {
        let name = name(key, old);
        let all = self.held.get_mut(&name)?;
        let found = all.iter().position(|held| held.window == window && window.is_some()).unwrap_or(0);
        let held = all.swap_remove(found);
        if all.is_empty() {
            self.held.remove(&name);
        }
        self.bytes = self.bytes.saturating_sub(cost(&held));
        Some(held.state)
    }

    /// Keeps a state that stands for `old`. `false`: for want of room the oldest had to go.
    pub fn put(&mut self, key: Option<&[u8]>, window: Window, old: &[u8], state: Option<Vec<u8>>) -> bool {
        let name = name(key, old);
        let held = Held { window, state };
        self.bytes += cost(&held);
        let all = self.held.entry(name).or_default();
        match all.iter().position(|other| other.window == window) {
            Some(at) => {
                let before = std::mem::replace(&mut all[at], held);
                self.bytes = self.bytes.saturating_sub(cost(&before));
            }
            None => all.push(held),
        }
        self.order.push_back(name);
        self.make_room()
    }

    fn make_room(&mut self) -> bool {
        let mut kept = true;
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(all) = self.held.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(all.iter().map(cost).sum());
                kept = false;
            }
        }
        // Names of what was taken out gather in front.
        if self.order.len() > 2 * self.held.len() + 1_024 {
            let held = &self.held;
            let mut seen = std::collections::HashSet::new();
            self.order.retain(|name| held.contains_key(name) && seen.insert(*name));
        }
        kept
    }
}

fn cost(held: &Held) -> usize {
    ENTRY_BYTES + held.state.as_ref().map_or(0, Vec::len)
}

/// 128 bits: that two differ is as good as certain.
fn name(key: Option<&[u8]>, old: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, key, old).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_by_key_state_and_window() {
        let mut states = States::new(1 << 20);
        let (a, b) = (Some((0, 10)), Some((10, 20)));
        assert!(states.put(Some(b"k"), a, b"1", Some(b"A".to_vec())));
        assert!(states.put(Some(b"k"), b, b"1", None));
        assert_eq!(states.take(Some(b"k"), b, b"2"), None);
        assert_eq!(states.take(None, b, b"1"), None, "another key");
        assert_eq!(states.take(Some(b"k"), b, b"1"), Some(None));
        assert_eq!(states.take(Some(b"k"), None, b"1"), Some(Some(b"A".to_vec())), "a merge knows no windows");
        assert_eq!((states.take(Some(b"k"), a, b"1"), states.bytes), (None, 0));
    }

    #[test]
    fn the_oldest_go_for_want_of_room() {
        let mut states = States::new(10 * ENTRY_BYTES);
        let key = |n: u32| n.to_le_bytes();
        assert!((0..10).all(|n| states.put(Some(&key(n)), None, b"", None)));
        assert!(!states.put(Some(&key(10)), None, b"", None));
        assert_eq!((states.take(Some(&key(0)), None, b""), states.take(Some(&key(1)), None, b"")), (None, Some(None)));
        for n in 0..10_000 {
            states.put(Some(&key(n)), None, b"", None);
            states.take(Some(&key(n)), None, b"");
        }
        assert!(states.order.len() < 2_000, "{}", states.order.len());
    }
}
