//! Versions of functions as the HTTP API tells them, in local mode and on Kafka.

use std::collections::BTreeSet;

use millstream_core::state::keyspace::StorageError;
use millstream_core::swap::{Activation, Probation};
use millstream_core::task::uses;
use millstream_core::topology::graph::{SubTopology, Topology};
use millstream_wasm::{Refusal, Registry, Stats};
use millstream_web::api::{Deploy, Trying};
use millstream_web::types::trials::{Probation as Told, Trial};
use millstream_web::types::{Deployed, Function, History, Other, Past, Rejected, Switch, Together, Version, Work};
use millstream_web::{Kind, Problem};

use super::{failed, unknown};
use crate::runtime::fleet::seen::{Seen, Standing};
use crate::runtime::fleet::{self, Asked, Collected, Failed, Fleet, NotTaken, trials};
use crate::runtime::status::Status;

/// Refuses a name that no function has.
pub(super) fn known(names: &[String], name: &str) -> Result<(), Problem> {
    if names.iter().any(|f| f == name) {
        return Ok(());
    }
    Err(unknown(Kind::UnknownFunction, "function", name, names))
}

/// All functions, in the order of `names`.
pub(super) fn functions(fleet: &Fleet, registry: &Registry, status: &Status, names: &[String]) -> Vec<Function> {
    let seen = fleet.seen();
    let work = |seen: &Seen| Work {
        dropped: seen.epoch.map(|epoch| status.dropped_by(&seen.function, epoch)).unwrap_or_default(),
        ..work(&registry.stats(seen.prepared))
    };
    let other =
        |seen: &Seen| Other { version: seen.version, standing: seen.standing.name().to_string(), work: work(seen) };
    let one = |name: &String| {
        let control = fleet.function(name);
        let (now, others): (Vec<&Seen>, Vec<&Seen>) =
            seen.iter().filter(|seen| seen.function == *name).partition(|seen| seen.standing == Standing::InForce);
        Function {
            name: name.clone(),
            version: control.as_ref().and_then(|c| c.in_force()).map(version),
            layouts: control.iter().flat_map(|c| c.stored().versions()).map(|(layout, _)| layout).collect(),
            deploying: control.is_some_and(|c| c.open().is_some()),
            work: now.first().map(|seen| work(seen)),
            others: others.into_iter().map(other).collect(),
        }
    };
    names.iter().map(one).collect()
}

/// Versions of a function, and where each took over.
pub(super) fn history(fleet: &Fleet, names: &[String], function: &str) -> Result<History, Problem> {
    known(names, function)?;
    let control = fleet.function(function).unwrap_or_default();
    let switches = fleet.switches(function).map_err(|e| failed(&e))?;
    let past = |activation: &Activation| Past {
        version: version(activation),
        failed: activation.failed.clone(),
        back_from: activation.back_from,
        collected: activation.collected,
        switches: switches
            .iter()
            .filter(|s| s.epoch == activation.epoch)
            .map(|s| Switch {
                sub_topology: s.sub_topology as u32,
                partition: s.partition,
                offsets: s.positions.clone(),
            })
            .collect(),
    };
    let rejected = control.voided.iter().map(|voided| Rejected {
        digest: voided.version.digest.clone(),
        origin: voided.version.origin.clone(),
        proposed_at: voided.version.proposed_at,
        reason: voided.reason.clone(),
    });
    Ok(History {
        function: function.to_string(),
        versions: control.activations.iter().map(past).collect(),
        rejected: rejected.collect(),
    })
}

/// Deploys components that come into force together.
pub(super) fn deploy(fleet: &Fleet, topology: &Topology, deploys: &[Deploy<'_>]) -> Result<Together, Problem> {
    for deploy in deploys {
        known(&topology.functions, deploy.function)?;
    }
    let previous: Vec<Option<u64>> =
        deploys.iter().map(|deploy| fleet.in_force(deploy.function).map(|activation| activation.number)).collect();
    let (trying, replay) = deploys.first().map(|deploy| (deploy.probation, deploy.replay)).unwrap_or_default();
    let usual = Probation { replay, ..trials::DEFAULT };
    let probation = match trying {
        Trying::Usual => Some(usual),
        Trying::Not => None,
        Trying::For(ms) => Some(Probation { ms, records: u64::MAX, ..usual }),
        Trying::Hold => Some(Probation { hold: true, ..usual }),
    };
    let outcome = fleet.deploy(deploys.iter().map(asked).collect(), probation);
    let all = outcome.map_err(|failed| not_deployed(&failed))?;
    let one = |((deploy, previous), came): ((&Deploy<'_>, Option<u64>), fleet::Deployed)| {
        let mut told = deployed(deploy.function, previous, &came);
        if probation.is_some() {
            told.trials = reports(fleet, deploy.function);
        }
        told
    };
    let functions = deploys.iter().zip(previous).zip(all).map(one).collect();
    let names: Vec<&str> = deploys.iter().map(|deploy| deploy.function).collect();
    Ok(Together { functions, notes: apart(topology, &names).into_iter().collect() })
}

fn asked<'a>(deploy: &Deploy<'a>) -> (&'a str, Asked<'a>) {
    let Deploy { function, component, settings, origin, signature, .. } = *deploy;
    (function, Asked { component, settings: settings.map(str::to_string), origin, signature })
}

/// That functions run on both sides of a repartition topic, where tasks do not take them on together.
fn apart(topology: &Topology, names: &[&str]) -> Option<String> {
    let subs_of = |name: &&str| -> BTreeSet<usize> {
        let function = topology.functions.iter().position(|function| function == name);
        let calls = |sub: &SubTopology| function.is_some_and(|function| uses(sub, function));
        topology.subs.iter().enumerate().filter(|(_, sub)| calls(sub)).map(|(number, _)| number).collect()
    };
    let subs: Vec<BTreeSet<usize>> = names.iter().map(subs_of).collect();
    let all: BTreeSet<usize> = subs.iter().flatten().copied().collect();
    if names.len() < 2 || all.len() < 2 {
        return None;
    }
    let told = names.iter().zip(&subs).map(|(name, subs)| {
        let subs: Vec<String> = subs.iter().map(usize::to_string).collect();
        format!("`{name}` in {}", subs.join(" and "))
    });
    Some(format!(
        "they are called in several sub-topologies ({}): each task takes them on between two commits, but what lies in a repartition \
         topic between them then was made by the versions before",
        told.collect::<Vec<_>>().join(", ")
    ))
}

/// What hosts saw of the last version of a function that was tried.
fn reports(fleet: &Fleet, function: &str) -> Vec<Trial> {
    let told = fleet.told(function).unwrap_or_default();
    told.hosts.into_values().flatten().filter(|report| report.function == function).collect()
}

/// The last version of a function that was tried, or is on trial.
pub(super) fn probation(fleet: &Fleet, names: &[String], function: &str) -> Result<Told, Problem> {
    known(names, function)?;
    let Some(told) = fleet.told(function) else {
        return Err(Problem::new(
            Kind::NotOnTrial,
            format!("no version of `{function}` is or was on trial, as far as is kept"),
        ));
    };
    let version = told.changes.iter().find(|change| change.function == function).map(|change| change.version.clone());
    let version = version.unwrap_or_default();
    let of = |reports: Vec<Trial>| reports.into_iter().find(|report| report.function == function);
    Ok(Told {
        function: function.to_string(),
        digest: version.digest,
        origin: version.origin,
        open: told.open,
        held: told.held,
        hosts: told.hosts.into_iter().filter_map(|(host, reports)| Some((host, of(reports)?))).collect(),
    })
}

/// Puts a version in force that is held.
pub(super) fn promote(fleet: &Fleet, names: &[String], function: &str) -> Result<Deployed, Problem> {
    on_trial(fleet, names, function)?;
    let previous = fleet.in_force(function).map(|activation| activation.number);
    let promoted = fleet.promote(function);
    let promoted = promoted.map_err(|why| not_deployed(&Failed { function: function.to_string(), why }))?;
    let mut told = deployed(function, previous, &promoted);
    told.trials = reports(fleet, function);
    Ok(told)
}

/// Gives a version up that is on trial.
pub(super) fn abandon(fleet: &Fleet, names: &[String], function: &str) -> Result<(), Problem> {
    on_trial(fleet, names, function)?;
    fleet.abandon(function).map_err(|why| Problem::new(Kind::Internal, format!("{why:#}")))
}

fn on_trial(fleet: &Fleet, names: &[String], function: &str) -> Result<(), Problem> {
    known(names, function)?;
    if fleet.told(function).is_some_and(|told| told.open) {
        return Ok(());
    }
    Err(Problem::new(Kind::NotOnTrial, format!("no version of `{function}` is on trial")))
}

/// The component of a version.
pub(super) fn component(
    fleet: &Fleet,
    names: &[String],
    function: &str,
    number: Option<u64>,
) -> Result<Vec<u8>, Problem> {
    known(names, function)?;
    let found = numbered(fleet, function, number)?;
    if found.collected.is_some() {
        return Err(collected(function, found.number));
    }
    fleet.component(&found.version).map_err(|why| failed(&why))
}

/// The version of a function with a number, or the one in force.
fn numbered(fleet: &Fleet, function: &str, number: Option<u64>) -> Result<Activation, Problem> {
    let history = fleet.function(function).unwrap_or_default();
    let in_force = history.in_force().map_or(0, |activation| activation.number);
    let wanted = number.unwrap_or(in_force);
    history.activations.iter().find(|activation| activation.number == wanted).cloned().ok_or_else(|| {
        let detail = format!("`{function}` has no version {wanted}; it has 1 to {in_force}");
        Problem::new(Kind::UnknownVersion, detail)
    })
}

/// Number and settings of the version of a function with a number, or of the one in force.
pub(super) fn settings(fleet: &Fleet, function: &str, number: Option<u64>) -> Result<(u64, String), Problem> {
    let found = numbered(fleet, function, number)?;
    Ok((found.number, found.version.settings))
}

/// Of a version that was collected nothing is left but its name.
fn collected(function: &str, number: u64) -> Problem {
    let collected = Collected { function: function.to_string(), number };
    Problem::new(Kind::Collected, collected.to_string())
}

/// Goes back.
pub(super) fn rollback(fleet: &Fleet, names: &[String], function: &str, to: Option<u64>) -> Result<Deployed, Problem> {
    known(names, function)?;
    let history = fleet.function(function).unwrap_or_default();
    let in_force = history.in_force().map_or(0, |activation| activation.number);
    match to {
        Some(to) if to == in_force => {
            let detail = format!("version {to} of `{function}` is in force already");
            return Err(Problem::new(Kind::AlreadyInForce, detail));
        }
        Some(to) if !history.activations.iter().any(|a| a.number == to) => {
            let detail = format!("`{function}` has no version {to}; it has 1 to {in_force}");
            return Err(Problem::new(Kind::UnknownVersion, detail));
        }
        None if history.in_force().and_then(|now| history.before(now)).is_none() => {
            let detail = format!("`{function}` has no earlier version to go back to");
            return Err(Problem::new(Kind::UnknownVersion, detail));
        }
        _ => {}
    }
    let back = fleet.rollback(function, to).map_err(|failed| not_deployed(&failed))?;
    Ok(deployed(function, Some(in_force), &back))
}

/// What a deploy or a rollback did.
fn deployed(function: &str, previous: Option<u64>, deployed: &fleet::Deployed) -> Deployed {
    Deployed {
        function: function.to_string(),
        version: deployed.activation.as_ref().map(version),
        previous,
        inspection: serde_json::to_value(&deployed.inspection).unwrap_or_default(),
        trials: Vec::new(),
    }
}

/// Why a component is not run that came with a question.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Component(reasons) => {
            Problem::new(Kind::ComponentRefused, "the component was refused").because(reasons.clone())
        }
        Refusal::NoRoom(why) => {
            Problem::new(Kind::ComponentRefused, "there is no room for it").because(vec![why.clone()])
        }
        Refusal::Host(why) => Problem::new(Kind::Internal, why.clone()),
    }
}

fn not_deployed(Failed { function, why: error }: &Failed) -> Problem {
    let refused = |detail: String, reasons| Problem::new(Kind::ComponentRefused, detail).because(reasons);
    if let Some(not_taken) = error.downcast_ref() {
        return match not_taken {
            NotTaken::Hindered(why) => Problem::new(Kind::DeployUnderWay, why.clone()),
            NotTaken::Void(why) => {
                refused(format!("function `{function}` was not taken by all hosts"), vec![why.clone()])
            }
            NotTaken::Unknown(why) => Problem::new(Kind::Internal, why.clone()),
        };
    }
    if let Some(Collected { function, number }) = error.downcast_ref() {
        return collected(function, *number);
    }
    match error.downcast_ref() {
        Some(Refusal::Component(reasons)) => refused(format!("function `{function}` was refused"), reasons.clone()),
        Some(Refusal::NoRoom(why)) => refused(format!("there is no room for function `{function}`"), vec![why.clone()]),
        Some(Refusal::Host(why)) => Problem::new(Kind::Internal, why.clone()),
        None if error.is::<StorageError>() => failed(error),
        None => refused(format!("function `{function}` was not taken"), vec![format!("{error:#}")]),
    }
}

fn version(activation: &Activation) -> Version {
    let settings = &activation.version.settings;
    Version {
        number: activation.number,
        epoch: activation.epoch,
        digest: activation.version.digest.clone(),
        origin: activation.version.origin.clone(),
        proposed_at: activation.version.proposed_at,
        // Kept as text; what is no JSON, nobody put there.
        settings: if settings.trim().is_empty() {
            serde_json::json!({})
        } else {
            serde_json::from_str(settings).unwrap_or_else(|_| settings.clone().into())
        },
    }
}

fn work(stats: &Stats) -> Work {
    let faults = [
        ("trap", stats.trapped),
        ("timed-out", stats.timed_out),
        ("out-of-memory", stats.out_of_memory),
        ("bad-result", stats.bad_result),
        ("refused", stats.refused),
        ("unavailable", stats.unavailable),
    ];
    Work {
        calls: stats.calls,
        records: stats.records,
        seconds: stats.nanoseconds as f64 / 1e9,
        cpu_seconds: stats.cpu_nanoseconds as f64 / 1e9,
        rejected: stats.rejected,
        dropped: Default::default(),
        log_lines: stats.log_lines,
        log_lines_dropped: stats.log_lines_dropped,
        faults: faults.map(|(kind, count)| (kind.to_string(), count)).into(),
        memory_bytes: stats.memory_bytes_max,
    }
}
