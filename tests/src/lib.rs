//! Whole-system tests: a real broker, real sockets, a real browser.
