//! The simplest detector that the Numenta benchmark publishes a score of, to hold the scorer against.

use crate::normal::ln_phi;

/// Records that a Gauss is fitted to, and after how many new ones it moves on: the benchmark's setting.
const WINDOW: usize = 6400;
const MOVES_AFTER: usize = 100;

/// The score of each record: the probability, under a Gauss fitted to the records before it, of a value less far out on its side.
pub fn windowed_gaussian(values: &[f64]) -> Vec<f64> {
    let mut window: Vec<f64> = Vec::with_capacity(WINDOW);
    let mut waiting = Vec::with_capacity(MOVES_AFTER);
    let (mut mean, mut spread) = (0.0, 1.0);
    let mut score = |value: f64| {
        let score = if window.is_empty() { 0.0 } else { ln_phi((value - mean).abs() / spread).exp() };
        if window.len() < WINDOW {
            window.push(value);
            (mean, spread) = fit(&window);
        } else {
            waiting.push(value);
            if waiting.len() == MOVES_AFTER {
                window.drain(..MOVES_AFTER);
                window.append(&mut waiting);
                (mean, spread) = fit(&window);
            }
        }
        score
    };
    values.iter().map(|value| score(*value)).collect()
}

fn fit(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, if variance == 0.0 { 1e-6 } else { variance.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_out_scores_higher_on_either_side() {
        let mut values: Vec<f64> = (0..200).map(|t| f64::from(t % 7)).collect();
        values.extend([3.0, 5.0, 0.0, 30.0, -30.0]);
        let scores = windowed_gaussian(&values);
        assert_eq!(scores[0], 0.0);
        assert!(scores[200] < scores[201] && scores[202] > scores[200]);
        assert!(scores[203] > 0.999_999 && scores[204] > 0.999);
    }
}
