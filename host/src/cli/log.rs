//! What the host says while it runs: lines on standard error, for people or as JSON.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use indicatif::ProgressBar;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged, as `tracing` filters: `info`, `millstream=debug`.
pub const FILTER_VARIABLE: &str = "MILLSTREAM_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// The bar that is drawn below the log lines, while there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Draws a bar below the log lines, or no bar any more.
pub fn draw_below(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Standard error, with the bar out of the way while a line is written.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*BAR.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging; `default` holds where the environment says nothing.
///
/// # Errors
/// When the environment says what is no filter.
pub fn start(format: Format, default: &str) -> anyhow::Result<()> {
    let filter = filter(std::env::var(FILTER_VARIABLE).ok().as_deref().unwrap_or(default))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Lines).with_target(false);
    // A second start (tests in one process) keeps the first.
    let _ = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => lines.json().try_init(),
    };
    Ok(())
}

/// Each part of a filter is a level, or a crate's name with one. A lone word that is no level would be a crate's name to the
/// library, and then nothing else is logged.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let known = |part: &str| part.is_empty() || part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
    let wrong = text.split(',').map(str::trim).find(|part| !known(part));
    let right = "write error, warn, info, debug or trace, or CRATE=LEVEL";
    ensure!(wrong.is_none(), "{FILTER_VARIABLE}: `{}` is no level: {right}", wrong.unwrap_or_default());
    EnvFilter::try_new(text).with_context(|| format!("{FILTER_VARIABLE}: `{text}` is no filter: {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_of_all_or_of_a_crate() {
        for right in ["info", "WARN", "off", "warn,millstream=debug", "millstream_wasm=trace, error", ""] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for (wrong, named) in
            [("blah", "`blah`"), ("info,verbose", "`verbose`"), ("millstream=loud", "millstream=loud")]
        {
            let told = format!("{:#}", filter(wrong).unwrap_err());
            assert!(told.contains(named) && told.contains("MILLSTREAM_LOG") && told.contains("debug"), "{told}");
        }
    }
}
