//! Series as `pickle` and as `msgpack`: what other graphite-webs and scripts in Python read.
//!
//! Both are a list of one map for each series, as graphite-web's `TimeSeries.getInfo` has it. Pickle is of protocol 2,
//! which every Python reads: <https://peps.python.org/pep-0307/>. MessagePack: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use deployline_render::graphite::{Consolidation, Series};

/// A value of the maps.
enum Value<'s> {
    Text(&'s str),
    Whole(i64),
    Float(f64),
    /// NaN is none.
    Column(&'s [f64]),
}

fn info(one: &Series) -> [(&'static str, Value<'_>); 9] {
    [
        ("name", Value::Text(&one.name)),
        ("start", Value::Whole(one.start_s)),
        ("end", Value::Whole(one.end_s)),
        ("step", Value::Whole(one.step_s)),
        ("values", Value::Column(&one.values)),
        ("pathExpression", Value::Text(&one.path_expression)),
        ("valuesPerPoint", Value::Whole(1)),
        ("consolidationFunc", Value::Text(word(one.consolidation))),
        ("xFilesFactor", Value::Float(one.x_files_factor)),
    ]
}

fn word(consolidation: Consolidation) -> &'static str {
    match consolidation {
        Consolidation::Average => "average",
        Consolidation::AverageZero => "avg_zero",
        Consolidation::Sum => "sum",
        Consolidation::Min => "min",
        Consolidation::Max => "max",
        Consolidation::First => "first",
        Consolidation::Last => "last",
    }
}

fn room(all: &[Series]) -> usize {
    all.iter().map(|one| 256 + one.values.len() * 9).sum()
}

/// A pickle. Nothing is memoized, so that it is a single pass; readers do not mind.
pub fn pickle(all: &[Series]) -> Vec<u8> {
    let mut out = Vec::with_capacity(room(all));
    // PROTO 2, EMPTY_LIST, MARK.
    out.extend_from_slice(b"\x80\x02](");
    for one in all {
        // EMPTY_DICT, MARK, keys and values, SETITEMS.
        out.extend_from_slice(b"}(");
        for (key, value) in info(one) {
            pickled(&mut out, &Value::Text(key));
            pickled(&mut out, &value);
        }
        out.push(b'u');
    }
    // APPENDS, STOP.
    out.extend_from_slice(b"e.");
    out
}

fn pickled(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Text(text) => {
            // BINUNICODE
            out.push(b'X');
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Whole(number) => {
            // LONG1 of eight bytes, two's complement.
            out.extend_from_slice(b"\x8a\x08");
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Float(number) => {
            // BINFLOAT
            out.push(b'G');
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Column(values) => {
            out.extend_from_slice(b"](");
            for value in *values {
                match value.is_nan() {
                    true => out.push(b'N'),
                    false => pickled(out, &Value::Float(*value)),
                }
            }
            out.push(b'e');
        }
    }
}

/// A MessagePack document.
pub fn msgpack(all: &[Series]) -> Vec<u8> {
    let mut out = Vec::with_capacity(room(all));
    list(&mut out, all.len());
    for one in all {
        let info = info(one);
        // fixmap
        out.push(0x80 | info.len() as u8);
        for (key, value) in info {
            packed(&mut out, &Value::Text(key));
            packed(&mut out, &value);
        }
    }
    out
}

/// array 32
fn list(out: &mut Vec<u8>, length: usize) {
    out.push(0xdd);
    out.extend_from_slice(&(length as u32).to_be_bytes());
}

fn packed(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Text(text) => {
            // str 32
            out.push(0xdb);
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Whole(number) => {
            // int 64
            out.push(0xd3);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Float(number) => {
            // float 64
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Column(values) => {
            list(out, values.len());
            for value in *values {
                match value.is_nan() {
                    true => out.push(0xc0),
                    false => packed(out, &Value::Float(*value)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_where_readers_look_for_it() {
        let all = [Series::new("a", 60, 80, 10, vec![1.5, f64::NAN])];
        let (pickle, msgpack) = (pickle(&all), msgpack(&all));
        assert!(
            pickle.starts_with(b"\x80\x02](}(X\x04\0\0\0nameX\x01\0\0\0aX\x05\0\0\0start\x8a\x08\x3c\0\0\0\0\0\0\0")
        );
        assert!(pickle.windows(12).any(|part| part == b"(G\x3f\xf8\0\0\0\0\0\0Ne"));
        assert!(pickle.ends_with(b"G\0\0\0\0\0\0\0\0ue."));
        assert!(msgpack.starts_with(b"\xdd\0\0\0\x01\x89\xdb\0\0\0\x04name\xdb\0\0\0\x01a"));
        assert!(msgpack.windows(15).any(|part| part == b"\xdd\0\0\0\x02\xcb\x3f\xf8\0\0\0\0\0\0\xc0"));
    }
}
