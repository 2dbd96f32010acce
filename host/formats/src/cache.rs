//! What is kept by a number, up to a limit: who was not asked for longest makes room. Some of it for a time only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub struct Cache<T> {
    entries: HashMap<u32, Entry<T>>,
    max: usize,
    /// Counts what was asked for.
    clock: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    used: u64,
    until: Option<Instant>,
}

impl<T: Clone> Cache<T> {
    /// Keeps so many entries, at least one.
    pub fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max: max.max(1), clock: 0 }
    }

    /// What is kept under a number.
    pub fn get(&mut self, number: u32, now: Instant) -> Option<T> {
        self.clock += 1;
        let entry = self.entries.get_mut(&number)?;
        if entry.until.is_some_and(|until| until <= now) {
            self.entries.remove(&number);
            return None;
        }
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Keeps something; for a time, where one is given, from now on.
    pub fn put(&mut self, number: u32, value: T, keep: Option<(Duration, Instant)>) {
        self.clock += 1;
        if self.entries.len() >= self.max && !self.entries.contains_key(&number) {
            // Rarely: who has so many schemas asks for few of them at a time.
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.used).map(|(n, _)| *n);
            oldest.map(|number| self.entries.remove(&number));
        }
        let until = keep.map(|(time, now)| now + time);
        self.entries.insert(number, Entry { value, used: self.clock, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_asked_for_longest_makes_room() {
        let (mut cache, now) = (Cache::new(2), Instant::now());
        cache.put(1, 'a', None);
        cache.put(2, 'b', None);
        assert_eq!(cache.get(1, now), Some('a'));
        cache.put(3, 'c', None);
        assert_eq!([1, 2, 3].map(|n| cache.get(n, now)), [Some('a'), None, Some('c')]);
        cache.put(3, 'd', None);
        assert_eq!([1, 3].map(|n| cache.get(n, now)), [Some('a'), Some('d')], "nobody has to go for one that is there");
    }

    #[test]
    fn what_is_kept_for_a_time_goes_to_the_millisecond() {
        let (mut cache, now) = (Cache::new(2), Instant::now());
        let later = |ms| now + Duration::from_millis(ms);
        cache.put(1, 'a', Some((Duration::from_millis(100), now)));
        assert_eq!((cache.get(1, later(99)), cache.get(1, later(100)), cache.get(1, now)), (Some('a'), None, None));
    }
}
