//! From datapoints to what a picture can show: runs without gaps, at most four datapoints for each pixel column.

use crate::chart::Line;

/// Splits a line into its runs of neighbouring datapoints between `from_s` and `until_s`, with one datapoint beyond
/// either end, so that the line reaches the edge of the plot. Returns ranges of indices.
///
/// Two datapoints belong to one run when no gap lies between them: no value that the axis does not hold, and no more
/// time than the line reaches over.
pub(crate) fn runs(line: &Line, from_s: i64, until_s: i64, holds: impl Fn(f64) -> bool) -> Vec<std::ops::Range<usize>> {
    let n = line.timestamps_s.len().min(line.values.len());
    let timestamps = &line.timestamps_s[..n];
    let usual_reach = || step(line).map_or(i64::MAX, |step| step.saturating_add(step / 2).max(1));
    let widest_s = line.reach_s.unwrap_or_else(usual_reach);
    let start = timestamps.partition_point(|at| *at < from_s).saturating_sub(1);
    let end = n.min(timestamps.partition_point(|at| *at <= until_s) + 1);
    let mut runs = Vec::new();
    let mut begun = None;
    for index in start..end {
        if !holds(line.values[index]) {
            runs.extend(begun.take().map(|first| first..index));
            continue;
        }
        if let Some(first) = begun
            && timestamps[index].saturating_sub(timestamps[index - 1]) > widest_s
        {
            runs.push(first..index);
            begun = None;
        }
        begun = begun.or(Some(index));
    }
    runs.extend(begun.map(|first| first..end));
    runs
}

/// The interval between a line's datapoints in seconds, where it is known or can be told.
pub(crate) fn step(line: &Line) -> Option<i64> {
    line.step_s.or_else(|| usual_step(&line.timestamps_s))
}

/// The commonest distance between neighbours, as their median.
fn usual_step(timestamps: &[i64]) -> Option<i64> {
    let mut steps: Vec<i64> =
        timestamps.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|step| *step > 0).collect();
    let middle = steps.len() / 2;
    (!steps.is_empty()).then(|| *steps.select_nth_unstable(middle).1)
}

/// From so many datapoints on, a pixel column is one upright stroke, and where the line enters and leaves it cannot be
/// seen. Each segment left out is one less to rasterize, which is most of a picture's time.
const CROWD: usize = 4;

/// Keeps of each pixel column its first, least, greatest and last datapoint, in order, and of a column with more than
/// [`CROWD`] only the least and the greatest: the picture is the same as with all of them, and no spike is lost.
/// `column` must not descend.
pub(crate) fn columns(
    points: impl Iterator<Item = (i32, f64)>,
    column: impl Fn(i32) -> i32,
    mut keep: impl FnMut(i32, f64),
) {
    /// One column's kept datapoints, each with its place in the series.
    struct Held {
        column: i32,
        first: (usize, i32, f64),
        least: (usize, i32, f64),
        greatest: (usize, i32, f64),
        last: (usize, i32, f64),
    }
    let mut flush = |held: Held| {
        let is_crowd = held.last.0 - held.first.0 >= CROWD;
        let ends = if is_crowd { [held.least, held.greatest] } else { [held.first, held.last] };
        let mut kept = [ends[0], held.least, held.greatest, ends[1]];
        kept.sort_unstable_by_key(|(index, ..)| *index);
        let mut before = None;
        for (index, x, value) in kept {
            if before != Some(index) {
                keep(x, value);
            }
            before = Some(index);
        }
    };
    let mut held: Option<Held> = None;
    for (index, (x, value)) in points.enumerate() {
        let point = (index, x, value);
        match &mut held {
            Some(held) if held.column == column(x) => {
                if value < held.least.2 {
                    held.least = point;
                }
                if value > held.greatest.2 {
                    held.greatest = point;
                }
                held.last = point;
            }
            _ => {
                let fresh = Held { column: column(x), first: point, least: point, greatest: point, last: point };
                if let Some(done) = held.replace(fresh) {
                    flush(done);
                }
            }
        }
    }
    if let Some(done) = held {
        flush(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamps_s: &[i64], values: &[f64], step_s: Option<i64>) -> Line {
        Line { timestamps_s: timestamps_s.to_vec(), values: values.to_vec(), step_s, ..Line::default() }
    }

    #[test]
    fn a_gap_ends_a_run_whether_absent_or_not_a_number() {
        let runs = |line: &Line, from_s, until_s| runs(line, from_s, until_s, f64::is_finite);
        let absent = line(&[0, 10, 20, 50, 60], &[1.0; 5], None);
        assert_eq!(runs(&absent, 0, 100), [0..3, 3..5]);
        let nan = line(&[0, 10, 20, 30, 40], &[1.0, f64::NAN, 1.0, 1.0, f64::INFINITY], Some(10));
        assert_eq!(runs(&nan, 0, 100), [0..1, 2..4]);
        assert!(runs(&line(&[], &[], None), 0, 100).is_empty());
    }

    #[test]
    fn a_line_can_reach_further() {
        let reaching = Line { reach_s: Some(30), ..line(&[0, 10, 40, 80], &[1.0; 4], Some(10)) };
        assert_eq!(runs(&reaching, 0, 100, f64::is_finite), [0..3, 3..4]);
    }

    #[test]
    fn a_run_reaches_one_datapoint_beyond_the_window() {
        let long = line(&[0, 10, 20, 30, 40, 50], &[1.0; 6], None);
        assert_eq!(runs(&long, 15, 35, f64::is_finite).first(), Some(&(1..5)));
    }

    #[test]
    fn no_spike_is_lost() {
        let mut values = vec![1.0; 1000];
        values[457] = 99.0;
        values[458] = -99.0;
        let mut kept = Vec::new();
        columns(values.iter().enumerate().map(|(x, v)| (x as i32, *v)), |x| x / 100, |x, v| kept.push((x, v)));
        assert!(kept.contains(&(457, 99.0)) && kept.contains(&(458, -99.0)));
        assert!(kept.is_sorted() && kept.len() <= 20, "{}", kept.len());
    }
}
