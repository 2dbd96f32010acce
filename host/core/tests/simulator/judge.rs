//! Compares what the engine committed with what the oracle says, interval by interval: results in order, late records, dead
//! letters, counts, positions, versions, markers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_core::task::{TaskId, TaskPart};
use millstream_core::topology::graph::Topology;
use millstream_core::topology::spec::{Idle, MaxIdle};

use super::case::Case;
use super::oracle::NEVER;
use super::oracle::plan::Plan;
use super::oracle::task::{Done, OracleTask};
use super::oracle::wire::{self, Opened};
use super::roles::Rec;
use super::waits::{self, Go};

/// What a task took in between two intervals, as seen from outside.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Positions of the inputs afterwards.
    pub to: Vec<i64>,
    /// There was no record in between.
    pub gap: bool,
    /// Milliseconds since its worker started.
    pub at: i64,
    pub wall: i64,
    /// What was known of the inputs.
    pub inputs: Vec<waits::Input>,
}

/// The making of one task's part of an interval.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    pub taken: Vec<Taken>,
    /// Everything known of its inputs had been taken, and that was known by then and since this instant without a gap.
    pub quiet_since: Option<i64>,
    /// When it was cut and when the task was opened, milliseconds since its worker started.
    pub at: i64,
    pub wall: i64,
    pub opened: i64,
    pub incarnation: u64,
}

struct Judged {
    oracle: OracleTask,
    incarnation: u64,
    received: i64,
    wrote: BTreeMap<usize, i64>,
    started: bool,
}

pub struct Judge {
    case: Arc<Case>,
    plan: Arc<Plan>,
    topics: Vec<String>,
    /// The oracle's number of each sub-topology.
    subs: Vec<usize>,
    tasks: BTreeMap<TaskId, Judged>,
    /// What came into force, by function and epoch.
    in_force: BTreeMap<(usize, u64), Active>,
}

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}:\n  got  {got:?}\n  want {want:?}")) }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// The records of a batch.
pub fn records(batch: &Batch) -> Vec<Rec> {
    let own = |c: Option<&[u8]>| c.map(<[u8]>::to_vec);
    let header = |(n, v): (&[u8], Option<&[u8]>)| (n.to_vec(), own(v));
    let rec = |i: usize| Rec {
        key: own(batch.keys.get(i)),
        value: own(batch.values.get(i)),
        time: batch.timestamps[i],
        headers: batch.headers.iter().flat_map(|h| h.of(i)).map(header).collect(),
    };
    (0..batch.len()).map(rec).collect()
}

impl Judge {
    /// Checks the engine's plan against the oracle's.
    pub fn new(case: &Arc<Case>, topology: &Topology) -> Result<Self, String> {
        let plan = Arc::new(Plan::new(case));
        let topics: Vec<String> = topology.topics.iter().map(|t| t.name.clone()).collect();
        for topic in &topology.topics {
            same(
                &format!("partitions of {}", topic.name),
                &Some(&topic.partitions),
                &plan.partitions.get(&topic.name),
            )?;
        }
        let inputs = |sub: usize| plan.inputs(sub).into_iter().map(|(t, _)| t).collect::<Vec<_>>();
        let mut subs = Vec::new();
        for sub in &topology.subs {
            let got: Vec<String> = sub.inputs.iter().map(|i| topics[i.topic].clone()).collect();
            let Some(number) = (0..plan.tasks.len()).find(|s| inputs(*s) == got) else {
                return Err(format!("no sub-topology reads {got:?}"));
            };
            same(&format!("tasks of {got:?}"), &sub.tasks, &plan.tasks[number])?;
            same(&format!("how long tasks of {got:?} wait"), &sub.max_idle, &plan.max_idle[number])?;
            subs.push(number);
        }
        same("sub-topologies", &subs.iter().collect::<BTreeSet<_>>().len(), &plan.tasks.len())?;
        let mut judge =
            Self { case: case.clone(), plan, topics, subs, tasks: BTreeMap::new(), in_force: BTreeMap::new() };
        for (sub, number) in judge.subs.clone().into_iter().enumerate() {
            for partition in 0..judge.plan.tasks[number] {
                let oracle = OracleTask::new(&judge.case, &judge.plan, number, partition);
                let judged = Judged { oracle, incarnation: 0, received: 0, wrote: BTreeMap::new(), started: false };
                judge.tasks.insert(TaskId { sub, partition }, judged);
            }
        }
        Ok(judge)
    }

    /// By the engine's number of a sub-topology: how long its tasks wait for one of several inputs.
    pub fn max_idle(&self) -> Vec<MaxIdle> {
        self.subs.iter().map(|sub| self.plan.max_idle[*sub]).collect()
    }

    /// A version comes into force.
    pub fn in_force(&mut self, function: usize, active: Active) {
        self.in_force.insert((function, active.epoch), active);
    }

    /// Judges a task's part of an interval that is now a fact.
    pub fn commit(
        &mut self,
        part: &TaskPart,
        cut: &Cut,
        log: &dyn Fn(usize, &str, i64) -> Option<Rec>,
    ) -> Result<(), String> {
        let judged = self.tasks.get_mut(&part.task).ok_or("a task that is not planned")?;
        switches(judged, part, &self.in_force)?;
        if judged.incarnation != cut.incarnation {
            (judged.incarnation, judged.received) = (cut.incarnation, cut.opened);
            let writers = judged.oracle.writers();
            judged.wrote = writers.into_iter().map(|(node, ..)| (node, cut.opened)).collect();
        }
        judged.oracle.wrote.clear();
        for taken in &cut.taken {
            judged.oracle.wall = taken.wall;
            if !taken.gap {
                in_turn(&judged.oracle, self.plan.max_idle[judged.oracle.sub], taken, log)?;
            }
            judged.oracle.poll(&taken.to, log);
            if !taken.gap {
                judged.received = taken.at;
                note_writes(judged, taken.at);
            }
        }
        judged.oracle.wall = cut.wall;
        let mut done = judged.oracle.end_interval();
        let wrote_now: BTreeSet<usize> = judged.oracle.wrote.keys().copied().collect();
        note_writes(judged, cut.at);
        let positions = part.positions.iter().map(|(topic, at)| (self.topics[*topic].clone(), *at)).collect();
        same("positions", &positions, &judged.oracle.positions)?;
        let (got, markers) = self.written(part);
        let judged = &self.tasks[&part.task];
        self.markers(judged, cut, &markers, &wrote_now)?;
        for ((topic, _), records) in &mut done.outputs {
            sort_where_unordered(&self.plan, judged.oracle.sub, topic, records);
        }
        for (at, want) in &done.outputs {
            same(&format!("{}/{}", at.0, at.1), got.outputs.get(at).unwrap_or(&Vec::new()), want)?;
        }
        same("what was written, dropped and counted", &got, &done)
    }

    /// What the engine wrote, dropped and counted; markers apart, by topic and partition.
    fn written(&self, part: &TaskPart) -> (Done, BTreeMap<(String, u32), Vec<Rec>>) {
        let (mut done, mut markers): (Done, BTreeMap<_, Vec<Rec>>) = Default::default();
        for out in &part.outputs {
            let topic = &self.topics[out.topic];
            let internal = topic.ends_with("-repartition");
            let is_marker = |r: &Rec| internal && matches!(wire::open(r), Opened::Marker { .. });
            let (told, records): (Vec<_>, Vec<_>) = records(&out.batch).into_iter().partition(is_marker);
            markers.entry((topic.clone(), out.partition)).or_default().extend(told);
            if !records.is_empty() {
                let held = done.outputs.entry((topic.clone(), out.partition)).or_default();
                held.extend(records.into_iter().map(wire::without_message));
            }
        }
        for ((topic, _), records) in &mut done.outputs {
            sort_where_unordered(&self.plan, self.subs[part.task.sub], topic, records);
        }
        let dropped = part.dropped.iter().map(|((step, reason), n)| ((step.clone(), reason.word().to_string()), *n));
        done.dropped = dropped.collect();
        (done.dead_letters, done.records) = (part.dead_letters, part.records);
        (done, markers)
    }

    /// A marker tells the writer's stream time, in every partition; idle only says who is.
    fn markers(
        &self,
        judged: &Judged,
        cut: &Cut,
        markers: &BTreeMap<(String, u32), Vec<Rec>>,
        wrote: &BTreeSet<usize>,
    ) -> Result<(), String> {
        let oracle = &judged.oracle;
        for (node, topic, idle) in oracle.writers() {
            let of = |p: u32| markers.get(&(topic.clone(), p)).cloned().unwrap_or_default();
            let first = of(0);
            ensure(first.len() <= 1, || format!("more than one marker in an interval: {first:?}"))?;
            for p in 1..self.plan.partitions[&topic] {
                same("markers of all partitions", &of(p), &first)?;
            }
            let Some(Opened::Marker { upstream, tasks, time, idle: said }) = first.first().map(wire::open) else {
                continue;
            };
            same("a marker's task", &(upstream, tasks), &(oracle.partition, self.plan.tasks[oracle.sub]))?;
            same("a marker's time", &time.unwrap_or(NEVER), &oracle.written(node))?;
            let Idle::After(ms) = idle else {
                ensure(!said, || "idle though it must never be".into())?;
                continue;
            };
            let silent = |since: i64| cut.quiet_since.is_some_and(|quiet| cut.at - since.max(quiet) >= ms);
            let may = silent(judged.wrote[&node]) && (!oracle.holds() || silent(judged.received));
            ensure(!said || may, || {
                format!(
                    "{topic} said idle: {cut:?}, wrote at {:?} (now: {}), received at {}, holds {}",
                    judged.wrote,
                    wrote.contains(&node),
                    judged.received,
                    oracle.holds()
                )
            })?;
        }
        Ok(())
    }

    /// The end of everything: nothing is left to take.
    pub fn at_rest(&self, ends: &dyn Fn(&str, u32) -> i64) -> Result<(), String> {
        for (task, judged) in &self.tasks {
            for (topic, at) in &judged.oracle.positions {
                let exists = task.partition < self.plan.partitions[topic];
                let end = if exists { ends(topic, task.partition) } else { 0 };
                same(&format!("last position of {topic}/{}", task.partition), at, &end)?;
            }
        }
        Ok(())
    }

    /// The last word of every upstream task in every partition of a repartition topic: that it is idle, or its time.
    pub fn last_words(&self, log: &dyn Fn(&str, u32) -> Vec<Rec>) -> Result<(), String> {
        for judged in self.tasks.values() {
            for (node, topic, idle) in judged.oracle.writers() {
                for p in 0..self.plan.partitions[&topic] {
                    let opened: Vec<Opened> = log(&topic, p).iter().map(wire::open).collect();
                    let mine = opened.iter().filter_map(|o| match o {
                        Opened::Marker { upstream, time, idle, .. } => {
                            (*upstream == judged.oracle.partition).then_some((*time, *idle))
                        }
                        Opened::Record { upstream, .. } => {
                            (*upstream == judged.oracle.partition).then_some((None, false))
                        }
                    });
                    let (words, time): (Vec<(Option<i64>, bool)>, i64) = (mine.collect(), judged.oracle.written(node));
                    let last = words.last();
                    let good = match idle {
                        Idle::After(_) => last.is_some_and(|word| word.1),
                        Idle::Never => time == NEVER || words.iter().any(|word| word.0 == Some(time)),
                    };
                    ensure(good, || format!("{topic}/{p}: task {} ends with {last:?}", judged.oracle.partition))?;
                }
            }
        }
        Ok(())
    }
}

/// What was taken at one go came in its turn.
fn in_turn(
    oracle: &OracleTask,
    max_idle: MaxIdle,
    taken: &Taken,
    log: &dyn Fn(usize, &str, i64) -> Option<Rec>,
) -> Result<(), String> {
    let from: Vec<i64> = oracle.positions.iter().map(|(_, at)| *at).collect();
    let Taken { to, at, inputs, .. } = taken;
    let go = Go { inputs, from: &from, to, at: *at, max_idle };
    go.check(&|input, offset| {
        let rec = log(input, &oracle.positions[input].0, offset)?;
        Some(oracle.when(input, &rec).turn)
    })
}

/// Each version of a function is switched to once, at the record that the task takes next; epochs rise.
fn switches(judged: &mut Judged, part: &TaskPart, in_force: &BTreeMap<(usize, u64), Active>) -> Result<(), String> {
    let uses = judged.oracle.functions();
    for switch in &part.switches {
        let active = in_force.get(&(switch.function, switch.epoch));
        let active = *active.ok_or_else(|| format!("{switch:?} to an epoch in which nothing came into force"))?;
        let before = judged.oracle.active.insert(switch.function, active).map_or(0, |before| before.epoch);
        ensure(uses.contains(&switch.function), || format!("{switch:?} of a function that is not used"))?;
        ensure(switch.epoch > before, || format!("{switch:?} after epoch {before}"))?;
        same("positions of a switch", &switch.positions, &judged.oracle.positions)?;
    }
    if !std::mem::replace(&mut judged.started, true) {
        let switched = uses.iter().all(|f| judged.oracle.active.contains_key(f));
        ensure(switched, || format!("{:?} started without telling its versions: {:?}", part.task, part.switches))?;
    }
    Ok(())
}

fn note_writes(judged: &mut Judged, at: i64) {
    for node in std::mem::take(&mut judged.oracle.wrote).into_keys() {
        judged.wrote.insert(node, at);
    }
}

/// Between several writers of one topic, and among late records and dead letters of several steps, no order is promised.
fn sort_where_unordered(plan: &Plan, sub: usize, topic: &str, records: &mut [Rec]) {
    if plan.writers(sub, topic) != 1 {
        records.sort();
    }
}
