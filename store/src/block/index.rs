//! `pages.idx`: where the pages of each series lie: a directory of its series by number, then a record for each page.
//!
//! The directory of a block is read whole, the records of a series when it is asked for, so that neither depends on how
//! many blocks and series a store has.

use std::{fs::File, io::Write, os::unix::fs::FileExt, path::Path};

use crate::{
    error::{IoContext, StoreError},
    point::SeriesId,
};

/// Stands at the start of the file.
const MAGIC: &[u8; 8] = b"DLPAGES2";
/// Bytes of a series in the directory: number, rows, first record, how many, checksum of these.
const SERIES_BYTES: usize = 20;
/// Bytes of a record before its places: first timestamp, rows, step.
const HEAD_BYTES: usize = 16;
/// Bytes of a place: offset, length, checksum.
const PLACE_BYTES: usize = 16;
/// Marks a page of split floats, in the highest bit of the length.
const SPLIT: u32 = 1 << 31;

/// Where a page lies, without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
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

    /// The offset of the first byte after it.
    pub fn end(&self) -> u64 {
        self.at + u64::from(self.n_bytes)
    }
}

/// Some rows of one series: a page in each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub first_s: i64,
    pub n_rows: u32,
    /// Seconds from each timestamp to the next where that is the same throughout: they need not be read then. Else 0.
    pub step_s: u32,
    pub places: Vec<Place>,
}

impl Record {
    /// Its timestamps, where the record tells them all.
    pub fn timestamps(&self) -> Option<impl Iterator<Item = i64>> {
        let (first_s, step_s) = (self.first_s, i64::from(self.step_s));
        (step_s > 0).then(|| (0..i64::from(self.n_rows)).map(move |row| first_s + row * step_s))
    }
}

/// What a record says of its timestamps' step.
pub(super) fn step_of(timestamps: &[i64]) -> u32 {
    let mut steps = timestamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    // A lone timestamp has any step.
    let first = steps.next().unwrap_or(1);
    if steps.all(|step| step == first) { u32::try_from(first).unwrap_or(0) } else { 0 }
}

/// A series in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub id: SeriesId,
    pub n_rows: u32,
    /// Its records, counted over the whole block.
    pub first_record: u32,
    pub n_records: u32,
    checksum: u32,
}

/// Writes the records of every series. Returns the file's length and the checksum of magic and directory.
pub(super) fn write(path: &Path, mut series: Vec<(SeriesId, Vec<Record>)>) -> Result<(u64, u32), StoreError> {
    series.sort_unstable_by_key(|(id, _)| *id);
    let mut directory = MAGIC.to_vec();
    let mut all = Vec::new();
    let mut first_record = 0u32;
    for (id, records) in &series {
        let start = all.len();
        for record in records {
            all.extend_from_slice(&record.first_s.to_le_bytes());
            all.extend_from_slice(&record.n_rows.to_le_bytes());
            all.extend_from_slice(&record.step_s.to_le_bytes());
            for place in &record.places {
                all.extend_from_slice(&place.at.to_le_bytes());
                all.extend_from_slice(&(place.n_bytes | if place.is_split { SPLIT } else { 0 }).to_le_bytes());
                all.extend_from_slice(&place.checksum.to_le_bytes());
            }
        }
        let n_rows: u32 = records.iter().map(|record| record.n_rows).sum();
        for word in [id.0, n_rows, first_record, records.len() as u32, crc32fast::hash(&all[start..])] {
            directory.extend_from_slice(&word.to_le_bytes());
        }
        first_record += records.len() as u32;
    }
    let mut file = File::create(path).context("create", path)?;
    let written = file.write_all(&directory).and_then(|()| file.write_all(&all));
    written.and_then(|()| file.sync_all()).context("write", path)?;
    Ok(((directory.len() + all.len()) as u64, crc32fast::hash(&directory)))
}

/// The series of one block, by number.
#[derive(Debug)]
pub(super) struct Directory {
    pub series: Vec<Listed>,
    n_columns: usize,
}

impl Directory {
    /// Reads it. `None` when its bytes are not those that were written.
    pub fn read(file: &File, n_series: usize, n_columns: usize, checksum: u32) -> std::io::Result<Option<Self>> {
        let mut bytes = vec![0; MAGIC.len() + n_series * SERIES_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        if crc32fast::hash(&bytes) != checksum {
            return Ok(None);
        }
        let listed = |bytes: &[u8]| Listed {
            id: SeriesId(word(bytes, 0)),
            n_rows: word(bytes, 4),
            first_record: word(bytes, 8),
            n_records: word(bytes, 12),
            checksum: word(bytes, 16),
        };
        Ok(Some(Self { series: bytes[MAGIC.len()..].chunks_exact(SERIES_BYTES).map(listed).collect(), n_columns }))
    }

    pub fn find(&self, series: SeriesId) -> Option<&Listed> {
        let index = self.series.binary_search_by_key(&series, |listed| listed.id).ok()?;
        Some(&self.series[index])
    }

    /// The records of a series, in order of time. `None` when their bytes are not those that were written.
    pub fn records(&self, file: &File, listed: &Listed) -> std::io::Result<Option<Vec<Record>>> {
        let record_bytes = HEAD_BYTES + self.n_columns * PLACE_BYTES;
        let mut bytes = vec![0; listed.n_records as usize * record_bytes];
        let before = MAGIC.len() + self.series.len() * SERIES_BYTES;
        file.read_exact_at(&mut bytes, (before + listed.first_record as usize * record_bytes) as u64)?;
        if crc32fast::hash(&bytes) != listed.checksum {
            return Ok(None);
        }
        let record = |bytes: &[u8]| Record {
            first_s: long(bytes, 0) as i64,
            n_rows: word(bytes, 8),
            step_s: word(bytes, 12),
            places: bytes[HEAD_BYTES..].chunks_exact(PLACE_BYTES).map(place).collect(),
        };
        Ok(Some(bytes.chunks_exact(record_bytes).map(record).collect()))
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.series.len() * size_of::<Listed>()
    }
}

fn place(bytes: &[u8]) -> Place {
    let length = word(bytes, 8);
    Place { at: long(bytes, 0), n_bytes: length & !SPLIT, checksum: word(bytes, 12), is_split: length & SPLIT != 0 }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
