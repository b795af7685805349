//! What ran at a place before a deploy: what rollbacks are recognised by.
//!
//! A projector asks it of every deploy that it applies, so the writer keeps the last few versions of each place in memory.
//! Each answer from there is the one that the tables give, which stay the last resort: for a deploy that lies further
//! back than what is kept.

use std::collections::{HashMap, hash_map::Entry};

use deployline_schemas::{
    deploy::{Deploy, Kind, Status},
    time::UnixMillis,
};
use rusqlite::{Connection, params};

use super::{
    Batch, During,
    deploys::{previous, previous_version},
};
use crate::error::StoreError;

/// Versions that are kept of a place: the one before a deploy, the one before that, the deploy itself and a spare.
const DEPTH: usize = 4;
/// Places that are kept; with one more, all are forgotten and looked up again as they come. About 10 MB at most.
const MAX_PLACES: usize = 10_000;

/// The deploy that another one replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The version that it had replaced itself: as its events said, else of the deploy before it.
    pub replaced: Option<String>,
}

/// The last versions of places, by service and environment.
#[derive(Debug, Default)]
pub(super) struct Recent {
    services: HashMap<String, HashMap<String, Place>>,
    n_places: usize,
}

/// The last versions of one place.
#[derive(Debug)]
struct Place {
    /// Latest start first; of one start, the last that became known.
    versions: Vec<Version>,
    /// Whether there are no others.
    is_all: bool,
}

#[derive(Debug)]
struct Version {
    id: String,
    started_at: UnixMillis,
    version: String,
    /// The version that it replaced, if its events said so.
    told: Option<String>,
}

impl Recent {
    /// A deploy that was not known has been added.
    pub(super) fn added(&mut self, deploy: &Deploy) {
        let Some(version) = counted(deploy) else { return };
        let Some(place) = self.services.get_mut(&deploy.service).and_then(|at| at.get_mut(&deploy.environment)) else {
            return;
        };
        if place.versions.first().is_some_and(|last| last.started_at > deploy.started_at) {
            return self.forget(deploy);
        }
        let (id, version, told) = (deploy.id.clone(), version.to_owned(), deploy.previous_version.clone());
        place.versions.insert(0, Version { id, started_at: deploy.started_at, version, told });
        place.is_all &= place.versions.len() <= DEPTH;
        place.versions.truncate(DEPTH);
    }

    /// A deploy that was known is another one now.
    pub(super) fn changed(&mut self, before: &Deploy, after: &Deploy) {
        for deploy in [before, after] {
            if counted(deploy).is_some() {
                self.forget(deploy);
            }
        }
    }

    fn forget(&mut self, deploy: &Deploy) {
        let Some(places) = self.services.get_mut(&deploy.service) else { return };
        self.n_places -= usize::from(places.remove(&deploy.environment).is_some());
        if places.is_empty() {
            self.services.remove(&deploy.service);
        }
    }

    /// The last versions of a deploy's place, from the tables if need be.
    fn place(&mut self, connection: &Connection, deploy: &Deploy) -> Result<&Place, StoreError> {
        let is_known = self.services.get(&deploy.service).is_some_and(|at| at.contains_key(&deploy.environment));
        if !is_known {
            if self.n_places == MAX_PLACES {
                *self = Self::default();
            }
            self.n_places += 1;
        }
        let place = self.services.entry(deploy.service.clone()).or_default().entry(deploy.environment.clone());
        Ok(match place {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Place::read(connection, deploy)?),
        })
    }
}

impl Place {
    fn read(connection: &Connection, deploy: &Deploy) -> Result<Self, StoreError> {
        const LAST: &str = "
            SELECT id, started_at, version, body ->> 'previous_version' FROM deploys
            WHERE service = ?1 AND environment = ?2
                AND status = 'succeeded' AND version IS NOT NULL AND kind IN ('deploy', 'rollback')
            ORDER BY started_at DESC, rowid DESC LIMIT ?3";
        const ACTION: &str = "read the last versions";
        let mut statement = connection.prepare_cached(LAST).during(ACTION)?;
        let version = |row: &rusqlite::Row<'_>| {
            let started_at = UnixMillis(row.get(1)?);
            Ok(Version { id: row.get(0)?, started_at, version: row.get(2)?, told: row.get(3)? })
        };
        let versions = statement.query_map(params![deploy.service, deploy.environment, DEPTH as i64 + 1], version);
        let mut versions: Vec<Version> = versions.and_then(Iterator::collect).during(ACTION)?;
        let is_all = versions.len() <= DEPTH;
        versions.truncate(DEPTH);
        Ok(Self { versions, is_all })
    }

    /// The last version that began before a moment, without one deploy's; `Err` when it lies further back than what is kept.
    fn before(&self, at: UnixMillis, id: &str) -> Result<Option<&Version>, TooFarBack> {
        let found = self.versions.iter().find(|version| version.started_at < at && version.id != id);
        if found.is_some() || self.is_all { Ok(found) } else { Err(TooFarBack) }
    }

    fn predecessor(&self, deploy: &Deploy) -> Result<Option<Predecessor>, TooFarBack> {
        let Some(last) = self.before(deploy.started_at, &deploy.id)? else { return Ok(None) };
        let replaced = match &last.told {
            Some(told) => Some(told.clone()),
            None => self.before(last.started_at, &last.id)?.map(|version| version.version.clone()),
        };
        Ok(Some(Predecessor { id: last.id.clone(), version: last.version.clone(), replaced }))
    }
}

struct TooFarBack;

/// The version of a deploy that counts as what runs at a place.
fn counted(deploy: &Deploy) -> Option<&str> {
    let counts = deploy.status == Status::Succeeded && matches!(deploy.kind, Kind::Deploy | Kind::Rollback);
    deploy.version.as_deref().filter(|_| counts)
}

impl Batch<'_> {
    /// What a deploy replaced, as [`Catalog::previous_deploy`](super::Catalog::previous_deploy) and
    /// [`Catalog::previous_version`](super::Catalog::previous_version) of that one tell it.
    ///
    /// # Errors
    /// As there.
    pub fn predecessor(&self, deploy: &Deploy) -> Result<Option<Predecessor>, StoreError> {
        match self.recent.borrow_mut().place(self.transaction, deploy)?.predecessor(deploy) {
            Ok(predecessor) => Ok(predecessor),
            Err(TooFarBack) => queried(self.transaction, deploy),
        }
    }
}

/// The same from the tables alone.
fn queried(connection: &Connection, deploy: &Deploy) -> Result<Option<Predecessor>, StoreError> {
    let Some(last) = previous(connection, deploy)? else { return Ok(None) };
    let replaced = previous_version(connection, &last)?;
    Ok(last.version.map(|version| Predecessor { id: last.id, version, replaced }))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::catalog::Catalog;

    prop_compose! {
        fn deploys()(
            id in 0..12u8, place in 0..3u8, version in option::weighted(0.9, 0..4u8), told in option::weighted(0.2, 0..4u8),
            status in 0..3usize, kind in 0..3usize, second in 0..30i64, rising in any::<bool>(),
        ) -> (Deploy, bool) {
            let event = deployline_schemas::DeployEvent {
                id: Some(id.to_string()),
                service: ["a", "a/b", "b"][place as usize].to_owned(),
                version: version.map(|version| version.to_string()),
                previous_version: told.map(|version| version.to_string()),
                status: Some([Status::Succeeded, Status::Started, Status::Succeeded][status]),
                kind: [Kind::Deploy, Kind::Rollback, Kind::Flag][kind],
                started_at: Some(UnixMillis::from_secs(second)),
                ..Default::default()
            };
            (event.into_deploy().unwrap(), rising)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// In order and out of it, deploys that are new, change, move to another place, and batches that fail.
        #[test]
        fn what_is_kept_equals_what_the_tables_hold(batches in vec((vec(deploys(), 1..20), any::<bool>()), 1..8)) {
            let dir = tempfile::tempdir().unwrap();
            let catalog = Catalog::open(dir.path()).unwrap();
            let mut n = 0;
            for (batch, fails) in batches {
                let outcome = catalog.batch(|transaction| {
                    for (mut deploy, rising) in batch {
                        n += 1;
                        if rising {
                            // As most come: a new one, later than the others.
                            deploy.id = format!("new {n}");
                            deploy.started_at = UnixMillis::from_secs(30 + n / 2);
                        }
                        transaction.apply_deploy(&deploy)?;
                        assert_eq!(transaction.predecessor(&deploy)?, queried(transaction.transaction, &deploy)?);
                    }
                    if fails { Err(StoreError::Query("no".to_owned())) } else { Ok(()) }
                });
                prop_assert_eq!(outcome.is_err(), fails);
            }
        }
    }

    #[test]
    fn more_places_than_are_kept_are_looked_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        let deploy = |service: usize, at: i64| {
            let json = format!(
                r#"{{"service": "s{service}", "version": "v{at}", "started_at": {at}, "status": "succeeded"}}"#
            );
            serde_json::from_str::<deployline_schemas::DeployEvent>(&json).unwrap().into_deploy().unwrap()
        };
        let check = |batch: &Batch<'_>| {
            for service in (0..MAX_PLACES + 2).chain([0, MAX_PLACES]) {
                batch.apply_deploy(&deploy(service, 100))?;
                let found = batch.predecessor(&deploy(service, 200))?;
                assert_eq!(found.map(|found| found.version).as_deref(), Some("v100"));
                assert!(batch.recent.borrow().n_places <= MAX_PLACES);
            }
            Ok(())
        };
        catalog.batch(check).unwrap();
    }
}
