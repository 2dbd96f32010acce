//! What the runtime needs of a manifest, as plain values: nothing here knows where they were written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use millstream_core::state::keyspace::Durability;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::{OnError, Operator, Spec};
use millstream_local::{Log, TopicConfig};
use millstream_wasm::{Limits, LogLevel};

use super::formats::Asked;
use crate::trust::Trust;

/// Partitions of a topic that nothing says otherwise of.
pub const PARTITIONS_DEFAULT: u32 = 1;

/// A pipeline, ready to be started.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its graph.
    pub spec: Spec,
    /// Its functions, in the order of the graph's.
    pub functions: Vec<Function>,
    /// Whose functions it runs.
    pub trust: Trust,
    /// Where lines of its functions go, besides the hosts' own logs.
    pub logs: Option<LogTopic>,
    /// Partition counts that the manifest gives, by topic.
    pub partitions: Vec<(String, u32)>,
    /// Where sources begin on their first run, by topic.
    pub starts: Vec<(String, Start)>,
    /// What a commit survives.
    pub durability: Durability,
    /// What becomes of results after a failure, on Kafka; local mode is exactly-once always.
    pub guarantee: Guarantee,
    /// Milliseconds between commits.
    pub commit_interval_ms: i64,
    /// For how long components of versions are kept that nothing needs, milliseconds.
    pub keep_components_ms: i64,
    /// How long records of the user's topics are kept, milliseconds.
    pub retention_ms: Option<i64>,
    /// How many bytes of each of their partitions are kept.
    pub retention_bytes: Option<u64>,
    /// Properties of the Kafka client; `None`: local mode.
    pub kafka: Option<BTreeMap<String, String>>,
    /// How internal topics are made at the brokers.
    pub internal_topics: InternalTopics,
    /// What topics hold.
    pub formats: Asked,
}

/// A topic for the lines of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTopic {
    /// The topic.
    pub topic: String,
    /// The least important lines that are sent.
    pub level: LogLevel,
}

/// What becomes of results after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// They are there once.
    #[default]
    ExactlyOnce,
    /// They are there, perhaps twice.
    AtLeastOnce,
}

/// How internal topics are made at the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternalTopics {
    /// Replicas of each partition; `None`: the brokers' default.
    pub replication: Option<i16>,
    /// Replicas that have a record before it counts as written; `None`: the brokers' default.
    pub min_in_sync: Option<u16>,
    /// Other settings, as brokers call them.
    pub settings: BTreeMap<String, String>,
}

/// A function of the manifest.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The file of its first version.
    pub component: PathBuf,
    /// Which function of the file; `None` where the file holds one.
    pub export: Option<String>,
    /// Settings, as JSON text.
    pub settings: String,
    /// What it may use.
    pub limits: Limits,
}

/// Where a source begins on its first run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is kept.
    #[default]
    Earliest,
    /// With the next record written.
    Latest,
    /// With the first record whose timestamp is at or after this, milliseconds.
    At(i64),
}

/// Topics of the user's that a specification names: those read, written, and used for late records and dead letters.
pub fn user_topics(spec: &Spec) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !out.iter().any(|o| o == name) {
            out.push(name.to_string());
        }
    };
    let dead = |on_error: &OnError| if let OnError::DeadLetter(topic) = on_error { Some(topic.clone()) } else { None };
    for source in &spec.sources {
        source.topics.iter().for_each(|t| add(t));
        dead(&source.on_error).iter().for_each(|t| add(t));
    }
    for step in &spec.steps {
        step.late.iter().for_each(|t| add(t));
        dead(&step.on_error).iter().for_each(|t| add(t));
    }
    for sink in &spec.sinks {
        add(&sink.topic);
        sink.route.iter().flat_map(|route| &route.topics).for_each(|t| add(t));
        dead(&sink.on_error).iter().for_each(|t| add(t));
    }
    out
}

/// The specification with the topics that are there for the patterns of its routers, in the order of their names. `there`: the topics
/// that are not a pipeline's own. What is made later is known after the next start.
pub fn with_topics_of_patterns(spec: &Spec, mut there: Vec<String>) -> Spec {
    let mut spec = spec.clone();
    there.sort();
    let read: Vec<String> = spec.sources.iter().flat_map(|source| source.topics.clone()).collect();
    for route in spec.sinks.iter_mut().filter_map(|sink| sink.route.as_mut()).filter(|route| route.pattern.is_some()) {
        // What the pipeline reads it does not write: it would feed itself.
        route.topics = there.iter().filter(|t| route.matches(t) && !read.contains(t)).cloned().collect();
    }
    spec
}

/// What the host's own log takes of a record.
const LOCAL_LIMITS: millstream_core::limits::Limits = millstream_core::limits::Limits {
    record_bytes_max: Some(millstream_local::RECORD_BYTES_MAX),
    record_overhead_bytes: 0,
    header_overhead_bytes: millstream_local::HEADER_BYTES,
    ahead_ms_max: None,
    behind_ms_max: None,
};

/// Makes the topics that are missing, plans the graph, and makes its internal topics.
///
/// # Errors
/// When a topic exists with another partition count than the manifest says; those of planning and of the storage.
pub fn prepare(pipeline: &Pipeline, log: &Log) -> anyhow::Result<Arc<Topology>> {
    let mut names = user_topics(&pipeline.spec);
    // A replay names those that a sink's pattern stands for.
    names.extend(pipeline.logs.iter().map(|logs| logs.topic.clone()));
    names.extend(pipeline.partitions.iter().map(|(name, _)| name.clone()));
    names.sort_unstable();
    names.dedup();
    for name in names {
        let asked = pipeline.partitions.iter().find(|(t, _)| *t == name).map(|(_, p)| *p);
        match (log.topic(&name), asked) {
            (Some(there), Some(asked)) if there.partitions != asked => bail!(
                "topic `{name}` has {} partitions, the manifest says {asked}; the count of a topic with records \
                 cannot change: write {} there, or use another topic",
                there.partitions,
                there.partitions
            ),
            (Some(_), _) => {}
            (None, asked) => {
                let config = TopicConfig {
                    retention_ms: pipeline.retention_ms,
                    retention_bytes: pipeline.retention_bytes,
                    internal: false,
                };
                log.create_topic(&name, asked.unwrap_or(PARTITIONS_DEFAULT), config)?;
            }
        }
    }
    let there = log.topics().into_iter().filter(|topic| !topic.config.internal).map(|topic| topic.name);
    let spec = with_topics_of_patterns(&pipeline.spec, there.collect());
    let mut topology = plan(&spec, &|name| log.topic(name).map(|t| t.partitions))?;
    for topic in topology.topics.iter().filter(|t| t.internal) {
        let config = TopicConfig { retention_ms: None, retention_bytes: None, internal: true };
        match log.topic(&topic.name) {
            None => {
                log.create_topic(&topic.name, topic.partitions, config)?;
            }
            Some(there) if there.partitions != topic.partitions => bail!(
                "internal topic `{}` has {} partitions and the pipeline now needs {}; its keys would be spread anew. \
                 Start over in another folder, or go back to the old partition count",
                topic.name,
                there.partitions,
                topic.partitions
            ),
            Some(_) => {}
        }
    }
    topology.topics.iter_mut().for_each(|topic| topic.limits = LOCAL_LIMITS);
    topology.formats = pipeline.formats.assigned.clone();
    Ok(Arc::new(topology))
}

/// Whether a step needs a function with an interface, by operator: for the check of a component before it is taken.
pub fn needed_interfaces(spec: &Spec, function: &str) -> Vec<millstream_core::function::Interface> {
    use millstream_core::function::Interface;
    use millstream_core::topology::spec::Fold;
    let mut out = Vec::new();
    if spec.sources.iter().any(|source| source.timestamp.as_deref() == Some(function)) {
        out.push(Interface::Mapper);
    }
    if spec.sinks.iter().any(|sink| sink.route.as_ref().is_some_and(|route| route.function == function)) {
        out.push(Interface::Router);
    }
    for step in &spec.steps {
        let needed = match &step.operator {
            Operator::Filter { function: f, .. } | Operator::Peek { function: f } if f == function => {
                [Some(Interface::Filter), None]
            }
            Operator::Map { function: f, .. } | Operator::Branch { function: f, .. } if f == function => {
                [Some(Interface::Mapper), None]
            }
            Operator::Aggregate(a) => match &a.fold {
                Fold::Reduce { function: f } | Fold::Aggregate { function: f } if f == function => {
                    let merger = a.window.is_some_and(|w| w.form.merges()).then_some(Interface::Merger);
                    let retractor = spec.reads_table(step).then_some(Interface::Retractor);
                    [Some(Interface::Aggregator), merger.or(retractor)]
                }
                Fold::Cogroup { adders, finisher } if finisher == function || adders.iter().any(|f| f == function) => {
                    let merges = finisher == function && a.window.is_some_and(|w| w.form.merges());
                    [Some(Interface::Aggregator), merges.then_some(Interface::Merger)]
                }
                Fold::Scan { function: f } if f == function => [Some(Interface::Scanner), None],
                _ => continue,
            },
            Operator::Join(join) => [
                (join.function == function).then_some(Interface::Joiner),
                (join.key.as_deref() == Some(function)).then_some(Interface::Mapper),
            ],
            Operator::StreamJoin(join) if join.function.as_deref() == Some(function) => [Some(Interface::Joiner), None],
            Operator::Regroup { function: f } if f == function => [Some(Interface::Mapper), None],
            Operator::Deduplicate(d) if d.function.as_deref() == Some(function) => [Some(Interface::Mapper), None],
            Operator::Process(p) if p.function == function => [Some(Interface::Processor), None],
            _ => continue,
        };
        for needed in needed.into_iter().flatten() {
            if !out.contains(&needed) {
                out.push(needed);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use millstream_core::function::Interface;
    use millstream_core::topology::spec::{
        Aggregate, Deduplicate, Emit, Fold, From, Idle, Join, JoinKind, Lateness, OnError, Operator, Spec, StepSpec,
        Window, WindowForm,
    };

    use super::needed_interfaces;

    #[test]
    fn what_folds_a_table_takes_out_again_and_what_joins_joins() {
        let step = |name: &str, from: &str, operator| StepSpec {
            name: name.into(),
            from: vec![From { name: from.into(), output: None }],
            operator,
            on_error: OnError::Fail,
            late: None,
            idle: Idle::Never,
            lateness: Lateness::OwnTask,
            max_idle: None,
        };
        let fold = || {
            let fold = Fold::Aggregate { function: "fold".into() };
            let (window, emit) = (None, Emit::OnUpdate);
            Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None })
        };
        let join = Join {
            other: From { name: "t".into(), output: None },
            kind: JoinKind::Inner,
            function: "join".into(),
            key: Some("by".into()),
            grace_ms: None,
        };
        let mut steps = vec![
            step("t", "in", Operator::Table { partitions: None, history_ms: None }),
            step("g", "t", Operator::Regroup { function: "group".into() }),
            step("j", "in", Operator::Join(join)),
            step("of-stream", "j", fold()),
        ];
        let needed = |steps: &[StepSpec], f| needed_interfaces(&Spec { steps: steps.to_vec(), ..Spec::default() }, f);
        assert_eq!(needed(&steps, "fold"), [Interface::Aggregator]);
        let scan = Fold::Scan { function: "scan".into() };
        let (window, emit) = (None, Emit::OnUpdate);
        let scan = Aggregate { fold: scan, window, emit, emit_every_update: true, partitions: None };
        let adders = vec!["orders".to_string(), "payments".to_string()];
        let both = Fold::Cogroup { adders, finisher: "orders".into() };
        let window = Some(Window { form: WindowForm::Session { gap_ms: 1 }, grace_ms: 0 });
        let cogroup = Aggregate { fold: both, window, emit, emit_every_update: false, partitions: None };
        steps.push(step("totals", "j", Operator::Aggregate(cogroup)));
        assert_eq!(needed(&steps, "orders"), [Interface::Aggregator, Interface::Merger]);
        assert_eq!(needed(&steps, "payments"), [Interface::Aggregator]);
        let by_id = Deduplicate { function: Some("id".into()), within_ms: 5, grace_ms: 0, partitions: None };
        steps.push(step("once", "j", Operator::Deduplicate(by_id)));
        assert_eq!(needed(&steps, "id"), [Interface::Mapper]);
        steps.push(step("each", "j", Operator::Aggregate(scan)));
        assert_eq!(needed(&steps, "scan"), [Interface::Scanner]);
        steps.push(step("of-table", "g", fold()));
        assert_eq!(needed(&steps, "fold"), [Interface::Aggregator, Interface::Retractor]);
        assert_eq!(
            (needed(&steps, "join"), needed(&steps, "group")),
            (vec![Interface::Joiner], vec![Interface::Mapper])
        );
    }

    #[test]
    fn windows_that_are_put_together_need_states_that_merge_and_others_do_not() {
        let needed = |form| {
            let window = Some(Window { form, grace_ms: 0 });
            let fold = Fold::Reduce { function: "f".into() };
            let aggregate = Aggregate { fold, window, emit: Emit::OnClose, emit_every_update: false, partitions: None };
            let step = StepSpec {
                name: "s".into(),
                from: Vec::new(),
                operator: Operator::Aggregate(aggregate),
                on_error: OnError::Fail,
                late: None,
                idle: Idle::Never,
                lateness: Lateness::OwnTask,
                max_idle: None,
            };
            needed_interfaces(&Spec { steps: vec![step.clone(), step], ..Spec::default() }, "f")
        };
        let (session, sliding) = (WindowForm::Session { gap_ms: 5 }, WindowForm::Sliding { difference_ms: 5 });
        for form in [session, sliding, WindowForm::Panes { size_ms: 5, advance_ms: 1 }] {
            assert_eq!(needed(form), [Interface::Aggregator, Interface::Merger]);
        }
        assert_eq!(needed(WindowForm::Hopping { size_ms: 5, advance_ms: 1 }), [Interface::Aggregator]);
    }
}
