//! The vocabulary that every other crate speaks: deploys, series, signals, incidents and the envelope they travel in.
//!
//! Types and the rules between them, nothing else: this crate does no I/O and reads no clock.

pub mod time;

pub mod deploy;

pub mod progress;

pub mod series;

pub mod signal;

pub mod incident;

pub mod pattern;

pub mod silence;

pub mod annotation;

pub mod blame;

pub mod cloudevent;

pub mod topic;

pub mod quarantine;

pub mod secret;

pub mod document;

pub use annotation::Annotation;
pub use deploy::{Deploy, DeployEvent};
pub use incident::Incident;
pub use secret::Secret;
pub use silence::Silence;
pub use time::UnixMillis;
