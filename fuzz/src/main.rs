//! `fuzz [--seconds N | --inputs N] [--seed N] [TARGET]`: runs all targets, or those whose names contain TARGET.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use deployline_fuzz::{
    run::{Until, run},
    target::targets,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seconds, mut inputs, mut seed, mut wanted) = (60, None, now(), String::new());
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "--seconds" => seconds = number().unwrap_or(seconds),
            "--inputs" => inputs = number(),
            "--seed" => seed = number().unwrap_or(seed),
            name => wanted = name.to_owned(),
        }
    }
    let targets: Vec<_> = targets().into_iter().filter(|target| target.name.contains(&wanted)).collect();
    println!("seed {seed}, {} targets", targets.len());
    // A panic is reported with its input, once.
    std::panic::set_hook(Box::new(|_| {}));
    for (index, target) in targets.iter().enumerate() {
        let n_left = (targets.len() - index) as u32;
        let share = Duration::from_secs(seconds) * index as u32 / targets.len() as u32;
        let slice = (Duration::from_secs(seconds) - share) / n_left;
        let until = inputs.map_or_else(|| Until::Moment(Instant::now() + slice), Until::Inputs);
        match run(target, seed, until) {
            Ok(report) => println!(
                "{:<32} {:>9} inputs, at most {:>6.1} bytes a byte",
                target.name, report.n_inputs, report.worst_bytes_per_byte
            ),
            Err(fault) => {
                let body = String::from_utf8_lossy(&fault.input.body);
                eprintln!("{} fails on input {} of seed {seed}: {:?}", fault.target, fault.n, fault.what);
                eprintln!(
                    "headers {:?}\nbody of {} bytes: {:.2000}",
                    fault.input.headers,
                    fault.input.body.len(),
                    body
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// A seed that differs from run to run.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
