//! Getting a version ready to run: the component's bytes, its settings and limits → something workers can call.

use std::path::PathBuf;
use std::sync::Arc;

use super::lines::Lines;
use anyhow::Context;
use millstream_wasm::{Compiler, Config, LogLevel, LogLine};
use sha2::{Digest, Sha256};
use tracing::{debug, error, info, trace, warn};

/// The hidden command by which this program starts itself to compile a component.
pub const COMPILE_COMMAND: &str = "compile-component";

/// How functions are run by this program, on so many worker threads; without `cache` compiled ones live as long as it.
///
/// # Errors
/// When this program does not know its own file.
pub fn config(cache: Option<PathBuf>, workers: usize) -> anyhow::Result<Config> {
    let program = std::env::current_exe().context("find this program's file, to compile functions with")?;
    let compiler = Compiler { program, args: vec![COMPILE_COMMAND.into()] };
    Ok(Config { cache_dir: cache, log: Arc::new(log_line), ..Config::new(compiler, workers) })
}

/// As [`config`], for a host that runs: its functions' last lines are kept in `lines`, and core dumps in a folder, where one is given.
///
/// # Errors
/// As [`config`].
pub fn running(
    cache: PathBuf,
    workers: usize,
    lines: &Arc<Lines>,
    core_dumps: Option<PathBuf>,
) -> anyhow::Result<Config> {
    Ok(Config { log: lines.clone(), core_dumps, ..config(Some(cache), workers)? })
}

/// Lines of functions go into the host's own log.
pub(super) fn log_line(line: &LogLine<'_>) {
    let LogLine { component, message, dropped, .. } = *line;
    let component = component.get(..12).unwrap_or(component);
    match line.level {
        LogLevel::Trace => trace!(target: "function", component, dropped, "{message}"),
        LogLevel::Debug => debug!(target: "function", component, dropped, "{message}"),
        LogLevel::Info => info!(target: "function", component, dropped, "{message}"),
        LogLevel::Warn => warn!(target: "function", component, dropped, "{message}"),
        LogLevel::Error => error!(target: "function", component, dropped, "{message}"),
    }
}

/// SHA-256, lower-case hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Settings of a function as its `lifecycle` gets them: name and text; nested values as JSON text.
///
/// # Errors
/// When the text is not a JSON object.
pub fn settings(json: &str) -> anyhow::Result<Vec<(String, String)>> {
    if json.trim().is_empty() {
        return Ok(Vec::new());
    }
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).context("settings are not a JSON object")?;
    Ok(object
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_text() {
        let got = settings(r#"{"field":"IP","n":3,"list":[1,"a"]}"#).unwrap();
        let want = [("field", "IP"), ("list", "[1,\"a\"]"), ("n", "3")];
        let want: Vec<_> = want.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(got, want);
        assert!(settings("[]").is_err());
        assert!(settings("").unwrap().is_empty());
    }

    #[test]
    fn digests_are_sha_256() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
