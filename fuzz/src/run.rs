//! Runs a target on input after input, under both claims.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use fastrand::Rng;
use stats_alloc::Region;

use crate::{ALLOCATOR, corpus::Input, mutate::mutated, target::Target};

/// When a run of one target ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many inputs.
    Inputs(u64),
    /// At a moment.
    Moment(Instant),
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Inputs that were tried.
    pub n_inputs: u64,
    /// The most that was allocated for one input beyond the target's own base, for each byte of it.
    pub worst_bytes_per_byte: f64,
}

/// A claim that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The target's name.
    pub target: &'static str,
    /// Which of the inputs of this seed it was, from 0.
    pub n: u64,
    /// What happened.
    pub what: What,
    /// The input.
    pub input: Input,
}

/// Which claim did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It panicked, with this message.
    Panicked(String),
    /// It allocated more than the input is worth, in bytes.
    Allocated {
        /// How much.
        n_bytes: usize,
        /// How much would have been in proportion.
        limit: usize,
    },
}

/// Tries a target on mutations of its corpus, and first on the corpus itself.
///
/// # Errors
/// The first fault.
pub fn run(target: &Target, seed: u64, until: Until) -> Result<Report, Box<Fault>> {
    let mut rng = Rng::with_seed(seed ^ hash(target.name));
    let mut report = Report::default();
    loop {
        let n = report.n_inputs;
        let is_over = match until {
            Until::Inputs(n_inputs) => n >= n_inputs,
            Until::Moment(moment) => Instant::now() >= moment,
        };
        if is_over {
            return Ok(report);
        }
        let input = match target.corpus.get(n as usize) {
            Some(input) => input.clone(),
            None => mutated(&target.corpus, &mut rng),
        };
        let worst = attempt(target, &input).map_err(|what| Box::new(Fault { target: target.name, n, what, input }))?;
        report.worst_bytes_per_byte = report.worst_bytes_per_byte.max(worst);
        report.n_inputs += 1;
    }
}

/// Tries one input; returns what it allocated for each byte.
fn attempt(target: &Target, input: &Input) -> Result<f64, What> {
    let n_input = input.body.len() + input.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let region = Region::new(ALLOCATOR);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.parse)(input)));
    let n_bytes = region.change().bytes_allocated;
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        return Err(What::Panicked(text.unwrap_or_default()));
    }
    let limit = target.base_bytes + target.bytes_per_byte * n_input;
    match n_bytes > limit {
        true => Err(What::Allocated { n_bytes, limit }),
        false => Ok(n_bytes.saturating_sub(target.base_bytes) as f64 / n_input.max(1) as f64),
    }
}

/// Tells targets apart that share a seed (FNV-1a).
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
