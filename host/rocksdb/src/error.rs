//! RocksDB's errors, typed by what the receiver must do.

use std::path::{Path, PathBuf};

use millstream_core::state::keyspace::StorageError;
use rocksdb::ErrorKind;

/// Why a database could not be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; stop that one, or give this one a folder of its own", .0.display())]
    InUse(PathBuf),
    /// The folder holds something else.
    #[error("{} is not empty and not a Millstream folder (it has no `{}`); give another folder", .0.display(), crate::marker::FILE)]
    Foreign(PathBuf),
    /// Written by a later version.
    #[error("{} has format {found}, this version reads up to {known}; run the version that wrote it, or a later one", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The newest format known here.
        known: u32,
    },
    /// It cannot be read.
    #[error("{} is damaged: {why}; restore it from a backup, or start over in another folder", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// RocksDB's words.
        why: String,
    },
    /// The disk or the operating system refused.
    #[error("{} cannot be opened: {why}", path.display())]
    Unavailable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn from_rocksdb(path: &Path, error: rocksdb::Error) -> Self {
        let (path, why) = (path.to_path_buf(), error.to_string());
        match error.kind() {
            ErrorKind::IOError if why.contains("lock") || why.contains("LOCK") => OpenError::InUse(path),
            ErrorKind::Corruption | ErrorKind::InvalidArgument => OpenError::Damaged { path, why },
            // A missing file of a database that was there is damage, whatever RocksDB calls it.
            ErrorKind::IOError if why.contains("No such file") => OpenError::Damaged { path, why },
            _ => OpenError::Unavailable { path, why },
        }
    }
}

/// An error of a running database.
pub(crate) fn storage(error: rocksdb::Error) -> StorageError {
    let why = error.to_string();
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::NotSupported | ErrorKind::InvalidArgument => {
            StorageError::Corrupted(why)
        }
        _ => StorageError::Unavailable(why),
    }
}
