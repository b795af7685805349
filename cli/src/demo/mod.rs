//! `demo`: the whole system on a synthetic shop, in about a minute.
//!
//! Everything is real but the shop: StatsD packets and hook posts over loopback, the bus, the store, the correlator,
//! the alert as an HTTP call to a chat. The shop's first hours are filled in over Graphite's plaintext protocol.

mod chat;
mod shop;

use std::{io::Write, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, bail};
use deployline_schemas::{DeployEvent, UnixMillis, deploy::Status, time::wall_clock};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{args, client::Client, commands::blame, config::Config, serve, signals};
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
    let outcome = runtime.block_on(async {
        let stopping = stop.clone();
        tokio::spawn(async move {
            signals::stop_asked().await;
            stopping.cancel();
        });
        tell(args, data.path(), stop.clone()).await
    });
    // Also when the server could not start: see `serve::command`.
    stop.cancel();
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn tell(args: &args::Demo, data: &Path, stop: CancellationToken) -> anyhow::Result<()> {
    let (texts, mut messages) = mpsc::channel(64);
    let chat = chat::listen(texts).await?;
    // Whatever the environment says of another deployline: the demo's data stays in the demo's folder.
    let config = Config::from_toml(&configuration(args, data, chat))?;
    let running = serve::start(config, stop.clone()).await?;
    let story = Story { url: format!("http://{}", running.web), clock: wall_clock(), began: Instant::now() };
    let (statsd, carbon) = (running.statsd.context("no StatsD port")?, running.carbon.context("no Graphite port")?);
    let server = tokio::spawn(running.join());

    let mut shop = Shop::new(args.seed);
    let (orders, shop_orders) = mpsc::channel(4);
    let told = async {
        story.say(&format!("deployline is up at {} (bus: {})", story.url, args.kafka.as_deref().unwrap_or("embedded")));
        story.fill_in_the_past(&mut shop, carbon, args.seed).await?;
        let (n_services, hours) = (Shop::services().count(), HISTORY_S / 3600);
        story.say(&format!("{n_services} services, {hours} h of history; live StatsD packets from now on"));
        let traffic = tokio::spawn(send_traffic(shop, statsd, shop_orders, stop.clone()));
        story.play(&orders, &mut messages).await?;
        if !args.once {
            story.say(&format!("that is the whole story; look around at {} until you press Ctrl-C", story.url));
            traffic.await.context("the shop's traffic")??;
        }
        anyhow::Ok(())
    };
    // Stopped in the middle, the story is dropped; the server below still stops in its own order.
    let told = stop.run_until_cancelled(told).await.unwrap_or(Ok(()));
    stop.cancel();
    server.await.context("the server")??;
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
            self.deploy(service, at, ["ana", "bo", "chen", "dee"][rng.usize(..4)]).await?;
        }
        Ok(())
    }

    /// Tells of a deploy of the past over our own API.
    async fn deploy(&self, service: &str, at: UnixMillis, actor: &str) -> anyhow::Result<()> {
        let version = version(service, at);
        let event = DeployEvent {
            id: Some(format!("{service}-{}", &version[..7])),
            service: service.to_owned(),
            version: Some(version.clone()),
            status: Some(Status::Succeeded),
            started_at: Some(UnixMillis(at.0 - 1500)),
            finished_at: Some(at),
            actor: Some(actor.to_owned()),
            diff_url: Some(format!("https://github.example/shop/{service}/commit/{version}")),
            source: Some("demo".to_owned()),
            ..DeployEvent::default()
        };
        let server = self.server();
        tokio::task::spawn_blocking(move || Client::new(&server).post_json("/api/v1/deploys", &event)).await??;
        Ok(())
    }

    fn server(&self) -> args::Server {
        args::Server { url: self.url.clone(), token: None, json: false }
    }

    /// Deploys now, told the way GitHub tells of a deployment; returns the deploy's id.
    async fn deploy_now(&self, number: u64, service: &str, actor: &str, task: &str) -> anyhow::Result<String> {
        let at = (self.clock)();
        let sha = version(service, at);
        let creator = json!({"login": actor, "type": "User"});
        let repository = json!({"full_name": format!("shop/{service}"), "name": service, "html_url": format!("https://github.example/shop/{service}")});
        let deployment = json!({
            "id": number, "sha": sha, "ref": "main", "task": task, "environment": "production", "payload": {},
            "creator": creator, "created_at": UnixMillis(at.0 - 1500), "updated_at": at,
        });
        let status = json!({
            "id": number + 1, "state": "success", "environment": "production", "creator": creator,
            "created_at": at, "updated_at": at,
        });
        let deliveries = [
            (
                "deployment",
                json!({"action": "created", "deployment": deployment, "repository": repository, "sender": creator}),
            ),
            (
                "deployment_status",
                json!({"action": "created", "deployment_status": status, "deployment": deployment, "repository": repository, "sender": creator}),
            ),
        ];
        for (event, body) in deliveries {
            let (server, delivery) = (self.server(), format!("{event}-{number}"));
            let headers = [("X-GitHub-Event", event), ("X-GitHub-Delivery", &delivery)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            tokio::task::spawn_blocking(move || Client::new(&server).post_hook("/hooks/github", &headers, &body))
                .await??;
        }
        Ok(format!("github:shop/{service}:{number}"))
    }

    /// The bad deploy among innocent ones, the alert, the blame, the rollback, the recovery.
    async fn play(&self, orders: &mpsc::Sender<Order>, messages: &mut mpsc::Receiver<Value>) -> anyhow::Result<()> {
        tokio::time::sleep(BEFORE_BAD_DEPLOY / 2).await;
        self.deploy_now(4101, "search", "bo", "deploy").await?;
        self.say("bo deploys search");
        tokio::time::sleep(BEFORE_BAD_DEPLOY / 2).await;
        let guilty = self.deploy_now(4102, "checkout", "ana", "deploy").await?;
        orders.send(Order::Break).await?;
        self.say("ana deploys checkout, and from now on it fails more often");
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.deploy_now(4103, "images", "dee", "deploy").await?;
        self.say("dee deploys images");

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
        self.deploy_now(4104, "checkout", "ana", "rollback").await?;
        orders.send(Order::Mend).await?;
        self.say("ana rolls checkout back");
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

/// A revision that looks like one, the same for the same moment.
fn version(service: &str, at: UnixMillis) -> String {
    let seed = service.bytes().fold(at.0 as u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut rng = fastrand::Rng::with_seed(seed);
    format!("{:016x}{:016x}{:08x}", rng.u64(..), rng.u64(..), rng.u32(..))
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
