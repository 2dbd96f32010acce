//! The folder of an embedded pipeline: `db` (topics, state, positions, versions), `cache` (compiled functions), and the
//! files by which commands on the same machine find the running host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use millstream_local::Log;
use millstream_rocksdb::{Database, Options};

/// Where folders are made when nothing says otherwise: `.millstream/PIPELINE`.
pub const PARENT: &str = ".millstream";

/// An open folder; while it is open no other process can open it.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Its database.
    pub db: Arc<Database>,
}

impl Folder {
    /// Opens a folder, making it where there is none.
    ///
    /// # Errors
    /// In words for the user: in use by another process, foreign, of a later version, damaged.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let db = Database::open(&path.join("db"), Options::default())?;
        Ok(Self { path: path.to_path_buf(), db: Arc::new(db) })
    }

    /// Its topics, without a host: for filling and reading them before and after one runs.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn log(&self) -> anyhow::Result<Log> {
        Log::open(self.db.clone()).context("open the topics")
    }

    /// Where compiled functions are kept.
    pub fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }
}
