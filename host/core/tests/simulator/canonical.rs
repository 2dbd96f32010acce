//! The whole pipeline in one order, against what came out of another: where semantics promise it, the set of final results
//! does not depend on how tasks interleave, on batches, or on what died in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::topology::spec::*;

use super::case::Case;
use super::judge::same;
use super::oracle::NEVER;
use super::oracle::plan::{Kind, Plan};
use super::oracle::task::ends::written_by;
use super::oracle::task::{OracleTask, function_of};
use super::oracle::wire;
use super::roles::{Rec, Role};
use super::watch::active;

/// What topics hold, by partition.
type Topics = BTreeMap<(String, u32), Vec<Rec>>;

/// Compares the topics of which everything is promised.
pub fn compare(case: &Arc<Case>, actual: &dyn Fn(&str) -> Vec<Rec>) -> Result<(), String> {
    let plan = Arc::new(Plan::new(case));
    let clocked = case.limits.values().any(|l| l.ahead_ms_max.or(l.behind_ms_max).is_some());
    let by_wall = case.roles.iter().any(|role| matches!(role, Role::Proc(proc) if proc.wall));
    if case.swaps || case.gaps || clocked || by_wall || !plan.nodes.iter().all(|n| is_calm(&plan, &n.kind)) {
        return Ok(());
    }
    let (log, strayed) = whole(case, &plan);
    let promised = promised(case, &plan, &strayed);
    let sinks = || plan.nodes.iter().zip(&promised).filter_map(|(n, p)| Some((sink_of(&n.kind)?, *p)));
    let topics: BTreeSet<&String> = sinks().flat_map(|(sink, _)| written_by(sink)).collect();
    // Steps write there too.
    for topic in topics.into_iter().filter(|topic| !["late", "dead"].contains(&topic.as_str())) {
        if sinks().all(|(sink, promised)| promised || written_by(sink).all(|t| t != topic)) {
            let mut want: Vec<Rec> = log.iter().filter(|((t, _), _)| t == topic).flat_map(|(_, r)| r.clone()).collect();
            let mut got = actual(topic);
            if plan.nodes.iter().any(|n| matches!(n.kind, Kind::StreamJoin { .. })) {
                // Which of two records sets their pair off, and gives it its headers, is promised within one partition only.
                want.iter_mut().chain(&mut got).for_each(|rec| rec.headers.clear());
            }
            want.sort();
            got.sort();
            same(&format!("all of {topic}, in another order of tasks"), &got, &want)?;
        }
    }
    Ok(())
}

fn sink_of(kind: &Kind) -> Option<&SinkSpec> {
    if let Kind::Sink(sink) = kind { Some(sink) } else { None }
}

/// Whether what a node writes to a repartition topic is the same in every run.
fn is_calm(plan: &Plan, kind: &Kind) -> bool {
    let Kind::CutEntry { writer, .. } = kind else { return true };
    let node = &plan.nodes[*writer];
    let inputs = plan.inputs(node.sub);
    let plain = |at: usize| matches!(plan.nodes[at].kind, Kind::Entry { .. });
    matches!(node.kind, Kind::Cut { idle: Idle::Never, .. }) && inputs.len() == 1 && plain(inputs[0].1)
}

/// Runs every task once over everything, those that read only topics of the user's first. Gives what the topics hold then, and
/// nodes of sessions that got a record beyond its grace.
fn whole(case: &Arc<Case>, plan: &Arc<Plan>) -> (Topics, BTreeSet<usize>) {
    let (mut log, mut strayed) = (case.input.clone(), BTreeSet::new());
    let entries = |sub: usize| plan.inputs(sub).into_iter().map(|(_, at)| at).collect::<Vec<_>>();
    let cut = |sub: usize| entries(sub).iter().any(|at| matches!(plan.nodes[*at].kind, Kind::CutEntry { .. }));
    let mut subs: Vec<usize> = (0..plan.tasks.len()).collect();
    subs.sort_by_key(|sub| cut(*sub));
    for sub in subs {
        for partition in 0..plan.tasks[sub] {
            let mut task = OracleTask::new(case, plan, sub, partition);
            task.active = (0..case.roles.len()).map(|f| (f, active(f, 1))).collect();
            let of = |topic: &str| log.get(&(topic.to_string(), partition));
            let ends: Vec<i64> = task.positions.iter().map(|(t, _)| of(t).map_or(0, |r| r.len() as i64)).collect();
            task.poll(&ends, &|_, topic, at| of(topic).map(|records| records[at as usize].clone()));
            let done = task.end_interval();
            strayed.extend(task.strayed());
            for (at, records) in done.outputs {
                log.entry(at).or_default().extend(records);
            }
            for (node, topic, _) in task.writers() {
                let time = Some(task.written(node)).filter(|t| *t != NEVER);
                for p in 0..plan.partitions[&topic] {
                    let value = Some(wire::marker(partition, plan.tasks[sub], time, false));
                    log.entry((topic.clone(), p)).or_default().push(Rec { value, ..Rec::default() });
                }
            }
        }
    }
    (log, strayed)
}

/// By node: whether the set of what comes out of it is promised.
fn promised(case: &Case, plan: &Plan, strayed: &BTreeSet<usize>) -> Vec<bool> {
    let mut promised: Vec<bool> = Vec::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        let inputs = plan.inputs(node.sub);
        let plain = |at: &&usize| matches!(plan.nodes[**at].kind, Kind::Entry { .. });
        let alone = inputs.len() == 1 && plain(&&inputs[0].1);
        let role = function_of(&node.kind).map(|f| case.roles[f]);
        let timed = matches!(role, Some(Role::Stamp { timed: true }));
        let good = match &node.kind {
            Kind::CutEntry { writer, .. } => promised[*writer],
            // What it keeps depends on the order in which records come.
            Kind::Process { .. } | Kind::Deduplicate { .. } => alone,
            Kind::Fold { fold, own_task, .. } => {
                let free =
                    matches!(fold.fold, Fold::Count(_)) && *own_task && node.entries.iter().filter(plain).count() < 2;
                fold.emit == Emit::OnClose && (alone || free && !strayed.contains(&at))
            }
            Kind::StreamJoin { own_task, .. } => {
                let free = *own_task && node.entries.iter().filter(plain).count() < 2;
                alone || free && !strayed.contains(&at)
            }
            // Which of two changes of a row comes first, and what a join finds, is promised within one partition only.
            Kind::Table { .. } | Kind::Join { .. } | Kind::Regroup(_) => alone,
            _ => alone || !timed,
        };
        promised.push(good && node.parents.iter().all(|p| promised[p.0]));
    }
    promised
}
