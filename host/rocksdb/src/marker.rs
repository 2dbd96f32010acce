//! The file that says whose folder it is and in which format.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::OpenError;

/// Its name.
pub const FILE: &str = "MILLSTREAM";

/// The newest format that this version reads and writes.
pub const FORMAT: u32 = 1;

fn unavailable(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Unavailable { path: path.to_path_buf(), why: error.to_string() }
}

/// Refuses folders of others and of later versions. Gives whether a database was made there.
pub fn check(path: &Path) -> Result<bool, OpenError> {
    std::fs::create_dir_all(path).map_err(|e| unavailable(path, &e))?;
    match std::fs::read_to_string(path.join(FILE)) {
        Ok(text) => {
            let found = text.trim().strip_prefix("format ").unwrap_or(text.trim()).to_string();
            match found.parse::<u32>() {
                Ok(format) if format <= FORMAT => Ok(true),
                _ => Err(OpenError::Newer { path: path.to_path_buf(), found, known: FORMAT }),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut entries = std::fs::read_dir(path).map_err(|e| unavailable(path, &e))?;
            match entries.next() {
                None => Ok(false),
                Some(_) => Err(OpenError::Foreign(path.to_path_buf())),
            }
        }
        Err(error) => Err(unavailable(path, &error)),
    }
}

/// Marks the folder as ours.
pub fn write(path: &Path) -> Result<(), OpenError> {
    let file = path.join(FILE);
    if file.exists() {
        return Ok(());
    }
    std::fs::write(&file, format!("format {FORMAT}\n")).map_err(|e| unavailable(path, &e))
}
