//! `assemble FOLDER OUT`: every `bad-*.wat` of a folder as WebAssembly. A file that holds only a core module is put into
//! the shell `filter.wat` first. Runs natively, while building; not a function.

use std::{env, error::Error, fs, path::Path};

/// The line of the shell that the module takes.
const PLACE: &str = ";; the module stands here";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [folder, out] = &arguments[..] else { return Err("usage: assemble FOLDER OUT".into()) };
    let shell = fs::read_to_string(Path::new(folder).join("filter.wat"))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("bad-") || path.extension().is_none_or(|ending| ending != "wat") {
            continue;
        }
        let bytes = assemble(&shell, &fs::read_to_string(&path)?).map_err(|error| format!("{name}.wat: {error}"))?;
        fs::write(Path::new(out).join(format!("{name}.wasm")), bytes)?;
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
