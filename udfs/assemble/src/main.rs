//! What a build needs to make components of what compilers and people write. Runs natively, while building; not a
//! function. [`HELP`] says what each command does.

mod component;

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

/// The line of the shell that the module takes.
const PLACE: &str = ";; the module stands here";

const HELP: &str = "\
usage: assemble FOLDER OUT
  Every bad-*.wat of FOLDER as WebAssembly in OUT. A file that holds only a core module is put into the shell
  FOLDER/filter.wat first.

       assemble component IN WIT_DIR WORLD OUT [--adapt NAME=FILE]...
  Makes a component of a core module.
  IN       the core module, .wasm or .wat. It exports a function of the contract as INTERFACE#FUNCTION
           (millstream:udf/filter@0.1.0#keep), imports one as module INTERFACE, name FUNCTION, and gives its memory as
           `memory` and its allocator as `cabi_realloc`: the names that wit-bindgen gives in every language.
  WIT_DIR  the folder with the contract, udf.wit. A module that already says its types (wit-bindgen puts them into a
           section of their own) may say the same.
  WORLD    which world of the contract it is; `-` makes the world of the interfaces whose functions the module exports.
  OUT      the component. It is validated. Debug information (.debug_*) is left out; the functions' names stay.
  --adapt  NAME=FILE: a module (.wasm or .wat) that answers what IN imports from NAME, and may need nothing but IN's
           memory, as one that stands for wasi_snapshot_preview1. May come several times. What IN imports from
           elsewhere than the contract and has no adapter for is refused, by name.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match &words[..] {
        ["-h" | "--help"] => {
            print!("{HELP}");
            Ok(())
        }
        ["component", rest @ ..] => componentize(rest),
        [folder, out] => assemble_all(Path::new(folder), Path::new(out)),
        _ => usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("assemble: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Result<()> {
    bail!("{HELP}")
}

fn componentize(words: &[&str]) -> Result<()> {
    let [input, wit, world, out, options @ ..] = words else { return usage() };
    let mut adapters = Vec::new();
    for pair in options.chunks(2) {
        let &["--adapt", named] = pair else { return usage() };
        let (name, file) = named.split_once('=').context("--adapt takes NAME=FILE")?;
        adapters.push((name, wat::parse_file(file)?));
    }
    let world = Some(*world).filter(|world| *world != "-");
    let module = wat::parse_file(input)?;
    let made = component::encode(&module, Path::new(wit), world, &adapters).with_context(|| (*input).to_owned())?;
    fs::write(out, made).with_context(|| format!("write {out}"))
}

fn assemble_all(folder: &Path, out: &Path) -> Result<()> {
    let shell = fs::read_to_string(folder.join("filter.wat")).context("read the shell, filter.wat")?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("bad-") || path.extension().is_none_or(|ending| ending != "wat") {
            continue;
        }
        let bytes = assemble(&shell, &fs::read_to_string(&path)?).with_context(|| format!("{name}.wat"))?;
        fs::write(out.join(format!("{name}.wasm")), bytes)?;
    }
    Ok(())
}

fn assemble(shell: &str, text: &str) -> Result<Vec<u8>, wat::Error> {
    let whole = ["(component", "(module"].iter().any(|start| text.lines().any(|line| line.starts_with(start)));
    if whole { wat::parse_str(text) } else { wat::parse_str(shell.replace(PLACE, text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first eight bytes: a component has layer 1.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn only_what_is_not_whole_gets_the_shell() {
        let shell = format!("(component {PLACE}\n)");
        assert_eq!(assemble(&shell, ";; A module.\n(core module $m)\n").unwrap()[..8], *COMPONENT);
        assert_eq!(assemble(&shell, ";; A module.\n(module)\n").unwrap(), MODULE);
        assert!(assemble(&shell, "(core modul)").is_err());
    }
}
