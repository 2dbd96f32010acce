//! What the host says while it runs: lines on standard error, for people or as JSON.

use clap::ValueEnum;
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

/// Starts logging; `default` holds where the environment says nothing.
pub fn start(format: Format, default: &str) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (tests in one process) keeps the first.
    let _ = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => lines.json().try_init(),
    };
}
