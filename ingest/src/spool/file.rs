//! The spool's two files: the frames, and how far they are drained.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{SpoolError, Waiting};

/// A frame's head: the length of its JSON, little-endian, and the first bytes of its SHA-256.
const HEAD_BYTES: usize = 12;
/// Longer than any record that the bus takes, base64 and JSON escapes included.
const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// The frames of a spool, and the place up to which they are published.
pub(super) struct SpoolFile {
    frames: File,
    drained_path: PathBuf,
    drained_bytes: u64,
    n_bytes: u64,
    limit_bytes: u64,
}

/// Some frames in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their records.
    pub waiting: Vec<Waiting>,
    /// The place behind the last of them.
    pub until: u64,
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError::Io { doing, source }
}

impl SpoolFile {
    /// Opens the files in `dir` and counts the records that wait. What a crash tore at the end is cut off.
    pub fn open(dir: &Path, limit_bytes: u64) -> Result<(Self, u64), SpoolError> {
        fs::create_dir_all(dir).map_err(failed("create"))?;
        let path = dir.join("spool.frames");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let frames = options.open(path).map_err(failed("open"))?;
        let drained_path = dir.join("spool.drained");
        let drained = fs::read_to_string(&drained_path).unwrap_or_default();
        let drained_bytes = drained.trim().parse().unwrap_or(0);
        let n_bytes = frames.metadata().map_err(failed("open"))?.len();
        let mut file = Self { frames, drained_path, drained_bytes, n_bytes, limit_bytes };
        if file.drained_bytes > n_bytes {
            // Somebody emptied the frames by hand.
            file.note(0)?;
        }
        let whole = file.read(usize::MAX)?;
        if whole.until < n_bytes {
            file.frames.set_len(whole.until).map_err(failed("repair"))?;
            file.n_bytes = whole.until;
        }
        Ok((file, whole.waiting.len() as u64))
    }

    /// Appends all records or none, synced.
    pub fn append(&mut self, waiting: &[Waiting]) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        for record in waiting {
            let json = serde_json::to_vec(record).map_err(io::Error::from).map_err(failed("write"))?;
            bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&Sha256::digest(&json)[..HEAD_BYTES - 4]);
            bytes.extend_from_slice(&json);
        }
        if self.n_bytes + bytes.len() as u64 > self.limit_bytes {
            return Err(SpoolError::Full { n_bytes: self.n_bytes, limit_bytes: self.limit_bytes });
        }
        let written = self.write_at_end(&bytes);
        if written.is_err() {
            // Half a frame must not stay in front of the next one.
            self.frames.set_len(self.n_bytes).map_err(failed("repair"))?;
        } else {
            self.n_bytes += bytes.len() as u64;
        }
        written.map_err(failed("write"))
    }

    fn write_at_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.seek(SeekFrom::Start(self.n_bytes))?;
        self.frames.write_all(bytes)?;
        self.frames.sync_data()
    }

    /// Up to `max` records from the drained place on; ends early at a frame that is torn.
    pub fn read(&mut self, max: usize) -> Result<Batch, SpoolError> {
        self.frames.seek(SeekFrom::Start(self.drained_bytes)).map_err(failed("read"))?;
        let mut reader = io::BufReader::new(&self.frames);
        let mut batch = Batch { waiting: Vec::new(), until: self.drained_bytes };
        while batch.waiting.len() < max {
            let Some((waiting, n_bytes)) = frame(&mut reader).map_err(failed("read"))? else { break };
            batch.waiting.push(waiting);
            batch.until += n_bytes;
        }
        Ok(batch)
    }

    /// Notes that the frames before a place are published; forgets them all once the last one is.
    pub fn advance(&mut self, until: u64) -> Result<(), SpoolError> {
        if until < self.n_bytes {
            return self.note(until);
        }
        // In this order: a crash between the two publishes all of them again, and the other order could skip some.
        self.note(0)?;
        self.frames.set_len(0).map_err(failed("empty"))?;
        self.n_bytes = 0;
        Ok(())
    }

    fn note(&mut self, until: u64) -> Result<(), SpoolError> {
        let fresh = self.drained_path.with_extension("fresh");
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(until.to_string().as_bytes())?;
            file.sync_data()?;
            fs::rename(&fresh, &self.drained_path)?;
            // A place from before the frames were last emptied must not come back after a power cut.
            self.drained_path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        write().map_err(failed("note the drained place of"))?;
        self.drained_bytes = until;
        Ok(())
    }
}

/// The next whole frame and its length, `None` at the end or at a torn one.
fn frame(reader: &mut impl Read) -> io::Result<Option<(Waiting, u64)>> {
    let mut head = [0; HEAD_BYTES];
    if !fill(reader, &mut head)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > MAX_FRAME_BYTES {
        return Ok(None);
    }
    let mut json = vec![0; length];
    if !fill(reader, &mut json)? || Sha256::digest(&json)[..HEAD_BYTES - 4] != head[4..] {
        return Ok(None);
    }
    let waiting = serde_json::from_slice(&json).ok();
    Ok(waiting.map(|waiting| (waiting, (HEAD_BYTES + length) as u64)))
}

/// Fills a buffer; `false` when the file ends first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> Waiting {
        Waiting {
            topic: "deploys".to_owned(),
            key: n.to_string(),
            headers: Vec::new(),
            value: "x".repeat(n),
            base64: false,
        }
    }

    fn keys(batch: &Batch) -> Vec<&str> {
        batch.waiting.iter().map(|waiting| waiting.key.as_str()).collect()
    }

    #[test]
    fn what_waits_survives_a_restart_and_drains_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, n_records) = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(n_records, 0);
        file.append(&[record(1), record(2)]).unwrap();
        file.append(&[record(3)]).unwrap();
        let batch = file.read(2).unwrap();
        assert_eq!(keys(&batch), ["1", "2"]);
        file.advance(batch.until).unwrap();
        drop(file);
        let (mut file, n_records) = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(n_records, 1);
        let batch = file.read(10).unwrap();
        assert_eq!(keys(&batch), ["3"]);
        file.advance(batch.until).unwrap();
        assert_eq!(file.n_bytes, 0);
        assert!(file.read(10).unwrap().waiting.is_empty());
        file.append(&[record(4)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["4"]);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_what_comes_after_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        file.append(&[record(1), record(2)]).unwrap();
        let n_bytes = file.n_bytes;
        file.frames.set_len(n_bytes - 3).unwrap();
        drop(file);
        let (mut file, n_records) = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(n_records, 1);
        file.append(&[record(5)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["1", "5"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = SpoolFile::open(dir.path(), 300).unwrap();
        file.append(&[record(10)]).unwrap();
        assert!(matches!(file.append(&[record(10), record(300)]), Err(SpoolError::Full { .. })));
        assert_eq!(keys(&file.read(10).unwrap()), ["10"]);
    }

    #[test]
    fn emptied_frames_with_an_old_place_start_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("spool.drained"), "999").unwrap();
        let (mut file, n_records) = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((n_records, file.drained_bytes), (0, 0));
        file.append(&[record(1)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["1"]);
    }
}
