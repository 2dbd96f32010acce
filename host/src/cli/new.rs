//! A project for a function of one's own, from the template of a language.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};

use super::client::print;
use crate::templates::{self, Files, Need};

/// Makes a project for a function: it builds, and has a test and cases.
///
/// Everything that it needs of Millstream is copied into it. What else must be on the machine and is not, is said; then come the
/// commands that build and try it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream new only-logins --lang rust\n\n\
                        Exit codes: 0 the project is there; 1 it could not be made, and nothing was written.")]
pub struct Args {
    /// The function's name, or a path that ends in it: the folder that is made
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// The language; a wrong one lists those that there are
    #[arg(long, value_name = "LANG")]
    lang: String,
    /// What the function does: filter, mapper, … [default: the template's first]
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// In words for the user: names, folders that are not empty.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    templates::check_name(&name)?;
    let template = templates::template(&args.lang)?;
    let kind = template.kind(args.kind.as_deref())?;
    let files = template.files(&name, kind)?;
    vacant(&args.path)?;
    write(&args.path, &files)?;
    let (folder, lang) = (args.path.display(), &template.description.language);
    let kind = kind.map_or(String::new(), |kind| format!(", a {kind}"));
    eprintln!("{folder}: a function in {lang}{kind}, {} files", files.len());
    let missing: Vec<&Need> = template.description.needs.iter().filter(|need| !is_there(need)).collect();
    if !missing.is_empty() {
        eprintln!("\nNot on this machine:");
        missing.iter().for_each(|need| eprintln!("  {}", told(need)));
    }
    eprintln!("\nNext:");
    let mut next = format!("cd {}\n", quoted(&args.path.display().to_string()));
    template.hints(&name).iter().for_each(|hint| next.push_str(&format!("{hint}\n")));
    print(next.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The folder is not there, or empty.
fn vacant(path: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is there and not empty; nothing was written", path.display());
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("look into {}", path.display())),
    }
}

fn write(folder: &Path, files: &Files) -> anyhow::Result<()> {
    for (path, bytes) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("make the folder {}", parent.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        if bytes.starts_with(b"#!") {
            use std::os::unix::fs::PermissionsExt as _;
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, executable)
                .with_context(|| format!("make {} executable", path.display()))?;
        }
    }
    Ok(())
}

/// Whether the machine has what a template needs.
fn is_there(need: &Need) -> bool {
    let tool = need.tool.as_ref().is_none_or(|tool| in_path(tool));
    let file = need.file.as_ref().is_none_or(|file| expanded(file).exists());
    let target = need.rust_target.as_ref().is_none_or(|target| {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).stderr(Stdio::null()).output();
        sysroot.is_ok_and(|out| {
            let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_string();
            !sysroot.is_empty() && Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir()
        })
    });
    tool && file && target
}

fn in_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn expanded(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(file),
    }
}

fn told(need: &Need) -> String {
    let target = need.rust_target.as_ref().map(|target| format!("the Rust target {target}"));
    let what = need.tool.clone().or(need.file.clone()).or(target).unwrap_or_default();
    let debian = need.debian.as_ref().map(|package| format!("apt-get install {package}"));
    let pypi = need.pypi.as_ref().map(|package| format!("pip install {package}"));
    let ways: Vec<String> = debian.into_iter().chain(pypi).chain(need.install.clone()).collect();
    if ways.is_empty() { what } else { format!("{what}: {}", ways.join(", or ")) }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if path.chars().all(plain) { path.to_string() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_way_to_it() {
        let need = |tool: &str| Need {
            tool: Some(tool.into()),
            file: None,
            rust_target: None,
            debian: Some("coreutils".into()),
            pypi: None,
            install: Some("from its page".into()),
        };
        assert!(is_there(&need("ls")) && !is_there(&need("no-such-tool")));
        assert_eq!(told(&need("ls")), "ls: apt-get install coreutils, or from its page");
        let file = |file: &str| Need { file: Some(file.into()), tool: None, ..need("") };
        assert!(is_there(&file("/")) && !is_there(&file("~/no/such/file")));
        let target = Need { rust_target: Some("no-such-target".into()), tool: None, debian: None, ..need("") };
        assert!(!is_there(&target));
        assert_eq!(told(&target), "the Rust target no-such-target: from its page");
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_cut_them() {
        assert_eq!([quoted("a/b-c"), quoted("a b"), quoted("a'b")], ["a/b-c", "'a b'", "'a'\\''b'"]);
    }
}
