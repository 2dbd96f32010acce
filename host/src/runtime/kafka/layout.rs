//! Which partition belongs to which task, and which task to which worker: pure arithmetic over the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_kafka::fetch::TopicPartition;

/// Bits of a [`Tag`] that hold the partition.
const PARTITION_BITS: u32 = 20;

/// Most partitions that a topic may have here.
pub const PARTITIONS_MAX: u32 = 1 << PARTITION_BITS;

/// Bits of a [`Tag`] that hold topic and partition; above them stands the stretch.
const PLACE_BITS: u32 = 40;

/// How often a task was taken on by this process: what was read for an earlier stretch is not for this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch(pub u32);

/// What a worker calls a partition: stretch, number of the topic, number of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub usize);

impl Tag {
    fn new(topic: usize, partition: usize) -> Self {
        Self(topic << PARTITION_BITS | partition)
    }

    /// The same partition in another stretch.
    pub fn during(self, stretch: Stretch) -> Self {
        Self(self.place() | (stretch.0 as usize) << PLACE_BITS)
    }

    /// When it was given.
    pub fn stretch(self) -> Stretch {
        Stretch((self.0 >> PLACE_BITS) as u32)
    }

    fn place(self) -> usize {
        self.0 & ((1 << PLACE_BITS) - 1)
    }

    fn topic(self) -> usize {
        self.place() >> PARTITION_BITS
    }

    fn partition(self) -> u32 {
        (self.0 & (PARTITIONS_MAX as usize - 1)) as u32
    }
}

/// See the module.
#[derive(Debug)]
pub struct Layout {
    topology: Arc<Topology>,
    /// Sub-topology and input that read a topic, by number of the topic.
    readers: BTreeMap<usize, (usize, usize)>,
    /// Numbers of the topics that are read, by name.
    topics: BTreeMap<String, usize>,
    workers: usize,
}

impl Layout {
    /// For so many workers.
    pub fn new(topology: Arc<Topology>, workers: usize) -> Self {
        let (mut readers, mut topics) = (BTreeMap::new(), BTreeMap::new());
        for (sub, plan) in topology.subs.iter().enumerate() {
            for (number, input) in plan.inputs.iter().enumerate() {
                readers.insert(input.topic, (sub, number));
                topics.insert(topology.topics[input.topic].name.clone(), input.topic);
            }
        }
        Self { topology, readers, topics, workers: workers.max(1) }
    }

    /// Topics that are read, by name.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// What a partition is called in stretch 0; `None` for one of a topic that is not read.
    pub fn tag(&self, partition: &TopicPartition) -> Option<Tag> {
        let topic = *self.topics.get(&*partition.topic)?;
        let number = usize::try_from(partition.partition).ok()?;
        Some(Tag::new(topic, number))
    }

    /// The task that a partition belongs to.
    ///
    /// # Panics
    /// For a tag that [`Layout::tag`] did not give.
    pub fn task(&self, tag: Tag) -> TaskId {
        TaskId { sub: self.readers[&tag.topic()].0, partition: tag.partition() }
    }

    /// Which input of its task a partition is.
    ///
    /// # Panics
    /// As [`Layout::task`].
    pub fn input(&self, tag: Tag) -> usize {
        self.readers[&tag.topic()].1
    }

    /// The worker that has a task: neighbours go to different ones, and so do the tasks that read each other.
    pub fn worker(&self, task: TaskId) -> usize {
        (task.sub + task.partition as usize) % self.workers
    }

    /// What the partitions of a task are called in stretch 0, in the order of its inputs; a topic with fewer partitions has none for it.
    pub fn tags(&self, task: TaskId) -> impl Iterator<Item = Tag> + use<'_> {
        let inputs = self.topology.subs[task.sub].inputs.iter();
        let there = inputs.filter(move |input| task.partition < self.topology.topics[input.topic].partitions);
        there.map(move |input| Tag::new(input.topic, task.partition as usize))
    }

    /// The partitions of a task, in the order of its inputs.
    pub fn partitions(&self, task: TaskId) -> impl Iterator<Item = TopicPartition> + use<'_> {
        self.tags(task).map(move |tag| {
            let topic = &self.topology.topics[tag.topic()].name;
            TopicPartition::new(topic.as_str(), task.partition as i32)
        })
    }

    /// The tasks that partitions make up; the second: partitions that belong to a task of which others are missing, which means that
    /// the group has not assigned them together.
    pub fn tasks(&self, partitions: &[TopicPartition]) -> (BTreeSet<TaskId>, Vec<TopicPartition>) {
        let mut have: BTreeMap<TaskId, usize> = BTreeMap::new();
        for tag in partitions.iter().filter_map(|p| self.tag(p)) {
            *have.entry(self.task(tag)).or_default() += 1;
        }
        let whole = |task: &TaskId, count: usize| self.tags(*task).count() == count;
        let (whole, torn): (Vec<_>, Vec<_>) = have.into_iter().partition(|(task, count)| whole(task, *count));
        let torn = torn.into_iter().flat_map(|(task, _)| self.partitions(task).collect::<Vec<_>>());
        let torn = torn.filter(|p| partitions.contains(p)).collect();
        (whole.into_iter().map(|(task, _)| task).collect(), torn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::topology::graph::plan;
    use millstream_core::topology::spec::{
        Aggregate, CountFormat, Emit, Fold, From, Idle, Lateness, OnError, Operator, SourceSpec, Spec, StepSpec,
    };

    /// Two sources into one re-keyed count: sub-topologies 0 (topics a and b) and 1 (the repartition topic).
    fn layout(workers: usize) -> Layout {
        let from =
            |names: &[&str]| names.iter().map(|n| From { name: n.to_string(), output: None }).collect::<Vec<_>>();
        let step = |name: &str, from, operator| StepSpec {
            name: name.into(),
            from,
            operator,
            on_error: OnError::Fail,
            late: None,
            idle: Idle::default(),
            lateness: Lateness::default(),
            max_idle: None,
        };
        let count = Aggregate {
            fold: Fold::Count(CountFormat::Long),
            window: None,
            emit: Emit::OnUpdate,
            emit_every_update: false,
            partitions: None,
        };
        let source = |name: &str| SourceSpec {
            name: name.into(),
            topics: vec![name.into()],
            timestamp: None,
            on_error: OnError::Fail,
        };
        let spec = Spec {
            pipeline: "p".into(),
            sources: vec![source("a"), source("b")],
            steps: vec![
                step("both", from(&["a", "b"]), Operator::Merge),
                step("anew", from(&["both"]), Operator::Repartition { partitions: None }),
                step("count", from(&["anew"]), Operator::Aggregate(count)),
            ],
            ..Spec::default()
        };
        let partitions = |topic: &str| Some(if topic == "b" { 2 } else { 3 });
        Layout::new(Arc::new(plan(&spec, &partitions).unwrap()), workers)
    }

    #[test]
    fn partitions_are_found_and_named_again() {
        let layout = layout(2);
        let topics: Vec<&str> = layout.topics().collect();
        assert_eq!(topics.len(), 3, "{topics:?}");
        for topic in topics {
            for number in 0..2 {
                let partition = TopicPartition::new(topic, number);
                let tag = layout.tag(&partition).unwrap();
                let later = tag.during(Stretch(9));
                assert_eq!((later.stretch(), layout.task(later)), (Stretch(9), layout.task(tag)));
                let task = layout.task(tag);
                assert_eq!(layout.partitions(task).nth(layout.input(tag)), Some(partition));
            }
        }
        assert_eq!(layout.tag(&TopicPartition::new("other", 0)), None);
    }

    #[test]
    fn a_task_is_whole_when_all_its_partitions_are_there() {
        let layout = layout(2);
        let p = TopicPartition::new;
        let (tasks, torn) = layout.tasks(&[p("a", 0), p("b", 0), p("a", 1), p("a", 2)]);
        let task = |partition| TaskId { sub: 0, partition };
        assert_eq!(tasks.into_iter().collect::<Vec<_>>(), [task(0), task(2)], "topic b has no third partition");
        assert_eq!(torn, [p("a", 1)]);
    }

    #[test]
    fn neighbours_have_different_workers() {
        let layout = layout(3);
        let worker = |sub, partition| layout.worker(TaskId { sub, partition });
        assert_eq!([worker(0, 0), worker(0, 1), worker(0, 2), worker(1, 0)], [0, 1, 2, 1]);
    }
}
