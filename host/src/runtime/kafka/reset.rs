//! Starting a pipeline over on Kafka: what is found of it, and its deletion. Topics of the user's are never touched, and nothing is
//! asked of the user here.
//!
//! While it goes on, a topic `PIPELINE-reset` is there. Hosts do not start meanwhile, also after it was broken off: half of it
//! would lead to results that are wrong. Run again, it goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::topology::graph::{Topology, plan};
use millstream_kafka::admin::{Admin, GroupMember, TopicSpec};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;

use super::changelog;
use super::directory::Directory;
use crate::runtime::plan::{Pipeline, user_topics};
use crate::runtime::reset::{Folder, Plan, Topic, bytes_of};

/// How long deleted topics may still be told of.
const GONE_WAIT: Duration = Duration::from_secs(30);

/// Time between two looks at that.
const LOOK: Duration = Duration::from_millis(100);

/// A pipeline on Kafka that is to start over.
pub struct Reset<'a> {
    pipeline: &'a Pipeline,
    admin: &'a Admin,
    /// Its graph, as far as names go.
    topology: Topology,
    /// Held, so that no host starts on it meanwhile; `None`: there is none.
    directory: Option<Directory>,
}

/// The topic that says that a reset is under way.
fn mark(pipeline: &str) -> String {
    format!("{pipeline}-reset")
}

/// Refuses a pipeline whose reset was begun and not finished.
///
/// # Errors
/// That it was; those of the brokers.
pub fn refuse_half_done(pipeline: &str, admin: &Admin) -> anyhow::Result<()> {
    let mark = mark(pipeline);
    match admin.describe(&[&mark]) {
        Ok(found) if found.get(&mark).is_some_and(Option::is_some) => bail!(
            "a reset of pipeline `{pipeline}` is under way, or was broken off (there is the topic `{mark}`): run `millstream \
             reset` to its end first"
        ),
        // Who may not even look at such topics has administrators who do.
        Ok(_) | Err(KafkaError::Forbidden { .. }) => Ok(()),
        Err(why) => Err(why).context("look whether a reset is under way"),
    }
}

/// A member as people know it.
fn member(member: &GroupMember) -> String {
    let name = member.instance.as_ref().unwrap_or(&member.client);
    format!("{name} at {}", member.host.trim_start_matches('/'))
}

impl<'a> Reset<'a> {
    /// Looks at the manifest's graph and at the state directory.
    ///
    /// # Errors
    /// When the directory is in use, or another pipeline's.
    pub fn new(pipeline: &'a Pipeline, admin: &'a Admin, state_dir: &Path) -> anyhow::Result<Self> {
        // Names do not depend on partitions.
        let topology = plan(&pipeline.spec, &|_| Some(1))?;
        let is_there = state_dir.join("host-id").exists();
        let directory = is_there.then(|| Directory::open(state_dir, &pipeline.spec.pipeline)).transpose()?;
        Ok(Self { pipeline, admin, topology, directory })
    }

    fn name(&self) -> &str {
        &self.pipeline.spec.pipeline
    }

    /// Internal topics that there may be.
    fn internal(&self) -> Vec<String> {
        let repartition = self.topology.topics.iter().filter(|topic| topic.internal).map(|topic| topic.name.clone());
        let stores = self.topology.subs.iter().flat_map(|sub| &sub.stores);
        repartition.chain(stores.map(|store| changelog::topic(self.name(), &store.name))).collect()
    }

    /// What is there to delete.
    ///
    /// # Errors
    /// Those of the brokers and of the disk.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let (internal, own) = (self.internal(), user_topics(&self.pipeline.spec));
        let names: Vec<&str> = internal.iter().chain(&own).map(String::as_str).collect();
        let found = self.admin.describe(&names).context("look up the pipeline's topics")?;
        let of = |name: &String| -> Vec<TopicPartition> {
            let count = found.get(name).and_then(Option::as_ref).map_or(0, |info| info.partitions);
            (0..count).map(|p| TopicPartition::new(name.as_str(), p)).collect()
        };
        let doomed: Vec<TopicPartition> = internal.iter().flat_map(&of).collect();
        let ends = self.admin.watermarks(&doomed).context("look at the sizes of topics")?;
        let topic = |name: &String| {
            let partitions = of(name);
            let records = partitions.iter().filter_map(|p| ends.get(p)).map(|e| (e.high - e.low).unsigned_abs()).sum();
            (!partitions.is_empty()).then(|| Topic { name: name.clone(), partitions: partitions.len() as u32, records })
        };
        let read: Vec<TopicPartition> = internal.iter().chain(&own).flat_map(of).collect();
        let offsets = self.admin.committed_now(self.name(), &read).context("look up the group's offsets")?;
        let members = self.admin.members(self.name()).context("look up the group's members")?;
        Ok(Plan {
            offsets: offsets.len() as u32,
            topics: internal.iter().filter_map(topic).collect(),
            folders: self.folders()?,
            half_done: refuse_half_done(self.name(), self.admin).is_err(),
            obstacles: self.obstacle(&members).into_iter().collect(),
            ..Plan::of(self.pipeline)
        })
    }

    /// States of the tasks that this state directory has or had, those set aside too.
    fn folders(&self) -> anyhow::Result<Vec<Folder>> {
        let Some(tasks) = self.directory.as_ref().map(|d| d.path().join("tasks")) else { return Ok(Vec::new()) };
        let look = || format!("look into {}", tasks.display());
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&tasks).with_context(look)? {
            let path = entry.with_context(look)?.path();
            all.push(Folder { bytes: bytes_of(&path), path });
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn obstacle(&self, members: &[GroupMember]) -> Option<String> {
        let names: Vec<String> = members.iter().map(member).collect();
        (!names.is_empty()).then(|| {
            format!(
                "group `{}` has members: {}. Stop these hosts; one that has been stopped keeps its place until its session \
                 time-out, 45 s unless the manifest says otherwise",
                self.name(),
                names.join(", ")
            )
        })
    }

    /// Deletes it. Safe to repeat after it was broken off at any point.
    ///
    /// # Errors
    /// When the group has members, and what the brokers or the disk refuse.
    pub fn carry_out(self, plan: &Plan) -> anyhow::Result<()> {
        let (name, mark) = (self.name(), mark(self.name()));
        let spec = TopicSpec { name: mark.clone(), partitions: 1, replication_factor: None, settings: BTreeMap::new() };
        self.admin.create(&[spec]).context("note that a reset is under way")?;
        // From here on none joins; one may have just before.
        if let Some(obstacle) = self.obstacle(&self.admin.members(name)?) {
            if !plan.half_done {
                self.admin.delete(&[&mark])?;
            }
            bail!(obstacle);
        }
        let topics: Vec<String> = self.internal();
        self.delete(&topics)?;
        self.admin.delete_group(name).context("delete the group's offsets")?;
        for folder in self.folders()? {
            remove(&folder.path)?;
        }
        self.delete(&[mark])
    }

    /// Deletes topics, and waits until the brokers do not tell of them any more: a host that starts would take them for there.
    fn delete(&self, topics: &[String]) -> anyhow::Result<()> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.admin.delete(&names)?;
        let until = Instant::now() + GONE_WAIT;
        loop {
            let left: Vec<String> =
                self.admin.describe(&names)?.into_iter().filter(|(_, info)| info.is_some()).map(|(n, _)| n).collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("still there, though deleted: {}; run the reset again", left.join(", "));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn remove(path: &PathBuf) -> anyhow::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.with_context(|| format!("delete {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_as_people_know_them() {
        let one = |instance: Option<&str>| GroupMember {
            id: "rdkafka-1".into(),
            instance: instance.map(str::to_string),
            client: "millstream-ab".into(),
            host: "/10.0.0.7".into(),
            partitions: Vec::new(),
        };
        assert_eq!([member(&one(Some("ab"))), member(&one(None))], ["ab at 10.0.0.7", "millstream-ab at 10.0.0.7"]);
    }
}
