//! What areas stand on.

use std::collections::HashMap;

use crate::chart::{AreaMode, Chart, Line, Shape, Side};

/// The edges of one line's area, for each of its datapoints.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    /// Where it is drawn.
    pub tops: Vec<f64>,
    /// What it stands on.
    pub feet: Vec<f64>,
}

/// The areas of a chart's lines: `None` for a line that stands on none.
///
/// Stacked by the chart, each value stands on the sum of those before it at its moment and axis. A line that is stacked by
/// itself has been summed up already: it stands on the furthest value before it, on its side of zero.
pub(super) fn stacks(chart: &Chart) -> Vec<Option<Stack>> {
    let mut sums: HashMap<(bool, i64), f64> = HashMap::new();
    let mut reached: HashMap<(bool, bool, i64), f64> = HashMap::new();
    let mut stack = |line: &Line| {
        if line.style.shape == Shape::Infinite {
            return None;
        }
        let right = line.style.side == Side::Right;
        let points = line.timestamps_s.iter().zip(&line.values);
        if chart.area == AreaMode::Stacked {
            let edge = |(at, value): (&i64, &f64)| {
                let sum = sums.entry((right, *at)).or_insert(0.0);
                let foot = *sum;
                *sum += if value.is_finite() { *value } else { 0.0 };
                (foot + value, foot)
            };
            let (tops, feet) = points.map(edge).unzip();
            return Some(Stack { tops, feet });
        }
        let edge = |(at, value): (&i64, &f64)| {
            let furthest = reached.entry((right, *value < 0.0, *at)).or_insert(0.0);
            let foot = if *value < 0.0 { furthest.max(*value) } else { furthest.min(*value) };
            if value.is_finite() && value.abs() > furthest.abs() {
                *furthest = *value;
            }
            foot
        };
        line.style.stacked.then(|| Stack { feet: points.map(edge).collect(), tops: line.values.clone() })
    };
    chart.lines.iter().map(&mut stack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64], stacked: bool) -> Line {
        let mut line = Line {
            timestamps_s: (0..values.len() as i64).map(|index| index * 10).collect(),
            values: values.to_vec(),
            ..Line::default()
        };
        line.style.stacked = stacked;
        line
    }

    #[test]
    fn a_chart_sums_up_and_a_stacked_line_stands_on_what_was_reached() {
        let lines = vec![line(&[1.0, 2.0], true), line(&[3.0, f64::NAN], true), line(&[5.0, 5.0], false)];
        let feet =
            |chart: &Chart| stacks(chart).into_iter().map(|stack| stack.map(|stack| stack.feet)).collect::<Vec<_>>();
        let mut chart = Chart { lines, ..Chart::default() };
        assert_eq!(feet(&chart)[0], Some(vec![0.0, 0.0]));
        assert_eq!((feet(&chart)[1].as_ref().unwrap()[0], &feet(&chart)[2]), (1.0, &None));
        chart.area = AreaMode::Stacked;
        let sums = stacks(&chart);
        assert_eq!(sums[2].as_ref().unwrap().tops, [9.0, 7.0]);
        // Each axis has a stack of its own.
        chart.lines[2].style.side = Side::Right;
        assert_eq!(stacks(&chart)[2].as_ref().unwrap().tops, [5.0, 5.0]);
    }
}
