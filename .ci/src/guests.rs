//! Sample functions from source: built when their inputs changed, each result kept in a folder named by those inputs.
//!
//! How each is built is not here but in `udfs/build.sh OUT`, which leaves `OUT/NAME.wasm` for every function. It is
//! given an environment in which a plain `cargo build --release --target wasm32-unknown-unknown` makes a component.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::{
    counts::{Counts, run_counting},
    run::{cargo, check, output, root, target_dir},
};

/// The environment variable by which tests find the built functions.
pub const FOLDER_VARIABLE: &str = "MILLSTREAM_UDFS";

/// Builds kept side by side, the newest ones; going back to another branch then costs nothing.
const BUILDS_KEPT: usize = 8;

/// Where everything that a function is made of lies.
const INPUTS: [&str; 3] = ["guest-sdk", "udfs", "wit"];

/// Builds all functions, or finds them built, and answers with their folder.
pub fn build() -> Result<PathBuf> {
    let script = root().join("udfs/build.sh");
    ensure!(script.exists(), "udfs/build.sh is missing");
    let all = target_dir().join("guests");
    let out = all.join(fingerprint()?);
    if out.is_dir() {
        eprintln!("unchanged: {}", out.display());
        return Ok(out);
    }
    fs::create_dir_all(&all).with_context(|| format!("create {}", all.display()))?;
    // Built under another name and renamed when whole, so that a folder that exists is complete.
    let unfinished = all.join(format!("unfinished-{}", std::process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    let built = build_into(&script, &unfinished).and_then(|()| {
        fs::rename(&unfinished, &out)
            .or_else(|error| if out.is_dir() { Ok(()) } else { Err(error) })
            .with_context(|| format!("rename {} to {}", unfinished.display(), out.display()))
    });
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("remove {}", unfinished.display()))?;
    }
    built?;
    remove_old(&all)?;
    Ok(out)
}

/// Cargo's folder for guests: one for each checkout, since cargo would take another's functions for up to date.
pub fn cargo_dir() -> PathBuf {
    let checkout = Sha256::digest(root().as_os_str().as_encoded_bytes());
    target_dir().join(format!("guests/cargo-{}", hex(&checkout[..4])))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn build_into(script: &Path, out: &Path) -> Result<()> {
    let mut command = Command::new("bash");
    command.arg(script).arg(out).current_dir(root()).env("CARGO_TARGET_DIR", cargo_dir());
    set_toolchain(&mut command)?;
    check(&mut command)?;
    let made = fs::read_dir(out).with_context(|| format!("list {}", out.display()))?.count();
    ensure!(made > 0, "udfs/build.sh left nothing in {}", out.display());
    Ok(())
}

/// The linker that turns what rustc makes into a component, and where `./x` found no such target, Debian's toolchain.
fn set_toolchain(command: &mut Command) -> Result<()> {
    const LINKER: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";
    if env::var_os("MILLSTREAM_GUEST_TOOLCHAIN").is_some_and(|name| name == "debian") {
        let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        command
            .env("PATH", "/usr/lib/llvm-22/bin:/usr/bin:/bin")
            .env(LINKER, format!("/usr/lib/rustlib/{host}/bin/wasm-component-ld"))
            // Debian ships the standard library of this target as source only.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
        for rustups in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(rustups);
        }
        return Ok(());
    }
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(root()))?;
    let linker = Path::new(sysroot.trim()).join("lib/rustlib").join(host.trim()).join("bin/wasm-component-ld");
    ensure!(linker.exists(), "{} is missing; it comes with the Rust toolchain", linker.display());
    command.env(LINKER, linker);
    Ok(())
}

/// Names the inputs: every file's path and content, and the compiler.
fn fingerprint() -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(output(Command::new("rustc").arg("-vV").current_dir(root()))?);
    hash.update(env::var("MILLSTREAM_GUEST_TOOLCHAIN").unwrap_or_default());
    hash.update(env::var("MILLSTREAM_LANGUAGES").unwrap_or_else(|_| "all".into()));
    // What the lock files under `udfs/languages` do not name; what is missing here is missed by the build.
    for (tool, asks) in [("clang-19", "--version"), ("go", "version"), ("node", "--version")] {
        hash.update(output(Command::new(tool).arg(asks)).unwrap_or_default());
    }
    for path in input_files()? {
        let bytes = fs::read(root().join(&path)).with_context(|| format!("read {path}"))?;
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(&path);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(hex(&hash.finalize()[..8]))
}

fn input_files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // The checkout may belong to someone else than who builds it (containers); only names of files are asked for.
    git.args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "--"]);
    let listed = output(git.args(INPUTS).current_dir(root()))?;
    let paths: BTreeSet<_> = listed.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect();
    Ok(paths.into_iter().collect())
}

fn remove_old(all: &Path) -> Result<()> {
    let mut builds: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(all).with_context(|| format!("list {}", all.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_build = name.len() == 16 && name.to_string_lossy().bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_build {
            builds.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    builds.sort();
    for (_, path) in builds.iter().rev().skip(BUILDS_KEPT) {
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// The guests' own cargo workspaces, as paths of their manifests: they are not members of the host's.
pub fn workspaces() -> Result<Vec<PathBuf>> {
    let mut roots = BTreeSet::new();
    for path in input_files()? {
        if Path::new(&path).file_name().is_some_and(|name| name == "Cargo.toml") {
            let mut locate = cargo(&["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
            roots.insert(PathBuf::from(output(locate.arg(root().join(path)))?.trim()));
        }
    }
    Ok(roots.into_iter().collect())
}

/// Clippy over the guests, natively, and over the SDK for WebAssembly too, where its bindings are. Warnings are errors.
pub fn lint() -> Result<()> {
    for manifest in workspaces()? {
        for target in [&[][..], &["--target", "wasm32-unknown-unknown"]] {
            // Debian's toolchain has no clippy that knows the target.
            if !target.is_empty() && env::var_os("MILLSTREAM_GUEST_TOOLCHAIN").is_some() {
                continue;
            }
            let mut command = cargo(&["clippy", "--workspace", "--manifest-path"]);
            command.arg(&manifest).args(target).env("CARGO_TARGET_DIR", cargo_dir());
            if target.is_empty() {
                command.arg("--all-targets");
            }
            check(command.args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// The languages by their scripts in `udfs/languages`, Rust for its package alone; `MILLSTREAM_LANGUAGES` names
/// fewer.
pub fn languages() -> Result<Vec<String>> {
    if let Ok(named) = env::var("MILLSTREAM_LANGUAGES") {
        return Ok(named.split_whitespace().map(str::to_owned).collect());
    }
    let folder = root().join("udfs/languages");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let name = entry?.file_name();
        if let Some(name) = name.to_string_lossy().strip_suffix(".sh").filter(|name| *name != "lib") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The guests' tests, run natively: Rust's by cargo, the other languages' by their scripts.
pub fn test(counts: &mut Counts) -> Result<()> {
    let mut outcome = Ok(());
    let mut assemble = cargo(&["build", "--quiet", "--locked", "-p", "assemble", "--manifest-path", "udfs/Cargo.toml"]);
    check(assemble.env("CARGO_TARGET_DIR", cargo_dir()))?;
    for language in languages()? {
        let mut command = Command::new("bash");
        command.arg(root().join(format!("udfs/languages/{language}.sh"))).arg("--test").current_dir(root());
        command.env("MILLSTREAM_ASSEMBLE", cargo_dir().join("debug/assemble")).env("CARGO_TARGET_DIR", cargo_dir());
        outcome = outcome.and(run_counting(&mut command, counts).with_context(|| language.clone()));
    }
    for manifest in workspaces()? {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast", "--manifest-path"]);
        command.arg(&manifest).env("CARGO_TARGET_DIR", cargo_dir());
        // The first failure is reported, the rest still run.
        let result = run_counting(&mut command, counts).with_context(|| manifest.display().to_string());
        outcome = outcome.and(result);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_builds_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..BUILDS_KEPT as u64 + 2 {
            let build = folder.path().join(format!("{number:016x}"));
            fs::create_dir(&build).unwrap();
            let age = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + number);
            fs::File::open(&build).unwrap().set_modified(age).unwrap();
        }
        fs::create_dir(folder.path().join("cargo")).unwrap();
        remove_old(folder.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected: Vec<_> = (2..BUILDS_KEPT as u64 + 2).map(|number| format!("{number:016x}")).collect();
        expected.push("cargo".to_owned());
        assert_eq!(left, expected);
    }

    /// The first column of the tables in `udfs/README.md`, where it is code.
    fn listed() -> BTreeSet<String> {
        let text = fs::read_to_string(root().join("udfs/README.md")).unwrap();
        let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        cells.map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn every_function_is_in_the_readme_and_the_other_way_round() {
        let mut there = BTreeSet::new();
        for path in input_files().unwrap() {
            let Some(path) = path.strip_prefix("udfs/") else { continue };
            let parts: Vec<_> = path.split('/').collect();
            if let [folder, _, ..] = parts[..] {
                there.insert(folder.to_owned());
            }
            let name = parts[parts.len() - 1];
            if name.starts_with("bad-") {
                there.insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
        assert_eq!(there, listed());
        assert!(there.contains("bad-spin") && there.contains("bad-table"), "{there:?}");
    }

    #[test]
    fn the_guide_shows_functions_that_are_built_and_tested() {
        let guide = fs::read_to_string(root().join("docs/write-a-function.md")).unwrap();
        let blocks = guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        let samples = ["only-logins", "alarm", "only-action"]
            .map(|name| fs::read_to_string(root().join(format!("udfs/{name}-rust/src/lib.rs"))).unwrap());
        assert_eq!(blocks.collect::<Vec<_>>(), samples);
    }

    #[test]
    fn the_fingerprint_is_the_same_for_the_same_inputs() {
        let first = fingerprint().unwrap();
        assert_eq!(first.len(), 16);
        assert_eq!(first, fingerprint().unwrap());
        assert!(input_files().unwrap().contains(&"wit/udf.wit".to_owned()));
    }
}
