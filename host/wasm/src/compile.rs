//! Compiling in a child process, from both sides: compiling is work that a component chooses the amount of, so it has its
//! own process with limits on time and memory, and what passes them ends without harm. Where the result is kept is `cache`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use crate::engine::{Purpose, engine, fingerprint};
use crate::limits::{MESSAGE_BYTES_MAX, cut, size};

/// Exit status of a child whose component cannot be compiled; its standard error says why.
const EXIT_REFUSED: u8 = 3;

/// How often the parent looks whether the child has ended.
const POLL: Duration = Duration::from_millis(2);

/// Bytes of compiled code at the most.
pub const CODE_BYTES_MAX: u64 = 1 << 30;

/// The lowest priority there is: the workers go first.
const NICE: i32 = 19;

/// The program that compiles: a child process is started with these arguments and must call [`compile_child`].
#[derive(Clone, Debug)]
pub struct Compiler {
    /// Usually the host's own program.
    pub program: PathBuf,
    /// Usually the name of a hidden subcommand.
    pub args: Vec<OsString>,
}

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time, seconds.
    pub cpu_s: u64,
    /// Wall time, seconds.
    pub wall_s: u64,
    /// Addresses of the compiling process, bytes: bounds its memory.
    pub address_space_bytes: u64,
}

impl Default for CompileLimits {
    /// Several times what the largest known guests take: Python's 18 MB need 8 s of CPU time and 360 MiB.
    fn default() -> Self {
        Self { cpu_s: 60, wall_s: 300, address_space_bytes: 2 << 30 }
    }
}

/// What is to be compiled, for whom, and what that may take.
pub(crate) struct Job<'a> {
    pub(crate) component: &'a [u8],
    /// Fingerprint of the engine that will run it.
    pub(crate) engine: &'a str,
    pub(crate) limits: CompileLimits,
}

/// Why there is no compiled code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompileError {
    /// It is the component's fault.
    Component(String),
    /// It is the machine's or the installation's.
    Host(String),
}

impl CompileError {
    fn host(what: &str, error: impl std::fmt::Display) -> Self {
        CompileError::Host(format!("{what}: {error}"))
    }
}

impl Compiler {
    /// Compiles into `code`, an empty file.
    pub(crate) fn compile(&self, job: &Job<'_>, code: &File) -> Result<(), CompileError> {
        let limits = job.limits;
        // Files, not pipes: nobody waits for anybody, whatever the sizes.
        let input = (|| {
            let mut input = tempfile::tempfile()?;
            input.write_all(job.component)?;
            input.rewind()?;
            Ok::<_, std::io::Error>(input)
        })();
        let input = input.map_err(|e| CompileError::host("write the component to a temporary file", e))?;
        let mut told = tempfile::tempfile().map_err(|e| CompileError::host("make a temporary file", e))?;
        let clone = |file: &File| file.try_clone().map_err(|e| CompileError::host("share a file", e));
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.env(CPU, limits.cpu_s.to_string()).env(ADDRESSES, limits.address_space_bytes.to_string());
        command.env(ENGINE, job.engine);
        command.stdin(input).stdout(Stdio::from(clone(code)?)).stderr(Stdio::from(clone(&told)?));
        let what = || format!("start the compiler {}", self.program.display());
        let mut child = command.spawn().map_err(|e| CompileError::host(&what(), e))?;
        let deadline = Instant::now() + Duration::from_secs(limits.wall_s);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
                Ok(None) => {
                    let killed = child.kill().and_then(|()| child.wait());
                    killed.map_err(|e| CompileError::host("end the compiler", e))?;
                    let wall = limits.wall_s;
                    return Err(CompileError::Component(format!(
                        "compiling it takes longer than the limit of {wall} s"
                    )));
                }
                Err(e) => return Err(CompileError::host("wait for the compiler", e)),
            }
        };
        let mut text = Vec::new();
        let read = told.rewind().and_then(|()| told.take(4 * MESSAGE_BYTES_MAX as u64).read_to_end(&mut text));
        read.map_err(|e| CompileError::host("read what the compiler said", e))?;
        let said = String::from_utf8_lossy(&text);
        verdict(status, said.trim(), limits)?;
        match code.metadata() {
            Ok(about) if about.len() > 0 => Ok(()),
            Ok(_) => Err(CompileError::Host(format!("the compiler gave no code: {}", said.trim()))),
            Err(e) => Err(CompileError::host("look at compiled code", e)),
        }
    }
}

/// What the child's end means.
fn verdict(status: ExitStatus, said: &str, limits: CompileLimits) -> Result<(), CompileError> {
    let memory = || {
        let limit = size(limits.address_space_bytes);
        CompileError::Component(format!("compiling it takes more memory than the limit of {limit}"))
    };
    let signal = status.signal().and_then(Signal::from_named_raw);
    let mut said = said.to_string();
    cut(&mut said, MESSAGE_BYTES_MAX);
    match (status.code(), signal) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(EXIT_REFUSED) => {
            Err(CompileError::Component(format!("it does not compile: {said}")))
        }
        (_, Some(Signal::XCPU)) => {
            let limit = limits.cpu_s;
            Err(CompileError::Component(format!("compiling it takes more CPU time than the limit of {limit} s")))
        }
        (_, Some(Signal::XFSZ)) => {
            Err(CompileError::Component(format!("its compiled code is larger than {}", size(CODE_BYTES_MAX))))
        }
        (_, Some(Signal::ABORT)) if said.contains("memory allocation") => Err(memory()),
        _ if said.contains("Cannot allocate memory") => Err(memory()),
        _ => Err(CompileError::Host(format!("the compiler ended with {status}: {said}"))),
    }
}

const CPU: &str = "MILLSTREAM_COMPILE_CPU_S";
const ENGINE: &str = "MILLSTREAM_COMPILE_ENGINE";
const ADDRESSES: &str = "MILLSTREAM_COMPILE_ADDRESS_SPACE_BYTES";

/// The child's part: a component on standard input, its compiled code on standard output. What the hidden subcommand
/// that [`Compiler`] names has to call, before it starts any thread and with nothing else on standard output.
pub fn compile_child() -> ExitCode {
    match child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            match error {
                ChildError::Component(_) => ExitCode::from(EXIT_REFUSED),
                ChildError::Host(_) => ExitCode::FAILURE,
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("{0}")]
    Component(String),
    #[error("{0}")]
    Host(String),
}

fn child() -> Result<(), ChildError> {
    let host = |what: &str, error: &dyn std::fmt::Display| ChildError::Host(format!("{what}: {error}"));
    bind_to_limits().map_err(|e| host("set the limits of the compiling process", &e))?;
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component).map_err(|e| host("read the component", &e))?;
    let engine = engine(Purpose::Compile).map_err(|e| host("make the engine", &e))?;
    if std::env::var(ENGINE).is_ok_and(|wanted| wanted != fingerprint(&engine)) {
        let why = "the program that compiles functions is another one than the host: it has other settings or another version";
        return Err(ChildError::Host(why.to_string()));
    }
    // On some components the compiler gives up by a panic; that is about the component, and this process does nothing else.
    std::panic::set_hook(Box::new(|_| {}));
    let compiled = std::panic::catch_unwind(AssertUnwindSafe(|| engine.precompile_component(&component)));
    let code = match compiled {
        Ok(compiled) => compiled.map_err(|e| ChildError::Component(format!("{e:#}")))?,
        Err(panic) => return Err(ChildError::Component(gave_up(panic.as_ref()))),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&code).and_then(|()| out.flush()).map_err(|e| host("write the compiled code", &e))
}

/// Why the compiler gave up, in words.
fn gave_up(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the compiler gives up on it: {}", text.unwrap_or("it does not say why"))
}

fn bind_to_limits() -> std::io::Result<()> {
    let number = |name: &str| {
        let text = std::env::var(name).map_err(|_| std::io::Error::other(format!("{name} is not set")))?;
        text.parse::<u64>().map_err(|e| std::io::Error::other(format!("{name}: {e}")))
    };
    let (cpu, addresses) = (number(CPU)?, number(ADDRESSES)?);
    let limit = |soft, hard| Rlimit { current: Some(soft), maximum: Some(hard) };
    // The soft limit's signal tells the parent what happened; the hard one ends what would ignore it.
    setrlimit(Resource::Cpu, limit(cpu, cpu + 1))?;
    setrlimit(Resource::As, limit(addresses, addresses))?;
    setrlimit(Resource::Fsize, limit(CODE_BYTES_MAX, CODE_BYTES_MAX))?;
    setrlimit(Resource::Core, limit(0, 0))?;
    rustix::process::nice(NICE)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Whether a program is where [`Compiler`] says, for errors at the start instead of at the first function.
pub(crate) fn program_exists(program: &Path) -> bool {
    program.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: i32, said: &str) -> Result<(), CompileError> {
        verdict(ExitStatus::from_raw(status), said, CompileLimits { cpu_s: 1, wall_s: 2, address_space_bytes: 3 << 20 })
    }

    #[test]
    fn a_compiler_that_panics_is_quoted() {
        let of = |f: fn()| gave_up(std::panic::catch_unwind(f).unwrap_err().as_ref());
        assert_eq!(of(|| panic!("no good")), "the compiler gives up on it: no good");
        let made = || panic!("no {}", std::hint::black_box("good"));
        assert_eq!(of(made), "the compiler gives up on it: no good");
        assert_eq!(of(|| std::panic::panic_any(1)), "the compiler gives up on it: it does not say why");
    }

    #[test]
    fn the_childs_end_is_understood() {
        let component = |text: &str| Err(CompileError::Component(text.to_string()));
        assert_eq!(of(0, ""), Ok(()));
        assert_eq!(of(3 << 8, "no good"), component("it does not compile: no good"));
        assert_eq!(of(24, ""), component("compiling it takes more CPU time than the limit of 1 s"));
        assert_eq!(of(25, ""), component("its compiled code is larger than 1 GiB"));
        let memory = component("compiling it takes more memory than the limit of 3 MiB");
        assert_eq!(of(6, "memory allocation of 65536 bytes failed"), memory);
        assert_eq!(of(1 << 8, "Cannot allocate memory (os error 12)"), memory);
        let Err(CompileError::Host(why)) = of(101 << 8, "thread panicked") else { panic!("the host's fault") };
        assert_eq!(why, "the compiler ended with exit status: 101: thread panicked");
    }
}
