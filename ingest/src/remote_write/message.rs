//! The protobuf message `prometheus.WriteRequest`: `repeated TimeSeries timeseries = 1`, each with `repeated Label labels = 1` and `repeated Sample samples = 2`.

use std::str;

use super::snappy::varint;

/// Most labels of one series.
const MAX_LABELS: usize = 128;

/// One series of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TimeSeries<'a> {
    /// Names and values, `__name__` among them.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Values with their times in Unix milliseconds.
    pub samples: Vec<(f64, i64)>,
}

/// One field of a message.
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Calls `visit` with each series; `None` if the message is malformed, after the series before.
pub(super) fn parse<'a>(message: &'a [u8], mut visit: impl FnMut(TimeSeries<'a>)) -> Option<()> {
    fields(message, |number, field| {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            visit(series(bytes)?);
        }
        Some(())
    })
}

fn series(message: &[u8]) -> Option<TimeSeries<'_>> {
    let mut series = TimeSeries::default();
    fields(message, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) if series.labels.len() < MAX_LABELS => series.labels.push(label(bytes)?),
            (1, _) => return None,
            (2, Field::Bytes(bytes)) => series.samples.push(sample(bytes)?),
            _ => {}
        }
        Some(())
    })?;
    Some(series)
}

fn label(message: &[u8]) -> Option<(&str, &str)> {
    let (mut name, mut value) = ("", "");
    fields(message, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = str::from_utf8(bytes).ok()?,
            (2, Field::Bytes(bytes)) => value = str::from_utf8(bytes).ok()?,
            _ => {}
        }
        Some(())
    })?;
    Some((name, value))
}

fn sample(message: &[u8]) -> Option<(f64, i64)> {
    let (mut value, mut at_ms) = (0.0, 0);
    fields(message, |number, field| {
        match (number, field) {
            (1, Field::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Field::Varint(number)) => at_ms = number as i64,
            _ => {}
        }
        Some(())
    })?;
    Some((value, at_ms))
}

/// Calls `visit` with the number and content of each field of a message.
fn fields<'a>(message: &'a [u8], mut visit: impl FnMut(u64, Field<'a>) -> Option<()>) -> Option<()> {
    let mut rest = message;
    while !rest.is_empty() {
        let (key, after) = varint(rest)?;
        let (field, after) = match key & 7 {
            0 => varint(after).map(|(number, after)| (Field::Varint(number), after))?,
            1 => {
                let (bytes, after) = after.split_first_chunk::<8>()?;
                (Field::Fixed64(u64::from_le_bytes(*bytes)), after)
            }
            2 => {
                let (length, after) = varint(after)?;
                let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Bytes(bytes), after)
            }
            5 => (Field::Fixed32, after.split_first_chunk::<4>()?.1),
            _ => return None,
        };
        visit(key >> 3, field)?;
        rest = after;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_and_what_is_unknown_passed_over() {
        // TimeSeries{ Label{"__name__", "up"}, Sample{1.5, 1700000000000}, exemplar }, metadata.
        let label = b"\x0a\x0e\x0a\x08__name__\x12\x02up";
        let sample = b"\x12\x10\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\x80\xd0\x95\xff\xbc\x31";
        let exemplar = b"\x1a\x01\x00";
        let series = [&label[..], sample].concat();
        let body = [&series[..], &exemplar[..1], b"\x00"].concat();
        let message = [&[0x0a, body.len() as u8][..], &body, b"\x1a\x00\x25\x00\x00\x00\x00"].concat();
        let mut read = Vec::new();
        assert_eq!(parse(&message, |series| read.push(series)), Some(()));
        assert_eq!(read, [TimeSeries { labels: vec![("__name__", "up")], samples: vec![(1.5, 1_700_000_000_000)] }]);
        assert_eq!(parse(&message[..message.len() - 1], |_| ()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&message, |_| ());
        }
    }
}
