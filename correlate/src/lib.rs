//! Baselines, change points, verdicts and blame.
//!
//! Pure mathematics over slices and an explicit `now`: no clock, no runtime, no store, no I/O. The method and its formulas
//! are in `docs/correlation.md`.

pub mod settings;

pub mod window;

pub mod grid;

pub mod normal;

pub mod level;

pub mod changepoints;

pub mod unusual;

pub mod score;

pub mod ratio;

pub mod track;

pub mod lag;

pub mod scope;

pub mod suspects;

pub mod calibration;

pub mod learned;

pub mod explain;

pub mod commits;

pub mod incidents;

pub mod recovery;

mod reading;

pub mod blame;

pub mod impact;

pub mod needed;

pub mod screen;

pub mod engine;

pub mod replay;

pub mod placebo;

#[cfg(feature = "live")]
pub mod live;

pub use blame::{OtherSeries, Question, blame};
pub use engine::Engine;
pub use impact::{Impact, Survey, SurveyedSeries, impact};
pub use settings::Settings;
