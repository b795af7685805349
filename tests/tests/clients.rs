//! Unmodified StatsD clients say what they have to say, and the flushes have it: Python's `statsd` and `datadog`, Node's `hot-shots`, and a shell
//! without any. Rust's `statsd` sends our own counters, which every other test looks at.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use deployline_tests::{
    graphite::{Flush, Graphite},
    server::{Server, Settings},
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that flushes every second to a Graphite, and its Unix socket.
fn start() -> (Server, Graphite, tempfile::TempDir, PathBuf) {
    let (graphite, folder) = (Graphite::listen().expect("a port"), tempfile::tempdir().expect("a folder"));
    let socket = folder.path().join("statsd.sock");
    let settings = Settings {
        flush_s: 1,
        statsd: format!("percentiles = [90]\ndelete_idle_stats = true\nunix = {:?}", socket.display().to_string()),
        sections: format!("[[forward]]\nto = \"{}\"\n", graphite.address),
        ..Settings::default()
    };
    (Server::start(&settings).expect("a server"), graphite, folder, socket)
}

/// What all flushes have of a series: their sum, or of a gauge and of what has one value, the last.
fn total(flushes: &[Flush], series: &str) -> Option<f64> {
    let values: Vec<f64> = flushes.iter().filter_map(|flush| flush.get(series).copied()).collect();
    let is_sum = series.ends_with(".count") || series.contains(".count;");
    if is_sum { (!values.is_empty()).then(|| values.iter().sum()) } else { values.last().copied() }
}

#[track_caller]
fn check(graphite: &Graphite, expected: &[(&str, f64)]) {
    let there = || {
        let flushes: Vec<Flush> = graphite.flushes().into_values().collect();
        Ok(expected.iter().all(|(series, value)| total(&flushes, series) == Some(*value)).then_some(()))
    };
    if eventually("what was sent", PATIENCE, there).is_err() {
        let flushes: Vec<Flush> = graphite.flushes().into_values().collect();
        let found: Vec<_> = expected.iter().map(|(series, value)| (series, value, total(&flushes, series))).collect();
        panic!("series, what was sent, what came: {found:#?}");
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("the client starts: run `scripts/setup test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn python(script: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv/bin/python"));
    command.arg("-c").arg(script).args(arguments);
    command
}

#[test]
fn pythons_statsd_over_udp_and_tcp() {
    let (server, graphite, ..) = start();
    let script = "import sys, statsd\nhost, port = sys.argv[1], int(sys.argv[2])\n\
        udp = statsd.StatsClient(host, port, prefix='py')\n\
        for n in range(10): udp.incr('hits')\n\
        udp.decr('hits', 3); udp.gauge('level', 10); udp.gauge('level', -4, delta=True); udp.set('who', 'a'); udp.timing('took', 12.5)\n\
        with udp.pipeline() as packet:\n\
        \x20   packet.incr('packed', 2); packet.incr('packed', 5)\n\
        tcp = statsd.TCPStatsClient(host, port, prefix='py'); tcp.incr('streamed', 4); tcp.close()\n";
    run(&mut python(script, &["127.0.0.1".to_owned(), server.ports.statsd.port().to_string()]));
    check(
        &graphite,
        &[
            ("stats.counters.py.hits.count", 7.0),
            ("stats.gauges.py.level", 6.0),
            ("stats.sets.py.who.count", 1.0),
            ("stats.timers.py.took.upper_90", 12.5),
            ("stats.counters.py.packed.count", 7.0),
            ("stats.counters.py.streamed.count", 4.0),
        ],
    );
}

#[test]
fn datadogs_client_with_tags_over_udp_and_a_unix_socket() {
    let (server, graphite, _folder, socket) = start();
    let script = "import sys\nfrom datadog.dogstatsd import DogStatsd\n\
        udp = DogStatsd(host='127.0.0.1', port=int(sys.argv[1]), constant_tags=['env:prod'], disable_telemetry=True)\n\
        unix = DogStatsd(socket_path=sys.argv[2], disable_telemetry=True)\n\
        for n in range(6): udp.increment('dd.hits', tags=['host:a'])\n\
        udp.histogram('dd.size', 40, tags=['host:a']); udp.distribution('dd.spread', 7); udp.event('a title', 'a text'); udp.service_check('dd.check', 0)\n\
        for n in range(5): unix.increment('dd.unix')\n\
        unix.gauge('dd.level', 3.5)\n\
        udp.flush(); unix.flush()\n";
    run(&mut python(script, &[server.ports.statsd.port().to_string(), socket.display().to_string()]));
    check(
        &graphite,
        &[
            ("stats.counters.dd.hits.count;env=prod;host=a", 6.0),
            ("stats.timers.dd.size.upper;env=prod;host=a", 40.0),
            ("stats.timers.dd.spread.median;env=prod", 7.0),
            ("stats.counters.dd.unix.count", 5.0),
            ("stats.gauges.dd.level", 3.5),
        ],
    );
    let bad: f64 =
        graphite.flushes().values().filter_map(|flush| flush.get("stats.counters.statsd.bad_lines_seen.count")).sum();
    assert_eq!(bad, 0.0);
}

#[test]
fn nodes_hot_shots_in_both_of_its_dialects() {
    let (server, graphite, ..) = start();
    let script = "const { StatsD } = require('hot-shots');\nconst port = Number(process.argv[1]);\n\
        const plain = new StatsD({ host: '127.0.0.1', port, prefix: 'node.', maxBufferSize: 1000 });\n\
        const telegraf = new StatsD({ host: '127.0.0.1', port, telegraf: true });\n\
        for (let n = 0; n < 20; n++) plain.increment('hits', 1, { shard: 'x' });\n\
        plain.timing('took', 33); plain.set('who', 'b'); plain.distribution('spread', 9);\n\
        telegraf.increment('tele.hits', 2, { region: 'eu' });\n\
        plain.close(() => telegraf.close(() => {}));\n";
    let mut command = Command::new("node");
    command.arg("-e").arg(script).arg(server.ports.statsd.port().to_string());
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("node"));
    run(&mut command);
    check(
        &graphite,
        &[
            ("stats.counters.node.hits.count;shard=x", 20.0),
            ("stats.timers.node.took.median", 33.0),
            ("stats.sets.node.who.count", 1.0),
            ("stats.timers.node.spread.upper", 9.0),
            ("stats.counters.tele.hits.count;region=eu", 2.0),
        ],
    );
}

#[test]
fn a_shell_that_knows_no_statsd() {
    let (server, graphite, ..) = start();
    let mut command = Command::new("bash");
    let device = format!("/dev/udp/127.0.0.1/{}", server.ports.statsd.port());
    command.arg("-c").arg(format!("printf 'sh.hits:3|c\\nsh.took:250|ms' > {device}; echo 'sh.hits:1|c' > {device}"));
    run(&mut command);
    check(&graphite, &[("stats.counters.sh.hits.count", 4.0), ("stats.timers.sh.took.upper", 250.0)]);
}
