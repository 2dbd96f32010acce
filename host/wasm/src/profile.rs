//! Where a guest spends its time: its stack, taken at the clock's ticks while it runs. Nothing is paid for it while nobody asks.
//!
//! A call is interrupted at the first tick after it began, and at each one that follows; so a stack is seen in proportion to the
//! wall time that passes in the guest. What the host does around a call is not in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Different stacks that one profile tells apart; samples of more are counted only.
pub const STACKS_MAX: usize = 20_000;

/// Stacks of a guest, seen over a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Each stack, the outermost function first, and how often it was seen, the most frequent first.
    pub stacks: Vec<(Vec<String>, u64)>,
    /// Samples whose stacks were too many to be told apart.
    pub untold: u64,
}

impl Profile {
    /// How many samples were taken.
    pub fn samples(&self) -> u64 {
        self.untold + self.stacks.iter().map(|(_, times)| times).sum::<u64>()
    }
}

/// What the instances of a version report to.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    on: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stacks: HashMap<Vec<String>, u64>,
    untold: u64,
}

impl Sampler {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether stacks are wanted.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Wants stacks from here on; false where somebody wants them already.
    pub(crate) fn start(&self) -> bool {
        !self.on.swap(true, Ordering::Relaxed)
    }

    /// A stack, the innermost function first.
    pub(crate) fn take(&self, mut stack: Vec<String>) {
        stack.reverse();
        let mut seen = self.seen();
        let full = seen.stacks.len() >= STACKS_MAX;
        match seen.stacks.get_mut(&stack) {
            Some(times) => *times += 1,
            None if full => seen.untold += 1,
            None => {
                seen.stacks.insert(stack, 1);
            }
        }
    }

    /// Ends it, and gives what was seen.
    pub(crate) fn stop(&self) -> Profile {
        self.on.store(false, Ordering::Relaxed);
        let Seen { stacks, untold } = std::mem::take(&mut *self.seen());
        let mut stacks: Vec<_> = stacks.into_iter().collect();
        stacks.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Profile { stacks, untold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_counted_and_bounded() {
        let sampler = Sampler::default();
        assert!(!sampler.is_on() && sampler.start() && sampler.is_on() && !sampler.start());
        let stack = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        for names in [&["inner", "keep"][..], &["keep"], &["inner", "keep"]] {
            sampler.take(stack(names));
        }
        let seen = sampler.stop();
        assert_eq!(seen.stacks, [(stack(&["keep", "inner"]), 2), (stack(&["keep"]), 1)]);
        assert!(!sampler.is_on());
        for n in 0..STACKS_MAX + 3 {
            sampler.take(vec![n.to_string()]);
        }
        sampler.take(stack(&["0"]));
        let seen = sampler.stop();
        assert_eq!((seen.stacks.len(), seen.untold, seen.stacks[0].1), (STACKS_MAX, 3, 2));
        assert_eq!(seen.samples(), STACKS_MAX as u64 + 4);
        assert_eq!(sampler.stop(), Profile::default(), "each profile begins anew");
    }
}
