//! How long a deploy takes from the answer to its hook to `/api/v1/deploys` and to `/graph.svg`, on both buses.
//!
//! `make bench` runs it with a broker; the bars are 50 ms (embedded) and 150 ms (Kafka) at the 99th percentile.
//! The clock starts when the hook's answer is in and stops when an answer that shows the deploy is in, so one
//! question's own cost, and for the graph one drawing, count too. What is printed are milliseconds.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use deployline_tests::{
    github::Deployment,
    server::{Bus, Server, Settings},
    shop::{errors_of, now},
    traffic::fill_in_the_past,
};

/// Measured of each kind; two from the worst is the 99th percentile.
const N_DEPLOYS: u64 = 200;
/// Longest wait for one deploy.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two deploys: the graph of the last three seconds then holds some thirty lines, more than a busy minute has.
const PACE: Duration = Duration::from_millis(100);
/// Between two questions, so that asking does not crowd out the work that is asked about.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(1);

fn main() -> anyhow::Result<()> {
    println!("{:<10}{:<20}{:>8}{:>8}{:>8}{:>8}", "bus", "seen in", "p50", "p99", "max", "bar");
    let mut missed = Vec::new();
    for (name, bar_ms, bus) in [("embedded", 50.0, Bus::Embedded), ("kafka", 150.0, Bus::kafka()?)] {
        let server = Server::start(&Settings { bus, ..Settings::default() })?;
        let until_s = now().as_secs();
        fill_in_the_past(server.ports.carbon, &["checkout"], until_s - 600, until_s, 10, 7)?;
        missed.extend(report(name, "/api/v1/deploys", bar_ms, measure(&server, 1, in_list)?));
        missed.extend(report(name, "/graph.svg", bar_ms, measure(&server, 2, on_graph)?));
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// Milliseconds from answer to sight, ascending.
fn measure(
    server: &Server,
    series: u64,
    seen: impl Fn(&Server, &Deployment) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<f64>> {
    let mut waits_ms = Vec::new();
    for n in 0..N_DEPLOYS {
        let deployment = Deployment::new(series * 1_000_000 + n, "checkout", "ana", now());
        let answer = server.deliver(&deployment.status("success", now()))?;
        ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
        let answered_at = Instant::now();
        while !seen(server, &deployment)? {
            ensure!(answered_at.elapsed() < PATIENCE, "deploy {n} is not seen");
            thread::sleep(BETWEEN_QUESTIONS);
        }
        waits_ms.push(answered_at.elapsed().as_secs_f64() * 1e3);
        thread::sleep(PACE);
    }
    waits_ms.sort_by(f64::total_cmp);
    Ok(waits_ms)
}

fn in_list(server: &Server, deployment: &Deployment) -> anyhow::Result<bool> {
    let page = server.get("/api/v1/deploys", &[("service", &deployment.service), ("limit", "20")])?;
    Ok(page.text().contains(&deployment.deploy_id()))
}

fn on_graph(server: &Server, deployment: &Deployment) -> anyhow::Result<bool> {
    let series = errors_of(&deployment.service);
    let query = [("target", series.as_str()), ("from", "-3s"), ("until", "now")];
    Ok(server.get("/graph.svg", &query)?.text().contains(&deployment.sha[..9]))
}

/// Prints a line, and returns what to say where it misses its bar by more than a tenth: the machine is noisy.
fn report(bus: &str, seen_in: &str, bar_ms: f64, waits_ms: Vec<f64>) -> Option<String> {
    let quantile = |q: f64| waits_ms[((waits_ms.len() - 1) as f64 * q).round() as usize];
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(quantile);
    println!("{bus:<10}{seen_in:<20}{p50:>8.1}{p99:>8.1}{max:>8.1}{bar_ms:>8.0}");
    (p99 > bar_ms * 1.1).then(|| format!("{bus}, {seen_in}: p99 of {p99:.1} ms, the bar is {bar_ms} ms"))
}
