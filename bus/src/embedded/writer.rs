//! The one thread that writes: it takes all jobs that wait into one transaction, so that they share one sync.

use std::{
    fs::File,
    io,
    sync::{Arc, mpsc},
    thread,
};

use deployline_schemas::{
    time::{Clock, UnixMillis},
    topic::Topic,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tracing::error;

use super::log::{self, Log};
use crate::{
    error::BusError,
    record::{Position, Record},
};

/// How many jobs share a transaction at most. Their bytes are bounded by the queue already.
const MAX_JOBS: usize = 4096;

/// The offset that the next record of each topic gets, by `Topic as usize`.
pub(super) type Heads = [i64; Topic::ALL.len()];

type Answer<T> = oneshot::Sender<Result<T, BusError>>;

/// What the writer is asked to do.
pub(super) enum Job {
    Append { topic: Topic, records: Vec<Record>, done: Answer<Vec<Position>> },
    Commit { group: Arc<str>, offsets: Vec<(Topic, i64)>, done: Answer<()> },
    Forget { group: Arc<str>, done: Answer<()> },
    Prune { topic: Topic, before: UnixMillis, max: u64, done: Answer<u64> },
    Close { done: Answer<()> },
}

/// A job and the room that it takes of the queue until it is done.
pub(super) struct Queued {
    pub(super) job: Job,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What readers watch.
pub(super) struct State {
    pub(super) heads: Heads,
    /// Counts the topics that members have given up, so that those standing by look again.
    pub(super) n_releases: u64,
    /// Why the last transaction failed, if it did.
    pub(super) failing: Option<BusError>,
    pub(super) closed: bool,
}

impl State {
    pub(super) fn new(heads: Heads) -> Self {
        Self { heads, n_releases: 0, failing: None, closed: false }
    }
}

/// Starts the writer. It holds `lock` as long as it lives.
pub(super) fn spawn(
    log: Log,
    queue: mpsc::Receiver<Queued>,
    state: Arc<watch::Sender<State>>,
    clock: Clock,
    lock: File,
) -> io::Result<()> {
    let writer = Writer { log, state, clock, _lock: lock };
    thread::Builder::new().name("bus-writer".to_owned()).spawn(move || writer.run(queue)).map(drop)
}

struct Writer {
    log: Log,
    state: Arc<watch::Sender<State>>,
    clock: Clock,
    // Last, so that the database is closed before the next process gets in.
    _lock: File,
}

/// What a job comes to once its transaction is through.
enum Outcome {
    Appended(Vec<Position>),
    Committed,
    Pruned(u64),
}

impl Drop for Writer {
    /// However the writer ends, nobody waits for it any more.
    fn drop(&mut self) {
        self.state.send_modify(|state| state.closed = true);
    }
}

impl Writer {
    fn run(mut self, queue: mpsc::Receiver<Queued>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            let mut closing = None;
            batch.extend(queue.try_iter().take(MAX_JOBS - 1));
            if let Some(end) = batch.iter().position(|queued| matches!(queued.job, Job::Close { .. })) {
                // What was queued behind the end is dropped, which tells its senders that the bus is closed.
                batch.truncate(end + 1);
                closing = batch.pop();
            }
            self.write(batch);
            if let Some(Queued { job: Job::Close { done }, .. }) = closing {
                let closed = self.log.checkpoint();
                drop(queue);
                drop(self);
                let _ = done.send(closed);
                return;
            }
        }
    }

    /// Runs the jobs in one transaction and answers them: all succeed or none does.
    fn write(&mut self, batch: Vec<Queued>) {
        if batch.is_empty() {
            return;
        }
        let mut heads = self.state.borrow().heads;
        let written = transact(&mut self.log, (self.clock)(), &batch, &mut heads);
        let written = written.map_err(|error| log::failure("write to the log", error));
        if let Err(error) = &written {
            error!(error = error as &dyn std::error::Error, n_jobs = batch.len(), "log transaction failed");
        }
        // Readers are woken before the publishers are answered: who reads after a publish sees its records.
        self.state.send_modify(|state| {
            state.failing = written.as_ref().err().cloned();
            if written.is_ok() {
                state.heads = heads;
            }
        });
        match written {
            Ok(outcomes) => {
                batch.into_iter().zip(outcomes).for_each(|(queued, outcome)| answer(queued.job, Ok(outcome)))
            }
            Err(error) => batch.into_iter().for_each(|queued| answer(queued.job, Err(error.clone()))),
        }
    }
}

fn transact(log: &mut Log, now: UnixMillis, batch: &[Queued], heads: &mut Heads) -> rusqlite::Result<Vec<Outcome>> {
    let transaction = log.begin()?;
    let mut rows = log::Rows::new(&transaction, now);
    let mut outcomes = Vec::with_capacity(batch.len());
    for Queued { job, .. } in batch {
        outcomes.push(match job {
            Job::Append { topic, records, .. } => {
                let head = &mut heads[*topic as usize];
                let mut positions = Vec::with_capacity(records.len());
                for record in records {
                    rows.push(*topic, *head, record)?;
                    positions.push(Position { partition: 0, offset: *head });
                    *head += 1;
                }
                Outcome::Appended(positions)
            }
            Job::Commit { group, offsets, .. } => {
                for (topic, next) in offsets {
                    log::commit(&transaction, group, *topic, *next)?;
                }
                Outcome::Committed
            }
            Job::Forget { group, .. } => {
                log::forget(&transaction, group)?;
                Outcome::Committed
            }
            Job::Prune { topic, before, max, .. } => {
                rows.write()?;
                Outcome::Pruned(log::prune(&transaction, *topic, *before, *max)?)
            }
            Job::Close { .. } => Outcome::Committed,
        });
    }
    rows.write()?;
    transaction.commit()?;
    Ok(outcomes)
}

/// Tells whoever asked, if still there.
fn answer(job: Job, outcome: Result<Outcome, BusError>) {
    match (job, outcome) {
        (Job::Append { done, .. }, Ok(Outcome::Appended(positions))) => drop(done.send(Ok(positions))),
        (Job::Prune { done, .. }, Ok(Outcome::Pruned(n))) => drop(done.send(Ok(n))),
        (Job::Commit { done, .. } | Job::Forget { done, .. }, Ok(_)) => drop(done.send(Ok(()))),
        (Job::Append { done, .. }, Err(error)) => drop(done.send(Err(error))),
        (Job::Prune { done, .. }, Err(error)) => drop(done.send(Err(error))),
        (Job::Commit { done, .. } | Job::Forget { done, .. }, Err(error)) => drop(done.send(Err(error))),
        // No other pairs are made: `transact` answers each job with its own kind, and `run` answers the close.
        (Job::Append { .. } | Job::Prune { .. } | Job::Close { .. }, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::Recourse;

    /// A writer without a thread, on a disk that is nearly full.
    fn writer(dir: &tempfile::TempDir) -> Writer {
        let log = Log::open(&dir.path().join("bus.sqlite")).unwrap();
        log.limit_pages(40);
        let heads = log.heads().unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        Writer {
            log,
            state: Arc::new(watch::Sender::new(State::new(heads))),
            clock: Arc::new(|| UnixMillis(5)),
            _lock: lock,
        }
    }

    fn queued(job: Job) -> Queued {
        let room = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        Queued { job, _room: room }
    }

    fn publish(writer: &mut Writer) -> Result<Vec<Position>, BusError> {
        let (done, mut answer) = oneshot::channel();
        let records = vec![Record::new("k", vec![0; 10_000])];
        writer.write(vec![queued(Job::Append { topic: Topic::Deploys, records, done })]);
        answer.try_recv().unwrap()
    }

    #[test]
    fn a_full_disk_is_said_and_once_there_is_room_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(&dir);
        let mut n_published = 0;
        let error = loop {
            match publish(&mut writer) {
                Ok(positions) => assert_eq!(positions[0].offset, n_published),
                Err(error) => break error,
            }
            n_published += 1;
        };
        assert!(n_published > 3);
        assert_eq!(error.recourse(), Recourse::Retry);
        assert_eq!(error.source().unwrap().to_string(), "database or disk is full");
        assert!(writer.state.borrow().failing.is_some(), "health tells");
        let (done, mut answer) = oneshot::channel();
        writer.write(vec![queued(Job::Prune { topic: Topic::Deploys, before: UnixMillis(6), max: 3, done })]);
        assert_eq!(answer.try_recv().unwrap().unwrap(), 3);
        assert_eq!(publish(&mut writer).unwrap()[0].offset, n_published, "no offset is lost to what failed");
        assert!(writer.state.borrow().failing.is_none());
    }
}
