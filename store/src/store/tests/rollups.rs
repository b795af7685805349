//! Rollups against the definition: every datapoint that was ever acknowledged, in a map.

use super::*;
use crate::{
    Bucket, Consolidate,
    retention::{Keep, archive_for},
    rollup::{floor, roll_up},
};

const HOUR_S: i64 = 3600;

fn fixture(keep: &str) -> Fixture {
    let keep = parse_archives(keep).unwrap();
    Fixture::with(|config| config.retention[0].keep = keep)
}

/// The buckets of datapoints as they follow from the definition.
fn naive(points: &BTreeMap<i64, f64>, resolution_s: i64) -> Vec<Bucket> {
    let mut buckets: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
    for (at, value) in points {
        buckets.entry(floor(*at, resolution_s)).or_default().push((*at, *value));
    }
    let bucket = |(timestamp_s, points): (i64, Vec<(i64, f64)>)| {
        let values = || points.iter().map(|(_, value)| *value);
        let (last_at_s, last) = *points.last().unwrap();
        Bucket {
            timestamp_s,
            count: points.len() as u64,
            sum: values().sum(),
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
            last,
            last_at_s,
        }
    };
    buckets.into_iter().map(bucket).collect()
}

#[test]
fn the_archive_is_the_finest_that_reaches_back_as_in_graphite() {
    let keep = parse_archives("10s:6h,1m:7d,10m:1y").unwrap();
    let resolution = |age_s: i64| keep.get(archive_for(&keep, age_s)).map(Keep::to_string).unwrap();
    for (age_s, expected) in [
        (0, "10s:6h"),
        (6 * HOUR_S, "10s:6h"),
        (6 * HOUR_S + 1, "1m:7d"),
        (7 * DAY_S, "1m:7d"),
        (30 * DAY_S, "10m:1y"),
        (i64::MAX, "10m:1y"),
        (-60, "10s:6h"),
    ] {
        assert_eq!(resolution(age_s), expected, "{age_s}");
    }
}

#[test]
fn datapoints_roll_up_when_their_time_is_up_and_reads_go_on() {
    let mut fixture = fixture("10s:6h,1m:2d,10m:10d");
    let points: Vec<(i64, f64)> = (0..720).map(|i| (i * 10, (i % 7) as f64)).collect();
    fixture.append("a.b", &points);
    let points: BTreeMap<i64, f64> = points.into_iter().map(|(at, value)| (START_S + at, value)).collect();
    let minutes = naive(&points, 60);
    let read = |fixture: &Fixture, step_s| {
        let series = fixture.store().lookup("a.b").unwrap();
        fixture.store().read_buckets(series, i64::MIN, i64::MAX, step_s).unwrap()
    };
    assert_eq!(read(&fixture, 60), minutes, "from the head");
    assert_eq!(fixture.maintain_at(3 * HOUR_S).n_written, 1);
    assert_eq!(read(&fixture, 60), minutes, "from a block");
    assert_eq!(fixture.maintain_at(17 * HOUR_S).n_rolled_up, 0, "the day is over but kept for six hours more");
    assert_eq!(fixture.maintain_at(18 * HOUR_S + 300).n_rolled_up, 1);
    for _ in 0..2 {
        assert_eq!(read(&fixture, 60), minutes, "from a rollup");
        assert_eq!(read(&fixture, 600), naive(&points, 600), "and coarser ones from it");
        let series = fixture.store().lookup("a.b").unwrap();
        assert!(fixture.store().read_points(series, i64::MIN, i64::MAX).unwrap().is_empty());
        let averages = fixture.store().read(series, START_S, START_S + 7200).unwrap();
        assert_eq!(averages.values[..2], [2.5, 16.0 / 6.0], "{averages:?}");
        let last = fixture.store().read_as(series, START_S, START_S + 120, Consolidate::Last).unwrap();
        assert_eq!((last.timestamps, last.values), (vec![START_S, START_S + 60], vec![5.0, 4.0]));
        fixture.reopen();
    }
    fixture.now_s.store(START_S + 61 * HOUR_S, Ordering::Relaxed);
    fixture.append("keeps.the.clock.going", &[(61 * HOUR_S, 1.0)]);
    assert_eq!(fixture.maintain_at(61 * HOUR_S).n_rolled_up, 1);
    assert_eq!(read(&fixture, 600), naive(&points, 600));
    assert_eq!(read(&fixture, 60), [], "only the ten minutes are left");
    fixture.now_s.store(START_S + 11 * DAY_S, Ordering::Relaxed);
    fixture.append("keeps.the.clock.going", &[(11 * DAY_S, 1.0)]);
    assert_eq!(fixture.maintain_at(11 * DAY_S).n_dropped, 1);
    assert_eq!(read(&fixture, 600), []);
}

#[test]
fn each_series_is_kept_by_the_first_rule_that_matches() {
    let fixture = Fixture::with(|config| {
        let rule = |pattern: &str, keep: &str| crate::retention::RetentionRule {
            pattern: pattern.to_owned(),
            keep: parse_archives(keep).unwrap(),
        };
        config.retention = vec![rule("short.*", "10s:1h"), rule("*.long", "1m:1d,1h:30d")];
    });
    let keep = |name: &str| {
        let series = fixture.store().intern(name).unwrap();
        fixture.store().retention(series).iter().map(Keep::to_string).collect::<Vec<_>>().join(",")
    };
    assert_eq!(keep("short.long"), "10s:1h");
    assert_eq!(keep("a.long"), "1m:1d,1h:30d");
    assert_eq!(keep("other"), "10s:6h,1m:7d,10m:1y", "what no rule matches has the default");
    assert_eq!(fixture.append("short.x", &[(-HOUR_S - 1, 1.0), (0, 1.0)]).n_refused, 1);
    assert_eq!(fixture.append("a.long", &[(-HOUR_S - 1, 1.0), (0, 1.0)]).n_refused, 0);
    fixture.store().flush().unwrap();
    assert_eq!(fixture.blocks().len(), 2, "a block for each rule");
    fixture.now_s.store(START_S + 2 * DAY_S, Ordering::Relaxed);
    fixture.append("a.long", &[(2 * DAY_S, 3.0)]);
    fixture.maintain_at(2 * DAY_S);
    assert_eq!(fixture.read("short.x"), []);
    let series = fixture.store().lookup("a.long").unwrap();
    assert_eq!(fixture.store().read_buckets(series, i64::MIN, i64::MAX, 3600).unwrap().len(), 3);
}

#[test]
fn what_is_replayed_after_a_crash_is_not_counted_twice() {
    let mut fixture = fixture("10s:1h,1m:10d");
    fixture.append("now", &[(2 * DAY_S, 1.0)]);
    fixture.now_s.store(START_S + 2 * DAY_S, Ordering::Relaxed);
    // Late beyond the first archive: it goes to a block of its old day, and from there to a rollup.
    fixture.append("late", &[(0, 5.0), (10, 7.0)]);
    let log: Vec<(PathBuf, Vec<u8>)> =
        fixture.segments().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    fixture.store().flush().unwrap();
    // A crash after the blocks were written and before the log went.
    fixture.store = None;
    log.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    fixture.reopen();
    for _ in 0..3 {
        fixture.maintain_at(2 * DAY_S);
        fixture.reopen();
    }
    let series = fixture.store().lookup("late").unwrap();
    let points = Columns { timestamps: vec![START_S, START_S + 10], values: vec![5.0, 7.0] };
    let mut expected = Vec::new();
    roll_up(&points, 60, &mut expected);
    assert!(fixture.store().read_points(series, i64::MIN, i64::MAX).unwrap().is_empty(), "it was rolled up");
    assert_eq!(fixture.store().read_buckets(series, i64::MIN, i64::MAX, 60).unwrap(), expected);
}

#[test]
fn a_crash_between_a_rollup_and_the_removal_of_its_sources_counts_nothing_twice() {
    let mut fixture = fixture("10s:1h,1m:10d");
    fixture.append("a", &[(0, 5.0), (10, 7.0)]);
    fixture.store().flush().unwrap();
    let source = fixture.blocks()[0].clone();
    let copy = fixture.dir.path().join("copy");
    let files = ["points.parquet", "series.parquet", "pages.idx", "meta.json"];
    fs::create_dir(&copy).unwrap();
    files.iter().for_each(|name| assert!(fs::copy(source.join(name), copy.join(name)).is_ok()));
    assert_eq!(fixture.maintain_at(DAY_S).n_rolled_up, 1);
    fixture.store = None;
    fs::rename(&copy, &source).unwrap();
    fixture.reopen();
    let series = fixture.store().lookup("a").unwrap();
    let buckets = fixture.store().read_buckets(series, i64::MIN, i64::MAX, 60).unwrap();
    assert_eq!((buckets.len(), buckets[0].count, buckets[0].sum), (1, 2, 12.0));
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(i16, i16)>),
    Later(u32),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => prop::collection::vec((any::<i16>(), any::<i16>()), 1..120).prop_map(Step::Append),
        4 => (0u32..90_000).prop_map(Step::Later),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rollups_equal_the_definition(steps in steps(), is_cold in any::<bool>()) {
        // Odd resolutions, which do not divide a day, and times to keep that a few steps reach.
        let keep = parse_archives("10s:10h,70s:3d,700s:2y").unwrap();
        let mut fixture = Fixture::with(|config| {
            config.retention[0].keep = keep;
            if is_cold {
                config.memory_bytes = 1;
            }
        });
        let mut model: BTreeMap<i64, f64> = BTreeMap::new();
        let mut now_s = 0i64;
        for step in steps {
            match step {
                Step::Append(points) => {
                    // Each time once: that a repeat counts once holds only as long as the first one is a datapoint still.
                    let mut fresh = Vec::new();
                    for (at, value) in points {
                        let (at, value) = (now_s + i64::from(at), f64::from(value) / 8.0);
                        if let std::collections::btree_map::Entry::Vacant(free) = model.entry(START_S + at) {
                            free.insert(value);
                            fresh.push((at, value));
                        }
                    }
                    let appended = fixture.append("a", &fresh);
                    prop_assert_eq!(appended.n_refused, 0);
                }
                Step::Later(later_s) => {
                    now_s += i64::from(later_s);
                    fixture.maintain_at(now_s);
                }
                Step::Restart => fixture.reopen(),
            }
        }
        if let Some(series) = fixture.store().lookup("a") {
            for _ in 0..2 {
                let buckets = fixture.store().read_buckets(series, i64::MIN, i64::MAX, 700).unwrap();
                prop_assert_eq!(&buckets, &naive(&model, 700));
                let store = fixture.store();
                let middle_s = START_S + now_s / 2;
                let part = store.read_buckets(series, middle_s, i64::MAX, 700).unwrap();
                let is_after = |bucket: &&Bucket| bucket.timestamp_s >= middle_s;
                prop_assert_eq!(part, naive(&model, 700).iter().filter(is_after).copied().collect::<Vec<_>>());
                fixture.reopen();
            }
        }
    }
}
