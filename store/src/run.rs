//! The newest datapoints of one series in the order that they came, a few bytes each.
//!
//! Not compressed as a [`Chunk`] is, which needs to see all of its datapoints first: each is written once, behind the one
//! before. A datapoint in step with a whole number of one digit takes a byte, one of five digits four, any at most twenty.

use crate::{
    bits::{read_varint, unzigzag, zigzag},
    chunk::{CHUNK_POINTS, Chunk, POWERS},
    point::Columns,
};

/// Powers of ten that are tried: what has more decimals seldom ends at all.
const TRIED_POWERS: usize = 4;
/// Largest number that is written as an integer: beyond it 8 bytes as they are cost no more.
const MAX_INTEGER: f64 = (1u64 << 47) as f64;

/// Of a datapoint's first byte: the power of ten under its integer,
const POWER: u8 = 0b111;
/// or that 8 bytes follow;
const RAW: u8 = 7;
/// that the step differs from the one before, and the difference follows;
const NEW_STEP: u8 = 1 << 3;
/// and in the upper half the integer,
const INLINE_SHIFT: u32 = 4;
/// or that it follows.
const FOLLOWS: u64 = 15;

/// Datapoints in any order of time; what came later stands later.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    last_s: i64,
    step_s: i64,
    n_points: u8,
}

// The count has to hold a full chunk.
const _: () = assert!(CHUNK_POINTS <= u8::MAX as usize);

impl Run {
    /// Adds a datapoint.
    pub fn push(&mut self, timestamp_s: i64, value: f64) {
        let mut point = [0u8; 32];
        let mut rest = Writer { bytes: &mut point, at: 1 };
        let step_s = timestamp_s.wrapping_sub(self.last_s);
        let mut head = 0;
        if step_s != self.step_s {
            head |= NEW_STEP;
            rest.varint(zigzag(step_s.wrapping_sub(self.step_s)));
        }
        match integer(value) {
            Some((power, integer)) => {
                let number = zigzag(integer);
                head |= power as u8 | (number.min(FOLLOWS) as u8) << INLINE_SHIFT;
                if number >= FOLLOWS {
                    rest.varint(number - FOLLOWS);
                }
            }
            None => {
                head |= RAW;
                rest.raw(value.to_bits().to_le_bytes());
            }
        }
        let length = rest.at;
        point[0] = head;
        if self.bytes.capacity() - self.bytes.len() < length {
            // By half as much again: of a million series the room to come is memory as well.
            self.bytes.reserve_exact(length.max(self.bytes.len() / 2).next_multiple_of(8));
        }
        self.bytes.extend_from_slice(&point[..length]);
        (self.last_s, self.step_s) = (timestamp_s, step_s);
        self.n_points += 1;
    }

    /// Calls `each` with every datapoint, in the order that they came.
    pub fn each(&self, mut each: impl FnMut(i64, f64)) {
        let mut bytes = &self.bytes[..];
        let (mut at_s, mut step_s) = (0i64, 0i64);
        while let Some((timestamp_s, value)) = next(&mut bytes, &mut at_s, &mut step_s) {
            each(timestamp_s, value);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.n_points == 0
    }

    pub fn is_full(&self) -> bool {
        usize::from(self.n_points) == CHUNK_POINTS
    }

    /// Empties it into a chunk, and gives its memory back: a series that falls silent should not hold it.
    pub fn seal(&mut self) -> Option<Chunk> {
        let mut columns = Columns::default();
        self.each(|timestamp_s, value| columns.push(timestamp_s, value));
        *self = Self::default();
        columns.settle();
        Chunk::seal(&columns)
    }

    /// Bytes in memory beside this struct's own.
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Bytes of one datapoint: 1, at most 10 for the step, at most 10 for the value.
struct Writer<'b> {
    bytes: &'b mut [u8; 32],
    at: usize,
}

impl Writer<'_> {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes[self.at] = number as u8 | 0x80;
            self.at += 1;
            number >>= 7;
        }
        self.bytes[self.at] = number as u8;
        self.at += 1;
    }

    fn raw(&mut self, bytes: [u8; 8]) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&bytes);
        self.at += 8;
    }
}

/// The value as an integer over a power of ten, if it comes back from it to the bit.
fn integer(value: f64) -> Option<(usize, i64)> {
    if value.is_nan() || value.abs() >= MAX_INTEGER {
        return None;
    }
    (0..TRIED_POWERS).find_map(|power| {
        let scaled = value * POWERS[power];
        // The nearest one, without a call for `round`; should it not be, the check below finds out.
        let integer = (scaled + 0.5f64.copysign(scaled)) as i64;
        (integer as f64 / POWERS[power]).to_bits().eq(&value.to_bits()).then_some((power, integer))
    })
}

fn next(bytes: &mut &[u8], at_s: &mut i64, step_s: &mut i64) -> Option<(i64, f64)> {
    let (head, rest) = bytes.split_first()?;
    *bytes = rest;
    if head & NEW_STEP != 0 {
        *step_s = step_s.wrapping_add(unzigzag(read_varint(bytes)?));
    }
    *at_s = at_s.wrapping_add(*step_s);
    if head & POWER == RAW {
        let (raw, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        return Some((*at_s, f64::from_le_bytes(*raw)));
    }
    let mut number = u64::from(head >> INLINE_SHIFT);
    if number == FOLLOWS {
        number += read_varint(bytes)?;
    }
    Some((*at_s, unzigzag(number) as f64 / POWERS[usize::from(head & POWER)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(points: &[(i64, f64)]) -> usize {
        let mut run = Run::default();
        points.iter().for_each(|(at, value)| run.push(*at, *value));
        let mut read = Vec::new();
        run.each(|at, value| read.push((at, value.to_bits())));
        let expected: Vec<_> = points.iter().map(|(at, value)| (*at, value.to_bits())).collect();
        assert_eq!(read, expected);
        assert_eq!(run.is_empty(), points.is_empty());
        run.bytes.len()
    }

    #[test]
    fn a_datapoint_in_step_takes_as_many_bytes_as_it_has_to_say() {
        let regular = |value: f64| round_trip(&(0..100).map(|i| (1_700_000_000 + 10 * i, value)).collect::<Vec<_>>());
        // The first says where the series begins, the second its step.
        assert!(regular(0.0) <= 112, "{}", regular(0.0));
        assert!(regular(98_765.0) <= 412, "{}", regular(98_765.0));
        assert!(regular(12.5) <= 312, "{}", regular(12.5));
        assert!(regular(0.1 + 0.2) <= 912, "{}", regular(0.1 + 0.2));
    }

    #[test]
    fn odd_numbers_and_times_come_back_to_the_bit() {
        let values = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2, 1e300, -1.5];
        round_trip(&values.iter().enumerate().map(|(i, value)| (i as i64 * 7, *value)).collect::<Vec<_>>());
        let edge = MAX_INTEGER;
        round_trip(&[(i64::MIN, edge), (i64::MAX, -edge), (0, edge - 1.0), (-1, 1.0 - edge), (i64::MAX, 7.5)]);
        round_trip(&[(5, 1.0), (5, 2.0), (4, 3.0)]);
        round_trip(&[]);
    }

    #[test]
    fn a_full_run_becomes_a_chunk_in_order_of_time() {
        let mut run = Run::default();
        for i in (0..CHUNK_POINTS as i64).rev() {
            assert!(!run.is_full());
            run.push(i, i as f64);
        }
        assert!(run.is_full());
        let mut columns = Columns::default();
        run.seal().unwrap().read(0, 3, &mut columns);
        assert_eq!(columns.iter().collect::<Vec<_>>(), [(0, 0.0), (1, 1.0), (2, 2.0)]);
        assert!(run.is_empty() && run.size() == 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_pushed_is_read(
            points in prop::collection::vec((any::<i64>(), prop_oneof![
                any::<f64>(),
                (-1_000_000i64..1_000_000, 0usize..7).prop_map(|(number, power)| number as f64 / POWERS[power]),
            ]), 0..CHUNK_POINTS)
        ) {
            round_trip(&points);
        }
    }
}
