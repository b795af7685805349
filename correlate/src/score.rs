//! How good detectors are, on labelled recordings: the public sets' own scores, computed as their authors do.

pub mod nab;
pub mod segmentation;

mod windowed_gaussian;

pub use windowed_gaussian::windowed_gaussian;
