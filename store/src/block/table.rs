//! The Parquet file of a block: a column of names and columns of numbers, a page for each series.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use polars_parquet::parquet::{
    CowBuffer, FallibleStreamingIterator,
    compression::Compression,
    encoding::Encoding,
    error::{ParquetError, ParquetResult},
    metadata::SchemaDescriptor,
    page::{CompressedDataPage, CompressedDictPage, CompressedPage, DataPageHeader, DataPageHeaderV1},
    write::{DynIter, DynStreamingIterator, FileWriter, Version, WriteOptions},
};

use super::{
    index::Place,
    page::{Encoder, Page, Values},
};
use crate::bits::{width_of, write_varint};

/// Rows of a row group: what other readers take in at once.
const GROUP_ROWS: usize = 1 << 20;
/// Most rows of a page: nearly three hours at ten seconds. What a read of an hour decodes is about this, and much shorter
/// pages would compress worse.
pub(super) const PAGE_ROWS: usize = 1024;

/// Writes series after series. Which bytes are whose is known when a row group is full.
pub(crate) struct Table<W: Write> {
    writer: FileWriter<Counted<W>>,
    position: Arc<AtomicU64>,
    encoder: Encoder,
    group: Group,
    /// The places of every run of rows that lies in a finished row group, a page for each column.
    places: Vec<Vec<Place>>,
}

/// The row group to come.
#[derive(Default)]
struct Group {
    names: Vec<Arc<str>>,
    n_rows: Vec<usize>,
    total_rows: usize,
    /// By run of rows, then by column.
    runs: Vec<Run>,
}

/// Rows of one series, at most [`PAGE_ROWS`].
struct Run {
    n_rows: usize,
    pages: Vec<(Page, Encoding)>,
}

impl<W: Write> Table<W> {
    /// `columns` is what follows `series` in a Parquet schema, as in `REQUIRED INT64 timestamp; REQUIRED DOUBLE value;`.
    pub fn new(out: W, columns: &str) -> Result<Self, ParquetError> {
        let position = Arc::new(AtomicU64::new(0));
        let schema = format!("message points {{ REQUIRED BYTE_ARRAY series (UTF8); {columns} }}");
        let schema = SchemaDescriptor::try_from_message(&schema)?;
        let options = WriteOptions { write_statistics: false, version: Version::V1 };
        let counted = Counted { out, position: position.clone() };
        let writer = FileWriter::new(counted, schema, options, Some("deployline".to_owned()));
        Ok(Self { writer, position, encoder: Encoder::new()?, group: Group::default(), places: Vec::new() })
    }

    /// Adds a series of `n_rows`, the length of each of its columns, which is not 0.
    pub fn push(&mut self, name: &Arc<str>, columns: &[Values], n_rows: usize) -> Result<(), ParquetError> {
        for start in (0..n_rows).step_by(PAGE_ROWS) {
            let rows = start..n_rows.min(start + PAGE_ROWS);
            let mut pages = Vec::with_capacity(columns.len());
            for column in columns {
                pages.push(match column {
                    Values::Ints(values) => (self.encoder.ints(&values[rows.clone()])?, Encoding::DeltaBinaryPacked),
                    Values::Floats(values) => {
                        let page = self.encoder.floats(&values[rows.clone()])?;
                        let encoding = if page.is_split { Encoding::ByteStreamSplit } else { Encoding::Plain };
                        (page, encoding)
                    }
                });
            }
            self.group.runs.push(Run { n_rows: rows.len(), pages });
        }
        self.group.names.push(name.clone());
        self.group.n_rows.push(n_rows);
        self.group.total_rows += n_rows;
        match self.group.total_rows >= GROUP_ROWS {
            true => self.write_group(),
            false => Ok(()),
        }
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let Group { names, n_rows, total_rows: n_all, runs } = std::mem::take(&mut self.group);
        let Some(n_columns) = runs.first().map(|run| run.pages.len()) else { return Ok(()) };
        let descriptors: Vec<_> =
            self.writer.schema().columns().iter().map(|column| column.descriptor.clone()).collect();
        let data_page = |page: Page, encoding: Encoding, column: usize, n_rows: usize| {
            let header = DataPageHeaderV1 {
                num_values: n_rows as i32,
                encoding: encoding.into(),
                definition_level_encoding: Encoding::Rle.into(),
                repetition_level_encoding: Encoding::Rle.into(),
                statistics: None,
            };
            CompressedPage::Data(CompressedDataPage::new(
                DataPageHeader::V1(header),
                CowBuffer::Owned(page.bytes),
                Compression::Zstd,
                page.n_uncompressed,
                descriptors[column].clone(),
                n_rows,
            ))
        };
        let (dictionary, indexes) = self.names(&names, &n_rows)?;
        let size = dictionary.n_uncompressed;
        let dictionary =
            CompressedDictPage::new(CowBuffer::Owned(dictionary.bytes), Compression::Zstd, size, names.len(), true);
        let indexes = data_page(indexes, Encoding::RleDictionary, 0, n_all);
        let mut columns = vec![vec![CompressedPage::Dict(dictionary), indexes]];
        columns.resize_with(n_columns + 1, Vec::new);
        let mut places: Vec<Vec<Place>> = Vec::with_capacity(runs.len());
        for Run { n_rows, pages } in runs {
            places.push(pages.iter().map(|(page, _)| Place::of(&page.bytes, page.is_split)).collect());
            for (column, (page, encoding)) in pages.into_iter().enumerate() {
                columns[column + 1].push(data_page(page, encoding, column + 1, n_rows));
            }
        }
        let ends: Vec<Ends> = columns.iter().map(|_| Ends::default()).collect();
        let columns = columns.into_iter().zip(&ends).map(|(pages, ends)| {
            let (position, ends) = (self.position.clone(), ends.clone());
            let pages = Pages { pages: pages.into_iter(), current: None, position, ends };
            Ok::<_, ParquetError>(DynStreamingIterator::new(pages))
        });
        // Collected first: the iterator must not borrow what the writer does.
        let columns: Vec<_> = columns.collect();
        self.writer.write(n_all as u64, DynIter::new(columns.into_iter()))?;
        for (column, ends) in ends.iter().skip(1).enumerate() {
            let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            for (places, end) in places.iter_mut().zip(&*ends) {
                places[column].at = end - u64::from(places[column].n_bytes);
            }
        }
        self.places.append(&mut places);
        Ok(())
    }

    /// The dictionary of names and the run of rows that each has, as `RLE_DICTIONARY` wants them.
    fn names(&mut self, names: &[Arc<str>], n_rows: &[usize]) -> Result<(Page, Page), ParquetError> {
        let mut dictionary = Vec::new();
        for name in names {
            dictionary.extend_from_slice(&(name.len() as u32).to_le_bytes());
            dictionary.extend_from_slice(name.as_bytes());
        }
        let width = width_of(names.len() as u64 - 1).max(1);
        let mut indexes = vec![width as u8];
        for (index, n_rows) in n_rows.iter().enumerate() {
            write_varint(&mut indexes, (*n_rows as u64) << 1);
            indexes.extend_from_slice(&(index as u32).to_le_bytes()[..width.div_ceil(8) as usize]);
        }
        Ok((self.encoder.page(&dictionary, false)?, self.encoder.page(&indexes, false)?))
    }

    /// Finishes the file. Returns what it was written to, and the places of every run's pages in order.
    pub fn finish(mut self) -> Result<(W, Vec<Vec<Place>>), ParquetError> {
        self.write_group()?;
        self.writer.end(None)?;
        Ok((self.writer.into_inner().out, self.places))
    }
}

/// Where each page of a column ended.
type Ends = Arc<Mutex<Vec<u64>>>;

/// The pages of one column on their way to the file, which notes where each ends.
struct Pages {
    pages: std::vec::IntoIter<CompressedPage>,
    current: Option<CompressedPage>,
    position: Arc<AtomicU64>,
    ends: Ends,
}

impl FallibleStreamingIterator for Pages {
    type Item = CompressedPage;
    type Error = ParquetError;

    fn advance(&mut self) -> ParquetResult<()> {
        if self.current.is_some() {
            let position = self.position.load(Ordering::Relaxed);
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(position);
        }
        self.current = self.pages.next();
        Ok(())
    }

    fn get(&self) -> Option<&CompressedPage> {
        self.current.as_ref()
    }
}

/// Tells how much was written.
struct Counted<W> {
    out: W,
    position: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.out.write(bytes)?;
        self.position.fetch_add(n_written as u64, Ordering::Relaxed);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
