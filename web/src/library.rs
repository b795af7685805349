//! What pages, API and graphs read: store and catalog, put together.
//!
//! Every method blocks for milliseconds; handlers call them through [`blocking`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deployline_correlate::{commits, learned::Learned};
use deployline_notify::alert;
use deployline_render::{Line, graphite::Limits};
use deployline_schemas::{
    Annotation, Deploy, Incident, Silence, UnixMillis,
    blame::Suspect,
    incident::MovedSignal,
    signal::{Services, Signal},
};
use deployline_store::{
    Catalog, Federation, StoreError,
    catalog::{AnnotationQuery, DeployQuery, IncidentQuery, MAX_PAGE, Page, SilenceQuery},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::http::StatusCode;

use crate::{
    annotation::Shown,
    app::App,
    error::WebError,
    page::{DeployRow, SuspectRow},
    series::{Drawn, quotient},
    verdict::{DeployVerdict, Word},
};

/// How long before an incident opened its suspects can have been deployed: the correlator looks back no further.
const LONGEST_REACH_MS: i64 = 86_400_000;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A view of store and catalog for one request.
#[derive(Clone)]
pub struct Library {
    store: Federation,
    catalog: Catalog,
    /// What series mean.
    pub signals: Vec<Signal>,
    /// Who calls whom.
    pub services: Services,
    /// What one request's targets may cost.
    pub limits: Limits,
    /// The moment of the request.
    pub now: UnixMillis,
}

/// Runs `work` on a thread that may block, with the library of this moment.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Library) -> Result<T, WebError> + Send + 'static,
) -> Result<T, WebError> {
    let library = Library::new(app);
    let joined = tokio::task::spawn_blocking(move || work(&library)).await;
    joined.map_err(|panic| WebError::internal("finish a request", panic))?
}

/// Waits for one of the turns that a semaphore has; the work keeps it until it is done.
///
/// # Errors
/// 503 with `code` and `message` after five seconds.
pub async fn in_turn(
    turns: &Arc<Semaphore>,
    code: &'static str,
    message: &'static str,
) -> Result<OwnedSemaphorePermit, WebError> {
    match tokio::time::timeout(PATIENCE, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(WebError::Busy {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code,
            message,
            retry_after: PATIENCE,
            source: None,
        }),
    }
}

fn reading(error: StoreError) -> WebError {
    WebError::store("read the catalog", error)
}

impl Library {
    /// The library at this moment.
    pub fn new(app: &App) -> Self {
        let parts = &app.parts;
        Self {
            store: parts.store.clone(),
            catalog: parts.catalog.clone(),
            signals: parts.settings.signals.clone(),
            services: parts.settings.services.clone(),
            limits: Limits { series: parts.config.max_query_series, datapoints: parts.config.max_query_datapoints },
            now: (parts.clock)(),
        }
    }

    /// The store of series.
    pub fn store(&self) -> &Federation {
        &self.store
    }

    /// One deploy.
    ///
    /// # Errors
    /// [`WebError::NotFound`], or a failed read.
    pub fn deploy(&self, id: &str) -> Result<Deploy, WebError> {
        let deploy = self.catalog.deploy(id).map_err(reading)?;
        deploy.ok_or_else(|| WebError::NotFound { what: "deploy", id: id.to_owned() })
    }

    /// One incident.
    ///
    /// # Errors
    /// [`WebError::NotFound`], or a failed read.
    pub fn incident(&self, id: &str) -> Result<Incident, WebError> {
        let incident = self.catalog.incident(id).map_err(reading)?;
        incident.ok_or_else(|| WebError::NotFound { what: "incident", id: id.to_owned() })
    }

    /// What the correlator has learned from the shop's verdicts.
    ///
    /// # Errors
    /// A failed read.
    pub fn learned(&self) -> Result<Option<Learned>, WebError> {
        deployline_correlate::live::learned(&self.catalog).map_err(reading)
    }

    /// One silence.
    ///
    /// # Errors
    /// [`WebError::NotFound`], or a failed read.
    pub fn silence(&self, id: &str) -> Result<Silence, WebError> {
        let silence = self.catalog.silence(id).map_err(reading)?;
        silence.ok_or_else(|| WebError::NotFound { what: "silence", id: id.to_owned() })
    }

    /// A page of silences.
    ///
    /// # Errors
    /// A cursor that no page gave, or a failed read.
    pub fn silences(&self, query: &SilenceQuery) -> Result<Page<Silence>, WebError> {
        self.catalog.silences(query).map_err(reading)
    }

    /// The silence that keeps an incident from being told at this moment, the one that holds longest.
    ///
    /// # Errors
    /// A failed read.
    pub fn silenced(&self, incident: &Incident) -> Result<Option<Silence>, WebError> {
        let holding = self.catalog.silences_at(self.now).map_err(reading)?;
        Ok(holding.into_iter().filter(|silence| silence.fits(incident)).max_by_key(|silence| silence.until))
    }

    /// A page of deploys.
    ///
    /// # Errors
    /// A cursor that no page gave, or a failed read.
    pub fn deploys(&self, query: &DeployQuery) -> Result<Page<Deploy>, WebError> {
        self.catalog.deploys(query).map_err(reading)
    }

    /// A page of incidents.
    ///
    /// # Errors
    /// A cursor that no page gave, or a failed read.
    pub fn incidents(&self, query: &IncidentQuery) -> Result<Page<Incident>, WebError> {
        self.catalog.incidents(query).map_err(reading)
    }

    /// The annotation of a number, a deleted one too; a deploy's as it would stand by itself.
    ///
    /// # Errors
    /// A failed read.
    pub fn annotation(&self, number: u64) -> Result<Option<Annotation>, WebError> {
        if let Some(known) = self.catalog.annotation(number).map_err(reading)? {
            return Ok(Some(known));
        }
        let is_wanted = |id: &str| deployline_schemas::annotation::number(id) == number;
        let Some(id) = self.catalog.find_deploy_id(is_wanted).map_err(reading)? else { return Ok(None) };
        let rows = self.judged(vec![self.deploy(&id)?])?;
        Ok(rows.first().map(|row| Shown::of_deploy(row).by_itself()))
    }

    /// A page of annotations, without the deploys'.
    ///
    /// # Errors
    /// A cursor that no page gave, or a failed read.
    pub fn annotations(&self, query: &AnnotationQuery) -> Result<Page<Annotation>, WebError> {
        self.catalog.annotations(query).map_err(reading)
    }

    /// For each deploy whether what is shown of it has been edited.
    ///
    /// # Errors
    /// A failed read.
    pub fn are_annotated(&self, deploys: &[Deploy]) -> Result<Vec<bool>, WebError> {
        self.catalog.are_annotated(deploys.iter().map(|deploy| deploy.id.as_str())).map_err(reading)
    }

    /// The last `limit` deploys that overlap a window, latest first, page by page.
    ///
    /// # Errors
    /// A failed read.
    pub fn deploys_between(&self, from: UnixMillis, until: UnixMillis, limit: usize) -> Result<Vec<Deploy>, WebError> {
        let mut query = DeployQuery { from: Some(from), until: Some(until), limit, ..DeployQuery::default() };
        let mut deploys = Vec::new();
        loop {
            query.limit = (limit - deploys.len()).min(MAX_PAGE);
            let page = self.deploys(&query)?;
            deploys.extend(page.items);
            match page.next {
                Some(cursor) if deploys.len() < limit => query.cursor = Some(cursor),
                _ => return Ok(deploys),
            }
        }
    }

    /// The last thousand incidents that overlap a window, latest first. An incident is opened only after it began, so the
    /// upper end is taken generously.
    ///
    /// # Errors
    /// A failed read.
    pub fn incidents_between(&self, from: UnixMillis, until: UnixMillis) -> Result<Vec<Incident>, WebError> {
        let until = UnixMillis(until.0.saturating_add(LONGEST_REACH_MS));
        let query = IncidentQuery { from: Some(from), until: Some(until), limit: MAX_PAGE, ..IncidentQuery::default() };
        self.incidents(&query).map(|page| page.items)
    }

    /// Deploys with their verdicts, in the same order. Looks at the incidents from the earliest of them on.
    ///
    /// # Errors
    /// A failed read.
    pub fn judged(&self, deploys: Vec<Deploy>) -> Result<Vec<DeployRow>, WebError> {
        let (Some(first), Some(last)) =
            (deploys.iter().map(|d| d.started_at).min(), deploys.iter().map(|d| d.exposed_at()).max())
        else {
            return Ok(Vec::new());
        };
        let incidents = self.incidents_between(first, last)?;
        let mut judgeable: BTreeMap<String, bool> = BTreeMap::new();
        let row = |deploy: Deploy| {
            let mut verdict = DeployVerdict::new(&deploy, &incidents, self.now);
            let mut has_signals =
                || *judgeable.entry(deploy.service.clone()).or_insert_with(|| self.has_signals(&deploy.service));
            if verdict.word == Word::Clear && !has_signals() {
                verdict.word = Word::NothingToJudge;
            }
            DeployRow { verdict, deploy }
        };
        Ok(deploys.into_iter().map(row).collect())
    }

    /// Suspects with the deploys behind them, and the commits in these, ranked by what moved.
    ///
    /// # Errors
    /// A failed read.
    pub fn suspects(&self, suspects: &[Suspect], moved: &[MovedSignal]) -> Result<Vec<SuspectRow>, WebError> {
        let row = |suspect: &Suspect| {
            let deploy = suspect.deploy_id.as_deref().map(|id| self.catalog.deploy(id)).transpose().map_err(reading)?;
            let deploy = deploy.flatten();
            let commits = deploy.as_ref().map(|deploy| commits::rank(deploy, moved)).unwrap_or_default();
            Ok(SuspectRow { suspect: suspect.clone(), deploy, commits })
        };
        suspects.iter().map(row).collect()
    }

    /// The deploy that is suspected most, where one is and the catalog has it.
    ///
    /// # Errors
    /// A failed read.
    pub fn leading(&self, incident: &Incident) -> Result<Option<Deploy>, WebError> {
        let id = incident.leading_suspect().and_then(|suspect| suspect.deploy_id.as_deref());
        Ok(id.map(|id| self.catalog.deploy(id)).transpose().map_err(reading)?.flatten())
    }

    /// Every deploy that an alert about `incident` names.
    ///
    /// # Errors
    /// A failed read.
    pub fn named(&self, incident: &Incident) -> Result<BTreeMap<String, Deploy>, WebError> {
        let deploys = alert::deploy_ids(incident).into_iter().filter_map(|id| self.catalog.deploy(&id).transpose());
        deploys.map(|deploy| deploy.map(|deploy| (deploy.id.clone(), deploy)).map_err(reading)).collect()
    }

    /// The lines of a plain name or a glob, at most `limit`, in order of names.
    pub fn target(&self, target: &str, limit: usize) -> Vec<Drawn> {
        if let Some(name) =
            deployline_schemas::series::canonical(target).ok().filter(|name| self.store.lookup(name).is_some())
        {
            return vec![Drawn::plain(&name, &self.signals)];
        }
        self.store.matching(target).iter().take(limit).map(|(_, name)| Drawn::plain(name, &self.signals)).collect()
    }

    /// The lines of a service's signal: one for each configured pattern of that name which has a series.
    pub fn signal(&self, name: &str, service: &str) -> Vec<Drawn> {
        let named = self.signals.iter().filter(|signal| signal.name == name);
        named.flat_map(|signal| self.lines_of(signal, service)).collect()
    }

    /// The lines of one signal of one service; several where its pattern has a `*`.
    pub fn lines_of(&self, signal: &Signal, service: &str) -> Vec<Drawn> {
        let pattern = signal.series_of(service);
        if !pattern.contains('*') {
            let per = signal.per_of(service);
            let known = self.store.lookup(&pattern).is_some();
            return known.then(|| Drawn::of_signal(signal, service, &pattern, per)).into_iter().collect();
        }
        // A denominator with a `*` of its own cannot be paired; such a signal is drawn by its numerators.
        let per = signal.per_of(service).filter(|per| !per.contains('*'));
        let matching = self.store.matching(&pattern);
        matching.iter().map(|(_, series)| Drawn::of_signal(signal, service, series, per.clone())).collect()
    }

    /// The datapoints of a line within a window.
    ///
    /// # Errors
    /// A failed read.
    pub fn line(&self, drawn: &Drawn, window: (UnixMillis, UnixMillis)) -> Result<Line, WebError> {
        // Stamps are ends of intervals: the one that ends with the window belongs to it.
        let (from_s, until_s) = (window.0.as_secs(), window.1.as_secs().saturating_add(1));
        let read = |name: &str| match self.store.lookup(name) {
            Some(series) => {
                self.store.read(series, from_s, until_s).map_err(|error| WebError::store("read a series", error))
            }
            None => Ok(deployline_store::Columns::default()),
        };
        let columns = read(&drawn.series)?;
        let (timestamps_s, values) = match &drawn.per {
            Some(per) => quotient(&columns, &read(per)?),
            None => (columns.timestamps, columns.values),
        };
        Ok(Line { label: drawn.label.clone(), timestamps_s, values, ..Line::default() })
    }

    /// Whether any signal of a service has a series, or a denominator that shows that its sender lives.
    fn has_signals(&self, service: &str) -> bool {
        let patterns = self.signals.iter().flat_map(|signal| [Some(signal.series_of(service)), signal.per_of(service)]);
        patterns.flatten().any(|pattern| match pattern.contains('*') {
            true => !self.store.matching(&pattern).is_empty(),
            false => self.store.lookup(&pattern).is_some(),
        })
    }

    /// The names of the first signals of a service that have a series, each once, in the order of the configuration.
    pub fn signals_of(&self, service: &str, limit: usize) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for signal in &self.signals {
            if names.len() < limit && !names.contains(&signal.name) && !self.lines_of(signal, service).is_empty() {
                names.push(signal.name.clone());
            }
        }
        names
    }
}
