//! `pages.idx`: where the pages of each series lie, in records of one length, sorted by the series' number.
//!
//! A look-up is a binary search in the file: a store of many blocks and series holds none of it in memory, the kernel's
//! page cache what is used.

use std::{fs::File, io::Write, os::unix::fs::FileExt, path::Path};

use crate::{
    error::{IoContext, StoreError},
    point::SeriesId,
};

/// Stands at the start of the file.
pub(super) const MAGIC: &[u8; 8] = b"DLPAGES1";
/// Bytes before the places of a record: number and rows.
const HEAD_BYTES: usize = 8;
/// Bytes of a place.
const PLACE_BYTES: usize = 16;
/// Marks a page of split floats, in the highest bit of the length.
const SPLIT: u32 = 1 << 31;

/// Where a page lies, without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub at: u64,
    pub n_bytes: u32,
    pub checksum: u32,
    pub is_split: bool,
}

impl Place {
    /// That of a page still to be written.
    pub fn of(page: &[u8], is_split: bool) -> Self {
        Self { at: 0, n_bytes: page.len() as u32, checksum: crc32fast::hash(page), is_split }
    }

    /// Reads the page. `None` when its bytes are not those that were written.
    pub fn read(&self, file: &File) -> std::io::Result<Option<Vec<u8>>> {
        let mut page = vec![0; self.n_bytes as usize];
        file.read_exact_at(&mut page, self.at)?;
        Ok((crc32fast::hash(&page) == self.checksum).then_some(page))
    }
}

/// The pages of one series, a place for each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub id: SeriesId,
    pub n_rows: u32,
    pub places: Vec<Place>,
}

/// Writes all records. Returns the file's length and checksum.
pub(super) fn write(path: &Path, mut records: Vec<Record>) -> Result<(u64, u32), StoreError> {
    records.sort_unstable_by_key(|record| record.id);
    let mut bytes = MAGIC.to_vec();
    for record in &records {
        bytes.extend_from_slice(&record.id.0.to_le_bytes());
        bytes.extend_from_slice(&record.n_rows.to_le_bytes());
        for place in &record.places {
            bytes.extend_from_slice(&place.at.to_le_bytes());
            bytes.extend_from_slice(&(place.n_bytes | if place.is_split { SPLIT } else { 0 }).to_le_bytes());
            bytes.extend_from_slice(&place.checksum.to_le_bytes());
        }
    }
    let mut file = File::create(path).context("create", path)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).context("write", path)?;
    Ok((bytes.len() as u64, crc32fast::hash(&bytes)))
}

/// The records of one block, as they lie in its file.
pub(super) struct Records {
    pub file: File,
    pub n_records: usize,
    pub n_columns: usize,
}

impl Records {
    fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.n_columns * PLACE_BYTES
    }

    fn at(&self, index: usize) -> u64 {
        (MAGIC.len() + index * self.record_bytes()) as u64
    }

    /// The record of a series.
    pub fn find(&self, series: SeriesId) -> std::io::Result<Option<Record>> {
        let mut bytes = vec![0; self.record_bytes()];
        let (mut low, mut high) = (0, self.n_records);
        while low < high {
            let middle = low.midpoint(high);
            self.file.read_exact_at(&mut bytes, self.at(middle))?;
            let record = parse(&bytes);
            match record.id.cmp(&series) {
                std::cmp::Ordering::Equal => return Ok(Some(record)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Every record, by number.
    pub fn all(&self) -> std::io::Result<Vec<Record>> {
        let mut bytes = vec![0; self.n_records * self.record_bytes()];
        self.file.read_exact_at(&mut bytes, self.at(0))?;
        Ok(bytes.chunks_exact(self.record_bytes()).map(parse).collect())
    }
}

fn parse(bytes: &[u8]) -> Record {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let places = (HEAD_BYTES..bytes.len()).step_by(PLACE_BYTES).map(|at| Place {
        at: u64::from(word(at)) | u64::from(word(at + 4)) << 32,
        n_bytes: word(at + 8) & !SPLIT,
        checksum: word(at + 12),
        is_split: word(at + 8) & SPLIT != 0,
    });
    Record { id: SeriesId(word(0)), n_rows: word(4), places: places.collect() }
}
