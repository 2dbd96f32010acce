//! Which components are needed, and since when nothing has needed the others: what may be collected, and what was.
//!
//! Needed is a component that is in force, or would be gone back to, or is offered in an open proposal; and of each layout that states may be
//! stored in still ([`super::layouts`]) the newest that was in force. Time is that of entries, as they were appended, so that all who read
//! the log come to the same.
//!
//! A component is put away before the proposal that names it is in the log, each time in a place of its own. So an entry that collects it
//! is either behind the proposal, and does nothing, since the component is needed; or in front of it, and then the places that it names are
//! others. A proposal that names a place which was collected, as one to go back does that comes too late, is void.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use super::{Applied, Control, Proposal, Version};

/// For how long a component is kept that nothing needs, milliseconds, where the manifest does not say.
pub const KEEP_COMPONENTS_MS: i64 = 7 * 24 * 3_600_000;

/// What is kept, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Components {
    /// By digest.
    kept: BTreeMap<String, Kept>,
    /// Digests and places of what was collected.
    gone: BTreeSet<(String, String)>,
}

/// A component that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    places: BTreeSet<String>,
    /// Since when nothing needs it.
    idle_since: Option<i64>,
}

impl Control {
    /// Digests of components that are needed.
    pub fn needed(&self) -> BTreeSet<&str> {
        let mut needed = BTreeSet::new();
        for held in self.functions.values() {
            let now = held.in_force();
            let both = now.into_iter().chain(now.and_then(|now| held.before(now)));
            needed.extend(both.map(|activation| activation.version.digest.as_str()));
            needed.extend(held.stored.versions().map(|(_, version)| version.digest.as_str()));
        }
        let offered = self.open.values().flat_map(|open| &open.proposal.changes);
        needed.extend(offered.map(|change| change.version.digest.as_str()));
        needed
    }

    /// Digests of components that nothing has needed for `keep_ms` at `now`, and since when.
    pub fn collectable(&self, now: i64, keep_ms: i64) -> impl Iterator<Item = (&str, i64)> {
        let idle = self.components.kept.iter().filter_map(|(digest, kept)| Some((digest.as_str(), kept.idle_since?)));
        idle.filter(move |(_, since)| now.saturating_sub(*since) >= keep_ms.max(0))
    }

    /// Notes what an entry at `time` has changed of what is needed.
    pub(super) fn note_needs(&mut self, time: i64) {
        let mut kept = core::mem::take(&mut self.components.kept);
        let needed = self.needed();
        for (digest, kept) in &mut kept {
            kept.idle_since = match kept.idle_since {
                _ if needed.contains(digest.as_str()) => None,
                since => since.or(Some(time)),
            };
        }
        self.components.kept = kept;
    }

    /// Notes where a proposal's components are.
    pub(super) fn note_places(&mut self, proposal: &Proposal) {
        for change in &proposal.changes {
            let (digest, place) = (&change.version.digest, &change.version.place);
            if !self.components.gone.contains(&(digest.clone(), place.clone())) {
                self.components.kept.entry(digest.clone()).or_default().places.insert(place.clone());
            }
        }
    }

    /// Why a proposal cannot be taken whose component is not there any more.
    pub(super) fn is_gone(&self, proposal: &Proposal) -> Option<String> {
        let gone = |version: &Version| self.components.gone.contains(&(version.digest.clone(), version.place.clone()));
        let change = proposal.changes.iter().find(|change| gone(&change.version))?;
        Some(alloc::format!(
            "the component of this version of `{}`, {}, was collected, as nothing had needed it for long: deploy its file again",
            change.function,
            change.version.digest
        ))
    }

    /// Collects a component.
    pub(super) fn collect(&mut self, time: i64, digest: &str, keep_ms: i64) -> Applied {
        let Some(kept) = self.components.kept.get(digest) else {
            return Applied::Void("nothing of it is kept, or it was collected before".into());
        };
        let Some(since) = kept.idle_since else { return Applied::Void("it is needed".into()) };
        let idle_ms = time.saturating_sub(since);
        if idle_ms < keep_ms.max(0) {
            return Applied::Void(alloc::format!(
                "nothing has needed it for {idle_ms} ms, and it should be kept for {keep_ms} ms"
            ));
        }
        let places = self.components.kept.remove(digest).map(|kept| kept.places).unwrap_or_default();
        let gone = places.iter().map(|place| (digest.into(), place.clone()));
        self.components.gone.extend(gone);
        let all = self.functions.values_mut().flat_map(|held| &mut held.activations);
        for activation in all.filter(|activation| activation.version.digest == digest) {
            activation.collected.get_or_insert(time);
        }
        Applied::Collected { digest: digest.into(), places }
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
