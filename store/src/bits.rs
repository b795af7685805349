//! Bits packed into bytes, the most significant first.

/// Writes numbers of any width from 0 to 64 bits one after the other.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits still free in the last byte, 0..=7.
    free: u32,
}

impl BitWriter {
    /// Continues after whole bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Writes the `width` low bits of `value`.
    pub fn write(&mut self, value: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let chunk = (value >> (left - taken)) as u8 & (0xff >> (8 - taken)) as u8;
            let last = self.bytes.last_mut().expect("a byte was just ensured");
            *last |= chunk << (self.free - taken);
            self.free -= taken;
            left -= taken;
        }
    }

    pub fn finish(self) -> Vec<u8> {
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

    pub fn read(&mut self, width: u32) -> Option<u64> {
        let mut value = 0u64;
        let mut left = width;
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8)?;
            let free = 8 - (self.at % 8) as u32;
            let taken = left.min(free);
            let chunk = (byte >> (free - taken)) & (0xff >> (8 - taken)) as u8;
            value = if taken == 64 { u64::from(chunk) } else { value << taken | u64::from(chunk) };
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
