use super::*;

/// A small generator with a printed seed (xorshift), summed to nearly normal.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// AR(1) noise of unit spread.
    fn noise(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let mut x = 0.0;
        let mut next = || {
            x = phi * x + (1.0 - phi * phi).sqrt() * self.normal();
            x
        };
        (0..n).map(|_| next()).collect()
    }
}

fn with(noise: Vec<f64>, effect: impl Fn(f64) -> f64) -> Vec<f64> {
    noise.into_iter().enumerate().map(|(t, x)| x + effect(t as f64)).collect()
}

/// Shapes and places, places in tens of bins.
#[track_caller]
fn check(values: &[f64], expected: &str) {
    let told: Vec<String> = changes(values, &Prior::default())
        .iter()
        .map(|change| format!("{:?}@{}", change.shape, (change.at as f64 / 10.0).round() as usize * 10))
        .collect();
    assert_eq!(told.join(" "), expected);
}

#[test]
fn a_step_is_placed_with_a_band_around_it() {
    let values = with(Dice(7).noise(200, 0.3), |t| if t >= 120.0 { 5.0 } else { 0.0 });
    let told = changes(&values, &Prior::default());
    assert_eq!(told.len(), 1, "{told:?}");
    let change = &told[0];
    assert!(change.at.abs_diff(120) <= 1 && change.band.0 <= 120 && change.band.1 >= 120, "{change:?}");
    assert_eq!(change.shape, Shape::Step);
    assert!(change.probability > 0.9 && (change.after - change.before - 5.0).abs() < 0.8, "{change:?}");
}

#[test]
fn noise_is_hardly_ever_a_change_whatever_its_color() {
    let n_false =
        |phi: f64| (1..=8).filter(|seed| !changes(&Dice(*seed).noise(150, phi), &Prior::default()).is_empty()).count();
    let all: usize = [0.0, 0.6, 0.95].map(n_false).iter().sum();
    assert!(all <= 1, "{all} of 24 recordings");
}

#[test]
fn a_random_walk_and_a_trend_are_no_changes() {
    let mut at = 0.0;
    let walk: Vec<f64> = Dice(11)
        .noise(200, 0.0)
        .into_iter()
        .map(|e| {
            at += e;
            at
        })
        .collect();
    check(&walk, "");
    check(&with(Dice(12).noise(200, 0.3), |t| 0.1 * t), "");
}

#[test]
fn one_outlier_is_no_change_and_a_short_excursion_is_one_spike() {
    let mut values = Dice(5).noise(160, 0.2);
    values[70] += 30.0;
    check(&values, "");
    let excursion = with(Dice(5).noise(160, 0.2), |t| if (80.0..90.0).contains(&t) { 12.0 } else { 0.0 });
    check(&excursion, "Spike@80");
}

#[test]
fn a_bend_is_a_ramp() {
    check(&with(Dice(3).noise(160, 0.0), |t| (t - 90.0).max(0.0) * 0.5), "Ramp@90");
}

#[test]
fn gaps_are_left_out() {
    let mut values = with(Dice(9).noise(200, 0.3), |t| if t >= 120.0 { 6.0 } else { 0.0 });
    (60..75).for_each(|t| values[t] = f64::NAN);
    check(&values, "Step@120");
}

#[test]
fn too_little_and_nothing_say_nothing() {
    check(&[], "");
    check(&[1.0, 9.0, 1.0], "");
    check(&[4.0; 100], "");
    check(&[f64::NAN; 100], "");
    check(&[f64::INFINITY; 100], "");
}

#[test]
fn a_long_recording_is_judged_in_blocks() {
    let values = with(Dice(2).noise(3000, 0.2), |t| if t >= 2000.0 { 4.0 } else { 0.0 });
    let told = changes(&values, &Prior::default());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].band.0 <= 2000 && told[0].band.1 + 3 >= 2000, "{told:?}");
}
