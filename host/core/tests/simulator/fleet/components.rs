//! Components as they are kept, and which may be collected: a model written apart from the engine's, which looks through all that was.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::swap::{Applied, Change, Version};

/// See the module.
#[derive(Default)]
pub struct Components {
    /// Places where a component is, with its digest.
    stored: BTreeMap<String, String>,
    /// Places that were collected.
    gone: BTreeSet<String>,
    /// Of each entry: when it was appended, and which digests were needed after it.
    needs: Vec<(i64, BTreeSet<String>)>,
    /// By digest: the entry that named it first since it was collected, and its places.
    named: BTreeMap<String, (usize, BTreeSet<String>)>,
}

impl Components {
    /// A component is put where nothing was before.
    pub fn keep(&mut self, version: &Version) {
        self.stored.insert(version.place.clone(), version.digest.clone());
    }

    /// Somebody removes what is kept there.
    pub fn discard(&mut self, places: &BTreeSet<String>) {
        places.iter().for_each(|place| drop(self.stored.remove(place)));
    }

    /// Somebody removes all that has this digest: a planted bug.
    pub fn discard_named(&mut self, digest: &str) {
        self.stored.retain(|_, of| of != digest);
    }

    /// Whether a place is empty for good.
    pub fn is_gone(&self, place: &str) -> bool {
        self.gone.contains(place)
    }

    /// A proposal names components.
    pub fn name(&mut self, changes: &[Change]) {
        for Change { version, .. } in changes.iter().filter(|change| !self.gone.contains(&change.version.place)) {
            let first = (self.needs.len(), BTreeSet::new());
            self.named.entry(version.digest.clone()).or_insert(first).1.insert(version.place.clone());
        }
    }

    /// What an entry does that collects a component: its places, if it may be collected.
    pub fn collect(&mut self, time: i64, digest: &str, keep_ms: i64) -> Option<BTreeSet<String>> {
        let (first, _) = self.named.get(digest)?;
        let idle = self.needs[*first..].iter().rev().take_while(|(_, needed)| !needed.contains(digest));
        let (since, _) = idle.last()?;
        if time - since < keep_ms {
            return None;
        }
        let (_, places) = self.named.remove(digest)?;
        self.gone.extend(places.iter().cloned());
        Some(places)
    }

    /// An entry was appended, after which these digests are needed.
    pub fn after(&mut self, time: i64, needed: BTreeSet<String>) {
        self.needs.push((time, needed));
    }

    /// Whether a component is where somebody will look for it.
    pub fn is_there(&self, digest: &str, place: &str) -> bool {
        self.stored.get(place).is_some_and(|of| of == digest)
    }
}

/// Whether an entry that collects did what it should.
pub fn is_collected(applied: &Applied, want: Option<&BTreeSet<String>>) -> bool {
    match (applied, want) {
        (Applied::Collected { places, .. }, Some(want)) => places == want,
        (Applied::Void(_), None) => true,
        _ => false,
    }
}
