//! In which layouts the states of a function may be stored, by the control log: in that of each version that was in force, until sweeps have
//! gone over all of them under a version with one layout.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use super::Version;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The newest version in force of each layout.
    versions: BTreeMap<u32, Version>,
    /// The layout that is written now.
    now: Option<u32>,
    /// Since which epoch it is.
    since: u64,
    /// Parts that were swept since then.
    swept: BTreeSet<String>,
}

impl Stored {
    /// Layouts with the newest version of each, that is kept for as long: it may be what turns its states back.
    pub fn versions(&self) -> impl Iterator<Item = (u32, &Version)> {
        self.versions.iter().map(|(layout, version)| (*layout, version))
    }

    /// Whether a part was not swept yet by a sweep that began at this epoch, and counts.
    pub fn wants(&self, epoch: u64, part: &str) -> bool {
        self.versions.len() > 1 && epoch >= self.since && !self.swept.contains(part)
    }

    /// A version is in force.
    pub(super) fn activated(&mut self, epoch: u64, version: &Version) {
        if self.now != Some(version.layout) {
            (self.now, self.since) = (Some(version.layout), epoch);
            self.swept.clear();
        }
        self.versions.insert(version.layout, version.clone());
    }

    /// Parts were swept, by sweeps that began at this epoch; `of`: how many parts there are. `false`: that does not count, since another
    /// layout was written later.
    pub(super) fn swept(&mut self, epoch: u64, parts: &[String], of: u32) -> bool {
        let Some(now) = self.now.filter(|_| epoch >= self.since) else { return false };
        self.swept.extend(parts.iter().cloned());
        if self.swept.len() >= of as usize {
            self.versions.retain(|layout, _| *layout == now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn version(layout: u32, digest: &str) -> Version {
        Version { layout, digest: digest.into(), ..Version::default() }
    }

    fn told(stored: &Stored) -> Vec<(u32, &str)> {
        stored.versions().map(|(layout, version)| (layout, version.digest.as_str())).collect()
    }

    #[test]
    fn a_layout_is_stored_until_all_parts_were_swept_under_one_layout() {
        let (mut stored, part) = (Stored::default(), |name: &str| [name.to_string()]);
        stored.activated(3, &version(0, "a"));
        assert!(!stored.wants(3, "s/0"), "there is nothing to be swept");
        stored.activated(5, &version(1, "b"));
        stored.activated(7, &version(1, "c"));
        assert_eq!(told(&stored), [(0, "a"), (1, "c")]);
        assert!(stored.wants(5, "s/0") && stored.wants(7, "s/0") && !stored.wants(3, "s/0"));
        assert!(stored.swept(5, &part("s/0"), 2), "b and c write one layout");
        assert!(stored.swept(7, &part("s/0"), 2), "a second time");
        assert!(!stored.wants(7, "s/0"));
        assert_eq!(told(&stored), [(0, "a"), (1, "c")], "one of two");
        stored.activated(9, &version(2, "d"));
        assert!(!stored.swept(7, &part("s/1"), 2), "d may have written meanwhile");
        assert!(stored.wants(9, "s/0"), "what was swept counts no more");
        assert!(stored.swept(9, &["s/0".to_string(), "s/1".to_string()], 2));
        assert_eq!(told(&stored), [(2, "d")]);
        assert!(!Stored::default().swept(1, &part("s/0"), 1));
    }
}
