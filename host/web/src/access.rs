//! Two files by which programs on the same machine find and may change a host: `token` and `url` in its state directory.
//! Both sides of it: the host makes them, clients read them. Not the check itself, which is `guard`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name of the file with the token.
pub const TOKEN_FILE: &str = "token";

/// Name of the file with the address of the running host.
pub const URL_FILE: &str = "url";

/// Random bytes in a token; the file has twice as many hexadecimal digits.
const TOKEN_BYTES: usize = 32;

/// The shortest token that is taken, in characters: what is shorter can be guessed.
pub const TOKEN_CHARS_MIN: usize = 16;

/// The longest token that is taken, in characters.
pub const TOKEN_CHARS_MAX: usize = 256;

/// Why there is no token or no address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{what} {path}: {why}", path = path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it could not be done; the message says it.
        why: io::Error,
    },
    /// The token's file can be read by others.
    #[error("{path} can be read by others (mode {mode:o}); `chmod 600` it, or delete it for a new token", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The text is no token.
    #[error("{path} holds no token: {why}", path = path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |why| Error::File { what, path, why }
}

/// `N` bytes that nobody can guess, in hexadecimal.
///
/// # Errors
/// When the system has none.
pub fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// What a client must show to change something. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Takes a token from a user.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < TOKEN_CHARS_MIN || text.len() > TOKEN_CHARS_MAX {
            return Err(format!(
                "it has {} characters, and must have {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX}",
                text.len()
            ));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("only visible ASCII characters are allowed in it".into());
        }
        Ok(Self(text.to_string()))
    }

    /// A new one.
    fn random() -> Result<Self, io::Error> {
        random_hex::<TOKEN_BYTES>().map(Self)
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it holds none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(file("read", path))?;
        let mode = fs::metadata(path).map_err(file("look at", path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::Open { path: path.into(), mode });
        }
        Token::new(&text).map_err(|why| Error::NoToken { path: path.into(), why })
    }

    /// For the header of a request.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is this token, in a time that does not tell how much of it is right.
    pub fn is(&self, shown: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut differ = own.len() ^ shown.len();
        for (i, byte) in own.iter().enumerate() {
            // Always the whole of our own; where the other ends, it is compared with 0, which no token holds.
            differ |= usize::from(std::hint::black_box(byte ^ shown.get(i).copied().unwrap_or(0)));
        }
        std::hint::black_box(differ) == 0
    }
}

/// The state directory of a host, for access to it.
#[derive(Debug)]
pub struct Access {
    dir: PathBuf,
    token: Token,
}

impl Access {
    /// Opens a state directory, which exists, and makes its token at the first time.
    ///
    /// # Errors
    /// Those of [`Token::read`]; when the file cannot be made.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(TOKEN_FILE);
        let token = match Token::read(&path) {
            Err(Error::File { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                let token = Token::random().map_err(file("make", &path))?;
                write_new(&path, token.secret()).map_err(file("write", &path))?;
                token
            }
            other => other?,
        };
        Ok(Self { dir: dir.into(), token })
    }

    /// The token.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Says where the host can be reached.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, url: &str) -> Result<(), Error> {
        let path = self.dir.join(URL_FILE);
        write_new(&path, url).map_err(file("write", &path))
    }

    /// Takes back what [`Access::announce`] said, as well as it can.
    pub fn withdraw(&self) {
        // A file that stays says no more than a host that was killed leaves behind.
        let _ = fs::remove_file(self.dir.join(URL_FILE));
    }
}

/// Where the host of a state directory said that it can be reached; `None` where none runs.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn announced(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join(URL_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_string()).filter(|t| !t.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file("read", &path)(error)),
    }
}

/// Writes a small file whole or not at all, for its owner only.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = Access::open(dir.path()).unwrap();
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.token().secret().len(), 2 * TOKEN_BYTES);
        assert_eq!(Access::open(dir.path()).unwrap().token(), first.token());
        assert!(!format!("{first:?}").contains(first.token().secret()));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Access::open(other.path()).unwrap().token(), first.token());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Access::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn only_the_whole_token_is_it() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef0", b"1123456789abcdef"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert!(Token::new(&"a".repeat(TOKEN_CHARS_MIN)).is_ok() && Token::new(&"a".repeat(TOKEN_CHARS_MAX)).is_ok());
        assert!(Token::new(&"a".repeat(TOKEN_CHARS_MIN - 1)).unwrap_err().contains("16 to 256"));
        assert!(Token::new(&"a".repeat(TOKEN_CHARS_MAX + 1)).unwrap_err().contains("257"));
        assert!(Token::new("0123456789 abcdef").unwrap_err().contains("visible ASCII"));
    }

    #[test]
    fn the_address_is_said_and_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path()).unwrap();
        assert_eq!(announced(dir.path()).unwrap(), None);
        access.announce("http://127.0.0.1:1").unwrap();
        access.announce("http://127.0.0.1:2").unwrap();
        assert_eq!(announced(dir.path()).unwrap().as_deref(), Some("http://127.0.0.1:2"));
        access.withdraw();
        assert_eq!(announced(dir.path()).unwrap(), None);
    }
}
