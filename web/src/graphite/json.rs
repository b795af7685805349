//! Series as JSON, written straight into the answer: no tree of values for a million numbers.
//!
//! Answers of many datapoints are written in parts by two threads, so that the first are on their way while the last
//! are written.

use std::{sync::mpsc::sync_channel, thread};

use deployline_render::graphite::Series;

use super::digits;

/// Datapoints of one part: some 100 KB, which stay in the processor's cache until they are sent.
const PART_POINTS: usize = 4096;
/// Parts that the second thread may be ahead.
const PARTS_AHEAD: usize = 4;

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serialized(out, text);
    }
}

/// Appends what `serde_json` makes of a value.
pub(super) fn serialized<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Strings and numbers into memory: there is nothing that could fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

/// Series on their way to be an answer: `[{"target", "tags", "datapoints": [[value, time], …]}, …]`.
pub struct Answer {
    series: Vec<Series>,
    nulls: bool,
    /// Where in `series` each part ends, the last at its end.
    ends: Vec<usize>,
}

impl Answer {
    /// The answer of series. Without `nulls`, gaps are left out, and so are series that hold nothing else.
    pub fn new(mut series: Vec<Series>, nulls: bool) -> Self {
        if !nulls {
            series.retain(|one| one.values.iter().any(|value| !value.is_nan()));
        }
        let (mut ends, mut n_points) = (Vec::new(), 0);
        for (index, one) in series.iter().enumerate() {
            n_points += one.values.len();
            if n_points >= PART_POINTS {
                ends.push(index + 1);
                n_points = 0;
            }
        }
        if ends.last() != Some(&series.len()) {
            ends.push(series.len());
        }
        Self { series, nulls, ends }
    }

    /// Whether it is worth sending in parts.
    pub fn is_long(&self) -> bool {
        self.ends.len() > 2
    }

    /// All of it.
    pub fn whole(&self) -> Vec<u8> {
        let n_points: usize = self.series.iter().map(|one| one.values.len()).sum();
        let mut out = Vec::with_capacity(64 + self.series.len() * 192 + n_points * 24);
        (0..self.ends.len()).for_each(|part| self.write(part, &mut out));
        out
    }

    /// Writes the parts in order, each second one on a thread of its own, and hands them on until `take` wants no more.
    pub fn parts(&self, mut take: impl FnMut(Vec<u8>) -> bool) {
        let written = |part: usize| {
            let mut out = Vec::with_capacity(PART_POINTS * 32);
            self.write(part, &mut out);
            out
        };
        let (sender, receiver) = sync_channel::<Vec<u8>>(PARTS_AHEAD);
        thread::scope(|scope| {
            scope.spawn(move || {
                // Whoever takes no more has hung up.
                (1..self.ends.len()).step_by(2).all(|part| sender.send(written(part)).is_ok())
            });
            let receiver = receiver;
            for part in 0..self.ends.len() {
                let bytes = if part % 2 == 0 { Ok(written(part)) } else { receiver.recv() };
                if !bytes.is_ok_and(&mut take) {
                    break;
                }
            }
        });
    }

    fn write(&self, part: usize, out: &mut Vec<u8>) {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        if start == 0 {
            out.push(b'[');
        }
        for (index, one) in self.series[start..self.ends[part]].iter().enumerate() {
            if start + index > 0 {
                out.extend_from_slice(b", ");
            }
            head(out, one);
            // What stands past the end of the grid has no time, as in graphite-web: `verticalLine` is one datapoint.
            let room = (one.end_s - one.start_s).div_euclid(one.step_s).saturating_add(1).max(0) as usize;
            let values = &one.values[..one.values.len().min(room)];
            digits::datapoints(out, values, (one.start_s, one.step_s), self.nulls);
            out.extend_from_slice(b"]}");
        }
        if part + 1 == self.ends.len() {
            out.push(b']');
        }
    }
}

fn head(out: &mut Vec<u8>, one: &Series) {
    out.extend_from_slice(b"{\"target\": ");
    string(out, &one.name);
    out.extend_from_slice(b", \"tags\": {");
    for (index, (tag, value)) in one.tags.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        string(out, tag);
        out.extend_from_slice(b": ");
        string(out, value);
    }
    out.extend_from_slice(b"}, \"datapoints\": [");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, start_s: i64, values: &[f64]) -> Series {
        Series::new(name, start_s, start_s + 10 * values.len() as i64, 10, values.to_vec())
    }

    #[test]
    fn the_answer_is_the_json_that_a_tree_would_give() {
        let all = [
            one("a \"b\"\n;x=ü", 990, &[1.0, 0.1, f64::NAN]),
            one("b", 990, &[-0.0, 1e300, f64::INFINITY, 1e15, -7.0]),
            one("c", 20, &[5e-7]),
        ];
        let json: serde_json::Value = serde_json::from_slice(&Answer::new(all.to_vec(), true).whole()).unwrap();
        let expected = serde_json::json!([
            {"target": "a \"b\"\n;x=ü", "tags": {"name": "a \"b\"\n", "x": "ü"},
             "datapoints": [[1.0, 990], [0.1, 1000], [null, 1010]]},
            {"target": "b", "tags": {"name": "b"},
             "datapoints": [[-0.0, 990], [1e300, 1000], [null, 1010], [1e15, 1020], [-7.0, 1030]]},
            {"target": "c", "tags": {"name": "c"}, "datapoints": [[5e-7, 20]]},
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn parts_make_up_the_whole() {
        for n_series in [0, 1, 3, 7] {
            let values: Vec<f64> = (0..2500).map(|index| f64::from(index) / 7.0).collect();
            let all = (0..n_series).map(|index| one(&format!("s{index}"), 990, &values)).collect();
            let answer = Answer::new(all, true);
            let mut joined = Vec::new();
            answer.parts(|part| {
                joined.extend(part);
                true
            });
            assert_eq!((joined, answer.is_long()), (answer.whole(), n_series > 4));
        }
    }

    #[test]
    fn gaps_are_left_out_on_demand() {
        let all = [one("a", 0, &[f64::NAN, 2.0]), one("b", 0, &[f64::NAN])];
        let text = String::from_utf8(Answer::new(all.to_vec(), false).whole()).unwrap();
        assert_eq!(text, r#"[{"target": "a", "tags": {"name": "a"}, "datapoints": [[2.0, 10]]}]"#);
    }
}
