//! The built program as a child process: started, asked, killed, stopped; its log searched for surprises.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::eventually;

/// Seconds within which a host answers after its start. Generous: CI machines are busy.
const START_SECONDS: u64 = 180;

/// Seconds within which a host ends once it is asked to.
const STOP_SECONDS: u64 = 30;

/// How long a command may take.
const RUN_MAX: Duration = Duration::from_secs(300);

/// The program, built by cargo beside whatever runs this.
///
/// # Panics
/// When it is not there: `cargo test` builds it, `cargo run` of a bench needs `cargo build -p millstream-tests --bins`.
pub fn program() -> PathBuf {
    const NAME: &str = "millstream-under-test";
    let own = std::env::current_exe().expect("this program has a path");
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(NAME)).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!("no {NAME} beside {}; build it: cargo build -p millstream-tests --bins", own.display())
    })
}

/// Runs a command of the program to its end. One that has not ended after [`RUN_MAX`] is killed, which its status tells.
///
/// # Panics
/// When it cannot be started.
pub fn run(args: &[&str]) -> Output {
    run_with(args, &[])
}

/// As [`run`], with variables of the environment.
///
/// # Panics
/// See [`run`].
pub fn run_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("start the program");
    let pid = Pid::from_child(&child);
    thread::scope(|scope| {
        let (ended, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(RUN_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                // One that ends at this very moment is all the same.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("wait for the program");
        drop(ended);
        output
    })
}

/// Where the sample functions are, as `./x test` builds them.
///
/// # Panics
/// When `./x` did not say where.
pub fn functions() -> PathBuf {
    let folder = std::env::var_os("MILLSTREAM_UDFS").expect("MILLSTREAM_UDFS is not set: run the tests by ./x test");
    PathBuf::from(folder)
}

/// A running host.
pub struct Host {
    child: Child,
    /// Its folder.
    pub folder: PathBuf,
    /// Where it listens.
    pub url: String,
    log: PathBuf,
}

impl Host {
    /// Starts a host on a manifest and a folder, and waits until it answers; not until it is ready.
    ///
    /// # Panics
    /// When it ends instead of answering: with its log.
    pub fn start(manifest: &Path, folder: &Path, more: &[&str]) -> Self {
        Self::launch(manifest, "--local", folder, more, &[])
    }

    /// Starts a host of a pipeline on Kafka with a state directory, and waits until it answers.
    ///
    /// # Panics
    /// See [`Host::start`].
    pub fn on_kafka(manifest: &Path, folder: &Path, more: &[&str]) -> Self {
        Self::on_kafka_with(manifest, folder, more, &[])
    }

    /// As [`Host::on_kafka`], with variables of the environment.
    ///
    /// # Panics
    /// See [`Host::start`].
    pub fn on_kafka_with(manifest: &Path, folder: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(manifest, "--state-dir", folder, more, variables)
    }

    fn launch(manifest: &Path, option: &str, folder: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        fs::create_dir_all(folder).expect("make the folder");
        let (log, told) = (folder.with_extension("log"), folder.join("url"));
        let _ = fs::remove_file(&told);
        let lines = File::options().create(true).append(true).open(&log).expect("open the log");
        let mut child = Command::new(program())
            .arg("run")
            .arg(manifest)
            .arg(option)
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(more)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(lines.try_clone().expect("share the log"))
            .stderr(lines)
            .spawn()
            .expect("start the host");
        let url = eventually("the host says where it listens", START_SECONDS, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the host ended with {status}:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            let url = fs::read_to_string(&told).map_err(|error| error.to_string())?;
            let url = url.trim().to_string();
            ureq::get(format!("{url}/healthz")).call().map(|_| url).map_err(|error| error.to_string())
        });
        Self { child, folder: folder.to_path_buf(), url, log }
    }

    /// Starts a host, and waits until its tasks run.
    ///
    /// # Panics
    /// See [`Host::start`]; when it is not ready in time.
    pub fn ready(manifest: &Path, folder: &Path, more: &[&str]) -> Self {
        let host = Self::start(manifest, folder, more);
        eventually("the host is ready", START_SECONDS, || {
            ureq::get(format!("{}/readyz", host.url)).call().map(|_| ()).map_err(|error| error.to_string())
        });
        host
    }

    /// What a reading path answers.
    ///
    /// # Errors
    /// When the host does not answer, or with a problem.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let answer = ureq::get(format!("{}{path}", self.url)).config().timeout_global(Some(Duration::from_secs(10)));
        let mut answer = answer.build().call().map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }

    /// Runs a client command against this host.
    pub fn cli(&self, args: &[&str]) -> Output {
        let folder = self.folder.to_string_lossy();
        run(&[args, &["--local", &folder]].concat())
    }

    /// The same; what it printed.
    ///
    /// # Panics
    /// When it fails: with what it said.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?} ended with {}: {said}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it without a warning, as `kill -9` does.
    pub fn kill(mut self) {
        self.kill_now();
    }

    /// As [`Host::kill`], for one that is about to be replaced.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill_now(&mut self) {
        self.child.kill().expect("kill the host");
        self.child.wait().expect("wait for the host");
    }

    /// Asks it to end, as a service manager does, and waits for it.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("ask the host to stop");
        eventually("the host ends", STOP_SECONDS, || {
            self.child.try_wait().map_err(|e| e.to_string())?.ok_or_else(|| "it runs".to_string())
        })
    }

    /// Lines of its log, of all hosts that ran on this folder, at level WARN or ERROR that hold none of `expected`.
    pub fn surprises(&self, expected: &[&str]) -> Vec<String> {
        surprises(&self.log, expected)
    }
}

/// What a host said to a reading call, whatever its status.
#[derive(Clone, Debug)]
pub struct Said {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
    /// Where it sends to instead.
    pub location: Option<String>,
}

/// Asks at an address, and follows nothing.
///
/// # Errors
/// When nobody answers there, or not with JSON.
pub fn ask(url: &str) -> Result<Said, String> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
    let agent = ureq::Agent::new_with_config(config.timeout_global(Some(Duration::from_secs(10))).build());
    let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
    let location = answer.headers().get("location").and_then(|at| at.to_str().ok()).map(str::to_string);
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let body = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    Ok(Said { status, body, location })
}

/// See [`Host::surprises`].
pub fn surprises(log: &Path, expected: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let loud = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"") || line.contains("panicked");
    let known = |line: &&str| expected.iter().any(|part| line.contains(part));
    text.lines().filter(loud).filter(|line| !known(line)).map(str::to_string).collect()
}

impl Drop for Host {
    fn drop(&mut self) {
        // Of a test that failed; one that passed has ended its host.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
