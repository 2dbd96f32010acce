//! Lines to be produced: read on a thread of their own, cut into batches at newlines. Not what a line means.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that may wait to be sent: what is read ahead is bounded.
const PIECES_AHEAD: usize = 4;

/// How often the end of a file that is followed is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// Where lines come from.
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File {
        /// The file as it was opened.
        file: File,
        /// Its path, for when another one takes its place.
        path: PathBuf,
        /// Whether to wait for more at its end.
        follow: bool,
    },
}

impl Input {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, follow: bool) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdin);
        }
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        if file.metadata()?.is_dir() {
            anyhow::bail!("{} is a folder; name a file", path.display());
        }
        Ok(Self::File { file, path: path.into(), follow })
    }

    /// How many bytes there are; unknown for what has no end.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::File { file, follow: false, .. } => file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len()),
            _ => None,
        }
    }

    /// Starts to read; pieces come until the end or the first failure.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn read(self) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
        let (sender, pieces) = sync_channel(PIECES_AHEAD);
        std::thread::Builder::new().name("input".into()).spawn(move || {
            let outcome = match self {
                Self::Stdin => pump(&mut io::stdin().lock(), &sender).map(|_| ()),
                Self::File { mut file, follow: false, .. } => pump(&mut file, &sender).map(|_| ()),
                Self::File { file, path, follow: true } => follow(file, &path, &sender),
            };
            if let Err(error) = outcome {
                // Nobody listens any more when sending has failed.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(pieces)
    }
}

type Pieces = SyncSender<io::Result<Vec<u8>>>;

/// Whether somebody still takes pieces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

/// Sends all there is.
fn pump(from: &mut dyn Read, to: &Pieces) -> io::Result<Listener> {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        match from.read(&mut piece) {
            Ok(0) => return Ok(Listener::There),
            Ok(bytes) => {
                piece.truncate(bytes);
                if to.send(Ok(piece)).is_err() {
                    return Ok(Listener::Gone);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends all there is and what comes. A file that another one has replaced is read to its end first; one that was cut is
/// read from its beginning.
fn follow(mut file: File, path: &Path, to: &Pieces) -> io::Result<()> {
    loop {
        if pump(&mut file, to)? == Listener::Gone {
            return Ok(());
        }
        std::thread::sleep(FOLLOW_EVERY);
        let (own, at) = (file.metadata()?, file.stream_position()?);
        if own.len() < at {
            eprintln!("{} was cut; it is read from its beginning", path.display());
            file.seek(SeekFrom::Start(0))?;
            continue;
        }
        // Between two files of a rotation there may be none.
        let Ok(there) = std::fs::metadata(path) else { continue };
        if own.len() == at && (there.ino(), there.dev()) != (own.ino(), own.dev()) {
            let Ok(next) = File::open(path) else { continue };
            // The last line of the old file ends with it.
            if !ends_with_newline(&mut file)? && to.send(Ok(b"\n".to_vec())).is_err() {
                return Ok(());
            }
            file = next;
        }
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Cuts bytes into batches of whole lines.
pub struct Batches {
    bytes: Vec<u8>,
    /// Bytes at the front that have been given out.
    given: usize,
    /// Bytes that were searched for newlines.
    searched: usize,
    /// End of the last whole line found.
    whole: usize,
    /// Lines between `given` and `whole`.
    lines: u64,
    batch_bytes: usize,
    lines_max: u64,
    line_bytes_max: usize,
}

impl Batches {
    /// Batches that end when they have `batch_bytes` or `lines_max` lines; no line may have more than `line_bytes_max`.
    pub fn new(batch_bytes: usize, lines_max: usize, line_bytes_max: usize) -> Self {
        let (bytes, given, searched, whole, lines) = (Vec::new(), 0, 0, 0, 0);
        Self { bytes, given, searched, whole, lines, batch_bytes, lines_max: lines_max as u64, line_bytes_max }
    }

    /// Adds what was read.
    pub fn add(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.given);
        self.searched -= self.given;
        self.whole -= self.given;
        self.given = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// At the end of the input: a last line without a newline is one.
    pub fn end_line(&mut self) {
        if self.bytes.len() > self.given && self.bytes.last() != Some(&b'\n') {
            self.add(b"\n");
        }
    }

    /// Whether there is a whole line that has not been given out.
    pub fn has_lines(&self) -> bool {
        self.lines > 0
    }

    /// The next batch with the number of its lines: a full one, or with `rest` whatever whole lines there are.
    ///
    /// # Errors
    /// When a line is too long.
    pub fn next(&mut self, rest: bool) -> Result<Option<(&[u8], u64)>, String> {
        while self.whole - self.given < self.batch_bytes && self.lines < self.lines_max {
            let newline = self.bytes[self.searched..].iter().position(|b| *b == b'\n');
            self.searched = newline.map_or(self.bytes.len(), |at| self.searched + at + 1);
            if self.searched - self.whole > self.line_bytes_max {
                return Err(format!("the line has more than {} bytes", self.line_bytes_max));
            }
            if newline.is_none() {
                break;
            }
            if self.lines > 0 && self.searched - self.given > self.line_bytes_max {
                // With this line the batch would be larger than a body may be.
                self.searched = self.whole;
                return Ok(Some(self.give()));
            }
            self.whole = self.searched;
            self.lines += 1;
        }
        let full = self.whole - self.given >= self.batch_bytes || self.lines >= self.lines_max;
        if self.lines > 0 && (full || rest) { Ok(Some(self.give())) } else { Ok(None) }
    }

    fn give(&mut self) -> (&[u8], u64) {
        let from = std::mem::replace(&mut self.given, self.whole);
        (&self.bytes[from..self.whole], std::mem::take(&mut self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All batches of an input that comes in pieces.
    fn batches(input: &[u8], piece: usize, cut: &mut Batches) -> Result<Vec<(String, u64)>, String> {
        let mut out = Vec::new();
        let mut take = |cut: &mut Batches, rest| {
            while let Some((lines, count)) = cut.next(rest)? {
                out.push((String::from_utf8_lossy(lines).into_owned(), count));
            }
            Ok::<_, String>(())
        };
        for piece in input.chunks(piece) {
            cut.add(piece);
            take(cut, false)?;
        }
        cut.end_line();
        take(cut, true)?;
        Ok(out)
    }

    #[test]
    fn batches_hold_whole_lines_and_all_of_them() {
        for piece in 1..20 {
            let some = |input: &str| batches(input.as_bytes(), piece, &mut Batches::new(6, 3, 100)).unwrap();
            let got = |pairs: &[(&str, u64)]| pairs.iter().map(|(l, c)| (l.to_string(), *c)).collect::<Vec<_>>();
            assert_eq!(some("ab\ncd\nef\ngh"), got(&[("ab\ncd\n", 2), ("ef\ngh\n", 2)]), "{piece}");
            assert_eq!(some("\n\n\n\n"), got(&[("\n\n\n", 3), ("\n", 1)]), "{piece}");
            assert_eq!(some("a long line\nb"), got(&[("a long line\n", 1), ("b\n", 1)]), "{piece}");
            assert_eq!(some(""), [], "{piece}");
        }
    }

    #[test]
    fn lines_are_bounded_and_so_are_batches_of_large_ones() {
        let line = |bytes: usize| "x".repeat(bytes - 1) + "\n";
        let mut cut = Batches::new(8, 10, 10);
        assert_eq!(batches(line(10).as_bytes(), 3, &mut cut).unwrap().len(), 1);
        let error = batches(line(11).as_bytes(), 3, &mut cut).unwrap_err();
        assert!(error.contains("more than 10 bytes"), "{error}");
        let two = format!("{}{}", line(7), line(7));
        let sizes: Vec<usize> =
            batches(two.as_bytes(), 100, &mut Batches::new(8, 10, 10)).unwrap().iter().map(|b| b.0.len()).collect();
        assert_eq!(sizes, [7, 7], "together they would pass the limit");
        assert!(Batches::new(8, 10, 10).next(true).unwrap().is_none());
    }

    fn received(pieces: &Receiver<io::Result<Vec<u8>>>, bytes: usize) -> String {
        let mut out = Vec::new();
        while out.len() < bytes {
            out.extend(pieces.recv_timeout(Duration::from_secs(10)).unwrap().unwrap());
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_file_that_is_followed_may_grow_be_cut_and_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let append = |text: &str| {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\n");
        let pieces = Input::open(&path, true).unwrap().read().unwrap();
        assert_eq!(received(&pieces, 4), "one\n");
        append("two\nhal");
        assert_eq!(received(&pieces, 7), "two\nhal");
        append("f\n");
        assert_eq!(received(&pieces, 2), "f\n");
        std::fs::write(&path, "cut\n").unwrap();
        assert_eq!(received(&pieces, 4), "cut\n");
        append("no newline");
        assert_eq!(received(&pieces, 10), "no newline");
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        append("new\n");
        assert_eq!(received(&pieces, 5), "\nnew\n");
    }

    #[test]
    fn a_file_that_is_not_followed_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        std::fs::write(&path, "a\nb").unwrap();
        let input = Input::open(&path, false).unwrap();
        assert_eq!(input.bytes(), Some(3));
        let pieces: Vec<_> = input.read().unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(pieces.concat(), b"a\nb");
        assert!(Input::open(&dir.path().join("none"), false).is_err());
        assert!(Input::open(dir.path(), false).is_err());
    }
}
