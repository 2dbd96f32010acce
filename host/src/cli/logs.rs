//! `millstream logs`: the lines that functions wrote on a running host.

use std::process::ExitCode;
use std::time::Duration;

use millstream_web::LEVELS;
use millstream_web::api::inside::{LOG_LINES_DEFAULT, LOG_LINES_MAX};
use millstream_web::record::Time;
use millstream_web::types::inside::{LogLine, Logs, RecordAt, Records};

use super::client::{Client, Connection, Failure, finish, name, print, print_json};

/// How often a host is asked for more.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `millstream logs`.
///
/// A host keeps the last 1,000 lines of each version. Where a pipeline has several hosts each one has its own.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream logs access-counts\n  \
    millstream logs access-counts/extract-ip --level warn --follow\n\n\
    Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// The pipeline, or one function of it
    #[arg(value_name = "PIPELINE[/FUNCTION]")]
    of: Of,
    /// Of the version with this number
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// No less important than this
    #[arg(long, value_name = "LEVEL", value_parser = LEVELS)]
    level: Option<String>,
    /// How many of the last lines
    #[arg(long, value_name = "N", default_value_t = LOG_LINES_DEFAULT as u16,
          value_parser = clap::value_parser!(u16).range(1..=LOG_LINES_MAX as i64))]
    lines: u16,
    /// Goes on with what comes, until it is stopped
    #[arg(long, short)]
    follow: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A pipeline, perhaps with one of its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Of {
    pipeline: String,
    function: Option<String>,
}

impl std::str::FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((pipeline, function)) => Ok(Self { pipeline: name(pipeline)?, function: Some(name(function)?) }),
            None => Ok(Self { pipeline: name(text)?, function: None }),
        }
    }
}

/// Runs `millstream logs`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(logs(args))
}

fn logs(args: &Args) -> anyhow::Result<ExitCode> {
    let mut client = Client::find(&args.connection, Some(&args.of.pipeline))?;
    let limit = args.lines.to_string();
    let mut told = ask(&client, args, &[("limit", &limit)])?;
    if told.lines.is_empty() && !args.follow {
        eprintln!("no such lines are kept on {}", client.url());
    }
    show(args, &told.lines)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let most = LOG_LINES_MAX.to_string();
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        told = match ask(&client, args, &[("limit", &most), ("after", &told.next.to_string())]) {
            // It may have been started anew: its lines count from the beginning then.
            Err(Failure::Unreachable { .. } | Failure::Broken { .. }) => {
                client.find_again();
                Logs { next: 0, ..Logs::default() }
            }
            other => other?,
        };
        if told.lost > 0 {
            eprintln!("{} lines came too fast and are not kept any more", told.lost);
        }
        show(args, &told.lines)?;
    }
}

fn ask(client: &Client, args: &Args, more: &[(&str, &str)]) -> Result<Logs, Failure> {
    let version = args.version.map(|version| version.to_string());
    let mut query = vec![("pipeline", args.of.pipeline.as_str())];
    query.extend(args.of.function.as_deref().map(|function| ("function", function)));
    query.extend(version.as_deref().map(|version| ("version", version)));
    query.extend(args.level.as_deref().map(|level| ("level", level)));
    query.extend(more);
    client.get("/v1/logs", &query)
}

fn show(args: &Args, lines: &[LogLine]) -> anyhow::Result<()> {
    if args.json {
        return lines.iter().try_for_each(print_json);
    }
    lines.iter().try_for_each(|line| print(text(line).as_bytes()))
}

fn text(line: &LogLine) -> String {
    let by = |speaker: &millstream_web::types::inside::Speaker| match speaker.version {
        Some(version) => format!("{} {version}", speaker.function),
        None => format!("{} on trial", speaker.function),
    };
    let by = if line.by.is_empty() {
        format!("a version that is not ready any more ({})", line.component.get(..12).unwrap_or(&line.component))
    } else {
        line.by.iter().map(by).collect::<Vec<_>>().join(", ")
    };
    let at = line.records.as_ref().map(|records| format!("  [{}]", place(records))).unwrap_or_default();
    let dropped = match line.dropped {
        0 => String::new(),
        lines => format!("  ({lines} lines before it were too many)"),
    };
    let level = line.level.to_uppercase();
    // A line of a guest may hold anything; the terminal shall not obey it.
    let message: String = line.message.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    format!("{}  {level:<5}  {by}  {message}{at}{dropped}\n", Time(line.time))
}

/// The records of a call: one, or the first and the last.
fn place(records: &Records) -> String {
    let at = |record: &RecordAt| format!("{}:{}:{}", record.topic, records.partition, record.offset);
    if records.first == records.last {
        return at(&records.first);
    }
    if records.first.topic == records.last.topic {
        return format!("{} to {}", at(&records.first), records.last.offset);
    }
    format!("{} to {}", at(&records.first), at(&records.last))
}

#[cfg(test)]
mod tests {
    use millstream_web::types::inside::Speaker;

    use super::*;

    #[test]
    fn a_line_says_who_and_about_what() {
        let at = |offset| RecordAt { topic: "in".into(), offset };
        let mut line = LogLine {
            sequence: 1,
            time: 1_700_000_000_000,
            by: vec![Speaker { function: "f".into(), version: Some(3) }],
            component: "0123456789abcdef".into(),
            level: "warn".into(),
            message: "odd\u{1b}[31m\n".into(),
            dropped: 0,
            records: Some(Records { sub_topology: 0, partition: 2, first: at(7), last: at(7) }),
        };
        assert_eq!(text(&line), "2023-11-14T22:13:20Z  WARN   f 3  odd [31m   [in:2:7]\n");
        line.records = Some(Records { sub_topology: 0, partition: 2, first: at(7), last: at(19) });
        line.dropped = 5;
        line.by.clear();
        let said = "a version that is not ready any more (0123456789ab)  odd [31m   [in:2:7 to 19]  (5 lines before it were too many)\n";
        assert!(text(&line).ends_with(said), "{}", text(&line));
    }

    #[test]
    fn a_pipeline_or_one_of_its_functions_is_meant() {
        let of = |pipeline: &str, function: Option<&str>| Of {
            pipeline: pipeline.into(),
            function: function.map(str::to_string),
        };
        assert_eq!("p".parse(), Ok(of("p", None)));
        assert_eq!("p/f".parse(), Ok(of("p", Some("f"))));
        assert!(["", "p/", "/f", "p/f/g"].iter().all(|wrong| wrong.parse::<Of>().is_err()));
    }
}
