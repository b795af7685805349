//! Holds every parser of what strangers send to two claims, whatever the input: it does not panic, and it allocates no
//! more than in proportion to the input's length.
//!
//! [`corpus`] has real input, [`mutate`] makes a wrong one of it (JSON as the tree that it is), [`target`] names the
//! parsers, and [`run`] runs them under an allocator that counts. Everything follows from a seed, which is printed:
//! the same seed finds the same fault.

pub mod corpus;

pub mod mutate;

mod json;

pub mod target;

pub mod run;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated in this process.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
