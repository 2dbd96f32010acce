//! The client commands of the built program against a server whose host is made up. Not what a real host answers.

#[path = "../../web/tests/http/fake.rs"]
mod fake;

mod finding;
mod functions;
mod records;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::Fake;
use millstream_web::{Access, Config, Server};

/// A host with a state directory.
struct Setup {
    dir: tempfile::TempDir,
    fake: Arc<Fake>,
    access: Access,
    server: Option<Server>,
}

/// What a command came to.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

/// The program, with nothing of this machine's settings.
fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.args(args).current_dir(folder).env_remove("MILLSTREAM_URL").env_remove("MILLSTREAM_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
fn run(mut command: Command, input: &[u8]) -> Outcome {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that does not read its input closes it early.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Waits for something, with a deadline.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let mut setup = Setup { dir, fake: Arc::default(), access, server: None };
    setup.start();
    setup
}

impl Setup {
    /// Starts the server, anew on another port.
    fn start(&mut self) {
        let config = Config::new("127.0.0.1:0".parse().unwrap(), self.access.token().clone());
        let server = Server::start(self.fake.clone(), config).unwrap();
        self.access.announce(&server.url()).unwrap();
        self.server = Some(server);
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn url(&self) -> String {
        self.server.as_ref().unwrap().url()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.path(), args);
        command.arg("--local").arg(self.path());
        command
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Outcome {
        run(self.command(args), input)
    }

    /// Runs a command that must go well; its output.
    fn ok(&self, args: &[&str], input: &[u8]) -> String {
        let outcome = self.run(args, input);
        assert_eq!(outcome.code, 0, "{args:?}: {outcome:?}");
        outcome.out
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Values of a partition, as text.
    fn values(&self, topic: &str, partition: usize) -> Vec<String> {
        let text = |bytes: Option<Vec<u8>>| bytes.map_or("(none)".into(), |b| String::from_utf8(b).unwrap());
        self.fake.records(topic, partition).into_iter().map(|r| text(r.value)).collect()
    }
}
