//! The spool's two files: the frames, and how far they are drained.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use memchr::memmem;
use sha2::{Digest, Sha256};
use tracing::{error, warn};

use super::{SpoolError, Waiting};

/// A frame's head: the length of its JSON, little-endian, and the first bytes of its SHA-256.
const HEAD_BYTES: usize = 12;
/// How the JSON of each frame begins. It stands nowhere else: within a string its quotes are escaped.
const OPENING: &[u8] = br#"{"topic":"#;
/// Longer than any record that the bus takes, base64 and JSON escapes included.
const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// What a disk loses at a time.
const BLOCK_BYTES: u64 = 4096;
/// Most damaged files that are kept aside. Each is at most as long as the spool may be.
const MAX_KEPT_ASIDE: usize = 16;

/// The frames of a spool, and the place up to which they are published.
pub(super) struct SpoolFile {
    dir: PathBuf,
    frames: File,
    drained_bytes: u64,
    n_bytes: u64,
    n_records: u64,
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
    /// Opens the files in `dir` and counts the records that wait, whole frames only.
    pub fn open(dir: &Path, limit_bytes: u64) -> Result<Self, SpoolError> {
        let create = || {
            fs::create_dir_all(dir)?;
            let frames = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(frames_in(dir))?;
            // A record's sync covers its bytes and not the names that lead to them.
            sync_names(dir)?;
            dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_names)?;
            Ok(frames)
        };
        let frames = create().map_err(failed("open"))?;
        let n_bytes = frames.metadata().map_err(failed("open"))?.len();
        let mut file = Self { dir: dir.to_owned(), frames, drained_bytes: 0, n_bytes, n_records: 0, limit_bytes };
        let drained = fs::read_to_string(file.drained_path()).unwrap_or_default();
        file.drained_bytes = drained.trim().parse().unwrap_or(0);
        if file.drained_bytes > n_bytes {
            // Somebody emptied the frames by hand.
            file.note(0)?;
        }
        file.check()?;
        Ok(file)
    }

    /// How many records wait.
    pub fn n_records(&self) -> u64 {
        self.n_records
    }

    fn drained_path(&self) -> PathBuf {
        self.dir.join("spool.drained")
    }

    /// Counts the whole frames that wait. If there is anything else, the file is kept aside and they go on in a new one.
    fn check(&mut self) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        match self.waiting_bytes().and_then(|mut reader| reader.read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if is_lost(&error) => {
                error!(%error, "the disk lost a part of the spool, keeping what can be read around it");
                let (from, until) = (self.drained_bytes, self.n_bytes);
                bytes =
                    salvage(from, until, |block, at| self.frames.read_exact_at(block, at)).map_err(failed("read"))?;
            }
            Err(error) => return Err(failed("read")(error)),
        }
        let whole = whole_frames(&bytes);
        let n_whole_bytes: usize = whole.iter().map(Range::len).sum();
        let n_lost_bytes = (self.n_bytes - self.drained_bytes) - n_whole_bytes as u64;
        if n_lost_bytes > 0 {
            let frames: Vec<&[u8]> = whole.iter().map(|place| &bytes[place.clone()]).collect();
            let kept_in = self.replace(&frames.concat()).map_err(failed("repair"))?;
            let n_whole = whole.len();
            // Nothing is missing in front of the end, and the end is the beginning of a frame.
            if whole.last().map_or(0, |last| last.end) == n_whole_bytes && is_cut_short(&bytes[n_whole_bytes..]) {
                warn!(n_whole, n_lost_bytes, ?kept_in, "a crash tore the spool's last record, which was left out");
            } else {
                error!(n_whole, n_lost_bytes, ?kept_in, "the spool is damaged: acknowledged records cannot be read");
            }
        }
        self.n_records = whole.len() as u64;
        Ok(())
    }

    /// Keeps the file under another name and goes on with these frames. Returns that name, or `None` when there are
    /// [`MAX_KEPT_ASIDE`] of them.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
        let (path, fresh_path) = (frames_in(&self.dir), self.dir.join("spool.frames.fresh"));
        let mut fresh = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&fresh_path)?;
        fresh.write_all(bytes)?;
        fresh.sync_data()?;
        let kept_in = keep_aside(&self.dir, &path)?;
        // In this order: a crash between the two publishes some again, and the other order could skip some.
        self.write_drained(0)?;
        fs::rename(&fresh_path, &path)?;
        self.frames = fresh;
        self.n_bytes = bytes.len() as u64;
        sync_names(&self.dir)?;
        Ok(kept_in)
    }

    /// The bytes from the drained place to the end.
    fn waiting_bytes(&self) -> io::Result<impl Read + '_> {
        (&self.frames).seek(SeekFrom::Start(self.drained_bytes))?;
        Ok(io::BufReader::new(&self.frames).take(self.n_bytes - self.drained_bytes))
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
            self.n_records += waiting.len() as u64;
        }
        written.map_err(failed("write"))
    }

    fn write_at_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.seek(SeekFrom::Start(self.n_bytes))?;
        self.frames.write_all(bytes)?;
        self.frames.sync_data()
    }

    /// Up to `max` records from the drained place on; none only if none wait. A frame that went bad since it was written
    /// is left out, as when opening.
    pub fn read(&mut self, max: usize) -> Result<Batch, SpoolError> {
        match self.scan(max) {
            Ok(batch) if batch.waiting.len() == max || batch.until == self.n_bytes => return Ok(batch),
            Ok(_) => {}
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(failed("read")(error)),
        }
        self.check()?;
        let batch = self.scan(max).map_err(failed("read"))?;
        if batch.waiting.is_empty() && batch.until < self.n_bytes {
            return Err(failed("read")(io::Error::new(io::ErrorKind::InvalidData, "what was just written is damaged")));
        }
        Ok(batch)
    }

    /// As [`SpoolFile::read`], but ends in front of a frame that is not whole.
    fn scan(&self, max: usize) -> io::Result<Batch> {
        let mut reader = self.waiting_bytes()?;
        let mut batch = Batch { waiting: Vec::new(), until: self.drained_bytes };
        while batch.waiting.len() < max {
            let Some((waiting, n_bytes)) = frame(&mut reader)? else { break };
            batch.waiting.push(waiting);
            batch.until += n_bytes;
        }
        Ok(batch)
    }

    /// Notes that the frames before a place, `n_records` of them, are published; forgets them all once the last one is.
    pub fn advance(&mut self, until: u64, n_records: u64) -> Result<(), SpoolError> {
        if until < self.n_bytes {
            self.note(until)?;
            self.n_records = self.n_records.saturating_sub(n_records);
            return Ok(());
        }
        // In this order: a crash between the two publishes all of them again, and the other order could skip some.
        self.note(0)?;
        self.frames.set_len(0).map_err(failed("empty"))?;
        (self.n_bytes, self.n_records) = (0, 0);
        Ok(())
    }

    fn note(&mut self, until: u64) -> Result<(), SpoolError> {
        self.write_drained(until).map_err(failed("note the drained place of"))
    }

    fn write_drained(&mut self, until: u64) -> io::Result<()> {
        let path = self.drained_path();
        let fresh = path.with_extension("fresh");
        let mut file = File::create(&fresh)?;
        file.write_all(until.to_string().as_bytes())?;
        file.sync_data()?;
        fs::rename(&fresh, &path)?;
        // A place from before the frames were last emptied must not come back after a power cut.
        sync_names(&self.dir)?;
        self.drained_bytes = until;
        Ok(())
    }
}

/// Whether the disk says that what it had is gone (EIO): asking again would ask for ever.
fn is_lost(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

/// The bytes between two places as far as they can be read, zeros in the place of the blocks that cannot.
fn salvage(
    from: u64,
    until: u64,
    mut read_exact_at: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (until - from) as usize];
    let mut at = from;
    while at < until {
        // Blocks as the disk has them, so that one that is lost costs nothing else.
        let end = (at / BLOCK_BYTES + 1).saturating_mul(BLOCK_BYTES).min(until);
        let block = &mut bytes[(at - from) as usize..(end - from) as usize];
        match read_exact_at(block, at) {
            Err(error) if is_lost(&error) => block.fill(0),
            read => read?,
        }
        at = end;
    }
    Ok(bytes)
}

fn frames_in(dir: &Path) -> PathBuf {
    dir.join("spool.frames")
}

/// Syncs the names in a directory: of files that are new there, or renamed.
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Gives a file one more name, which stays when the first is taken by another file.
fn keep_aside(dir: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    for n in 1..=MAX_KEPT_ASIDE {
        let aside = dir.join(format!("spool.damaged-{n}"));
        if aside.exists() {
            continue;
        }
        // No second name on some file systems, and then a copy.
        fs::hard_link(path, &aside).or_else(|_| fs::copy(path, &aside).and_then(|_| File::open(&aside)?.sync_all()))?;
        return Ok(Some(aside));
    }
    Ok(None)
}

/// Where the whole frames are. Behind damage the next one is looked for by how it begins, so that a length that is wrong
/// does not hide what follows.
fn whole_frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut whole = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        if let Ok(Some((_, n_bytes))) = frame(&mut &bytes[start..]) {
            let end = start + n_bytes as usize;
            whole.push(start..end);
            start = end;
            continue;
        }
        let next_json = start + 1 + HEAD_BYTES;
        let found = bytes.get(next_json..).and_then(|rest| memmem::find(rest, OPENING));
        start = found.map_or(bytes.len(), |offset| start + 1 + offset);
    }
    whole
}

/// Whether bytes are the beginning of a frame, as an append that was cut short leaves it.
fn is_cut_short(bytes: &[u8]) -> bool {
    let Some(length) = bytes.first_chunk() else { return true };
    let length = u32::from_le_bytes(*length) as usize;
    length <= MAX_FRAME_BYTES && bytes.len() < HEAD_BYTES + length
}

/// The next whole frame and its length, `None` at the end or where there is none.
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

    #[test]
    fn a_block_that_the_disk_lost_costs_its_own_frames_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        let waiting = |n: usize| Waiting {
            topic: "deploys".to_owned(),
            key: n.to_string(),
            headers: Vec::new(),
            value: "x".repeat(1000),
            base64: false,
        };
        file.append(&(0..20).map(waiting).collect::<Vec<_>>()).unwrap();
        let read = |block: &mut [u8], at: u64| match at / BLOCK_BYTES {
            2 => Err(io::Error::from_raw_os_error(5)),
            _ => file.frames.read_exact_at(block, at),
        };
        let bytes = salvage(0, file.n_bytes, read).unwrap();
        let whole = whole_frames(&bytes);
        let lost = 2 * BLOCK_BYTES..3 * BLOCK_BYTES;
        let frame_bytes = file.n_bytes / 20;
        let n_touched = (lost.end - 1) / frame_bytes - lost.start / frame_bytes + 1;
        assert_eq!(whole.len() as u64, 20 - n_touched);
        let refuses = |_: &mut [u8], _: u64| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(salvage(0, 10, refuses).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

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
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(file.n_records(), 0);
        file.append(&[record(1), record(2)]).unwrap();
        file.append(&[record(3)]).unwrap();
        let batch = file.read(2).unwrap();
        assert_eq!(keys(&batch), ["1", "2"]);
        file.advance(batch.until, 2).unwrap();
        assert_eq!(file.n_records(), 1);
        drop(file);
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(file.n_records(), 1);
        let batch = file.read(10).unwrap();
        assert_eq!(keys(&batch), ["3"]);
        file.advance(batch.until, 1).unwrap();
        assert_eq!((file.n_bytes, file.n_records()), (0, 0));
        assert!(file.read(10).unwrap().waiting.is_empty());
        file.append(&[record(4)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["4"]);
    }

    #[test]
    fn a_torn_end_is_left_out_and_what_comes_after_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        file.append(&[record(1), record(2)]).unwrap();
        let n_bytes = file.n_bytes;
        file.frames.set_len(n_bytes - 3).unwrap();
        drop(file);
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(file.n_records(), 1);
        file.append(&[record(5)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["1", "5"]);
    }

    /// Writes a byte over the one at `offset` in the second of three frames.
    fn damage(file: &SpoolFile, offset: u64, byte: u8) {
        let (_, first_bytes) = frame(&mut file.waiting_bytes().unwrap()).unwrap().unwrap();
        (&file.frames).seek(SeekFrom::Start(file.drained_bytes + first_bytes + offset)).unwrap();
        (&file.frames).write_all(&[byte]).unwrap();
    }

    /// Damage at any place of a frame costs that frame alone, and what was there is kept.
    #[test]
    fn a_damaged_frame_costs_no_other_and_is_kept_aside() {
        // In its JSON; in its checksum; its length too short, too long for the file, and longer than any frame.
        for (offset, byte) in [(40, b'?'), (5, 0), (0, 1), (1, 7), (3, 0xff)] {
            let dir = tempfile::tempdir().unwrap();
            let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
            file.append(&[record(1), record(2), record(3)]).unwrap();
            damage(&file, offset, byte);
            let damaged = fs::read(frames_in(dir.path())).unwrap();
            drop(file);
            let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
            assert_eq!(file.n_records(), 2, "{offset}");
            assert_eq!(keys(&file.read(10).unwrap()), ["1", "3"], "{offset}");
            assert_eq!(fs::read(dir.path().join("spool.damaged-1")).unwrap(), damaged);
            drop(file);
            assert_eq!(SpoolFile::open(dir.path(), 1 << 20).unwrap().n_records(), 2);
            assert!(!dir.path().join("spool.damaged-2").exists(), "what was repaired is whole");
        }
    }

    #[test]
    fn a_frame_that_goes_bad_while_running_does_not_stop_the_drain() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        file.append(&[record(1), record(2), record(3), record(4)]).unwrap();
        let first = file.read(1).unwrap();
        file.advance(first.until, 1).unwrap();
        damage(&file, 40, b'?');
        let batch = file.read(10).unwrap();
        assert_eq!((keys(&batch), file.n_records()), (vec!["2", "4"], 2));
        file.advance(batch.until, 2).unwrap();
        assert_eq!((file.n_bytes, file.n_records()), (0, 0));
        assert!(dir.path().join("spool.damaged-1").exists());
        file.append(&[record(5)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["5"]);
    }

    #[test]
    fn a_last_frame_that_goes_bad_leaves_an_empty_spool() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        file.append(&[record(1), record(2)]).unwrap();
        let first = file.read(1).unwrap();
        file.advance(first.until, 1).unwrap();
        (&file.frames).seek(SeekFrom::Start(file.drained_bytes + 40)).unwrap();
        (&file.frames).write_all(b"?").unwrap();
        assert!(file.read(10).unwrap().waiting.is_empty());
        assert_eq!((file.n_bytes, file.n_records()), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::open(dir.path(), 300).unwrap();
        file.append(&[record(10)]).unwrap();
        assert!(matches!(file.append(&[record(10), record(300)]), Err(SpoolError::Full { .. })));
        assert_eq!(keys(&file.read(10).unwrap()), ["10"]);
    }

    #[test]
    fn emptied_frames_with_an_old_place_start_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("spool.drained"), "999").unwrap();
        let mut file = SpoolFile::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((file.n_records(), file.drained_bytes), (0, 0));
        file.append(&[record(1)]).unwrap();
        assert_eq!(keys(&file.read(10).unwrap()), ["1"]);
    }
}
