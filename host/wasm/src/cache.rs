//! Compiled code in a folder of its own. A file's name says which engine made it from which component, and what its bytes
//! must be; what does not fit its name is thrown away, never run. Who makes the code is `compile`.
//!
//! `{engine and settings}-{sha-256 of the component}.{sha-256 of the code}.cwasm`

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempDir};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest;

/// Bytes of compiled code that a folder keeps; the oldest files go first.
pub const CACHE_BYTES_MAX: u64 = 2 << 30;

/// Age at which a temporary file is taken for left over from a host that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3600);

const TEMPORARY: &str = "unfinished-";
const ENDING: &str = ".cwasm";

/// A folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    engine: String,
    bytes_max: u64,
    /// Removes the folder at the end, where nobody named one.
    _temporary: Option<TempDir>,
}

impl Cache {
    /// Opens `folder`, or a temporary one; `engine` is the engine's fingerprint.
    ///
    /// # Errors
    /// When it cannot be made, belongs to another user, or others may write to it.
    pub(crate) fn open(folder: Option<&Path>, engine: String, bytes_max: u64) -> io::Result<Self> {
        let temporary = if folder.is_none() { Some(TempDir::with_prefix("millstream-functions-")?) } else { None };
        let folder = match (folder, &temporary) {
            (Some(folder), _) => folder.to_path_buf(),
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => unreachable!("made above"),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let about = fs::metadata(&folder)?;
        let mode = about.mode() & 0o777;
        if about.uid() != rustix::process::geteuid().as_raw() || mode & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "code in {} is run as it is, so the folder must be this user's alone; it belongs to user {} with \
                     mode {mode:03o}: remove it, or name another folder",
                    folder.display(),
                    about.uid()
                ),
            ));
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let cache = Self { folder, engine, bytes_max, _temporary: temporary };
        cache.tidy(None)?;
        Ok(cache)
    }

    /// The compiled code of the component with this digest, if it is there and whole.
    pub(crate) fn get(&self, engine: &Engine, component: &str) -> io::Result<Option<Component>> {
        let prefix = format!("{}-{component}.", self.engine);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(|n| n.strip_prefix(&prefix)).and_then(|n| n.strip_suffix(ENDING))
            else {
                continue;
            };
            if whole(&entry.path(), digest)
                && let Ok(component) = load(engine, &entry.path())
            {
                return Ok(Some(component));
            }
            fs::remove_file(entry.path())?;
        }
        Ok(None)
    }

    /// A file to compile into; it is nothing until [`Cache::put`].
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.folder)
    }

    /// The engine whose code is here.
    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// Takes compiled code in, under the name that says what it is; gives where it is.
    pub(crate) fn put(&self, component: &str, code: NamedTempFile) -> io::Result<PathBuf> {
        let mut file = File::open(code.path())?;
        let digest = digest::sha256_file(&mut file)?;
        code.as_file().set_permissions(Permissions::from_mode(0o400))?;
        let path = self.folder.join(format!("{}-{component}.{digest}{ENDING}", self.engine));
        code.persist(&path).map_err(|e| e.error)?;
        self.tidy(Some(&path))?;
        Ok(path)
    }

    /// Removes what is left over, and the oldest code while there is more than may be kept. Code that runs stays mapped.
    fn tidy(&self, keep: Option<&Path>) -> io::Result<()> {
        let mut code = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Another host may have removed it since.
            let Ok(about) = entry.metadata() else { continue };
            let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if name.ends_with(ENDING) {
                code.push((changed, about.len(), entry.path()));
            } else if name.starts_with(TEMPORARY) && changed.elapsed().is_ok_and(|age| age > LEFT_OVER) {
                let _ = fs::remove_file(entry.path());
            }
        }
        code.sort();
        let mut bytes: u64 = code.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in code {
            if bytes > self.bytes_max && keep != Some(&path) {
                fs::remove_file(&path)?;
                bytes -= len;
            }
        }
        Ok(())
    }
}

/// Whether a file is ours and its bytes have this digest.
fn whole(path: &Path, digest: &str) -> bool {
    let ours = fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.uid() == rustix::process::geteuid().as_raw());
    ours && File::open(path).and_then(|mut file| digest::sha256_file(&mut file)).is_ok_and(|d| d == digest)
}

/// Code from a file of the cache: one that [`Cache::put`] has just named, or that is [`whole`].
///
/// # Errors
/// Why the engine does not take it, in wasmtime's words.
pub(crate) fn load(engine: &Engine, path: &Path) -> Result<Component, String> {
    // SAFETY: the bytes must be `precompile_component`'s own, and stay as they are while mapped. The folder is ours alone
    // (checked when opened: owner, mode); only `put` names files in it, by the digest of what our child process wrote;
    // callers have that digest compared, or the file just put there; `put` made it read-only, and files are removed,
    // never written again.
    unsafe { Component::deserialize_file(engine, path) }.map_err(|e| format!("{e:#}"))
}
