//! Graphite in: plaintext lines over TCP and UDP, and pickle, straight to a [`crate::sink::Sink`].

pub mod parse;

pub mod pickle;

mod config;

mod filter;

pub mod import;

mod intake;

mod connection;

pub mod server;

pub use config::CarbonConfig;
pub use filter::{FilterError, RewriteConfig};
pub(crate) use intake::{Intake, Shared};
pub use server::Server;
