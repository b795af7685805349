//! Makes a wrong input of a right one.

use fastrand::Rng;

use crate::{corpus::Input, json};

/// Longest input that is made, in bytes; long enough that what grows faster than its input shows.
pub const MAX_BYTES: usize = 256 * 1024;

/// Bytes that parsers of text and of lengths stumble over.
const NASTY: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"{",
    b"[",
    b"]",
    b"}",
    b"|",
    b":",
    b",",
    b"#",
    b"@",
    b"%",
    b"%zz",
    b"+",
    b"&",
    b"=",
    b";",
    b".",
    b"..",
    b"*",
    b"-",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"inf",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"\xed\xa0\x80",
    "\u{202e}é\u{1f600}".as_bytes(),
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"null",
    b"true",
    b"\\u0000",
    b"(",
    b")",
    b"'",
];

/// An input of the corpus, changed in one to eight places.
pub fn mutated(corpus: &[Input], rng: &mut Rng) -> Input {
    let Some(base) = rng.choice(corpus) else { return Input::default() };
    let mut input = base.clone();
    // A tree that stays one reaches deeper than bytes that are no JSON any more; both are sent.
    let is_tree = rng.u8(..4) > 0 && json::mutate(&mut input.body, corpus, rng);
    if !is_tree || rng.u8(..8) == 0 {
        (0..rng.usize(1..=8)).for_each(|_| change(&mut input.body, corpus, rng));
    }
    if rng.u8(..4) == 0 && !input.headers.is_empty() {
        let index = rng.usize(..input.headers.len());
        let mut value = std::mem::take(&mut input.headers[index].1).into_bytes();
        change(&mut value, corpus, rng);
        value.truncate(8 * 1024);
        input.headers[index].1 = String::from_utf8_lossy(&value).into_owned();
    }
    input.body.truncate(MAX_BYTES);
    input
}

/// Changes some bytes.
fn change(bytes: &mut Vec<u8>, corpus: &[Input], rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = (at + rng.usize(..=64)).min(bytes.len());
    match rng.u8(..8) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => drop(bytes.splice(at..at, rng.choice(NASTY).copied().unwrap_or_default().iter().copied())),
        3 => drop(bytes.splice(at..end, rng.choice(NASTY).copied().unwrap_or_default().iter().copied())),
        4 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        5 => {
            // What is short and comes often: the way to memory out of proportion.
            let piece: Vec<u8> = match rng.bool() {
                true => bytes[at..end].to_vec(),
                false => rng.choice(NASTY).copied().unwrap_or_default().to_vec(),
            };
            let n_copies = 1 << rng.u32(..14);
            let copies = piece.iter().copied().cycle().take((piece.len() * n_copies).min(MAX_BYTES / 2));
            drop(bytes.splice(at..at, copies));
        }
        6 => {
            let Some(other) = rng.choice(corpus).map(|other| &other.body).filter(|body| !body.is_empty()) else {
                return;
            };
            let from = rng.usize(..other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => (at..end).for_each(|index| bytes[index] = rng.u8(..)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_again_and_hardly_two_alike() {
        let corpus = crate::corpus::statsd();
        let run = |seed: u64| {
            let mut rng = Rng::with_seed(seed);
            (0..200).map(|_| mutated(&corpus, &mut rng)).collect::<Vec<_>>()
        };
        let inputs = run(7);
        assert_eq!(inputs, run(7));
        assert_ne!(inputs, run(8));
        let n_unchanged = inputs.iter().filter(|input| corpus.contains(input)).count();
        assert!(n_unchanged < 20, "{n_unchanged} of 200 are as they were");
        assert!(
            inputs.iter().any(|input| input.body.len() > 10_000) && inputs.iter().all(|i| i.body.len() <= MAX_BYTES)
        );
    }
}
