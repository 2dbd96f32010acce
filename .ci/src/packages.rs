//! `./x packages`: the SDKs as packages of their ecosystems, ready to publish, each tried by a new project that takes it from
//! there. How a package is made and tried is not here but in `udfs/languages/LANG.sh --package OUT`; publishing is the
//! maintainer's, by the commands in `docs/languages.md`.

use std::{
    env, fs,
    io::stderr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    guests,
    run::{cargo, check, root, target_dir},
    steps::Steps,
};

/// Names a host that is built already, which is taken instead of one of this checkout.
pub const PROGRAM_VARIABLE: &str = "MILLSTREAM_PROGRAM";

/// Names that end so are nobody's, by RFC 2606.
const PLACEHOLDER: &str = ".example/";

/// Makes and tries the packages of all languages, each in a folder of its own, and prints the files with their sizes.
pub fn make(out: Option<&Path>) -> Result<ExitCode> {
    let out = folder(out)?;
    let languages = guests::languages()?;
    let mut steps = Steps::new(languages.len() + 1);
    let program = steps.run("the host, which the packages are tried with", |_| program());
    for language in &languages {
        steps.run(&format!("{language}: packages, and a project that uses them"), |counts| {
            let program = program.as_ref().context("there is no host")?;
            package(language, &out.join(language), program)?;
            counts.passed += 1;
            Ok(())
        });
    }
    let all_made = steps.finish(&mut stderr());
    for (path, bytes) in made(&out)? {
        println!("{}\t{bytes}", path.display());
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("read Cargo.toml")?;
    if let Some(address) = placeholder(&manifest) {
        eprintln!(
            "x: not to be published yet: the repository's address is still {address}; see docs/languages.md, Publishing"
        );
    }
    Ok(if all_made { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder for the packages, empty. A folder that was named is never emptied here.
fn folder(named: Option<&Path>) -> Result<PathBuf> {
    let out = named.map_or_else(|| target_dir().join("packages"), Path::to_path_buf);
    if named.is_none() && out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let mut entries = fs::read_dir(&out).with_context(|| format!("list {}", out.display()))?;
    ensure!(entries.next().is_none(), "{} is not empty; nothing was made", out.display());
    out.canonicalize().with_context(|| format!("find {}", out.display()))
}

fn program() -> Result<PathBuf> {
    if let Some(named) = env::var_os(PROGRAM_VARIABLE) {
        let named = PathBuf::from(named);
        return named
            .canonicalize()
            .with_context(|| format!("find {}, which {PROGRAM_VARIABLE} names", named.display()));
    }
    // The whole workspace: for one package alone libraries have other features, and would be built a second time.
    check(&mut cargo(&["build", "-q", "--workspace", "--bins"]))?;
    Ok(target_dir().join("debug/millstream"))
}

/// What the script prints goes to standard error: standard output is the list of files.
fn package(language: &str, out: &Path, program: &Path) -> Result<()> {
    let mut command = Command::new("bash");
    command.arg(root().join(format!("udfs/languages/{language}.sh"))).arg("--package").arg(out).current_dir(root());
    command.env(PROGRAM_VARIABLE, program).env("CARGO_TARGET_DIR", guests::cargo_dir());
    let to_stderr = stderr().as_fd().try_clone_to_owned().context("take standard error")?;
    check(command.stdin(Stdio::null()).stdout(to_stderr))
}

/// Every file under a folder with its size in bytes, by path.
fn made(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("list {}", next.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), entry.metadata()?.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The repository's address in the workspace's manifest, where it is nobody's.
fn placeholder(manifest: &str) -> Option<&str> {
    let (_, rest) = manifest.split_once("\nrepository = \"")?;
    rest.split_once('"').map(|(address, _)| address).filter(|address| address.contains(PLACEHOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_named_must_be_empty() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("a/b");
        assert_eq!(folder(Some(&out)).unwrap(), out.canonicalize().unwrap());
        fs::write(out.join("kept"), "").unwrap();
        assert!(folder(Some(&out)).unwrap_err().to_string().ends_with("is not empty; nothing was made"));
        assert!(out.join("kept").exists());
    }

    #[test]
    fn files_are_listed_by_path_with_their_sizes() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("b/c")).unwrap();
        fs::write(place.path().join("b/c/d"), "12345").unwrap();
        fs::write(place.path().join("a"), "").unwrap();
        let expected = [(place.path().join("a"), 0), (place.path().join("b/c/d"), 5)];
        assert_eq!(made(place.path()).unwrap(), expected);
    }

    #[test]
    fn an_address_that_is_nobodys_is_seen() {
        let manifest = |address: &str| format!("[workspace.package]\nrepository = \"{address}\"\npublish = false\n");
        assert_eq!(placeholder(&manifest("https://a.example/b")), Some("https://a.example/b"));
        assert_eq!(placeholder(&manifest("https://a.org/example")), None);
        assert_eq!(placeholder(""), None);
    }
}
