//! Handing series over to other programs: as Parquet, CSV or JSON lines.

use std::{
    io::{self, Write},
    str::FromStr,
    sync::Arc,
};

use crate::{
    block::{POINT_COLUMNS, Table, Values},
    error::StoreError,
    point::Columns,
};

/// What an export is written as. Either way it has the columns `series`, `timestamp` (Unix seconds) and `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// As the store's own `points.parquet`.
    Parquet,
    /// RFC 4180 with a header line. An infinite value is `inf` or `-inf`.
    Csv,
    /// An object a line. An infinite value is `null`, as JSON has none.
    Jsonl,
}

impl ExportFormat {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/x-ndjson",
        }
    }

    /// How the names of its files end, which is also its own name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Parquet, Self::Csv, Self::Jsonl];
        let found = all.into_iter().find(|format| format.ending() == text);
        found.ok_or_else(|| format!("`{text}` is not parquet, csv or jsonl"))
    }
}

/// Writes series after series, without holding more than a part of them.
pub struct Export<W: Write>(Form<W>);

enum Form<W: Write> {
    Parquet(Box<Table<W>>),
    Csv(W),
    Jsonl(W),
}

impl<W: Write> Export<W> {
    /// Begins one.
    ///
    /// # Errors
    /// [`StoreError::Export`] when `out` takes no more.
    pub fn new(mut out: W, format: ExportFormat) -> Result<Self, StoreError> {
        Ok(Self(match format {
            ExportFormat::Parquet => Form::Parquet(Box::new(Table::new(out, POINT_COLUMNS).map_err(failed)?)),
            ExportFormat::Csv => {
                out.write_all(b"series,timestamp,value\n").map_err(StoreError::Export)?;
                Form::Csv(out)
            }
            ExportFormat::Jsonl => Form::Jsonl(out),
        }))
    }

    /// Adds the datapoints of a series.
    ///
    /// # Errors
    /// [`StoreError::Export`] when `out` takes no more.
    pub fn push(&mut self, name: &Arc<str>, columns: Columns) -> Result<(), StoreError> {
        match &mut self.0 {
            _ if columns.is_empty() => Ok(()),
            Form::Parquet(table) => {
                let n_rows = columns.len();
                let columns = [Values::Ints(columns.timestamps), Values::Floats(columns.values)];
                table.push(name, &columns, n_rows).map_err(failed)
            }
            Form::Csv(out) => rows(out, &quoted(name), columns).map_err(StoreError::Export),
            Form::Jsonl(out) => {
                let name = serde_json::to_string(&**name).map_err(|error| StoreError::Export(error.into()))?;
                objects(out, &name, columns).map_err(StoreError::Export)
            }
        }
    }

    /// Ends it, flushed, and gives back what it was written to.
    ///
    /// # Errors
    /// [`StoreError::Export`] when `out` takes no more.
    pub fn finish(self) -> Result<W, StoreError> {
        let mut out = match self.0 {
            Form::Parquet(table) => table.finish().map_err(failed)?.0,
            Form::Csv(out) | Form::Jsonl(out) => out,
        };
        out.flush().map_err(StoreError::Export)?;
        Ok(out)
    }
}

fn failed(error: polars_parquet::parquet::error::ParquetError) -> StoreError {
    StoreError::Export(io::Error::other(error))
}

fn rows(out: &mut impl Write, name: &str, columns: Columns) -> io::Result<()> {
    columns.iter().try_for_each(|(timestamp_s, value)| writeln!(out, "{name},{timestamp_s},{value}"))
}

fn objects(out: &mut impl Write, name: &str, columns: Columns) -> io::Result<()> {
    columns.iter().try_for_each(|(timestamp_s, value)| {
        write!(out, "{{\"series\":{name},\"timestamp\":{timestamp_s},\"value\":")?;
        match value.is_finite() {
            true => writeln!(out, "{value}}}"),
            false => writeln!(out, "null}}"),
        }
    })
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{ParquetReader, SerReader};

    use super::*;

    /// Two series, of which one has a name that both text forms must escape, and one without a datapoint.
    fn export(format: ExportFormat) -> Vec<u8> {
        let columns = |from: i64, values: &[f64]| Columns {
            timestamps: (0..values.len() as i64).map(|index| from + 10 * index).collect(),
            values: values.to_vec(),
        };
        let mut export = Export::new(Vec::new(), format).unwrap();
        export.push(&"a.b;k=v".into(), columns(1_700_000_000, &[1.0, 0.1, 1e300])).unwrap();
        export.push(&"a.silent".into(), Columns::default()).unwrap();
        export.push(&"a.\"x,y\"".into(), columns(1_700_000_000, &[f64::INFINITY, -0.5])).unwrap();
        export.finish().unwrap()
    }

    #[test]
    fn csv_quotes_what_would_divide_a_line() {
        let text = String::from_utf8(export(ExportFormat::Csv)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["series,timestamp,value", "a.b;k=v,1700000000,1", "a.b;k=v,1700000010,0.1"]);
        assert_eq!(lines[4..], ["\"a.\"\"x,y\"\"\",1700000000,inf", "\"a.\"\"x,y\"\"\",1700000010,-0.5"]);
        assert_eq!(lines[3].rsplit(',').next().unwrap().parse(), Ok(1e300));
    }

    #[test]
    fn json_lines_are_objects() {
        let text = String::from_utf8(export(ExportFormat::Jsonl)).unwrap();
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[1], serde_json::json!({"series": "a.b;k=v", "timestamp": 1_700_000_010, "value": 0.1}));
        assert_eq!(rows[2]["value"].as_f64(), Some(1e300));
        assert_eq!((&rows[3]["series"], &rows[3]["value"]), (&"a.\"x,y\"".into(), &serde_json::Value::Null));
    }

    #[test]
    fn parquet_is_read_back_by_polars() {
        let frame = ParquetReader::new(io::Cursor::new(export(ExportFormat::Parquet))).finish().unwrap();
        let names: Vec<_> = frame.column("series").unwrap().str().unwrap().iter().flatten().collect();
        assert_eq!(names, ["a.b;k=v", "a.b;k=v", "a.b;k=v", "a.\"x,y\"", "a.\"x,y\""]);
        let values: Vec<_> = frame.column("value").unwrap().f64().unwrap().into_no_null_iter().collect();
        assert_eq!(values, [1.0, 0.1, 1e300, f64::INFINITY, -0.5]);
        let empty = Export::new(Vec::new(), ExportFormat::Parquet).unwrap().finish().unwrap();
        assert_eq!(ParquetReader::new(io::Cursor::new(empty)).finish().unwrap().height(), 0);
    }

    #[test]
    fn a_writer_that_takes_no_more_ends_the_export() {
        let mut room = [0u8; 40];
        let mut export = Export::new(&mut room[..], ExportFormat::Csv).unwrap();
        let columns = Columns { timestamps: vec![1, 2], values: vec![1.0, 2.0] };
        assert!(matches!(export.push(&"a.b.c.d".into(), columns), Err(StoreError::Export(_))));
    }
}
