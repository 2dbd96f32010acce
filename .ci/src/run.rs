//! Starting other programs: cargo above all. What they print goes straight through.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

/// cargo-deny's release that `deny.toml` was written for.
const DENY_VERSION: &str = "0.20.2";

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's build folder, as `./x` sets it.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// True under continuous integration, by the variable that all of its services set.
pub fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// `cargo ARGS`, in the workspace's folder.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root());
    command
}

/// Becomes `cargo ARGS MORE`, so that signals and the exit code are its own. Returns only if it cannot start.
pub fn become_cargo(args: &[&str], more: &[String]) -> Result<ExitCode> {
    let error = cargo(args).args(more).exec();
    Err(error).context("start cargo")
}

/// Becomes a program, as [`become_cargo`] does.
pub fn become_program(program: &mut Command) -> Result<ExitCode> {
    let error = program.exec();
    Err(error).with_context(|| format!("start {}", name(program)))
}

/// Runs a command to its end; an exit code other than 0 is an error that names the command.
pub fn check(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// What a command prints on standard output; an exit code other than 0 is an error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", name(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what {} printed", name(command)))
}

/// A command as one would type it, cut where it would be longer than a line.
fn name(command: &Command) -> String {
    const WORDS_MAX: usize = 8;
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let mut name = words.iter().take(WORDS_MAX).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if words.len() > WORDS_MAX {
        name.push_str(" …");
    }
    name
}

/// The exit code of a command made of steps that tell their own failure.
pub fn finish(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// rustfmt over the workspace and over the guests, which are not members of it.
pub fn format(check_only: bool) -> Result<()> {
    let mode: &[&str] = if check_only { &["--", "--check"] } else { &[] };
    check(cargo(&["fmt", "--all"]).args(mode))?;
    for manifest in crate::guests::workspaces()? {
        check(cargo(&["fmt", "--all", "--manifest-path"]).arg(manifest).args(mode))?;
    }
    Ok(())
}

/// Clippy over the workspace, tests and examples too, and over the guests; warnings are errors.
pub fn lint() -> Result<()> {
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    crate::guests::lint()
}

/// cargo-deny with `deny.toml`; installed into the cache folder when the machine has none.
///
/// Advisories need the network and change without a change here, so they are asked for by name: `./x deny advisories`.
pub fn deny(args: &[String]) -> Result<ExitCode> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cache")));
    let tools =
        cache.context("find the cache folder: neither XDG_CACHE_HOME nor HOME is set")?.join("millstream/tools");
    let own = tools.join("bin/cargo-deny");
    let on_path = output(Command::new("cargo-deny").arg("--version")).is_ok();
    if !on_path && !own.exists() {
        eprintln!(
            "x: installing cargo-deny {DENY_VERSION} into {}: it checks deny.toml (some minutes)",
            tools.display()
        );
        check(cargo(&["install", "--locked", "cargo-deny", "--version", DENY_VERSION, "--root"]).arg(&tools))?;
    }
    let program = if on_path { Path::new("cargo-deny") } else { &own };
    let mut command = Command::new(program);
    command.current_dir(root()).args(["--all-features", "check"]);
    if args.is_empty() {
        command.args(["bans", "licenses", "sources"]);
    }
    check(command.args(args))?;
    Ok(ExitCode::SUCCESS)
}
