//! What a line of a graph shows: a series, or the quotient of two.

use deployline_schemas::signal::{Signal, SignalKind};
use deployline_store::Columns;

/// One line of a graph, before its datapoints are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// What the legend says.
    pub label: String,
    /// The series; the numerator of a ratio.
    pub series: String,
    /// The denominator of a ratio.
    pub per: Option<String>,
    /// The signal's kind, where it is one.
    pub kind: Option<SignalKind>,
    /// Whose it is, where a signal says so.
    pub service: Option<String>,
}

impl Drawn {
    /// A series by itself.
    pub fn plain(series: &str, signals: &[Signal]) -> Self {
        let service = signals.iter().find_map(|signal| signal.service_of(series)).map(str::to_owned);
        Self { label: series.to_owned(), series: series.to_owned(), per: None, kind: None, service }
    }

    /// A service's signal, as a quotient where it has a denominator.
    pub fn of_signal(signal: &Signal, service: &str, series: &str, per: Option<String>) -> Self {
        Self {
            label: format!("{service} {}", signal.name),
            series: series.to_owned(),
            per: per.filter(|_| signal.kind == SignalKind::Ratio),
            kind: Some(signal.kind),
            service: Some(service.to_owned()),
        }
    }
}

/// The quotient of two series where both have a datapoint and the denominator is above zero: with no requests there
/// is no error ratio, and a gap says so. Both ascend in time; costs one pass over each.
pub fn quotient(numerator: &Columns, denominator: &Columns) -> (Vec<i64>, Vec<f64>) {
    let (mut timestamps_s, mut values) = (Vec::new(), Vec::new());
    let mut below = denominator.iter().peekable();
    for (timestamp_s, value) in numerator.iter() {
        while below.next_if(|(other_s, _)| *other_s < timestamp_s).is_some() {}
        if let Some((_, divisor)) = below.next_if(|(other_s, _)| *other_s == timestamp_s)
            && divisor > 0.0
        {
            timestamps_s.push(timestamp_s);
            values.push(value / divisor);
        }
    }
    (timestamps_s, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_has_a_gap_where_there_is_nothing_to_divide_by() {
        let columns = |points: &[(i64, f64)]| Columns {
            timestamps: points.iter().map(|point| point.0).collect(),
            values: points.iter().map(|point| point.1).collect(),
        };
        let errors = columns(&[(10, 1.0), (20, 2.0), (30, 3.0), (50, 5.0)]);
        let requests = columns(&[(0, 9.0), (10, 10.0), (20, 0.0), (40, 10.0), (50, 10.0)]);
        assert_eq!(quotient(&errors, &requests), (vec![10, 50], vec![0.1, 0.5]));
    }
}
