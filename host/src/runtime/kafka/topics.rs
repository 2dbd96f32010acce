//! Topics of a pipeline at the brokers: the user's are looked up and must be there, the internal ones are made where they are
//! missing, and what does not fit is named with both sides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::limits::Limits;
use millstream_core::meta::Meta;
use millstream_core::task::meta_name;
use millstream_core::topology::graph::{Input, Node, NodeOperator, Store, SubTopology, Topology, plan};
use millstream_core::topology::spec::Route;
use millstream_kafka::admin::{Admin, TopicInfo, TopicSpec};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;

use super::changelog;
use super::layout::PARTITIONS_MAX;
use super::ledger;
use super::metadata::Beside;
use super::repair::COMPACTION_LAG_MS;
use super::reset::refuse_half_done;
use crate::runtime::plan::{Guarantee, InternalTopics, Pipeline, user_topics, with_topics_of_patterns};

/// Bytes of a batch around a single record, and of the record beside its parts, as Kafka's format has them at the most.
const RECORD_OVERHEAD_BYTES: usize = 61 + 36;

/// Bytes of a header beside its name and value, at the most.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// Milliseconds of a broker's bounds on timestamps that are left for clocks that differ and for commits that take long.
const CLOCK_MARGIN_MS: i64 = 60_000;

/// How long it may take until all brokers know a topic that was made.
const KNOWN_WAIT: Duration = Duration::from_secs(30);

/// How long a topic that should be there must be missing, before it counts as gone.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// Time between two looks at that.
const KNOWN_LOOK: Duration = Duration::from_millis(100);

/// What a pipeline's topics give.
pub struct Prepared {
    /// Its graph.
    pub topology: Arc<Topology>,
    /// Ids of the changelog topics, by name: one that was made anew has another.
    pub changelogs: BTreeMap<String, String>,
}

/// Looks up and makes the topics of a pipeline, and plans its graph by their partition counts.
///
/// # Errors
/// In words for the user: topics that are missing or do not fit, what the brokers refuse.
pub fn prepare(pipeline: &Pipeline, admin: &Admin) -> anyhow::Result<Prepared> {
    refuse_half_done(&pipeline.spec.pipeline, admin)?;
    let has_pattern = |route: &Route| route.pattern.is_some();
    let spec = match pipeline.spec.sinks.iter().filter_map(|sink| sink.route.as_ref()).any(has_pattern) {
        false => pipeline.spec.clone(),
        true => {
            let there = admin.topics().context("look up the topics that a pattern stands for")?;
            let own = ledger::specs(&pipeline.spec.pipeline).map(|spec| spec.name);
            let usable = there.into_iter().filter(|name| !is_internal(name) && !own.contains(name));
            with_topics_of_patterns(&pipeline.spec, usable.collect())
        }
    };
    let names = user_topics(&spec);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(own) = ledger::specs(&spec.pipeline).iter().find(|own| names.contains(&own.name.as_str())) {
        bail!(
            "topic `{}` is the pipeline's own, for versions of its functions: name yours, or the pipeline, otherwise",
            own.name
        );
    }
    let found = admin.describe(&names).context("look up the pipeline's topics")?;
    let missing: Vec<&str> = names.iter().filter(|n| found.get(**n).is_none_or(Option::is_none)).copied().collect();
    if !missing.is_empty() {
        let commands =
            missing.iter().map(|topic| format!("\n  kafka-topics.sh --create --topic {topic} --partitions N"));
        bail!(
            "these topics are not there: {}; topics of yours are made by you, with the partitions you want:{}",
            missing.join(", "),
            commands.collect::<String>()
        );
    }
    let infos: BTreeMap<&str, &TopicInfo> =
        found.iter().filter_map(|(name, info)| Some((name.as_str(), info.as_ref()?))).collect();
    for (topic, asked) in &pipeline.partitions {
        if let Some(info) = infos.get(topic.as_str()).filter(|info| info.partitions as u32 != *asked) {
            bail!("topic `{topic}` has {} partitions, the manifest says {asked}: write {0} there", info.partitions);
        }
    }
    let mut topology = plan(&spec, &|name| infos.get(name).map(|info| info.partitions as u32))?;
    if let Some(large) = topology.topics.iter().find(|topic| topic.partitions > PARTITIONS_MAX) {
        bail!("topic `{}` has {} partitions; at most {PARTITIONS_MAX} are taken", large.name, large.partitions);
    }
    let internal = internal(&topology, &pipeline.internal_topics, pipeline.guarantee);
    let made = make(admin, &topology, &internal)?;
    for topic in &mut topology.topics {
        if let Some(info) = infos.get(topic.name.as_str()).copied().or_else(|| made.get(&topic.name)) {
            topic.limits = limits(info);
        }
    }
    topology.formats = pipeline.formats.assigned.clone();
    let names = changelog::topics(&topology).into_iter();
    let changelogs = names.filter_map(|name| Some((made.get(&name)?.id.clone(), name))).map(|(id, name)| (name, id));
    Ok(Prepared { changelogs: changelogs.collect(), topology: Arc::new(topology) })
}

/// Whether a topic's name is one that pipelines, and Kafka Streams, give their own.
fn is_internal(name: &str) -> bool {
    name.ends_with("-repartition") || name.ends_with("-changelog")
}

/// The internal topics that a topology needs.
pub fn internal(topology: &Topology, settings: &InternalTopics, guarantee: Guarantee) -> Vec<TopicSpec> {
    let repartition = topology.topics.iter().filter(|topic| topic.internal);
    let repartition = repartition.map(|topic| TopicSpec::repartition(&topic.name, topic.partitions as i32));
    let changelogs = topology.subs.iter().flat_map(|sub| {
        let of = |store: &Store| changelog::topic(&topology.pipeline, &store.name);
        sub.stores.iter().map(move |store| TopicSpec::changelog(&of(store), sub.tasks as i32))
    });
    let changelogs = changelogs.map(|mut spec| {
        if guarantee == Guarantee::AtLeastOnce {
            spec.settings.insert("min.compaction.lag.ms".into(), COMPACTION_LAG_MS.to_string());
        }
        spec
    });
    let mut all: Vec<TopicSpec> = repartition.chain(changelogs).collect();
    for spec in &mut all {
        let given = settings.settings.iter().map(|(name, value)| (name.clone(), value.clone()));
        spec.settings.extend(given);
    }
    // What the user says of internal topics is for those with records: these are kept as they must be.
    all.extend(ledger::specs(&topology.pipeline));
    for spec in &mut all {
        spec.replication_factor = settings.replication;
        if let Some(least) = settings.min_in_sync {
            spec.settings.insert("min.insync.replicas".into(), least.to_string());
        }
    }
    all
}

fn make(admin: &Admin, topology: &Topology, specs: &[TopicSpec]) -> anyhow::Result<BTreeMap<String, TopicInfo>> {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let there = match admin.describe(&names) {
        // Brokers say this also of a topic that is not there. Asked to make all, they take it, or what is missing is told as a whole.
        Err(KafkaError::Forbidden { .. }) => BTreeMap::new(),
        other => other.context("look up the pipeline's internal topics")?,
    };
    let missing = |spec: &&TopicSpec| there.get(&spec.name).is_none_or(Option::is_none);
    let new: Vec<TopicSpec> = specs.iter().filter(missing).cloned().collect();
    for spec in &new {
        refuse_lost(admin, topology, &spec.name)?;
    }
    admin.create(&new).context("make the pipeline's internal topics")?;
    let mut all = there_after(admin, &names, KNOWN_WAIT)?;
    let mut made = BTreeMap::new();
    for spec in specs {
        let info = all.remove(&spec.name);
        let info = info.with_context(|| format!("internal topic `{}` is not there, though it was made", spec.name))?;
        let differences = spec.differences(&info);
        if !differences.is_empty() {
            bail!(
                "internal topic `{}` does not fit: {}. Partitions follow the pipeline's sources, and keys would be spread anew: \
                 start over with `millstream reset` or under another pipeline name, or bring the topic back to what is needed",
                spec.name,
                differences.join("; ")
            );
        }
        made.insert(spec.name.clone(), info);
    }
    Ok(made)
}

/// Those of some topics that are there, waiting for those that are not yet: each broker hears of topics in its own time.
fn there_after(admin: &Admin, names: &[&str], wait: Duration) -> anyhow::Result<BTreeMap<String, TopicInfo>> {
    let until = Instant::now() + wait;
    loop {
        let found = admin.describe(names).context("look up the pipeline's internal topics")?;
        let there: BTreeMap<_, _> = found.into_iter().filter_map(|(name, info)| Some((name, info?))).collect();
        if there.len() == names.len() || Instant::now() > until {
            return Ok(there);
        }
        std::thread::sleep(KNOWN_LOOK);
    }
}

/// Refuses to make an internal topic anew that was there when the group last committed: what it held is part of that.
fn refuse_lost(admin: &Admin, topology: &Topology, name: &str) -> anyhow::Result<()> {
    let fills = |sub: &SubTopology, node: &Node| match &node.operator {
        NodeOperator::Repartition { topic, .. } => topology.topics[*topic].name == name,
        _ => sub.stores_of(node).iter().any(|store| changelog::topic(&topology.pipeline, &store.name) == name),
    };
    if name == ledger::control(&topology.pipeline) {
        return refuse_lost_log(admin, topology, name);
    }
    let found = topology.subs.iter().find_map(|sub| Some((sub, sub.nodes.iter().find(|node| fills(sub, node))?)));
    let Some((sub, node)) = found else { return Ok(()) };
    // Brokers forget what was committed of a topic that is deleted: who wrote to it still knows.
    let metas = committed_metas(admin, topology, [sub].into_iter(), name)?;
    let was_there = metas.iter().any(|meta| meta.nodes.iter().any(|(known, ..)| *known == meta_name(node)));
    if was_there && there_after(admin, &[name], GONE_WAIT)?.is_empty() {
        bail!(
            "the internal topic `{name}` is gone, and with it what the pipeline had in it when it last committed: results would be \
             wrong without a word. Bring it back, or start over with `millstream reset` or under another pipeline name"
        );
    }
    Ok(())
}

/// Refuses to begin a control log anew while tasks have committed under an epoch of one: an epoch never falls.
fn refuse_lost_log(admin: &Admin, topology: &Topology, name: &str) -> anyhow::Result<()> {
    let metas = committed_metas(admin, topology, topology.subs.iter(), name)?;
    // Before there was a log every version had the epoch 1.
    let was_there = metas.iter().any(|meta| meta.epochs.iter().any(|(_, epoch)| *epoch > 1));
    if was_there && there_after(admin, &[name], GONE_WAIT)?.is_empty() {
        bail!(
            "the control log `{name}` is gone, and with it which versions of functions are in force and were: bring it back, or \
             start over with `millstream reset` or under another pipeline name"
        );
    }
    Ok(())
}

/// What the group last committed of tasks of some sub-topologies; nothing where that may not be looked at.
fn committed_metas<'t>(
    admin: &Admin,
    topology: &Topology,
    subs: impl Iterator<Item = &'t SubTopology>,
    name: &str,
) -> anyhow::Result<Vec<Meta>> {
    let partitions = |input: &Input| {
        let topic = &topology.topics[input.topic];
        (0..topic.partitions).map(|p| TopicPartition::new(topic.name.as_str(), p as i32)).collect::<Vec<_>>()
    };
    let inputs: Vec<TopicPartition> = subs.flat_map(|sub| &sub.inputs).flat_map(partitions).collect();
    let committed = match admin.committed_now(&topology.pipeline, &inputs) {
        // Who may not look at internal topics cannot make them either: administrators are told what to make.
        Err(KafkaError::Forbidden { .. }) => return Ok(Vec::new()),
        other => other.with_context(|| format!("look whether `{name}` was ever there"))?,
    };
    let meta = |text: &str| Beside::decode(text).and_then(|beside| Meta::decode(&beside.meta?));
    Ok(committed.values().filter_map(|committed| meta(&committed.metadata)).collect())
}

/// What a topic's log takes of a record.
fn limits(info: &TopicInfo) -> Limits {
    let bound = |ms: i64| (ms < i64::MAX / 2).then(|| (ms - CLOCK_MARGIN_MS).max(0));
    let settings = &info.settings;
    Limits {
        record_bytes_max: Some(settings.message_bytes_max),
        record_overhead_bytes: RECORD_OVERHEAD_BYTES,
        header_overhead_bytes: HEADER_OVERHEAD_BYTES,
        // A broker that sets timestamps itself refuses none.
        ahead_ms_max: bound(settings.timestamp_after_ms_max).filter(|_| !settings.append_time),
        behind_ms_max: bound(settings.timestamp_before_ms_max).filter(|_| !settings.append_time),
    }
}
