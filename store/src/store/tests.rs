use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
};

use deployline_schemas::time::UnixMillis;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{point::Columns, retention::parse_archives};

mod rollups;

/// Noon of some day.
const START_S: i64 = 1_700_049_600;

/// A store in a folder of its own, under a clock that the test moves.
struct Fixture {
    dir: TempDir,
    config: StoreConfig,
    now_s: Arc<AtomicI64>,
    store: Option<Store>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut StoreConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = StoreConfig::in_dir(dir.path());
        // One archive: what goes in is what comes out. Rollups have tests of their own.
        config.retention[0].keep = parse_archives("10s:1y").unwrap();
        change(&mut config);
        let mut fixture = Self { dir, config, now_s: Arc::new(AtomicI64::new(START_S)), store: None };
        fixture.reopen();
        fixture
    }

    /// Drops the store as a crash would, and opens it again.
    fn reopen(&mut self) {
        self.store = None;
        let now_s = self.now_s.clone();
        let clock: Clock = Arc::new(move || UnixMillis::from_secs(now_s.load(Ordering::Relaxed)));
        self.store = Some(Store::open(&self.config, clock).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn append(&self, name: &str, points: &[(i64, f64)]) -> Appended {
        let series = self.store().intern(name).unwrap();
        let points: Vec<Point> = points
            .iter()
            .map(|(offset, value)| Point { series, timestamp_s: START_S + offset, value: *value })
            .collect();
        self.store().append(&points).unwrap()
    }

    fn read(&self, name: &str) -> Vec<(i64, f64)> {
        let Some(series) = self.store().lookup(name) else { return Vec::new() };
        let columns: Columns = self.store().read(series, i64::MIN, i64::MAX).unwrap();
        columns.iter().map(|(at, value)| (at - START_S, value)).collect()
    }

    fn maintain_at(&self, offset_s: i64) -> Maintained {
        self.now_s.store(START_S + offset_s, Ordering::Relaxed);
        self.store().maintain(UnixMillis::from_secs(START_S + offset_s)).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(self.dir.path().join("series/wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn blocks(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(self.dir.path().join("series/blocks")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

#[test]
fn what_was_appended_is_read_back_after_a_restart_once() {
    let mut fixture = Fixture::new();
    fixture.append("a.b", &[(0, 1.0), (20, 3.0), (10, 2.0)]);
    fixture.append("a.b", &[(10, 7.0)]);
    let expected = [(0, 1.0), (10, 7.0), (20, 3.0)];
    assert_eq!(fixture.read("a.b"), expected);
    fixture.reopen();
    assert_eq!(fixture.read("a.b"), expected);
    fixture.reopen();
    assert_eq!(fixture.read("a.b"), expected);
}

#[test]
fn a_range_is_half_open() {
    let fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0), (10, 2.0), (20, 3.0)]);
    let series = fixture.store().lookup("a").unwrap();
    for _ in 0..2 {
        let columns = fixture.store().read(series, START_S, START_S + 20).unwrap();
        assert_eq!(columns.values, [1.0, 2.0]);
        assert!(fixture.store().read(series, START_S + 5, START_S + 5).unwrap().is_empty());
        fixture.store().flush().unwrap();
    }
}

#[test]
fn any_range_of_a_block_is_read_whichever_pages_it_lies_in() {
    let mut fixture = Fixture::new();
    // Pages of even steps, of uneven ones, and a last one that is short.
    let points: Vec<(i64, f64)> = (0..3000).map(|i| (10 * i + i * i / 1500 % 3, (i % 97) as f64 / 10.0)).collect();
    fixture.append("a", &points);
    fixture.append("b", &points[..7]);
    fixture.store().flush().unwrap();
    fixture.reopen();
    let series = fixture.store().lookup("a").unwrap();
    let edges = [-5, 0, 1, 10_235, 10_240, 10_243, 20_470, 20_481, 29_990, 40_000];
    for (from, until) in edges.iter().flat_map(|from| edges.iter().map(move |until| (*from, *until))) {
        let expected: Vec<_> = points.iter().filter(|(at, _)| (from..until).contains(at)).copied().collect();
        // Once from the file, once from what the first read kept.
        for _ in 0..2 {
            let columns = fixture.store().read(series, START_S + from, START_S + until).unwrap();
            let read: Vec<_> = columns.iter().map(|(at, value)| (at - START_S, value)).collect();
            assert!(read == expected, "[{from}, {until}): {} of {}", read.len(), expected.len());
        }
    }
}

#[test]
fn a_closed_window_becomes_a_block_and_its_log_goes() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    assert_eq!(fixture.maintain_at(60), Maintained::default());
    assert_eq!(fixture.maintain_at(7500).n_written, 1);
    assert_eq!(fixture.segments().len(), 1, "only the open segment is left");
    assert_eq!(fixture.store().stats().head_points, 0);
    fixture.append("a", &[(0, 9.0), (7300, 2.0)]);
    let expected = [(0, 9.0), (7300, 2.0)];
    assert_eq!(fixture.read("a"), expected, "the late rewrite wins over the block");
    fixture.store().flush().unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a"), expected, "and from the later block too");
}

#[test]
fn the_blocks_of_a_day_are_merged_once_it_is_over() {
    let mut fixture = Fixture::new();
    for i in 0..4i32 {
        fixture.append("a", &[(i64::from(i) * 10, f64::from(i)), (5, f64::from(i))]);
        fixture.append(&format!("only.{i}"), &[(0, f64::from(i))]);
        fixture.store().flush().unwrap();
    }
    let before = fixture.read("a");
    assert_eq!(fixture.blocks().len(), 4);
    assert_eq!(fixture.maintain_at(86_400).n_merged, 4);
    assert_eq!(fixture.blocks().len(), 1);
    for _ in 0..2 {
        assert_eq!(fixture.read("a"), before);
        assert_eq!(fixture.read("only.2"), [(0, 2.0)]);
        fixture.reopen();
    }
}

#[test]
fn data_past_the_longest_retention_goes_and_later_data_stays() {
    let keep = parse_archives("10s:3d").unwrap();
    let fixture = Fixture::with(|config| config.retention[0].keep = keep);
    fixture.append("a", &[(0, 1.0)]);
    fixture.maintain_at(2 * 86_400);
    fixture.append("a", &[(2 * 86_400 + 100, 2.0)]);
    assert_eq!(fixture.maintain_at(3 * 86_400 + 10).n_dropped, 1);
    assert_eq!(fixture.read("a"), [(2 * 86_400 + 100, 2.0)]);
    let appended = fixture.append("a", &[(0, 1.0), (3 * 86_400, f64::NAN), (5 * 86_400, 1.0)]);
    assert_eq!(appended, Appended { n_appended: 0, n_refused: 3 });
    assert_eq!(fixture.store().stats().n_refused_points, 3);
}

#[test]
fn a_new_name_past_the_limit_is_refused_and_counted_and_known_ones_go_on() {
    let fixture = Fixture::with(|config| config.max_series = 2);
    fixture.append("a", &[(0, 1.0)]);
    fixture.append("b", &[(0, 1.0)]);
    assert!(matches!(fixture.store().intern("c"), Err(StoreError::TooManySeries { limit: 2 })));
    fixture.append("a", &[(10, 2.0)]);
    assert_eq!(fixture.store().stats().n_refused_series, 1);
    let unknown = Point { series: SeriesId(99), timestamp_s: START_S, value: 1.0 };
    assert!(matches!(fixture.store().append(&[unknown]), Err(StoreError::UnknownSeries(SeriesId(99)))));
}

#[test]
fn a_second_process_is_kept_out() {
    let fixture = Fixture::new();
    let clock = deployline_schemas::time::wall_clock();
    assert!(matches!(Store::open(&fixture.config, clock), Err(StoreError::Locked { .. })));
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_frame_costs_only_that_frame() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    let segment = fixture.segments()[0].clone();
    let good = fs::metadata(&segment).unwrap().len();
    fixture.append("a", &[(10, 2.0), (20, 3.0)]);
    let whole = fs::read(&segment).unwrap();
    for end in good as usize..whole.len() {
        fixture.store = None;
        fixture.segments().iter().for_each(|path| fs::remove_file(path).unwrap());
        fs::write(&segment, &whole[..end]).unwrap();
        fixture.reopen();
        assert_eq!(fixture.read("a"), [(0, 1.0)], "cut at {end}");
        assert_eq!(fixture.store().stats().torn_bytes, (end as u64) - good);
        assert_eq!(fixture.store().stats().n_corrupt, 0);
    }
}

#[test]
fn damage_inside_a_segment_is_set_aside_and_the_rest_is_served() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    let segment = fixture.segments()[0].clone();
    let start = fs::metadata(&segment).unwrap().len() as usize;
    fixture.append("a", &[(10, 2.0)]);
    fixture.append("a", &[(20, 3.0)]);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[start + 15] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a"), [(0, 1.0), (20, 3.0)]);
    assert_eq!(fixture.store().stats().n_corrupt, 1);
    let copy = fixture.dir.path().join("series/damaged").join(segment.file_name().unwrap());
    assert_eq!(fs::read(copy).unwrap(), bytes);
}

#[test]
fn a_damaged_block_is_set_aside_and_the_rest_is_served() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    fixture.store().flush().unwrap();
    fixture.append("a", &[(10, 2.0)]);
    fixture.store().flush().unwrap();
    // Same length, other bytes: noticed when it is read. A cut file: noticed at the start.
    let paths = fixture.blocks();
    fixture.store = None;
    let length = fs::metadata(paths[0].join("points.parquet")).unwrap().len();
    fs::write(paths[0].join("points.parquet"), vec![7; length as usize]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a"), [(10, 2.0)]);
    assert_eq!(fixture.store().stats().n_corrupt, 1);
    fixture.store = None;
    fs::write(paths[1].join("points.parquet"), b"PAR1").unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a"), []);
    assert_eq!(fixture.blocks().len(), 0);
}

#[test]
fn names_that_the_log_lost_come_back_from_blocks() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    fixture.store().flush().unwrap();
    fixture.append("b", &[(0, 2.0)]);
    fixture.store = None;
    let path = fixture.dir.path().join("series/names.log");
    let mut bytes = fs::read(&path).unwrap();
    // The first frame holds the next number, the second the name `a`.
    let at = bytes.windows(4).enumerate().filter(|(_, window)| *window == b"DLf1").nth(1).unwrap().0;
    bytes[at + 13] ^= 1;
    fs::write(&path, bytes).unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a"), [(0, 1.0)]);
    assert_eq!(fixture.read("b"), [(0, 2.0)]);
}

#[test]
fn appends_of_many_threads_are_all_there_after_a_restart() {
    let mut fixture = Fixture::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || {
                for i in 0..25 {
                    fixture.append(&format!("t.{thread}"), &[(i * 10, i as f64)]);
                }
                fixture.store().flush().unwrap();
            });
        }
    });
    fixture.reopen();
    for thread in 0..8 {
        let expected: Vec<_> = (0..25).map(|i| (i * 10, i as f64)).collect();
        assert_eq!(fixture.read(&format!("t.{thread}")), expected);
    }
}

#[test]
fn a_full_head_makes_room_by_itself() {
    let fixture = Fixture::with(|config| config.memory_bytes = 1024);
    for batch in 0..20 {
        let points: Vec<_> = (0..50).map(|i| (batch * 500 + i * 10, i as f64)).collect();
        fixture.append("a", &points);
    }
    assert_eq!(fixture.read("a").len(), 1000);
    assert!(fixture.store().stats().n_blocks > 0);
}

#[test]
fn appends_reads_and_upkeep_at_once_neither_lose_nor_block() {
    let mut fixture = Fixture::with(|config| config.memory_bytes = 16 << 10);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for i in 0..100 {
                    let name = format!("t.{thread}");
                    fixture.append(&name, &(0..10).map(|j| (i * 10 + j, j as f64)).collect::<Vec<_>>());
                    assert_eq!(fixture.read(&name).len() as i64, (i + 1) * 10);
                    fixture.store().maintain(UnixMillis::from_secs(START_S)).unwrap();
                    fixture.store().stats();
                }
            });
        }
    });
    fixture.reopen();
    (0..4).for_each(|thread| assert_eq!(fixture.read(&format!("t.{thread}")).len(), 1000));
}

#[test]
fn a_name_goes_with_its_last_datapoint_and_its_number_with_it() {
    let keep = parse_archives("10s:1d").unwrap();
    let mut fixture = Fixture::with(|config| config.retention[0].keep = keep);
    for day in 0..6 {
        let at = day * 86_400;
        fixture.now_s.store(START_S + at, Ordering::Relaxed);
        fixture.append(&format!("host.{day}"), &[(at, 1.0)]);
        fixture.append("stays", &[(at, 1.0)]);
        fixture.maintain_at(at + 7500);
    }
    let names = |fixture: &Fixture| {
        let found = fixture.store().matching("host.*");
        found.into_iter().map(|(_, name)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert!(!names(&fixture).contains("host.1") && names(&fixture).contains("host.5"), "{}", names(&fixture));
    let (before, stays) = (names(&fixture), fixture.store().lookup("stays"));
    let fresh = fixture.store().intern("host.1").unwrap();
    assert!(fresh.0 > stays.unwrap().0 + 5, "a number is not given twice");
    fixture.append("stays", &[(5 * 86_400 + 7500, 1.0)]);
    fixture.reopen();
    assert_eq!(names(&fixture), format!("host.1 {before}"));
    assert_eq!((fixture.store().lookup("stays"), fixture.store().lookup("host.1")), (stays, Some(fresh)));
}

#[test]
fn a_clock_that_jumps_years_ahead_drops_nothing() {
    let fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    let maintained = fixture.maintain_at(50 * 365 * 86_400);
    assert_eq!((maintained.n_written, maintained.n_dropped), (1, 0));
    assert_eq!(fixture.read("a"), [(0, 1.0)]);
}

#[test]
fn a_damaged_block_does_not_stop_the_merge_of_the_others() {
    let mut fixture = Fixture::new();
    for i in 0..3 {
        fixture.append("a", &[(i * 10, i as f64)]);
        fixture.store().flush().unwrap();
    }
    fixture.store = None;
    let path = fixture.blocks()[1].join("points.parquet");
    let length = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![0; length as usize]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.maintain_at(86_400).n_merged, 0);
    assert_eq!(fixture.maintain_at(86_400).n_merged, 2);
    assert_eq!(fixture.read("a"), [(0, 0.0), (20, 2.0)]);
}

#[test]
fn a_failed_flush_keeps_everything_and_the_next_one_succeeds() {
    let mut fixture = Fixture::new();
    fixture.append("a", &[(0, 1.0)]);
    let blocks = fixture.dir.path().join("series/blocks");
    fs::remove_dir(&blocks).unwrap();
    assert!(fixture.store().flush().is_err());
    fixture.append("a", &[(10, 2.0)]);
    assert_eq!(fixture.read("a"), [(0, 1.0), (10, 2.0)]);
    fs::create_dir(&blocks).unwrap();
    assert_eq!(fixture.store().flush().unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(fixture.read("a"), [(0, 1.0), (10, 2.0)]);
        fixture.reopen();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i16, i32)>),
    Flush,
    Restart,
    Maintain(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let points = prop::collection::vec((0u8..4, any::<i16>(), any::<i32>()), 1..200);
    let step = prop_oneof![
        6 => points.prop_map(Step::Append),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        2 => any::<u16>().prop_map(Step::Maintain),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_equals_a_map(steps in steps(), is_cold in any::<bool>()) {
        let mut fixture = Fixture::with(|config| {
            if is_cold {
                // Nothing stays in memory, so that every read goes through Parquet.
                config.memory_bytes = 1;
            }
        });
        let mut model: BTreeMap<(u8, i64), f64> = BTreeMap::new();
        let mut offset_s = 0i64;
        for step in steps {
            match step {
                Step::Append(points) => {
                    let mut batch = Vec::new();
                    for (series, at, value) in points {
                        let (at, value) = (offset_s + i64::from(at), f64::from(value) / 8.0);
                        let id = fixture.store().intern(&format!("s.{series}")).unwrap();
                        batch.push(Point { series: id, timestamp_s: START_S + at, value });
                        model.insert((series, at), value);
                    }
                    prop_assert_eq!(fixture.store().append(&batch).unwrap().n_refused, 0);
                }
                Step::Flush => drop(fixture.store().flush().unwrap()),
                Step::Restart => fixture.reopen(),
                Step::Maintain(later_s) => {
                    offset_s += i64::from(later_s);
                    fixture.maintain_at(offset_s);
                }
            }
        }
        for _ in 0..2 {
            for series in 0..4u8 {
                let expected: Vec<_> =
                    model.range((series, i64::MIN)..=(series, i64::MAX)).map(|((_, at), value)| (*at, *value)).collect();
                prop_assert_eq!(fixture.read(&format!("s.{series}")), expected);
            }
            fixture.reopen();
        }
    }
}
