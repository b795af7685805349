//! What every request can reach.

use std::sync::Arc;

use deployline_bus::Bus;
use deployline_correlate::Settings;
use deployline_ingest::{door::Door, projector::Change, remote_write};
use deployline_schemas::time::Clock;
use deployline_store::{Catalog, Federation};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::{
    config::WebConfig,
    csrf::Csrf,
    exposition::{Exposition, Requests},
};

/// Most requests that are held until there is an answer; further ones are answered at once.
const MAX_WAITS: usize = 128;

/// Adds somebody's counters to `/metrics`.
pub type Collector = Arc<dyn Fn(&mut Exposition) + Send + Sync>;

/// The parts that the web serves from; made by whoever composes the process.
pub struct Parts {
    /// The `[web]` section.
    pub config: WebConfig,
    /// The series, ours and those of other servers.
    pub store: Federation,
    /// Deploys and incidents.
    pub catalog: Catalog,
    /// For `/readyz`.
    pub bus: Bus,
    /// Takes hooks and deploys in.
    pub door: Door,
    /// Takes Prometheus' samples in.
    pub remote_write: Arc<remote_write::Intake>,
    /// What the projector has applied, for `/api/v1/stream`.
    pub changes: broadcast::Sender<Change>,
    /// What series mean, who calls whom, and how the correlator judges.
    pub settings: Settings,
    /// What time it is.
    pub clock: Clock,
    /// Counters of other parts for `/metrics`.
    pub collectors: Vec<Collector>,
}

/// The web application. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts, and the bounds on what goes on at once.
#[doc(hidden)]
pub struct Inner {
    pub parts: Parts,
    pub bodies: Arc<Semaphore>,
    pub drawings: Arc<Semaphore>,
    pub evaluations: Arc<Semaphore>,
    pub streams: Arc<Semaphore>,
    /// Requests that are held until there is an answer.
    pub waits: Arc<Semaphore>,
    /// Proves that forms are ours.
    pub csrf: Csrf,
    pub requests: Requests,
    /// Ends the streams; a child of the server's token once it runs.
    pub stop: CancellationToken,
}

impl App {
    /// The application over its parts. `stop` ends its open streams.
    pub fn new(parts: Parts, stop: CancellationToken) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner {
            bodies: crate::body::room(),
            drawings: semaphore(parts.config.max_drawings),
            evaluations: semaphore(parts.config.max_queries),
            streams: semaphore(parts.config.max_streams),
            waits: semaphore(MAX_WAITS),
            csrf: Csrf::new(),
            requests: Requests::default(),
            parts,
            stop,
        }))
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
