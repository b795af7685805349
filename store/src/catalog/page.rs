//! Pages of a list, newest first, with a cursor that stays right while rows come in.

use deployline_schemas::time::UnixMillis;

use crate::error::StoreError;

/// Most rows of one page; a query that asks for more gets these, one that asks for 0 gets 1.
pub const MAX_PAGE: usize = 1000;

/// A part of a list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Asks for the rows after these when given back as `cursor`; `None` when these are the last.
    pub next: Option<String>,
}

/// The place after a row: its time and id, so that rows that come in before it shift nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub at: UnixMillis,
    pub id: String,
}

impl Cursor {
    /// Before the first row.
    pub fn start() -> Self {
        Self { at: UnixMillis(i64::MAX), id: String::new() }
    }

    pub fn parse(text: Option<&str>) -> Result<Self, StoreError> {
        let Some(text) = text else { return Ok(Self::start()) };
        let parsed = text.split_once('~').and_then(|(at, id)| Some((at.parse().ok()?, id)));
        let (at, id) = parsed.ok_or_else(|| StoreError::Query(format!("`{text}` is no cursor")))?;
        Ok(Self { at: UnixMillis(at), id: id.to_owned() })
    }

    pub fn write(&self) -> String {
        format!("{}~{}", self.at.0, self.id)
    }
}

/// Cuts rows, of which one more than `limit` was asked for, to a page.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, cursor_of: impl Fn(&T) -> Cursor) -> Page<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|item| cursor_of(item).write());
    Page { items, next }
}

/// The number of rows that a page has at most.
pub(super) fn clamp(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}
