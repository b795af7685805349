//! Silences in the catalog.

use deployline_schemas::{silence::Silence, time::UnixMillis};
use rusqlite::{OptionalExtension, named_params, params};

use super::{
    Catalog, During, from_json,
    page::{Cursor, Page, clamp, page},
    to_json,
};
use crate::error::StoreError;

/// Most silences that hold at once; a further one is refused.
pub const MAX_SILENCES: usize = 1000;

/// Which silences to list. The default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SilenceQuery {
    /// Only those that have not ended by then: that hold, or will.
    pub unended_at: Option<UnixMillis>,
    /// Where the last page ended, from [`Page::next`].
    pub cursor: Option<String>,
    /// Rows of the page, `1..=`[`MAX_PAGE`](super::MAX_PAGE).
    pub limit: usize,
}

const UPSERT: &str = "
    INSERT INTO silences (id, from_at, until_at, created_at, body) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (id) DO UPDATE SET from_at = ?2, until_at = ?3, body = ?5";

const LIST: &str = "
    SELECT body FROM silences
    WHERE (created_at, id) < (:cursor_at, :cursor_id) AND until_at > :unended_at
    ORDER BY created_at DESC, id DESC LIMIT :limit";

impl Catalog {
    /// Keeps a silence, in place of what was kept under its id.
    ///
    /// # Errors
    /// [`StoreError::Query`] when [`MAX_SILENCES`] have not ended yet and it is a new one; [`StoreError::Catalog`]. Then
    /// nothing has changed.
    pub fn put_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        const ACTION: &str = "keep a silence";
        const UNENDED: &str = "SELECT count(*) FROM silences WHERE until_at > ?1 AND id <> ?2";
        self.write(ACTION, |transaction| {
            let n_unended: i64 = transaction
                .query_row(UNENDED, params![silence.created_at.0, silence.id], |row| row.get(0))
                .during(ACTION)?;
            if n_unended >= MAX_SILENCES as i64 {
                return Err(StoreError::Query(format!("there are {MAX_SILENCES} silences already: end some first")));
            }
            let parameters =
                params![silence.id, silence.from.0, silence.until.0, silence.created_at.0, to_json(silence)];
            transaction.execute(UPSERT, parameters).during(ACTION).map(drop)
        })
    }

    /// The silence with this id.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn silence(&self, id: &str) -> Result<Option<Silence>, StoreError> {
        let body: Option<String> = self
            .reader()
            .query_row("SELECT body FROM silences WHERE id = ?1", [id], |row| row.get(0))
            .optional()
            .during("read a silence")?;
        body.map(|body| from_json("a silence", &body)).transpose()
    }

    /// The silences that a query asks for, last made first.
    ///
    /// # Errors
    /// [`StoreError::Query`] for a cursor that no page gave, [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn silences(&self, query: &SilenceQuery) -> Result<Page<Silence>, StoreError> {
        const ACTION: &str = "list silences";
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let limit = clamp(query.limit);
        let reader = self.reader();
        let mut statement = reader.prepare_cached(LIST).during(ACTION)?;
        let parameters = named_params! {
            ":cursor_at": cursor.at.0,
            ":cursor_id": cursor.id,
            ":unended_at": query.unended_at.map_or(i64::MIN, |at| at.0),
            ":limit": (limit + 1) as i64,
        };
        let bodies = statement.query_map(parameters, |row| row.get::<_, String>(0)).during(ACTION)?;
        let items: Result<Vec<Silence>, _> = bodies.map(|body| from_json("a silence", &body.during(ACTION)?)).collect();
        Ok(page(items?, limit, |silence| Cursor { at: silence.created_at, id: silence.id.clone() }))
    }

    /// The silences that hold at a moment.
    ///
    /// # Errors
    /// [`StoreError::Catalog`], [`StoreError::CatalogRow`].
    pub fn silences_at(&self, at: UnixMillis) -> Result<Vec<Silence>, StoreError> {
        let query = SilenceQuery { unended_at: Some(at), limit: MAX_SILENCES, ..SilenceQuery::default() };
        Ok(self.silences(&query)?.items.into_iter().filter(|silence| silence.holds(at)).collect())
    }
}
