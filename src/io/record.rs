//! Recordings: what the engine was told and what it asked for, a JSON object a line.
//!
//! The first line is a header with everything an engine is born with. The last ten minutes are kept
//! in RAM, packed, in segments that each begin with the engine as it was: a recording can be cut out
//! at any time without having been asked for in advance.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::disk::replace;
use crate::config::Config;
use crate::engine::Mode;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::state::Restored;
use crate::time::{Instant, Now};

/// The format of recordings. One that another version of the program reads differently has another number:
/// it is refused by its header rather than misread.
pub const FORMAT: u32 = 4;

/// The first line. `E` is an engine's state; what it is made of is none of a recorder's business.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header<E> {
    pub version: String,
    /// [`FORMAT`] of the program that wrote it; 0 before there were numbers.
    #[serde(default)]
    pub format: u32,
    /// What the engine begins with.
    pub start: Start<E>,
}

/// What an engine begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start<E> {
    Born {
        config: Box<Config>,
        mode: Mode,
        /// What varies from run to run.
        seed: u64,
        /// What earlier runs left.
        restored: Box<Restored>,
        now: Now,
    },
    /// It goes on from here.
    Midway(Box<E>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The engine was told this at that time.
    In(Now, Input),
    /// It asked for this.
    Out(Output),
}

/// This much is kept in RAM at the least.
const KEPT: Duration = Duration::from_secs(600);
/// A segment is closed after this long …
const SEGMENT: Duration = Duration::from_secs(300);
/// … or when its lines have grown so large, in bytes.
const SEGMENT_BYTES: usize = 1 << 20;

/// Keeps the last ten minutes, and everything in a file if asked.
#[derive(Debug)]
pub struct Recorder {
    segments: VecDeque<Segment>,
    file: Option<BufWriter<File>>,
}

/// What has been written since a header.
#[derive(Clone, Debug)]
struct Segment {
    began: Instant,
    /// As large as the engine's state.
    header: Text,
    lines: Text,
}

impl Segment {
    fn new(header: &[u8], began: Instant) -> Self {
        let mut segment = Self { began, header: Text::default(), lines: Text::default() };
        segment.header.push(header);
        segment
    }

    /// Whether so much has happened since its header that the next one is due.
    fn is_full(&self, now: Instant) -> bool {
        now.since(self.began) >= SEGMENT || self.lines.length >= SEGMENT_BYTES
    }
}

/// So much text is packed at once, in bytes: a millisecond's work for a slow processor.
const BLOCK: usize = 32 << 10;

/// Text that is packed (RFC 1951) while it grows. Lines are so much alike that a tenth of them is left.
#[derive(Clone, Debug, Default)]
struct Text {
    /// How long it is, unpacked.
    length: usize,
    /// Each by itself; whoever cuts out a recording shares them.
    packed: Vec<Arc<[u8]>>,
    open: Vec<u8>,
}

impl Text {
    fn push(&mut self, text: &[u8]) {
        self.length += text.len();
        self.open.extend_from_slice(text);
        if self.open.len() >= BLOCK {
            let open = std::mem::take(&mut self.open);
            let mut packed = Vec::new();
            match DeflateEncoder::new(&*open, Compression::fast()).read_to_end(&mut packed) {
                Ok(_) => self.packed.push(packed.into()),
                // Memory is all that is read and written here.
                Err(error) => tracing::debug!(%error, "a part of the recording is lost"),
            }
        }
    }

    fn unpack(&self, into: &mut Vec<u8>) -> io::Result<()> {
        for block in &self.packed {
            DeflateDecoder::new(&**block).read_to_end(into)?;
        }
        into.extend_from_slice(&self.open);
        Ok(())
    }
}

/// A recording that was cut out, still packed.
#[derive(Debug)]
pub struct Cut(Vec<Text>);

impl Cut {
    /// One header, then every line since.
    ///
    /// # Errors
    ///
    /// When memory has changed meanwhile.
    pub fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(self.0.iter().map(|part| part.length).sum());
        self.0.iter().try_for_each(|part| part.unpack(&mut text))?;
        Ok(text)
    }
}

impl Recorder {
    /// A recorder that begins with this header; with a file if there is one.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn new<E: Serialize>(
        header: &Header<E>,
        file: Option<File>,
        now: Instant,
    ) -> io::Result<Self> {
        let text = line(header)?;
        let mut file = file.map(BufWriter::new);
        if let Some(file) = &mut file {
            file.write_all(&text)?;
        }
        Ok(Self { segments: VecDeque::from([Segment::new(&text, now)]), file })
    }

    pub fn line(&mut self, entry: &Line) {
        let Ok(text) = line(entry) else { return };
        if let Some(segment) = self.segments.back_mut() {
            segment.lines.push(&text);
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&text)
        {
            tracing::warn!(%error, "the recording ends here");
            self.file = None;
        }
    }

    /// Whether it is time for a new segment.
    #[must_use]
    pub fn wants_segment(&self, now: Instant) -> bool {
        self.segments.back().is_none_or(|segment| segment.is_full(now))
    }

    /// Begins a new segment, and forgets those that are too old.
    pub fn begin_segment<E: Serialize>(&mut self, header: &Header<E>, now: Instant) {
        let Ok(text) = line(header) else { return };
        self.segments.push_back(Segment::new(&text, now));
        // The second one begins what is kept once it is old enough by itself.
        while self.segments.get(1).is_some_and(|second| now.since(second.began) >= KEPT)
            || self.segments.len() > 4
        {
            self.segments.pop_front();
        }
    }

    /// What is kept. Unpacking it takes a while, and can be left to somebody else.
    #[must_use]
    pub fn cut(&self) -> Cut {
        let header = self.segments.front().map(|first| &first.header);
        let lines = self.segments.iter().map(|segment| &segment.lines);
        Cut(header.into_iter().chain(lines).cloned().collect())
    }

    /// Puts everything into the file.
    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            tracing::warn!(%error, "the recording is not complete");
        }
    }
}

/// Keeps a cut-out recording.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn keep(path: &Path, cut: &Cut) -> io::Result<()> {
    replace(path, &cut.text()?)
}

/// The header and the lines of a recording; a line that cannot be read is an error with its number.
///
/// # Errors
///
/// When the file cannot be read or is no recording.
#[cfg(feature = "replay")]
pub fn read<E: for<'de> Deserialize<'de>>(
    path: &Path,
) -> io::Result<(Header<E>, impl Iterator<Item = io::Result<Line>>)> {
    use std::io::BufRead as _;

    let mut lines = io::BufReader::new(File::open(path)?).lines().enumerate();
    let wrong = |number: usize, error: serde_json::Error| {
        let words = format!("line {} is not of a recording: {error}", number + 1);
        io::Error::new(io::ErrorKind::InvalidData, words)
    };
    let (_, first) = lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let first = first?;
    let by: By = serde_json::from_str(&first).map_err(|error| wrong(0, error))?;
    if by.format != FORMAT {
        let words = format!(
            "it was written by sparelink {:.40} in format {}, and this is sparelink {} with format {FORMAT}: \
             replay it with that version",
            by.version,
            by.format,
            env!("CARGO_PKG_VERSION"),
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    let header = serde_json::from_str(&first).map_err(|error| wrong(0, error))?;
    let rest = lines.map(move |(number, text)| {
        serde_json::from_str(&text?).map_err(|error| wrong(number, error))
    });
    Ok((header, rest))
}

/// What every version of the program finds in a header.
#[cfg(feature = "replay")]
#[derive(Deserialize)]
struct By {
    version: String,
    #[serde(default)]
    format: u32,
}

fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_minutes_are_kept_and_begin_with_a_header() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let header = |n: u64| Header {
            version: "1".into(),
            format: FORMAT,
            start: Start::Midway(Box::new(n)),
        };
        let mut recorder = Recorder::new(&header(0), None, at(0)).unwrap();
        for second in 1..2000 {
            if recorder.wants_segment(at(second)) {
                recorder.begin_segment(&header(second), at(second));
            }
            let now = Now { mono: at(second), utc: None };
            recorder.line(&Line::In(now, Input::Timeout));
        }
        let text = String::from_utf8(recorder.cut().text().unwrap()).unwrap();
        assert_eq!(text.matches("midway").count(), 1, "one header");
        assert!(text.starts_with("{\"version\""));
        let lines = text.lines().count() - 1;
        assert!((600..=900).contains(&lines), "{lines} seconds");
    }

    #[cfg(feature = "replay")]
    #[test]
    fn a_recording_of_another_format_is_refused_with_its_version() {
        let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replay/before_formats.jsonl");
        let refused = read::<u64>(Path::new(old)).map(drop).unwrap_err().to_string();
        assert!(refused.starts_with("it was written by sparelink 0.1.0 in format 0"), "{refused}");
        assert_eq!(refused.lines().count(), 1);
        let own = std::env::temp_dir().join(format!("sparelink-record-{}", std::process::id()));
        let now = Now { mono: Instant::ZERO, utc: None };
        let start = Start::Midway(Box::new(7_u64));
        let header = Header { version: "9".into(), format: FORMAT, start };
        let mut recorder = Recorder::new(&header, None, now.mono).unwrap();
        recorder.line(&Line::In(now, Input::Timeout));
        keep(&own, &recorder.cut()).unwrap();
        let (header, lines) = read::<u64>(&own).unwrap();
        assert!(matches!(header.start, Start::Midway(start) if *start == 7));
        assert_eq!(lines.count(), 1);
        std::fs::remove_file(own).unwrap();
    }

    #[test]
    fn what_is_kept_is_packed_and_comes_out_as_it_went_in() {
        let header =
            Header { version: "1".into(), format: FORMAT, start: Start::Midway(Box::new(7_u64)) };
        let mut recorder = Recorder::new(&header, None, Instant::ZERO).unwrap();
        let mut told = line(&header).unwrap();
        for micros in 0..20_000 {
            let entry =
                Line::In(Now { mono: Instant::from_micros(micros), utc: None }, Input::Timeout);
            recorder.line(&entry);
            told.extend(line(&entry).unwrap());
        }
        let cut = recorder.cut();
        assert!(told.len() > 10 * BLOCK, "control: {} bytes", told.len());
        assert!(
            cut.text().unwrap() == told,
            "{} bytes of {}",
            cut.text().unwrap().len(),
            told.len()
        );
        let held = |text: &Text| {
            text.open.capacity() + text.packed.iter().map(|block| block.len()).sum::<usize>()
        };
        let held: usize = cut.0.iter().map(held).sum();
        assert!(held < told.len() / 5 + 2 * BLOCK, "{held} bytes for {}", told.len());
    }

    #[test]
    fn a_large_engine_does_not_shorten_what_is_kept() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let large = "x".repeat(2 * SEGMENT_BYTES);
        let start = || Start::Midway(Box::new(&large));
        let header = || Header { version: "1".into(), format: FORMAT, start: start() };
        let mut recorder = Recorder::new(&header(), None, at(0)).unwrap();
        let mut headers = 0;
        for second in 1..2000 {
            if recorder.wants_segment(at(second)) {
                headers += 1;
                recorder.begin_segment(&header(), at(second));
            }
            let now = Now { mono: at(second), utc: None };
            recorder.line(&Line::In(now, Input::Timeout));
        }
        assert_eq!(headers, 6, "one in five minutes, however large the engine is");
        let text = String::from_utf8(recorder.cut().text().unwrap()).unwrap();
        assert_eq!(text.matches("midway").count(), 1, "one header");
        let lines = text.lines().count() - 1;
        assert!((600..=900).contains(&lines), "{lines} seconds");
    }
}
