//! Which versions are ready to be called on this host, for whoever looks inside: by their numbers in the registry. Nothing here
//! changes anything.

use millstream_core::function::Prepared;

use super::Fleet;

/// How a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in force.
    InForce,
    /// It was, and stays ready to go back to.
    Before,
    /// It is tried beside the version in force.
    OnTrial,
}

impl Standing {
    /// Its name for people and machines.
    pub fn name(self) -> &'static str {
        match self {
            Standing::InForce => "in-force",
            Standing::Before => "before",
            Standing::OnTrial => "on-trial",
        }
    }
}

/// A version that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The function.
    pub function: String,
    /// Number of the version; none while it is on trial.
    pub version: Option<u64>,
    /// Since when it is in force, as the control log counts; none while it is on trial.
    pub epoch: Option<u64>,
    /// How it stands.
    pub standing: Standing,
    /// Its number in the registry.
    pub prepared: Prepared,
}

impl Fleet {
    /// All versions that are ready, by function.
    pub fn seen(&self) -> Vec<Seen> {
        let mut out = Vec::new();
        {
            let state = self.lock();
            for (slot, function) in state.slots.iter().zip(&self.functions) {
                for (active, standing) in [(slot.now, Standing::InForce), (slot.before, Standing::Before)] {
                    let Some(active) = active else { continue };
                    let (function, version) = (function.plan.name.clone(), Some(active.number));
                    out.push(Seen {
                        function,
                        version,
                        epoch: Some(active.epoch),
                        standing,
                        prepared: active.prepared,
                    });
                }
            }
        }
        for (function, prepared) in self.trials.on_trial() {
            out.push(Seen { function, version: None, epoch: None, standing: Standing::OnTrial, prepared });
        }
        out
    }
}
