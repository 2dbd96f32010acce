//! `millstream sign`: makes a key, and signs components for pipelines that trust it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::client::{Target, print};
use super::load;
use crate::runtime::functions::digest;
use crate::trust::PrivateKey;
use crate::trust::file::{beside, text};

/// Arguments of `millstream sign`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  millstream sign --new-key team.key      # prints the public key, for `trust` in manifests\n  \
    millstream sign access-counts/extract-ip extract_ip.wasm --key team.key\n\n\
    The signature goes into FILE.wasm.sig, where `millstream deploy` finds it. It is of this file, for this function of this\n\
    pipeline, and for no other.\n\
    Exit codes: 0 done; 1 failed; 2 wrong arguments."
)]
pub struct Args {
    /// Pipeline and function that the file is signed for
    #[arg(value_name = "PIPELINE/FUNCTION", required_unless_present = "new_key")]
    target: Option<Target>,
    /// The component
    #[arg(value_name = "FILE.wasm", required_unless_present = "new_key")]
    file: Option<PathBuf>,
    /// File with the private key
    #[arg(long, value_name = "FILE", required_unless_present = "new_key")]
    key: Option<PathBuf>,
    /// Write the signature there, and not to FILE.wasm.sig
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Make a new key: the private one goes into this file, which must not exist; the public one is printed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "file", "key", "output"])]
    new_key: Option<PathBuf>,
}

/// Runs `millstream sign`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.new_key {
        new_key(path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(target), Some(file), Some(key)) = (&args.target, &args.file, &args.key) else {
        anyhow::bail!("a function, a file and a key are needed");
    };
    let Target { pipeline, function } = target;
    let key = PrivateKey::read(&text(key)?).with_context(|| key.display().to_string())?;
    let digest = digest(&load::component(file)?);
    let output = args.output.clone().unwrap_or_else(|| beside(file));
    let signature = key.sign(pipeline, function, &digest);
    std::fs::write(&output, format!("{signature}\n")).with_context(|| format!("write {}", output.display()))?;
    let public = key.public();
    print(format!("{}: {digest} as {pipeline}/{function}, by {public}\n", output.display()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a key that nobody else may read.
fn new_key(path: &Path) -> anyhow::Result<()> {
    let (key, text) = PrivateKey::new()?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("make {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    print(format!("{}\n", key.public()).as_bytes())
}
