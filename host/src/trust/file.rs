//! Files with keys and signatures.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// What comes behind a component's file name for the file with its signature.
const SUFFIX: &str = "sig";

/// Bytes of a file with a key or a signature, at the most.
pub const FILE_BYTES_MAX: usize = 4 << 10;

/// The file with a component's signature.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(SUFFIX);
    name.into()
}

/// A key's or a signature's file.
///
/// # Errors
/// When it cannot be read, or is no text, or too long.
pub fn text(path: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.with_context(|| format!("read {}", path.display()))?;
    anyhow::ensure!(text.len() <= FILE_BYTES_MAX, "{} has more than {FILE_BYTES_MAX} bytes", path.display());
    Ok(text)
}
