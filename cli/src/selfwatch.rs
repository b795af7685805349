//! Deployline's own counters: sent to its own StatsD port through the usual client, and those of the receivers, which
//! `web` knows nothing of, served at `/metrics` beside its own.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use deployline_ingest::{aggregation, carbon, door::Door, forward, remote_write, statsd};
use deployline_store::Federation;
use deployline_web::exposition::Exposition;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What the names of the series begin with.
const PREFIX: &str = "deployline";

/// What is counted.
#[derive(Clone)]
pub struct Watched {
    pub door: Door,
    pub store: Federation,
    pub remote_write: Arc<remote_write::Intake>,
    pub statsd: statsd::server::Observer,
    pub carbon: carbon::server::Observer,
    /// What comes over topics.
    pub topics: carbon::server::Observer,
    pub forwarded: Vec<Arc<forward::Queue>>,
    pub aggregated: Option<Arc<aggregation::Outputs>>,
}

/// One figure, without a label where it has no siblings: its name, what it is, what tells it from its siblings, and its value now.
struct Figure {
    name: &'static str,
    help: &'static str,
    labels: Vec<(&'static str, String)>,
    value: u64,
    is_total: bool,
}

impl Watched {
    /// Writes the receivers' figures in Prometheus' text format.
    pub fn expose(&self, exposition: &mut Exposition) {
        for figure in self.receivers() {
            let labels: Vec<_> = figure.labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
            let name = format!("{PREFIX}_{}", figure.name);
            if figure.is_total {
                exposition.counter(&format!("{name}_total"), figure.help, &labels, figure.value);
            } else {
                exposition.gauge(&name, figure.help, &labels, figure.value as f64);
            }
        }
    }

    /// Sends every figure to `address` each `interval`, until `stop`: totals as counters, by how much they grew.
    pub async fn send(self, address: SocketAddr, interval: Duration, stop: CancellationToken) {
        let client = match ::statsd::client::Client::new(address, PREFIX) {
            Ok(client) => client,
            Err(error) => {
                warn!(%error, "own counters can not be sent");
                return stop.cancelled().await;
            }
        };
        let mut sent: HashMap<String, u64> = HashMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            let mut pipeline = client.pipeline();
            for figure in self.door_and_store().into_iter().chain(self.receivers()) {
                let parts = figure.labels.iter().map(|(_, value)| value.replace('.', "_"));
                let name = std::iter::once(figure.name.to_owned()).chain(parts).collect::<Vec<_>>().join(".");
                if figure.is_total {
                    let before = sent.insert(name.clone(), figure.value).unwrap_or(0);
                    pipeline.count(&name, figure.value.saturating_sub(before) as f64);
                } else {
                    pipeline.gauge(&name, figure.value as f64);
                }
            }
            pipeline.send(&client);
        }
    }

    fn door_and_store(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (source, tally) in self.door.counters().snapshot() {
            let outcomes = [
                ("accepted", tally.accepted),
                ("ignored", tally.ignored),
                ("unavailable", tally.unavailable),
                ("spooled", tally.spooled),
                ("quarantined", tally.quarantined),
            ];
            for (outcome, n_requests) in outcomes.into_iter().chain(tally.refused) {
                let labels = vec![("source", source.clone()), ("outcome", outcome.to_owned())];
                figures
                    .push(Figure { labels, ..Figure::total("hook_requests", "Hook requests by outcome.", n_requests) });
            }
        }
        let store = self.store.stats();
        figures.extend([
            Figure::level("store_series", "Series names known.", store.n_series as u64),
            Figure::level("store_memory_bytes", "Bytes of datapoints in memory.", store.memory_bytes as u64),
            Figure::level("store_wal_bytes", "Bytes of write-ahead log.", store.wal_bytes),
            Figure::level("store_block_bytes", "Bytes of blocks on disk.", store.block_bytes),
            Figure::total("store_points", "Datapoints made durable.", store.n_appended),
            Figure::total("store_refused_series", "New names refused for max_series.", store.n_refused_series),
            Figure::total("store_damaged_files", "Damaged files set aside.", store.n_corrupt),
        ]);
        figures
    }

    fn receivers(&self) -> Vec<Figure> {
        let (statsd, carbon, topics) = (self.statsd.stats(), self.carbon.stats(), self.topics.stats());
        let relayed = self.statsd.relays().into_iter().flat_map(|(to, stats)| {
            [
                Figure::total("statsd_relayed_packets", "StatsD packets relayed.", stats.n_sent).of("to", &to),
                Figure::total("statsd_relay_drops", "StatsD packets not relayed.", stats.n_dropped).of("to", &to),
            ]
        });
        let forwarded = self.forwarded.iter().flat_map(|queue| {
            let (to, stats) = (queue.target(), queue.stats());
            [
                Figure::total("forward_points", "Datapoints forwarded.", stats.n_sent).of("to", to),
                Figure::total("forward_drops", "Datapoints that a target did not get.", stats.n_dropped).of("to", to),
                Figure::total("forward_failures", "Connections to a target that failed.", stats.n_failures)
                    .of("to", to),
                Figure::level("forward_waiting", "Datapoints that wait for a target.", stats.n_waiting as u64)
                    .of("to", to),
            ]
        });
        let samples = self.remote_write.stats();
        let mut figures = vec![
            Figure::total("statsd_packets", "StatsD packets taken.", statsd.tally.n_packets),
            Figure::total("statsd_metrics", "StatsD metrics taken.", statsd.tally.n_metrics),
            Figure::total("statsd_bad_lines", "StatsD lines refused.", statsd.tally.n_bad.iter().sum()),
            Figure::total("statsd_refused_names", "StatsD names refused.", statsd.tally.n_refused_names),
            Figure::total("statsd_kernel_drops", "Packets that the kernel dropped.", statsd.n_kernel_drops),
            Figure::total("statsd_lost_points", "Datapoints lost, the store being away.", statsd.n_lost_points),
            Figure::level("statsd_names", "StatsD names known.", statsd.n_names as u64),
            Figure::total("remote_write_points", "Prometheus samples taken.", samples.n_points),
            Figure::total("remote_write_refused", "Prometheus samples refused.", samples.n_refused),
            Figure::total("remote_write_bad_requests", "Remote writes refused as a whole.", samples.n_bad_requests),
            Figure::total("topic_points", "Datapoints taken from topics.", topics.n_points),
            Figure::total("topic_bad_lines", "Lines on topics refused.", topics.n_bad.iter().sum()),
            Figure::total("carbon_points", "Graphite datapoints taken.", carbon.n_points),
            Figure::total("carbon_bad_lines", "Graphite lines refused.", carbon.n_bad.iter().sum()),
            Figure::total(
                "carbon_lost_points",
                "Graphite datapoints lost, the store being away.",
                carbon.n_lost_points,
            ),
            Figure::total("carbon_filtered", "Graphite datapoints kept out by name.", carbon.n_filtered),
            Figure::total("carbon_refused_connections", "Graphite connections refused.", carbon.n_refused_connections),
        ];
        let mut onward: Vec<Figure> = relayed.chain(forwarded).collect();
        for source in self.store.source_stats() {
            let of = |figure: Figure| figure.of("url", &source.url);
            onward.push(of(Figure::total("source_requests", "Requests to a source.", source.n_requests)));
            onward.push(of(Figure::total("source_failures", "Requests to a source that failed.", source.n_failures)));
            onward.push(of(Figure::total(
                "source_passed_over",
                "Names past a source's max_series.",
                source.n_passed_over,
            )));
            onward.push(of(Figure::level("source_series", "Names known of a source.", source.n_series as u64)));
        }
        if let Some(stats) = self.aggregated.as_ref().map(|outputs| outputs.stats()) {
            onward.push(Figure::level("aggregation_outputs", "Outputs of aggregation rules.", stats.n_outputs as u64));
            onward.push(Figure::total("aggregation_passed_over", "Outputs past the limit.", stats.n_passed_over));
            onward.push(Figure::total(
                "aggregation_late_points",
                "Datapoints too late to be aggregated.",
                stats.n_late,
            ));
        }
        // Figures of one name stand together.
        onward.sort_by_key(|figure| figure.name);
        figures.extend(onward);
        figures
    }
}

impl Figure {
    /// A count since the start.
    fn total(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, labels: Vec::new(), value, is_total: true }
    }

    /// The same, told from its siblings by a label.
    fn of(self, label: &'static str, value: &str) -> Self {
        Self { labels: vec![(label, value.to_owned())], ..self }
    }

    /// A level now.
    fn level(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { is_total: false, ..Self::total(name, help, value) }
    }
}
