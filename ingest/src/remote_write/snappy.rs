//! Snappy's block format, as remote write uses it: <https://github.com/google/snappy/blob/main/format_description.txt>.

/// Decompresses a block; `None` if it is malformed or would be larger than `max_bytes`.
pub(super) fn decompress(block: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    let (length, mut rest) = varint(block)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= max_bytes)?;
    // Grows with what is there: the announced length alone takes no memory.
    let mut out = Vec::with_capacity(length.min(block.len().saturating_mul(4)));
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        let upper = usize::from(tag >> 2);
        let (n_bytes, offset) = match tag & 3 {
            0 => {
                // A length of 60 and more stands in the 1 to 4 bytes that follow.
                let n_more = upper.saturating_sub(59);
                let n_bytes = if n_more == 0 { upper } else { number(&mut rest, n_more)? } + 1;
                let (literal, after) = rest.split_at_checked(n_bytes)?;
                if out.len() + n_bytes > length {
                    return None;
                }
                out.extend_from_slice(literal);
                rest = after;
                continue;
            }
            1 => (4 + (upper & 7), (upper >> 3) << 8 | number(&mut rest, 1)?),
            2 => (1 + upper, number(&mut rest, 2)?),
            _ => (1 + upper, number(&mut rest, 4)?),
        };
        if offset == 0 || offset > out.len() || out.len() + n_bytes > length {
            return None;
        }
        let start = out.len() - offset;
        if offset >= n_bytes {
            out.extend_from_within(start..start + n_bytes);
        } else {
            // What is copied may reach into what the copy writes.
            (start..start + n_bytes).for_each(|at| out.push(out[at]));
        }
    }
    (out.len() == length).then_some(out)
}

/// A little-endian number of so many bytes.
fn number(rest: &mut &[u8], n_bytes: usize) -> Option<usize> {
    let (bytes, after) = rest.split_at_checked(n_bytes)?;
    *rest = after;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// A number in groups of seven bits, the lowest first, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_and_copies_are_read() {
        assert_eq!(decompress(b"\x05\x10hello", 100).unwrap(), b"hello");
        // Two letters, and a copy of two bytes back that is six long.
        assert_eq!(decompress(b"\x08\x04ab\x09\x02", 100).unwrap(), b"abababab");
        assert_eq!(decompress(b"\x08\x04ab\x16\x02\x00", 100).unwrap(), b"abababab");
        assert_eq!(decompress(b"\x08\x04ab\x17\x02\x00\x00\x00", 100).unwrap(), b"abababab");
        let long = [&[0x80, 0x02, 60 << 2, 255][..], &[b'x'; 256]].concat();
        assert_eq!(decompress(&long, 256).unwrap(), [b'x'; 256]);
        assert_eq!(decompress(b"\x00", 0).unwrap(), b"");
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for block in [
            &b""[..],
            b"\x05\x10hell",
            b"\x04\x10hello",
            b"\x06\x10hello",
            b"\x08\x04ab\x09\x03",
            b"\x08\x04ab\x09\x00",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(decompress(block, 100), None, "{}", block.escape_ascii());
        }
        assert_eq!(decompress(b"\x05\x10hello", 4), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(block in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decompress(&block, 1000).is_none_or(|out| out.len() <= 1000));
        }
    }
}
