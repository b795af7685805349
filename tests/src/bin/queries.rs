//! How long queries and pictures take over HTTP, by one client and by twenty.
//!
//! `make bench-queries` runs it on a release build. A peer that speaks Graphite's API is measured beside us in the same run,
//! over the same datapoints, when it is named as `NAME=LINE_ADDRESS=URL`:
//!
//! ```text
//! target/release/queries carbonapi=127.0.0.1:12313=http://127.0.0.1:12391
//! ```
//!
//! What is printed are milliseconds. The bars are of the 50th percentile of one client; with twenty the 99th percentile
//! should stay within three times the 50th.

use std::{
    env,
    io::{BufWriter, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use deployline_tests::{
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};
use serde_json::json;

const N_SERIES: usize = 1_000;
const N_NAMES: usize = 100_000;
const STEP_S: i64 = 10;
const DAY_S: i64 = 86_400;
/// Questions of each kind by one client, and by each of many.
const N_ALONE: usize = 60;
const N_EACH: usize = 10;
const N_CLIENTS: usize = 20;
/// Longest wait until the datapoints are all there.
const PATIENCE: Duration = Duration::from_secs(300);

/// A question, its bar in milliseconds, and whether only we can answer it.
struct Question {
    name: &'static str,
    path: String,
    bar_ms: f64,
    ours_alone: bool,
}

fn questions(until_s: i64) -> Vec<Question> {
    let render = |target: &str, window_s: i64, format: &str| {
        let target: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
        format!("/render?target={target}&from={}&until={until_s}&format={format}", until_s - window_s)
    };
    let picture = |format: &str, window_s: i64| render("q.g0.h0.m[0-4]", window_s, format);
    let ask = |name, path, bar_ms, ours_alone| Question { name, path, bar_ms, ours_alone };
    vec![
        ask("1 series x 24 h", render("q.g0.h0.m0", DAY_S, "json"), 1.0, false),
        ask("sumSeries of 100 x 24 h", render("sumSeries(q.g0.h0.m*)", DAY_S, "json"), 8.0, false),
        ask("1,000 series x 1 h", render("q.g0.*.*", 3600, "json"), 25.0, false),
        ask("movingAverage over 12 h", render("movingAverage(q.g0.h0.m0,'1h')", DAY_S / 2, "json"), 1.0, false),
        ask("find of 100,000 names", "/metrics/find?query=n.*.*.*".to_owned(), 3.0, false),
        ask("PNG, 5 series x 24 h, 60 deploys", picture("png", DAY_S), 10.0, true),
        ask("SVG, 5 series x 24 h, 60 deploys", picture("svg", DAY_S), 3.0, true),
    ]
}

fn main() -> anyhow::Result<()> {
    let until_s = now().as_secs() / STEP_S * STEP_S - STEP_S;
    // The usual retention would answer a day by minutes.
    let sections = "[[retention]]\nmatch = \"*\"\nkeep = [\"10s:7d\"]\n".to_owned();
    let server = Server::start(&Settings { sections, ..Settings::default() })?;
    load(server.ports.carbon, until_s)?;
    wait_for(&server.url(""), until_s)?;
    check_day(&server.url(""), until_s)?;
    deploys(&server, until_s, 60)?;
    println!(
        "{:<14}{:<34}{:>8}{:>8}{:>10}{:>12}{:>12}{:>8}",
        "server", "question", "p50", "p99", "KB", "20: p50", "20: p99", "bar"
    );
    for question in questions(until_s) {
        report("deployline", &server.url(""), &question)?;
    }
    deploys(&server, until_s, 10_000)?;
    for question in questions(until_s).into_iter().filter(|question| question.ours_alone) {
        report("10,000 deploys", &server.url(""), &question)?;
    }
    for peer in env::args().skip(1) {
        let mut parts = peer.splitn(3, '=');
        let (Some(name), Some(line), Some(url)) = (parts.next(), parts.next(), parts.next()) else {
            anyhow::bail!("`{peer}`: write NAME=LINE_ADDRESS=URL");
        };
        load(line, until_s)?;
        wait_for(url, until_s)?;
        for question in questions(until_s).into_iter().filter(|question| !question.ours_alone) {
            report(name, url, &question)?;
        }
    }
    Ok(())
}

/// Sends a day of a thousand series, and one datapoint of a hundred thousand more.
fn load(line: impl ToSocketAddrs, until_s: i64) -> anyhow::Result<()> {
    let stream = TcpStream::connect(line).context("the Graphite port")?;
    let mut lines = BufWriter::with_capacity(1 << 20, stream);
    for index in 0..N_NAMES {
        writeln!(lines, "n.g{}.h{}.m{} 1 {until_s}", index / 10_000, index / 100 % 100, index % 100)?;
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut at_s = until_s - DAY_S;
    while at_s < until_s {
        at_s += STEP_S;
        for index in 0..N_SERIES {
            let value = random.u32(0..100_000);
            writeln!(lines, "q.g0.h{}.m{} {}.{:02} {at_s}", index / 100, index % 100, value / 100, value % 100)?;
        }
    }
    lines.into_inner()?.shutdown(Shutdown::Write)?;
    Ok(())
}

/// Waits until the very last datapoint is answered.
fn wait_for(url: &str, until_s: i64) -> anyhow::Result<()> {
    let agent = agent();
    let last = format!("{url}/render?target=q.g0.h9.m99&from={}&until={until_s}&format=json", until_s - 600);
    let there = || {
        let text = agent.get(&last).call()?.body_mut().read_to_string()?.replace(' ', "");
        Ok((text.contains(&format!(",{until_s}]")) && !text.contains(&format!("[null,{until_s}]"))).then_some(()))
    };
    eventually("the last datapoint", PATIENCE, there)
}

/// Holds the answer of a day against the datapoints that were sent.
fn check_day(url: &str, until_s: i64) -> anyhow::Result<()> {
    let day = format!("{url}/render?target=q.g0.h0.m0&from={}&until={until_s}&format=json", until_s - DAY_S);
    let answer: serde_json::Value = serde_json::from_str(&agent().get(&day).call()?.body_mut().read_to_string()?)?;
    let n_values =
        answer[0]["datapoints"].as_array().map_or(0, |all| all.iter().filter(|one| !one[0].is_null()).count());
    ensure!(n_values as i64 == DAY_S / STEP_S, "the day has {n_values} values");
    Ok(())
}

fn deploys(server: &Server, until_s: i64, n_deploys: i64) -> anyhow::Result<()> {
    for index in 0..n_deploys {
        let at_s = until_s - DAY_S + (index * DAY_S) / n_deploys;
        let deploy = json!({
            "id": format!("bench-{n_deploys}-{index}"), "service": format!("service{}", index % 20), "version": "9bc1f2e",
            "actor": "ana", "status": "succeeded", "started_at": at_s, "live_at": at_s + 5, "finished_at": at_s + 5,
        });
        let answer = server.post("/api/v1/deploys", &[], deploy.to_string().as_bytes())?;
        ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
    }
    let last = format!("/api/v1/deploys/bench-{n_deploys}-{}", n_deploys - 1);
    let there = || Ok((server.get(&last, &[])?.status == 200).then_some(()));
    eventually("the last deploy", PATIENCE, there)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(120))).build().into()
}

/// Asks so often; milliseconds each, and the bytes of an answer.
fn ask(url: &str, n_times: usize) -> anyhow::Result<(Vec<f64>, usize)> {
    let agent = agent();
    let (mut waits_ms, mut n_bytes) = (Vec::with_capacity(n_times), 0);
    // The first opens the connection and is not counted.
    for turn in 0..=n_times {
        let asked_at = Instant::now();
        let mut answer = agent.get(url).call()?;
        n_bytes = answer.body_mut().with_config().limit(256 << 20).read_to_vec()?.len();
        if turn > 0 {
            waits_ms.push(asked_at.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok((waits_ms, n_bytes))
}

fn report(server: &str, base: &str, question: &Question) -> anyhow::Result<()> {
    let url = format!("{base}{}", question.path);
    let (alone, n_bytes) = ask(&url, N_ALONE)?;
    let clients: Vec<_> = (0..N_CLIENTS)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || ask(&url, N_EACH))
        })
        .collect();
    let mut crowd = Vec::new();
    for client in clients {
        crowd.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??.0);
    }
    let ([p50, p99], [crowd_p50, crowd_p99]) = (quantiles(alone), quantiles(crowd));
    let Question { name, bar_ms, .. } = question;
    println!(
        "{server:<14}{name:<34}{p50:>8.2}{p99:>8.2}{:>10}{crowd_p50:>12.1}{crowd_p99:>12.1}{bar_ms:>8.0}",
        n_bytes / 1024
    );
    Ok(())
}

fn quantiles(mut waits_ms: Vec<f64>) -> [f64; 2] {
    waits_ms.sort_by(f64::total_cmp);
    [0.5, 0.99].map(|q| waits_ms[((waits_ms.len() - 1) as f64 * q).round() as usize])
}
