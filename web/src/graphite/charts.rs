//! Series in the forms that two chart libraries for browsers take: `dygraph` and `rickshaw`.

use deployline_render::graphite::Series;

use super::json::{serialized, string};

/// `{"labels" : ["Time", …], "data" : [[ms, value, …], …]}`, a row for each time of the first series; `{}` for none.
pub fn dygraph(all: &[Series]) -> Vec<u8> {
    let Some(first) = all.first() else { return b"{}".to_vec() };
    let mut out = b"{\"labels\" : [\"Time\"".to_vec();
    for one in all {
        out.extend_from_slice(b", ");
        string(&mut out, &one.name);
    }
    out.extend_from_slice(b"], \"data\" : [");
    let times = (first.start_s..first.end_s).step_by(usize::try_from(first.step_s).unwrap_or(1));
    for (index, timestamp_s) in times.enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b", [" });
        serialized(&mut out, &timestamp_s.saturating_mul(1000));
        for one in all {
            out.extend_from_slice(b", ");
            // JSON has no infinity and no gap but null.
            serialized(&mut out, &one.values.get(index).copied().unwrap_or(f64::NAN));
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    out
}

/// `[{"target", "datapoints": [{"x": s, "y": value}, …]}, …]`
pub fn rickshaw(all: &[Series]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, one) in all.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"target\": " } else { b", {\"target\": " });
        string(&mut out, &one.name);
        out.extend_from_slice(b", \"datapoints\": [");
        let within = one.timestamps_s().zip(&one.values).take_while(|(timestamp_s, _)| *timestamp_s < one.end_s);
        for (index, (timestamp_s, value)) in within.enumerate() {
            out.extend_from_slice(if index == 0 { b"{\"x\": " } else { b", {\"x\": " });
            serialized(&mut out, &timestamp_s);
            out.extend_from_slice(b", \"y\": ");
            serialized(&mut out, value);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_what_the_libraries_take() {
        let all = [Series::new("a", 60, 80, 10, vec![1.5, f64::NAN]), Series::new("b", 60, 80, 10, vec![2.0])];
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let rows = r#"{"labels" : ["Time", "a", "b"], "data" : [[60000, 1.5, 2.0], [70000, null, null]]}"#;
        assert_eq!(text(dygraph(&all)), rows);
        assert_eq!(text(dygraph(&[])), "{}");
        let points = r#"[{"target": "b", "datapoints": [{"x": 60, "y": 2.0}]}]"#;
        assert_eq!(text(rickshaw(&all[1..])), points);
    }
}
