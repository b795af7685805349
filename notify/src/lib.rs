//! Alerts out: which channels an incident goes to, what they are told, and delivery once per state change.
//!
//! Formats are pure functions of an [`alert::Alert`]; only [`attempt`] and [`notifier`] do I/O.
//! This crate never decides what is a regression, and never draws.

pub mod config;

pub mod error;

pub mod routing;

pub mod figures;

pub mod links;

pub mod alert;

pub mod chat;

pub mod slack;

pub mod webhook;

pub mod attempt;

pub mod ledger;

pub mod notifier;

pub mod sample;

pub use alert::Alert;
pub use config::{ChannelConfig, NotifyConfig, RouteConfig};
pub use error::NotifyError;
pub use notifier::Notifier;

#[cfg(test)]
mod fixtures;
