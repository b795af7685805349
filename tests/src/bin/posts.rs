//! How many hook posts a second each bus takes, how long they wait at a tenth of that, and that none is lost.
//!
//! Signed GitHub deployments of 2 KB, each a delivery and a deploy of its own, over kept connections from this process
//! beside the server. After each bus every answer is held against the bus itself: a deploy that was answered 202 is there
//! once. An empty warp handler under the same load is the ceiling of the machine.
//!
//! `make bench` runs it, optimised and with a broker. It fails when a figure misses its bar by more than a tenth.

use std::{
    collections::HashMap,
    env, fs,
    net::SocketAddr,
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use deployline_bus::{BusConfig, BusKind, Position};
use deployline_schemas::{Deploy, cloudevent::CloudEvent, topic::Topic};
use deployline_tests::{
    github::{Deployment, signature},
    load::{Outcome, send},
    server::{Bus, GITHUB_SECRET, Server, Settings, binary},
    shop::now,
    wait::eventually,
};

/// Connections under full load: about twice what one sync of the disk takes along.
const N_CONNECTIONS: usize = 256;
/// Seconds at a tenth of the bar.
const CALM_S: f64 = 10.0;
/// 99th percentile at a tenth of the bar, in milliseconds.
const CALM_BAR_MS: f64 = 20.0;
/// A figure that misses its bar by less than this share does not fail the run: the machine is noisy.
const MARGIN: f64 = 0.1;
/// Services that the deploys are of.
const N_SERVICES: u64 = 50;

fn main() -> anyhow::Result<()> {
    let n_posts: u64 = env::args().nth(1).map_or(Ok(100_000), |n| n.parse()).context("usage: posts [N]")?;
    println!(
        "{:<10}{:>8}{:>10}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}",
        "bus", "posts", "posts/s", "bar", "CPU us", "sender", "p50", "p99", "max", "bar"
    );
    let (ceiling, cpu) = empty(n_posts)?;
    println!(
        "{:<10}{n_posts:>8}{:>10.0}{:>8}{:>9.1}{:>9.1}",
        "(empty)",
        ceiling.rate(),
        "",
        cpu.server_us,
        cpu.sender_us
    );
    let mut missed = Vec::new();
    for (name, bar, bus) in [("embedded", 20_000.0, Bus::Embedded), ("kafka", 10_000.0, Bus::kafka()?)] {
        let Measured { full, cpu, calm } = measure(bus, n_posts, bar / 10.0)?;
        let (rate, p99) = (full.rate(), calm.quantile(0.99));
        println!(
            "{name:<10}{n_posts:>8}{rate:>10.0}{bar:>8.0}{:>9.1}{:>9.1}{:>8.1}{p99:>8.1}{:>8.1}{CALM_BAR_MS:>8.0}",
            cpu.server_us,
            cpu.sender_us,
            calm.quantile(0.5),
            calm.quantile(1.0),
        );
        if rate < bar * (1.0 - MARGIN) {
            missed.push(format!("{name}: {rate:.0} posts a second, the bar is {bar}"));
        }
        if p99 > CALM_BAR_MS * (1.0 + MARGIN) {
            let calm_rate = bar / 10.0;
            missed
                .push(format!("{name}: p99 of {p99:.1} ms at {calm_rate} posts a second, the bar is {CALM_BAR_MS} ms"));
        }
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// What one post cost of CPU time, in microseconds: on an otherwise idle machine of two cores, two million by the sum of
/// both is the most that it can take in a second.
struct Cpu {
    server_us: f64,
    sender_us: f64,
}

impl Cpu {
    /// Runs a load against a process and divides what it took of CPU time.
    fn of(pid: u32, load: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<(Outcome, Self)> {
        let before = (cpu_time(pid)?, cpu_time(process::id())?);
        let outcome = load()?;
        let per_post = |before: Duration, pid| -> anyhow::Result<f64> {
            Ok((cpu_time(pid)? - before).as_secs_f64() * 1e6 / outcome.statuses.len() as f64)
        };
        let cpu = Self { server_us: per_post(before.0, pid)?, sender_us: per_post(before.1, process::id())? };
        Ok((outcome, cpu))
    }
}

/// The CPU time that a process has taken so far, its own and the kernel's for it: fields 14 and 15 of
/// `/proc/PID/stat`, in hundredths of a second.
fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold blanks.
    let fields = stat.rsplit_once(") ").context("no name")?.1.split(' ').skip(11).take(2);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

struct Measured {
    full: Outcome,
    cpu: Cpu,
    calm: Outcome,
}

fn measure(bus: Bus, n_posts: u64, calm_rate: f64) -> anyhow::Result<Measured> {
    let mut server = Server::start(&Settings { bus: bus.clone(), ..Settings::default() })?;
    let address = server.ports.web;
    // Connections, caches and prepared statements; not counted, but looked for on the bus as well.
    let n_calm = (calm_rate * CALM_S) as u64;
    let (warm_up, calm, full) = (posts(0, 2_000), posts(1, n_calm), posts(2, n_posts));
    let warmed = send(address, warm_up, N_CONNECTIONS, None)?;
    let calm = send(address, calm, N_CONNECTIONS, Some(calm_rate))?;
    let (full, cpu) = Cpu::of(server.pid(), || send(address, full, N_CONNECTIONS, None))?;
    ensure!(server.terminate()? == 0, "the server did not end well:\n{}", server.log_tail());
    let mut acknowledged = HashMap::new();
    for (series, outcome) in [&warmed, &calm, &full].into_iter().enumerate() {
        ensure!(
            outcome.n_answered(202) == outcome.statuses.len(),
            "{} of {} posts were answered otherwise than 202",
            outcome.statuses.len() - outcome.n_answered(202),
            outcome.statuses.len()
        );
        acknowledged
            .extend((0..outcome.statuses.len() as u64).map(|n| (deployment(series as u64, n).deploy_id(), 0u32)));
    }
    check(&server, &bus, acknowledged)?;
    Ok(Measured { full, cpu, calm })
}

/// Holds what was acknowledged against the bus: each deploy is there once, and nothing else is.
fn check(server: &Server, bus: &Bus, mut acknowledged: HashMap<String, u32>) -> anyhow::Result<()> {
    let config = match bus {
        Bus::Embedded => BusConfig::default(),
        Bus::Kafka { broker, prefix } => BusConfig {
            kind: BusKind::Kafka,
            brokers: vec![broker.clone()],
            prefix: prefix.clone(),
            ..BusConfig::default()
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let bus = deployline_bus::Bus::open(&config, &server.data()).await?;
        for bounds in bus.bounds(Topic::Deploys).await? {
            let mut from = Position { partition: bounds.partition, offset: bounds.first };
            while from.offset < bounds.next {
                let records = bus.read(Topic::Deploys, from, 10_000).await?;
                for delivered in &records {
                    let event: CloudEvent<Deploy> = serde_json::from_slice(&delivered.record.value)?;
                    let n = acknowledged.get_mut(&event.data.id);
                    *n.with_context(|| format!("{} was never posted", event.data.id))? += 1;
                }
                let last = records.last().with_context(|| format!("no records from {from:?} on, before {bounds:?}"))?;
                from.offset = last.position.offset + 1;
            }
        }
        let lost = acknowledged.values().filter(|n| **n == 0).count();
        let doubled = acknowledged.values().filter(|n| **n > 1).count();
        ensure!(lost + doubled == 0, "of {} acknowledged, {lost} lost, {doubled} doubled", acknowledged.len());
        bus.close().await?;
        Ok(())
    })
}

fn deployment(series: u64, n: u64) -> Deployment {
    let id = 1_000_000_000 + series * 100_000_000 + n;
    Deployment::new(id, &format!("service-{:02}", n % N_SERVICES), "ana", now())
}

/// Requests as GitHub writes them, each signed.
fn posts(series: u64, n_posts: u64) -> Vec<Vec<u8>> {
    let post = |n| {
        let delivery = deployment(series, n).short();
        let head = format!(
            "POST /hooks/github HTTP/1.1\r\nHost: deployline.example.com\r\nUser-Agent: GitHub-Hookshot/ede37db\r\n\
             Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Delivery: {}\r\n\
             X-GitHub-Event: {}\r\nX-GitHub-Hook-ID: 292430182\r\nX-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
             X-GitHub-Hook-Installation-Target-Type: repository\r\nX-Hub-Signature-256: {}\r\n\r\n",
            delivery.body.len(),
            delivery.id,
            delivery.event,
            signature(&delivery.body, GITHUB_SECRET)
        );
        [head.into_bytes(), delivery.body].concat()
    };
    (0..n_posts).map(post).collect()
}

/// The same load on a handler that does nothing.
fn empty(n_posts: u64) -> anyhow::Result<(Outcome, Cpu)> {
    let binary = binary()?.with_file_name("empty");
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let child = Command::new(&binary).arg(address.to_string()).stdin(Stdio::null()).spawn();
    let child = Ended(child.with_context(|| format!("{} is not built: run `make bench`", binary.display()))?);
    eventually("the empty handler", Duration::from_secs(10), || Ok(std::net::TcpStream::connect(address).ok()))?;
    let requests = posts(0, n_posts);
    let (outcome, cpu) = Cpu::of(child.0.id(), || send(address, requests, N_CONNECTIONS, None))?;
    ensure!(outcome.n_answered(202) == outcome.statuses.len(), "the empty handler refused a post");
    Ok((outcome, cpu))
}

/// A process that does not outlive this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
