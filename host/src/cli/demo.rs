//! The access-log example: lines stream in, counts come out as windows close, and a function can be changed under it.
//! With `--script` it plays the whole story by itself, checks what came out, and ends.
//!
//! Nothing is special about the pipeline: manifest and functions are written to its folder and run as a user's would be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::Durability;
use millstream_local::{Append, Log};

use super::generate::{Lines, Shape};
use super::{load, log, run};
use crate::runtime::Host;
use crate::runtime::folder::Folder;
use crate::runtime::worker::wall_ms;

/// The access-log example, running, with a function to change under it.
///
/// Lines such as `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login` stream into the topic `input-topic`; windows of
/// ten seconds of event time count them by address, and each count is shown when its window closes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: millstream demo --script\n\nExit codes: 0 ended as asked, and with --script every result was right; 1 failed; 2 the command line is wrong."
)]
pub struct Args {
    /// Plays the whole story by itself, checks the results, and ends
    #[arg(long)]
    script: bool,
    /// Keeps topics and state in this folder; without it a temporary one is used, and removed at the end
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7070; with --script any free port]
    #[arg(long, value_name = "ADDRESS", value_parser = run::address)]
    listen: Option<SocketAddr>,
    /// Lines a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
}

/// Manifest and functions, part of the program: no file and no toolchain is needed.
const MANIFEST: &str = include_str!("../../demo/access-counts.yaml");
const FILES: [(&str, &[u8]); 3] = [
    ("only-ip.wasm", include_bytes!("../../../udfs/prebuilt/only-ip.wasm")),
    ("extract-ip.wasm", include_bytes!("../../../udfs/prebuilt/extract-ip.wasm")),
    (MASKED, include_bytes!("../../../udfs/prebuilt/extract-ip-masked.wasm")),
];
/// The other version of `extract-ip`: its key is the /24 network.
const MASKED: &str = "extract-ip-masked.wasm";
/// Where the manifest in the repository finds the functions; here they stand beside it.
const IN_REPOSITORY: &str = "../../udfs/prebuilt/";

const INPUT: &str = "input-topic";
const OUTPUT: &str = "output-topic";
const FUNCTION: &str = "access-counts/extract-ip";
/// Length of the manifest's windows, milliseconds.
const WINDOW_MS: i64 = 10_000;

/// Event time goes by so much faster than the clock, so that windows of ten seconds close every two.
const TIME_FACTOR: u32 = 5;
/// The same for the script, which nobody watches.
const TIME_FACTOR_SCRIPT: u32 = 50;
/// Seconds that each chapter of the script may take.
const CHAPTER_SECONDS_MAX: u64 = 60;
/// Pause between two pieces of lines.
const PIECE: Duration = Duration::from_millis(50);

/// Runs the command.
///
/// # Errors
/// In words for the user.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log::start(log::Format::Text, if args.script { "error" } else { "warn" })?;
    let temporary = tempfile::Builder::new().prefix("millstream-demo-").tempdir().context("make a temporary folder")?;
    let folder = args.local.clone().unwrap_or_else(|| temporary.path().join("state"));
    let files = args.local.as_ref().map_or_else(|| temporary.path().to_path_buf(), |local| local.join("demo"));
    write_files(&files)?;
    let pipeline = load::pipeline(&files.join("access-counts.yaml"), true)?;
    let default = if args.script { "127.0.0.1:0" } else { run::ADDRESS_DEFAULT };
    let address = args.listen.map_or_else(|| default.parse(), Ok)?;
    let running =
        run::Running::start(pipeline, Folder::open(&folder)?, &run::Listen::on(address), run::Means::default())?;
    let factor = if args.script { TIME_FACTOR_SCRIPT } else { TIME_FACTOR };
    let demo =
        Demo { host: running.host.clone(), files, folder, feeder: Feeder::start(&running.host, args.rate, factor)? };
    let outcome = if args.script { demo.script() } else { demo.watch(&running) };
    let fed = demo.feeder.stop();
    running.stop();
    outcome.and(fed).map(|()| ExitCode::SUCCESS)
}

fn write_files(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let manifest = MANIFEST.replace(IN_REPOSITORY, "");
    let all = FILES.iter().copied().chain([("access-counts.yaml", manifest.as_bytes())]);
    for (name, bytes) in all {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The running example.
struct Demo {
    host: Arc<Host>,
    files: PathBuf,
    folder: PathBuf,
    feeder: Feeder,
}

impl Demo {
    fn program() -> anyhow::Result<PathBuf> {
        std::env::current_exe().context("find this program")
    }

    /// Shows results until the user ends it.
    fn watch(&self, running: &run::Running) -> anyhow::Result<()> {
        let (program, folder) = (Self::program()?, self.folder.display().to_string());
        let masked = self.files.join(MASKED);
        println!(
            "Access-log lines stream into `{INPUT}`; each count is shown when its window of ten seconds closes.\n\
             Event time runs {TIME_FACTOR} times faster than the clock.\n\n\
             Change a function under it, from a second terminal (addresses become networks, at the next commit):\n\n  \
             {program} deploy {FUNCTION} {masked} --local {folder}\n\n\
             Go back, and see which version handled what:\n\n  \
             {program} rollback {FUNCTION} --local {folder}\n  \
             {program} history {FUNCTION} --local {folder}\n\n\
             Manifest: {manifest}    HTTP: {url}    Ctrl-C ends it.\n",
            program = program.display(),
            masked = masked.display(),
            manifest = self.files.join("access-counts.yaml").display(),
            url = running.url,
        );
        let mut results = Results::new(self.host.storage.log.clone());
        let mut version = self.version();
        while !running.asked_to_stop() {
            for (window, counts) in results.next(Duration::from_millis(200))? {
                show(window, &counts);
            }
            let now = self.version();
            if now != version {
                println!("── extract-ip: version {now} is in force ──");
                version = now;
            }
            self.feeder.check()?;
        }
        println!("\n{} lines were counted; the commands above work while it runs.", self.feeder.lines());
        Ok(())
    }

    fn version(&self) -> u64 {
        self.host.fleet.in_force("extract-ip").map_or(0, |activation| activation.number)
    }

    /// The whole story: windows by address, a swap, windows by network, history, back, windows by address.
    fn script(&self) -> anyhow::Result<()> {
        let mut results = Results::new(self.host.storage.log.clone());
        let mut all = Windows::new();
        println!("1. Lines stream in; counts by address come out as windows close.");
        self.until(&mut results, &mut all, |key| !key.ends_with("/24"))?;
        println!("\n2. Another version of `extract-ip` is deployed: its key is the network.");
        self.client(&["deploy", FUNCTION, &self.files.join(MASKED).to_string_lossy()])?;
        self.until(&mut results, &mut all, |key| key.ends_with("/24"))?;
        println!("\n3. Back to the version before.");
        self.client(&["rollback", FUNCTION])?;
        self.until(&mut results, &mut all, |key| !key.ends_with("/24"))?;
        println!("\n4. Which version handled which records:");
        self.client(&["history", FUNCTION])?;
        let (windows, lines) = self.compare(&mut results, &mut all)?;
        println!("\n5. {windows} windows hold exactly the {lines} lines of a plain count: none lost, none doubled.");
        Ok(())
    }

    /// Shows windows until some have only keys of the wanted kind.
    fn until(&self, results: &mut Results, all: &mut Windows, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        const WINDOWS: usize = 3;
        let (started, mut seen) = (Instant::now(), BTreeSet::new());
        while seen.len() < WINDOWS {
            ensure!(
                started.elapsed() < Duration::from_secs(CHAPTER_SECONDS_MAX),
                "no window of the kind expected came out within {CHAPTER_SECONDS_MAX} s"
            );
            self.feeder.check()?;
            let windows = results.next(Duration::from_millis(100))?;
            for (window, counts) in &windows {
                show(*window, counts);
                if counts.keys().all(|key| wanted(key)) {
                    seen.insert(*window);
                }
            }
            add(all, windows)?;
        }
        Ok(())
    }

    /// Runs a client command as a user would, from outside.
    fn client(&self, args: &[&str]) -> anyhow::Result<()> {
        println!("   $ millstream {}", args.join(" "));
        std::io::stdout().flush().context("write to standard output")?;
        let status = Command::new(Self::program()?).args(args).arg("--local").arg(&self.folder).status()?;
        ensure!(status.success(), "millstream {} ended with {status}", args.join(" "));
        Ok(())
    }

    /// Sums over keys do not depend on versions: those of closed windows must become those of a plain count of the lines.
    fn compare(&self, results: &mut Results, windows: &mut Windows) -> anyhow::Result<(usize, u64)> {
        // Parts of a window come from several tasks, shortly one behind the other; the newest windows are left out.
        let last = windows.keys().max().context("no window came out")? - 3 * WINDOW_MS;
        let expected = self.counted(last)?;
        let started = Instant::now();
        loop {
            add(windows, results.next(Duration::from_millis(100))?)?;
            let closed = windows.range(..=last);
            let got: BTreeMap<i64, u64> = closed.map(|(start, counts)| (*start, counts.values().sum())).collect();
            if got == expected {
                return Ok((got.len(), got.values().sum()));
            }
            ensure!(
                started.elapsed() < Duration::from_secs(CHAPTER_SECONDS_MAX),
                "counts differ from a plain count of the lines:\n{got:?}\n{expected:?}"
            );
        }
    }

    /// Lines with an address by window, up to the window that starts at `last`.
    fn counted(&self, last: i64) -> anyhow::Result<BTreeMap<i64, u64>> {
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for line in Lines::new(self.feeder.shape).take(usize::try_from(self.feeder.lines())?) {
            if line.contains("IP:") {
                let time: Timestamp = format!("{}T{}Z", &line[1..11], &line[12..20]).parse()?;
                *counts.entry(time.as_millisecond() / WINDOW_MS * WINDOW_MS).or_default() += 1;
            }
        }
        counts.retain(|start, _| *start <= last);
        Ok(counts)
    }
}

/// Counts by window start, then key.
type Windows = BTreeMap<i64, BTreeMap<String, u64>>;

fn show(window: i64, counts: &BTreeMap<String, u64>) {
    let clock =
        |ms: i64| Timestamp::from_millisecond(ms).map(|t| t.strftime("%H:%M:%S").to_string()).unwrap_or_default();
    let counts: Vec<String> = counts.iter().map(|(key, count)| format!("{key} {count}")).collect();
    println!("   {}–{}  {}", clock(window), clock(window + WINDOW_MS), counts.join("   "));
}

/// Adds results; one that came out twice is an error.
fn add(all: &mut Windows, windows: Windows) -> anyhow::Result<()> {
    for (window, counts) in windows {
        let known = all.entry(window).or_default();
        for (key, count) in counts {
            if known.insert(key.clone(), count).is_some() {
                bail!("the window that begins at {window} came out twice for {key}");
            }
        }
    }
    Ok(())
}

/// Follows the output topic.
struct Results {
    log: Arc<Log>,
    offsets: Vec<i64>,
}

impl Results {
    fn new(log: Arc<Log>) -> Self {
        let partitions = log.topic(OUTPUT).map_or(0, |topic| topic.partitions);
        let offsets = (0..partitions).map(|p| log.end_offset(OUTPUT, p).unwrap_or(0)).collect();
        Self { log, offsets }
    }

    /// What has come since the last call; waits for a while where nothing has.
    fn next(&mut self, patience: Duration) -> anyhow::Result<Windows> {
        let (generation, mut windows) = (self.log.generation(), Windows::new());
        for (partition, offset) in (0..).zip(&mut self.offsets) {
            let batch = self.log.read(OUTPUT, partition, *offset, 1 << 20)?.batch;
            *offset += batch.len() as i64;
            for i in 0..batch.len() {
                let key = batch.keys.get(i).and_then(|key| key.split_last_chunk::<8>());
                let (key, start) = key.context("a result without a windowed key")?;
                let key = String::from_utf8_lossy(key).into_owned();
                let count = std::str::from_utf8(batch.values.get(i).context("a result without a count")?)?;
                windows.entry(i64::from_be_bytes(*start)).or_default().insert(key, count.parse()?);
            }
        }
        if windows.is_empty() {
            self.log.wait(generation, patience);
        }
        Ok(windows)
    }
}

/// Writes lines at a steady pace.
struct Feeder {
    shape: Shape,
    stop: Arc<AtomicBool>,
    lines: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Addresses of the example's lines.
const ADDRESSES: u32 = 6;
/// How far lines are out of order, milliseconds of event time.
const DISORDER_MS: u32 = 1_500;

impl Feeder {
    /// `rate` lines a second of the clock; event time runs `factor` times faster.
    fn start(host: &Host, rate: u32, factor: u32) -> anyhow::Result<Self> {
        let per_second = (rate / factor).max(1);
        let shape = Shape { seed: 1, addresses: ADDRESSES, per_second, disorder_ms: DISORDER_MS };
        let (stop, lines) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (log, stop_seen, counted) = (host.storage.log.clone(), stop.clone(), lines.clone());
        let partitions = log.topic(INPUT).context("there is no input topic")?.partitions;
        let thread = std::thread::Builder::new().name("feeder".into()).spawn(move || {
            let (mut lines, started) = (Lines::new(shape), Instant::now());
            while !stop_seen.load(Ordering::Relaxed) {
                let due = started.elapsed().as_millis() as u64 * u64::from(rate) / 1_000;
                let mut pieces: Vec<BatchBuilder> = (0..partitions).map(|_| BatchBuilder::default()).collect();
                let before = counted.load(Ordering::Relaxed);
                for number in before..due {
                    let line = lines.next().context("lines do not end")?;
                    let partition = (number % u64::from(partitions)) as usize;
                    pieces[partition].push(None, Some(line.as_bytes()), wall_ms(), []);
                }
                let full = (0..).zip(pieces).filter(|(_, piece)| !piece.is_empty());
                let appends: Vec<Append> = full
                    .map(|(partition, piece)| Append { topic: INPUT.into(), partition, batch: piece.finish() })
                    .collect();
                if !appends.is_empty() {
                    log.append(appends, Vec::new(), Durability::Process).context("write lines")?;
                }
                counted.store(due.max(before), Ordering::Relaxed);
                std::thread::sleep(PIECE);
            }
            Ok(())
        })?;
        Ok(Self { shape, stop, lines, thread: Some(thread) })
    }

    /// Lines written so far.
    fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// An error where the thread has ended by itself.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.thread.as_ref().is_some_and(|t| !t.is_finished()), "lines could not be written any more");
        Ok(())
    }

    fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => bail!("the thread that writes lines panicked"),
        }
    }
}
