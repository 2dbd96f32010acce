//! `millstream produce`: lines of a file or of standard input to a topic, in bounded batches.
//!
//! Promised: each line once and in order, as long as the host comes back within `--retry-for`. A batch is written whole or
//! not at all. It carries this producer's name and a sequence, so one whose answer was lost is sent again and not written
//! again, also when the host was killed meanwhile. When the command fails, it says how many records are there.

mod input;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use millstream_web::access::random_hex;
use millstream_web::types::Appended;
use millstream_web::{Kind, NDJSON, Problem, RAW, RECORDS_BODY_BYTES_MAX, RECORDS_MAX};
use serde_json::json;
use ureq::http::Method;

use super::client::{ANSWER_TIME_MAX, Call, Client, Connection, Failure, finish, name, print_json};
use crate::config::units::time_ms;
use input::{Batches, Input};

/// Bytes of a batch after which it is sent; the line that passes it is still in it.
const BATCH_BYTES: usize = 1 << 20;

/// How long the first line of a batch waits for more.
const LINGER: Duration = Duration::from_millis(50);

/// Batches a second when a rate is asked for: often enough to look steady.
const RATE_BATCHES: f64 = 20.0;

/// First and longest pause before a batch is sent again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Arguments of `millstream produce`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream produce input-topic access.log\n  \
    tail -f app.log | millstream produce input-topic\n  \
    millstream produce users users.tsv --key-separator \"$(printf '\\t')\"\n\n\
    Each line once and in order, as long as the host comes back within --retry-for;\n\
    what was consumed as JSON lines can be produced again.\n\
    Exit codes: 0 all written; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// The topic
    #[arg(value_parser = name)]
    topic: String,
    /// File with the lines; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// What a line is
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// Raw lines: what stands before this is the key
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["json_lines"])]
    key_separator: Option<String>,
    /// The same as --format json
    #[arg(long)]
    json_lines: bool,
    /// Where all records go: a number, or `by-key` against what JSON lines say [default: as they say, else by key]
    #[arg(long, value_name = "N")]
    partition: Option<Partition>,
    /// Event time of records that have none: `now`, when they are written, milliseconds since 1970, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "now", allow_negative_numbers = true)]
    timestamp: Time,
    /// Records a second, at the most
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// Wait for more at the end of the file, as `tail -F` does
    #[arg(long)]
    follow: bool,
    /// Seconds that the host may be away
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    retry_for: u64,
    /// Print the count as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A value, every byte up to the newline
    Raw,
    /// `{key, value, timestamp, headers, partition}` as JSON
    Json,
}

impl Format {
    /// As the API says it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Json => "json",
        }
    }
}

/// A partition, as the API takes it.
#[derive(Clone, Debug)]
struct Partition(String);

impl std::str::FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text != "by-key" && text.parse::<u32>().is_err() {
            return Err("write a partition's number or `by-key`".into());
        }
        Ok(Self(text.into()))
    }
}

/// A time, as the API takes it.
#[derive(Clone, Debug)]
struct Time(String);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" || text.parse::<i64>().is_ok() {
            return Ok(Self(text.into()));
        }
        match time_ms(text) {
            Ok(ms) => Ok(Self(ms.to_string())),
            Err(_) => Err("write `now`, milliseconds since 1970, or a time such as 2024-05-01T12:00:00Z".into()),
        }
    }
}

/// Records a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate(f64);

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix("/s").unwrap_or(text).trim().parse() {
            Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(Self(rate)),
            _ => Err("write a number above 0, as in 1000/s".into()),
        }
    }
}

/// Runs `millstream produce`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(produce(args))
}

fn produce(args: &Args) -> anyhow::Result<ExitCode> {
    let input = Input::open(&args.file, args.follow)?;
    let bar = bar(input.bytes());
    let mut producer = Producer::new(args, &bar)?;
    let outcome = producer.all(input);
    bar.finish_and_clear();
    let (records, seconds) = (producer.records, producer.started.elapsed().as_secs_f64());
    let rate = records as f64 / seconds.max(1e-3);
    eprintln!("{records} records written to {} in {seconds:.1} s ({rate:.0} a second)", args.topic);
    outcome?;
    if args.json {
        print_json(&json!({ "topic": args.topic, "records": records, "seconds": seconds }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// On a terminal only: the library hides it elsewhere.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left{msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}{msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Lines to be sent together.
struct Batch<'a> {
    lines: &'a [u8],
    /// How many, with those that JSON passes over.
    count: u64,
    /// Number of the first line in the input, from 1.
    first: u64,
}

struct Producer<'a> {
    args: &'a Args,
    bar: &'a ProgressBar,
    client: Client,
    producer: String,
    sequence: u64,
    /// Records that are surely there.
    records: u64,
    started: Instant,
    /// When the next batch is due.
    due: Instant,
}

impl<'a> Producer<'a> {
    fn new(args: &'a Args, bar: &'a ProgressBar) -> anyhow::Result<Self> {
        let client = Client::find(&args.connection, None)?;
        // So that no two producers are taken for one.
        let producer = random_hex::<16>().context("make a name for the producer")?;
        let now = Instant::now();
        Ok(Self { args, bar, client, producer, sequence: 0, records: 0, started: now, due: now })
    }

    fn all(&mut self, input: Input) -> anyhow::Result<()> {
        let records_max = match self.args.rate {
            Some(Rate(rate)) => (rate / RATE_BATCHES).ceil().clamp(1.0, RECORDS_MAX as f64) as usize,
            None => RECORDS_MAX,
        };
        let mut batches = Batches::new(BATCH_BYTES, records_max, RECORDS_BODY_BYTES_MAX);
        let pieces = input.read()?;
        let (mut line, mut open_since) = (1, None);
        loop {
            let waited = match open_since {
                None => pieces.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => pieces.recv_timeout(LINGER.saturating_sub(Instant::elapsed(&since))),
            };
            let (rest, ended) = match waited {
                Ok(piece) => {
                    batches.add(&piece.context("read the input")?);
                    (false, false)
                }
                Err(RecvTimeoutError::Timeout) => (true, false),
                Err(RecvTimeoutError::Disconnected) => (true, true),
            };
            if ended {
                batches.end_line();
            }
            while let Some((lines, count)) = batches.next(rest).map_err(|why| self.at(line, &why))? {
                self.send(&Batch { lines, count, first: line })?;
                line += count;
            }
            if ended {
                return Ok(());
            }
            // A batch that was only begun waits for more, but not for long.
            open_since = if batches.has_lines() { open_since.filter(|_| !rest).or(Some(Instant::now())) } else { None };
        }
    }

    fn at(&self, line: u64, why: &str) -> anyhow::Error {
        anyhow::anyhow!("{}:{line}: {why}", self.args.file.display())
    }

    /// Sends a batch until the host has it.
    fn send(&mut self, batch: &Batch<'_>) -> anyhow::Result<()> {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        let deadline = Instant::now() + Duration::from_secs(self.args.retry_for);
        let (mut pause, longest) = RETRY_PAUSES;
        loop {
            let failure = match self.try_send(batch, &sequence) {
                Ok(appended) => {
                    self.records += appended.records;
                    self.bar.set_message("");
                    self.bar.inc(batch.lines.len() as u64);
                    self.pace(appended.records);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if !passes(&failure) || Instant::now() + pause > deadline {
                return Err(self.gave_up(failure, batch));
            }
            self.say_waiting(&failure);
            std::thread::sleep(pause);
            pause = longest.min(pause * 2);
            self.client.find_again();
        }
    }

    fn try_send(&self, batch: &Batch<'_>, sequence: &str) -> Result<Appended, Failure> {
        let args = self.args;
        let mut query =
            vec![("producer", self.producer.as_str()), ("sequence", sequence), ("timestamp", &args.timestamp.0)];
        query.extend(args.partition.as_ref().map(|partition| ("partition", partition.0.as_str())));
        query.extend(args.key_separator.as_deref().map(|separator| ("key-separator", separator)));
        let json = args.json_lines || args.format == Format::Json;
        self.client.json(&Call {
            method: Method::POST,
            path: &format!("/v1/topics/{}/records", args.topic),
            query: &query,
            body: Some((if json { NDJSON } else { RAW }, batch.lines)),
            time_max: ANSWER_TIME_MAX,
        })
    }

    /// Sets when the next batch is due. What was missed while the host was away is not made up for at once.
    fn pace(&mut self, records: u64) {
        if let Some(Rate(rate)) = self.args.rate {
            let late_max = Duration::from_secs_f64(2.0 / RATE_BATCHES);
            let from = self.due.max(Instant::now().checked_sub(late_max).unwrap_or(self.due));
            self.due = from + Duration::from_secs_f64(records as f64 / rate);
        }
    }

    fn say_waiting(&self, failure: &Failure) {
        let why = match failure {
            Failure::Told(problem) => problem.detail.clone(),
            other => other.to_string().lines().next().unwrap_or_default().to_string(),
        };
        self.bar.set_message(format!(" ({why}; trying again)"));
    }

    /// What is to be said of a batch that was not written, or of which it is not known.
    fn gave_up(&self, failure: Failure, batch: &Batch<'_>) -> anyhow::Error {
        let (first, last) = (batch.first, batch.first + batch.count - 1);
        match failure {
            Failure::Told(problem) => match problem.line {
                Some(line) => self.at(first + u64::from(line) - 1, said(&problem)),
                None => anyhow::Error::new(Failure::Told(problem)).context(format!("lines {first} to {last}")),
            },
            Failure::Broken { .. } => anyhow::Error::new(failure)
                .context(format!("whether lines {first} to {last} were written is not known; all before them were")),
            other => other.into(),
        }
    }
}

/// The detail without the line within its batch, which means nothing to the user.
fn said(problem: &Problem) -> &str {
    let detail = problem.detail.as_str();
    match detail.split_once(": ") {
        Some((line, rest)) if line.starts_with("line ") => rest,
        _ => detail,
    }
}

/// Whether the same batch may be sent again. That is safe always, since the host knows it; it is of use only here.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } | Failure::Broken { .. } => true,
        Failure::Told(problem) => problem.kind().is_some_and(|kind| kind.passes() || kind == Kind::BodySlow),
        Failure::Strange { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_a_second() {
        assert_eq!("1000/s".parse(), Ok(Rate(1000.0)));
        assert_eq!("0.5".parse(), Ok(Rate(0.5)));
        for wrong in ["", "0", "-1", "x", "NaN", "inf", "/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_now_or_milliseconds_or_a_text() {
        let time = |text: &str| text.parse::<Time>().map(|time| time.0);
        assert_eq!(time("now").unwrap(), "now");
        assert_eq!((time("5").unwrap(), time("-5").unwrap()), ("5".into(), "-5".into()));
        assert_eq!(time("2021-05-01T16:30:00+02:00").unwrap(), "1619879400000");
        for wrong in ["", "yesterday", "2021-05-01", "1.5"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_line_within_a_batch_is_left_out() {
        let problem = |detail: &str| Problem::new(Kind::BadRecord, detail);
        assert_eq!(said(&problem("line 3: column 2: x")), "column 2: x");
        assert_eq!(said(&problem("something: x")), "something: x");
    }
}
