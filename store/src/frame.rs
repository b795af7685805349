//! Records in append-only files: magic, length, checksum, payload.
//!
//! The magic lets a reader find the next good frame after a damaged one; the checksum covers length and payload.

use std::{io, ops::Range, path::Path};

/// Stands before every frame.
const MAGIC: [u8; 4] = *b"DLf1";
/// Bytes before the payload: magic, length and CRC-32, each little-endian `u32`.
pub(crate) const HEADER_BYTES: usize = 12;
/// Longest payload that a reader believes; writers stay below.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// Adds a frame around what `write` appends.
pub(crate) fn push(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 8]);
    write(bytes);
    let length = (bytes.len() - start - HEADER_BYTES) as u32;
    bytes[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(length, &bytes[start + HEADER_BYTES..]);
    bytes[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// What reading a file of frames found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the good payloads lie.
    pub payloads: Vec<Range<usize>>,
    /// The stretches between them that hold no good frame.
    pub damaged: Vec<Range<usize>>,
    /// Where a stretch without a good frame begins that reaches to the end: a torn last write.
    pub torn_at: Option<usize>,
}

/// Reads every good frame from `start` on, over damaged ones and up to a torn end.
pub(crate) fn scan(bytes: &[u8], start: usize) -> Scan {
    let mut scan = Scan::default();
    let mut at = start.min(bytes.len());
    let mut bad_since = None;
    while at < bytes.len() {
        match payload_at(bytes, at) {
            Some(payload) => {
                if let Some(since) = bad_since.take() {
                    scan.damaged.push(since..at);
                }
                at = payload.end;
                scan.payloads.push(payload);
            }
            None => {
                bad_since.get_or_insert(at);
                at = next_magic(bytes, at + 1);
            }
        }
    }
    scan.torn_at = bad_since.or((start > bytes.len()).then_some(0));
    scan
}

fn payload_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let header = bytes.get(at..at + HEADER_BYTES)?;
    let word = |range: Range<usize>| u32::from_le_bytes(header[range].try_into().expect("a word has four bytes"));
    let length = word(4..8);
    if header[..4] != MAGIC || length as usize > MAX_PAYLOAD_BYTES {
        return None;
    }
    let payload = at + HEADER_BYTES..at + HEADER_BYTES + length as usize;
    (checksum(length, bytes.get(payload.clone())?) == word(8..12)).then_some(payload)
}

fn next_magic(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map_or(bytes.len(), |offset| from + offset)
}

/// Makes names that were created, renamed or removed in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut bytes = b"head".to_vec();
        for payload in ["one", "two", "three"] {
            push(&mut bytes, |bytes| bytes.extend_from_slice(payload.as_bytes()));
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (String, usize, Option<usize>) {
        let scan = scan(bytes, 4);
        let texts: Vec<_> =
            scan.payloads.iter().map(|range| std::str::from_utf8(&bytes[range.clone()]).unwrap()).collect();
        (texts.join(" "), scan.damaged.len(), scan.torn_at)
    }

    #[test]
    fn a_tail_torn_at_any_byte_costs_only_the_last_frame() {
        let whole = file();
        let last = whole.len() - HEADER_BYTES - 5;
        assert_eq!(read(&whole), ("one two three".to_owned(), 0, None));
        assert_eq!(read(&whole[..last]), ("one two".to_owned(), 0, None));
        for end in last + 1..whole.len() {
            assert_eq!(read(&whole[..end]), ("one two".to_owned(), 0, Some(last)), "cut at {end}");
        }
    }

    #[test]
    fn a_damaged_byte_anywhere_costs_only_its_own_frame() {
        let whole = file();
        for at in 4..4 + HEADER_BYTES + 3 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            assert_eq!(read(&bytes), ("two three".to_owned(), 1, None), "flipped at {at}");
        }
    }

    #[test]
    fn a_file_shorter_than_its_own_header_is_torn() {
        assert_eq!(scan(b"he", 4).torn_at, Some(0));
        assert_eq!(scan(b"head", 4), Scan::default());
    }
}
