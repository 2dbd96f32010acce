//! A real Apache Kafka for tests: brokers in KRaft's combined mode, each a process of its own, with its data in a temporary
//! folder. They can be stopped, killed, frozen, and started again on the same data and ports. No mock, and no client.
//!
//! What is started ends with the test: a small shell waits on a pipe from the test's process, and when that closes, however
//! the process ended, kills the brokers and removes their folder.

mod broker;
mod jars;
mod ports;
mod secure;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
};

use broker::{Broker, Guard};

pub use broker::Stop;
pub use secure::{MECHANISM, PASSWORD, STORE_PASSWORD, Tls, USER};

/// The folder with every jar, also those of Kafka Streams and its test driver; fetched first when it is not there.
///
/// # Panics
/// When Maven is missing or cannot fetch, with its message.
pub fn libs() -> PathBuf {
    jars::folder()
}

/// How the Java machine of a broker is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jvm {
    /// Starts fast, compiles little: for tests.
    #[default]
    Quick,
    /// As in production: for what is measured.
    Served,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1 or 3 (any odd number works).
    pub brokers: usize,
    /// Properties of the broker besides, or instead of, those for tests.
    pub settings: Vec<(String, String)>,
    /// Whether one process more is the controller; else the brokers are that too. A single broker that is killed needs it: one that
    /// is its own controller takes itself, when it is back, for the leader it was, finds no way to itself while it registers, and
    /// declares open transactions for ended whose ends it never wrote (Apache Kafka 4.3.0: "these partitions are likely deleted
    /// already and hence can be skipped"). Readers then wait at them for ever.
    pub controller_apart: bool,
    /// How its Java machine is run.
    pub jvm: Jvm,
    /// Names, which are passwords as well, of users for a listener of its own (`SASL_PLAINTEXT`, `PLAIN`), where each may only
    /// what access lists say. Who comes by the ordinary listener may everything.
    pub users: Vec<String>,
    /// Two more listeners, over TLS, by certificates made for this cluster: one for [`USER`] with [`PASSWORD`] (`SASL_SSL`, [`MECHANISM`]),
    /// one for who has the client's key (`SSL`). See [`Cluster::tls`].
    pub tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: 1,
            settings: Vec::new(),
            controller_apart: true,
            jvm: Jvm::Quick,
            users: Vec::new(),
            tls: false,
        }
    }
}

/// Running brokers that know each other.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
    _controller: Option<Broker>,
    libs: PathBuf,
    tls: Option<Tls>,
    // Last, so that it goes last: it removes the folder.
    guard: Guard,
}

impl Cluster {
    /// One broker, ready.
    pub fn one() -> Self {
        Self::with(&Options::default())
    }

    /// Three brokers, ready; topics have three replicas, two of which must have a record.
    pub fn three() -> Self {
        Self::with(&Options { brokers: 3, controller_apart: false, ..Options::default() })
    }

    /// One broker for all tests of a program that do nothing to it. Ends with the program.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::with(&Options { controller_apart: false, ..Options::default() }))
    }

    /// Starts brokers and waits until all are ready.
    ///
    /// # Panics
    /// When Java is missing, when Maven cannot fetch the jars, and when a broker does not come up; with what it logged last.
    pub fn with(options: &Options) -> Self {
        let libs = jars::folder();
        let guard = Guard::start();
        let tls = options.tls.then(|| Tls::make(guard.folder()));
        let mut all = Broker::make(options, tls.as_ref(), guard.folder());
        each(&mut all, |broker| broker.format(&libs));
        each(&mut all, |broker| {
            broker.start(&libs);
            broker.wait_ready();
        });
        let controller = if options.controller_apart { all.pop() } else { None };
        Self { brokers: all, _controller: controller, libs, tls, guard }
    }

    /// For the property `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.all(Broker::port)
    }

    /// For the property `bootstrap.servers` of a client that comes as one of [`Options::users`].
    pub fn bootstrap_users(&self) -> String {
        self.all(Broker::port_users)
    }

    /// For the property `bootstrap.servers` of a client that comes over TLS with a password, see [`Options::tls`].
    pub fn bootstrap_sasl_ssl(&self) -> String {
        self.all(Broker::port_sasl_ssl)
    }

    /// For the property `bootstrap.servers` of a client that comes over TLS with a key.
    pub fn bootstrap_ssl(&self) -> String {
        self.all(Broker::port_ssl)
    }

    fn all(&self, port: impl Fn(&Broker) -> u16) -> String {
        let all: Vec<_> = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", port(broker))).collect();
        all.join(",")
    }

    /// Files for clients that come over TLS.
    ///
    /// # Panics
    /// Without [`Options::tls`].
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("the cluster has listeners over TLS")
    }

    /// The process of a broker, from 0; none while it is stopped.
    pub fn pid(&self, broker: usize) -> Option<u32> {
        self.brokers[broker].pid()
    }

    /// What a broker logged.
    pub fn log(&self, broker: usize) -> PathBuf {
        self.brokers[broker].log()
    }

    /// Ends a broker and waits until it is gone. One that is gone already is left so.
    pub fn stop(&mut self, broker: usize, how: Stop) {
        self.brokers[broker].stop(how);
    }

    /// Starts a stopped broker on its data and ports, and waits until it is ready.
    pub fn start(&mut self, broker: usize) {
        self.brokers[broker].start(&self.libs);
        self.brokers[broker].wait_ready();
    }

    /// Starts all that are stopped, together, and waits until they are ready.
    pub fn start_all(&mut self) {
        let libs = &self.libs;
        each(&mut self.brokers, |broker| {
            if broker.pid().is_none() {
                broker.start(libs);
                broker.wait_ready();
            }
        });
    }

    /// Freezes a broker: it holds its connections and answers nothing, from when this returns.
    pub fn freeze(&self, broker: usize) {
        self.brokers[broker].freeze();
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self, broker: usize) {
        self.brokers[broker].signal(rustix::process::Signal::CONT);
    }

    /// Runs one of Kafka's own programs by its class (`org.apache.kafka.tools.TopicCommand`), to its end.
    pub fn tool(&self, class: &str, args: &[&str]) -> Output {
        self.tool_at(&self.bootstrap(), class, args)
    }

    /// As [`Cluster::tool`], by another listener.
    pub fn tool_at(&self, bootstrap: &str, class: &str, args: &[&str]) -> Output {
        let mut command = java(&self.libs, Jvm::Quick);
        command.arg(class).args(["--bootstrap-server", bootstrap]).args(args);
        command.stdin(Stdio::null()).output().expect("run a program of Kafka")
    }

    /// Where the brokers keep everything; gone when this is dropped.
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    /// The jars of Kafka, its tools and Kafka Streams, for other programs of Java.
    pub fn libs(&self) -> &Path {
        &self.libs
    }
}

/// Java with all jars; a class and arguments follow.
fn java(libs: &Path, jvm: Jvm) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xms512m", "-Xmx512m"]);
    command.args(match jvm {
        Jvm::Quick => ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
        Jvm::Served => ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
    });
    command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true").arg("-cp").arg(libs.join("*"));
    command
}

/// Does something with all brokers at once.
fn each(brokers: &mut [Broker], act: impl Fn(&mut Broker) + Sync) {
    thread::scope(|scope| {
        for broker in brokers {
            let act = &act;
            scope.spawn(move || act(broker));
        }
    });
}
