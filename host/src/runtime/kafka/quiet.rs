//! Whether partitions of which nothing comes are at their ends: asked of the brokers, again and again, by a thread of each worker.
//! The client says once that it has reached an end, and says nothing more while brokers do not answer. A task that took this for
//! silence would be idle, windows would close without it, and what it finds once the brokers are back would be late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use millstream_core::topology::graph::{NodeOperator, SubTopology};
use millstream_core::topology::spec::Idle;
use millstream_kafka::admin::Admin;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use tracing::debug;

use super::layout::Tag;

/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long an answer counts: one may come late.
pub const ENDS_MS_MAX: i64 = 1_500;

type Ends = BTreeMap<TopicPartition, i64>;

/// See the module.
pub struct Quiet {
    /// Partitions that seem to be at their ends, and where those are.
    at: BTreeMap<Tag, (Arc<TopicPartition>, i64)>,
    questions: Sender<Vec<TopicPartition>>,
    answers: Receiver<Result<Ends, KafkaError>>,
    /// A question is under way.
    asked: bool,
    last: Instant,
}

/// Whether it matters that a task of this kind is silent.
pub fn matters(sub: &SubTopology) -> bool {
    sub.nodes.iter().any(|node| matches!(node.operator, NodeOperator::Repartition { idle: Idle::After(_), .. }))
}

impl Quiet {
    /// Starts the thread; it ends with this.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(admin: Arc<Admin>) -> std::io::Result<Self> {
        Self::asking(move |partitions| admin.stable_ends(partitions))
    }

    fn asking(ask: impl Fn(&[TopicPartition]) -> Result<Ends, KafkaError> + Send + 'static) -> std::io::Result<Self> {
        let ((questions, asked), (tell, answers)) = (channel::<Vec<TopicPartition>>(), channel());
        std::thread::Builder::new().name("quiet".into()).spawn(move || {
            while let Ok(partitions) = asked.recv() {
                if tell.send(ask(&partitions)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { at: BTreeMap::new(), questions, answers, asked: false, last: Instant::now() })
    }

    /// A partition was read up to `next`; `at_end`: as far as the client knows that is its end.
    pub fn read(&mut self, tag: Tag, partition: &Arc<TopicPartition>, next: i64, at_end: bool) {
        if at_end {
            self.at.insert(tag, (partition.clone(), next));
        } else {
            self.at.remove(&tag);
        }
    }

    /// Only these are of interest any more.
    pub fn retain(&mut self, keep: impl Fn(Tag) -> bool) {
        self.at.retain(|tag, _| keep(*tag));
    }

    /// Asks when it is time; gives partitions that are at their ends, with these.
    pub fn confirmed(&mut self) -> Vec<(Tag, i64)> {
        let mut confirmed = Vec::new();
        while let Ok(answer) = self.answers.try_recv() {
            self.asked = false;
            match answer {
                Ok(ends) => {
                    let is_there =
                        |(partition, next): &(Arc<TopicPartition>, i64)| ends.get(&**partition) == Some(next);
                    let all = self.at.iter().filter(|(_, at)| is_there(at));
                    confirmed.extend(all.map(|(tag, (_, next))| (*tag, *next)));
                }
                Err(why) => debug!(error = %why, "asking for the ends of silent partitions"),
            }
        }
        if !self.asked && !self.at.is_empty() && self.last.elapsed() > ASK_EVERY {
            self.last = Instant::now();
            let partitions = self.at.values().map(|(partition, _)| (**partition).clone()).collect();
            self.asked = self.questions.send(partitions).is_ok();
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_brokers_say_is_an_end() {
        let ends = |of: &[TopicPartition]| match of.len() {
            // Of the second there is more than was read.
            2 => Ok(of.iter().map(|p| (p.clone(), 10 + i64::from(p.partition))).collect()),
            _ => Err(KafkaError::Retry("away".into())),
        };
        let mut quiet = Quiet::asking(ends).unwrap();
        let tag = Tag;
        let partition = |p| Arc::new(TopicPartition::new("in", p));
        let ask = |quiet: &mut Quiet| {
            quiet.last = Instant::now() - ASK_EVERY * 2;
            assert_eq!(quiet.confirmed(), []);
            let asked = quiet.asked;
            let until = Instant::now() + Duration::from_secs(10);
            let mut all = Vec::new();
            while quiet.asked && Instant::now() < until {
                quiet.last = Instant::now();
                all.extend(quiet.confirmed());
            }
            (asked, all)
        };
        assert_eq!(ask(&mut quiet), (false, vec![]), "there is nothing to ask for");
        quiet.read(tag(0), &partition(0), 10, true);
        quiet.read(tag(1), &partition(1), 10, true);
        quiet.read(tag(2), &partition(2), 12, false);
        assert_eq!(ask(&mut quiet), (true, vec![(tag(0), 10)]));
        quiet.read(tag(1), &partition(1), 11, true);
        assert_eq!(ask(&mut quiet), (true, vec![(tag(0), 10), (tag(1), 11)]));
        quiet.retain(|t| t == tag(1));
        assert_eq!(ask(&mut quiet), (true, vec![]), "nobody answers");
    }
}
