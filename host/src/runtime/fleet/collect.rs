//! A host's part in collecting components: says which nothing needs any more, and removes those of which the log says so. What may be
//! collected is [`millstream_core::swap::collect`]'s matter.
//!
//! Every host removes what it reads of, so that it is removed although the one that said so has died; twice does no harm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use millstream_core::swap::Entry;
use tracing::{info, warn};

use super::Fleet;
use crate::runtime::worker::wall_ms;

/// Time between two looks at what may be collected, at the most.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The same at the least.
const LOOK_MIN: Duration = Duration::from_millis(200);

/// Looks in the time that a component is kept.
const LOOKS: u64 = 8;

/// Components of which one look says that they may be collected; the next takes more.
const COLLECT_MAX: usize = 16;

/// How much longer others leave it to the first host.
const FIRST_GRACE_MS: i64 = 600_000;

/// What was collected so shortly before a host reads of it is removed by it once more: whoever should have done it may have died.
const REMOVE_AGAIN_MS: i64 = 24 * 3_600_000;

/// What a host remembers from one look to the next.
pub(super) struct Collector {
    next: Instant,
    /// Digests that the ledger was last told are needed.
    needed: BTreeSet<String>,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), needed: BTreeSet::new() }
    }
}

/// Whether what was collected at this time is to be removed.
pub(super) fn is_fresh(time: i64) -> bool {
    wall_ms().saturating_sub(time) < REMOVE_AGAIN_MS
}

impl Fleet {
    /// Looks after components, now and then.
    pub(super) fn collect(&self, collector: &mut Collector) {
        if Instant::now() < collector.next || !self.lock().is_up {
            return;
        }
        let every = Duration::from_millis(u64::try_from(self.keep_ms).unwrap_or(0) / LOOKS);
        collector.next = Instant::now() + every.clamp(LOOK_MIN, LOOK_MAX);
        self.remove();
        let (needed, due) = {
            let state = self.lock();
            let needed: BTreeSet<String> = state.control.needed().into_iter().map(str::to_string).collect();
            let due = state.control.collectable(wall_ms(), self.keep_ms).take(COLLECT_MAX);
            (needed, due.map(|(digest, since)| (digest.to_string(), since)).collect::<Vec<_>>())
        };
        if needed != collector.needed {
            self.ledger.needs(&needed);
            collector.needed = needed;
        }
        if !due.is_empty() {
            self.say_collected(due);
        }
    }

    /// Says what may be collected.
    fn say_collected(&self, due: Vec<(String, i64)>) {
        // Who is first is not known while the group's coordinator is away; then the next look says it.
        let first = self.ledger.live().ok().and_then(|mut live| live.pop_first());
        let is_first = first.is_some_and(|first| first == self.host);
        for (digest, since) in due {
            if !is_first && wall_ms().saturating_sub(since) < self.keep_ms.saturating_add(FIRST_GRACE_MS) {
                continue;
            }
            let entry = Entry::Collect { digest, keep_ms: self.keep_ms, host: self.host.clone() };
            if let Err(why) = self.ledger.append(&entry) {
                warn!(error = format!("{why:#}"), "the control log could not be written, trying again");
            }
        }
    }

    /// Removes what was collected.
    fn remove(&self) {
        while let Some((digest, place)) = { self.lock().collected.pop_front() } {
            match self.ledger.discard(&digest, &place) {
                Ok(()) => info!(digest, "a component that nothing needed is removed"),
                Err(why) => {
                    warn!(error = format!("{why:#}"), digest, "a component could not be removed, trying again");
                    return self.lock().collected.push_front((digest, place));
                }
            }
        }
    }
}
