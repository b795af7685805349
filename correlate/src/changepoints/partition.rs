//! The best partitions of a whitened series into segments with a level or a line of their own.

/// Prefix sums over the bins that are present: 1, t, t², y, ty, y².
struct Sums {
    before: Vec<[f64; 6]>,
    /// Bins at the start of each segment that the change before it reaches into.
    reach: usize,
    lines: bool,
}

impl Sums {
    fn of(y: &[f64], reach: usize, lines: bool) -> Self {
        let mut before = Vec::with_capacity(y.len() + 1);
        let mut sum = [0.0; 6];
        for (t, y) in y.iter().enumerate() {
            before.push(sum);
            if y.is_finite() {
                let t = t as f64;
                for (sum, term) in sum.iter_mut().zip([1.0, t, t * t, *y, t * y, y * y]) {
                    *sum += term;
                }
            }
        }
        before.push(sum);
        Self { before, reach, lines }
    }

    /// Slope and sums for `[from, until)`: `(n, mean of t, mean of y, slope, residual sum of squares)`.
    fn fit(&self, from: usize, until: usize) -> (f64, f64, f64, f64, f64) {
        let from = (from + self.reach).min(until);
        let (a, b) = (&self.before[until], &self.before[from]);
        let d: [f64; 6] = std::array::from_fn(|at| a[at] - b[at]);
        if d[0] < 1.0 {
            return (0.0, 0.0, 0.0, 0.0, 0.0);
        }
        let (t, y) = (d[1] / d[0], d[3] / d[0]);
        let mut squares = d[5] - d[3] * y;
        let mut slope = 0.0;
        if self.lines {
            let tt = d[2] - d[1] * t;
            if tt > 1e-9 {
                let ty = d[4] - d[1] * y;
                slope = ty / tt;
                squares -= ty * slope;
            }
        }
        (d[0], t, y, slope, squares.max(0.0))
    }
}

/// For each number of changes from none to `most`, as long as they fit with at least `least` bins to a segment: the cuts (first bins of
/// segments, without the first) that leave the least residual sum of squares, and the residuals.
pub fn best(y: &[f64], reach: usize, lines: bool, least: usize, most: usize) -> Vec<(Vec<usize>, Vec<f64>)> {
    let n = y.len();
    let sums = Sums::of(y, reach, lines);
    let costs = costs(&sums, n, least);
    // least_cost[j]: of the bins before j in k + 1 segments.
    let mut least_cost: Vec<f64> = (0..=n).map(|until| costs[until]).collect();
    let mut back: Vec<Vec<u32>> = Vec::new();
    let mut found = Vec::new();
    for k in 0..=most {
        if !least_cost[n].is_finite() {
            break;
        }
        let cuts = trace(&back, n);
        let residuals = residuals(&sums, y, &cuts);
        found.push((cuts, residuals));
        if k == most {
            break;
        }
        let mut next = vec![f64::INFINITY; n + 1];
        let mut from = vec![0u32; n + 1];
        for cut in least..n {
            let so_far = least_cost[cut];
            if !so_far.is_finite() {
                continue;
            }
            let row = &costs[cut * (n + 1)..(cut + 1) * (n + 1)];
            for until in cut + least..=n {
                let total = so_far + row[until];
                if total < next[until] {
                    (next[until], from[until]) = (total, cut as u32);
                }
            }
        }
        least_cost = next;
        back.push(from);
    }
    found
}

/// The residual sum of squares of every segment `[from, until)`, row by row; infinite where it is too short.
fn costs(sums: &Sums, n: usize, least: usize) -> Vec<f64> {
    let mut costs = vec![f64::INFINITY; n * (n + 1)];
    for from in 0..n {
        for until in from + least..=n {
            costs[from * (n + 1) + until] = sums.fit(from, until).4;
        }
    }
    costs
}

fn trace(back: &[Vec<u32>], n: usize) -> Vec<usize> {
    let mut cuts = Vec::with_capacity(back.len());
    let mut until = n;
    for from in back.iter().rev() {
        until = from[until] as usize;
        cuts.push(until);
    }
    cuts.reverse();
    cuts
}

fn residuals(sums: &Sums, y: &[f64], cuts: &[usize]) -> Vec<f64> {
    let mut residuals = Vec::with_capacity(y.len());
    for (from, until) in segments(cuts, y.len()) {
        let (_, mean_t, mean_y, slope, _) = sums.fit(from, until);
        let first = (from + sums.reach).min(until);
        let fitted = (first..until).map(|t| y[t] - mean_y - slope * (t as f64 - mean_t));
        residuals.extend(fitted.filter(|e| e.is_finite()));
    }
    residuals
}

/// The segments `[from, until)` that cuts make of `n` bins.
pub fn segments(cuts: &[usize], n: usize) -> impl Iterator<Item = (usize, usize)> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(cuts.iter().copied().chain(std::iter::once(n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to cut, tried: the oracle.
    fn brute(y: &[f64], k: usize, from: usize, least: usize) -> f64 {
        let cost = |from: usize, until: usize| {
            let part = &y[from + 1..until];
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            part.iter().map(|y| (y - mean).powi(2)).sum::<f64>()
        };
        if k == 0 {
            return if y.len() - from < least { f64::INFINITY } else { cost(from, y.len()) };
        }
        let cuts = from + least..y.len();
        cuts.map(|cut| cost(from, cut) + brute(y, k - 1, cut, least)).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_partition_is_the_best_of_all() {
        let y: Vec<f64> =
            (0..20).map(|t| f64::from((t * t * 7 + t * 3) % 11) + if t > 8 { 6.0 } else { 0.0 }).collect();
        for (k, (cuts, residuals)) in best(&y, 1, false, 4, 3).into_iter().enumerate() {
            assert_eq!(cuts.len(), k);
            let squares: f64 = residuals.iter().map(|e| e * e).sum();
            assert!((squares - brute(&y, k, 0, 4)).abs() < 1e-9, "{k} changes: {squares}");
        }
    }

    #[test]
    fn a_line_leaves_nothing_of_a_line_and_gaps_are_left_out() {
        let mut y: Vec<f64> = (0..30).map(|t| 3.0 + 0.5 * f64::from(t)).collect();
        y[11] = f64::NAN;
        let found = best(&y, 1, true, 5, 0);
        assert_eq!(found[0].1.len(), 28);
        assert!(found[0].1.iter().all(|e| e.abs() < 1e-9));
    }
}
