//! The text of transcripts: blocks of a command and, below four dashes, what came out; words of a command; durations.

/// A command and, where the file has it, its answer is below; only the command is of use, as the answer is made anew.
pub struct Block {
    pub command: Vec<String>,
}

/// Cuts a transcript into blocks. A block without dashes is a comment.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let (mut command, mut answering) = (Vec::new(), false);
    for line in text.lines().chain([""]) {
        match line.trim_end() {
            "" if !command.is_empty() => {
                out.push(Block { command: std::mem::take(&mut command) });
                answering = false;
            }
            "" => {}
            "----" => answering = true,
            line if !answering => command.push(line.to_string()),
            _ => {}
        }
    }
    out
}

/// A line's words: those with `=` as options, the others in order.
pub struct Words<'a> {
    pub plain: Vec<&'a str>,
    pub options: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub fn new(line: &'a str) -> Self {
        let (mut plain, mut options) = (Vec::new(), Vec::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(option) => options.push(option),
                None => plain.push(word),
            }
        }
        Self { plain, options }
    }

    pub fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    pub fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    /// A list in an option: `from=a,b`.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.option(name).map(|v| v.split(',').map(str::to_string).collect()).unwrap_or_default()
    }

    /// A number in an option.
    pub fn number(&self, name: &str) -> Result<Option<u32>, String> {
        self.option(name).map(|v| v.parse().map_err(|e| format!("{name}={v}: {e}"))).transpose()
    }
}

/// `250`, `250ms`, `10s`, `5m`, `max`, each perhaps with `-` in front; milliseconds.
pub fn time(text: &str) -> Result<i64, String> {
    if let Some(rest) = text.strip_prefix("max") {
        return Ok(i64::MAX + if rest.is_empty() { 0 } else { time(rest)? });
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|e| format!("{text}: {e}"))?;
    let unit = match &text[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        other => return Err(format!("{text}: what is `{other}`?")),
    };
    Ok(number * unit)
}

/// Bytes for reading: text, in quotes where it has spaces, or hexadecimal; `-` for null.
pub fn show(bytes: Option<&[u8]>) -> String {
    match bytes.map(|b| (std::str::from_utf8(b), b)) {
        None => "-".into(),
        Some((Ok(text), _)) if !text.contains(|c: char| c.is_control()) => {
            if text.contains(' ') {
                format!("{text:?}")
            } else {
                text.into()
            }
        }
        Some((_, bytes)) => format!("0x{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    }
}
