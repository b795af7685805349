//! Forgetting the names of series whose last datapoint is gone, so that hosts that come and go do not fill `max_series`.

use std::{collections::HashSet, sync::PoisonError};

use tracing::info;

use super::{Layout, Store, maintain::Progress, read, write};
use crate::{error::StoreError, point::SeriesId};

impl Store {
    /// Forgets those of the names that have no datapoint, and says how many these were. Blocking: looks into every block.
    ///
    /// # Errors
    /// When a block cannot be read, or the names cannot be written.
    pub fn forget(&self, series: &[SeriesId]) -> Result<usize, StoreError> {
        if series.is_empty() {
            return Ok(0);
        }
        let _maintenance = self.shared.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen: HashSet<SeriesId> = series.iter().copied().collect();
        self.forget_where(|id| chosen.contains(id))
    }

    /// Forgets names without a datapoint in head or blocks that were known at the last such call already. Their
    /// numbers are not given again, and an append under one is refused.
    pub(super) fn forget_silent(&self, progress: &mut Progress) -> Result<usize, StoreError> {
        let known_before = progress.known_before;
        let n_forgotten = self.forget_where(|id| id.0 < known_before)?;
        progress.known_before = read(&self.shared.names).next_id();
        Ok(n_forgotten)
    }

    /// Forgets names without a datapoint that `chosen` picks. Blocks change under the maintenance lock only, which the
    /// caller holds.
    fn forget_where(&self, chosen: impl Fn(&SeriesId) -> bool) -> Result<usize, StoreError> {
        let shared = &*self.shared;
        let mut living: HashSet<SeriesId> = HashSet::new();
        for block in read(&shared.blocks).iter() {
            living.extend(block.series()?);
        }
        let _alone = write(&shared.appending);
        {
            let heads = read(&shared.heads);
            living.extend(heads.active.series());
            living.extend(heads.frozen.iter().flat_map(|head| head.series()));
        }
        let mut names = write(&shared.names);
        let is_silent = |id: &SeriesId| chosen(id) && !living.contains(id);
        let silent: Vec<SeriesId> = names.iter().map(|(id, _)| id).filter(is_silent).collect();
        names.forget_all(&silent);
        if !silent.is_empty() {
            shared.wal.rewrite_names(&Layout::new(&shared.config.dir).names, &names)?;
            info!(n_forgotten = silent.len(), n_series = names.len(), "names without datapoints are forgotten");
        }
        Ok(silent.len())
    }
}
