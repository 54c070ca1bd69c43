//! Reads feeds: zstd-compressed lines of JSON, from anyone, so bounded and checked line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes of a file after decompression, at most.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Days that a feed may span: a century.
const DAYS_MAX: i64 = 36_525;

/// Why feeds could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error("cannot list {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{path} holds no feed: no file there is named NAME.daily.jsonl.zst")]
    Empty { path: PathBuf },
    #[error("cannot read {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: the file is damaged or cut short")]
    Damaged { path: PathBuf, line: usize, source: io::Error },
    #[error("{path}, line {line}: not what the format says")]
    Json { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("{path}, line {line}: {what}")]
    Shape { path: PathBuf, line: usize, what: String },
}

/// A feed: its honest days, and its fault cases.
pub(crate) struct Feed {
    pub(crate) name: String,
    pub(crate) order: Order,
    pub(crate) days: Vec<Day>,
    pub(crate) cases: Vec<Case>,
}

/// In which order the source lists users, groups and resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Created,
    Id,
}

#[derive(Deserialize)]
struct Header {
    v: u64,
    feed: String,
    order: Order,
}

/// One day with a change.
#[derive(Deserialize)]
pub(crate) struct Day {
    pub(crate) day: i64,
    #[serde(flatten)]
    pub(crate) delta: Delta,
}

/// What is different.
#[derive(Default, Deserialize)]
pub(crate) struct Delta {
    #[serde(default)]
    pub(crate) add: Vec<Value>,
    #[serde(default)]
    pub(crate) del: Vec<Value>,
    #[serde(default)]
    pub(crate) chg: Vec<Value>,
    /// Keys that the stream repeats, by type.
    #[serde(default)]
    pub(crate) dup: Map<String, Value>,
}

#[derive(Deserialize)]
struct CaseLine {
    kind: Kind,
    day: i64,
    variant: String,
    class: String,
    affected: u64,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    steps: Vec<Delta>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Single,
    Multi,
}

/// A fault: what one sync, or several in a row, bring instead of the honest state.
pub(crate) struct Case {
    pub(crate) day: i64,
    pub(crate) variant: String,
    pub(crate) class: String,
    pub(crate) affected: u64,
    pub(crate) steps: Vec<Delta>,
    pub(crate) line: usize,
}

/// Every feed of a folder, by name.
pub(crate) fn feeds(folder: &Path) -> Result<Vec<Feed>, FeedError> {
    let at = |source| FeedError::Folder { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        let name = entry.map_err(at)?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".daily.jsonl.zst") {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(FeedError::Empty { path: folder.to_owned() });
    }
    names.sort();
    names.iter().map(|name| feed(folder, name)).collect()
}

fn feed(folder: &Path, name: &str) -> Result<Feed, FeedError> {
    let path = folder.join(format!("{name}.daily.jsonl.zst"));
    let mut lines = Lines::open(&path)?;
    let header: Header = match lines.next()? {
        Some(text) => lines.json(&text)?,
        None => return Err(lines.shape("the file is empty")),
    };
    if header.v != 1 {
        return Err(lines.shape(&format!("version {} of the format is not known", header.v)));
    }
    let mut days: Vec<Day> = Vec::new();
    while let Some(text) = lines.next()? {
        let day: Day = lines.json(&text)?;
        let last = days.last().map(|last| last.day);
        let first = days.first().map_or(day.day, |first| first.day);
        if last.is_some_and(|last| day.day <= last) {
            return Err(lines.shape("days do not ascend"));
        }
        if day.day.checked_sub(first).is_none_or(|span| span > DAYS_MAX) {
            return Err(lines.shape("the feed spans more than a century"));
        }
        days.push(day);
    }
    if days.is_empty() {
        return Err(lines.shape("the feed has no day"));
    }
    Ok(Feed { name: header.feed, order: header.order, days, cases: cases(folder, name)? })
}

fn cases(folder: &Path, name: &str) -> Result<Vec<Case>, FeedError> {
    let path = folder.join(format!("{name}.cases.jsonl.zst"));
    let mut lines = Lines::open(&path)?;
    let mut cases = Vec::new();
    while let Some(text) = lines.next()? {
        let read: CaseLine = lines.json(&text)?;
        let steps = match (read.kind, read.delta) {
            (Kind::Single, Some(delta)) => vec![delta],
            (Kind::Multi, None) if !read.steps.is_empty() && read.steps.len() <= 1_000 => {
                read.steps
            }
            _ => return Err(lines.shape("a single case has a delta, a multi case has steps")),
        };
        let CaseLine { day, variant, class, affected, .. } = read;
        cases.push(Case { day, variant, class, affected, steps, line: lines.line });
    }
    Ok(cases)
}

/// The lines of a compressed file.
struct Lines {
    path: PathBuf,
    line: usize,
    reader: Box<dyn BufRead>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, FeedError> {
        let at = |source| FeedError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(at)?;
        let decoder = zstd::Decoder::new(file).map_err(at)?;
        let reader = Box::new(BufReader::new(decoder.take(FILE_BYTES_MAX)));
        Ok(Self { path: path.to_owned(), line: 0, reader })
    }

    fn next(&mut self) -> Result<Option<String>, FeedError> {
        self.line += 1;
        let mut text = String::new();
        let damaged =
            |source| FeedError::Damaged { path: self.path.clone(), line: self.line, source };
        let length = self.reader.read_line(&mut text).map_err(damaged)?;
        Ok((length > 0).then_some(text))
    }

    fn json<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, FeedError> {
        let (path, line) = (self.path.clone(), self.line);
        serde_json::from_str(text).map_err(|source| FeedError::Json { path, line, source })
    }

    fn shape(&self, what: &str) -> FeedError {
        FeedError::Shape { path: self.path.clone(), line: self.line, what: what.to_owned() }
    }
}
