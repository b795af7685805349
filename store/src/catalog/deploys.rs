//! Deploys in the catalog.

use deployline_schemas::{
    deploy::{Deploy, Kind},
    time::UnixMillis,
};
use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};

use super::{
    Batch, Catalog, During, from_json,
    page::{Cursor, Page, clamp, page},
    to_json, word,
};
use crate::error::StoreError;

/// A deploy without an end is taken to have lasted no longer: many sources tell of the start only.
const LONGEST_OPEN_MS: i64 = 86_400_000;

/// All kinds: a list without a kind merges a stretch of each.
const KINDS: [Kind; 6] = [Kind::Deploy, Kind::Rollback, Kind::Config, Kind::Flag, Kind::Migration, Kind::Infra];

/// What an event did to the catalog.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The deploy was not known.
    New(Deploy),
    /// The deploy was known and is now this.
    Changed(Deploy),
    /// Nothing new was told.
    Same,
}

/// Which deploys to list. The default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only to this environment.
    pub environment: Option<String>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only those that were still going on at this moment or began later.
    pub from: Option<UnixMillis>,
    /// Only those that began before this moment.
    pub until: Option<UnixMillis>,
    /// Where the last page ended, from [`Page::next`].
    pub cursor: Option<String>,
    /// Rows of the page, `1..=`[`MAX_PAGE`](super::MAX_PAGE).
    pub limit: usize,
}

const SELECT: &str = "SELECT body FROM deploys WHERE id = ?1";

const INSERT: &str = "
    INSERT INTO deploys (id, service, environment, kind, status, version, started_at, exposed_at, ended_at, finished_at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT DO NOTHING";

const UPDATE: &str = "
    UPDATE deploys SET
        service = ?2, environment = ?3, kind = ?4, status = ?5, version = ?6, started_at = ?7,
        exposed_at = ?8, ended_at = ?9, finished_at = ?10, body = ?11
    WHERE id = ?1";

const PREVIOUS: &str = "
    SELECT body FROM deploys
    WHERE service = ?1 AND environment = ?2 AND started_at < ?3 AND id <> ?4
        AND status = 'succeeded' AND version IS NOT NULL AND kind IN ('deploy', 'rollback')
    ORDER BY started_at DESC, rowid DESC LIMIT 1";

impl Catalog {
    /// Adds what an event told of a deploy. See [`Deploy::absorb`]: the order of arrival and repeats do not matter.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing has changed.
    pub fn apply_deploy(&self, deploy: &Deploy) -> Result<Applied, StoreError> {
        let mut applied = self.apply_deploys(std::slice::from_ref(deploy))?;
        Ok(applied.pop().unwrap_or(Applied::Same))
    }

    /// Adds what a batch of events told, in one transaction and with one fsync. One answer for each, in order.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing of the batch has changed anything.
    pub fn apply_deploys(&self, deploys: &[Deploy]) -> Result<Vec<Applied>, StoreError> {
        self.batch(|batch| deploys.iter().map(|deploy| batch.apply_deploy(deploy)).collect())
    }

    /// The deploy with this id.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn deploy(&self, id: &str) -> Result<Option<Deploy>, StoreError> {
        one(&self.reader(), SELECT, params![id])
    }

    /// The deploys that a query asks for, latest start first.
    ///
    /// A deploy is an interval: `from` also finds those that began before and went on. One without an end counts
    /// as going on for a day.
    ///
    /// # Errors
    /// [`StoreError::Query`] for a cursor that no page gave, [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn deploys(&self, query: &DeployQuery) -> Result<Page<Deploy>, StoreError> {
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let limit = clamp(query.limit);
        let reader = self.reader();
        let mut items = list(&reader, query, &cursor, limit + 1, Past::Recent)?;
        if query.from.is_some() && items.len() <= limit {
            items.extend(list(&reader, query, &cursor, limit + 1 - items.len(), Past::Lasting)?);
        }
        Ok(page(items, limit, |deploy| Cursor { at: deploy.started_at, id: deploy.id.clone() }))
    }

    /// The last deploy of the same service and environment that succeeded with a version and began before this one:
    /// what it replaced, and where a rollback would lead.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn previous_deploy(&self, deploy: &Deploy) -> Result<Option<Deploy>, StoreError> {
        previous(&self.reader(), deploy)
    }

    /// The revision that a deploy replaced: as its events said, else from [`Catalog::previous_deploy`].
    ///
    /// # Errors
    /// As there.
    pub fn previous_version(&self, deploy: &Deploy) -> Result<Option<String>, StoreError> {
        previous_version(&self.reader(), deploy)
    }

    /// The names of all services that ever deployed, in order.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn services(&self) -> Result<Vec<String>, StoreError> {
        // Jumps from name to name along the index, where DISTINCT would walk every deploy.
        const NEXT: &str = "SELECT min(service) FROM deploys INDEXED BY deploys_by_service WHERE service > ?1";
        let reader = self.reader();
        let mut services: Vec<String> = Vec::new();
        let mut next = reader.prepare_cached(NEXT).during("list services")?;
        loop {
            let last = services.last().map_or("", String::as_str);
            match next.query_row([last], |row| row.get(0)).during("list services")? {
                Some(service) => services.push(service),
                None => return Ok(services),
            }
        }
    }
}

impl Batch<'_> {
    /// As [`Catalog::apply_deploy`].
    ///
    /// # Errors
    /// As there.
    pub fn apply_deploy(&self, deploy: &Deploy) -> Result<Applied, StoreError> {
        apply(self, deploy)
    }

    /// As [`Catalog::deploy`].
    ///
    /// # Errors
    /// As there.
    pub fn deploy(&self, id: &str) -> Result<Option<Deploy>, StoreError> {
        one(self.transaction, SELECT, params![id])
    }
}

/// Which deploys an overlap looks at: with a lower bound on the start, or those that lasted past it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Past {
    /// Began at most a day before `from`.
    Recent,
    /// Began earlier and lasted longer than a day.
    Lasting,
}

/// One stretch of the list.
fn list(
    reader: &Connection,
    query: &DeployQuery,
    cursor: &Cursor,
    limit: usize,
    past: Past,
) -> Result<Vec<Deploy>, StoreError> {
    let from = query.from.map_or(i64::MIN, |from| from.0);
    let kind = query.kind.as_ref().map(word);
    let until = query.until.map_or(i64::MAX, |until| until.0);
    let (bound, limit) = (from.saturating_sub(LONGEST_OPEN_MS), limit as i64);
    let mut parameters: Vec<(&str, &dyn rusqlite::ToSql)> = named_params! {
        ":bound": bound, ":until": until, ":from": from, ":cursor_at": cursor.at.0, ":cursor_id": cursor.id, ":limit": limit,
    }
    .to_vec();
    for (name, value) in [(":service", &query.service), (":environment", &query.environment), (":kind", &kind)] {
        if let Some(value) = value {
            parameters.push((name, value));
        }
    }
    let mut statement = reader.prepare_cached(&list_sql(query, past)).during("list deploys")?;
    let bodies = statement.query_map(&parameters[..], |row| row.get::<_, String>(0)).during("list deploys")?;
    bodies.map(|body| from_json("a deploy", &body.during("list deploys")?)).collect()
}

/// The statement for the filters that are set.
///
/// Kinds are few and known: without one asked for, SQLite merges one stretch of each kind, as far as the page goes. So
/// every index begins with exactly what is asked for, and no page walks over what it does not show. The index is named,
/// because the planner knows nothing of how rare a kind is. Bodies are looked up for the rows of the page alone.
pub(super) fn list_sql(query: &DeployQuery, past: Past) -> String {
    let index = match (past, &query.service, &query.environment) {
        (Past::Lasting, ..) => "deploys_that_lasted",
        (Past::Recent, Some(_), Some(_)) => "deploys_by_place",
        (Past::Recent, Some(_), None) => "deploys_by_service",
        (Past::Recent, None, Some(_)) => "deploys_by_environment",
        (Past::Recent, None, None) => "deploys_by_kind",
    };
    let bounds = match past {
        Past::Recent => "started_at >= :bound",
        Past::Lasting => "started_at < :bound AND ended_at - started_at > 86400000",
    };
    let filter = |column: &str, is_set: bool| if is_set { format!(" AND {column} = :{column}") } else { String::new() };
    let filters = filter("service", query.service.is_some()) + &filter("environment", query.environment.is_some());
    let stretch = |kind: &str| {
        format!(
            "SELECT started_at AS at, id, rowid AS place FROM deploys INDEXED BY {index}
             WHERE {bounds} AND started_at < :until AND ended_at >= :from AND (started_at, id) < (:cursor_at, :cursor_id)
                {filters}{kind}"
        )
    };
    let stretches = match (past, query.kind) {
        (_, Some(_)) => stretch(" AND kind = :kind"),
        (Past::Lasting, None) => stretch(""),
        (Past::Recent, None) => {
            KINDS.map(|kind| stretch(&format!(" AND kind = '{}'", word(&kind)))).join("\nUNION ALL\n")
        }
    };
    format!(
        "SELECT body FROM ({stretches} ORDER BY at DESC, id DESC LIMIT :limit) AS page
         CROSS JOIN deploys ON deploys.rowid = place ORDER BY page.at DESC, page.id DESC"
    )
}

fn one(reader: &Connection, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Option<Deploy>, StoreError> {
    let mut statement = reader.prepare_cached(sql).during("read a deploy")?;
    let body: Option<String> = statement.query_row(parameters, |row| row.get(0)).optional().during("read a deploy")?;
    body.map(|body| from_json("a deploy", &body)).transpose()
}

pub(super) fn previous(connection: &Connection, deploy: &Deploy) -> Result<Option<Deploy>, StoreError> {
    one(connection, PREVIOUS, params![deploy.service, deploy.environment, deploy.started_at.0, deploy.id])
}

pub(super) fn previous_version(connection: &Connection, deploy: &Deploy) -> Result<Option<String>, StoreError> {
    match &deploy.previous_version {
        Some(version) => Ok(Some(version.clone())),
        None => Ok(previous(connection, deploy)?.and_then(|previous| previous.version)),
    }
}

/// Most events are of deploys that are not known: those are added without a look first.
fn apply(batch: &Batch<'_>, event: &Deploy) -> Result<Applied, StoreError> {
    if write(batch.transaction, INSERT, event)? {
        batch.recent.borrow_mut().added(event);
        return Ok(Applied::New(event.clone()));
    }
    let Some(known) = batch.deploy(&event.id)? else { return Ok(Applied::Same) };
    let mut deploy = known.clone();
    if !deploy.absorb(event) {
        return Ok(Applied::Same);
    }
    write(batch.transaction, UPDATE, &deploy)?;
    batch.recent.borrow_mut().changed(&known, &deploy);
    Ok(Applied::Changed(deploy))
}

/// Writes a deploy's row with one of two statements; returns whether that changed anything.
fn write(transaction: &Transaction<'_>, sql: &str, deploy: &Deploy) -> Result<bool, StoreError> {
    let mut statement = transaction.prepare_cached(sql).during("apply deploys")?;
    let n_changed = statement.execute(params![
        deploy.id,
        deploy.service,
        deploy.environment,
        deploy.kind.word(),
        word(&deploy.status),
        deploy.version,
        deploy.started_at.0,
        deploy.exposed_at().0,
        ended_at(deploy).0,
        deploy.finished_at.map(|at| at.0),
        to_json(deploy),
    ]);
    Ok(n_changed.during("apply deploys")? > 0)
}

/// The last moment that a deploy is known, or for want of an end taken, to have lasted to.
fn ended_at(deploy: &Deploy) -> UnixMillis {
    let told = [deploy.finished_at, deploy.live_at, deploy.exposure.last().map(|(at, _)| *at)];
    let last = told.into_iter().flatten().max().unwrap_or(deploy.started_at).max(deploy.started_at);
    if deploy.status.is_final() {
        last
    } else {
        last.max(UnixMillis(deploy.started_at.0.saturating_add(LONGEST_OPEN_MS)))
    }
}
