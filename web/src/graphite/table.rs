//! Series as `raw` and as `csv`.

use deployline_render::graphite::{Series, repr};
use jiff::{Timestamp, tz::TimeZone};

/// `name,start,end,step|1.0,None,…`, a line for each series.
pub fn raw(all: &[Series]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        out.extend_from_slice(format!("{},{},{},{}|", one.name, one.start_s, one.end_s, one.step_s).as_bytes());
        for (index, value) in one.values.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(written(*value, "None").as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// `name,2026-11-23 14:02:10,1.0`, a line for each datapoint, gaps without a value; times in the zone.
pub fn csv(all: &[Series], zone: &TimeZone) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        let name = quoted(&one.name);
        for (timestamp_s, value) in one.timestamps_s().zip(&one.values) {
            let Ok(at) = Timestamp::from_second(timestamp_s) else { continue };
            let at = zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string();
            out.extend_from_slice(format!("{name},{at},{}\r\n", written(*value, "")).as_bytes());
        }
    }
    out
}

fn written(value: f64, gap: &str) -> String {
    if value.is_nan() { gap.to_owned() } else { repr(value) }
}

/// A cell as RFC 4180 quotes it. One that a spreadsheet would take for a formula cannot come of a series' name alone, but
/// of an alias in a shared link.
fn quoted(name: &str) -> String {
    let name = if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{name}") } else { name.to_owned() };
    match name.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_as_graphite_writes_them() {
        let all = [Series::new("sum(a,b)", 1_795_442_530, 1_795_442_550, 10, vec![1.0, f64::NAN])];
        assert_eq!(String::from_utf8(raw(&all)).unwrap(), "sum(a,b),1795442530,1795442550,10|1.0,None\n");
        let csv = String::from_utf8(csv(&all, &TimeZone::get("Europe/Berlin").unwrap())).unwrap();
        assert_eq!(csv, "\"sum(a,b)\",2026-11-23 15:02:10,1.0\r\n\"sum(a,b)\",2026-11-23 15:02:20,\r\n");
    }
}
