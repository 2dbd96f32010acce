//! Which version of each function is in force: a pure fold over the control log.
//!
//! Starting is a swap from nothing; going back is a swap to an earlier version. A proposal names the function and the
//! epoch it builds on; it is void unless that epoch is in force and no other proposal for the function is open, so two
//! deploys at once have one winner. The position of the entry that activates a version is its *epoch*; epochs of a
//! function never fall.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// One entry of the control log. Positions begin at 1; 0 stands for "nothing yet".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A version is offered.
    Propose {
        /// The function.
        function: String,
        /// What shall run.
        version: Version,
        /// The epoch in force that it builds on; 0 for a function without history.
        builds_on: u64,
    },
    /// A proposal is given up.
    Void {
        /// Position of the proposal.
        proposal: u64,
        /// Why.
        reason: String,
    },
    /// A proposal is in force from here on.
    Activate {
        /// Position of the proposal.
        proposal: u64,
    },
}

/// What makes a version: a component and its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// Settings, as JSON text.
    pub settings: String,
    /// Who asked for it, and from which file; for people.
    pub origin: String,
    /// Wall time of the proposal, milliseconds.
    pub proposed_at: i64,
}

/// A version that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Its number, 1, 2, … in the order of activation.
    pub number: u64,
    /// Position of the entry that activated it.
    pub epoch: u64,
    /// What it is.
    pub version: Version,
}

/// A proposal that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    /// Position of the proposal.
    pub proposal: u64,
    /// What it was.
    pub version: Version,
    /// Why.
    pub reason: String,
}

/// What the log says of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionControl {
    /// All activations, oldest first.
    pub activations: Vec<Activation>,
    /// Proposals given up.
    pub voided: Vec<Voided>,
    /// The open proposal.
    open: Option<(u64, Version)>,
}

impl FunctionControl {
    /// The version in force.
    pub fn in_force(&self) -> Option<&Activation> {
        self.activations.last()
    }

    /// Position of the open proposal.
    pub fn open(&self) -> Option<u64> {
        self.open.as_ref().map(|(at, _)| *at)
    }
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The proposal is open.
    Opened,
    /// A version is in force.
    Activated(Activation),
    /// Nothing, for this reason: the entry came too late or against another.
    Void(String),
    /// The proposal is given up.
    Closed,
}

/// The state of the control log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    functions: BTreeMap<String, FunctionControl>,
    last: u64,
}

impl Control {
    /// Takes the entry at position `at`, the one behind the last taken.
    ///
    /// # Errors
    /// The position that was expected, where it is another.
    pub fn apply(&mut self, at: u64, entry: &Entry) -> Result<Applied, u64> {
        if at != self.last + 1 {
            return Err(self.last + 1);
        }
        self.last = at;
        Ok(match entry {
            Entry::Propose { function, version, builds_on } => {
                let held = self.functions.entry(function.clone()).or_default();
                let in_force = held.in_force().map_or(0, |a| a.epoch);
                let reason = if held.open.is_some() {
                    alloc::format!("another deploy of `{function}` is under way")
                } else if in_force != *builds_on {
                    alloc::format!("it builds on epoch {builds_on} of `{function}`, and epoch {in_force} is in force")
                } else {
                    held.open = Some((at, version.clone()));
                    return Ok(Applied::Opened);
                };
                held.voided.push(Voided { proposal: at, version: version.clone(), reason: reason.clone() });
                Applied::Void(reason)
            }
            Entry::Void { proposal, reason } => match self.holder(*proposal) {
                Some(held) => {
                    if let Some((proposal, version)) = held.open.take() {
                        held.voided.push(Voided { proposal, version, reason: reason.clone() });
                    }
                    Applied::Closed
                }
                None => Applied::Void("the proposal is not open".into()),
            },
            Entry::Activate { proposal } => match self.holder(*proposal) {
                Some(held) => {
                    let (_, version) = held.open.take().unwrap_or_default();
                    let number = held.in_force().map_or(0, |a| a.number) + 1;
                    let activation = Activation { number, epoch: at, version };
                    held.activations.push(activation.clone());
                    Applied::Activated(activation)
                }
                None => Applied::Void("the proposal is not open".into()),
            },
        })
    }

    fn holder(&mut self, proposal: u64) -> Option<&mut FunctionControl> {
        self.functions.values_mut().find(|f| f.open() == Some(proposal))
    }

    /// Position of the last entry taken.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What the log says of a function.
    pub fn function(&self, name: &str) -> Option<&FunctionControl> {
        self.functions.get(name)
    }

    /// All functions the log has heard of.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &FunctionControl)> {
        self.functions.iter().map(|(n, f)| (n.as_str(), f))
    }

    /// Proposals that nobody has finished: a host died with them, and they must be given up.
    pub fn open_proposals(&self) -> impl Iterator<Item = (&str, u64)> {
        self.functions.iter().filter_map(|(n, f)| Some((n.as_str(), f.open()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn propose(digest: &str, builds_on: u64) -> Entry {
        let version = Version { digest: digest.into(), ..Version::default() };
        Entry::Propose { function: "f".into(), version, builds_on }
    }

    #[test]
    fn one_of_two_deploys_wins() {
        let mut control = Control::default();
        assert_eq!(control.apply(1, &propose("a", 0)), Ok(Applied::Opened));
        assert!(matches!(control.apply(2, &propose("b", 0)), Ok(Applied::Void(_))), "one is open already");
        let Ok(Applied::Activated(first)) = control.apply(3, &Entry::Activate { proposal: 1 }) else { panic!() };
        assert_eq!((first.number, first.epoch, first.version.digest.as_str()), (1, 3, "a"));
        assert!(matches!(control.apply(4, &propose("c", 0)), Ok(Applied::Void(_))), "it builds on an old epoch");
        assert!(matches!(control.apply(5, &Entry::Activate { proposal: 4 }), Ok(Applied::Void(_))));
        assert_eq!(control.apply(6, &propose("d", 3)), Ok(Applied::Opened));
        assert_eq!(control.apply(7, &Entry::Void { proposal: 6, reason: "it traps".into() }), Ok(Applied::Closed));
        assert!(matches!(control.apply(8, &Entry::Activate { proposal: 6 }), Ok(Applied::Void(_))));
        let f = control.function("f").unwrap();
        assert_eq!(f.in_force().unwrap().epoch, 3);
        assert_eq!(f.voided.len(), 3);
    }

    #[test]
    fn entries_come_in_order_or_not_at_all() {
        let mut control = Control::default();
        assert_eq!(control.apply(2, &propose("a", 0)), Err(1));
        assert_eq!(control.last(), 0);
    }
}
