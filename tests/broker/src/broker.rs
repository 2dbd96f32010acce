//! One broker's process, its settings and its end. Clients and topics are the test's.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    Jvm, Options, java,
    ports::{self, Port},
    secure::{self, Tls},
};

/// What a broker logs when clients may come, and a controller when brokers may.
const READY: &str = "Kafka Server started";
/// Two cores shared with a build start three brokers in this time.
const READY_SECONDS_MAX: u64 = 90;
/// A broker that is asked to stop moves its leaderships first.
const STOP_SECONDS_MAX: u64 = 30;
/// How long a broker may be silent before its controller gives it up.
const SESSION_MS: u64 = 2_000;
/// And is sure to have done so.
const GONE_AFTER: Duration = Duration::from_millis(SESSION_MS + 500);
/// In which a process that is stopped stands still, however busy the machine is.
const FREEZE_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Any will do: it only keeps strangers' data folders out.
const CLUSTER_ID: &str = "bWlsbHN0cmVhbS10ZXN0cw";

/// What it may listen by, each on a port of its own.
const LISTENERS: [&str; 5] = ["PLAINTEXT", "CONTROLLER", "SASL_PLAINTEXT", "SASL_SSL", "SSL"];

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Asked to: it hands over and writes everything down.
    Term,
    /// In the middle of what it does.
    Kill,
}

/// One broker.
#[derive(Debug)]
pub(crate) struct Broker {
    folder: PathBuf,
    ports: [Port; LISTENERS.len()],
    jvm: Jvm,
    /// Whether its users come over TLS too.
    tls: bool,
    child: Option<Child>,
    /// Bytes of the log that were there before the last start.
    log_from: u64,
    killed_at: Option<Instant>,
}

/// What a process of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Broker,
    Controller,
    Both,
}

impl Broker {
    /// Brokers that know of each other, with their settings written down, and last the controller where it is one for itself; none
    /// is started.
    pub fn make(options: &Options, tls: Option<&Tls>, folder: &Path) -> Vec<Broker> {
        let apart = options.controller_apart;
        let count = options.brokers + usize::from(apart);
        let ports: Vec<_> = (0..count).map(|_| LISTENERS.map(|_| ports::reserve())).collect();
        let first_voter = if apart { options.brokers } else { 0 };
        let voter = |(i, ports): (usize, &[Port; _])| format!("{}@127.0.0.1:{}", i + 1, ports[1].number);
        let voters: Vec<_> = ports.iter().enumerate().skip(first_voter).map(voter).collect();
        let voters = voters.join(",");
        let make = |(i, ports): (usize, [Port; _])| {
            let id = i + 1;
            let folder = folder.join(id.to_string());
            fs::create_dir(&folder).expect("make the folder of a broker");
            let role = match (apart, i == options.brokers) {
                (false, _) => Role::Both,
                (true, true) => Role::Controller,
                (true, false) => Role::Broker,
            };
            let numbers = ports.each_ref().map(|port| port.number);
            let mut text = settings(options, &voters) + &own_settings(id, role, numbers, options, &folder);
            text.extend(tls.map(Tls::settings));
            // The last line of a name counts.
            options.settings.iter().for_each(|(name, value)| writeln!(text, "{name}={value}").expect("text"));
            fs::write(folder.join("server.properties"), text).expect("write the settings of a broker");
            let (jvm, tls) = (options.jvm, options.tls);
            Broker { folder, ports, jvm, tls, child: None, log_from: 0, killed_at: None }
        };
        ports.into_iter().enumerate().map(make).collect()
    }

    pub fn port(&self) -> u16 {
        self.ports[0].number
    }

    pub fn port_users(&self) -> u16 {
        self.ports[2].number
    }

    pub fn port_sasl_ssl(&self) -> u16 {
        self.ports[3].number
    }

    pub fn port_ssl(&self) -> u16 {
        self.ports[4].number
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Makes its data folder what a broker expects.
    pub fn format(&mut self, libs: &Path) {
        let mut tool = java(libs, Jvm::Quick);
        tool.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
        tool.arg(self.folder.join("server.properties"));
        if self.tls {
            tool.args(["--add-scram", &secure::user()]);
        }
        let done = tool.output();
        match done {
            Ok(done) if done.status.success() => {}
            Ok(done) => panic!("Kafka's data folder: {}", String::from_utf8_lossy(&done.stderr)),
            Err(error) => panic!("Java cannot be started: {error}; `./x test` installs it"),
        }
    }

    pub fn start(&mut self, libs: &Path) {
        assert!(self.child.is_none(), "the broker is running");
        // Until its controller has noticed its death, it would come back as the leader that it was.
        if let Some(killed) = self.killed_at.take() {
            thread::sleep(GONE_AFTER.saturating_sub(killed.elapsed()));
        }
        self.log_from = fs::metadata(self.log()).map_or(0, |log| log.len());
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("open the broker's log");
        let mut command = java(libs, self.jvm);
        command.arg("kafka.Kafka").arg(self.folder.join("server.properties")).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("share the log")).stderr(log);
        let child = command.spawn().expect("start Java");
        fs::write(self.folder.join("pid"), child.id().to_string()).expect("write the pid of a broker");
        self.child = Some(child);
    }

    /// Waits until it says that it is ready.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        loop {
            let log = self.logged();
            if log.contains(READY) {
                return;
            }
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if ended || Instant::now() > deadline {
                let tail: Vec<_> = log.lines().rev().take(30).collect();
                let tail: Vec<_> = tail.into_iter().rev().collect();
                panic!("the broker did not come up; it logged last:\n{}", tail.join("\n"));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// What it logged since the last start.
    fn logged(&self) -> String {
        use std::io::{Seek, SeekFrom};
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log())
            && file.seek(SeekFrom::Start(self.log_from)).is_ok()
        {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the broker is running");
        let pid = Pid::from_child(child);
        kill_process(pid, signal).expect("signal the broker");
    }

    /// Stops the process, and waits until each of its threads is stopped: the signal alone takes a while on a busy machine, in which
    /// the broker answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.pid().expect("the broker is running"));
        let deadline = Instant::now() + FREEZE_MAX;
        while !all_stopped(Path::new(&threads)) {
            assert!(Instant::now() < deadline, "the broker is not frozen after {FREEZE_MAX:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn stop(&mut self, how: Stop) {
        if self.child.is_none() {
            return;
        }
        // Before the process is waited for: afterwards its number may be another's.
        let _ = fs::remove_file(self.folder.join("pid"));
        if how == Stop::Term {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
            while Instant::now() < deadline && !self.ended() {
                thread::sleep(LOOK_EVERY);
            }
        }
        if let Some(mut child) = self.child.take() {
            self.killed_at = (how == Stop::Kill).then(Instant::now);
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop(Stop::Kill);
    }
}

/// The settings that all processes of a cluster share.
fn settings(options: &Options, voters: &str) -> String {
    let (replicas, in_sync) = if options.brokers >= 3 { (3, 2) } else { (1, 1) };
    format!(
        "controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
auto.create.topics.enable=false
num.partitions=1
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
# A broker that was killed may register again when its session has ended (9 s by default).
broker.session.timeout.ms={SESSION_MS}
broker.heartbeat.interval.ms=250
# Members and transactions that are given up are tested in seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
"
    )
}

/// The settings of one process: who it is, where it listens, and, where there are users, who may do what.
fn own_settings(id: usize, role: Role, ports: [u16; LISTENERS.len()], options: &Options, folder: &Path) -> String {
    let at = |which: &[usize]| {
        let all: Vec<_> = which.iter().map(|i| format!("{}://127.0.0.1:{}", LISTENERS[*i], ports[*i])).collect();
        all.join(",")
    };
    let users: &[usize] = if options.users.is_empty() { &[] } else { &[2] };
    let tls: &[usize] = if options.tls { &[3, 4] } else { &[] };
    let clients = [&[0], users, tls].concat();
    let (roles, listeners) = match role {
        Role::Broker => ("broker", clients.clone()),
        Role::Controller => ("controller", vec![1]),
        Role::Both => ("broker,controller", [&clients[..], &[1]].concat()),
    };
    let mut text = format!(
        "process.roles={roles}\nnode.id={id}\nlog.dirs={}/data\nlisteners={}\n",
        folder.display(),
        at(&listeners)
    );
    if role != Role::Controller {
        text.push_str(&format!("advertised.listeners={}\ninter.broker.listener.name=PLAINTEXT\n", at(&clients)));
    }
    if !options.users.is_empty() {
        text.push_str("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n");
        text.push_str("super.users=User:ANONYMOUS\nsasl.enabled.mechanisms=PLAIN\n");
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let known: Vec<_> = options.users.iter().map(|user| format!("user_{user}=\"{user}\"")).collect();
        let jaas = "listener.name.sasl_plaintext.plain.sasl.jaas.config";
        text.push_str(&format!("{jaas}={module} {};\n", known.join(" ")));
    }
    text
}

/// Waits for the end of this process or of the value, then kills what is left of the brokers and removes the folder.
#[derive(Debug)]
pub(crate) struct Guard {
    folder: PathBuf,
    shell: Child,
}

/// `$0` is the folder. Signals from a terminal reach it too, and must not end it before its work.
const GUARD: &str = r#"trap '' INT TERM HUP
read -r _
for file in "$0"/*/pid; do [ -f "$file" ] && kill -9 "$(cat "$file")"; done
rm -rf "$0""#;

impl Guard {
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("millstream-broker-").expect("make a folder for brokers").keep();
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD]).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.spawn().expect("start a shell");
        Self { folder, shell }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Whether all threads are stopped. `threads`: `/proc/PID/task`.
fn all_stopped(threads: &Path) -> bool {
    let stopped = |thread: std::io::Result<fs::DirEntry>| {
        let stat = thread.and_then(|thread| fs::read_to_string(thread.path().join("stat"))).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold any character. A thread that is gone is no hindrance.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    };
    fs::read_dir(threads).expect("the broker's threads can be seen").all(stopped)
}
