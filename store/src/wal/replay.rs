//! Reading the write-ahead log back after a stop, however it came.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::Path,
};

use tracing::warn;

use super::{read_points, segment::MAGIC};
use crate::{
    error::{IoContext, StoreError},
    frame,
    point::Point,
};

/// What the log held.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The segments that stay, by number, with their length in bytes.
    pub segments: BTreeMap<u64, u64>,
    /// Datapoints handed over.
    pub n_points: u64,
    /// Bytes of unfinished writes cut from the ends of segments. None of them was acknowledged.
    pub torn_bytes: u64,
    /// Segments with damage inside, copied aside; their good frames were handed over.
    pub n_corrupt: usize,
}

/// Hands every good frame of every segment to `each`, in order of writing.
pub(crate) fn replay(dir: &Path, aside: &Path, mut each: impl FnMut(&[Point])) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed::default();
    let mut points = Vec::new();
    for sequence in sequences(dir)? {
        let path = super::segment::path_of(dir, sequence);
        let bytes = fs::read(&path).context("read", &path)?;
        let scan = frame::scan(&bytes, MAGIC.len());
        let mut misread = 0;
        for payload in &scan.payloads {
            points.clear();
            if read_points(&bytes[payload.clone()], &mut points).is_none() {
                misread += 1;
            }
            replayed.n_points += points.len() as u64;
            each(&points);
        }
        let headless = bytes.len() >= MAGIC.len() && bytes[..MAGIC.len()] != MAGIC[..];
        if misread > 0 || headless || !scan.damaged.is_empty() {
            fs::create_dir_all(aside).context("create", aside)?;
            let copy = aside.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &copy).context("copy", &path)?;
            replayed.n_corrupt += 1;
            let lost_bytes = scan.damaged.iter().map(ExactSizeIterator::len).sum::<usize>();
            warn!(path = %path.display(), copy = %copy.display(), lost_bytes, misread, "a log segment is damaged: a copy is set aside, the rest is served");
        }
        let mut length = bytes.len();
        if let Some(torn_at) = scan.torn_at {
            let torn = bytes.len() - torn_at;
            warn!(path = %path.display(), torn, "a log segment ends in an unfinished write, which is cut");
            let file = OpenOptions::new().write(true).open(&path).context("open", &path)?;
            file.set_len(torn_at as u64).and_then(|()| file.sync_all()).context("cut", &path)?;
            replayed.torn_bytes += torn as u64;
            length = torn_at;
        }
        if scan.payloads.is_empty() {
            fs::remove_file(&path).context("remove", &path)?;
            // Its number is still taken: numbers only rise.
            length = 0;
        }
        replayed.segments.insert(sequence, length as u64);
    }
    Ok(replayed)
}

fn sequences(dir: &Path) -> Result<Vec<u64>, StoreError> {
    let mut sequences = Vec::new();
    for entry in fs::read_dir(dir).context("list", dir)? {
        let name = entry.context("list", dir)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".wal"));
        sequences.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    sequences.sort_unstable();
    Ok(sequences)
}
