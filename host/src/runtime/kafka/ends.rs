//! Where logs end, for whoever looks at lag: asked of the brokers, and the last answer again while they do not answer. Nothing is
//! decided by it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use millstream_kafka::admin::{Admin, Watermarks};
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;

use super::directory::lock;

/// How long the brokers may take: whoever asks waits for it, a scrape of metrics for example.
const WAIT: Duration = Duration::from_secs(3);

/// Answers younger than this are not asked for again: one picture asks several times.
const YOUNG: Duration = Duration::from_millis(500);

/// Pause after the brokers did not answer: each question would wait anew.
const PAUSE: Duration = Duration::from_secs(10);

/// See the module.
pub struct Ends {
    admin: Admin,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    ends: BTreeMap<TopicPartition, (Watermarks, Instant)>,
    /// When the brokers last did not answer.
    failed: Option<Instant>,
}

impl Ends {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(properties: &Properties) -> Result<Self, KafkaError> {
        Ok(Self { admin: Admin::new(properties, WAIT)?, known: Mutex::default() })
    }

    /// The ends of partitions, as they are or as they were last known; without those of which nothing was ever known.
    pub fn of(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Watermarks> {
        // One at a time: the second finds what the first was told.
        let mut known = lock(&self.known);
        let now = Instant::now();
        let is_old = |p: &&TopicPartition| known.ends.get(*p).is_none_or(|(_, at)| now.duration_since(*at) > YOUNG);
        let old: Vec<TopicPartition> = partitions.iter().filter(is_old).cloned().collect();
        if !old.is_empty() && known.failed.is_none_or(|at| now.duration_since(at) > PAUSE) {
            match self.admin.watermarks(&old) {
                Ok(ends) => {
                    known.failed = None;
                    known.ends.extend(ends.into_iter().map(|(p, ends)| (p, (ends, now))));
                }
                Err(why) => {
                    tracing::info!(error = %why, "asking where logs end; the last answer stands in");
                    known.failed = Some(Instant::now());
                }
            }
        }
        partitions.iter().filter_map(|p| Some((p.clone(), known.ends.get(p)?.0))).collect()
    }

    /// How old the oldest answer is that stands in for these.
    pub fn age(&self, partitions: &[TopicPartition]) -> Duration {
        let known = lock(&self.known);
        partitions.iter().filter_map(|p| Some(known.ends.get(p)?.1.elapsed())).max().unwrap_or_default()
    }
}
