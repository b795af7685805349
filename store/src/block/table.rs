//! The Parquet file of a block: a column of names and columns of numbers, a page for each series.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
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
    page::{Encoder, Page, Values},
    records::Place,
};
use crate::{
    bits::{width_of, write_varint},
    error::{IoContext, StoreError},
};

/// Rows of a row group: what other readers take in at once.
const GROUP_ROWS: usize = 1 << 20;

/// Writes series after series. Which bytes are whose is known when a row group is full.
pub(super) struct Table {
    writer: FileWriter<Counted>,
    position: Arc<AtomicU64>,
    encoder: Encoder,
    group: Group,
    /// The places of the pages of every series that lies in a finished row group.
    places: Vec<Vec<Place>>,
}

/// The row group to come.
#[derive(Default)]
struct Group {
    names: Vec<Arc<str>>,
    n_rows: Vec<usize>,
    /// By series, then by column.
    pages: Vec<Vec<(Page, Encoding)>>,
}

impl Table {
    /// `columns` is what follows `series` in a Parquet schema, as in `REQUIRED INT64 timestamp; REQUIRED DOUBLE value;`.
    pub fn create(path: &Path, columns: &str) -> Result<Self, StoreError> {
        let file = File::create(path).context("create", path)?;
        let position = Arc::new(AtomicU64::new(0));
        let schema = format!("message points {{ REQUIRED BYTE_ARRAY series (UTF8); {columns} }}");
        let schema = SchemaDescriptor::try_from_message(&schema).context("write", path)?;
        let options = WriteOptions { write_statistics: false, version: Version::V1 };
        let counted = Counted { file: BufWriter::new(file), position: position.clone() };
        let writer = FileWriter::new(counted, schema, options, Some("deployline".to_owned()));
        let encoder = Encoder::new().context("write", path)?;
        Ok(Self { writer, position, encoder, group: Group::default(), places: Vec::new() })
    }

    /// Adds a series; all columns are of one length, which is not 0.
    pub fn push(&mut self, name: &Arc<str>, columns: &[Values]) -> Result<(), ParquetError> {
        let mut n_rows = 0;
        let mut pages = Vec::with_capacity(columns.len());
        for column in columns {
            pages.push(match column {
                Values::Ints(values) => {
                    n_rows = values.len();
                    (self.encoder.ints(values)?, Encoding::DeltaBinaryPacked)
                }
                Values::Floats(values) => {
                    n_rows = values.len();
                    let page = self.encoder.floats(values)?;
                    let encoding = if page.is_split { Encoding::ByteStreamSplit } else { Encoding::Plain };
                    (page, encoding)
                }
            });
        }
        self.group.names.push(name.clone());
        self.group.n_rows.push(n_rows);
        self.group.pages.push(pages);
        match self.group.n_rows.iter().sum::<usize>() >= GROUP_ROWS {
            true => self.write_group(),
            false => Ok(()),
        }
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let Group { names, n_rows, pages } = std::mem::take(&mut self.group);
        let Some(n_columns) = pages.first().map(Vec::len) else { return Ok(()) };
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
        let n_all: usize = n_rows.iter().sum();
        let (dictionary, indexes) = self.names(&names, &n_rows)?;
        let size = dictionary.n_uncompressed;
        let dictionary =
            CompressedDictPage::new(CowBuffer::Owned(dictionary.bytes), Compression::Zstd, size, names.len(), true);
        let indexes = data_page(indexes, Encoding::RleDictionary, 0, n_all);
        let mut columns = vec![vec![CompressedPage::Dict(dictionary), indexes]];
        columns.resize_with(n_columns + 1, Vec::new);
        let mut places: Vec<Vec<Place>> = Vec::with_capacity(pages.len());
        for (of_series, n_rows) in pages.into_iter().zip(n_rows) {
            places.push(of_series.iter().map(|(page, _)| Place::of(&page.bytes, page.is_split)).collect());
            for (column, (page, encoding)) in of_series.into_iter().enumerate() {
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

    /// Finishes the file. Returns it, to be synced, and the places of every series' pages in order.
    pub fn finish(mut self) -> Result<(File, Vec<Vec<Place>>), ParquetError> {
        self.write_group()?;
        self.writer.end(None)?;
        let file = self.writer.into_inner().file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.places))
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

/// A file that tells how much was written to it.
struct Counted {
    file: BufWriter<File>,
    position: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.file.write(bytes)?;
        self.position.fetch_add(n_written as u64, Ordering::Relaxed);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
