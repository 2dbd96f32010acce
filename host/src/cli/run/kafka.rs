//! Runs a pipeline on Kafka: opens the state directory, joins the group, serves the HTTP API, waits for a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use millstream_kafka::consumer::Leave;
use millstream_kafka::fetch::TopicPartition;
use millstream_wasm::Registry;
use millstream_web::{Access, Config, Exposure, Listening};
use tracing::info;

use super::restore_bar::RestoreBar;
use super::{Args, Signals, workers};
use crate::api::kafka::KafkaApi;
use crate::api::log_topic::{self, Writer};
use crate::runtime::folder::PARENT;
use crate::runtime::functions;
use crate::runtime::kafka::directory::Directory;
use crate::runtime::kafka::{KafkaHost, Start};
use crate::runtime::lines::Lines;
use crate::runtime::plan::Pipeline;

/// Lines of functions that may wait in the client to be sent, bytes.
const LOG_QUEUE_BYTES: usize = 4 << 20;

/// How long lines of functions may take to be written.
const LOG_WRITE_WAIT: Duration = Duration::from_secs(10);

/// Runs the command for a pipeline with `kafka:`.
///
/// # Errors
/// In words for the user: directory, properties, topics, functions, address, and why a running host had to end.
pub fn run(args: &Args, mut pipeline: Pipeline) -> anyhow::Result<ExitCode> {
    let signals = Signals::watch()?;
    let name = pipeline.spec.pipeline.clone();
    let path = args.state_dir.clone().unwrap_or_else(|| PathBuf::from(PARENT).join(&name));
    let directory = Directory::open(&path, &name)?;
    let access = Access::open(&path)?;
    let exposure = if args.listen_anyway { Exposure::Anywhere } else { Exposure::Loopback };
    let config = Config { exposure, ..Config::new(args.listen, access.token().clone()) };
    let listening = Listening::on(config)?;
    let workers = workers(args.workers);
    let lines = Arc::default();
    let registry = functions::running(path.join("cache"), workers, &lines, args.core_dumps.clone())?;
    let registry = Arc::new(Registry::new(registry)?);
    let properties = pipeline.kafka.take().unwrap_or_default();
    let is_static = !args.leave_on_stop;
    let address = args.advertise.clone().or_else(|| reached_at(listening.address()));
    let start = Start { pipeline, properties, directory, registry, workers, is_static, address };
    let host = KafkaHost::start(start, &|| !signals.have_come())?;
    let log_topic = match log_writer(&host, &lines) {
        Ok(log_topic) => log_topic,
        Err(why) => {
            host.stop(Leave::AtOnce);
            return Err(why);
        }
    };
    let leave = if args.leave_on_stop { Leave::AtOnce } else { Leave::AfterSession };
    let server = match listening.serve(Arc::new(KafkaApi::new(host.clone(), lines))) {
        Ok(server) => server,
        Err(why) => {
            host.stop(leave);
            return Err(why.into());
        }
    };
    let url = server.url();
    access.announce(&url)?;
    info!(pipeline = name, url, folder = %path.display(), "running");
    let bar = RestoreBar::start(host.clone(), args.log_format)?;
    signals.wait_or(|| host.failed().is_some());
    drop(bar);
    info!("stopping");
    server.stop();
    let failed = host.failed();
    host.stop(leave);
    drop(log_topic);
    access.withdraw();
    info!("stopped");
    match failed {
        Some(why) => bail!("{why}"),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What writes lines of functions to their topic, where the manifest names one.
fn log_writer(host: &Arc<KafkaHost>, lines: &Arc<Lines>) -> anyhow::Result<Option<Writer>> {
    let Some(topic) = host.pipeline.logs.clone() else { return Ok(None) };
    let name = topic.topic.clone();
    let there = host.admin.describe(&[&name])?;
    if there.get(&name).is_none_or(Option::is_none) {
        bail!("the topic `{name}`, which `logs` of the manifest names, is not there; make it, or take `logs` out");
    }
    let (to, sender, mut held) = (TopicPartition::new(name, 0), host.clone(), None);
    let parts = log_topic::Parts {
        lines: lines.clone(),
        fleet: host.fleet.clone(),
        topology: host.topology.clone(),
        host: host.directory.host_id().to_string(),
        topic,
        write: Box::new(move |batch| {
            // One that has failed is of no more use.
            let mut producer = match held.take() {
                Some(producer) => producer,
                None => sender.plain_producer(LOG_QUEUE_BYTES)?,
            };
            producer.begin();
            producer.produce(&to, &batch, 0, LOG_WRITE_WAIT).map_err(|why| anyhow!("{why}"))?;
            producer.flush(LOG_WRITE_WAIT)?;
            held = Some(producer);
            Ok(())
        }),
    };
    Writer::start(parts).map(Some)
}

/// Where other hosts reach one that listens there: an address that stands for all of this machine's is none of them.
fn reached_at(listen: SocketAddr) -> Option<String> {
    (!listen.ip().is_unspecified()).then(|| format!("http://{listen}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_of_a_machine_is_no_address_for_others() {
        let at = |listen: &str| reached_at(listen.parse().unwrap());
        assert_eq!(at("127.0.0.1:7070").as_deref(), Some("http://127.0.0.1:7070"));
        assert_eq!(at("[2001:db8::7]:80").as_deref(), Some("http://[2001:db8::7]:80"));
        assert_eq!((at("0.0.0.0:7070"), at("[::]:7070")), (None, None));
    }
}
