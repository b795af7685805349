//! Forgetting the names of series whose last datapoint is gone, so that hosts that come and go do not fill `max_series`.

use std::collections::HashSet;

use tracing::info;

use super::{Layout, Store, maintain::Progress, read, write};
use crate::{error::StoreError, point::SeriesId};

impl Store {
    /// Forgets names without a datapoint in head or blocks that were known at the last such call already. Their
    /// numbers are not given again, and an append under one is refused.
    pub(super) fn forget_silent(&self, progress: &mut Progress) -> Result<usize, StoreError> {
        let shared = &*self.shared;
        // Blocks change under the maintenance lock only, which the caller holds.
        let mut living: HashSet<SeriesId> = HashSet::new();
        for block in read(&shared.blocks).iter() {
            living.extend(block.entries()?.iter().map(|entry| entry.id));
        }
        let _alone = write(&shared.appending);
        {
            let heads = read(&shared.heads);
            living.extend(heads.active.series());
            living.extend(heads.frozen.iter().flat_map(|head| head.series()));
        }
        let mut names = write(&shared.names);
        let is_silent = |id: &SeriesId| id.0 < progress.known_before && !living.contains(id);
        let silent: Vec<SeriesId> = names.iter().map(|(id, _)| id).filter(is_silent).collect();
        silent.iter().for_each(|id| names.forget(*id));
        progress.known_before = names.next_id();
        if !silent.is_empty() {
            shared.wal.rewrite_names(&Layout::new(&shared.config.dir).names, &names)?;
            info!(n_forgotten = silent.len(), n_series = names.len(), "names without datapoints are forgotten");
        }
        Ok(silent.len())
    }
}
