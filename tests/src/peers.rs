//! The Java programs of `tests/peers`: Kafka Streams and what measures it. Which jars they need, the test broker knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/src/peers");

/// Compiles them against Kafka's jars.
///
/// # Errors
/// With the compiler's words.
pub fn compile(libs: &Path, classes: &Path) -> anyhow::Result<()> {
    let files = fs::read_dir(SOURCES).with_context(|| format!("read {SOURCES}"))?;
    let files: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<std::io::Result<_>>()?;
    let mut javac = Command::new("javac");
    javac.arg("-d").arg(classes).arg("-cp").arg(libs.join("*")).args(files);
    let done = javac.output().context("start javac, of a Java development kit; `./x test` installs one")?;
    if !done.status.success() {
        bail!("javac: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// The command that starts one of them, with a heap of at most so much, as Java writes it.
///
/// # Errors
/// When a path cannot be told to Java.
pub fn command(libs: &Path, classes: &Path, class: &str, heap: &str) -> anyhow::Result<Command> {
    let path = std::env::join_paths([classes.to_path_buf(), libs.join("*")])?;
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap}")).arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    java.arg("-cp").arg(path).arg(format!("peers.{class}"));
    Ok(java)
}
