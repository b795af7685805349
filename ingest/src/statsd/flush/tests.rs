use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use deployline_store::Appended;
use proptest::prelude::*;

use super::*;
use crate::statsd::aggregate::{Aggregator, Limits};

/// Keeps what it is given, by name and timestamp.
#[derive(Default)]
struct Table {
    names: Mutex<Vec<String>>,
    values: Mutex<BTreeMap<(String, i64), f64>>,
    max_series: Option<usize>,
    sketches: Mutex<Vec<(String, u64)>>,
}

impl Sink for Table {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        let mut names = self.names.lock().unwrap();
        assert_eq!(deployline_schemas::series::canonical(name).as_deref(), Ok(name));
        let at = names.iter().position(|known| known == name);
        if at.is_none() && self.max_series.is_some_and(|max| names.len() >= max) {
            return Err(SinkError::Refused("full".into()));
        }
        Ok(SeriesId(at.unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        }) as u32))
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        let (names, mut values) = (self.names.lock().unwrap(), self.values.lock().unwrap());
        for point in points {
            values.insert((names[point.series.0 as usize].clone(), point.timestamp_s), point.value);
        }
        Ok(Appended { n_appended: points.len(), n_refused: 0 })
    }

    fn name(&self, series: SeriesId) -> Option<std::sync::Arc<str>> {
        Some(self.names.lock().unwrap().get(series.0 as usize)?.as_str().into())
    }

    fn wants_sketches(&self) -> bool {
        true
    }

    fn sketch(&self, name: &str, _timestamp_s: i64, sketch: &Sketch) {
        self.sketches.lock().unwrap().push((name.to_owned(), sketch.count()));
    }
}

fn limits(config: &StatsdConfig) -> Limits {
    Limits {
        max_names: config.max_names,
        max_timer_values: config.max_timer_values,
        max_set_members: config.max_set_members,
        deletes: config.deletes(),
        gauges_max_ttl: config.gauges_max_ttl,
    }
}

/// Flushes each group of packets; returns what the sink got at each flush as `name=value`, the daemon's own metrics aside.
fn flushes(config: &StatsdConfig, intervals: &[&str]) -> Vec<Vec<String>> {
    let table = Table::default();
    let mut aggregator = Aggregator::new(limits(config), &config.prefix_stats);
    let mut flusher = Flusher::new(config);
    let mut recycled = Interval::default();
    let mut stamp_s = 1_700_000_000;
    for packets in intervals {
        aggregator.add_packet(packets.as_bytes());
        let interval = aggregator.take(recycled);
        stamp_s += 10;
        flusher.flush(&interval, stamp_s, &Health::default(), &table, &mut Vec::new());
        recycled = interval;
    }
    let values = table.values.lock().unwrap();
    let shown = |at_s: i64| {
        let of = values.iter().filter(|((name, stamp_s), _)| *stamp_s == at_s && !name.contains("statsd"));
        of.map(|((name, _), value)| format!("{name}={}", (value * 1e3).round() / 1e3)).collect()
    };
    (1..=intervals.len() as i64).map(|n| shown(1_700_000_000 + 10 * n)).collect()
}

fn config(text: &str) -> StatsdConfig {
    let config: StatsdConfig = toml::from_str(text).unwrap();
    config.check().unwrap();
    config
}

#[track_caller]
fn check(settings: &str, packets: &str, expected: &str) {
    assert_eq!(flushes(&config(settings), &[packets])[0].join(" "), expected);
}

#[test]
fn current_names_are_the_default() {
    check(
        "percentiles = [90]",
        "a.b:5|c\nt:2|ms\ng:3|g\ns:x|s",
        "stats.counters.a.b.count=5 stats.counters.a.b.rate=0.5 stats.gauges.g=3 stats.sets.s.count=1 \
         stats.timers.t.count=1 stats.timers.t.count_90=1 stats.timers.t.count_ps=0.1 stats.timers.t.lower=2 stats.timers.t.mean=2 \
         stats.timers.t.mean_90=2 stats.timers.t.median=2 stats.timers.t.std=0 stats.timers.t.sum=2 stats.timers.t.sum_90=2 \
         stats.timers.t.sum_squares=4 stats.timers.t.sum_squares_90=4 stats.timers.t.upper=2 stats.timers.t.upper_90=2",
    );
}

#[test]
fn legacy_names_are_etsys_default() {
    check(
        "legacy_namespace = true\ntimer_metrics = ['count']",
        "a.b:5|c\nt:2|ms\ng:3|g\ns:x|s",
        "stats.a.b=0.5 stats.gauges.g=3 stats.sets.s.count=1 stats.timers.t.count=1 stats_counts.a.b=5",
    );
}

#[test]
fn prefixes_and_suffix_stand_around_the_name_and_before_the_tags() {
    check(
        "prefix = 'x'\nprefix_counter = ''\nsuffix = 'end'\nflush_counts = false",
        "a:5|c|#env:prod,dc:b",
        "x.a.rate.end;dc=b;env=prod=0.5",
    );
}

#[test]
fn timers_can_be_reduced_to_what_is_wanted() {
    check(
        "percentiles = [-10, 99.9]\ntimer_metrics = ['upper_percent', 'lower_percent', 'histogram']\nhistogram = [{metric = 'http', bins = [2, 2.5, 'inf']}, {metric = '', bins = []}]",
        "http:1:2:3|ms\nother:7|ms",
        "stats.timers.http.histogram.bin_2=1 stats.timers.http.histogram.bin_2_5=1 stats.timers.http.histogram.bin_inf=1 \
         stats.timers.http.upper_99_9=3 stats.timers.other.lower_top10=7 stats.timers.other.upper_99_9=7",
    );
}

#[test]
fn idle_metrics_go_on_as_zero_or_last_level() {
    let flushes = flushes(&config("timer_metrics = ['count', 'mean']"), &["c:1|c\nt:2|ms\ng:3|g\ns:x|s", ""]);
    assert_eq!(
        flushes[1].join(" "),
        "stats.counters.c.count=0 stats.counters.c.rate=0 stats.gauges.g=3 stats.sets.s.count=0 stats.timers.t.count=0"
    );
}

#[test]
fn idle_metrics_are_left_out_when_deleted() {
    let settings = config("timer_metrics = ['count']\ndelete_idle_stats = true\ngauges_max_ttl = 2");
    let flushes = flushes(&settings, &["c:1|c\nt:2|ms\ng:3|g\ns:x|s", "", "", "g:+1|g\nc:4|c"]);
    assert_eq!(flushes[1], ["stats.gauges.g=3"]);
    assert_eq!(flushes[2], Vec::<String>::new());
    // A gauge that was deleted begins at 0 again.
    assert_eq!(flushes[3], ["stats.counters.c.count=4", "stats.counters.c.rate=0.4", "stats.gauges.g=1"]);
}

#[test]
fn counts_of_sampled_timers_are_scaled_and_sums_are_not() {
    check(
        "percentiles = [90]\ntimer_metrics = ['count', 'sum', 'count_percent']",
        "t:10|ms|@0.5\nt:20|ms|@0.5",
        "stats.timers.t.count=4 stats.timers.t.count_90=2 stats.timers.t.sum=30",
    );
}

#[test]
fn beyond_the_bound_counts_and_sums_stay_exact() {
    let packet: String = (1..=1000).map(|n| format!("t:{n}|ms\n")).collect();
    let flushes = flushes(
        &config(
            "max_timer_values = 100\npercentiles = [95]\ntimer_metrics = ['count', 'sum', 'upper', 'lower', 'upper_percent']",
        ),
        &[&packet],
    );
    assert_eq!(flushes[0][..3], ["stats.timers.t.count=1000", "stats.timers.t.lower=1", "stats.timers.t.sum=500500"]);
    let upper_95: f64 = flushes[0][4].split_once('=').unwrap().1.parse().unwrap();
    assert!((upper_95 / 950.0 - 1.0).abs() <= Sketch::RELATIVE_ERROR, "{upper_95}");
}

#[test]
fn series_that_the_sink_refuses_are_counted_and_the_rest_goes_on() {
    let config = StatsdConfig::default();
    let table = Table { max_series: Some(8), ..Table::default() };
    let mut aggregator = Aggregator::new(limits(&config), "statsd");
    aggregator.add_packet(b"a:1|c\nb:1|c\nc:1|c");
    let mut flusher = Flusher::new(&config);
    let flushed = flusher.flush(&aggregator.take(Interval::default()), 10, &Health::default(), &table, &mut Vec::new());
    assert_eq!((flushed.n_points, flushed.n_refused), (8, 4 + 8));
}

#[test]
fn sketches_are_handed_out_where_they_are_wanted() {
    let config = StatsdConfig::default();
    let table = Table::default();
    let mut aggregator = Aggregator::new(limits(&config), "statsd");
    aggregator.add_packet(b"t:1:2:3|ms|#a:b\nidle:1|c");
    Flusher::new(&config).flush(&aggregator.take(Interval::default()), 10, &Health::default(), &table, &mut Vec::new());
    assert_eq!(*table.sketches.lock().unwrap(), [("t;a=b".to_owned(), 3)]);
}

/// One value of one of a few metrics, as `(name, type, value, rate)`; values are multiples of 1/8, so that sums are exact.
fn metric() -> impl Strategy<Value = (usize, &'static str, i32, f64)> {
    (
        0usize..5,
        prop_oneof![Just("c"), Just("ms"), Just("g"), Just("s")],
        0i32..1000,
        prop_oneof![Just(1.0), Just(0.5), Just(0.125)],
    )
}

proptest! {
    #[test]
    fn what_went_in_comes_out(intervals in proptest::collection::vec(proptest::collection::vec(metric(), 0..60), 1..5)) {
        let packets: Vec<String> = intervals.iter().map(|metrics| {
            metrics.iter().map(|(name, kind, eighths, rate)| format!("m{name}:{}|{kind}|@{rate}\n", f64::from(*eighths) / 8.0)).collect()
        }).collect();
        let packets: Vec<&str> = packets.iter().map(String::as_str).collect();
        let flushes = flushes(&config("percentiles = []\ntimer_metrics = ['count', 'sum', 'upper', 'median']"), &packets);
        let mut gauges = HashMap::new();
        for (metrics, flushed) in intervals.iter().zip(flushes) {
            let flushed: HashMap<&str, f64> = flushed.iter().map(|line| line.split_once('=').map(|(name, value)| (name, value.parse().unwrap())).unwrap()).collect();
            for name in 0..5 {
                let of = |kind: &str| metrics.iter().filter(|m| m.0 == name && m.1 == kind).map(|m| (f64::from(m.2) / 8.0, m.3)).collect::<Vec<_>>();
                let (counter, mut timer, set) = (of("c"), of("ms"), of("s"));
                let got = |series: String| flushed.get(series.as_str()).copied();
                let sum: f64 = counter.iter().map(|(value, rate)| value / rate).sum();
                prop_assert_eq!(got(format!("stats.counters.m{name}.count")).unwrap_or(0.0), sum);
                prop_assert_eq!(got(format!("stats.timers.m{name}.count")).unwrap_or(0.0), timer.iter().map(|(_, rate)| 1.0 / rate).sum::<f64>());
                if !timer.is_empty() {
                    timer.sort_by(|a, b| a.0.total_cmp(&b.0));
                    prop_assert_eq!(got(format!("stats.timers.m{name}.sum")), Some(timer.iter().map(|(value, _)| value).sum()));
                    prop_assert_eq!(got(format!("stats.timers.m{name}.upper")), Some(timer[timer.len() - 1].0));
                }
                let distinct: std::collections::HashSet<_> = set.iter().map(|(value, _)| value.to_bits()).collect();
                prop_assert_eq!(got(format!("stats.sets.m{name}.count")).unwrap_or(0.0), distinct.len() as f64);
                if let Some((level, _)) = of("g").last() {
                    gauges.insert(name, *level);
                }
                prop_assert_eq!(got(format!("stats.gauges.m{name}")), gauges.get(&name).copied());
            }
        }
    }
}
