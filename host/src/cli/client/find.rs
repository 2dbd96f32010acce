//! Where the host is, and its token.
//!
//! The address is, in this order: `--url`; what the host of `--local DIR` wrote to `DIR/url`; MILLSTREAM_URL; the same file in
//! `.millstream/PIPELINE`, or of the one host that runs under `.millstream`; http://127.0.0.1:7070. The token is
//! `--token-file`, MILLSTREAM_TOKEN, or the file `token` in the state directory whose host has that address: a token is
//! never sent to an address that is not its own.

use std::path::{Path, PathBuf};

use anyhow::bail;
use millstream_web::Token;
use millstream_web::access::{TOKEN_FILE, announced};

use super::{CONNECT_TIME_MAX, Connection, Failure};
use crate::cli::run::ADDRESS_DEFAULT;
use crate::runtime::folder::PARENT;

/// The address, and the state directory that named it.
pub fn locate(connection: &Connection, pipeline: Option<&str>) -> anyhow::Result<(String, Option<PathBuf>)> {
    let trimmed = |url: &str| url.trim_end_matches('/').to_string();
    if let Some(url) = &connection.url {
        return Ok((trimmed(url), connection.local.clone()));
    }
    if let Some(dir) = &connection.local {
        let Some(url) = announced(dir)? else {
            let url = dir.display().to_string();
            let why = "no host has written its address there".to_string();
            return Err(Failure::Unreachable { url, why }.into());
        };
        return Ok((trimmed(&url), Some(dir.clone())));
    }
    if let Some(url) = std::env::var("MILLSTREAM_URL").ok().filter(|url| !url.is_empty()) {
        return Ok((trimmed(&url), None));
    }
    let dir = match pipeline {
        Some(name) => Some(Path::new(PARENT).join(name)),
        None => the_one_that_runs(Path::new(PARENT))?,
    };
    match dir.as_deref().map(announced).transpose()?.flatten() {
        Some(url) => Ok((trimmed(&url), dir)),
        None => Ok((format!("http://{ADDRESS_DEFAULT}"), None)),
    }
}

/// The state directory whose host can be reached; `None` where there is none.
fn the_one_that_runs(parent: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Ok(None) };
    let mut dirs: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    dirs.sort();
    let mut named: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        if announced(&dir)?.is_some() {
            named.push(dir);
        }
    }
    if named.len() > 1 {
        // Hosts that were killed leave their address behind.
        named.retain(|dir| announced(dir).is_ok_and(|url| url.is_some_and(|url| listens(&url))));
    }
    match named.as_slice() {
        [] => Ok(None),
        [dir] => Ok(Some(dir.clone())),
        several => {
            let names: Vec<String> = several.iter().map(|d| format!("--local {}", d.display())).collect();
            bail!("several hosts run here; say which one is meant: {}", names.join(", or "))
        }
    }
}

fn listens(url: &str) -> bool {
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.is_some_and(|address| std::net::TcpStream::connect_timeout(&address, CONNECT_TIME_MAX).is_ok())
}

pub fn token(connection: &Connection, url: &str, dir: Option<&Path>) -> anyhow::Result<Option<Token>> {
    if let Some(path) = &connection.token_file {
        return Ok(Some(Token::read(path)?));
    }
    if let Some(text) = std::env::var("MILLSTREAM_TOKEN").ok().filter(|text| !text.is_empty()) {
        let token = Token::new(&text).map_err(|why| anyhow::anyhow!("MILLSTREAM_TOKEN holds no token: {why}"))?;
        return Ok(Some(token));
    }
    let own = match dir {
        Some(dir) => Some(dir.to_path_buf()),
        None => with_address(Path::new(PARENT), url),
    };
    match own.map(|dir| dir.join(TOKEN_FILE)) {
        Some(path) if path.exists() => Ok(Some(Token::read(&path)?)),
        _ => Ok(None),
    }
}

/// The state directory whose host has this address.
fn with_address(parent: &Path, url: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(parent).ok()?;
    let mut dirs = entries.filter_map(|e| Some(e.ok()?.path()));
    dirs.find(|dir| announced(dir).is_ok_and(|there| there.as_deref() == Some(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_host_that_runs_is_found() {
        let parent = tempfile::tempdir().unwrap();
        let dir = |name: &str, url: Option<&str>| {
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            if let Some(url) = url {
                std::fs::write(dir.join("url"), url).unwrap();
            }
            dir
        };
        assert_eq!(the_one_that_runs(&parent.path().join("none")).unwrap(), None);
        dir("never-ran", None);
        assert_eq!(the_one_that_runs(parent.path()).unwrap(), None);
        let killed = dir("killed", Some("http://127.0.0.1:1"));
        assert_eq!(the_one_that_runs(parent.path()).unwrap(), Some(killed));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let runs = dir("runs", Some(&url));
        assert_eq!(the_one_that_runs(parent.path()).unwrap(), Some(runs.clone()));
        dir("too", Some(&url));
        let error = the_one_that_runs(parent.path()).unwrap_err().to_string();
        assert!(error.contains("several hosts") && error.contains("runs, or --local"), "{error}");
        assert_eq!(with_address(parent.path(), "http://127.0.0.1:1"), Some(parent.path().join("killed")));
        assert_eq!(with_address(parent.path(), "http://127.0.0.1:2"), None);
    }
}
