//! Runs a pipeline until it is stopped: opens its folder, starts its workers and the HTTP API, waits for a signal.

mod kafka;
mod restore_bar;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use millstream_core::state::keyspace::Durability;
use millstream_local::Append;
use millstream_wasm::Registry;
use millstream_web::{Access, Config, Exposure, Listening, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{load, log};
use crate::api::HostApi;
use crate::api::log_topic::{self, Writer};
use crate::runtime::Host;
use crate::runtime::fleet::local::HOST;
use crate::runtime::folder::{Folder, PARENT};
use crate::runtime::functions;
use crate::runtime::kafka::owners;
use crate::runtime::lines::Lines;
use crate::runtime::plan::Pipeline;

/// Where a host listens when nothing says otherwise.
pub const ADDRESS_DEFAULT: &str = "127.0.0.1:7070";

/// Runs a pipeline until it is stopped.
///
/// On SIGTERM or Ctrl-C what is done is committed and the host ends; a second signal ends it at once, and what was not
/// committed is done again at the next start.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream run access-counts.yaml --local data\n\n\
                        MILLSTREAM_LOG says what is logged: error, warn, info (default), debug, trace.\n\
                        Exit codes: 0 stopped as asked; 1 could not start or had to stop; 2 the command line is wrong.")]
pub struct Args {
    /// The manifest
    manifest: PathBuf,
    /// Local mode, with topics and state in this folder [default: .millstream/PIPELINE]
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// On Kafka: this host's id and the state of its tasks are in this folder [default: .millstream/PIPELINE]
    #[arg(long, value_name = "DIR", conflicts_with = "local")]
    state_dir: Option<PathBuf>,
    /// On Kafka: leaves the group at once when it stops, instead of keeping its tasks reserved for a restart
    #[arg(long, conflicts_with = "local")]
    leave_on_stop: bool,
    /// Where the HTTP API listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = ADDRESS_DEFAULT, value_parser = address)]
    listen: SocketAddr,
    /// Listens on an address that other machines reach; there is no TLS yet, so put a proxy in front
    #[arg(long)]
    listen_anyway: bool,
    /// On Kafka: where the pipeline's other hosts send questions about this one's stores, as http://NAME:7070 [default: where it listens]
    #[arg(long, value_name = "URL", conflicts_with = "local", value_parser = advertised)]
    advertise: Option<String>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Keeps a core dump of each function that traps in this folder, the last 8 of each component; they hold what it had of records
    #[arg(long, value_name = "DIR")]
    core_dumps: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: log::Format,
}

/// Runs the command.
///
/// # Errors
/// In words for the user: manifest, folder, functions, address.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log::start(args.log_format, "info")?;
    let pipeline = load::pipeline(&args.manifest, args.local.is_some())?;
    if pipeline.kafka.is_some() {
        return kafka::run(args, pipeline);
    }
    let path = args.local.clone().unwrap_or_else(|| PathBuf::from(PARENT).join(&pipeline.spec.pipeline));
    let folder = Folder::open(&path)?;
    let exposure = if args.listen_anyway { Exposure::Anywhere } else { Exposure::Loopback };
    let listen = Listen { address: args.listen, exposure };
    let running = Running::start(pipeline, folder, &listen, Means::of(args))?;
    running.wait();
    running.stop();
    Ok(ExitCode::SUCCESS)
}

/// The number of workers that was asked for, or one for each core.
fn workers(asked: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.map_or(cores, usize::from)
}

/// Where to listen.
pub struct Listen {
    address: SocketAddr,
    exposure: Exposure,
}

impl Listen {
    /// On an address of this machine alone.
    pub fn on(address: SocketAddr) -> Self {
        Self { address, exposure: Exposure::Loopback }
    }
}

/// An address as the command line has it.
///
/// # Errors
/// What would be one.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let example = format!("write an address and a port, as in {ADDRESS_DEFAULT} or [::1]:7070");
    text.parse().map_err(|_| example)
}

fn advertised(text: &str) -> Result<String, String> {
    owners::address(text).map_err(|why| why.to_string())
}

/// What a host works with.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Worker threads; `None`: one a core.
    workers: Option<usize>,
    /// Where core dumps go.
    core_dumps: Option<PathBuf>,
}

impl Means {
    fn of(args: &Args) -> Self {
        Self { workers: args.workers.map(usize::from), core_dumps: args.core_dumps.clone() }
    }
}

/// A host with its HTTP API.
pub struct Running {
    /// The host.
    pub host: Arc<Host>,
    /// Where it listens.
    pub url: String,
    server: Server,
    access: Access,
    signals: Arc<Signals>,
    log_topic: Option<Writer>,
}

impl Running {
    /// Starts everything, in the order in which it can fail cheapest.
    ///
    /// # Errors
    /// In words for the user.
    pub fn start(pipeline: Pipeline, folder: Folder, listen: &Listen, means: Means) -> anyhow::Result<Self> {
        let signals = Signals::watch()?;
        let workers = means.workers.unwrap_or_else(|| workers(None));
        let access = Access::open(&folder.path)?;
        // Before anything runs: a record that was taken is not taken back because the port is in use.
        let config = Config { exposure: listen.exposure, ..Config::new(listen.address, access.token().clone()) };
        let listening = Listening::on(config)?;
        let lines = Arc::default();
        let registry = functions::running(folder.cache(), workers, &lines, means.core_dumps)?;
        let registry = Arc::new(Registry::new(registry)?);
        let name = pipeline.spec.pipeline.clone();
        let host = Host::start(pipeline, folder.db.clone(), registry, workers)?;
        let log_topic = log_writer(&host, &lines)?;
        let server = match listening.serve(Arc::new(HostApi::new(host.clone(), lines))) {
            Ok(server) => server,
            Err(why) => {
                host.stop();
                return Err(why.into());
            }
        };
        let url = server.url();
        access.announce(&url)?;
        info!(pipeline = name, url, folder = %folder.path.display(), "running");
        Ok(Self { host, url, server, access, signals, log_topic })
    }

    /// Whether a signal has come.
    pub fn asked_to_stop(&self) -> bool {
        self.signals.have_come()
    }

    /// Waits for a signal.
    pub fn wait(&self) {
        self.signals.wait_or(|| false);
    }

    /// Commits what is done and ends everything.
    pub fn stop(self) {
        info!("stopping");
        self.server.stop();
        self.host.stop();
        drop(self.log_topic);
        self.access.withdraw();
        info!("stopped");
    }
}

/// What writes lines of functions to their topic, where the manifest names one.
fn log_writer(host: &Arc<Host>, lines: &Arc<Lines>) -> anyhow::Result<Option<Writer>> {
    let Some(topic) = host.pipeline.logs.clone() else { return Ok(None) };
    let (log, name) = (host.storage.log.clone(), topic.topic.clone());
    let parts = log_topic::Parts {
        lines: lines.clone(),
        fleet: host.fleet.clone(),
        topology: host.topology.clone(),
        host: HOST.into(),
        topic,
        write: Box::new(move |batch| {
            let append = Append { topic: name.clone(), partition: 0, batch };
            log.append(vec![append], Vec::new(), Durability::Process).map(drop).map_err(Into::into)
        }),
    };
    Writer::start(parts).map(Some)
}

/// Signals that ask this program to end.
#[derive(Default)]
struct Signals {
    count: AtomicU32,
    lock: Mutex<()>,
    came: Condvar,
}

/// How often it is looked whether there is still something to wait for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Exit code after a second signal, as shells count it: 128 + SIGINT.
const EXIT_AT_ONCE: i32 = 130;

impl Signals {
    fn watch() -> anyhow::Result<Arc<Self>> {
        let signals = Arc::<Self>::default();
        let seen = signals.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start watching signals")?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    seen.came();
                }
            });
        })?;
        Ok(signals)
    }

    /// Whether one has come.
    fn have_come(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Waits for one, or until `ended` says that there is no more to wait for.
    fn wait_or(&self, ended: impl Fn() -> bool) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.have_come() && !ended() {
            let waited = self.came.wait_timeout(guard, LOOK_EVERY);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn came(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) > 0 {
            warn!("a second signal: ending at once");
            std::process::exit(EXIT_AT_ONCE);
        }
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.came.notify_all();
    }
}
