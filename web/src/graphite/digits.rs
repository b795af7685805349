//! Datapoints as text, `[1.5, 1795441320], …`, where most of the time of a large answer goes.
//!
//! Values are written as `serde_json` writes them, with a `.0` at whole ones as Python has it. Two things make it several
//! times faster: most values have few decimals and need no search for the shortest digits that say the same, and
//! copies of a fixed length, some of it to be written over, cost a few instructions where others cost a call.

use super::json::serialized;

/// Decimals that are tried before the general way, as a power of ten.
const SCALE: f64 = 1e6;
/// Values below this have an exponent, or few of these decimals.
const LEAST: f64 = 1e-3;
/// Values below this have at most 15 digits with those decimals: what so few digits say is exact.
const LIMIT: f64 = 1e9;
/// Longest datapoint: a value, its time and what stands between it and the next, in bytes.
const ROOM: usize = 64;
/// How much is written before it is moved to the answer, in bytes.
const BLOCK: usize = 4096;

/// `00`, `01`, … `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// What follows a value: `, 1795441320], [`. Between two times of a series mostly the last four digits change.
struct Tail {
    text: [u8; 32],
    length: usize,
    /// What the digits before the last four say.
    high: i64,
}

impl Tail {
    /// Ten digits long from 2001 to 2286.
    const USUAL: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

    fn at(&mut self, timestamp_s: i64) {
        let (high, low) = (timestamp_s / 10_000, timestamp_s % 10_000);
        if high != self.high || !Self::USUAL.contains(&timestamp_s) {
            let mut text = Vec::with_capacity(32);
            text.extend_from_slice(b", ");
            serialized(&mut text, &timestamp_s);
            text.extend_from_slice(b"], [");
            self.length = text.len();
            // Twenty characters at most, and six around them.
            self.text[..self.length].copy_from_slice(&text);
            self.high = high;
        } else {
            self.text[8..10].copy_from_slice(&PAIRS[low as usize / 100]);
            self.text[10..12].copy_from_slice(&PAIRS[low as usize % 100]);
        }
    }
}

/// Appends `[value, time], [value, time]` for each value of a grid; gaps are `null`, or left out without `nulls`.
pub(super) fn datapoints(out: &mut Vec<u8>, values: &[f64], (start_s, step_s): (i64, i64), nulls: bool) {
    let mut tail = Tail { text: [0; 32], length: 0, high: -1 };
    let mut block = [0; BLOCK + ROOM];
    let (mut at, before) = (1, out.len());
    block[0] = b'[';
    for (index, value) in values.iter().enumerate() {
        if value.is_nan() && !nulls {
            continue;
        }
        if at >= BLOCK - ROOM {
            out.extend_from_slice(&block[..at]);
            at = 0;
        }
        at += number(&mut block, at, *value);
        tail.at(start_s.saturating_add((index as i64).saturating_mul(step_s)));
        block[at..at + 32].copy_from_slice(&tail.text);
        at += tail.length;
    }
    out.extend_from_slice(&block[..at]);
    // The last one opens no other: `, [` goes, or the `[` of none at all.
    let written = out.len() - before;
    out.truncate(out.len() - if written == 1 { 1 } else { 3 });
}

/// Writes a value at a place and returns its length, at most 32 bytes.
fn number(block: &mut [u8; BLOCK + ROOM], at: usize, value: f64) -> usize {
    let size = value.abs();
    if (LEAST..LIMIT).contains(&size) {
        let scaled = (size * SCALE + 0.5) as u64;
        if scaled as f64 / SCALE == size {
            block[at] = b'-';
            let sign = usize::from(value < 0.0);
            return sign + decimal(block, at + sign, scaled);
        }
    }
    let mut text = Vec::with_capacity(32);
    match value == 0.0 {
        true => text.extend_from_slice(if value.is_sign_negative() { b"-0.0" } else { b"0.0" }),
        false => serialized(&mut text, &value),
    }
    let length = text.len().min(32);
    block[at..at + length].copy_from_slice(&text[..length]);
    length
}

/// Writes millionths as a decimal number without zeros at its end, but for one after the point.
fn decimal(block: &mut [u8; BLOCK + ROOM], at: usize, scaled: u64) -> usize {
    let (whole, fraction) = ((scaled / 1_000_000) as u32, (scaled % 1_000_000) as u32);
    // Right-aligned in ten characters; the rest is there to be copied along.
    let mut text = [b'0'; 20];
    let (mut first, mut rest) = (10, whole as usize);
    while rest >= 100 {
        first -= 2;
        text[first..first + 2].copy_from_slice(&PAIRS[rest % 100]);
        rest /= 100;
    }
    first -= 2;
    text[first..first + 2].copy_from_slice(&PAIRS[rest]);
    first += usize::from(rest < 10);
    let length = 10 - first;
    block[at..at + 10].copy_from_slice(&text[first..first + 10]);
    let point = at + length;
    block[point] = b'.';
    let pairs = [fraction / 10_000, fraction / 100 % 100, fraction % 100];
    for (index, pair) in pairs.into_iter().enumerate() {
        let place = point + 1 + 2 * index;
        block[place..place + 2].copy_from_slice(&PAIRS[pair as usize]);
    }
    let mut end = point + 7;
    while block[end - 1] == b'0' && end > point + 2 {
        end -= 1;
    }
    end - at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut block = [0; BLOCK + ROOM];
        let length = number(&mut block, 0, value);
        String::from_utf8(block[..length].to_vec()).unwrap()
    }

    /// What it must be: `serde_json`'s text, with whole numbers as Python writes them.
    #[track_caller]
    fn check(value: f64) {
        assert_eq!(written(value), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn every_number_is_as_serde_json_writes_it() {
        for value in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            0.3,
            123.45,
            999_999_999.999_999,
            1e9,
            1e-6,
            1.5e-6,
            1e-7,
            0.000_001_5,
            33.333_333_333,
            2.0 / 3.0,
            1e15,
            1e16,
            1e300,
            -5e-324,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            4_503_599_627.370_496,
        ] {
            check(value);
        }
        let mut random = 7u64;
        for index in 0..200_000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = (random >> 20) as f64;
            // Few decimals, many, and none to speak of.
            check((n % 1e9) / 10f64.powi((index % 8) as i32));
            check(-n / 7.0);
            check(f64::from_bits(random ^ index));
        }
    }

    #[test]
    fn times_of_any_size_are_written() {
        for start_s in [-5, 0, 990, 999_999_985, 1_795_441_320, 1_795_439_985, 9_999_999_990, i64::MAX - 5, i64::MIN] {
            let mut out = Vec::new();
            datapoints(&mut out, &[1.5, f64::NAN, -2.0], (start_s, 10), true);
            let at = |index: i64| start_s.saturating_add(10 * index);
            let expected = format!("[1.5, {}], [null, {}], [-2.0, {}]", at(0), at(1), at(2));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = b"x".to_vec();
        datapoints(&mut out, &[f64::NAN], (0, 1), false);
        assert_eq!(out, b"x");
    }
}
