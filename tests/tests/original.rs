//! Side by side with the original daemon, npm's `statsd`, on the same packets: series for series, value for value, to the last bit. What
//! differs by intent is a list at the end.

use std::{collections::BTreeSet, env, thread, time::Duration};

use anyhow::{Context, ensure};
use deployline_tests::{
    graphite::{Flush, Graphite},
    original::{Original, send},
    server::{Server, Settings},
};

const FLUSH_S: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(20);
/// A burst that the machine's hiccups tear over two flushes is sent again, to new daemons.
const TRIES: usize = 4;
/// What both daemons write last.
const LAST: &str = "graphiteStats.flush_length";
/// What each daemon says of itself alone: its own timings, and what our own counters add to what is received.
const OWN: [&str; 7] = [
    "statsd.timestamp_lag",
    "statsd.numStats",
    "statsd.processing_time",
    "statsd.graphiteStats.",
    "statsd.packets_received",
    "statsd.metrics_received",
    ".deployline.",
];

/// One setting of both daemons: ours as lines of `[statsd]`, the original's as JavaScript.
struct Case {
    ours: &'static str,
    theirs: &'static str,
    /// Where the daemon's counter of lines is.
    lines: &'static str,
}

#[test]
fn the_default_namespace_and_percentiles_from_both_ends() {
    check(&Case {
        ours: "percentiles = [90, 50, 99.9, 1, -10, -99.9]",
        theirs: "percentThreshold: [90, 50, 99.9, 1, -10, -99.9], graphite: { legacyNamespace: false }",
        lines: "stats.counters.statsd.metrics_received.count",
    });
}

#[test]
fn the_legacy_namespace() {
    check(&Case {
        ours: "percentiles = [90]\nlegacy_namespace = true\nsuffix = \"x\"",
        theirs: "graphite: { legacyNamespace: true, globalSuffix: 'x' }",
        lines: "stats_counts.statsd.metrics_received.x",
    });
}

#[test]
fn idle_metrics_are_deleted_and_histograms_counted() {
    check(&Case {
        ours: "percentiles = [75]\ndelete_idle_stats = true\ngauges_max_ttl = 2\nprefix = \"p\"\nprefix_timer = \"\"\n\
               histogram = [{ metric = 'n1', bins = [10, 100.5, 'inf'] }, { metric = '', bins = [0.5, 500] }]",
        theirs: "percentThreshold: [75], deleteIdleStats: true, gaugesMaxTTL: 2,\n\
                 graphite: { legacyNamespace: false, globalPrefix: 'p', prefixTimer: '' },\n\
                 histogram: [{ metric: 'n1', bins: [10, 100.5, 'inf'] }, { metric: '', bins: [0.5, 500] }]",
        lines: "p.counters.statsd.metrics_received.count",
    });
}

#[test]
fn some_metrics_of_timers_and_no_counts() {
    check(&Case {
        ours: "percentiles = [90, -5]\nflush_counts = false\ntimer_metrics = ['count', 'upper_percent', 'lower_percent']\ndelete_timers = true",
        theirs: "percentThreshold: [90, -5], flush_counts: false, deleteTimers: true,\n\
                 calculatedTimerMetrics: ['count', 'upper_percent', 'lower_percent'], graphite: { legacyNamespace: false }",
        lines: "stats.counters.statsd.metrics_received.rate",
    });
}

/// Three flushes of each daemon: of all packets, of the first fifth again, of nothing.
#[track_caller]
fn check(case: &Case) {
    let seed =
        env::var("DEPLOYLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("DEPLOYLINE_TEST_SEED={seed}");
    let mut packets: Vec<Vec<u8>> = EDGES.iter().map(|line| line.as_bytes().to_vec()).collect();
    packets.extend(random(seed, 300));
    let some = packets[..packets.len() / 5].to_vec();
    let (theirs, ours) = side_by_side(case, &[packets, some, Vec::new()]).expect("both daemons run");
    let mut n_compared = 0;
    for (phase, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for name in names {
            let (theirs, ours) = (theirs.get(name), ours.get(name));
            // A sum over a negative percentile that takes all values is NaN in the original, which Graphite drops.
            if theirs.is_some_and(|value| value.is_nan())
                && ["mean_top", "sum_top", "sum_squares_top"].iter().any(|key| name.contains(key))
            {
                continue;
            }
            assert_eq!(
                theirs.map(|value| value.to_bits()),
                ours.map(|value| value.to_bits()),
                "flush {phase} of seed {seed}: {name}: the original has {theirs:?}, we have {ours:?}"
            );
            n_compared += 1;
        }
    }
    println!("{n_compared} values are the same");
    assert!(n_compared > 500, "{n_compared}");
}

/// The flushes of both daemons, one for each burst.
fn side_by_side(case: &Case, bursts: &[Vec<Vec<u8>>]) -> anyhow::Result<(Vec<Flush>, Vec<Flush>)> {
    thread::scope(|scope| {
        let theirs = scope.spawn(|| {
            again(|| {
                let graphite = Graphite::listen()?;
                let daemon = Original::start(&graphite, FLUSH_S, case.theirs)?;
                flushes(&graphite, case, bursts, 0, |packets| send(packets, daemon.statsd))
            })
        });
        let ours = scope.spawn(|| {
            again(|| {
                let graphite = Graphite::listen()?;
                let forward = format!("[[forward]]\nto = \"{}\"\n", graphite.address);
                let settings = Settings {
                    flush_s: FLUSH_S,
                    statsd: case.ours.to_owned(),
                    sections: forward,
                    ..Settings::default()
                };
                let server = Server::start(&settings)?;
                // Our own counters come on top, some dozens a flush.
                flushes(&graphite, case, bursts, 200, |packets| send(packets, server.ports.statsd))
            })
        });
        let join =
            |handle: thread::ScopedJoinHandle<'_, anyhow::Result<Vec<Flush>>>| handle.join().expect("it did not panic");
        Ok((join(theirs).context("the original")?, join(ours).context("ours")?))
    })
}

fn again(mut attempt: impl FnMut() -> anyhow::Result<Vec<Flush>>) -> anyhow::Result<Vec<Flush>> {
    let mut outcome = attempt();
    for _ in 1..TRIES {
        if outcome.is_err() {
            outcome = attempt();
        }
    }
    outcome
}

/// Sends each burst at the beginning of an interval and takes the flush that ends it.
fn flushes(
    graphite: &Graphite,
    case: &Case,
    bursts: &[Vec<Vec<u8>>],
    n_more: usize,
    send: impl Fn(&[Vec<u8>]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Flush>> {
    let (mut at, _) = graphite.flush_after(0, LAST, PATIENCE)?;
    let mut flushes = Vec::new();
    for packets in bursts {
        let began = at;
        send(packets)?;
        let (next, mut flush) = graphite.flush_after(at, LAST, PATIENCE)?;
        let n_lines = packets
            .iter()
            .flat_map(|packet| packet.split(|byte| *byte == b'\n'))
            .filter(|line| !line.is_empty())
            .count();
        let per = if case.lines.ends_with(".rate") { FLUSH_S as f64 } else { 1.0 };
        let n_seen = (flush.get(case.lines).context("it does not count its lines")? * per).round() as usize;
        ensure!(
            (n_lines..=n_lines + n_more).contains(&n_seen) && next - began <= FLUSH_S as i64 + 1,
            "{n_seen} of {n_lines} lines are in the flush"
        );
        flush.retain(|name, _| !OWN.iter().any(|own| name.contains(own)));
        flushes.push(flush);
        at = next;
    }
    Ok(flushes)
}

/// Lines on the edges of the grammar, on which both daemons agree.
const EDGES: [&str; 40] = [
    "edge.sampled:2|c|@0.1",
    "edge.third:1|c|@0.3\nedge.third:2|c|@0.7",
    "edge.fraction:1.5|c",
    "edge.negative:-4|c",
    "edge.several:1|c:2|c:3|c",
    "edge.kinds:1|c:2|ms:3|g",
    "edge.gauge:10|g\nedge.gauge:+5|g\nedge.gauge:-3|g",
    "edge.below:-7|g",
    "edge.zero:5|g\nedge.zero:0|g\nedge.zero:-2|g",
    "edge.set:x|s\nedge.set:y|s\nedge.set:x|s",
    "edge.empty.member:|s",
    "sp ace/sl@sh*x:1|c",
    "white \t  space:1|c",
    "größe:1|c",
    "edge.tagged:1|c|#env:prod,host:a",
    "edge.tagged:2|c|#env:prod,host:b",
    "edge.tagged.timer:2|ms|#host:b",
    "edge.tagged.timer:3|ms|@0.5|#host:b",
    "edge.no.tags:1|c|#",
    "edge.graphite;host=a:1|g",
    "edge.bad:-5|ms",
    "edge.bad:abc|c",
    "edge.bad:|c",
    "edge.bad:1",
    "edge.bad",
    "edge.bad:1|c|@",
    "edge.bad:1|c|@x",
    "edge.bad:1|c|@-1",
    "edge.bad:1|c|",
    "edge.bad:1|g|x",
    "edge.half:10|ms|@0.5\nedge.half:20|ms|@0.5",
    "edge.one:7|ms",
    "edge.two:7|ms\nedge.two:9|ms",
    "edge.plus:+5|c",
    "edge.forms:1e3|c:.5|c:5.|c: 7 |c",
    "edge.type.blank:1| c ",
    "edge.return:1|c\r\nedge.return:2|c\r\n",
    "\n\nedge.lines:1|c\n\n",
    "edge.large:123456789012345678|c\nedge.large:0.1|c",
    "edge.over:1|c|@2",
];

/// Packets of random metrics: known and new names, every kind, values in the forms that clients write.
fn random(seed: u64, n_packets: usize) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut packet = || {
        let mut lines = Vec::new();
        for _ in 0..rng.usize(1..12) {
            let name = format!("{}.n{}", ["svc", "web.http", "a-b_c", "x"][rng.usize(..4)], rng.u32(0..25));
            let number = |rng: &mut fastrand::Rng| match rng.u8(0..4) {
                0 => rng.u32(0..1000).to_string(),
                1 => format!("{:.3}", rng.f64() * 300.0),
                2 => rng.f64().to_string(),
                _ => format!("{}e{}", rng.u32(1..99), rng.i8(-3..4)),
            };
            let rate = |rng: &mut fastrand::Rng| match rng.u8(0..3) {
                0 => format!("|@{}", rng.u32(1..1000) as f64 / 1000.0),
                _ => String::new(),
            };
            let value = number(&mut rng);
            lines.push(match rng.u8(0..10) {
                0..4 => format!("{name}.t:{value}|ms{}", rate(&mut rng)),
                4..7 => format!("{name}.c:{}{value}|c{}", ["", "-"][rng.usize(..2)], rate(&mut rng)),
                7 => format!("{name}.g:{}{value}|g", ["", "+", "-"][rng.usize(..3)]),
                8 => format!("{name}.s:{}|s", rng.u32(0..40)),
                _ => format!("{name}.m:{value}|c:{}|c|#k:{}", number(&mut rng), rng.u8(0..3)),
            });
        }
        lines.join("\n").into_bytes()
    };
    (0..n_packets).map(|_| packet()).collect()
}

/// A line, a series, and what the original and we say of it; `None` where there is no such series.
type Difference = (&'static str, &'static str, Option<f64>, Option<f64>);

/// Everything on which we differ by intent: each row says in its line why.
const DIFFERENCES: [Difference; 24] = [
    // DogStatsD's histograms and distributions are distributions, not sums.
    ("d.h:5|h", "stats.counters.d.h.count", Some(5.0), None),
    ("d.h:5|h", "stats.timers.d.h.upper", None, Some(5.0)),
    ("d.d:5|d", "stats.counters.d.d.count", Some(5.0), None),
    ("d.d:5|d", "stats.timers.d.d.upper", None, Some(5.0)),
    // A type that nobody knows is no counter.
    ("d.m:7|m", "stats.counters.d.m.count", Some(7.0), None),
    // Several values of one type, as DogStatsD's clients pack them.
    ("d.packed:1:2:3|c", "stats.counters.d.packed.count", Some(3.0), Some(6.0)),
    // A rate of 0 means nothing.
    ("d.rate0:1|c|@0", "stats.counters.d.rate0.count", Some(f64::INFINITY), None),
    // The whole rate counts, also its exponent.
    ("d.exponent:1|c|@1e-1", "stats.counters.d.exponent.count", Some(1.0), Some(10.0)),
    // The rate counts after tags as well.
    ("d.order:1|c|#k:v|@0.5", "stats.counters.d.order.count;k=v0.5", Some(1.0), None),
    ("d.order:1|c|#k:v|@0.5", "stats.counters.d.order.count;k=v", None, Some(2.0)),
    // Tags are sorted, as carbon stores them, and one without a value, which Graphite would refuse, is true.
    ("d.sorted:1|c|#b:1,a:2", "stats.counters.d.sorted.count;b=1;a=2", Some(1.0), None),
    ("d.sorted:1|c|#b:1,a:2", "stats.counters.d.sorted.count;a=2;b=1", None, Some(1.0)),
    ("d.bare:1|c|#urgent", "stats.counters.d.bare.count;urgent", Some(1.0), None),
    ("d.bare:1|c|#urgent", "stats.counters.d.bare.count;urgent=true", None, Some(1.0)),
    // InfluxDB's tags are tags.
    ("d.influx,k=v:1|c", "stats.counters.d.influxk=v.count", Some(1.0), None),
    ("d.influx,k=v:1|c", "stats.counters.d.influx.count;k=v", None, Some(1.0)),
    // A member of a set may hold colons.
    ("d.member:a:1|s\nd.member:b:1|s", "stats.sets.d.member.count", Some(1.0), Some(2.0)),
    // Without a name there is no series.
    (":1|c", "stats.counters..count", Some(1.0), None),
    ("***:1|c", "stats.counters..count", Some(1.0), None),
    // A field that nobody knows makes a line bad, wherever it stands.
    ("d.field:1|c|@0.5|x", "stats.counters.d.field.count", Some(2.0), None),
    // Infinity is no amount.
    ("d.infinite:Infinity|c", "stats.counters.d.infinite.count", Some(f64::INFINITY), None),
    // Nor are hexadecimal digits, or blanks alone.
    ("d.hex:0x10|c", "stats.counters.d.hex.count", Some(16.0), None),
    ("d.blank: |c", "stats.counters.d.blank.count", Some(0.0), None),
    // DogStatsD's events and service checks are no bad lines.
    ("_e{5,4}:title|text\n_sc|svc|0", "stats.counters.statsd.bad_lines_seen.count", Some(2.0), Some(0.0)),
];

#[test]
fn what_differs_is_listed() {
    let case = Case {
        ours: "",
        theirs: "graphite: { legacyNamespace: false }",
        lines: "stats.counters.statsd.metrics_received.count",
    };
    let mut lines: Vec<&str> = DIFFERENCES.iter().map(|(line, ..)| *line).collect();
    lines.dedup();
    // Bad lines are counted by themselves, in a burst where nothing else is bad.
    let (events, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("_e"));
    let bursts = [others, events].map(|lines| lines.into_iter().map(|line| line.as_bytes().to_vec()).collect());
    let (theirs, ours) = side_by_side(&case, &bursts).unwrap();
    for (line, series, expected_theirs, expected_ours) in DIFFERENCES {
        let burst = usize::from(line.starts_with("_e"));
        let found = |flushes: &[Flush]| flushes[burst].get(series).copied();
        let both_unnamed =
            if series == "stats.counters..count" { expected_theirs.map(|_| 2.0) } else { expected_theirs };
        assert_eq!((found(&theirs), found(&ours)), (both_unnamed, expected_ours), "{line}: {series}");
    }
}
