//! `serve`: the whole system in one process.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use deployline_bus::Bus;
use deployline_correlate::{Settings, live::Live};
use deployline_ingest::{
    aggregation::{self, Aggregating},
    announce::{self, Announcer},
    carbon,
    datapoints::{Consuming, Publishing},
    door::Door,
    forward::{self, Forwarding},
    projector, remote_write,
    sink::Sink,
    spool::{DEFAULT_SPOOL_BYTES, Spool},
    statsd,
    tail::{self, TailConfig},
    topics,
};
use deployline_notify::Notifier;
use deployline_schemas::time::{Clock, wall_clock};
use deployline_store::{Catalog, Federation, Store};
use deployline_web::{App, Parts};
use tokio::{sync::broadcast, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{args, config::Config, selfwatch::Watched, signals};

/// Changes that a slow listener may lag behind before it misses some.
const CHANGES: usize = 1024;
/// How often the store seals, compacts and forgets, and how often the bus ends its retention.
const STORE_UPKEEP: Duration = Duration::from_secs(10);
const BUS_UPKEEP: Duration = Duration::from_secs(3600);
/// Longest time that stopping may take beyond the requests that are under way: the receivers' last flush and the commits.
const DRAIN: Duration = Duration::from_secs(10);

/// A running system.
pub struct Running {
    /// Where pages, hooks and API are served.
    pub web: SocketAddr,
    /// StatsD over UDP.
    pub statsd: Option<SocketAddr>,
    /// Graphite's plaintext protocol over TCP.
    pub carbon: Option<SocketAddr>,
    /// What takes datapoints in: it ends first, so that its last flush is kept.
    receivers: JoinSet<anyhow::Result<()>>,
    /// Everything else.
    workers: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    stop_workers: CancellationToken,
    drain: Duration,
    store: Store,
    bus: Bus,
}

/// Serves until SIGINT or SIGTERM.
pub fn command(args: &args::Serve) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    config.check_exposure(args.insecure)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let stop = CancellationToken::new();
    let outcome = runtime.block_on(async {
        signals::outlive_file_limit();
        let stopping = stop.clone();
        tokio::spawn(async move {
            signals::stop_asked().await;
            info!("stopping");
            stopping.cancel();
        });
        let running = start(config, stop.clone()).await?;
        println!("deployline is up: {running}");
        running.join().await
    });
    // What did start, before a port that was taken, ends too: a receiver's thread would hold the runtime for ever.
    stop.cancel();
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Opens what is on disk, binds every port, and starts every part.
///
/// # Errors
/// When a file cannot be opened or a port cannot be bound: nothing is left running then.
pub async fn start(config: Config, stop: CancellationToken) -> anyhow::Result<Running> {
    let clock = wall_clock();
    let rules = config.rules()?;
    let Config {
        web,
        statsd,
        carbon,
        remote_write: remote_write_config,
        datapoints,
        aggregation: _,
        forward,
        source,
        mut store,
        bus,
        signal,
        service,
        retention,
        hook,
        topic,
        tail,
        announce,
        channel,
        route,
    } = config;
    if !retention.is_empty() {
        store.retention = retention;
    }
    let data = store.dir.clone();
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make the data folder {}", data.display()))?;
    let points_topics = datapoints.topics_under(&bus.prefix);
    let bus = Bus::open(&bus, &data).await.context("cannot open the bus")?;
    let (store, catalog) = open_store(store, Arc::clone(&clock)).await?;
    let series = Federation::new(store.clone(), &source, Arc::clone(&clock));
    if let Err(error) = projector::prepare(&bus, &catalog).await {
        warn!(%error, "a new catalog waits for the bus");
    }
    let spool = Spool::open(&data.join("spool"), DEFAULT_SPOOL_BYTES).context("cannot open the spool")?;
    // Without any [[hook]] every source is taken unsigned, on loopback only; with one, what is configured.
    let open_door = hook.is_empty() && !web.is_exposed();
    // A message that is out has an outcome that must be noted, and a request its answer.
    let slowest_channel = channel.iter().map(deployline_notify::ChannelConfig::timeout).max().unwrap_or_default();
    let drain = DRAIN + web.drain_timeout().max(slowest_channel);
    let inner = topic.iter().filter_map(|topic| topic.inner(&hook)).flatten();
    let inner = inner.chain(tail.iter().map(TailConfig::inner)).collect();
    let door = Door::new(bus.clone(), hook, open_door, Some(spool.clone())).with_inner(inner);
    let (announcer, announced) = Announcer::new(&announce)?;
    let (changes, _) = broadcast::channel(CHANGES);

    let (mut receivers, mut workers) = (JoinSet::new(), JoinSet::new());
    let stop_workers = CancellationToken::new();
    let forwarding = Forwarding::new(Arc::new(store.clone()), &forward);
    let forwarded = forwarding.queues().to_vec();
    let mut sink: Arc<dyn Sink> = Arc::new(forwarding);
    if datapoints.publish {
        sink = Arc::new(Publishing::new(sink, bus.clone(), tokio::runtime::Handle::current()));
    }
    let mut aggregated = None;
    let stop_forwarding = CancellationToken::new();
    if !rules.is_empty() {
        let aggregating = Aggregating::new(sink, rules);
        aggregated = Some(aggregating.outputs());
        sink = Arc::new(aggregating);
    }
    {
        let (outputs, clock, stop) = (aggregated.clone(), Arc::clone(&clock), stop_workers.clone());
        let stop_forwarding = stop_forwarding.clone();
        workers.spawn(async move {
            match outputs {
                Some(outputs) => aggregation::run(outputs, clock, stop).await,
                None => stop.cancelled().await,
            }
            // What aggregation writes last is forwarded, too.
            stop_forwarding.cancel();
            Ok(())
        });
    }
    for queue in &forwarded {
        let (queue, stop) = (Arc::clone(queue), stop_forwarding.clone());
        workers.spawn(async move {
            forward::run(queue, stop).await;
            Ok(())
        });
    }
    let announcing = Some(announcer.clone());
    let server = statsd::Server::bind_announcing(&statsd, Arc::clone(&sink), Arc::clone(&clock), announcing)?;
    let statsd_address = server.udp_address();
    let statsd_observer = server.observer();
    let stopping = stop.clone();
    receivers.spawn(async move { server.run(stopping).await.context("StatsD") });
    let consuming =
        Consuming::new(datapoints, points_topics, &carbon, Arc::clone(&sink), Arc::clone(&clock), stop.clone())?;
    let topics_observer = consuming.observer();
    let points_bus = bus.clone();
    receivers.spawn(async move { consuming.run(points_bus).await.context("datapoints over topics") });
    let samples = Arc::new(remote_write::Intake::new(&remote_write_config, Arc::clone(&sink)));
    let server =
        carbon::Server::bind_announcing(&carbon, sink, Arc::clone(&clock), stop.clone(), Some(announcer.clone()))?;
    let carbon_address = server.line_address();
    let carbon_observer = server.observer();
    receivers.spawn(async move { server.run().await.context("Graphite in") });
    let listener = deployline_web::listen(web.listen).await?;
    let web_address = listener.local_addr()?;
    let bin_s = statsd.flush.as_secs() as i64;
    let settings = Settings { signals: signal, services: service, bin_s, ..Settings::default() };
    let live = Live::new(bus.clone(), series.clone(), catalog.clone(), Arc::clone(&clock), settings.clone());
    let stopping = stop_workers.clone();
    workers.spawn(async move { live.run(stopping).await.context("the correlator") });
    let notify = deployline_notify::NotifyConfig { channels: channel, routes: route };
    let notifier =
        Notifier::new(bus.clone(), catalog.clone(), settings.services.clone(), notify, web.base_url.clone())?;
    let stopping = stop_workers.clone();
    workers.spawn(async move { notifier.run(stopping).await.context("alerts") });
    {
        let (bus, catalog, changes, stop) = (bus.clone(), catalog.clone(), changes.clone(), stop_workers.clone());
        workers.spawn(async move { projector::run(bus, catalog, changes, stop).await.context("the catalog") });
    }
    {
        let (bus, stop) = (bus.clone(), stop_workers.clone());
        workers.spawn(async move {
            spool.drain(&bus, stop).await;
            Ok(())
        });
    }
    for topic in topic {
        let (bus, door, clock, stop) = (bus.clone(), door.clone(), Arc::clone(&clock), stop.clone());
        receivers.spawn(async move { topics::run(bus, door, topic, clock, stop).await.context("topics of others") });
    }
    for tail in tail {
        let (door, data, stop) = (door.clone(), data.clone(), stop.clone());
        receivers.spawn(async move {
            tail::run(tail, door, data, stop).await;
            Ok(())
        });
    }
    {
        let (door, stop) = (door.clone(), stop_workers.clone());
        workers.spawn(async move {
            announce::run(announced, door, stop).await;
            Ok(())
        });
    }
    workers.spawn(keep_store(store.clone(), Arc::clone(&clock), stop_workers.clone()));
    workers.spawn(keep_bus(bus.clone(), Arc::clone(&clock), stop_workers.clone()));
    let watched = Watched {
        door: door.clone(),
        store: series.clone(),
        remote_write: Arc::clone(&samples),
        statsd: statsd_observer,
        carbon: carbon_observer,
        topics: topics_observer,
        forwarded,
        aggregated,
    };
    if let Some(address) = statsd_address {
        let (watched, stop) = (watched.clone(), stop_workers.clone());
        workers.spawn(async move {
            watched.send(address, statsd.flush, stop).await;
            Ok(())
        });
    }
    let parts = Parts {
        config: web,
        store: series,
        catalog,
        bus: bus.clone(),
        door,
        remote_write: samples,
        changes,
        settings,
        clock,
        collectors: vec![Arc::new(move |exposition| watched.expose(exposition))],
    };
    let app = App::new(parts, stop_workers.clone());
    let stop_web = stop_workers.clone();
    workers.spawn(async move {
        deployline_web::serve(app, listener, stop_web).await;
        Ok(())
    });
    Ok(Running {
        web: web_address,
        statsd: statsd_address,
        carbon: carbon_address,
        receivers,
        workers,
        stop,
        stop_workers,
        drain,
        store,
        bus,
    })
}

async fn open_store(config: deployline_store::StoreConfig, clock: Clock) -> anyhow::Result<(Store, Catalog)> {
    let open = move || {
        let store = Store::open(&config, clock).context("cannot open the store")?;
        let catalog = Catalog::open(&config.dir).context("cannot open the catalog")?;
        anyhow::Ok((store, catalog))
    };
    tokio::task::spawn_blocking(open).await?
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.web)?;
        let metrics = [("StatsD", self.statsd), ("Graphite", self.carbon)];
        metrics
            .iter()
            .filter_map(|(name, address)| Some((name, (*address)?)))
            .try_for_each(|(name, address)| write!(f, ", {name} on {address}"))
    }
}

impl Running {
    /// Waits for the stop token, or for any part to end, then stops in the order of the data: receivers, their last flush,
    /// everything that works on it, the store.
    pub async fn join(mut self) -> anyhow::Result<()> {
        let unasked = || Err(anyhow!("a part of deployline ended by itself"));
        let mut outcome = tokio::select! {
            // First: parts end because of it, and may have done so before this is looked at.
            biased;
            () = self.stop.cancelled() => Ok(()),
            Some(ended) = self.receivers.join_next() => flatten(ended).and_then(|()| unasked()),
            Some(ended) = self.workers.join_next() => flatten(ended).and_then(|()| unasked()),
        };
        // One part ending, well or badly, tells the others to stop.
        self.stop.cancel();
        let drained = async {
            while let Some(ended) = self.receivers.join_next().await {
                outcome = std::mem::replace(&mut outcome, Ok(())).and(flatten(ended));
            }
            self.stop_workers.cancel();
            while let Some(ended) = self.workers.join_next().await {
                outcome = std::mem::replace(&mut outcome, Ok(())).and(flatten(ended));
            }
        };
        if tokio::time::timeout(self.drain, drained).await.is_err() {
            self.stop_workers.cancel();
            error!(n_left = self.receivers.len() + self.workers.len(), "stopping took too long, the rest is cut off");
        }
        self.receivers.shutdown().await;
        self.workers.shutdown().await;
        let store = self.store;
        tokio::task::spawn_blocking(move || store.flush()).await?.context("the store's last flush")?;
        self.bus.close().await.context("the bus")?;
        outcome
    }
}

fn flatten(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.context("a part of deployline panicked")?
}

/// Seals, compacts and forgets in the store, until `stop`.
async fn keep_store(store: Store, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(STORE_UPKEEP)).await.is_some() {
        let (store, now) = (store.clone(), clock());
        match tokio::task::spawn_blocking(move || store.maintain(now)).await? {
            Ok(_) => {}
            Err(error) => warn!(%error, "the store could not be kept, trying again"),
        }
    }
    Ok(())
}

/// Ends the retention of the bus's records, until `stop`.
async fn keep_bus(bus: Bus, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(BUS_UPKEEP)).await.is_some() {
        if let Err(error) = bus.retain(clock()).await {
            warn!(%error, "old records could not be removed from the bus, trying again");
        }
    }
    Ok(())
}

impl Config {
    /// Refuses to be reachable from other machines by what asks for no proof, unless `insecure` is said.
    ///
    /// The StatsD and Graphite ports may listen anywhere: their protocols know no proof, and clients are on other machines.
    pub fn check_exposure(&self, insecure: bool) -> anyhow::Result<()> {
        if insecure {
            return Ok(());
        }
        if self.web.is_exposed() {
            let listen = self.web.listen;
            if self.web.tokens.is_empty() {
                bail!(
                    "web.listen {listen} is reachable from other machines and no token is configured: add tokens = \
                     [\"env:NAME\"] under [web], listen on 127.0.0.1, or say --insecure"
                );
            }
            if let Some(hook) = self.hook.iter().find(|hook| hook.secret.is_empty()) {
                bail!(
                    "web.listen {listen} is reachable from other machines and the hook `{}` has no secret: add secret = \
                     \"env:NAME\" to it, listen on 127.0.0.1, or say --insecure",
                    hook.path()
                );
            }
        }
        match self.statsd.admin.0 {
            Some(admin) if !admin.ip().is_loopback() => bail!(
                "statsd.admin {admin} is reachable from other machines and takes orders from anyone: let it listen on \
                 127.0.0.1, switch it off with \"off\", or say --insecure"
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, refused: Option<&str>) {
        let config: Config = toml::from_str(toml).unwrap();
        match (config.check_exposure(false), refused) {
            (Ok(()), None) => {}
            (Err(error), Some(word)) => assert!(error.to_string().contains(word), "{error}"),
            (outcome, _) => panic!("{toml}: {outcome:?}"),
        }
        config.check_exposure(true).unwrap();
    }

    #[test]
    fn what_asks_for_no_proof_stays_on_loopback_unless_insecure_is_said() {
        check("", None);
        check("[web]\nlisten = \"0.0.0.0:8128\"", Some("no token"));
        check("[web]\nlisten = \"0.0.0.0:8128\"\ntokens = [\"t\"]", None);
        let exposed = "[web]\nlisten = \"0.0.0.0:8128\"\ntokens = [\"t\"]\n[[hook]]\nsource = \"github\"\n";
        check(exposed, Some("the hook `github` has no secret"));
        check(&format!("{exposed}secret = \"s\""), None);
        check("[statsd]\nadmin = \"0.0.0.0:8126\"", Some("statsd.admin"));
        check("[statsd]\nudp = \"0.0.0.0:8125\"", None);
    }
}
