//! `millstream consume`: records of a topic to standard output, all partitions merged, each in its order.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use millstream_web::record::WindowedKeys;
use millstream_web::types::Topic;
use millstream_web::{END_HEADER, Kind, NEXT_HEADER, RECORDS_HEADER, RECORDS_MAX};
use ureq::Body;
use ureq::http::{Method, Response};

use super::client::{ANSWER_TIME_MAX, Call, Client, Connection, Failure, WrongUse, finish, name, print};
use super::produce::Format;

/// How long one call waits for records, milliseconds.
const WAIT_MS: u64 = 10_000;

/// Records that one call asks for.
const CALL_RECORDS: u64 = 10_000;

/// Pause before a host that is away is called again.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// Arguments of `millstream consume`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream consume output-topic --windowed --follow\n  \
    millstream consume input-topic --format json --partition 0 --from 100 --max 10\n\n\
    Raw lines are the value, a null as `null`; JSON lines hold everything.\n\
    Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// The topic
    #[arg(value_parser = name)]
    topic: String,
    /// Where to begin: earliest, latest, an offset (with --partition), or PARTITION:OFFSET,…
    #[arg(long, value_name = "WHERE", default_value = "earliest")]
    from: From,
    /// One partition only
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// End after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Go on with what is written from now on, until interrupted
    #[arg(long)]
    follow: bool,
    /// How records are written
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// Raw lines: the key and this stand before the value
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Keys end in their window, in its start or in end and start of a session: show them readable, as KEY@TIME, or in JSON apart
    #[arg(long, value_name = "time|session", num_args = 0..=1, require_equals = true, default_missing_value = "time",
          default_value_t, hide_default_value = true)]
    windowed: WindowedKeys,
    /// Seconds that the host may be away once it has answered
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    retry_for: u64,
    #[command(flatten)]
    connection: Connection,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Earliest,
    Latest,
    Offset(i64),
    Places(String),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = |pair: &str| {
            pair.split_once(':').is_some_and(|(p, o)| p.parse::<u32>().is_ok() && o.parse::<u64>().is_ok())
        };
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            places if places.contains(':') && places.split(',').all(place) => Ok(Self::Places(places.into())),
            offset => match offset.parse() {
                Ok(offset @ 0..) => Ok(Self::Offset(offset)),
                _ => Err("write earliest, latest, an offset, or PARTITION:OFFSET,…".into()),
            },
        }
    }
}

/// Runs `millstream consume`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(consume(args))
}

fn consume(args: &Args) -> anyhow::Result<ExitCode> {
    let mut reader = Reader::new(args)?;
    let mut left = args.max.unwrap_or(u64::MAX);
    loop {
        let answer = reader.next(left)?;
        print(&answer.lines)?;
        left -= answer.records.min(left);
        if left == 0 || !args.follow && reader.at_end() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Offsets by partition.
type Places = Vec<(u32, i64)>;

struct Answer {
    lines: Vec<u8>,
    records: u64,
}

/// Reads a topic on and on.
struct Reader<'a> {
    args: &'a Args,
    client: Client,
    /// Where to go on; none before the first answer.
    next: Option<Places>,
    /// Where the topic ended at the first answer.
    end: Places,
    away_since: Option<Instant>,
}

impl<'a> Reader<'a> {
    fn new(args: &'a Args) -> anyhow::Result<Self> {
        match (&args.from, args.partition) {
            (From::Offset(offset), None) => {
                let said = format!("--from {offset} needs --partition N, or write it as PARTITION:OFFSET,…");
                return Err(WrongUse(said).into());
            }
            (From::Places(_), Some(_)) => {
                return Err(WrongUse("--from names partitions already; leave --partition out".into()).into());
            }
            _ => {}
        }
        let client = Client::find(&args.connection, None)?;
        Ok(Self { args, client, next: None, end: Vec::new(), away_since: None })
    }

    /// Whether all that was there at the first answer has been read.
    fn at_end(&self) -> bool {
        let next = self.next.as_deref().unwrap_or_default();
        self.end.iter().all(|(partition, end)| next.iter().any(|(p, at)| p == partition && at >= end))
    }

    /// The next records; none where there were none in the time that a call waits.
    fn next(&mut self, left: u64) -> anyhow::Result<Answer> {
        loop {
            match self.call(left) {
                Ok(mut answer) => match self.client.read(&mut answer) {
                    Ok(lines) => {
                        self.away_since = None;
                        return self.take(&answer, lines);
                    }
                    Err(failure) => self.wait_for_host(failure)?,
                },
                Err(Failure::Told(problem))
                    if problem.kind() == Some(Kind::OffsetOutOfRange) && self.next.is_some() =>
                {
                    self.skip_what_is_gone()?;
                }
                Err(failure) => self.wait_for_host(failure)?,
            }
        }
    }

    fn call(&self, left: u64) -> Result<Response<Body>, Failure> {
        let args = self.args;
        let offset = match &self.next {
            Some(places) => text(places),
            None => match &args.from {
                From::Earliest => "earliest".into(),
                From::Latest => "latest".into(),
                From::Offset(offset) => offset.to_string(),
                From::Places(places) => places.clone(),
            },
        };
        let max = left.min(CALL_RECORDS).min(RECORDS_MAX as u64).to_string();
        let wait = if args.follow { WAIT_MS.to_string() } else { "0".into() };
        let partition = args.partition.filter(|_| self.next.is_none()).map(|p| p.to_string());
        let format = if args.json { Format::Json } else { args.format };
        let mut query = vec![("offset", offset.as_str()), ("max", &max), ("wait-ms", &wait), ("format", format.name())];
        query.extend(partition.as_deref().map(|partition| ("partition", partition)));
        query.extend(args.key_separator.as_deref().map(|separator| ("key-separator", separator)));
        let windowed = args.windowed.to_string();
        if args.windowed != WindowedKeys::None {
            query.push(("windowed", &windowed));
        }
        self.client.call(&Call {
            method: Method::GET,
            path: &format!("/v1/topics/{}/records", args.topic),
            query: &query,
            body: None,
            time_max: ANSWER_TIME_MAX + Duration::from_millis(WAIT_MS),
        })
    }

    fn take(&mut self, answer: &Response<Body>, lines: Vec<u8>) -> anyhow::Result<Answer> {
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let places = |name: &str| header(name).and_then(places);
        let records = header(RECORDS_HEADER).and_then(|text| text.parse().ok());
        let (Some(records), Some(next), Some(end)) = (records, places(NEXT_HEADER), places(END_HEADER)) else {
            let why = "the answer has no headers that say where to go on".into();
            return Err(Failure::Strange { url: self.client.url().into(), why }.into());
        };
        if self.next.is_none() {
            self.end = end;
        }
        self.next = Some(next);
        Ok(Answer { lines, records })
    }

    /// Who follows waits for a host that is started anew; the places where to go on are here, so nothing is missed.
    fn wait_for_host(&mut self, failure: Failure) -> anyhow::Result<()> {
        let passes = match &failure {
            Failure::Unreachable { .. } | Failure::Broken { .. } => true,
            Failure::Told(problem) => problem.kind().is_some_and(Kind::passes),
            Failure::Strange { .. } => false,
        };
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if !passes || self.next.is_none() || since.elapsed() > Duration::from_secs(self.args.retry_for) {
            return Err(failure.into());
        }
        std::thread::sleep(AWAY_PAUSE);
        self.client.find_again();
        Ok(())
    }

    /// Retention was faster than the reader: says what is gone, and goes on with what there is.
    fn skip_what_is_gone(&mut self) -> anyhow::Result<()> {
        let topics: Vec<Topic> = self.client.get("/v1/topics", &[])?;
        let Some(topic) = topics.into_iter().find(|topic| topic.name == self.args.topic) else {
            bail!("the topic `{}` is gone", self.args.topic)
        };
        for (number, at) in self.next.iter_mut().flatten() {
            let Some(partition) = topic.partitions.iter().find(|p| p.partition == *number) else { continue };
            if *at < partition.start {
                let gone = partition.start - *at;
                eprintln!("partition {number}: {gone} records were deleted before they were read");
                *at = partition.start;
            } else if *at > partition.end {
                bail!(
                    "partition {number} ends at offset {}, before {at}: it is another topic of that name",
                    partition.end
                );
            }
        }
        Ok(())
    }
}

fn text(places: &Places) -> String {
    let pairs: Vec<String> = places.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
    pairs.join(",")
}

fn places(text: &str) -> Option<Places> {
    let pair = |pair: &str| {
        let (partition, offset) = pair.split_once(':')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    text.split(',').map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_words_offsets_or_places() {
        let from = |text: &str| text.parse::<From>();
        assert_eq!(from("earliest"), Ok(From::Earliest));
        assert_eq!(from("latest"), Ok(From::Latest));
        assert_eq!(from("12"), Ok(From::Offset(12)));
        assert_eq!(from("0:5,3:9"), Ok(From::Places("0:5,3:9".into())));
        for wrong in ["", "-1", "first", "0:", ":1", "0:1,", "0:-1", "a:1"] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_come_back() {
        let some = vec![(0, 5), (3, 9)];
        assert_eq!(places(&text(&some)), Some(some));
        assert_eq!(places("0:x"), None);
    }
}
