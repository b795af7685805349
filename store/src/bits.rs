//! Bits packed into bytes, the most significant first.

/// Writes numbers of any width from 0 to 64 bits one after the other.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that fill no byte yet, the last `n_waiting` of these.
    waiting: u64,
    n_waiting: u32,
}

/// Widest number that goes through a 64-bit window beside the up to 7 bits of a begun byte.
const WINDOW_BITS: u32 = 56;

impl BitWriter {
    /// Continues after whole bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, waiting: 0, n_waiting: 0 }
    }

    /// Writes the `width` low bits of `value`.
    pub fn write(&mut self, value: u64, width: u32) {
        if width > WINDOW_BITS {
            self.write(value >> WINDOW_BITS, width - WINDOW_BITS);
            return self.write(value, WINDOW_BITS);
        }
        self.waiting = self.waiting << width | value & ((1 << width) - 1);
        self.n_waiting += width;
        while self.n_waiting >= 8 {
            self.n_waiting -= 8;
            self.bytes.push((self.waiting >> self.n_waiting) as u8);
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        if self.n_waiting > 0 {
            self.bytes.push((self.waiting << (8 - self.n_waiting)) as u8);
        }
        self.bytes
    }
}

/// Reads what a [`BitWriter`] wrote. `None` past the end.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub fn read(&mut self, width: u32) -> Option<u64> {
        let window = self.bytes.get(self.at / 8..).and_then(<[u8]>::first_chunk);
        match window {
            Some(window) if (1..=WINDOW_BITS).contains(&width) => {
                let window = u64::from_be_bytes(*window) << (self.at % 8);
                self.at += width as usize;
                Some(window >> (64 - width))
            }
            _ => self.read_slowly(width),
        }
    }

    /// Byte by byte: what is wider than the window, and the last bytes.
    fn read_slowly(&mut self, width: u32) -> Option<u64> {
        let mut value = 0u64;
        let mut left = width;
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8)?;
            let free = 8 - (self.at % 8) as u32;
            let taken = left.min(free);
            let chunk = (byte >> (free - taken)) & (0xff >> (8 - taken)) as u8;
            value = value << taken | u64::from(chunk);
            self.at += taken as usize;
            left -= taken;
        }
        Some(value)
    }

    /// The bytes after the last one that was touched.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at.div_ceil(8).min(self.bytes.len())..]
    }
}

/// Appends a number in groups of 7 bits, the lowest first (LEB128).
pub(crate) fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes one number off the front.
pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Folds the sign into the lowest bit, so that small numbers of either sign stay short.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// How many bits hold the number.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        let cases: Vec<(u64, u32)> = (0..=64).map(|width| (0x9e37_79b9_7f4a_7c15 & mask(width), width)).collect();
        let mut writer = BitWriter::default();
        cases.iter().for_each(|(value, width)| writer.write(*value, *width));
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (value, width) in cases {
            assert_eq!(reader.read(width), Some(value), "{width} bits");
        }
        assert_eq!(reader.read(8), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn reading_by_windows_agrees_with_reading_byte_by_byte(
            numbers in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)
        ) {
            let mut writer = BitWriter::default();
            numbers.iter().for_each(|(value, width)| writer.write(*value, *width));
            let bytes = writer.finish();
            let (mut fast, mut slow) = (BitReader::new(&bytes), BitReader::new(&bytes));
            for (value, width) in numbers {
                let expected = value & mask(width);
                prop_assert_eq!((fast.read(width), slow.read_slowly(width)), (Some(expected), Some(expected)));
            }
            prop_assert_eq!(fast.rest(), slow.rest());
        }
    }

    fn mask(width: u32) -> u64 {
        1u64.checked_shl(width).map_or(u64::MAX, |bit| bit - 1)
    }

    #[test]
    fn varints_and_zigzag_come_back() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, zigzag(value));
            assert_eq!(read_varint(&mut bytes.as_slice()).map(unzigzag), Some(value));
        }
        assert_eq!(read_varint(&mut [0x80u8; 11].as_slice()), None);
    }
}
