//! Follows log files that deploy tools write, Deployinator's log and Capistrano's `revisions.log`, so that the tool
//! itself stays as it is.
//!
//! A file is followed through appends, rotation (another file under the name: the old one is read to its end first,
//! also when it was rotated while nobody looked) and truncation. Whole lines are taken; a last line without its break is
//! waited for, and taken as it is once the file was rotated. The place reached is written down in `tails/` of the data
//! folder after the door has what comes before it, so that a restart goes on there: nothing is lost, and what a crash
//! makes it read twice has the same ids and changes nothing.
//!
//! A line that cannot be understood goes to quarantine alone.

mod checkpoint;
mod reader;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use deployline_schemas::UnixMillis;
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::reader::{Chunk, Reader};
use crate::{
    door::{Door, DoorError},
    hooks::{HookConfig, HookRequest},
};

/// How often a file is looked at.
const POLL: Duration = Duration::from_millis(500);
/// The first and the longest wait after something failed that may pass.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The sources whose logs can be followed.
const SOURCES: [&str; 2] = ["capistrano", "deployinator"];

/// Where to begin with a file that was never followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// With its first line: the graphs get the deploys of the past.
    Start,
    /// With what is appended from now on.
    #[default]
    End,
}

/// One `[[tail]]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TailConfig {
    /// The file. It need not exist yet; one that appears later is read from its first line.
    pub path: PathBuf,
    /// What writes it: `deployinator` or `capistrano`.
    pub source: String,
    /// Where to begin with a file that was never followed: `start` or `end`.
    pub from: From,
    /// The service, whatever the log says; Capistrano's does not name it.
    pub service: Option<String>,
    /// The environment where the log names none.
    pub environment: Option<String>,
    /// The zone of the log's times, as in `America/New_York`; UTC if not said.
    pub time_zone: Option<String>,
    /// From the log's name of a service (Deployinator's stack) to ours.
    pub rename_service: BTreeMap<String, String>,
    /// From the log's name of an environment to ours.
    pub rename_environment: BTreeMap<String, String>,
    /// Only these environments count, after renaming; all of them if empty.
    pub environments: Vec<String>,
}

/// Why a `[[tail]]` cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// It names no file.
    #[error("[[tail]]: `path` is missing")]
    NoPath,
    /// Its lines would not be understood.
    #[error("[[tail]] `{}`: `{source_name}` is none of deployinator, capistrano", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What was said.
        source_name: String,
    },
    /// The log does not name it.
    #[error("[[tail]] `{}`: Capistrano's log names no service, so `service` is needed", path.display())]
    NoService {
        /// The file.
        path: PathBuf,
    },
}

impl TailConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// See [`TailError`].
    pub fn check(&self) -> Result<(), TailError> {
        let path = self.path.clone();
        if path.as_os_str().is_empty() {
            return Err(TailError::NoPath);
        }
        if !SOURCES.contains(&self.source.as_str()) {
            return Err(TailError::Source { path, source_name: self.source.clone() });
        }
        if self.source == "capistrano" && self.service.is_none() {
            return Err(TailError::NoService { path });
        }
        Ok(())
    }

    /// The rules for its lines, with the name that [`Door::take`] knows them by.
    pub fn inner(&self) -> (String, HookConfig) {
        let rules = HookConfig {
            service: self.service.clone(),
            environment: self.environment.clone(),
            time_zone: self.time_zone.clone(),
            rename_service: self.rename_service.clone(),
            rename_environment: self.rename_environment.clone(),
            environments: self.environments.clone(),
            name: self.service.clone(),
            ..HookConfig::of(&self.source)
        };
        (format!("tail/{}", self.path.display()), rules)
    }
}

/// Follows a file until `stop`. What may pass is tried again for as long as it takes.
pub async fn run(config: TailConfig, door: Door, data_dir: PathBuf, stop: CancellationToken) {
    let (name, _) = config.inner();
    let folder = data_dir.join("tails");
    let mut pause = BACKOFF.0;
    let mut reader = loop {
        let (path, folder, from) = (config.path.clone(), folder.clone(), config.from);
        match blocking(move || Reader::open(path, &folder, from)).await {
            Ok(reader) => break reader,
            Err(error) => warn!(%error, path = %config.path.display(), "a log cannot be followed yet, trying again"),
        }
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(BACKOFF.1);
    };
    while !stop.is_cancelled() {
        let (returned, chunk) = match spawn_blocking(move || (reader.next(), reader)).await {
            Ok((chunk, reader)) => (reader, chunk),
            Err(_) => return,
        };
        reader = returned;
        match chunk {
            Ok(Some(chunk)) => {
                pause = BACKOFF.0;
                if !take(&door, &name, &config, chunk, &stop).await {
                    return;
                }
                // Only now: a crash before this line reads them again, and their ids absorb it.
                let (returned, saved) = match spawn_blocking(move || (reader.advance(), reader)).await {
                    Ok((saved, reader)) => (reader, saved),
                    Err(_) => return,
                };
                reader = returned;
                if let Err(error) = saved {
                    warn!(%error, path = %config.path.display(), "the place in a log could not be written down");
                }
            }
            Ok(None) => {
                let _ = stop.run_until_cancelled(sleep(POLL)).await;
            }
            Err(error) => {
                warn!(%error, path = %config.path.display(), "a log cannot be read, trying again");
                let _ = stop.run_until_cancelled(sleep(pause)).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}

/// Takes the lines of a chunk, each alone if they cannot be taken together; false when `stop` came before.
async fn take(door: &Door, name: &str, config: &TailConfig, chunk: Chunk, stop: &CancellationToken) -> bool {
    let request = |known: &[u8], lines: &[u8]| HookRequest {
        query: query(config),
        body: Bytes::from([known, lines].concat()),
        received_at: chunk.written_at,
        n_known_lines: known.iter().filter(|byte| **byte == b'\n').count(),
        ..HookRequest::default()
    };
    let whole = request(&chunk.known, &chunk.lines);
    if door.check(name, &whole).is_ok() {
        return submit(door, name, whole, chunk.offset, stop).await;
    }
    let (mut known, mut offset) = (chunk.known.clone(), chunk.offset);
    for line in chunk.lines.split_inclusive(|byte| *byte == b'\n') {
        if !line.trim_ascii().is_empty() && !submit(door, name, request(&known, line), offset, stop).await {
            return false;
        }
        known.extend_from_slice(line);
        offset += line.len() as u64;
    }
    true
}

/// Takes one request, however often it must be tried; false when `stop` came before.
async fn submit(door: &Door, name: &str, request: HookRequest, offset: u64, stop: &CancellationToken) -> bool {
    let origin = [("topic", name.to_owned()), ("offset", offset.to_string())];
    let mut pause = BACKOFF.0;
    loop {
        match door.take(name, request.clone(), &origin).await {
            Ok(_) => return true,
            Err(DoorError::Refused(error)) => {
                // Only a name that is not set up, which is checked before this runs.
                warn!(%error, name, "lines could not be read and are passed over");
                return true;
            }
            Err(error) => warn!(%error, name, "lines of a log cannot be taken yet, trying again"),
        }
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return false;
        }
        pause = (pause * 2).min(BACKOFF.1);
    }
}

fn query(config: &TailConfig) -> String {
    let pairs = [("service", &config.service), ("environment", &config.environment)];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// When a file was last written to: the one time that a line without any can have, the same whenever it is read.
fn written_at(path: &Path, metadata: &std::fs::Metadata) -> std::io::Result<UnixMillis> {
    let since = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_err(|_| std::io::Error::other(format!("{} was written before 1970", path.display())))?;
    Ok(UnixMillis(i64::try_from(millis.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
