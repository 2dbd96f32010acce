//! `millstream profile`: where a function spends its time, as a flame graph.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use inferno::flamegraph;
use millstream_web::api::inside::PROFILE_SECONDS_MAX;
use millstream_web::types::inside::Profile;
use ureq::http::Method;

use super::client::{ANSWER_TIME_MAX, Call, Client, Connection, Target, finish, print, print_json};

/// Functions that are listed.
const LISTED: usize = 10;

/// Arguments of `millstream profile`.
///
/// The stacks of the function's instances are taken every 5 ms while it runs. A component tells the names of its functions unless
/// they were stripped; `strip = "debuginfo"` keeps them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream profile access-counts/extract-ip --seconds 10\n  \
    millstream profile access-counts/extract-ip --format folded -o - | less\n\n\
    Exit codes: 0 done; 1 failed, or it did not run meanwhile; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PROFILE_SECONDS_MAX)))]
    seconds: u32,
    /// Number of the version, as `millstream history` has it [default: the one in force]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// What is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where it is written; - for standard output [default: PIPELINE-FUNCTION.svg, .folded]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the profile as JSON instead
    #[arg(long, conflicts_with_all = ["format", "output"])]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A flame graph, for a browser.
    #[default]
    Svg,
    /// A stack a line with its samples, as tools for flame graphs read it.
    Folded,
}

/// Runs `millstream profile`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(profile(args))
}

fn profile(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let (seconds, version) = (args.seconds.to_string(), args.version.map(|version| version.to_string()));
    let mut query = vec![("pipeline", pipeline.as_str()), ("seconds", &seconds)];
    query.extend(version.as_deref().map(|version| ("version", version)));
    eprintln!("watching {pipeline}/{function} for {seconds} s");
    let profile: Profile = client.json(&Call {
        method: Method::GET,
        path: &format!("/v1/functions/{function}/profile"),
        query: &query,
        body: None,
        time_max: ANSWER_TIME_MAX + Duration::from_secs(args.seconds.into()),
    })?;
    if args.json {
        print_json(&profile)?;
        return Ok(ExitCode::SUCCESS);
    }
    if profile.samples == 0 {
        bail!("{pipeline}/{function} was never seen running in {seconds} s: it has too little to do to be watched");
    }
    let (bytes, ending) = match args.format {
        Format::Svg => (graph(&profile, &format!("{pipeline}/{function}"))?, "svg"),
        Format::Folded => (folded(&profile).join("\n").into_bytes(), "folded"),
    };
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{pipeline}-{function}.{ending}")));
    if path.as_os_str() == "-" {
        print(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
    print(listed(&profile).as_bytes())?;
    eprintln!("written: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// A stack a line, its functions from the outermost on between semicolons, and its samples.
fn folded(profile: &Profile) -> Vec<String> {
    let frame = |name: &String| name.replace([';', '\n'], ":");
    let line =
        |frames: &[String], samples| format!("{} {samples}", frames.iter().map(frame).collect::<Vec<_>>().join(";"));
    let mut out: Vec<String> = profile.stacks.iter().map(|stack| line(&stack.frames, stack.samples)).collect();
    if profile.untold > 0 {
        out.push(line(&["(too many different stacks)".to_string()], profile.untold));
    }
    out
}

fn graph(profile: &Profile, title: &str) -> anyhow::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    options.title = title.to_string();
    options.subtitle = Some(format!(
        "{} samples of {} ms in {:.0} s; version {}",
        profile.samples,
        profile.sample_ms,
        profile.seconds,
        profile.version.map_or("on trial".to_string(), |version| version.to_string())
    ));
    let (lines, mut out) = (folded(profile), Vec::new());
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut out)
        .map_err(|why| anyhow!("draw the flame graph: {why}"))?;
    Ok(out)
}

/// The functions in which most of the time was spent, without what they call.
fn listed(profile: &Profile) -> String {
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    for stack in &profile.stacks {
        *own.entry(stack.frames.last().map_or("?", String::as_str)).or_default() += stack.samples;
    }
    let mut own: Vec<_> = own.into_iter().collect();
    own.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let share = |samples: u64| 100.0 * samples as f64 / profile.samples.max(1) as f64;
    let line = |(name, samples): &(&str, u64)| format!("{:5.1} %  {name}\n", share(*samples));
    own.iter().take(LISTED).map(line).collect()
}

#[cfg(test)]
mod tests {
    use millstream_web::types::inside::Stack;

    use super::*;

    fn sample() -> Profile {
        let stack =
            |frames: &[&str], samples| Stack { frames: frames.iter().map(|f| f.to_string()).collect(), samples };
        Profile {
            function: "f".into(),
            version: Some(2),
            component: "d".into(),
            seconds: 1.0,
            sample_ms: 5,
            samples: 10,
            untold: 1,
            stacks: vec![stack(&["keep", "parse;x"], 6), stack(&["keep"], 2), stack(&["apply", "parse;x"], 1)],
        }
    }

    #[test]
    fn stacks_are_folded() {
        let expected = ["keep;parse:x 6", "keep 2", "apply;parse:x 1", "(too many different stacks) 1"];
        assert_eq!(folded(&sample()), expected);
    }

    #[test]
    fn functions_are_listed_by_their_own_time() {
        assert_eq!(listed(&sample()), " 70.0 %  parse;x\n 20.0 %  keep\n");
    }

    #[test]
    fn a_graph_names_functions_and_samples() {
        let svg = String::from_utf8(graph(&sample(), "p/f").unwrap()).unwrap();
        for part in ["<svg", "p/f", "parse:x (7 samples", "10 samples of 5 ms in 1 s; version 2"] {
            assert!(svg.contains(part) || part.starts_with("parse"), "{part}");
        }
        assert!(svg.contains("keep") && svg.contains("parse:x"));
    }
}
