//! `millstream deploy`: sends a component to a running host, which checks it and puts it in force, or says why not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_web::api::{REPLAY_RECORDS_MAX, Trying};
use millstream_web::types::{Deployed, Function, Offer, Together};
use millstream_web::{COMPONENT_BYTES_MAX, Kind, SETTINGS_BYTES_MAX, TOGETHER};
use ureq::http::Method;

use super::client::{Call, Client, Connection, Failure, Target, finish, name, print, print_json};
use super::promote::trials;
use crate::trust::file::{beside, text};

/// How long a host may take to check and compile a component.
pub const DEPLOY_TIME_MAX: Duration = Duration::from_secs(300);

/// Arguments of `millstream deploy`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  millstream deploy access-counts/extract-ip extract_ip.wasm --config settings.json\n  \
    millstream deploy access-counts/extract-ip extract_ip.wasm only-ip=only_ip.wasm\n\n\
    Functions that are deployed together come into force together, all or none: in each task between the same two commits.\n\
    It runs beside the version in force first, on live records, and nothing of what it does is seen; if it fails there it\n\
    is not taken. The answer says how many outputs differ, with examples, and what both versions cost.\n\
    A file that is refused changes nothing: the version before runs on, and `history` shows why.\n\
    Exit codes: 0 in force; 1 refused or failed; 2 wrong arguments; 3 no host answers."
)]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// More functions of the pipeline, with their components, that come into force together with it
    #[arg(value_name = "FUNCTION=FILE.wasm")]
    more: Vec<More>,
    /// Settings: a file with a JSON object; without it, those in force stay; of one of several functions, FUNCTION=FILE
    #[arg(long, value_name = "[FUNCTION=]FILE")]
    config: Vec<String>,
    /// Put it in force as soon as all hosts have prepared it, untried
    #[arg(long, conflicts_with_all = ["shadow", "probation"])]
    now: bool,
    /// Run it beside the version in force until `millstream promote` puts it in force, or `promote --abandon` gives it up
    #[arg(long, conflicts_with = "probation")]
    shadow: bool,
    /// Run it beside the version in force for so long first, as `30s` [default: 10s, or 10,000 records on each host]
    #[arg(long, value_name = "TIME")]
    probation: Option<Trying>,
    /// First give it about so many of the last records of the sources, taken through again with empty stores, on each host
    #[arg(long, value_name = "RECORDS", conflicts_with = "now", value_parser = clap::value_parser!(u64).range(1..=REPLAY_RECORDS_MAX))]
    replay: Option<u64>,
    /// What `millstream sign` wrote for it [default: FILE.wasm.sig, where that is there; of several, each has its own there]
    #[arg(long, value_name = "FILE", conflicts_with = "more")]
    signature: Option<PathBuf>,
    /// Print the host's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Another function that is deployed with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct More {
    function: String,
    file: PathBuf,
}

impl std::str::FromStr for More {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((function, file)) if !file.is_empty() => Ok(Self { function: name(function)?, file: file.into() }),
            _ => Err(format!("`{text}` is not FUNCTION=FILE.wasm, as in only-ip=only_ip.wasm")),
        }
    }
}

/// Runs `millstream deploy`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(deploy(args))
}

fn deploy(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let component = bounded(&args.file, COMPONENT_BYTES_MAX)?;
    let mut settings = all_settings(args)?;
    if !args.more.is_empty() {
        return together(args, component, settings);
    }
    let settings = settings.remove(function);
    let signature = signature(args)?;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let origin = args.file.display().to_string();
    let mut query = vec![("pipeline", pipeline.as_str()), ("origin", origin.as_str())];
    let settings = settings.map(|settings| serde_json::Value::Object(settings).to_string());
    query.extend(settings.as_deref().map(|settings| ("settings", settings)));
    query.extend(signature.as_deref().map(|signature| ("signature", signature.trim())));
    let tried = tried(args);
    query.extend(tried.as_deref().map(|tried| ("probation", tried)));
    let replay = args.replay.map(|count| count.to_string());
    query.extend(replay.as_deref().map(|count| ("replay", count)));
    let call = Call {
        method: Method::PUT,
        path: &format!("/v1/functions/{function}"),
        query: &query,
        body: Some(("application/wasm", &component)),
        time_max: DEPLOY_TIME_MAX,
    };
    let answer = client.json(&call);
    if let Err(Failure::Told(problem)) = &answer
        && problem.kind() == Some(Kind::ComponentRefused)
        && settings.is_none()
    {
        say_settings(&client, function);
    }
    report(answer, args.json)
}

/// Deploys several functions at once.
fn together(args: &Args, first: Vec<u8>, mut settings: Settings) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let (mut offers, mut components): (Vec<Offer>, _) = (Vec::new(), first);
    let more = args.more.iter().map(|more| (&more.function, &more.file));
    for (number, (function, file)) in std::iter::once((function, &args.file)).chain(more).enumerate() {
        let bytes = if number == 0 {
            components.len()
        } else {
            let component = bounded(file, COMPONENT_BYTES_MAX)?;
            components.extend_from_slice(&component);
            component.len()
        };
        let sign = Some(beside(file)).filter(|path| path.exists()).map(|path| text(&path)).transpose()?;
        offers.push(Offer {
            function: function.clone(),
            bytes,
            settings: settings.remove(function),
            origin: Some(file.display().to_string()),
            signature: sign.map(|text| text.trim().to_string()),
        });
    }
    if components.len() > COMPONENT_BYTES_MAX {
        bail!(
            "the components together have more than the {COMPONENT_BYTES_MAX} bytes that a host takes: deploy them in two steps"
        );
    }
    let mut body = serde_json::to_vec(&offers)?;
    body.push(b'\n');
    body.extend_from_slice(&components);
    drop(components);
    let client = Client::find(&args.connection, Some(pipeline))?;
    let tried = tried(args);
    let mut query = vec![("pipeline", pipeline.as_str())];
    query.extend(tried.as_deref().map(|tried| ("probation", tried)));
    let replay = args.replay.map(|count| count.to_string());
    query.extend(replay.as_deref().map(|count| ("replay", count)));
    let call = Call {
        method: Method::POST,
        path: "/v1/deploys",
        query: &query,
        body: Some((TOGETHER, &body)),
        time_max: DEPLOY_TIME_MAX,
    };
    match client.json::<Together>(&call) {
        Ok(together) => {
            together.notes.iter().for_each(|note| eprintln!("note: {note}"));
            if args.json {
                print_json(&together)?;
            } else {
                print(together.functions.iter().map(told).collect::<String>().as_bytes())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => failed(failure, args.json),
    }
}

/// How versions are tried, as a host wants to be told; says so.
fn tried(args: &Args) -> Option<String> {
    let tried = match (args.now, args.shadow, args.probation) {
        (true, ..) => Some("none".to_string()),
        (_, true, _) => Some("hold".to_string()),
        (.., Some(Trying::For(ms))) => Some(format!("{ms}ms")),
        (.., Some(Trying::Not)) => Some("none".to_string()),
        (.., Some(Trying::Hold)) => Some("hold".to_string()),
        _ => None,
    };
    if tried.as_deref() != Some("none") && !args.json {
        eprintln!("on trial beside the version in force; `--now` skips that");
    }
    tried
}

/// Settings by function.
type Settings = BTreeMap<String, serde_json::Map<String, serde_json::Value>>;

/// Settings of the functions that are deployed.
fn all_settings(args: &Args) -> anyhow::Result<Settings> {
    let first = &args.target.function;
    let is_named = |name: &str| name == first || args.more.iter().any(|more| more.function == name);
    let mut all = Settings::new();
    for given in &args.config {
        let (function, file) = match given.split_once('=') {
            Some((function, file)) if is_named(function) => (function, file),
            _ => (first.as_str(), given.as_str()),
        };
        if all.insert(function.to_string(), settings(Path::new(file))?).is_some() {
            bail!("`--config` is there twice for `{function}`; of several functions write --config FUNCTION=FILE");
        }
    }
    Ok(all)
}

/// Says which settings a refused version was given, where it was given those of the version before it.
fn say_settings(client: &Client, function: &str) {
    let Ok(all) = client.get::<Vec<Function>>("/v1/functions", &[]) else { return };
    let kept = all.into_iter().find(|f| f.name == function).and_then(|f| f.version).map(|version| version.settings);
    if let Some(settings) = kept.filter(|settings| settings.as_object().is_some_and(|s| !s.is_empty())) {
        eprintln!(
            "it was given the settings in force, {settings}; others go into a file: --config FILE, {{}} for none"
        );
    }
}

/// Tells what a deploy or a rollback came to.
pub fn report(answer: Result<Deployed, Failure>, json: bool) -> anyhow::Result<ExitCode> {
    match answer {
        Ok(deployed) if json => print_json(&deployed)?,
        Ok(deployed) => print(told(&deployed).as_bytes())?,
        Err(failure) => return failed(failure, json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells why a deploy came to nothing.
fn failed(failure: Failure, json: bool) -> anyhow::Result<ExitCode> {
    match failure {
        Failure::Told(problem) if json => {
            print_json(&problem)?;
            Ok(ExitCode::FAILURE)
        }
        Failure::Broken { url, why } => {
            bail!("the call to {url} broke off: {why}\nwhether the version is in force, `millstream history` says")
        }
        Failure::Told(problem) if problem.kind() == Some(Kind::ComponentRefused) => {
            bail!("{problem}\nnothing has changed: the version before runs on")
        }
        failure => Err(failure.into()),
    }
}

fn told(deployed: &Deployed) -> String {
    let mut out = String::new();
    if let Some(version) = &deployed.version {
        let before = deployed.previous.map_or(String::new(), |number| format!(", after version {number}"));
        out.push_str(&format!("{}: version {} is in force{before}\n", deployed.function, version.number));
        out.push_str(&format!("  digest    {}\n  origin    {}\n", version.digest, version.origin));
    } else {
        let still = deployed.previous.map_or(String::new(), |number| format!("; version {number} is in force still"));
        out.push_str(&format!("{}: on trial on all hosts{still}\n", deployed.function));
        out.push_str("  `millstream promote` puts it in force, with `--report` says what it does, with `--abandon` gives it up\n");
    }
    let text = |name: &str| deployed.inspection.get(name).filter(|value| !value.is_null());
    if let Some(bytes) = text("size_bytes") {
        out.push_str(&format!("  bytes     {bytes}\n"));
    }
    if let Some(contract) = text("contract").and_then(|c| c.as_str()) {
        out.push_str(&format!("  contract  {contract}\n"));
    }
    if let Some(kinds) = text("kinds").and_then(|k| k.as_array()) {
        let kinds: Vec<&str> = kinds.iter().filter_map(|k| k.as_str()).collect();
        out.push_str(&format!("  kinds     {}\n", kinds.join(", ")));
    }
    // Of one that was only just put on trial nothing is known yet.
    if deployed.version.is_some() && !deployed.trials.is_empty() {
        out.push_str(&trials(&deployed.trials));
    }
    out
}

/// The signature that goes along.
fn signature(args: &Args) -> anyhow::Result<Option<String>> {
    match &args.signature {
        Some(path) => text(path).map(Some),
        None => Some(beside(&args.file)).filter(|path| path.exists()).map(|path| text(&path)).transpose(),
    }
}

/// Reads a file that has a limit.
fn bounded(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    if bytes.len() > bytes_max {
        bail!("{} has more than the {bytes_max} bytes that a host takes", path.display());
    }
    if bytes.is_empty() {
        bail!("{} is empty; it must be a component", path.display());
    }
    Ok(bytes)
}

fn settings(path: &Path) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    let bytes = bounded(path, SETTINGS_BYTES_MAX)?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not a JSON object, as in {{\"field\": \"IP\"}}", path.display()))
}
