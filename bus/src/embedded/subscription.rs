//! A member of a group on the embedded bus.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use deployline_schemas::topic::Topic;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    Embedded, blocking, held, log,
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
            if self.is_behind(&heads) {
                // Nothing changes before this await is through: dropped here, the next call reads the same again.
                let (batch, lanes) = self.read(heads, max).await?;
                self.lanes.extend(lanes);
                self.turn = self.turn.wrapping_add(1);
                if !batch.is_empty() {
                    return Ok(batch);
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

    /// Reads on in each topic, beginning with the one whose turn it is; returns the records and where to go on.
    async fn read(&self, heads: Heads, max: usize) -> Result<(Vec<Delivered>, BTreeMap<Topic, Option<i64>>), BusError> {
        let mut lanes: Vec<_> = self.lanes.iter().map(|(topic, next)| (*topic, *next)).collect();
        let turn = self.turn % lanes.len().max(1);
        lanes.rotate_left(turn);
        let (reader, group) = (Arc::clone(&self.reader), Arc::clone(&self.group));
        blocking("read the log", move || {
            let reader = held(&reader);
            let mut batch = Vec::new();
            let mut size_bytes = 0;
            let mut moved = BTreeMap::new();
            for (topic, next) in lanes {
                let next = next.map_or_else(|| log::committed(&reader, &group, topic), Ok)?;
                let room = if size_bytes < MAX_BATCH_BYTES { max - batch.len() } else { 0 };
                let behind = next < heads[topic as usize];
                let records = if behind && room > 0 { log::read(&reader, topic, next, room)? } else { Vec::new() };
                size_bytes += records.iter().map(|delivered| delivered.record.size_bytes()).sum::<usize>();
                let next = match records.last() {
                    Some(last) => last.position.offset + 1,
                    // What was there has been pruned.
                    None if behind && room > 0 => heads[topic as usize],
                    None => next,
                };
                moved.insert(topic, Some(next));
                batch.extend(records);
            }
            Ok((batch, moved))
        })
        .await
    }
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
