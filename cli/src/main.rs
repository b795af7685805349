//! The deployline binary.
fn main() {}
