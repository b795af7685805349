//! What the values measure, and how their axis is asked to be.

/// One value axis as asked for; the default leaves everything to the values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scale {
    /// Small words above it, as "errors per request"; may be empty.
    pub title: String,
    /// What the values measure.
    pub unit: Unit,
    /// Its lower end, where it must be this one.
    pub min: Option<f64>,
    /// Its upper end.
    pub top: Top,
    /// What its upper end never exceeds.
    pub limit: Option<f64>,
    /// The distance between ticks, where it must be this one.
    pub step: Option<f64>,
    /// About how many distances between ticks there are to be, where the height does not decide.
    pub n_steps: Option<usize>,
    /// The base of a logarithmic axis, above 1; values that are not positive are gaps then.
    pub log_base: Option<f64>,
}

/// Where a value axis ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Top {
    /// At the tick above the greatest value.
    #[default]
    Round,
    /// At the greatest value itself.
    Greatest,
    /// Here.
    At(f64),
}

/// What the values of a chart measure: decides the words at the ticks and whether the axis starts at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// Bare numbers, with k, M and so on.
    #[default]
    Plain,
    /// How many; starts at zero.
    Count,
    /// A share between 0 and 1, shown in percent; starts at zero.
    Ratio,
    /// Already in percent; starts at zero.
    Percent,
    /// So many per second; starts at zero.
    PerSecond,
    /// A duration in milliseconds; starts at zero.
    Milliseconds,
    /// A duration in seconds; starts at zero.
    Seconds,
    /// Bytes, in powers of 1024; starts at zero.
    Bytes,
    /// Bare numbers, with Ki, Mi and so on.
    Binary,
    /// Bare numbers without any prefix.
    Bare,
}
