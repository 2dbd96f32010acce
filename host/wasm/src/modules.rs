//! The core modules inside a component, before anything of it is compiled: each may have one memory. Nothing is judged here
//! that the compiler judges itself.
//!
//! The engine takes modules of several memories, since those it makes itself, to hand texts and lists from one component
//! inside a file to another, have two. A function's own modules need none of that: what no guest of the contract uses is not
//! offered to those who would look for a hole in it.

use wasmparser::{Parser, Payload, TypeRef};

use crate::limits::MODULE_MEMORIES_MAX;

/// Whether every core module of a component, at any depth, keeps to [`MODULE_MEMORIES_MAX`]; else the reason.
///
/// What cannot be read is a reason too: nothing passes here that was not seen whole.
pub(crate) fn memories(component: &[u8]) -> Result<(), String> {
    // Of each module or component that is open, the memories; components have none of their own.
    let mut open: Vec<u64> = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(unreadable)?;
        let more = match payload {
            Payload::Version { .. } => {
                open.push(0);
                continue;
            }
            Payload::End(_) => {
                open.pop();
                continue;
            }
            Payload::MemorySection(memories) => memories.count().into(),
            Payload::ImportSection(imports) => {
                let mut found = 0;
                for import in imports.into_imports() {
                    found += u64::from(matches!(import.map_err(unreadable)?.ty, TypeRef::Memory(_)));
                }
                found
            }
            _ => continue,
        };
        let Some(memories) = open.last_mut() else { continue };
        *memories += more;
        if *memories > MODULE_MEMORIES_MAX.into() {
            return Err(format!(
                "one of the core modules in it has {memories} memories, its own and those it imports; a module may have \
                 {MODULE_MEMORIES_MAX}: build it without several memories"
            ));
        }
    }
    Ok(())
}

fn unreadable(why: wasmparser::BinaryReaderError) -> String {
    format!("it is no valid component: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(), String> {
        memories(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_module_has_one_memory_its_own_or_an_imported_one() {
        for few in [
            "(component)",
            "(component (core module))",
            "(component (core module (memory 1)))",
            r#"(component (core module (import "" "a" (memory 1)) (import "" "f" (func))))"#,
            // As many modules as you like, beside each other and within components.
            "(component (core module (memory 1)) (core module (memory 1)) (component (core module (memory 1))))",
        ] {
            assert_eq!(of(few), Ok(()), "{few}");
        }
        for (count, many) in [
            (2, "(component (core module (memory 1) (memory 1)))"),
            (2, r#"(component (core module (import "" "a" (memory 1)) (memory 1)))"#),
            (2, r#"(component (core module (import "" "a" (memory 1)) (import "" "b" (memory 1))))"#),
            (3, "(component (core module (memory 1)) (component (core module (memory 1) (memory 1) (memory 1))))"),
            // Behind a component that has ended.
            (2, "(component (component (core module (memory 1))) (core module (memory 0) (memory 0)))"),
        ] {
            let why = of(many).unwrap_err();
            assert!(why.contains(&format!("has {count} memories")) && why.contains("a module may have 1"), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_pass() {
        let whole = wat::parse_str("(component (core module (memory 1)))").unwrap();
        assert_eq!(memories(&whole), Ok(()));
        for length in 9..whole.len() {
            let why = memories(&whole[..length]).unwrap_err();
            assert!(why.starts_with("it is no valid component: "), "{why}");
        }
    }
}
