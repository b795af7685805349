//! Which of very many series may have moved at a moment? One pass over a column, before anything costly is asked.
//!
//! A shop of a million series cannot ask each for its Bayes factors after each deploy. Of a row of n values cut at the deploy into
//! n₀ before and n₁ after,
//!
//! ```text
//! z² = (m₁ − m₀)² / [ v₀·(1 + φ)/(1 − φ)·(1/n₀ + 1/n₁) ],   φ = c₁/v₀, limited to 0 … 0.9
//! ```
//!
//! with m the means, v₀ the variance and c₁ the lag-one covariance before it: the difference of means over its standard error under
//! AR(1), whose long-run variance is v(1+φ)/(1−φ). It answers generously: what it lets go has, at a threshold of 2, little more than
//! one nat to say for itself.

use std::num::NonZeroUsize;

/// Values that are handled together, one for each lane of a vector register.
const LANES: usize = 8;
/// Fewest values on either side of the cut that anything is said from; with fewer a row is kept.
const LEAST: f32 = 4.0;
/// A variance below this share of the squared mean is rounding: a constant row that then moves must not divide by it.
const LEAST_VARIANCE: f32 = 1e-10;

/// How many values of `row` are no gaps (NaN), and their sum.
fn sum(row: &[f32]) -> (f32, f32) {
    let mut lanes = [[0.0f32; LANES]; 2];
    let mut take = |lane: usize, x: f32| {
        lanes[0][lane] += f32::from(u8::from(!x.is_nan()));
        lanes[1][lane] += if x.is_nan() { 0.0 } else { x };
    };
    let (whole, rest) = row.as_chunks::<LANES>();
    whole.iter().for_each(|chunk| (0..LANES).for_each(|lane| take(lane, chunk[lane])));
    rest.iter().enumerate().for_each(|(lane, x)| take(lane, *x));
    let [n, total] = lanes.map(|lane| lane.iter().sum());
    (n, total)
}

/// Σ(x−m)², Σ(x−m)(y−m) over the pairs of neighbors x, y, and how many pairs there are.
fn spread(row: &[f32], mean: f32) -> (f32, f32, f32) {
    let mut lanes = [[0.0f32; LANES]; 3];
    let mut take = |lane: usize, now: f32, next: f32| {
        let x = if now.is_nan() { 0.0 } else { now - mean };
        let y = if next.is_nan() { 0.0 } else { next - mean };
        lanes[0][lane] += x * x;
        lanes[1][lane] += x * y;
        lanes[2][lane] += f32::from(u8::from(!now.is_nan() & !next.is_nan()));
    };
    let Some((last, _)) = row.split_last() else { return (0.0, 0.0, 0.0) };
    let (now, now_rest) = row[..row.len() - 1].as_chunks::<LANES>();
    let (next, next_rest) = row[1..].as_chunks::<LANES>();
    now.iter().zip(next).for_each(|(now, next)| (0..LANES).for_each(|lane| take(lane, now[lane], next[lane])));
    now_rest.iter().zip(next_rest).enumerate().for_each(|(lane, (now, next))| take(lane, *now, *next));
    take(LANES - 1, *last, f32::NAN);
    let [squares, cross, pairs] = lanes.map(|lane| lane.iter().sum());
    (squares, cross, pairs)
}

/// Whether a row cut at `cut` may have moved: `z ≥ least_z`, or too little is known to say.
///
/// # Panics
/// Panics when `cut` lies beyond the row.
pub fn may_have_moved(row: &[f32], cut: usize, least_z: f32) -> bool {
    let ((n_before, before), (n_after, after)) = (sum(&row[..cut]), sum(&row[cut..]));
    if n_before < LEAST || n_after < LEAST {
        return true;
    }
    let mean = before / n_before;
    let (squares, cross, pairs) = spread(&row[..cut], mean);
    let variance = (squares / n_before).max(LEAST_VARIANCE * mean * mean).max(f32::MIN_POSITIVE);
    let phi = (cross / pairs.max(1.0) / variance).clamp(0.0, 0.9);
    let apart = after / n_after - mean;
    let square = apart * apart * (1.0 - phi) / (variance * (1.0 + phi) * (1.0 / n_before + 1.0 / n_after));
    // What overflowed is kept.
    square.is_nan() || square >= least_z * least_z
}

/// The rows of `values`, each `width` long, that may have moved at their `cut`-th value, ascending. Works on as many threads as it is
/// given.
///
/// # Panics
/// Panics when `width` is 0 or `cut` greater than it.
pub fn screen(values: &[f32], width: usize, cut: usize, least_z: f32, threads: NonZeroUsize) -> Vec<u32> {
    let n_rows = values.len() / width;
    let each = n_rows.div_ceil(threads.get()).max(1);
    let part = |first: usize| -> Vec<u32> {
        let rows = values[first * width..(first + each).min(n_rows) * width].chunks_exact(width);
        let kept = rows.zip(first as u32..).filter(|(row, _)| may_have_moved(row, cut, least_z));
        kept.map(|(_, place)| place).collect()
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..n_rows).step_by(each).map(|first| scope.spawn(move || part(first))).collect();
        let mut all = Vec::new();
        for part in parts {
            all.extend(part.join().expect("the screening of a row does not panic"));
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The formula as it stands in the module's comment.
    fn naive(row: &[f32], cut: usize) -> Option<f64> {
        let finite =
            |part: &[f32]| -> Vec<f64> { part.iter().filter(|x| !x.is_nan()).map(|x| f64::from(*x)).collect() };
        let (before, after) = (finite(&row[..cut]), finite(&row[cut..]));
        if before.len() < 4 || after.len() < 4 {
            return None;
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let m0 = mean(&before);
        let v0 = mean(&before.iter().map(|x| (x - m0).powi(2)).collect::<Vec<_>>()).max(1e-10 * m0 * m0).max(1e-38);
        let pairs = row[..cut].windows(2).filter(|pair| !pair[0].is_nan() && !pair[1].is_nan());
        let products: Vec<f64> = pairs.map(|pair| (f64::from(pair[0]) - m0) * (f64::from(pair[1]) - m0)).collect();
        let c1 = if products.is_empty() { 0.0 } else { mean(&products) };
        let phi = (c1 / v0).clamp(0.0, 0.9);
        let error = v0 * (1.0 + phi) / (1.0 - phi) * (1.0 / before.len() as f64 + 1.0 / after.len() as f64);
        Some((mean(&after) - m0).abs() / error.sqrt())
    }

    proptest! {
        #[test]
        fn it_keeps_what_the_formula_keeps(
            row in prop::collection::vec(prop::option::weighted(0.9, -3.0f32..3.0), 2..90),
            cut in 0.0..1.0f64,
            step in -4.0f32..4.0,
        ) {
            let cut = (cut * row.len() as f64) as usize;
            let place = |(at, x): (usize, &Option<f32>)| x.map_or(f32::NAN, |x| if at >= cut { x + step } else { x });
            let row: Vec<f32> = row.iter().enumerate().map(place).collect();
            match naive(&row, cut) {
                None => prop_assert!(may_have_moved(&row, cut, 2.0)),
                Some(z) if (z - 2.0).abs() > 0.05 => prop_assert_eq!(may_have_moved(&row, cut, 2.0), z > 2.0, "{}", z),
                Some(_) => {}
            }
        }
    }

    #[test]
    fn rows_are_told_by_their_place_however_many_threads_look() {
        let row = |at: usize| (0..60).map(move |x| if at % 7 == 3 && x >= 30 { 9.0 } else { (x % 5) as f32 });
        let values: Vec<f32> = (0..100).flat_map(row).collect();
        let moved: Vec<u32> = (0..100).filter(|at| at % 7 == 3).collect();
        for threads in [1, 2, 3, 200] {
            let threads = NonZeroUsize::new(threads).unwrap();
            assert_eq!(screen(&values, 60, 30, 2.0, threads), moved);
        }
        assert!(screen(&[], 60, 30, 2.0, NonZeroUsize::MIN).is_empty());
    }

    #[test]
    fn a_large_level_that_does_not_move_is_let_go_and_a_constant_that_does_is_kept() {
        let large: Vec<f32> = (0..60).map(|x| 1e7 + (x % 7) as f32).collect();
        assert!(!may_have_moved(&large, 30, 2.0));
        let constant: Vec<f32> = (0..60).map(|x| if x < 30 { 5.0 } else { 5.5 }).collect();
        assert!(may_have_moved(&constant, 30, 2.0));
        assert!(!may_have_moved(&[0.0; 60], 30, 2.0));
    }
}
