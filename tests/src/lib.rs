//! What the whole-system tests stand on: the built `deployline` binary on ports of its own, a receiver of its alerts,
//! and the clients that send it real traffic and real hooks.
//!
//! `make test` sets everything up and runs it. One test alone, after `cargo build --workspace --bin deployline`:
//!
//! ```text
//! scripts/with-kafka cargo test -p deployline-tests --test crash
//! ```
//!
//! | variable | meaning |
//! | --- | --- |
//! | `DEPLOYLINE_TEST_KAFKA` | the broker, `host:port`; `scripts/with-kafka` starts one and sets it |
//! | `DEPLOYLINE_TEST_SEED` | repeats a random choice, as of the moment of a kill; each test prints its own |
//! | `DEPLOYLINE_BIN` | the binary, instead of the one beside the tests |
//!
//! Nothing here looks inside: the binary is started as people start it and spoken to over sockets alone. Of the
//! workspace only the vocabulary, `deployline-schemas`, is shared, so that an answer can be read by its type, and
//! `deployline-bus`, so that the load program can read what is on the bus.

pub mod wait;

pub mod ports;

pub mod server;

pub mod graphite_web;

pub mod receiver;

pub mod github;

pub mod traffic;

pub mod load;

pub mod graphite;

pub mod original;

pub mod neighbour;

pub mod shop;

pub mod picture;
