//! Cases of a function: what it is given and what it must answer. How they are run is in `crate::cases`.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use annotate_snippets::Renderer;
use anyhow::{Context, anyhow, bail};
use millstream_core::function::{Functions, Interface, Prepared};
use millstream_wasm::{Limits, Refusal, Registry, WORKER_STACK_BYTES, WorkerFunctions, interface_name};
use serde_json::json;

use super::client::{print, print_json};
use super::{junit, load};
use crate::cases::{Ask, CASES_BYTES_MAX, Case, Cases, MISMATCHES_SHOWN_MAX, Mismatch, read};
use crate::config::problem::{Problem, Report, position};
use crate::runtime::functions;

/// Runs the cases of a function: a unit test for a function in any language.
///
/// Each case is run three times, in the sandbox and with the limits that a function has in a pipeline: all its records in one
/// call, one record a call, and one record a call with a fresh instance for each. The answers must be the expected ones every time.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream cases only-ip.wasm only-ip.cases\n\n\
                        A file of cases is YAML; docs/write-a-function.md has its fields.\n\
                        Exit codes: 0 all cases passed; 1 one failed, or they could not be run.")]
pub struct Args {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Files of cases
    #[arg(value_name = "CASES", required = true)]
    cases: Vec<PathBuf>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// Write the results to this file as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A case that was run.
pub struct Ran {
    /// Its file, as the user named it.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What it asks: `filter`, `aggregate`, …
    pub kind: &'static str,
    /// How long it took, all cuts together.
    pub took: Duration,
    /// What did not come as it must; empty: it passed.
    pub failures: Vec<Failed>,
}

/// An answer that is not the one expected.
pub struct Failed {
    /// Line and column of the expectation, from 1.
    pub place: (usize, usize),
    /// How the records were cut; `None`: it has nothing to do with it.
    pub cut: Option<&'static str>,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub came: String,
}

/// A file of cases with its text.
struct Source {
    file: String,
    text: String,
    cases: Cases,
}

/// Runs the command.
///
/// # Errors
/// In words for the user: files, a component that this host would not take, cases that it cannot be asked.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let component = load::component(&args.file)?;
    let sources = args.cases.iter().map(|path| source(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let sources: Vec<Source> = sources.into_iter().flatten().collect();
    if sources.len() < args.cases.len() {
        bail!("no case was run");
    }
    let registry = Arc::new(Registry::new(functions::config(None, 1)?)?);
    let inspection = registry.inspect(&component);
    if !inspection.accepted {
        bail!("this host would not take {}: {}", args.file.display(), inspection.reasons.join("; "));
    }
    // Functions run on threads with room for their stack.
    let thread = std::thread::Builder::new().stack_size(WORKER_STACK_BYTES);
    let thread = thread.spawn(move || run_all(&registry, &component, &sources))?;
    let ran = thread.join().map_err(|_| anyhow!("the thread that called the function panicked"))??;
    if let Some(path) = &args.junit {
        let xml = junit::cases(&args.file.display().to_string(), &ran);
        std::fs::write(path, xml).with_context(|| format!("write {}", path.display()))?;
    }
    if args.json {
        print_json(&as_json(&ran))?;
    } else {
        print(as_text(&ran).as_bytes())?;
    }
    let failed = ran.iter().any(|ran| !ran.failures.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads a file of cases; `None` where it has errors, which were shown.
fn source(path: &Path) -> anyhow::Result<Option<Source>> {
    let file = path.display().to_string();
    let mut text = String::new();
    let reader = std::fs::File::open(path).map(|file| file.take(CASES_BYTES_MAX as u64 + 4));
    reader.and_then(|mut reader| reader.read_to_string(&mut text)).with_context(|| format!("read {file}"))?;
    let mut problems = Vec::new();
    match read::read(&text, &mut problems) {
        Some(cases) => Ok(Some(Source { file, text, cases })),
        None => {
            show(&file, text, problems);
            Ok(None)
        }
    }
}

fn show(file: &str, text: String, problems: Vec<Problem>) {
    let report = Report::new(file, text, problems);
    let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    eprint!("{}", report.draw(&renderer));
    eprintln!("{file}: {}", report.summary());
}

fn run_all(registry: &Arc<Registry>, component: &[u8], sources: &[Source]) -> anyhow::Result<Vec<Ran>> {
    let mut functions = WorkerFunctions::new(registry.clone());
    let started: Vec<Vec<Result<Prepared, String>>> = sources
        .iter()
        .map(|source| source.cases.cases.iter().map(|case| start(registry, component, &source.cases, case)).collect())
        .collect::<anyhow::Result<_>>()?;
    let mut lacks = false;
    for (source, started) in sources.iter().zip(&started) {
        let pairs = source.cases.cases.iter().zip(started);
        let problems: Vec<Problem> = pairs.filter_map(|(case, started)| lacking(&functions, case, started)).collect();
        if !problems.is_empty() {
            show(&source.file, source.text.clone(), problems);
            lacks = true;
        }
    }
    if lacks {
        bail!("no case was run");
    }
    let mut ran = Vec::new();
    for (source, started) in sources.iter().zip(started) {
        for (case, started) in source.cases.cases.iter().zip(started) {
            ran.push(run_one(registry, &mut functions, source, case, started));
        }
    }
    Ok(ran)
}

/// Starts the function as a case wants it; the inner error is why it does not start.
fn start(
    registry: &Registry,
    component: &[u8],
    cases: &Cases,
    case: &Case,
) -> anyhow::Result<Result<Prepared, String>> {
    let function = case.function.as_ref().or(cases.function.as_ref());
    let settings = functions::settings(case.settings.as_ref().unwrap_or(&cases.settings))?;
    match registry.prepare(component, function.map(String::as_str), &settings, &Limits::default(), &[]) {
        Ok(prepared) => {
            // Only one is called at a time; room for it is made when it is prepared again.
            registry.release(prepared);
            Ok(Ok(prepared))
        }
        Err(Refusal::Component(reasons)) => Ok(Err(reasons.join("; "))),
        Err(other) => bail!("{other}"),
    }
}

/// What a case asks of a function that does not have it.
fn lacking(functions: &WorkerFunctions, case: &Case, started: &Result<Prepared, String>) -> Option<Problem> {
    const ALL: [Interface; 11] = [
        Interface::Filter,
        Interface::Mapper,
        Interface::Router,
        Interface::Aggregator,
        Interface::Retractor,
        Interface::Scanner,
        Interface::Merger,
        Interface::Migrator,
        Interface::Joiner,
        Interface::Processor,
        Interface::OnTimer,
    ];
    let prepared = *started.as_ref().ok()?;
    let missing = case.needs().into_iter().find(|interface| !functions.exports(prepared, *interface))?;
    let has: Vec<&str> = ALL.into_iter().filter(|i| functions.exports(prepared, *i)).map(interface_name).collect();
    let name = interface_name(missing);
    let message = format!("the case needs a function that exports `{name}`, and this one exports {}", has.join(", "));
    let help = "take the case out, or give the component that it is about";
    Some(Problem::error(case.kind_place.clone(), message).help(help))
}

fn run_one(
    registry: &Arc<Registry>,
    functions: &mut WorkerFunctions,
    source: &Source,
    case: &Case,
    started: Result<Prepared, String>,
) -> Ran {
    let began = Instant::now();
    let alone =
        |expected: String, came: String| vec![Mismatch { place: case.kind_place.clone(), cut: None, expected, came }];
    let mismatches = match (&case.ask, started) {
        (Ask::Start(Some(part)), Err(why)) if why.contains(part.as_str()) => Vec::new(),
        (Ask::Start(Some(part)), Err(why)) => alone(format!("it refuses to start, with {part:?} in its words"), why),
        (Ask::Start(Some(_)), Ok(_)) => alone("it refuses to start".into(), "it starts".into()),
        (_, Err(why)) => alone("it starts".into(), why),
        (_, Ok(prepared)) => {
            let others = || Box::new(WorkerFunctions::new(registry.clone())) as Box<dyn Functions>;
            let mismatches = case.run(functions, prepared, &others);
            registry.release(prepared);
            mismatches
        }
    };
    let failed = |m: Mismatch| Failed {
        place: position(&source.text, m.place.start),
        cut: m.cut.map(|cut| cut.name()),
        expected: m.expected,
        came: m.came,
    };
    Ran {
        file: source.file.clone(),
        line: position(&source.text, case.place.start).0,
        name: case.name.clone(),
        kind: kind(&case.ask),
        took: began.elapsed(),
        failures: mismatches.into_iter().map(failed).collect(),
    }
}

fn kind(ask: &Ask) -> &'static str {
    match ask {
        Ask::Each(Interface::Filter, _) => "filter",
        Ask::Each(Interface::Router, _) => "route",
        Ask::Each(Interface::Joiner, _) => "join",
        Ask::Each(..) => "map",
        Ask::Aggregate(_) => "aggregate",
        Ask::Merge(_) => "merge",
        Ask::Scan(_) => "scan",
        Ask::Process(_) => "process",
        Ask::Migrate(_) => "migrate",
        Ask::Start(_) => "start",
    }
}

fn as_text(all: &[Ran]) -> String {
    let mut out = String::new();
    for ran in all {
        let verdict = if ran.failures.is_empty() { "ok    " } else { "FAILED" };
        out.push_str(&format!("{verdict}  {}:{}  {}\n", ran.file, ran.line, ran.name));
        for failed in ran.failures.iter().take(MISMATCHES_SHOWN_MAX) {
            let (line, column) = failed.place;
            let cut = failed.cut.map_or(String::new(), |cut| format!("  ({cut})"));
            out.push_str(&format!("    {}:{line}:{column}{cut}\n", ran.file));
            out.push_str(&format!("        expected  {}\n", indented(&failed.expected)));
            out.push_str(&format!("        came      {}\n", indented(&failed.came)));
        }
        if let Some(more @ 1..) = ran.failures.len().checked_sub(MISMATCHES_SHOWN_MAX) {
            out.push_str(&format!("    … and {more} more\n"));
        }
    }
    let failed = all.iter().filter(|ran| !ran.failures.is_empty()).count();
    let cases = if all.len() == 1 { "case" } else { "cases" };
    out.push_str(&format!("{} {cases}: {} ok, {failed} failed\n", all.len(), all.len() - failed));
    out
}

/// Lines behind the first stand under it.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n                  ")
}

fn as_json(all: &[Ran]) -> serde_json::Value {
    let failure = |f: &Failed| {
        let (line, column) = f.place;
        json!({ "line": line, "column": column, "cut": f.cut, "expected": f.expected, "came": f.came })
    };
    let case = |ran: &Ran| {
        json!({
            "file": ran.file,
            "line": ran.line,
            "name": ran.name,
            "kind": ran.kind,
            "ok": ran.failures.is_empty(),
            "milliseconds": ran.took.as_secs_f64() * 1e3,
            "failures": ran.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    };
    let failed = all.iter().filter(|ran| !ran.failures.is_empty()).count();
    json!({
        "passed": failed == 0,
        "ok": all.len() - failed,
        "failed": failed,
        "cases": all.iter().map(case).collect::<Vec<_>>(),
    })
}
