//! Runs a pipeline on Kafka: opens the state directory, joins the group, serves the HTTP API, waits for a signal.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use millstream_kafka::consumer::Leave;
use millstream_wasm::Registry;
use millstream_web::{Access, Config, Exposure, Listening};
use tracing::info;

use super::restore_bar::RestoreBar;
use super::{Args, Signals, workers};
use crate::api::kafka::KafkaApi;
use crate::runtime::folder::PARENT;
use crate::runtime::functions;
use crate::runtime::kafka::directory::Directory;
use crate::runtime::kafka::{KafkaHost, Start};
use crate::runtime::plan::Pipeline;

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
    let registry = Arc::new(Registry::new(functions::config(Some(path.join("cache")), workers)?)?);
    let properties = pipeline.kafka.take().unwrap_or_default();
    let is_static = !args.leave_on_stop;
    let host = {
        let start = Start { pipeline, properties, directory, registry, workers, is_static };
        KafkaHost::start(start, &|| !signals.have_come())?
    };
    let leave = if args.leave_on_stop { Leave::AtOnce } else { Leave::AfterSession };
    let server = match listening.serve(Arc::new(KafkaApi::new(host.clone()))) {
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
    access.withdraw();
    info!("stopped");
    match failed {
        Some(why) => bail!("{why}"),
        None => Ok(ExitCode::SUCCESS),
    }
}
