//! Series as JSON, written straight into the answer: no tree of values for a million numbers.

use deployline_render::graphite::Series;

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

/// Appends a JSON number; `null` for what is none. Whole ones have a `.0`, as Python writes floats.
pub fn number(out: &mut Vec<u8>, value: f64) {
    // Nearly all counters are whole, and whole numbers are written several times faster.
    if value.abs() < 1e15 && value.trunc() == value && !(value == 0.0 && value.is_sign_negative()) {
        serialized(out, &(value as i64));
        out.extend_from_slice(b".0");
    } else {
        serialized(out, &value);
    }
}

fn serialized<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Strings and numbers into memory: there is nothing that could fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

/// `[{"target", "tags", "datapoints": [[value, time], …]}, …]`. Without `nulls`, gaps are left out, and so are series
/// that hold nothing else.
pub fn series(all: &[Series], nulls: bool) -> Vec<u8> {
    let n_points: usize = all.iter().map(|one| one.values.len()).sum();
    let mut out = Vec::with_capacity(2 + all.len() * 192 + n_points * 24);
    let mut stamps = Stamps::default();
    out.push(b'[');
    for one in all.iter().filter(|one| nulls || one.values.iter().any(|value| !value.is_nan())) {
        if out.len() > 1 {
            out.extend_from_slice(b", ");
        }
        head(&mut out, one);
        stamps.fit(one);
        let start = out.len();
        // What stands past the end of the grid has no time, as in graphite-web: `verticalLine` is one datapoint.
        let room = (one.end_s - one.start_s).div_euclid(one.step_s).saturating_add(1).max(0) as usize;
        for (index, value) in one.values.iter().take(room).enumerate() {
            if value.is_nan() && !nulls {
                continue;
            }
            out.extend_from_slice(if out.len() == start { b"[" } else { b", [" });
            number(&mut out, *value);
            out.extend_from_slice(stamps.tail(index));
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
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

/// The times of a grid as text, `, 1795441320]` each: series of one answer mostly share theirs.
#[derive(Default)]
struct Stamps {
    grid: Option<(i64, i64)>,
    text: Vec<u8>,
    /// Where each ends in the text.
    ends: Vec<usize>,
}

impl Stamps {
    fn fit(&mut self, one: &Series) {
        let grid = (one.start_s, one.step_s);
        if self.grid != Some(grid) {
            self.grid = Some(grid);
            self.text.clear();
            self.ends.clear();
        }
        for timestamp_s in one.timestamps_s().skip(self.ends.len()) {
            self.text.extend_from_slice(b", ");
            serialized(&mut self.text, &timestamp_s);
            self.text.push(b']');
            self.ends.push(self.text.len());
        }
    }

    fn tail(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
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
        let json: serde_json::Value = serde_json::from_slice(&series(&all, true)).unwrap();
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
    fn gaps_are_left_out_on_demand() {
        let all = [one("a", 0, &[f64::NAN, 2.0]), one("b", 0, &[f64::NAN])];
        let text = String::from_utf8(series(&all, false)).unwrap();
        assert_eq!(text, r#"[{"target": "a", "tags": {"name": "a"}, "datapoints": [[2.0, 10]]}]"#);
    }
}
