//! Incidents in the catalog.

use deployline_schemas::{
    incident::{Incident, IncidentState},
    time::UnixMillis,
};
use rusqlite::{OptionalExtension, named_params, params};

use super::{
    Catalog, During, from_json,
    page::{Cursor, Page, clamp, page},
    to_json, word,
};
use crate::error::StoreError;

/// Which incidents to list. The default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Only those that show most in this service.
    pub service: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only those that stand here.
    pub state: Option<IncidentState>,
    /// Only those that lasted to this moment or were opened later.
    pub from: Option<UnixMillis>,
    /// Only those opened before this moment.
    pub until: Option<UnixMillis>,
    /// Where the last page ended, from [`Page::next`].
    pub cursor: Option<String>,
    /// Rows of the page, `1..=`[`MAX_PAGE`](super::MAX_PAGE).
    pub limit: usize,
}

const ADD_REVISION: &str = "
    INSERT INTO incident_revisions (id, revision, changed_at, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

const ADVANCE: &str = "
    INSERT INTO incidents (id, revision, state, service, environment, opened_at, ended_at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (id) DO UPDATE SET revision = ?2, state = ?3, service = ?4, environment = ?5, opened_at = ?6,
        ended_at = ?7, body = ?8
    WHERE ?2 > revision";

const LIST: &str = "
    SELECT body FROM incidents
    WHERE (opened_at, id) < (:cursor_at, :cursor_id) AND opened_at < :until
        AND (ended_at IS NULL OR ended_at >= :from)
        AND (:service IS NULL OR service = :service)
        AND (:environment IS NULL OR environment = :environment)
        AND (:state IS NULL OR state = :state)
    ORDER BY opened_at DESC, id DESC LIMIT :limit";

impl Catalog {
    /// Keeps a state change of an incident. Returns whether this revision is new; a repeat changes nothing, and one
    /// that arrives late does not turn the incident back.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing has changed.
    pub fn apply_incident(&self, incident: &Incident) -> Result<bool, StoreError> {
        let applied = self.apply_incidents(std::slice::from_ref(incident))?;
        Ok(applied == [true])
    }

    /// Keeps a batch of state changes in one transaction. One answer for each, in order.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing of the batch has changed anything.
    pub fn apply_incidents(&self, incidents: &[Incident]) -> Result<Vec<bool>, StoreError> {
        const ACTION: &str = "apply incidents";
        self.write(ACTION, |transaction| {
            let mut add = transaction.prepare_cached(ADD_REVISION).during(ACTION)?;
            let mut advance = transaction.prepare_cached(ADVANCE).during(ACTION)?;
            let mut apply = |incident: &Incident| -> rusqlite::Result<bool> {
                let body = to_json(incident);
                let n_added = add.execute(params![incident.id, incident.revision, incident.changed_at.0, body])?;
                if n_added > 0 {
                    advance.execute(params![
                        incident.id,
                        incident.revision,
                        word(&incident.state),
                        incident.service,
                        incident.environment,
                        incident.opened_at.0,
                        incident.ended_at.map(|at| at.0),
                        body,
                    ])?;
                }
                Ok(n_added > 0)
            };
            incidents.iter().map(|incident| apply(incident).during(ACTION)).collect()
        })
    }

    /// The incident with this id as it stands.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn incident(&self, id: &str) -> Result<Option<Incident>, StoreError> {
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached("SELECT body FROM incidents WHERE id = ?1").during("read an incident")?;
        let body: Option<String> = statement.query_row([id], |row| row.get(0)).optional().during("read an incident")?;
        body.map(|body| from_json("an incident", &body)).transpose()
    }

    /// Every state change of an incident, first to last.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn incident_revisions(&self, id: &str) -> Result<Vec<Incident>, StoreError> {
        self.bodies("SELECT body FROM incident_revisions WHERE id = ?1 ORDER BY revision", params![id])
    }

    /// The incidents that a query asks for, last opened first. An incident is an interval, open until it has ended.
    ///
    /// # Errors
    /// [`StoreError::Query`] for a cursor that no page gave, [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn incidents(&self, query: &IncidentQuery) -> Result<Page<Incident>, StoreError> {
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let limit = clamp(query.limit);
        let reader = self.reader();
        let mut statement = reader.prepare_cached(LIST).during("list incidents")?;
        let parameters = named_params! {
            ":cursor_at": cursor.at.0,
            ":cursor_id": cursor.id,
            ":from": query.from.map_or(i64::MIN, |from| from.0),
            ":until": query.until.map_or(i64::MAX, |until| until.0),
            ":service": query.service,
            ":environment": query.environment,
            ":state": query.state.as_ref().map(word),
            ":limit": (limit + 1) as i64,
        };
        let bodies = statement.query_map(parameters, |row| row.get::<_, String>(0)).during("list incidents")?;
        let items: Result<Vec<Incident>, _> =
            bodies.map(|body| from_json("an incident", &body.during("list incidents")?)).collect();
        Ok(page(items?, limit, |incident| Cursor { at: incident.opened_at, id: incident.id.clone() }))
    }

    /// The incidents that are not over, first opened first: what a correlator starts from.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.bodies(
            "SELECT body FROM incidents WHERE state IN ('suspected', 'confirmed', 'persisting') ORDER BY opened_at, id",
            &[],
        )
    }

    fn bodies(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Vec<Incident>, StoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql).during("read incidents")?;
        let bodies = statement.query_map(parameters, |row| row.get::<_, String>(0)).during("read incidents")?;
        bodies.map(|body| from_json("an incident", &body.during("read incidents")?)).collect()
    }
}
