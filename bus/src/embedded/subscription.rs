//! A member of a group on the embedded bus.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use deployline_schemas::topic::Topic;
use rusqlite::Connection;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Embedded, held, log,
    writer::{Heads, State},
};
use crate::{error::BusError, record::Delivered, subscription::MAX_BATCH_BYTES};

/// A member of a group. It holds a claim on each topic that no other member of the group has, and stands by for the rest.
pub(crate) struct Subscription {
    bus: Embedded,
    group: Arc<str>,
    topics: Vec<Topic>,
    /// The offset to go on at, for each topic claimed; `None` until the group's own was looked up.
    lanes: BTreeMap<Topic, Option<i64>>,
    /// The topic that the next batch begins with, so that a busy one does not starve the others.
    turn: usize,
    changes: watch::Receiver<State>,
    /// A read under way. Kept here, so that a caller who drops one wait after the other still gets on.
    reading: Option<JoinHandle<Result<Batch, BusError>>>,
    reader: Arc<Mutex<Connection>>,
}

impl Subscription {
    pub(super) fn new(bus: Embedded, group: &str, topics: &[Topic], reader: Connection) -> Self {
        let changes = bus.0.state.subscribe();
        let reader = Arc::new(Mutex::new(reader));
        let mut member = Self {
            bus,
            group: group.into(),
            topics: topics.to_vec(),
            lanes: BTreeMap::new(),
            turn: 0,
            changes,
            reading: None,
            reader,
        };
        member.claim();
        member
    }

    pub(crate) async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivered>, BusError> {
        loop {
            let (heads, closed) = {
                let state = self.changes.borrow_and_update();
                (state.heads, state.closed)
            };
            if closed {
                return Err(BusError::Closed);
            }
            self.claim();
            if self.reading.is_none() && self.is_behind(&heads) {
                self.reading = Some(self.read(heads, max));
            }
            if let Some(reading) = &mut self.reading {
                // Dropped here, the next call awaits the same read.
                let outcome = reading.await;
                self.reading = None;
                let batch = outcome.unwrap_or_else(|panic| Err(BusError::broken("read the log", panic)))?;
                let records = self.take(batch, max);
                if !records.is_empty() {
                    return Ok(records);
                }
            }
            // The sender lives in `self.bus`.
            self.changes.changed().await.map_err(|_| BusError::Closed)?;
        }
    }

    pub(crate) async fn commit(&mut self, batch: &[Delivered]) -> Result<(), BusError> {
        let mut offsets = BTreeMap::new();
        for delivered in batch.iter().filter(|delivered| self.lanes.contains_key(&delivered.topic)) {
            let next = offsets.entry(delivered.topic).or_insert(0);
            *next = (*next).max(delivered.position.offset + 1);
        }
        if offsets.is_empty() {
            return Ok(());
        }
        self.bus.commit(Arc::clone(&self.group), offsets.into_iter().collect()).await
    }

    /// Takes the topics that no member of the group has.
    fn claim(&mut self) {
        let mut claims = held(&self.bus.0.claims);
        for topic in &self.topics {
            if !self.lanes.contains_key(topic) && claims.insert((Arc::clone(&self.group), *topic)) {
                self.lanes.insert(*topic, None);
            }
        }
    }

    fn is_behind(&self, heads: &Heads) -> bool {
        self.lanes.iter().any(|(topic, next)| next.is_none_or(|next| next < heads[*topic as usize]))
    }

    /// Starts to read on in each topic, beginning with the one whose turn it is.
    fn read(&self, heads: Heads, max: usize) -> JoinHandle<Result<Batch, BusError>> {
        let mut lanes: Vec<_> = self.lanes.iter().map(|(topic, next)| (*topic, *next)).collect();
        let turn = self.turn % lanes.len().max(1);
        lanes.rotate_left(turn);
        let (reader, group) = (Arc::clone(&self.reader), Arc::clone(&self.group));
        tokio::task::spawn_blocking(move || read(&held(&reader), &group, lanes, &heads, max))
    }

    /// Goes past what was read, or past the first `max` of it: an earlier call may have asked for more.
    fn take(&mut self, Batch { mut records, next }: Batch, max: usize) -> Vec<Delivered> {
        self.lanes.extend(next.into_iter().map(|(topic, next)| (topic, Some(next))));
        for left in records.drain(max.min(records.len())..).rev() {
            self.lanes.insert(left.topic, Some(left.position.offset));
        }
        self.turn = self.turn.wrapping_add(1);
        records
    }
}

/// What a read comes to: records, and where each topic goes on.
struct Batch {
    records: Vec<Delivered>,
    next: Vec<(Topic, i64)>,
}

fn read(
    reader: &Connection,
    group: &str,
    lanes: Vec<(Topic, Option<i64>)>,
    heads: &Heads,
    max: usize,
) -> Result<Batch, BusError> {
    let mut batch = Batch { records: Vec::new(), next: Vec::with_capacity(lanes.len()) };
    let mut size_bytes = 0;
    for (topic, next) in lanes {
        let head = heads[topic as usize];
        let mut next = next.map_or_else(|| log::committed(reader, group, topic), Ok)?;
        if next < head && batch.records.len() < max && size_bytes < MAX_BATCH_BYTES {
            let records = log::read(reader, topic, next, max - batch.records.len())?;
            // Nothing there: it has been pruned.
            next = records.last().map_or(head, |last| last.position.offset + 1);
            size_bytes += records.iter().map(|delivered| delivered.record.size_bytes()).sum::<usize>();
            batch.records.extend(records);
        }
        batch.next.push((topic, next));
    }
    Ok(batch)
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut claims = held(&self.bus.0.claims);
        for topic in self.lanes.keys() {
            claims.remove(&(Arc::clone(&self.group), *topic));
        }
        drop(claims);
        self.bus.0.state.send_modify(|state| state.n_releases += 1);
    }
}
