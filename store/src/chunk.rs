//! A sealed run of one series' datapoints, compressed.
//!
//! Timestamps are stored as offsets from their shortest step, so a regular series costs a few bytes a chunk. Values
//! that are decimal numbers of few digits, which most metrics are, are stored as integers packed to the width of
//! their range (as VictoriaMetrics does); all others as the XOR with the value before (Gorilla, VLDB 2015,
//! section 4.1.2). The smaller of the two is kept, and either gives back the very same bits.

use crate::{
    bits::{BitReader, BitWriter, read_varint, unzigzag, width_of, write_varint, zigzag},
    point::Columns,
};

/// Most datapoints in a chunk: 20 minutes at 10 s, as in Gorilla and Prometheus, long enough to spread the header.
pub(crate) const CHUNK_POINTS: usize = 120;

/// Integers up to here survive the way through `f64`.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
pub(crate) const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Values as packed integers, or as XORs.
const DECIMAL: u8 = 0;
const XOR: u8 = 1;

/// A compressed run of datapoints with strictly ascending timestamps; never empty.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    first_s: i64,
    last_s: i64,
    bytes: Box<[u8]>,
}

impl Chunk {
    /// Compresses columns that ascend in time. `None` when they are empty.
    pub fn seal(columns: &Columns) -> Option<Self> {
        let (first_s, last_s) = (*columns.timestamps.first()?, *columns.timestamps.last()?);
        let mut bytes = Vec::with_capacity(64);
        write_varint(&mut bytes, columns.len() as u64);
        write_timestamps(&mut bytes, &columns.timestamps);
        let bytes = match decimals(&columns.values) {
            Some((power, integers)) => write_integers(bytes, power, &integers),
            None => write_xors(bytes, &columns.values),
        };
        Some(Self { first_s, last_s, bytes: bytes.into_boxed_slice() })
    }

    /// Bytes in memory, this struct included.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// Adds the datapoints in `[from_s, until_s)` to `columns`.
    pub fn read(&self, from_s: i64, until_s: i64, columns: &mut Columns) {
        if self.last_s < from_s || self.first_s >= until_s {
            return;
        }
        // Chunks live in memory only and are written by `seal`, so they decode.
        const DECODES: &str = "a chunk decodes to what was sealed";
        if from_s <= self.first_s && self.last_s < until_s {
            return self.decode(columns).expect(DECODES);
        }
        let mut all = Columns::default();
        self.decode(&mut all).expect(DECODES);
        columns.extend_within(&all, from_s, until_s);
    }

    fn decode(&self, columns: &mut Columns) -> Option<()> {
        let mut bytes = &self.bytes[..];
        let n_points = usize::try_from(read_varint(&mut bytes)?).ok()?;
        columns.timestamps.reserve(n_points);
        columns.values.reserve(n_points);
        let rest = read_timestamps(bytes, self.first_s, n_points, &mut columns.timestamps)?;
        read_values(rest, n_points, &mut columns.values)
    }
}

fn write_timestamps(bytes: &mut Vec<u8>, timestamps: &[i64]) {
    let steps = || timestamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as u64);
    let shortest = steps().min().unwrap_or(0);
    let width = steps().map(|step| width_of(step - shortest)).max().unwrap_or(0);
    write_varint(bytes, shortest);
    bytes.push(width as u8);
    let mut writer = BitWriter::after(std::mem::take(bytes));
    steps().for_each(|step| writer.write(step - shortest, width));
    *bytes = writer.finish();
}

fn read_timestamps<'a>(mut bytes: &'a [u8], first_s: i64, n_points: usize, into: &mut Vec<i64>) -> Option<&'a [u8]> {
    let shortest = read_varint(&mut bytes)?;
    let (width, rest) = bytes.split_first()?;
    let mut reader = BitReader::new(rest);
    let mut at = first_s;
    into.push(at);
    if *width == 0 {
        into.extend((1..n_points as i64).map(|step| first_s.wrapping_add((shortest as i64).wrapping_mul(step))));
        return Some(rest);
    }
    for _ in 1..n_points {
        at = at.wrapping_add(shortest.wrapping_add(reader.read(u32::from(*width))?) as i64);
        into.push(at);
    }
    Some(reader.rest())
}

/// The values as integers over one power of ten, if that loses no bit of any.
fn decimals(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let mut power = 0;
    let mut integers = Vec::with_capacity(values.len());
    'powers: while power < POWERS.len() {
        integers.clear();
        for value in values {
            let scaled = (value * POWERS[power]).round();
            if scaled.is_nan() || scaled.abs() > MAX_EXACT {
                return None;
            }
            // By way of the integer, which has no -0.
            let integer = scaled as i64;
            if (integer as f64 / POWERS[power]).to_bits() != value.to_bits() {
                power += 1;
                continue 'powers;
            }
            integers.push(integer);
        }
        return Some((power, integers));
    }
    None
}

fn write_integers(mut bytes: Vec<u8>, power: usize, integers: &[i64]) -> Vec<u8> {
    // Counters that only rise pack better as differences, noise around a level as it is.
    let differences: Vec<i64> = std::iter::once(0).chain(integers.windows(2).map(|pair| pair[1] - pair[0])).collect();
    let range = |numbers: &[i64]| {
        let low = numbers.iter().copied().min().unwrap_or(0);
        (low, numbers.iter().map(|number| width_of((number - low) as u64)).max().unwrap_or(0))
    };
    let (plain, stepped) = (range(integers), range(&differences[1..]));
    let by_difference = stepped.1 < plain.1;
    let (low, width) = if by_difference { stepped } else { plain };
    bytes.push(DECIMAL | (power as u8) << 2 | u8::from(by_difference) << 1);
    write_varint(&mut bytes, zigzag(low));
    bytes.push(width as u8);
    if by_difference {
        write_varint(&mut bytes, zigzag(integers[0]));
    }
    let packed = if by_difference { &differences[1..] } else { integers };
    let mut writer = BitWriter::after(bytes);
    packed.iter().for_each(|number| writer.write((number - low) as u64, width));
    writer.finish()
}

fn write_xors(mut bytes: Vec<u8>, values: &[f64]) -> Vec<u8> {
    bytes.push(XOR);
    let mut writer = BitWriter::after(bytes);
    let mut before = values[0].to_bits();
    writer.write(before, 64);
    let (mut leading, mut trailing) = (u32::MAX, 0);
    for value in &values[1..] {
        let xor = value.to_bits() ^ before;
        before = value.to_bits();
        if xor == 0 {
            writer.write(0, 1);
            continue;
        }
        let (zeros_before, zeros_after) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if leading <= zeros_before && trailing <= zeros_after {
            writer.write(0b10, 2);
        } else {
            (leading, trailing) = (zeros_before, zeros_after);
            writer.write(0b11, 2);
            writer.write(u64::from(leading), 5);
            writer.write(u64::from(63 - leading - trailing), 6);
        }
        writer.write(xor >> trailing, 64 - leading - trailing);
    }
    writer.finish()
}

fn read_values(bytes: &[u8], n_points: usize, into: &mut Vec<f64>) -> Option<()> {
    let (head, mut rest) = bytes.split_first()?;
    if head & 1 == XOR {
        return read_xors(rest, n_points, into);
    }
    let power = *POWERS.get(usize::from(head >> 2))?;
    let low = unzigzag(read_varint(&mut rest)?);
    let (width, mut rest) = rest.split_first()?;
    let mut number = 0;
    let by_difference = head & 2 != 0;
    if by_difference {
        number = unzigzag(read_varint(&mut rest)?);
        into.push(number as f64 / power);
    }
    let mut reader = BitReader::new(rest);
    for _ in usize::from(by_difference)..n_points {
        let packed = low.wrapping_add(reader.read(u32::from(*width))? as i64);
        number = if by_difference { number + packed } else { packed };
        into.push(number as f64 / power);
    }
    Some(())
}

fn read_xors(bytes: &[u8], n_points: usize, into: &mut Vec<f64>) -> Option<()> {
    let mut reader = BitReader::new(bytes);
    let mut bits = reader.read(64)?;
    into.push(f64::from_bits(bits));
    let (mut length, mut trailing) = (0, 0);
    for _ in 1..n_points {
        if reader.read(1)? == 1 {
            if reader.read(1)? == 1 {
                let leading = reader.read(5)? as u32;
                length = reader.read(6)? as u32 + 1;
                trailing = 64u32.checked_sub(leading + length)?;
            }
            bits ^= reader.read(length)? << trailing;
        }
        into.push(f64::from_bits(bits));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(timestamps: Vec<i64>, values: Vec<f64>) -> usize {
        let columns = Columns { timestamps, values };
        let chunk = Chunk::seal(&columns).unwrap();
        let mut decoded = Columns::default();
        chunk.read(i64::MIN, i64::MAX, &mut decoded);
        assert_eq!(decoded.timestamps, columns.timestamps);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded.values), bits(&columns.values));
        chunk.size()
    }

    #[test]
    fn a_regular_series_of_small_decimals_costs_under_two_bytes_a_point() {
        let timestamps: Vec<i64> = (0..120).map(|i| 1_700_000_000 + 10 * i).collect();
        let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as f64; // 10 bits
        let whole = round_trip(timestamps.clone(), (0..120).map(noise).collect());
        let tenths = round_trip(timestamps.clone(), (0..120).map(|i| noise(i) / 10.0).collect());
        let counter = round_trip(timestamps, (0..120).map(|i| 1e9 + 17.0 * i as f64).collect());
        assert!(whole < 240 && tenths < 240, "{whole} and {tenths} bytes for 120 points");
        assert!(counter < 60, "{counter} bytes for 120 points");
    }

    #[test]
    fn odd_numbers_come_back_to_the_bit() {
        let values =
            vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2, 1e300, -1.5];
        let timestamps = (0..values.len() as i64).map(|i| i * i * 7).collect();
        round_trip(timestamps, values);
        round_trip(vec![i64::MIN / 2, i64::MAX / 2], vec![9_007_199_254_740_992.0, -9_007_199_254_740_992.0]);
        round_trip(vec![5], vec![5.0]);
        round_trip(vec![5, 6], vec![1.0, -0.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn sealing_then_reading_returns_the_points(
            points in prop::collection::btree_map(0i64..1 << 40, prop_oneof![
                any::<f64>().prop_filter("a gap is no datapoint", |value| !value.is_nan()),
                (-1_000_000i64..1_000_000, 0usize..7).prop_map(|(number, power)| number as f64 / POWERS[power]),
            ], 1..CHUNK_POINTS)
        ) {
            round_trip(points.keys().copied().collect(), points.values().copied().collect());
        }
    }
}
