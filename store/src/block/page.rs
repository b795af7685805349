//! One column of one series, as a Parquet page: encoded, compressed, and read back without the rest of the file.
//!
//! Integers are encoded as `DELTA_BINARY_PACKED`, in which a regular series' timestamps take a few bytes in all. Floats are
//! `PLAIN` or `BYTE_STREAM_SPLIT`, whichever comes out shorter: the bytes of one significance side by side suit numbers of few
//! digits, whole numbers one after the other suit those that repeat.

use std::{cell::RefCell, io};

use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use crate::bits::{read_varint, unzigzag, width_of, write_varint, zigzag};

/// Values in a block of `DELTA_BINARY_PACKED`, a multiple of 128: long, as a block costs some bytes whatever it holds.
const BLOCK: usize = 512;
/// Parts of a block with a width each; their length is a multiple of 32.
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Zstandard's own default: levels above gain a few per cent on such pages at many times the cost.
const ZSTD_LEVEL: i32 = 3;

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

/// A compressed page, without its header.
pub(super) struct Page {
    pub bytes: Vec<u8>,
    pub n_uncompressed: usize,
    /// Whether floats stand as `BYTE_STREAM_SPLIT` rather than `PLAIN`.
    pub is_split: bool,
}

/// Compresses pages, one after the other.
pub(super) struct Encoder {
    whole: zstd::bulk::Compressor<'static>,
    /// For pages in several Zstandard blocks, each with statistics of its own.
    parted: zstd::stream::raw::Encoder<'static>,
}

/// Values from which on the bytes of each significance get a Zstandard block of their own: those of the highest bytes have
/// nothing in common with those of the lowest. Below it the headers cost more than that saves.
const PARTED_VALUES: usize = 256;

impl Encoder {
    pub fn new() -> io::Result<Self> {
        let parted = zstd::stream::raw::Encoder::new(ZSTD_LEVEL)?;
        Ok(Self { whole: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, parted })
    }

    pub fn ints(&mut self, values: &[i64]) -> io::Result<Page> {
        self.page(&write_deltas(values), false)
    }

    pub fn floats(&mut self, values: &[f64]) -> io::Result<Page> {
        let bytes = write_split(values);
        let mut shortest = self.page(&bytes, true)?;
        let mut shorten = |page: Page| {
            if page.bytes.len() < shortest.bytes.len() {
                shortest = page;
            }
        };
        if values.len() >= PARTED_VALUES {
            shorten(self.parted(&bytes, values.len())?);
        }
        // Whole numbers leave their low bytes empty, which only the split form can use.
        if values.iter().any(|value| value.fract() != 0.0) {
            let plain: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            shorten(self.page(&plain, false)?);
        }
        Ok(shortest)
    }

    pub fn page(&mut self, uncompressed: &[u8], is_split: bool) -> io::Result<Page> {
        Ok(Page { bytes: self.whole.compress(uncompressed)?, n_uncompressed: uncompressed.len(), is_split })
    }

    /// A page of split floats in parts of `part_bytes`.
    fn parted(&mut self, uncompressed: &[u8], part_bytes: usize) -> io::Result<Page> {
        let full = || io::Error::other("a compressed page is longer than it can be");
        self.parted.reinit()?;
        // What Zstandard may add to data that do not compress, and the headers of a block for each byte of a float.
        let mut bytes = Vec::with_capacity(zstd::zstd_safe::compress_bound(uncompressed.len()) + 8 * 32);
        let mut output = OutBuffer::around(&mut bytes);
        for part in uncompressed.chunks(part_bytes) {
            let mut input = InBuffer::around(part);
            self.parted.run(&mut input, &mut output)?;
            if input.pos() < part.len() || self.parted.flush(&mut output)? > 0 {
                return Err(full());
            }
        }
        if self.parted.finish(&mut output, true)? > 0 {
            return Err(full());
        }
        Ok(Page { bytes, n_uncompressed: uncompressed.len(), is_split: true })
    }
}

/// Reads integers back. `None` when the bytes are no such page of that many.
pub(super) fn read_ints(bytes: &[u8], n_values: usize) -> Option<Vec<i64>> {
    let n_blocks = n_values.div_ceil(BLOCK);
    let most = 40 + n_blocks * (10 + MINIBLOCKS) + n_blocks * BLOCK * 8;
    let encoded = decompress(bytes, most)?;
    read_deltas(&encoded, n_values)
}

/// Reads floats back. `None` when the bytes are no such page of that many.
pub(super) fn read_floats(bytes: &[u8], n_values: usize, is_split: bool) -> Option<Vec<f64>> {
    let encoded = decompress(bytes, n_values * 8)?;
    if encoded.len() != n_values * 8 {
        return None;
    }
    if is_split {
        return Some(read_split(&encoded, n_values));
    }
    let (values, _) = encoded.as_chunks();
    Some(values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

thread_local! {
    /// Its tables take longer to set up than a page to decode.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = zstd::bulk::Decompressor::new().ok();
        }
        decompressor.as_mut()?.decompress(bytes, most).ok()
    })
}

fn write_split(values: &[f64]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 8];
    for (significance, stream) in bytes.chunks_exact_mut(values.len().max(1)).enumerate() {
        for (byte, value) in stream.iter_mut().zip(values) {
            *byte = (value.to_bits() >> (8 * significance)) as u8;
        }
    }
    bytes
}

fn read_split(bytes: &[u8], n_values: usize) -> Vec<f64> {
    let mut bits = vec![0u64; n_values];
    for (significance, stream) in bytes.chunks_exact(n_values.max(1)).enumerate() {
        for (bits, byte) in bits.iter_mut().zip(stream) {
            *bits |= u64::from(*byte) << (8 * significance);
        }
    }
    bits.into_iter().map(f64::from_bits).collect()
}

fn write_deltas(values: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    write_varint(&mut bytes, BLOCK as u64);
    write_varint(&mut bytes, MINIBLOCKS as u64);
    write_varint(&mut bytes, values.len() as u64);
    write_varint(&mut bytes, zigzag(values.first().copied().unwrap_or(0)));
    let deltas: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    for block in deltas.chunks(BLOCK) {
        let low = block.iter().copied().min().unwrap_or(0);
        write_varint(&mut bytes, zigzag(low));
        let width = |part: &[i64]| part.iter().map(|delta| width_of(delta.wrapping_sub(low) as u64)).max().unwrap_or(0);
        let mut widths = [0u8; MINIBLOCKS];
        widths.iter_mut().zip(block.chunks(MINIBLOCK)).for_each(|(to, part)| *to = width(part) as u8);
        bytes.extend_from_slice(&widths);
        for (part, width) in block.chunks(MINIBLOCK).zip(widths) {
            pack(&mut bytes, part.iter().map(|delta| delta.wrapping_sub(low) as u64), u32::from(width));
        }
    }
    bytes
}

/// Packs numbers of one width from the lowest bit on, filled up to a whole miniblock.
fn pack(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, width: u32) {
    let end = bytes.len() + MINIBLOCK * width as usize / 8;
    let (mut waiting, mut n_waiting) = (0u128, 0);
    for number in numbers {
        waiting |= u128::from(number) << n_waiting;
        n_waiting += width;
        while n_waiting >= 8 {
            bytes.push(waiting as u8);
            waiting >>= 8;
            n_waiting -= 8;
        }
    }
    if n_waiting > 0 {
        bytes.push(waiting as u8);
    }
    bytes.resize(end, 0);
}

fn read_deltas(mut bytes: &[u8], n_values: usize) -> Option<Vec<i64>> {
    let header = [read_varint(&mut bytes)?, read_varint(&mut bytes)?, read_varint(&mut bytes)?];
    if header != [BLOCK as u64, MINIBLOCKS as u64, n_values as u64] {
        return None;
    }
    let mut value = unzigzag(read_varint(&mut bytes)?);
    let mut values = Vec::with_capacity(n_values);
    if n_values > 0 {
        values.push(value);
    }
    while values.len() < n_values {
        let low = unzigzag(read_varint(&mut bytes)?);
        let (widths, rest) = bytes.split_first_chunk::<MINIBLOCKS>()?;
        bytes = rest;
        for width in widths.iter().map(|width| u32::from(*width)) {
            let n_left = (n_values - values.len()).min(MINIBLOCK);
            if n_left == 0 {
                break;
            }
            let (packed, rest) = bytes.split_at_checked(MINIBLOCK * width as usize / 8)?;
            bytes = rest;
            if width > 64 {
                return None;
            }
            if width == 0 {
                values.extend((1..=n_left as i64).map(|step| value.wrapping_add(low.wrapping_mul(step))));
                value = value.wrapping_add(low.wrapping_mul(n_left as i64));
                continue;
            }
            let mask = u64::MAX >> (64 - width);
            let (mut waiting, mut n_waiting, mut packed) = (0u128, 0, packed.iter());
            for _ in 0..n_left {
                while n_waiting < width {
                    waiting |= u128::from(*packed.next()?) << n_waiting;
                    n_waiting += 8;
                }
                value = value.wrapping_add(low).wrapping_add((waiting as u64 & mask) as i64);
                waiting >>= width;
                n_waiting -= width;
                values.push(value);
            }
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_regular_day_of_timestamps_takes_under_a_hundred_bytes() {
        let day: Vec<i64> = (0..8640).map(|i| 1_700_000_000 + 10 * i).collect();
        let page = Encoder::new().unwrap().ints(&day).unwrap();
        assert!(page.bytes.len() < 100, "{} bytes", page.bytes.len());
        assert_eq!(read_ints(&page.bytes, day.len()), Some(day));
    }

    #[test]
    fn five_digits_take_under_two_and_a_quarter_bytes() {
        let value = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30) % 90_000 + 10_000;
        let values: Vec<f64> = (0..8640).map(|i| value(i) as f64).collect();
        let page = Encoder::new().unwrap().floats(&values).unwrap();
        assert!(page.bytes.len() < 8640 * 9 / 4, "{} bytes", page.bytes.len());
    }

    #[test]
    fn a_page_of_another_length_is_refused() {
        let mut encoder = Encoder::new().unwrap();
        let (ints, floats) = (encoder.ints(&[1, 2, 3]).unwrap(), encoder.floats(&[0.1, 0.2]).unwrap());
        assert_eq!(read_ints(&ints.bytes, 4), None);
        assert_eq!(read_ints(&floats.bytes, 2), None);
        assert_eq!(read_floats(&floats.bytes, 1, floats.is_split), None);
        assert_eq!(read_floats(&floats.bytes[1..], 2, floats.is_split), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn pages_give_back_what_went_in(
            ints in prop::collection::vec(any::<i64>(), 0..1500),
            steps in prop::collection::vec(0i64..100_000, 0..1500),
            floats in prop::collection::vec(any::<f64>(), 0..600),
        ) {
            let mut encoder = Encoder::new().unwrap();
            for ints in [ints, steps] {
                let page = encoder.ints(&ints).unwrap();
                prop_assert_eq!(read_ints(&page.bytes, ints.len()), Some(ints));
            }
            let page = encoder.floats(&floats).unwrap();
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let read = read_floats(&page.bytes, floats.len(), page.is_split).unwrap();
            prop_assert_eq!(bits(&read), bits(&floats));
        }
    }
}
