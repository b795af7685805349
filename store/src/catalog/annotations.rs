//! Annotations in the catalog.

use deployline_schemas::{annotation::Annotation, time::UnixMillis};
use rusqlite::{OptionalExtension, named_params, params};

use super::{
    Catalog, During, from_json,
    page::{Cursor, Page, clamp, page},
    to_json,
};
use crate::error::StoreError;

/// Which annotations to list. The default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnotationQuery {
    /// Only those that lasted to this moment or began later.
    pub from: Option<UnixMillis>,
    /// Only those that began before this moment.
    pub until: Option<UnixMillis>,
    /// Where the last page ended, from [`Page::next`].
    pub cursor: Option<String>,
    /// Rows of the page, `1..=`[`MAX_PAGE`](super::MAX_PAGE).
    pub limit: usize,
}

/// Of two that were said in the same millisecond the greater text holds, so that their order decides nothing.
const APPLY: &str = "
    INSERT INTO annotations (id, number, started_at, ended_at, of_deploy, is_deleted, changed_at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (id) DO UPDATE SET number = ?2, started_at = ?3, ended_at = ?4, of_deploy = ?5, is_deleted = ?6,
        changed_at = ?7, body = ?8
    WHERE (?7, ?8) > (changed_at, body)";

const LIST: &str = "
    SELECT body FROM annotations
    WHERE (started_at, id) < (:cursor_at, :cursor_id) AND started_at < :until AND ended_at >= :from AND is_deleted = 0
    ORDER BY started_at DESC, id DESC LIMIT :limit";

const BY_NUMBER: &str = "SELECT body FROM annotations WHERE number = ?1 ORDER BY id LIMIT 1";

const IS_OF_DEPLOY: &str = "SELECT EXISTS (SELECT 1 FROM annotations WHERE id = ?1 AND of_deploy = 1)";

const ANY_OF_DEPLOY: &str = "SELECT EXISTS (SELECT 1 FROM annotations WHERE of_deploy = 1)";

const DEPLOY_IDS: &str = "SELECT id FROM deploys ORDER BY started_at DESC";

impl Catalog {
    /// Keeps what is said of annotations, in one transaction. What was said earlier than what is kept changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing has changed.
    pub fn apply_annotations(&self, annotations: &[Annotation]) -> Result<(), StoreError> {
        const ACTION: &str = "apply annotations";
        self.write(ACTION, |transaction| {
            let mut apply = transaction.prepare_cached(APPLY).during(ACTION)?;
            for one in annotations {
                let ended_at = one.ended_at.unwrap_or(one.started_at);
                let row = params![
                    one.id,
                    one.number as i64,
                    one.started_at.0,
                    ended_at.0,
                    one.of_deploy,
                    one.is_deleted,
                    one.changed_at.0,
                    to_json(one)
                ];
                apply.execute(row).during(ACTION)?;
            }
            Ok(())
        })
    }

    /// The annotations that a query asks for, the last begun first, without those that were deleted.
    ///
    /// # Errors
    /// [`StoreError::Query`] for a cursor that no page gave, [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn annotations(&self, query: &AnnotationQuery) -> Result<Page<Annotation>, StoreError> {
        const ACTION: &str = "list annotations";
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let limit = clamp(query.limit);
        let reader = self.reader();
        let mut statement = reader.prepare_cached(LIST).during(ACTION)?;
        let parameters = named_params! {
            ":cursor_at": cursor.at.0,
            ":cursor_id": cursor.id,
            ":from": query.from.map_or(i64::MIN, |at| at.0),
            ":until": query.until.map_or(i64::MAX, |at| at.0),
            ":limit": (limit + 1) as i64,
        };
        let bodies = statement.query_map(parameters, |row| row.get::<_, String>(0)).during(ACTION)?;
        let items: Result<Vec<Annotation>, _> =
            bodies.map(|body| from_json("an annotation", &body.during(ACTION)?)).collect();
        Ok(page(items?, limit, |one| Cursor { at: one.started_at, id: one.id.clone() }))
    }

    /// The annotation of a number, a deleted one too.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn annotation(&self, number: u64) -> Result<Option<Annotation>, StoreError> {
        const ACTION: &str = "read an annotation";
        let body: Option<String> =
            self.reader().query_row(BY_NUMBER, [number as i64], |row| row.get(0)).optional().during(ACTION)?;
        body.map(|body| from_json("an annotation", &body)).transpose()
    }

    /// For each of these deploys whether an annotation is shown in its place, or was and is deleted.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn are_annotated<'i>(&self, deploy_ids: impl Iterator<Item = &'i str>) -> Result<Vec<bool>, StoreError> {
        const ACTION: &str = "look for annotations";
        let reader = self.reader();
        let mut any = reader.prepare_cached(ANY_OF_DEPLOY).during(ACTION)?;
        // Few edit any; then there is one question for all of them.
        let any: bool = any.query_row([], |row| row.get(0)).during(ACTION)?;
        let mut statement = reader.prepare_cached(IS_OF_DEPLOY).during(ACTION)?;
        deploy_ids.map(|id| Ok(any && statement.query_row([id], |row| row.get(0)).during(ACTION)?)).collect()
    }

    /// The first deploy, from the latest back, whose id is wanted. Costs a look at each deploy before it: some 200 ns.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn find_deploy_id(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Option<String>, StoreError> {
        const ACTION: &str = "look for a deploy";
        let reader = self.reader();
        let mut statement = reader.prepare_cached(DEPLOY_IDS).during(ACTION)?;
        let mut rows = statement.query([]).during(ACTION)?;
        while let Some(row) = rows.next().during(ACTION)? {
            let id = row.get_ref(0).and_then(|id| Ok(id.as_str()?)).during(ACTION)?;
            if is_wanted(id) {
                return Ok(Some(id.to_owned()));
            }
        }
        Ok(None)
    }
}
