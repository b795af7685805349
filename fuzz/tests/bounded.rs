//! A bounded run of every target, and the proof that a bad parser is caught. A program of its own, in one thread: what
//! is counted as allocated is the parser's.

use deployline_fuzz::{
    corpus::{self, Input},
    run::{Fault, Until, What, run},
    target::{Target, targets},
};

/// The same inputs each time; `make fuzz` tries others.
const SEED: u64 = 20_261_124;
/// For each target, its corpus included.
const N_INPUTS: u64 = 400;

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    a_panic_is_caught_with_its_input();
    memory_out_of_proportion_is_caught();
    a_parser_that_is_good_is_not_accused();
    let mut n_inputs = 0;
    for target in targets() {
        match run(&target, SEED, Until::Inputs(N_INPUTS)) {
            Ok(report) => n_inputs += report.n_inputs,
            Err(fault) => fail(&format!("seed {SEED}: {}", told(&fault))),
        }
    }
    println!("{} targets, {n_inputs} inputs of seed {SEED}: no panic, memory in proportion", targets().len());
}

fn told(fault: &Fault) -> String {
    let body = String::from_utf8_lossy(&fault.input.body);
    format!(
        "{} fails on input {}: {:?}\nheaders {:?}\nbody {body:.2000}",
        fault.target, fault.n, fault.what, fault.input.headers
    )
}

/// The panic hook is silent here, so the message goes out first.
#[track_caller]
fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1);
}

#[track_caller]
fn check(holds: bool, claim: &str) {
    if !holds {
        fail(&format!("not so: {claim}"));
    }
}

fn bad(parse: fn(&Input)) -> Target {
    Target { name: "bad", corpus: corpus::statsd(), base_bytes: 64 * 1024, bytes_per_byte: 100, parse: Box::new(parse) }
}

fn a_panic_is_caught_with_its_input() {
    let target = bad(|input| assert!(!input.body.contains(&0xff), "no room for 0xff"));
    let fault = run(&target, SEED, Until::Inputs(10_000)).err();
    let found = fault.is_some_and(|fault| {
        fault.what == What::Panicked("no room for 0xff".to_owned()) && fault.input.body.contains(&0xff)
    });
    check(found, "a parser that panics on one byte is caught");
}

fn memory_out_of_proportion_is_caught() {
    // Reads a length and believes it.
    let target = bad(|input| {
        let n_announced = input.body.iter().filter(|byte| byte.is_ascii_digit()).count().pow(2);
        drop(std::hint::black_box(Vec::<u8>::with_capacity(n_announced * 64)));
    });
    let fault = run(&target, SEED, Until::Inputs(10_000)).err();
    let found = fault.is_some_and(|fault| matches!(fault.what, What::Allocated { n_bytes, limit } if n_bytes > limit));
    check(found, "a parser whose memory grows with the square of its input is caught");
}

fn a_parser_that_is_good_is_not_accused() {
    let target = bad(|input| drop(std::hint::black_box(input.body.clone())));
    check(run(&target, SEED, Until::Inputs(1000)).is_ok(), "a parser that copies its input passes");
}
