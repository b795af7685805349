//! What the whole-system tests stand on: the built `deployline` binary on ports of its own, a receiver of its alerts,
//! and the clients that send it real traffic and real hooks.
//!
//! Nothing here looks inside: the binary is started as people start it and spoken to over sockets alone. Of the
//! workspace only the vocabulary, `deployline-schemas`, is shared, so that an answer can be read by its type.

pub mod wait;

pub mod server;

pub mod receiver;

pub mod github;

pub mod traffic;

pub mod picture;
