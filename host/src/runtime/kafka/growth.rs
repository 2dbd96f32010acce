//! Looks whether the topics that are read still have the partitions that the pipeline was planned by. It decides nothing: whoever
//! asks gets a text for the user.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use millstream_core::topology::graph::Topology;
use millstream_kafka::admin::Admin;
use millstream_kafka::config::Properties;
use tracing::info;

/// How often it is looked, where `topic.metadata.refresh.interval.ms` does not say.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// See the module. Dropping it ends its thread with the look that goes on.
pub struct Growth {
    found: Receiver<String>,
    _stop: Sender<()>,
}

impl Growth {
    /// Starts the thread that looks.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(topology: Arc<Topology>, admin: Arc<Admin>, properties: &Properties) -> std::io::Result<Self> {
        let ((tell, found), (stop, stopped)) = (channel(), channel::<()>());
        let refresh = properties.get("topic.metadata.refresh.interval.ms").and_then(|ms| ms.parse().ok());
        let every = refresh.map_or(LOOK_EVERY, Duration::from_millis);
        std::thread::Builder::new().name("growth".into()).spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Some(why) = look(&topology, &admin)
                    && tell.send(why).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Self { found, _stop: stop })
    }

    /// What was found.
    pub fn found(&self) -> Option<String> {
        self.found.try_recv().ok()
    }
}

fn look(topology: &Topology, admin: &Admin) -> Option<String> {
    let names: Vec<&str> = topics(topology).map(|topic| topic.name.as_str()).collect();
    let found = match admin.describe(&names) {
        Ok(found) => found,
        Err(why) => {
            info!(error = %why, "looking at partition counts, trying again later");
            return None;
        }
    };
    let now = |name: &str| Some(found.get(name)?.as_ref()?.partitions.unsigned_abs());
    topics(topology).find_map(|topic| changed(topology, &topic.name, now(&topic.name)?))
}

/// Topics that are read, but for the pipeline's own.
fn topics(topology: &Topology) -> impl Iterator<Item = &millstream_core::topology::graph::Topic> {
    let inputs = topology.subs.iter().flat_map(|sub| &sub.inputs).map(|input| input.topic);
    inputs.chain(global_topics(topology)).map(|topic| &topology.topics[topic]).filter(|t| !t.internal)
}

/// Numbers of the topics of global tables.
fn global_topics(topology: &Topology) -> impl Iterator<Item = usize> {
    topology.globals.iter().flat_map(|table| table.topics.iter().copied())
}

/// What follows when a topic has `now` partitions; `None`: as many as before.
pub fn changed(topology: &Topology, name: &str, now: u32) -> Option<String> {
    let topic = topology.topics.iter().find(|topic| topic.name == name)?;
    if topic.partitions == now {
        return None;
    }
    let has_own = topology.topics.iter().any(|t| t.internal) || topology.subs.iter().any(|sub| !sub.stores.is_empty());
    let is_global = global_topics(topology).any(|topic| topology.topics[topic].name == name);
    let instead = if is_global {
        "start the pipeline again: its global table is read from the new partitions as well"
    } else if has_own {
        "states and internal topics of this pipeline are spread over the old count, and a key may be in another partition from now on. \
         Write to a new topic with the partitions that are wanted, or start over under another pipeline name"
    } else {
        "start the pipeline again: it keeps nothing by key, and takes the new partitions on"
    };
    Some(format!(
        "topic `{name}` had {} partitions when the pipeline was started and has {now} now; the host stops at its last commit, with \
         nothing read of other partitions: {instead}",
        topic.partitions
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::topology::graph::plan;
    use millstream_core::topology::spec::{
        From, Idle, KeyFormat, Lateness, OnError, Operator, SinkSpec, SourceSpec, Spec, StepSpec,
    };

    #[test]
    fn what_to_do_depends_on_what_is_kept() {
        let step = StepSpec {
            name: "anew".into(),
            from: vec![From { name: "a".into(), output: None }],
            operator: Operator::Repartition { partitions: None },
            on_error: OnError::Fail,
            late: None,
            idle: Idle::default(),
            lateness: Lateness::default(),
            max_idle: None,
        };
        let text = |steps: Vec<StepSpec>, now| {
            let from = steps.last().map_or("a", |s| s.name.as_str()).to_string();
            let sink = SinkSpec {
                name: "out".into(),
                from: vec![From { name: from, output: None }],
                topic: "out".into(),
                key_format: KeyFormat::Kafka,
                window_headers: false,
                on_error: OnError::Fail,
                route: None,
            };
            let source =
                SourceSpec { name: "a".into(), topics: vec!["in".into()], timestamp: None, on_error: OnError::Fail };
            let spec =
                Spec { pipeline: "p".into(), sources: vec![source], steps, sinks: vec![sink], ..Spec::default() };
            changed(&plan(&spec, &|_| Some(3)).unwrap(), "in", now)
        };
        assert_eq!(text(vec![], 3), None);
        let stateless = text(vec![], 4).unwrap();
        assert!(
            stateless.contains("had 3 partitions") && stateless.contains("start the pipeline again"),
            "{stateless}"
        );
        assert!(text(vec![step], 4).unwrap().contains("another pipeline name"));
    }
}
