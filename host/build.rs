//! Puts the templates of `millstream new`, and the SDKs that they copy, into the program: a list of paths and contents.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// What is embedded, from the repository's root: folders with all that is in them, or files.
const EMBEDDED: [&str; 2] = ["guest-sdk", "wit/udf.wit"];

/// Folders of things that are made, in any language.
const MADE: [&str; 6] = ["target", "node_modules", "build", "dist", "out", "__pycache__"];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let mut list = String::from("&[\n");
    for path in EMBEDDED {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
        add(&root, path, &mut list)?;
    }
    list.push(']');
    fs::write(Path::new(&variable("OUT_DIR")?).join("embedded.rs"), list)
}

/// Adds a file, or what is in a folder, by name.
fn add(root: &Path, path: &str, list: &mut String) -> io::Result<()> {
    let full = root.join(path);
    if full.is_file() {
        let _ = writeln!(list, "    ({path:?}, include_bytes!({:?})),", full.display().to_string());
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&full)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let made = entry.file_type()?.is_dir() && (MADE.contains(&name.as_str()) || name.starts_with('.'));
        let is_made = made || name.ends_with(".wasm") || name == "Cargo.lock";
        if !is_made && !entry.file_type()?.is_symlink() {
            names.push(name);
        }
    }
    names.sort();
    names.iter().try_for_each(|name| add(root, &format!("{path}/{name}"), list))
}
