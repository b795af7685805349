use super::*;

pub(crate) fn limits() -> Limits {
    Limits { max_names: 1000, max_timer_values: 1000, max_set_members: 100, deletes: [false; 4], gauges_max_ttl: 1 }
}

fn aggregator(limits: Limits, packets: &[&str]) -> Aggregator {
    let mut aggregator = Aggregator::new(limits, "statsd");
    packets.iter().for_each(|packet| aggregator.add_packet(packet.as_bytes()));
    aggregator
}

/// The values of a kind as `name=values`.
#[track_caller]
fn check(aggregator: &Aggregator, kind: Kind, expected: &[&str]) {
    let values = aggregator.values(kind).into_iter().filter(|(name, _)| !name.starts_with("statsd."));
    let shown: Vec<_> = values
        .map(|(name, values)| format!("{name}={}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(",")))
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn each_kind_adds_up_in_its_way() {
    let aggregator = aggregator(
        limits(),
        &["c:2|c|@0.1\nc:-4|c\nt:3|ms\nt:1|ms|@0.5\ng:10|g\ng:+5|g\ng:-3|g\nn:-7|g\ns:x|s\ns:y|s\ns:x|s"],
    );
    check(&aggregator, Kind::Counter, &["c=16"]);
    check(&aggregator, Kind::Timer, &["t=3,1"]);
    check(&aggregator, Kind::Gauge, &["g=12", "n=-7"]);
    check(&aggregator, Kind::Set, &["s=2"]);
}

#[test]
fn it_counts_itself_as_etsys_daemon_does() {
    let aggregator = aggregator(limits(), &["a:1|c\nbad\nb:1|c:x|c\n\n", "a:1|c"]);
    let own: Vec<_> = aggregator
        .values(Kind::Counter)
        .into_iter()
        .filter(|(name, _)| name.starts_with("statsd."))
        .map(|(_, values)| values[0])
        .collect();
    // bad_lines_seen, metrics_received, packets_received: a line with one bad value is received and bad at once.
    assert_eq!(own, [2.0, 4.0, 2.0]);
}

#[test]
fn kinds_do_not_share_names() {
    let aggregator = aggregator(limits(), &["a:1|c\na:2|ms\na:3|g\na:4|s"]);
    assert_eq!(aggregator.n_names(), 3 + 4);
}

#[test]
fn new_names_beyond_the_bound_are_refused_and_counted() {
    let mut aggregator = aggregator(Limits { max_names: 16, ..limits() }, &[]);
    for n in 0..100 {
        aggregator.add_packet(format!("n{n}:1|c\nt{n}:1|ms").as_bytes());
    }
    assert_eq!(aggregator.n_names(), 16);
    assert_eq!(aggregator.tally().n_refused_names, 200 - 13);
    aggregator.add_packet(b"n0:1|c");
    assert_eq!(aggregator.tally().n_refused_names, 200 - 13);
}

#[test]
fn members_beyond_the_bound_are_refused_and_counted() {
    let mut aggregator = aggregator(limits(), &[]);
    (0..150).for_each(|n| aggregator.add_packet(format!("s:{n}|s").as_bytes()));
    check(&aggregator, Kind::Set, &["s=100"]);
    assert_eq!(aggregator.tally().n_refused_members, 50);
}

#[test]
fn sums_stay_finite() {
    let aggregator = aggregator(limits(), &["c:1e308|c\nc:1e308|c\ng:1e308|g\ng:+1e308|g"]);
    assert_eq!(aggregator.values(Kind::Counter)[0].1, [1e308]);
    assert_eq!(aggregator.tally().n_overflows, 2);
}

#[test]
fn an_interval_begins_empty_apart_from_gauges() {
    let mut aggregator = aggregator(limits(), &["c:1|c\nt:1|ms\ng:1|g\ns:1|s"]);
    let taken = aggregator.take(Interval::default());
    assert_eq!(taken.counters.iter().map(|counter| counter.sum).collect::<Vec<_>>(), [0.0, 1.0, 4.0, 1.0]);
    check(&aggregator, Kind::Counter, &["c=0"]);
    check(&aggregator, Kind::Timer, &["t="]);
    check(&aggregator, Kind::Gauge, &["g=1"]);
    check(&aggregator, Kind::Set, &["s=0"]);
}

#[test]
fn deleted_metrics_are_gone_with_their_values() {
    let mut aggregator = aggregator(limits(), &["a.x:1|c\na.y:1|c\nab:1|c\nt:1|ms\nu:2|ms\nt:3|ms"]);
    assert_eq!(aggregator.delete(Kind::Counter, "a.*"), ["a.x", "a.y"]);
    assert_eq!(aggregator.delete(Kind::Counter, "nothing"), Vec::<String>::new());
    assert_eq!(aggregator.delete(Kind::Counter, "statsd.*"), Vec::<String>::new());
    assert_eq!(aggregator.delete(Kind::Timer, "t"), ["t"]);
    check(&aggregator, Kind::Counter, &["ab=1"]);
    check(&aggregator, Kind::Timer, &["u=2"]);
    aggregator.add_packet(b"a.x:5|c");
    check(&aggregator, Kind::Counter, &["a.x=5", "ab=1"]);
}

#[test]
fn names_that_come_and_go_do_not_fill_the_table_where_idle_ones_are_deleted() {
    let mut aggregator = aggregator(Limits { max_names: 100, deletes: [true; 4], ..limits() }, &[]);
    let mut recycled = Interval::default();
    for flush in 0..200 {
        for n in 0..5 {
            aggregator.add_packet(format!("pod{flush}.c{n}:1|c\npod{flush}.t{n}:1|ms\nsteady:1|c").as_bytes());
        }
        recycled = aggregator.take(recycled);
    }
    assert_eq!(aggregator.tally().n_refused(), 0);
    assert!(aggregator.n_names() <= 100);
}
