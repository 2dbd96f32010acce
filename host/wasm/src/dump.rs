//! What is kept of a guest that trapped: its memory, globals and stack, in the [format of core dumps] that debuggers of
//! WebAssembly read. Off unless somebody asks, since a dump holds what the guest had of records.
//!
//! [format of core dumps]: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{AsContextMut, WasmCoreDump};

/// Core dumps kept of each component; the oldest goes first.
pub const CORE_DUMPS_MAX: usize = 8;

/// Time between two dumps of a component, while whole batches fail and not single records: to find one poisoned record takes many
/// calls that trap.
pub const CORE_DUMP_PAUSE: Duration = Duration::from_secs(60);

/// How the file of a dump ends.
pub const CORE_DUMP_SUFFIX: &str = ".core.wasm";

/// Letters of a component's digest in the name of its dumps.
const DIGEST_LETTERS: usize = 12;

/// Where the dumps of one component go.
#[derive(Debug, Default)]
pub(crate) struct Dumps {
    last: Mutex<Option<Instant>>,
}

impl Dumps {
    /// Whether a call that trapped with so many records is worth a dump: each of a single record is, for that is the one.
    fn is_due(&self, records: usize, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if records > 1 && last.is_some_and(|last| now.duration_since(last) < CORE_DUMP_PAUSE) {
            return false;
        }
        *last = Some(now);
        true
    }

    /// Writes the dump that a trap brought, if it brought one; says where, or why not.
    pub(crate) fn keep(
        &self,
        folder: &Path,
        component: &str,
        records: usize,
        error: &wasmtime::Error,
        store: impl AsContextMut,
    ) -> Option<String> {
        let dump = error.downcast_ref::<WasmCoreDump>()?;
        if !self.is_due(records, Instant::now()) {
            return None;
        }
        let bytes = dump.serialize(store, component);
        Some(match write(folder, component, &bytes) {
            Ok(path) => format!("core dump: {}", path.display()),
            Err(why) => format!("no core dump in {}: {why}", folder.display()),
        })
    }
}

fn write(folder: &Path, component: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let digest = component.get(..DIGEST_LETTERS).unwrap_or(component);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    // Of a fixed width, so that names are in the order of time.
    let path = folder.join(format!("{digest}-{now:020}{CORE_DUMP_SUFFIX}"));
    fs::write(&path, bytes)?;
    let mut mine: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|e| e.ok()).map(|e| e.path()).collect();
    mine.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(digest) && name.ends_with(CORE_DUMP_SUFFIX)
    });
    mine.sort();
    for old in &mine[..mine.len().saturating_sub(CORE_DUMPS_MAX)] {
        fs::remove_file(old)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_records_are_dumped_and_batches_now_and_then() {
        let dumps = Dumps::default();
        let start = Instant::now();
        let due = |records, s| dumps.is_due(records, start + Duration::from_secs(s));
        assert_eq!([due(1000, 0), due(500, 1), due(2, 59), due(1, 59)], [true, false, false, true]);
        assert_eq!([due(2, 118), due(2, 119), due(0, 119)], [false, true, true]);
    }

    #[test]
    fn old_dumps_of_the_component_go() {
        let folder = std::env::temp_dir().join(format!("millstream-dumps-{}", std::process::id()));
        let other = write(&folder, &"b".repeat(64), b"other").unwrap();
        let written: Vec<PathBuf> =
            (0..CORE_DUMPS_MAX + 2).map(|n| write(&folder, &"a".repeat(64), &[n as u8]).unwrap()).collect();
        let there: Vec<bool> = written.iter().map(|path| path.exists()).collect();
        assert!(other.exists());
        assert_eq!(there.iter().filter(|there| **there).count(), CORE_DUMPS_MAX);
        assert!(!there[0] && !there[1] && there[2], "the oldest goes first");
        fs::remove_dir_all(folder).unwrap();
    }
}
