//! How far a file was read, on disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::hooks::digest;

/// How far a file was read, and which file that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The file's name.
    pub path: PathBuf,
    /// The file's number on its device: stays with a file that is renamed.
    pub inode: u64,
    /// Bytes that were taken.
    pub offset: u64,
    /// Bytes at the file's beginning that `head` stands for.
    pub head_bytes: u64,
    /// A hash of those: says whether a file of the same number still is the same.
    pub head: String,
}

/// Where the checkpoint of a file is kept.
pub(super) fn file(folder: &Path, path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    folder.join(format!("{}.json", digest(absolute.as_os_str().as_encoded_bytes())))
}

impl Checkpoint {
    /// Reads one; `None` if there is none, or what is there is none.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn load(file: &Path) -> io::Result<Option<Self>> {
        match fs::read(file) {
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it in place of the one before: a crash leaves the one or the other.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn save(&self, file: &Path) -> io::Result<()> {
        let fresh = file.with_extension("new");
        let mut written = File::create(&fresh)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        written.sync_all()?;
        fs::rename(&fresh, file)?;
        // The rename itself lasts once the folder is synced.
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}
