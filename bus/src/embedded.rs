//! The embedded bus: one SQLite database in WAL mode, one writer thread, and readers that it wakes.

mod log;
mod subscription;
mod writer;

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use deployline_schemas::{
    time::{UnixMillis, wall_clock},
    topic::Topic,
};
use rusqlite::Connection;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

pub(crate) use self::subscription::Subscription;
use self::{
    log::Log,
    writer::{Heads, Job, Queued, State},
};
use crate::{
    config::{BusConfig, Retention},
    error::BusError,
    record::{Bounds, Delivered, Position, Record},
    span::Keep,
};

const DATABASE: &str = "bus.sqlite";
const LOCK: &str = "bus.lock";
/// How often a held lock is tried again. It is released by the kernel when its holder ends, however it ends.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How many records one transaction of [`Embedded::prune`] removes, so that publishes wait for milliseconds at most.
const PRUNE_CHUNK: u64 = 1000;
/// What a job without records takes of the queue.
const JOB_BYTES: usize = 256;

/// The embedded bus.
#[derive(Clone)]
pub(crate) struct Embedded(Arc<Inner>);

struct Inner {
    path: PathBuf,
    timeout: Duration,
    queue_bytes: usize,
    retention: Retention,
    /// The way to the writer; it ends when the last sender is gone, or on [`Job::Close`].
    jobs: mpsc::Sender<Queued>,
    /// The bytes that may still be queued. Bounds `jobs`, which itself has no bound.
    room: Arc<Semaphore>,
    state: Arc<watch::Sender<State>>,
    /// For look-ups. Subscriptions have connections of their own.
    reader: Arc<Mutex<Connection>>,
    /// Which topic has a member in which group.
    claims: Mutex<HashSet<(Arc<str>, Topic)>>,
}

impl Embedded {
    pub(crate) async fn open(config: &BusConfig, dir: &Path) -> Result<Self, BusError> {
        const DOING: &str = "open the log";
        let unavailable = |error| BusError::unavailable(DOING, error);
        fs::create_dir_all(dir).map_err(unavailable)?;
        let lock = lock(dir, config.timeout).await?;
        let path = dir.join(DATABASE);
        let opened = blocking(DOING, {
            let path = path.clone();
            move || {
                let log = Log::open(&path)?;
                let heads = log.heads()?;
                Ok((log, heads, log::reader(&path)?))
            }
        });
        let (log, heads, reader) = opened.await?;
        let state = Arc::new(watch::Sender::new(State::new(heads)));
        let (jobs, queue) = mpsc::channel();
        writer::spawn(log, queue, Arc::clone(&state), wall_clock(), lock).map_err(unavailable)?;
        Ok(Self(Arc::new(Inner {
            path,
            timeout: config.timeout,
            queue_bytes: config.queue_bytes,
            retention: config.retention.clone(),
            jobs,
            room: Arc::new(Semaphore::new(config.queue_bytes)),
            state,
            reader: Arc::new(Mutex::new(reader)),
            claims: Mutex::default(),
        })))
    }

    pub(crate) async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<Vec<Position>, BusError> {
        let size_bytes = records.iter().map(Record::size_bytes).sum();
        self.ask("append to the log", size_bytes, |done| Job::Append { topic, records, done }).await
    }

    pub(crate) async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Subscription, BusError> {
        self.check_open()?;
        let path = self.0.path.clone();
        let reader = blocking("open the log", move || log::reader(&path)).await?;
        Ok(Subscription::new(self.clone(), group, topics, reader))
    }

    pub(crate) async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, BusError> {
        self.check_open()?;
        let next = self.heads()[topic as usize];
        let first = self.look_up(move |reader| log::first(reader, topic)).await?.unwrap_or(next);
        Ok(vec![Bounds { partition: 0, first: first.min(next), next }])
    }

    pub(crate) async fn read(&self, topic: Topic, from: Position, max: usize) -> Result<Vec<Delivered>, BusError> {
        self.check_open()?;
        if from.partition != 0 {
            return Ok(Vec::new());
        }
        self.look_up(move |reader| log::read(reader, topic, from.offset, max)).await
    }

    pub(crate) async fn lag(&self, group: &str, topic: Topic) -> Result<u64, BusError> {
        let Bounds { first, next, .. } = self.bounds(topic).await?[0];
        let group = group.to_owned();
        let committed = self.look_up(move |reader| log::committed(reader, &group, topic)).await?;
        Ok((next - committed.max(first)).max(0).unsigned_abs())
    }

    pub(crate) async fn forget(&self, group: &str) -> Result<(), BusError> {
        const DOING: &str = "forget a group";
        let group: Arc<str> = group.into();
        if held(&self.0.claims).iter().any(|(member, _)| *member == group) {
            return Err(BusError::unavailable(DOING, io::Error::other("it has members")));
        }
        self.ask(DOING, JOB_BYTES, |done| Job::Forget { group, done }).await
    }

    pub(crate) async fn prune(&self, topic: Topic, before: UnixMillis) -> Result<u64, BusError> {
        let mut n_pruned = 0;
        loop {
            let job = |done| Job::Prune { topic, before, max: PRUNE_CHUNK, done };
            let n = self.ask("prune the log", JOB_BYTES, job).await?;
            n_pruned += n;
            if n < PRUNE_CHUNK {
                return Ok(n_pruned);
            }
        }
    }

    pub(crate) async fn retain(&self, now: UnixMillis) -> Result<u64, BusError> {
        let mut n_pruned = 0;
        for topic in Topic::ALL {
            if let Keep::For(age) = self.0.retention.of(topic) {
                n_pruned += self.prune(topic, now.minus(age)).await?;
            }
        }
        Ok(n_pruned)
    }

    pub(crate) fn health(&self) -> Result<(), BusError> {
        let state = self.0.state.borrow();
        if state.closed { Err(BusError::Closed) } else { state.failing.clone().map_or(Ok(()), Err) }
    }

    pub(crate) async fn close(self) -> Result<(), BusError> {
        self.ask("close the log", JOB_BYTES, |done| Job::Close { done }).await
    }

    async fn commit(&self, group: Arc<str>, offsets: Vec<(Topic, i64)>) -> Result<(), BusError> {
        self.ask("commit offsets", JOB_BYTES, |done| Job::Commit { group, offsets, done }).await
    }

    /// Queues a job once there is room for it, and waits for the writer's answer; for both no longer than `timeout`.
    async fn ask<T>(
        &self,
        doing: &'static str,
        size_bytes: usize,
        job: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Job,
    ) -> Result<T, BusError> {
        let Inner { jobs, room, timeout: waited, queue_bytes, .. } = &*self.0;
        self.check_open()?;
        let deadline = Instant::now() + *waited;
        // A list larger than the queue gets all of it.
        let n_permits = u32::try_from(size_bytes.min(*queue_bytes)).unwrap_or(u32::MAX);
        let permit = timeout_at(deadline, Arc::clone(room).acquire_many_owned(n_permits))
            .await
            .map_err(|_| BusError::QueueFull { waited: *waited })?
            .map_err(|_| BusError::Closed)?;
        let (done, answer) = oneshot::channel();
        jobs.send(Queued { job: job(done), _room: permit }).map_err(|_| BusError::Closed)?;
        match timeout_at(deadline, answer).await {
            Ok(answer) => answer.unwrap_or(Err(BusError::Closed)),
            Err(_) => Err(BusError::Timeout { doing, waited: *waited }),
        }
    }

    /// Runs a look-up on a blocking thread, within `timeout`.
    async fn look_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        const DOING: &str = "read the log";
        let reader = Arc::clone(&self.0.reader);
        let answer = blocking(DOING, move || query(&held(&reader)));
        timeout(self.0.timeout, answer).await.unwrap_or(Err(BusError::Timeout { doing: DOING, waited: self.0.timeout }))
    }

    fn heads(&self) -> Heads {
        self.0.state.borrow().heads
    }

    fn check_open(&self) -> Result<(), BusError> {
        if self.0.state.borrow().closed { Err(BusError::Closed) } else { Ok(()) }
    }
}

/// Takes the directory for this process, waiting for an earlier one to end.
async fn lock(dir: &Path, patience: Duration) -> Result<File, BusError> {
    let unavailable = |error| BusError::unavailable("lock the log", error);
    let file = File::create(dir.join(LOCK)).map_err(unavailable)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_RETRY).await,
            Err(TryLockError::WouldBlock) => return Err(BusError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
    }
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(BusError::broken(doing, error)))
}

/// A lock whatever became of its last holder: what is guarded here is whole between any two statements.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
