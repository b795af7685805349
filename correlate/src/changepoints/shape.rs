//! What kind of change lies between two segments.

use super::Change;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The level jumps and stays.
    Step,
    /// The slope changes: from here on it rises or falls, or stops doing so.
    Ramp,
    /// The level jumps and is back within `SPIKE_BINS`.
    Spike,
}

/// An excursion of at most so many bins is a spike.
const SPIKE_BINS: usize = 15;

/// The mean of what is not a gap; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    let (sum, n) = values.iter().filter(|x| x.is_finite()).fold((0.0, 0usize), |(sum, n), x| (sum + x, n + 1));
    sum / n as f64
}

/// A least-squares line over a segment, from its first bin: `(level at the first bin, slope, residual variance)`.
fn line(values: &[f64]) -> (f64, f64, f64) {
    let points: Vec<(f64, f64)> =
        values.iter().enumerate().filter(|(_, x)| x.is_finite()).map(|(t, x)| (t as f64, *x)).collect();
    let n = points.len() as f64;
    let (t, x) = points.iter().fold((0.0, 0.0), |(t, x), point| (t + point.0 / n, x + point.1 / n));
    let (mut tt, mut tx) = (0.0, 0.0);
    for point in &points {
        (tt, tx) = (tt + (point.0 - t).powi(2), tx + (point.0 - t) * (point.1 - x));
    }
    let slope = if tt > 0.0 { tx / tt } else { 0.0 };
    let level = x - slope * t;
    let squares: f64 = points.iter().map(|point| (point.1 - level - slope * point.0).powi(2)).sum();
    (level, slope, squares / (n - 2.0).max(1.0))
}

/// Gives each place its shape and levels. `places` are `(at, band, probability)` in order of time.
pub fn describe(values: &[f64], places: &[(usize, (usize, usize), f64)]) -> Vec<Change> {
    let bound = |at: usize| if at == 0 { 0 } else { places.get(at - 1).map_or(values.len(), |place| place.0) };
    let mut told = Vec::with_capacity(places.len());
    let mut skip = false;
    for (index, (at, band, probability)) in places.iter().copied().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let (left, right) = (&values[bound(index)..at], &values[at..bound(index + 2)]);
        let (before, after) = (mean(left), mean(right));
        let beyond = &values[bound(index + 2)..bound(index + 3)];
        let is_back = (mean(beyond) - before).abs() < 0.5 * (after - before).abs();
        let mut until = None;
        let shape = if right.len() <= SPIKE_BINS && !beyond.is_empty() && is_back {
            skip = true;
            until = Some(bound(index + 2));
            Shape::Spike
        } else if bends(left, right) {
            Shape::Ramp
        } else {
            Shape::Step
        };
        told.push(Change { at, band, probability, until, shape, before, after });
    }
    told
}

/// Whether the lines on both sides meet, within what their noise allows, rather than jump, and one of them leads far off.
fn bends(left: &[f64], right: &[f64]) -> bool {
    let ((from, slope, noise), (level, next_slope, next_noise)) = (line(left), line(right));
    let jump = (level - from - slope * left.len() as f64).abs();
    let led = (slope * left.len() as f64).abs().max((next_slope * right.len() as f64).abs());
    led > 2.0 * jump && led > 2.0 * (0.5 * (noise + next_noise)).sqrt()
}
