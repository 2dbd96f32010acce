//! Deploying and going back, as somebody asks for it on one host: components are checked and compiled here, kept, proposed together, and
//! what comes of it is waited for. What each host does about the proposal is in `turn`.

use std::sync::PoisonError;

use anyhow::{Context, anyhow, bail};
use millstream_core::function::Prepared;
use millstream_core::swap::{Activation, Change, Entry, Outcome, Probation, Version};
use millstream_wasm::Inspection;
use tracing::{info, warn};

use super::Fleet;
use crate::runtime::functions;

/// What came of a deploy.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The version, in force now; none where it is held until it is promoted.
    pub activation: Option<Activation>,
    /// What the check of the component said, where it was checked here.
    pub inspection: Option<Inspection>,
}

/// Why a version that was fit for this host is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another deploy came first.
    #[error("{0}")]
    Hindered(String),
    /// The fleet did not take it.
    #[error("{0}")]
    Void(String),
    /// That is not known: `history` says it, later.
    #[error("{0}")]
    Unknown(String),
}

/// The component of a version is kept no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the component of version {number} of `{function}` was collected, as nothing had needed it for long: deploy its file again"
)]
pub struct Collected {
    /// The function.
    pub function: String,
    /// Its version.
    pub number: u64,
}

/// A component to be deployed.
pub(super) struct Given<'a> {
    pub component: &'a [u8],
    /// Where it is kept already.
    pub place: Option<String>,
    pub settings: String,
    pub origin: &'a str,
    pub signature: String,
    pub layout: u32,
}

/// What somebody wants to be deployed.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The component.
    pub component: &'a [u8],
    /// Its settings; without them those in force stay.
    pub settings: Option<String>,
    /// Where it comes from, for people.
    pub origin: &'a str,
    /// Who vouches for it, as `millstream sign` writes it; empty for nobody.
    pub signature: &'a str,
}

/// A deploy that came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{why:#}")]
pub struct Failed {
    /// The function that is at fault; of several that were offered together the first, where it is none alone.
    pub function: String,
    /// Why: a [`NotTaken`], [`Collected`], a refusal, or else.
    pub why: anyhow::Error,
}

/// A component that was found fit for this host.
struct Offered {
    prepared: Prepared,
    inspection: Inspection,
}

impl Fleet {
    /// Deploys components of functions, each of another, to come into force together; without `settings` those in force stay; with
    /// `probation` they are tried first.
    ///
    /// # Errors
    /// Why they were not taken, exactly; the old versions run on.
    pub fn deploy(&self, asked: Vec<(&str, Asked<'_>)>, probation: Option<Probation>) -> Result<Vec<Deployed>, Failed> {
        let _one = self.deploying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut given = Vec::new();
        for (function, Asked { component, settings, origin, signature }) in asked {
            let fail = |why| Failed { function: function.to_string(), why };
            let number = self.number(function).map_err(fail)?;
            let settings = settings
                .or_else(|| self.in_force(function).map(|a| a.version.settings))
                .unwrap_or_else(|| self.functions[number].plan.settings.clone());
            let signature = signature.to_string();
            given.push((number, Given { component, place: None, settings, origin, signature, layout: 0 }));
        }
        self.offer(given, probation)
    }

    /// Checks components here, and offers them to all hosts.
    fn offer(&self, given: Vec<(usize, Given<'_>)>, probation: Option<Probation>) -> Result<Vec<Deployed>, Failed> {
        let names: Vec<String> = given.iter().map(|(number, _)| self.functions[*number].plan.name.clone()).collect();
        fn of(function: &str) -> impl FnOnce(anyhow::Error) -> Failed + '_ {
            move |why| Failed { function: function.to_string(), why }
        }
        let Some(first) = names.first() else {
            return Err(Failed { function: String::new(), why: anyhow!("a deploy names functions") });
        };
        // Before anything is written: nobody could say when all have it.
        self.ledger.live().context("find out which hosts the pipeline has").map_err(of(first))?;
        let builds_on: Vec<u64> =
            names.iter().map(|name| self.in_force(name).map_or(0, |activation| activation.epoch)).collect();
        let mut offered: Vec<Offered> = Vec::new();
        let outcome = self.check_all(&given, &mut offered).and_then(|()| {
            let mut changes = Vec::new();
            for (((_, given), offered), (function, builds_on)) in
                given.into_iter().zip(&offered).zip(names.iter().zip(builds_on))
            {
                let layout = self.layout(offered.prepared);
                let version = self.version(Given { layout, ..given }).map_err(of(function))?;
                changes.push(Change { function: function.clone(), version, builds_on });
            }
            self.propose(changes, probation, &|| true).map_err(of(first))
        });
        let not_taken = match outcome {
            Ok(Outcome::Activated(all)) => {
                return Ok(names.iter().zip(offered).map(|(f, o)| told(f, o, &all)).collect());
            }
            Ok(Outcome::Open(_)) => return Ok(names.iter().zip(offered).map(|(f, o)| told(f, o, &[])).collect()),
            Ok(Outcome::Hindered(why)) => of(first)(NotTaken::Hindered(why).into()),
            Ok(Outcome::Void(why)) => of(first)(NotTaken::Void(why).into()),
            Err(failed) => failed,
        };
        let state = self.lock();
        offered.iter().for_each(|offered| self.let_go(&state, offered.prepared));
        Err(not_taken)
    }

    /// Checks and compiles components; the first that is refused is noted for the history.
    fn check_all(&self, given: &[(usize, Given<'_>)], offered: &mut Vec<Offered>) -> Result<(), Failed> {
        for (number, given) in given {
            let wanted = &self.functions[*number];
            let function = &wanted.plan.name;
            let inspection = self.registry.inspect(given.component);
            // Before it is compiled.
            let trusted = self.trusts(function, &functions::digest(given.component), &given.signature);
            let prepared = trusted.and_then(|()| wanted.prepare(&self.registry, given.component, &given.settings));
            let fits = prepared.and_then(|prepared| match self.can_go_on(*number, prepared) {
                Ok(()) => Ok(prepared),
                Err(why) => {
                    self.let_go(&self.lock(), prepared);
                    Err(why)
                }
            });
            match fits {
                Ok(prepared) => offered.push(Offered { prepared, inspection }),
                Err(why) => {
                    self.reject(function, given, &why);
                    return Err(Failed { function: function.clone(), why });
                }
            }
        }
        Ok(())
    }

    /// Notes for the history what was not taken.
    fn reject(&self, function: &str, given: &Given<'_>, why: &anyhow::Error) {
        let given = Given {
            component: given.component,
            // It is kept nowhere.
            place: Some(String::new()),
            settings: given.settings.clone(),
            origin: given.origin,
            signature: given.signature.clone(),
            layout: 0,
        };
        let entry = |version| Entry::Rejected { function: function.to_string(), version, reason: format!("{why:#}") };
        let noted = self.version(given).and_then(|version| self.append(&entry(version), &|| false));
        if let Err(why) = noted {
            warn!(error = format!("{why:#}"), "that a version was not taken could not be noted");
        }
    }

    /// Goes back to an earlier version: the one before that differs, or the one with this number.
    ///
    /// # Errors
    /// When there is none, or it was [`Collected`]; those of [`Fleet::deploy`].
    pub fn rollback(&self, function: &str, to: Option<u64>) -> Result<Deployed, Failed> {
        let _one = self.deploying.lock().unwrap_or_else(PoisonError::into_inner);
        let fail = |why| Failed { function: function.to_string(), why };
        let number = self.number(function).map_err(fail)?;
        let (target, kept) = self.earlier(function, to).map_err(fail)?;
        let Version { settings, place, signature, .. } = kept.clone();
        let component = self.ledger.component(&kept).map_err(fail)?;
        let origin = format!("rollback to version {target}");
        let given =
            Given { component: &component, place: Some(place), settings, origin: &origin, signature, layout: 0 };
        // Who goes back is in a hurry.
        let mut deployed = self.offer(vec![(number, given)], None)?;
        deployed.pop().context("what was offered is told of").map_err(fail)
    }

    /// Number of the version to go back to, and what it is, where that is kept.
    fn earlier(&self, function: &str, to: Option<u64>) -> anyhow::Result<(u64, Version)> {
        let history = self.function(function).context("the function has no history")?;
        let in_force = history.in_force().context("the function has no version in force")?;
        let wanted = |a: &&Activation| match to {
            Some(number) => a.number == number,
            None => history.before(in_force).is_some_and(|before| before.number == a.number),
        };
        let target = history.activations.iter().rev().find(wanted).ok_or_else(|| match to {
            Some(number) => anyhow!("`{function}` has no version {number}; it has 1 to {}", in_force.number),
            None => anyhow!("`{function}` has no earlier version to go back to"),
        })?;
        if target.number == in_force.number {
            bail!("version {} of `{function}` is in force already", target.number);
        }
        // The same may have been deployed once more since.
        let is_there = |a: &&Activation| a.version.is_same(&target.version) && a.collected.is_none();
        match history.activations.iter().rev().find(is_there) {
            Some(kept) => Ok((target.number, kept.version.clone())),
            None => Err(Collected { function: function.to_string(), number: target.number }.into()),
        }
    }
}

/// What is told of a function that came into force, or is on trial.
fn told(function: &str, offered: Offered, activated: &[(String, Activation)]) -> Deployed {
    let activation = activated.iter().find(|(name, _)| name == function).map(|(_, activation)| activation.clone());
    if let Some(activation) = &activation {
        info!(function, version = activation.number, digest = activation.version.digest, "in force");
    }
    Deployed { activation, inspection: Some(offered.inspection) }
}
