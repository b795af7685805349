//! The files of the write-ahead log: numbered, appended to, and removed whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    error::{IoContext, StoreError},
    frame,
};

/// Stands at the start of every segment, with the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"DLWAL001";

pub(super) fn path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:010}.wal"))
}

/// All segments by number, the last one open.
pub(super) struct Segments {
    dir: PathBuf,
    segment_bytes: u64,
    lengths: BTreeMap<u64, u64>,
    sequence: u64,
    file: File,
    /// A write failed, and what the file holds after its known length is anybody's guess.
    doubtful: bool,
}

impl Segments {
    pub fn start(dir: &Path, known: &BTreeMap<u64, u64>, segment_bytes: u64) -> Result<Self, StoreError> {
        let sequence = known.last_key_value().map_or(1, |(last, _)| last + 1);
        let file = create(dir, sequence)?;
        let mut lengths = known.clone();
        lengths.insert(sequence, MAGIC.len() as u64);
        Ok(Self { dir: dir.to_owned(), segment_bytes, lengths, sequence, file, doubtful: false })
    }

    /// Writes and syncs. On failure nothing of it counts: the file is cut back, and the next append starts a new one.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = self.lengths[&self.sequence];
        if self.doubtful || length >= self.segment_bytes {
            self.rotate()?;
        }
        let length = self.lengths[&self.sequence];
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if written.is_err() {
            self.doubtful = true;
            // Should this fail as well, the frames are read again after a restart, unacknowledged; a half one is not.
            drop(self.file.set_len(length));
        } else {
            self.lengths.insert(self.sequence, length + bytes.len() as u64);
        }
        written.context("write", &path_of(&self.dir, self.sequence))
    }

    pub fn rotate(&mut self) -> Result<u64, StoreError> {
        let sequence = self.sequence + 1;
        self.file = create(&self.dir, sequence)?;
        self.sequence = sequence;
        self.lengths.insert(sequence, MAGIC.len() as u64);
        self.doubtful = false;
        Ok(sequence)
    }

    /// Removes from the oldest on, so that a crash in between never leaves a rewrite's old value without the new one.
    pub fn drop_before(&mut self, sequence: u64) -> Result<(), StoreError> {
        while let Some((&oldest, _)) = self.lengths.first_key_value()
            && oldest < sequence
            && oldest != self.sequence
        {
            let path = path_of(&self.dir, oldest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context("remove", &path);
                }
                _ => self.lengths.remove(&oldest),
            };
        }
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.lengths.values().sum()
    }
}

fn create(dir: &Path, sequence: u64) -> Result<File, StoreError> {
    let path = path_of(dir, sequence);
    // An earlier attempt that ran out of disk may have left the name behind, with nothing that was acknowledged.
    let mut file = File::create(&path).context("create", &path)?;
    file.write_all(MAGIC).and_then(|()| file.sync_all()).context("write", &path)?;
    frame::sync_dir(dir).context("sync", dir)?;
    Ok(file)
}
