//! What the store costs under load, in figures of the process: CPU per datapoint, memory, bytes on disk, start.
//!
//! `cargo bench -p deployline-store --bench load -- [days|names|fleet|disk FOLDER]...`, all but the last when none is named. Beside each
//! figure stands what this machine does at best with the same bytes. `disk` stores every column of the CSV files below a
//! folder, a series each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use deployline_schemas::time::{Clock, UnixMillis};
use deployline_store::{Point, SeriesId, Store, StoreConfig, TagExpression, retention::parse_archives};

const START_S: i64 = 1_700_006_400;
const DAY_S: i64 = 86_400;
const STEP_S: i64 = 10;
/// As large as the batches that Graphite's port sends.
const BATCH: usize = 65_536;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // Phases that have a process of their own, so that its memory is theirs.
        ["fleet-write", dir] => fleet_write(Path::new(dir)),
        ["fleet-open", dir] => fleet_open(Path::new(dir)),
        ["disk", folder] => disk(Path::new(folder)),
        [] => ["days", "names", "fleet"].into_iter().for_each(run),
        _ => args.into_iter().for_each(run),
    }
}

fn run(name: &str) {
    match name {
        "days" => days(),
        "names" => names(),
        "fleet" => fleet(),
        other => panic!("`{other}` is none of days, names, fleet, disk FOLDER"),
    }
}

struct Bench {
    dir: tempfile::TempDir,
    now_s: Arc<AtomicI64>,
    store: Store,
}

fn open(dir: &Path, now_s: Arc<AtomicI64>) -> Store {
    let mut config = StoreConfig::in_dir(dir);
    config.max_series = 2_000_000;
    config.retention[0].keep = parse_archives("10s:7d,1m:30d").expect("archives");
    let clock: Clock = Arc::new(move || UnixMillis::from_secs(now_s.load(Ordering::Relaxed)));
    Store::open(&config, clock).expect("the store opens")
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let now_s = Arc::new(AtomicI64::new(START_S));
        Self { store: open(dir.path(), now_s.clone()), dir, now_s }
    }

    fn maintain_at(&self, now_s: i64) {
        self.now_s.store(now_s, Ordering::Relaxed);
        while self.store.maintain(UnixMillis::from_secs(now_s)).expect("upkeep") != Default::default() {}
    }
}

/// Seconds of CPU that the process has used, in user and in kernel mode, all threads.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a stat line").split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

/// Megabytes of memory: those in use now and the most there were.
fn memory_mb() -> (f64, f64) {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let mb = |name: &str| line(name).trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0;
    (mb("VmRSS:"), mb("VmHWM:"))
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.file_type().expect("a type").is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().expect("a size").len(),
        })
        .sum()
}

/// Five digits that nothing foretells, as in the peers' runs.
fn digits(seed: u64) -> f64 {
    // SplitMix64's finaliser.
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) % 90_000 + 10_000) as f64
}

fn intern(store: &Store, n_series: usize) -> Vec<SeriesId> {
    let name = |i: usize| format!("bench.g{}.h{}.m{i}", i % 10, i / 10 % 100);
    (0..n_series).map(|i| store.intern(&name(i)).expect("below the limit")).collect()
}

/// Seconds that `work` takes by the clock, the median of `n` runs, which are numbered.
fn median_s(n: i64, mut work: impl FnMut(i64)) -> f64 {
    let mut times: Vec<f64> = (0..n)
        .map(|turn| {
            let started = Instant::now();
            work(turn);
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// 1,000 series of a day: taken in, at rest, read.
fn days() {
    let bench = Bench::new();
    let ids = intern(&bench.store, 1000);
    let n_steps = DAY_S / STEP_S;
    let n_points = ids.len() as f64 * n_steps as f64;
    bench.now_s.store(START_S + DAY_S, Ordering::Relaxed);
    let (cpu, started) = (cpu_s(), Instant::now());
    let mut batch = Vec::with_capacity(BATCH);
    let (mut append_s, mut n_batches) = (0.0, 0);
    for step in 0..n_steps {
        for (index, series) in ids.iter().enumerate() {
            let value = digits(step as u64 * 1000 + index as u64);
            batch.push(Point { series: *series, timestamp_s: START_S + step * STEP_S, value });
            if batch.len() == BATCH {
                let appending = Instant::now();
                bench.store.append(&batch).expect("the disk has room");
                append_s += appending.elapsed().as_secs_f64();
                n_batches += 1;
                batch.clear();
            }
        }
    }
    bench.store.append(&batch).expect("the disk has room");
    let (cpu, wall) = (cpu_s() - cpu, started.elapsed().as_secs_f64());
    println!(
        "days/append/1k_series_24h: {:.3} us CPU a datapoint, {:.3} us wall, {:.3} us in append",
        1e6 * cpu / n_points,
        1e6 * wall / n_points,
        1e6 * append_s / (n_batches * BATCH) as f64
    );
    let wal_bytes = bench.store.stats().wal_bytes;
    println!(
        "  log: {:.1} bytes a datapoint; the same bytes written and synced: {:.3} us",
        wal_bytes as f64 / n_points,
        1e6 * sync_s(&bench.dir.path().join("limit"), wal_bytes, n_batches) / n_points
    );
    println!(
        "  memory: {:.2} bytes a datapoint by the store's count; the process has {:.0} MB, at most {:.0} MB",
        bench.store.stats().memory_bytes as f64 / n_points,
        memory_mb().0,
        memory_mb().1
    );
    reads(&bench.store, &ids, "head");
    let (cpu, started) = (cpu_s(), Instant::now());
    bench.store.flush().expect("the disk has room");
    println!(
        "days/flush: {:.3} us CPU a datapoint, {:.1} s",
        1e6 * (cpu_s() - cpu) / n_points,
        started.elapsed().as_secs_f64()
    );
    bench.maintain_at(START_S + 2 * DAY_S);
    println!(
        "days/disk: {:.2} bytes a datapoint of five random digits",
        bytes_below(&bench.dir.path().join("series/blocks")) as f64 / n_points
    );
    let Bench { dir, now_s, store } = bench;
    drop(store);
    now_s.store(START_S + DAY_S, Ordering::Relaxed);
    let store = open(dir.path(), now_s);
    reads(&store, &ids, "block");
}

fn reads(store: &Store, ids: &[SeriesId], from: &str) {
    let hour = |ids: &[SeriesId], from_s: i64| {
        let read = |id: &SeriesId| store.read(*id, from_s, from_s + 3600).expect("an hour is read").len();
        assert_eq!(ids.iter().map(read).sum::<usize>(), 360 * ids.len());
    };
    // As the server reads many series: half of them on another thread. Each time another hour, so that nothing is cached.
    let halves = |from_s: i64| {
        let (some, others) = ids.split_at(ids.len() / 2);
        std::thread::scope(|scope| {
            scope.spawn(|| hour(some, from_s));
            hour(others, from_s);
        });
    };
    let first_s = median_s(7, |turn| halves(START_S + 3 * 3600 * turn));
    let again_s = median_s(31, |_| halves(START_S + 18 * 3600));
    let hours_s = median_s(31, |_| hour(ids, START_S + 18 * 3600));
    let day_s = median_s(301, |turn| {
        let columns = store.read(ids[turn as usize * 7 % ids.len()], START_S, START_S + DAY_S).expect("a day is read");
        assert_eq!(columns.len(), 8640);
    });
    let limit_s = median_s(301, |_| {
        std::hint::black_box(std::hint::black_box(vec![1u8; 8640 * 16]).clone());
    });
    println!(
        "days/read/{from}: 1,000 series x 1 h on two threads {:.2} ms, again {:.2} ms, again on one {:.2} ms; \
         1 series x 24 h {:.3} ms; writing and copying a day's 138 KB {:.3} ms",
        1e3 * first_s,
        1e3 * again_s,
        1e3 * hours_s,
        1e3 * day_s,
        1e3 * limit_s
    );
}

/// Seconds to write and sync as many bytes in as many pieces.
fn sync_s(path: &Path, n_bytes: u64, n_pieces: usize) -> f64 {
    use std::io::Write;
    let piece = vec![7u8; n_bytes as usize / n_pieces.max(1)];
    let mut file = fs::File::create(path).expect("a file");
    let started = Instant::now();
    for _ in 0..n_pieces {
        file.write_all(&piece).and_then(|()| file.sync_data()).expect("the disk has room");
    }
    let elapsed = started.elapsed().as_secs_f64();
    fs::remove_file(path).expect("it was just made");
    elapsed
}

/// The first datapoints of 100,000 new series.
fn names() {
    let bench = Bench::new();
    let texts: Vec<String> = (0..100_000).map(|i| format!("bench.g{}.h{}.m{i}", i % 10, i / 10 % 100)).collect();
    let (cpu, started) = (cpu_s(), Instant::now());
    let point = |name: &String| Point {
        series: bench.store.intern(name).expect("below the limit"),
        timestamp_s: START_S,
        value: 1.0,
    };
    for texts in texts.chunks(BATCH) {
        let batch: Vec<Point> = texts.iter().map(point).collect();
        bench.store.append(&batch).expect("the disk has room");
    }
    println!(
        "names/first_points/100k: {:.2} s to durable, {:.2} s CPU",
        started.elapsed().as_secs_f64(),
        cpu_s() - cpu
    );
    let lookup_s = median_s(11, |_| assert!(texts.iter().all(|name| bench.store.lookup(name).is_some())));
    println!("names/lookup/100k: {:.3} us a known name", 1e6 * lookup_s / texts.len() as f64);
    for n_names in [100_000usize, 1_000_000] {
        let bench = Bench::new();
        for i in 0..n_names {
            bench.store.intern(&format!("a.{}.{}.{}", i % 10, i / 10 % 100, i / 1000)).expect("below the limit");
        }
        let all_s = median_s(21, |_| assert_eq!(bench.store.find("a.*.*.*").len(), n_names));
        let parts_s = median_s(21, |_| assert_eq!(bench.store.find("a.*.*.*").parts().count(), n_names / 1000));
        let level = bench.store.find("a.*.*.*");
        let limit_s = median_s(21, |_| drop(std::hint::black_box(level.clone())));
        println!(
            "names/find/a.*.*.*/{n_names}: {:.2} ms, distinct last parts {:.2} ms; copying the answer {:.2} ms",
            1e3 * all_s,
            1e3 * parts_s,
            1e3 * limit_s
        );
    }
    tags();
}

/// A million tagged series.
fn tags() {
    let bench = Bench::new();
    for i in 0..1_000_000 {
        let name = format!("cpu.m{};dc=dc{};host=host{:05};rack=r{}", i % 100, i / 100 % 4, i / 100, i / 1000 % 50);
        bench.store.intern(&name).expect("below the limit");
    }
    let select = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let expressions = TagExpression::parse_all(&texts).expect("expressions");
        let n_found = bench.store.tagged(&expressions).len();
        (n_found, 1e3 * median_s(11, |_| assert_eq!(bench.store.tagged(&expressions).len(), n_found)))
    };
    for texts in
        [&["name=cpu.m7", "host=host00042"][..], &["name=~cpu.m7$", "dc=dc1", "rack!=r3"], &["host=~host000[0-4]"]]
    {
        let (n_found, ms) = select(texts);
        println!("names/tagged/1m/{}: {n_found} series in {ms:.2} ms", texts.join(","));
    }
    let complete_s = median_s(11, |_| assert_eq!(bench.store.tag_values("host", "host09", &[], 100).len(), 100));
    println!("names/tag_values/1m: 100 of a thousand with a prefix in {:.3} ms", 1e3 * complete_s);
}

const FLEET: usize = 100_000;
const FLEET_S: i64 = 6 * 3600;

/// 100,000 series of six hours, and a start after a crash.
fn fleet() {
    let dir = tempfile::tempdir().expect("a folder");
    for phase in ["fleet-write", "fleet-open"] {
        let program = std::env::current_exe().expect("this program");
        let done = Command::new(program).arg(phase).arg(dir.path()).status().expect("this program runs");
        assert!(done.success(), "{phase}: {done}");
    }
}

fn fleet_write(dir: &Path) {
    let now_s = Arc::new(AtomicI64::new(START_S));
    let store = open(dir, now_s.clone());
    let ids = intern(&store, FLEET);
    let (cpu, started) = (cpu_s(), Instant::now());
    let mut batch = Vec::with_capacity(BATCH);
    for step in 0..FLEET_S / STEP_S {
        let at_s = START_S + step * STEP_S;
        now_s.store(at_s, Ordering::Relaxed);
        for ids in ids.chunks(BATCH) {
            batch.clear();
            batch.extend(ids.iter().map(|series| Point {
                series: *series,
                timestamp_s: at_s,
                value: digits(u64::from(series.0) << 20 | step as u64),
            }));
            store.append(&batch).expect("the disk has room");
        }
        store.maintain(UnixMillis::from_secs(at_s)).expect("upkeep");
    }
    let n_points = FLEET as f64 * (FLEET_S / STEP_S) as f64;
    let stats = store.stats();
    println!(
        "fleet/write/100k_series_6h: {:.3} us CPU a datapoint, blocks included, {:.0} s",
        1e6 * (cpu_s() - cpu) / n_points,
        started.elapsed().as_secs_f64()
    );
    println!(
        "  memory: {:.0} MB, at most {:.0} MB; {:.0} MB of it datapoints by the store's count",
        memory_mb().0,
        memory_mb().1,
        stats.memory_bytes as f64 / 1e6
    );
    println!(
        "  disk: {:.2} bytes a datapoint in {} blocks, log {:.0} MB",
        stats.block_bytes as f64 / stats.block_points as f64,
        stats.n_blocks,
        stats.wal_bytes as f64 / 1e6
    );
    // As a crash does: nothing is flushed.
    std::process::exit(0);
}

fn fleet_open(dir: &Path) {
    let started = Instant::now();
    let store = open(dir, Arc::new(AtomicI64::new(START_S + FLEET_S)));
    let opened_s = started.elapsed().as_secs_f64();
    let series = store.lookup("bench.g0.h0.m0").expect("it was written");
    let columns = store.read(series, START_S, START_S + FLEET_S).expect("it is read");
    assert_eq!(columns.len() as i64, FLEET_S / STEP_S);
    let limit_s = {
        let started = Instant::now();
        let read: usize = files_below(&dir.join("series"))
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "wal" || end == "log"))
            .map(|path| fs::read(path).expect("a file").len())
            .sum();
        std::hint::black_box(read);
        started.elapsed().as_secs_f64()
    };
    println!(
        "fleet/start/100k_series_6h: {opened_s:.2} s after a crash ({} datapoints replayed), {:.0} MB; reading the log's bytes alone {limit_s:.2} s",
        store.stats().head_points,
        memory_mb().0
    );
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Bytes that the last column of every CSV file takes, one series a file at one datapoint a minute.
fn disk(folder: &Path) {
    let (mut n_points, mut n_bytes) = (0, 0);
    for path in files_below(folder).iter().filter(|path| path.extension().is_some_and(|end| end == "csv")) {
        let text = fs::read_to_string(path).expect("a text");
        let values: Vec<f64> = text.lines().filter_map(|line| line.rsplit(',').next()?.trim().parse().ok()).collect();
        if values.len() < 1000 {
            continue;
        }
        let bench = Bench::new();
        bench.now_s.store(START_S + 6 * DAY_S, Ordering::Relaxed);
        // Of one day each, as blocks are; ten seconds apart.
        for (part, values) in values.chunks(8640).enumerate() {
            let series = bench.store.intern(&format!("real.{part}")).expect("below the limit");
            let point = |(index, value): (usize, &f64)| Point {
                series,
                timestamp_s: START_S + STEP_S * index as i64,
                value: *value,
            };
            let points: Vec<Point> = values.iter().enumerate().map(point).collect();
            bench.store.append(&points).expect("the disk has room");
        }
        bench.store.flush().expect("the disk has room");
        let points = files_below(&bench.dir.path().join("series/blocks"));
        let bytes: u64 = points
            .iter()
            .filter(|path| path.ends_with("points.parquet"))
            .map(|path| fs::metadata(path).expect("a size").len())
            .sum();
        println!(
            "disk: {:.2} bytes a datapoint, {} of {}",
            bytes as f64 / values.len() as f64,
            values.len(),
            path.strip_prefix(folder).unwrap_or(path).display()
        );
        n_points += values.len();
        n_bytes += bytes;
    }
    println!("disk: {:.2} bytes a datapoint over all", n_bytes as f64 / n_points as f64);
}
