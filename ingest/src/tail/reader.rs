//! Whole lines of a file that grows, is rotated and is cut short.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use deployline_schemas::UnixMillis;

use super::{
    From,
    checkpoint::{self, Checkpoint},
    written_at,
};
use crate::hooks::digest;

/// Bytes that are read at a time; far below what a hook's body may have.
const CHUNK_BYTES: usize = 64 * 1024;
/// Lines that are handed out at a time: fewer than the events that one request may bring.
const CHUNK_LINES: usize = 200;
/// Longest line; a longer one is passed over.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// What comes before a chunk and is handed out with it, for lines that speak of earlier ones.
const KNOWN_BYTES: u64 = 16 * 1024;
/// How much of a file's beginning tells it from another.
const HEAD_BYTES: u64 = 256;

/// Lines that are new.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Whole lines that were taken before.
    pub known: Vec<u8>,
    /// Whole lines.
    pub lines: Vec<u8>,
    /// Where in the file they begin.
    pub offset: u64,
    /// When the file was last written to.
    pub written_at: UnixMillis,
}

/// Reads one file after another under one name.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    /// Where the place is written down.
    file: PathBuf,
    open: Option<Open>,
    /// The length of what was handed out last.
    n_handed_out: u64,
}

/// The file that is being read, whatever its name is by now.
#[derive(Debug)]
struct Open {
    handle: File,
    place: Checkpoint,
    /// Within a line that is too long.
    skipping: bool,
}

impl Reader {
    /// Goes on where the checkpoint in `folder` says, in the file that it means: also if that has another name by now.
    pub(super) fn open(path: PathBuf, folder: &Path, from: From) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = checkpoint::file(folder, &path);
        let mut reader = Self { path, file, open: None, n_handed_out: 0 };
        match Checkpoint::load(&reader.file)? {
            Some(place) => reader.open = reader.resume(place)?,
            None => {
                reader.open = Open::at_start(&reader.path)?;
                if let Some(open) = reader.open.as_mut().filter(|_| from == From::End) {
                    open.skip_to_end()?;
                    open.place.save(&reader.file)?;
                }
            }
        }
        Ok(reader)
    }

    /// The next whole lines; `None` when there are none now. The same ones again until [`Reader::advance`].
    pub(super) fn next(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            let Some(open) = &mut self.open else {
                self.open = Open::at_start(&self.path)?;
                if self.open.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let is_rotated = !is_file(&self.path, open.place.inode)?;
            open.notice_truncation()?;
            if let Some((chunk, n_bytes)) = open.read(is_rotated)? {
                self.n_handed_out = n_bytes;
                if chunk.lines.is_empty() {
                    self.advance()?;
                    continue;
                }
                return Ok(Some(chunk));
            }
            // The next file may not be there yet.
            if !is_rotated || !self.path.try_exists()? {
                return Ok(None);
            }
            self.open = None;
        }
    }

    /// Writes down that what was handed out last is taken.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.place.offset += std::mem::take(&mut self.n_handed_out);
        open.remember_head()?;
        open.place.save(&self.file)
    }

    /// The file of a checkpoint: under its name, or rotated away beside it; else what has the name now, from its start.
    fn resume(&self, place: Checkpoint) -> io::Result<Option<Open>> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for candidate in std::iter::once(self.path.clone()).chain(beside) {
            let is_meant =
                fs::metadata(&candidate).is_ok_and(|metadata| metadata.is_file() && metadata.ino() == place.inode);
            if is_meant {
                let mut open = Open { handle: File::open(&candidate)?, place: place.clone(), skipping: false };
                if open.has_same_head()? {
                    return Ok(Some(open));
                }
            }
        }
        Open::at_start(&self.path)
    }
}

impl Open {
    fn at_start(path: &Path) -> io::Result<Option<Self>> {
        let handle = match File::open(path) {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = handle.metadata()?.ino();
        let place = Checkpoint { path: path.to_owned(), inode, offset: 0, head_bytes: 0, head: digest(b"") };
        Ok(Some(Self { handle, place, skipping: false }))
    }

    /// To the end of the last whole line.
    fn skip_to_end(&mut self) -> io::Result<()> {
        let length = self.handle.metadata()?.len();
        let begin = length.saturating_sub(MAX_LINE_BYTES as u64);
        let tail = self.bytes(begin, MAX_LINE_BYTES)?;
        self.place.offset = memchr::memrchr(b'\n', &tail).map_or(begin, |at| begin + at as u64 + 1);
        self.remember_head()
    }

    /// Starts over in a file that was cut short, or cut and written anew past the place.
    fn notice_truncation(&mut self) -> io::Result<()> {
        if self.handle.metadata()?.len() < self.place.offset || !self.has_same_head()? {
            tracing::info!(path = %self.place.path.display(), "a log was truncated, reading it from its start");
            self.place = Checkpoint { offset: 0, head_bytes: 0, head: digest(b""), ..self.place.clone() };
            self.skipping = false;
        }
        Ok(())
    }

    /// Whole lines from the place on, with their length in the file. In a file that is `finished` the last line needs
    /// no break.
    fn read(&mut self, finished: bool) -> io::Result<Option<(Chunk, u64)>> {
        let offset = self.place.offset;
        let bytes = self.bytes(offset, CHUNK_BYTES)?;
        let mut breaks = memchr::memchr_iter(b'\n', &bytes).take(CHUNK_LINES);
        let whole = match breaks.by_ref().last() {
            Some(at) => at + 1,
            None if finished && bytes.len() < CHUNK_BYTES => bytes.len(),
            None if bytes.len() > MAX_LINE_BYTES => {
                self.skipping = true;
                bytes.len()
            }
            None => 0,
        };
        if whole == 0 {
            return Ok(None);
        }
        let mut lines = Vec::with_capacity(whole);
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let is_end = line.ends_with(b"\n");
            if !self.skipping && line.len() <= MAX_LINE_BYTES {
                lines.extend_from_slice(line);
            } else if is_end {
                tracing::warn!(path = %self.place.path.display(), "a line of a log is too long and passed over");
            }
            self.skipping &= !is_end;
        }
        let known = self.known_before(offset)?;
        let written_at = written_at(&self.place.path, &self.handle.metadata()?)?;
        Ok(Some((Chunk { known, lines, offset, written_at }, whole as u64)))
    }

    /// Whole lines that end at `offset`.
    fn known_before(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let begin = offset.saturating_sub(KNOWN_BYTES);
        let mut known = self.bytes(begin, (offset - begin) as usize)?;
        if begin > 0 {
            let first_whole = memchr::memchr(b'\n', &known).map_or(known.len(), |at| at + 1);
            known.drain(..first_whole);
        }
        Ok(known)
    }

    fn remember_head(&mut self) -> io::Result<()> {
        let head_bytes = self.place.offset.min(HEAD_BYTES);
        if head_bytes > self.place.head_bytes {
            self.place.head = digest(&self.bytes(0, head_bytes as usize)?);
            self.place.head_bytes = head_bytes;
        }
        Ok(())
    }

    fn has_same_head(&mut self) -> io::Result<bool> {
        let head_bytes = self.place.head_bytes as usize;
        Ok(digest(&self.bytes(0, head_bytes)?) == self.place.head)
    }

    /// Up to so many bytes from a place on, fewer at the end.
    fn bytes(&mut self, offset: u64, n_bytes: usize) -> io::Result<Vec<u8>> {
        self.handle.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&self.handle).take(n_bytes as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether the file of that number has the name.
fn is_file(path: &Path, inode: u64) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.ino() == inode),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
