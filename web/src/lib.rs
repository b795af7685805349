//! Every HTTP route, and the pages.
//!
//! [`App`] holds the parts, [`serve`] answers until it is told to stop. Handlers read through `library` on threads that
//! may block; what pages look like is pure ([`page`]), and errors become answers in one place ([`error`]).
//! No mathematics here.

pub mod config;

pub mod app;

pub mod server;

mod routes;

mod guard;

mod body;

mod query;

pub mod moment;

mod hooks;

mod annotation;

mod foreign;

mod grafana;

mod cors;

mod quarantine;

mod library;

pub mod verdict;

mod schemas;

mod api;

mod csrf;

mod feedback;

mod silences;

mod watched;

mod impact;

mod gate;

mod doctor;

mod openapi;

mod blame;

mod series;

mod graph;

mod graphite;

mod remote_write;

mod export;

mod stream;

mod health;

pub mod exposition;

mod pages;

pub mod page;

mod response;

pub mod error;

pub use app::{App, Parts};
pub use config::WebConfig;
pub use error::WebError;
pub use server::{listen, serve};

#[cfg(test)]
mod fixtures;
