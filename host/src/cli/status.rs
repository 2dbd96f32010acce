//! `millstream status`: how a running pipeline stands: tasks, lag, versions, rates. Rates are between two looks.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use millstream_web::record::Time;
use millstream_web::types::{Function, Pipeline, Progress, Standing, Task, TaskState};
use millstream_web::{Kind, Problem};
use serde_json::json;

use super::client::{Client, Connection, Failure, finish, name, print, print_json};

/// Time between two looks whose difference is a rate.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Time between two pictures of `--watch`.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Clears a terminal and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Arguments of `millstream status`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream status access-counts --watch\n\n\
    Exit codes: 0 the pipeline does its work; 1 it does not, or the command failed; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// The pipeline [default: the one that runs here]
    #[arg(value_parser = name)]
    pipeline: Option<String>,
    /// Draw again each second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print JSON, a line each time
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// One look.
struct Look {
    at: Instant,
    pipeline: Pipeline,
    /// Why it does not do its work; empty when it does.
    reasons: Vec<String>,
    tasks: Vec<Task>,
    functions: Vec<Function>,
}

/// Runs `millstream status`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(status(args))
}

fn status(args: &Args) -> anyhow::Result<ExitCode> {
    let mut client = Client::find(&args.connection, args.pipeline.as_deref())?;
    let mut before = look(&client, args)?;
    std::thread::sleep(LOOK_EVERY);
    loop {
        match look(&client, args) {
            Ok(now) => {
                show(&client, args, &before, &now)?;
                if !args.watch {
                    let ready = now.reasons.is_empty();
                    return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                }
                before = now;
            }
            // A host that is started anew comes back.
            Err(failure @ (Failure::Unreachable { .. } | Failure::Broken { .. })) if args.watch => {
                eprintln!("{failure}");
                client.find_again();
            }
            Err(failure) => return Err(failure.into()),
        }
        std::thread::sleep(DRAW_EVERY);
    }
}

fn look(client: &Client, args: &Args) -> Result<Look, Failure> {
    let meant: Vec<(&str, &str)> = args.pipeline.as_deref().map(|name| ("pipeline", name)).into_iter().collect();
    let tasks = client.get("/v1/tasks", &meant)?;
    let functions = client.get("/v1/functions", &meant)?;
    let reasons = match client.get::<serde_json::Value>("/readyz", &[]) {
        Ok(_) => Vec::new(),
        Err(Failure::Told(problem)) if problem.kind() == Some(Kind::NotReady) => reasons(&problem),
        Err(failure) => return Err(failure),
    };
    Ok(Look { at: Instant::now(), pipeline: client.get("/v1/pipeline", &[])?, reasons, tasks, functions })
}

/// At least one, so that what is not ready never looks ready.
fn reasons(problem: &Problem) -> Vec<String> {
    if problem.reasons.is_empty() { vec![problem.detail.clone()] } else { problem.reasons.clone() }
}

fn show(client: &Client, args: &Args, before: &Look, now: &Look) -> anyhow::Result<()> {
    if args.json {
        let rates: Vec<_> = now
            .tasks
            .iter()
            .map(|task| {
                let (records, results) = rates(before, now, task);
                json!({ "task": task.id(), "records_per_second": records, "results_per_second": results })
            })
            .collect();
        return print_json(&json!({ "pipeline": now.pipeline, "ready": now.reasons.is_empty(), "reasons": now.reasons,
            "tasks": now.tasks, "functions": now.functions, "rates": rates }));
    }
    let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
    print(format!("{clear}{}", drawn(client.url(), before, now)).as_bytes())
}

/// Records and results a second since the look before; none where the host was started anew meanwhile.
fn rates(before: &Look, now: &Look, task: &Task) -> (f64, f64) {
    let earlier = before.tasks.iter().find(|t| t.id() == task.id());
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let rate = |now: u64, then: fn(&Task) -> u64| match earlier.map(then) {
        Some(then) if now >= then && seconds > 0.0 => (now - then) as f64 / seconds,
        _ => 0.0,
    };
    (rate(task.records, |t| t.records), rate(task.results, |t| t.results))
}

fn drawn(url: &str, before: &Look, now: &Look) -> String {
    let pipeline = &now.pipeline;
    let ready = match (now.reasons.is_empty(), pipeline.state) {
        (true, Standing::Running) => "ready".to_string(),
        (true, standing) => standing.to_string().to_uppercase(),
        (false, Standing::Running) => "NOT READY".to_string(),
        (false, standing) => format!("NOT READY, {standing}"),
    };
    let (name, version) = (&pipeline.name, &pipeline.host_version);
    let mut out = format!("{name}  {ready}  at {url}, version {version}, since {}\n", Time(pipeline.started_at));
    now.reasons.iter().for_each(|reason| out.push_str(&format!("  {reason}\n")));
    if pipeline.state != Standing::Running {
        out.push_str("  takes no records: `millstream resume` ends that\n");
    }
    if now.tasks.len() < pipeline.tasks as usize {
        let (here, all) = (now.tasks.len(), pipeline.tasks);
        out.push_str(&format!("  {here} of {all} tasks are here; the others are with other hosts, or with none\n"));
    }
    let mut rows =
        vec![["task", "state", "records/s", "results/s", "lag", "dead", "stream time", "at"].map(String::from)];
    for task in &now.tasks {
        let (records, results) = rates(before, now, task);
        let places: Vec<String> =
            task.positions.iter().map(|p| format!("{}:{}:{}", p.topic, task.partition, p.offset)).collect();
        rows.push([
            task.id(),
            state(task),
            format!("{records:.0}"),
            format!("{results:.0}"),
            task.lag().to_string(),
            task.dead_letters.to_string(),
            task.stream_time.map_or("-".into(), |time| Time(time).to_string()),
            places.join(" "),
        ]);
    }
    out.push('\n');
    out.push_str(&table(&rows));
    for (task, sweep) in now.tasks.iter().flat_map(|task| task.sweeps.iter().map(move |sweep| (task, sweep))) {
        if !sweep.done {
            out.push_str(&format!(
                "  {} `{}`: states are brought into layout {}: {} looked at, {} written anew\n",
                task.id(),
                sweep.step,
                sweep.layout,
                sweep.looked,
                sweep.migrated
            ));
        }
    }
    for function in now.functions.iter().filter(|function| function.layouts.len() > 1) {
        let layouts: Vec<String> = function.layouts.iter().map(ToString::to_string).collect();
        let (name, layouts) = (&function.name, layouts.join(" and "));
        out.push_str(&format!("  `{name}`: states may be stored in layouts {layouts}, and a version must read each\n"));
    }
    let mut rows =
        vec![["function", "version", "digest", "records", "ns/record", "faults", "origin"].map(String::from)];
    rows.extend(now.functions.iter().map(function));
    if rows.len() > 1 {
        out.push('\n');
        out.push_str(&table(&rows));
    }
    out
}

fn state(task: &Task) -> String {
    match (task.state, task.restored) {
        (TaskState::Restoring, Some(Progress { done, of })) if of > 0 => {
            format!("restoring {}%", done.saturating_mul(100) / of)
        }
        (TaskState::Stopped, _) => "STOPPED".into(),
        (state, _) => state.name().into(),
    }
}

fn function(function: &Function) -> [String; 7] {
    let version = function.version.as_ref();
    let work = function.work.clone().unwrap_or_default();
    let cost = if work.records == 0 { "-".into() } else { format!("{:.0}", work.seconds * 1e9 / work.records as f64) };
    let mark = if function.deploying { " (a deploy is under way)" } else { "" };
    [
        function.name.clone(),
        version.map_or("-".into(), |v| v.number.to_string()),
        version.map_or("-".into(), |v| v.digest.chars().take(12).collect()),
        work.records.to_string(),
        cost,
        work.faults.values().sum::<u64>().to_string(),
        version.map_or(String::new(), |v| v.origin.clone()) + mark,
    ]
}

/// Columns as wide as what is in them; the last one stays as it is.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [["a", "bb", "c"], ["aaa", "b", "ä"]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), "a    bb  c\naaa  b   ä\n");
    }
}
