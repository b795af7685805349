//! `demo`: the whole system on a synthetic shop, in about a minute.
//!
//! Everything is real but the shop: StatsD packets and hook posts over loopback, the bus, the store, the correlator,
//! the alert as an HTTP call to a chat. The shop's first hours are filled in over Graphite's plaintext protocol.

mod chat;
mod shop;

use std::{io::Write, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, bail};
use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, Kind, Status},
    time::wall_clock,
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{self, Role},
    client::Client,
    commands::blame,
    config::Config,
    serve, signals,
};
use shop::Shop;

/// The shop's flush interval: shorter than StatsD's 10 s, so that the story fits into a minute.
const FLUSH_S: i64 = 2;
/// How much of the past is filled in.
const HISTORY_S: i64 = 3 * 3600;
/// How long the shop runs well before the bad deploy.
const BEFORE_BAD_DEPLOY: Duration = Duration::from_secs(8);
/// How long people take to roll back once they are told.
const BEFORE_ROLLBACK: Duration = Duration::from_secs(6);
/// Longest wait for the alert, and for the recovery.
const PATIENCE: Duration = Duration::from_secs(240);
/// How many times as often the bad checkout fails.
const BAD_FACTOR: f64 = 9.0;
/// The series that the story is about.
const SERIES: &str = "stats.counters.checkout.http.5xx.count";

/// Runs the demo until Ctrl-C, or until the story is told with `--once`.
pub fn command(args: &args::Demo) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let data = tempfile::tempdir().context("no temporary folder for the demo's data")?;
    let stop = CancellationToken::new();
    runtime.block_on(async {
        let story = tell(args, data.path(), stop.clone());
        let outcome = tokio::select! {
            outcome = story => outcome,
            () = signals::stop_asked() => Ok(()),
        };
        stop.cancel();
        outcome
    })?;
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(())
}

async fn tell(args: &args::Demo, data: &Path, stop: CancellationToken) -> anyhow::Result<()> {
    let (texts, mut messages) = mpsc::channel(64);
    let chat = chat::listen(texts).await?;
    let file = data.join("deployline.toml");
    std::fs::write(&file, configuration(args, data, chat))?;
    let running =
        serve::start(Config::load(Some(&file))?, &[Role::Ingest, Role::Correlate, Role::Web], stop.clone()).await?;
    let story = Story { url: format!("http://{}", running.web), clock: wall_clock(), began: Instant::now() };
    let (statsd, carbon) = (running.statsd.context("no StatsD port")?, running.carbon.context("no Graphite port")?);
    let server = tokio::spawn(running.join());

    story.say(&format!("deployline is up at {} (bus: {})", story.url, args.kafka.as_deref().unwrap_or("embedded")));
    let mut shop = Shop::new(args.seed);
    story.fill_in_the_past(&mut shop, carbon, args.seed).await?;
    story.say(&format!(
        "{} services, {} h of history; live StatsD packets from now on",
        Shop::services().count(),
        HISTORY_S / 3600
    ));

    let (orders, shop_orders) = mpsc::channel(4);
    let traffic = tokio::spawn(send_traffic(shop, statsd, shop_orders, stop.clone()));
    let told = story.play(&orders, &mut messages).await;
    if told.is_ok() && !args.once {
        story.say(&format!("that is the whole story; look around at {} until you press Ctrl-C", story.url));
        stop.cancelled().await;
    }
    stop.cancel();
    traffic.await?.context("the shop's traffic")?;
    server.await?.context("the server")?;
    told
}

/// What the shop is told while it runs.
enum Order {
    Break,
    Mend,
}

struct Story {
    url: String,
    clock: deployline_schemas::time::Clock,
    began: Instant,
}

impl Story {
    fn say(&self, line: &str) {
        let elapsed = self.began.elapsed().as_secs();
        println!("[{:>2}:{:02}] {line}", elapsed / 60, elapsed % 60);
        let _ = std::io::stdout().flush();
    }

    /// Sends the past over Graphite's plaintext protocol, and some healthy deploys over the API.
    async fn fill_in_the_past(&self, shop: &mut Shop, carbon: SocketAddr, seed: u64) -> anyhow::Result<()> {
        let now = (self.clock)().as_secs().div_euclid(FLUSH_S) * FLUSH_S;
        let mut stream = TcpStream::connect(carbon).await.context("the Graphite port")?;
        for timestamp_s in (now - HISTORY_S..=now).step_by(FLUSH_S as usize) {
            let lines: String = shop.next(FLUSH_S as f64).iter().map(|interval| interval.lines(timestamp_s)).collect();
            stream.write_all(lines.as_bytes()).await?;
        }
        stream.shutdown().await?;
        let mut rng = fastrand::Rng::with_seed(seed);
        let names: Vec<_> = Shop::services().collect();
        for n in 0..9 {
            let service = names[rng.usize(..names.len())];
            let at = UnixMillis::from_secs(now - HISTORY_S + 600 + n * (HISTORY_S - 1200) / 9 + rng.i64(0..300));
            self.deploy(service, at, Kind::Deploy, None, ["ana", "bo", "chen", "dee"][rng.usize(..4)]).await?;
        }
        Ok(())
    }

    /// Posts a finished deploy; returns its id.
    async fn deploy(
        &self,
        service: &str,
        at: UnixMillis,
        kind: Kind,
        rollback_of: Option<String>,
        actor: &str,
    ) -> anyhow::Result<String> {
        let version = format!("{:07x}", (at.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 36);
        let id = format!("{service}-{version}");
        let event = DeployEvent {
            id: Some(id.clone()),
            service: service.to_owned(),
            kind,
            version: Some(version.clone()),
            status: Some(Status::Succeeded),
            started_at: Some(UnixMillis(at.0 - 1500)),
            finished_at: Some(at),
            actor: Some(actor.to_owned()),
            diff_url: Some(format!("https://git.example/shop/{service}/commit/{version}")),
            commits: vec![Commit { id: version, author: Some(actor.to_owned()), ..Commit::default() }],
            rollback_of,
            source: Some("demo".to_owned()),
            ..DeployEvent::default()
        };
        let server = self.server();
        tokio::task::spawn_blocking(move || Client::new(&server).post_json("/api/v1/deploys", &event)).await??;
        Ok(id)
    }

    fn server(&self) -> args::Server {
        args::Server { url: self.url.clone(), token: None, json: false }
    }

    async fn deploy_now(&self, service: &str, actor: &str) -> anyhow::Result<String> {
        let id = self.deploy(service, (self.clock)(), Kind::Deploy, None, actor).await?;
        self.say(&format!("{actor} deploys {service} ({id})"));
        Ok(id)
    }

    /// The bad deploy among innocent ones, the alert, the blame, the rollback, the recovery.
    async fn play(&self, orders: &mpsc::Sender<Order>, messages: &mut mpsc::Receiver<Value>) -> anyhow::Result<()> {
        tokio::time::sleep(BEFORE_BAD_DEPLOY / 2).await;
        self.deploy_now("search", "bo").await?;
        tokio::time::sleep(BEFORE_BAD_DEPLOY / 2).await;
        let guilty = self.deploy_now("checkout", "ana").await?;
        orders.send(Order::Break).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.deploy_now("images", "dee").await?;

        self.say("…");
        let alert = wait_for(messages, "alert").await?;
        self.say("the team's chat says:");
        print_message(&alert);
        let at = (self.clock)();
        let (series, moment) = (SERIES.to_owned(), at.to_string());
        let server = self.server();
        let answer = tokio::task::spawn_blocking(move || {
            Client::new(&server).get_json("/api/v1/blame", &[("series", &series), ("at", &moment)])
        })
        .await??;
        self.say(&format!("$ deployline blame {SERIES}"));
        print!("{}", blame::text(&answer));
        let named = answer.suspects.first().and_then(|suspect| suspect.deploy_id.clone());
        if named.as_deref() != Some(&guilty) {
            bail!("the blame should name {guilty}");
        }
        self.say(&format!("the page: {}/", self.url));

        tokio::time::sleep(BEFORE_ROLLBACK).await;
        let back = self.deploy("checkout", (self.clock)(), Kind::Rollback, Some(guilty), "ana").await?;
        orders.send(Order::Mend).await?;
        self.say(&format!("ana rolls checkout back ({back})"));
        let recovered = wait_for(messages, "recovery").await?;
        self.say("the team's chat says:");
        print_message(&recovered);
        Ok(())
    }
}

async fn wait_for(messages: &mut mpsc::Receiver<Value>, what: &str) -> anyhow::Result<Value> {
    timeout(PATIENCE, messages.recv())
        .await
        .with_context(|| format!("no {what} within {} s", PATIENCE.as_secs()))?
        .context("the chat is gone")
}

/// Prints a message as the chat would show it.
fn print_message(message: &Value) {
    for line in deployline_notify::slack::plain(message).lines() {
        println!("        │ {line}");
    }
}

/// Sends what the shop does in each interval, a few packets at a time as many clients would.
async fn send_traffic(
    mut shop: Shop,
    statsd: SocketAddr,
    mut orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    /// An interval's packets go out in so many bursts.
    const BURSTS: usize = 10;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(statsd).await?;
    let mut ticks = interval(Duration::from_secs(FLUSH_S as u64) / BURSTS as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut packets: Vec<String> = Vec::new();
    for burst in (0..BURSTS).cycle() {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(order) = orders.recv() => match order {
                Order::Break => shop.break_errors("checkout", BAD_FACTOR),
                Order::Mend => shop.mend(),
            },
            () = stop.cancelled() => break,
        }
        if burst == 0 {
            packets = shop.next(FLUSH_S as f64).iter().flat_map(shop::Interval::packets).collect();
        }
        for packet in packets.iter().skip(burst).step_by(BURSTS) {
            // A full loopback buffer drops the packet, as it would for any StatsD client.
            let _ = socket.send(packet.as_bytes()).await;
        }
    }
    Ok(())
}

fn configuration(args: &args::Demo, data: &Path, chat: SocketAddr) -> String {
    let bus = match &args.kafka {
        // A prefix of its own, so that a demo on a shared broker meets nobody else's records.
        Some(broker) => {
            json!({"kind": "kafka", "brokers": [broker], "prefix": format!("deployline-demo-{}", std::process::id())})
        }
        None => json!({"kind": "embedded"}),
    };
    let config = json!({
        "web": {"listen": args.listen.to_string(), "base_url": format!("http://{}", args.listen)},
        "statsd": {"udp": "127.0.0.1:0", "tcp": "", "admin": "", "flush": format!("{FLUSH_S}s")},
        "carbon": {"line": "127.0.0.1:0", "pickle": ""},
        "store": {"dir": data.join("data")},
        "bus": bus,
        "channel": [{"name": "push", "kind": "slack", "url": format!("http://{chat}/")}],
        "route": [{"match": {"environment": "production"}, "to": ["push"]}],
    });
    toml::to_string(&config).expect("plain strings and tables are TOML") + &Shop::services_toml()
}
