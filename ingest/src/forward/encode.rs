//! Datapoints as Graphite's protocols write them.

use std::io::Write;

use super::config::Protocol;

/// Adds datapoints, each `(name, timestamp in Unix seconds, value)`, to `out`.
pub(crate) fn encode<'a>(protocol: Protocol, points: impl Iterator<Item = (&'a str, i64, f64)>, out: &mut Vec<u8>) {
    match protocol {
        Protocol::Line => points.for_each(|(name, timestamp_s, value)| {
            // Writing to memory does not fail.
            let _ = writeln!(out, "{name} {value} {timestamp_s}");
        }),
        Protocol::Pickle => pickle(points, out),
    }
}

/// The opcodes of pickle protocol 2, which every Python since 2.3 reads: `[(name, (timestamp, value)), ..]`.
fn pickle<'a>(points: impl Iterator<Item = (&'a str, i64, f64)>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // PROTO 2, EMPTY_LIST, MARK.
    out.extend_from_slice(b"\x80\x02](");
    for (name, timestamp_s, value) in points {
        // BINUNICODE.
        out.push(b'X');
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        // LONG1 with eight bytes; BINFLOAT; TUPLE2 twice.
        out.extend_from_slice(b"\x8a\x08");
        out.extend_from_slice(&timestamp_s.to_le_bytes());
        out.push(b'G');
        out.extend_from_slice(&value.to_be_bytes());
        out.extend_from_slice(b"\x86\x86");
    }
    // APPENDS, STOP.
    out.extend_from_slice(b"e.");
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::carbon;

    #[test]
    fn lines_are_graphites() {
        let mut out = Vec::new();
        encode(Protocol::Line, [("a.b", 10, 1.5), ("c;t=v", 20, -3.0)].into_iter(), &mut out);
        assert_eq!(out, b"a.b 1.5 10\nc;t=v -3 20\n");
    }

    proptest! {
        #[test]
        fn our_own_reader_reads_both_back(points in proptest::collection::vec(("[a-z;=.ö]{1,30}", 0i64..4_000_000_000, -1e300f64..1e300), 0..20)) {
            let mut pickled = Vec::new();
            encode(Protocol::Pickle, points.iter().map(|(name, at, value)| (name.as_str(), *at, *value)), &mut pickled);
            prop_assert_eq!(u32::from_be_bytes(pickled[..4].try_into().unwrap()) as usize, pickled.len() - 4);
            let mut read = Vec::new();
            carbon::pickle::parse(&pickled[4..], |entry| {
                let entry = entry.unwrap();
                read.push((entry.name.to_owned(), entry.timestamp.unwrap() as i64, entry.value.unwrap()));
            }).unwrap();
            prop_assert_eq!(&read, &points);
            let mut lines = Vec::new();
            encode(Protocol::Line, points.iter().map(|(name, at, value)| (name.as_str(), *at, *value)), &mut lines);
            for (line, (name, at, value)) in lines.split(|byte| *byte == b'\n').zip(&points) {
                let read = carbon::parse::parse(line, 0).unwrap().unwrap();
                prop_assert_eq!((read.name, read.timestamp_s, read.value), (name.as_str(), *at, *value));
            }
        }
    }
}
