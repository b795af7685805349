//! Real input.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// What a parser is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// Headers of the request, where there is one.
    pub headers: Vec<(String, String)>,
    /// The body, packet, line or text.
    pub body: Vec<u8>,
}

impl Input {
    /// An input without headers.
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { headers: Vec::new(), body: body.into() }
    }
}

/// The requests of every source in the test data of the hooks, with their senders' headers.
///
/// # Panics
/// When the data is not there.
pub fn hooks() -> BTreeMap<String, Vec<Input>> {
    let folder = data();
    let index = fs::read(folder.join("INDEX.json")).expect("the hooks' test data has an index");
    let index: BTreeMap<String, Value> = serde_json::from_slice(&index).expect("the index is JSON");
    let mut inputs: BTreeMap<String, Vec<Input>> = BTreeMap::new();
    for (path, facts) in index {
        let Some((source, _)) = path.split_once('/') else { continue };
        let headers = facts["headers"].as_object().into_iter().flatten();
        let headers = headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let body = fs::read(folder.join(&path)).expect("what the index names is there");
        inputs.entry(source.to_owned()).or_default().push(Input { headers: headers.collect(), body });
    }
    inputs
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ingest/tests/data/hooks")
}

/// Binary-mode CloudEvents.
pub fn binary_cloudevents() -> Vec<Input> {
    let attributes = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "100%25"),
        ("ce-source", "/ci"),
        ("ce-type", "io.deployline.deploy.v1"),
        ("ce-time", "2025-11-24T16:00:00Z"),
    ];
    let headers = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    vec![Input { headers, body: br#"{"service": "web", "version": "abc", "started_at": 1763999000}"#.to_vec() }]
}

/// Packets of StatsD and DogStatsD clients.
pub fn statsd() -> Vec<Input> {
    let packets = [
        "web.requests:1|c\nweb.latency:320.5|ms|@0.1\nweb.queue:-3|g\nweb.users:alice|s\n",
        "a.b:1:2:3|c|#env:prod,host:a\nc:2|c|@0.5:3|c\nh:9|h|c:ci-1|T1656581400\n",
        "_e{13,5}:deploy web v2|by|me|d:1763999000|h:h1|p:low|t:error|#env:prod,service:web\n_sc|redis|1|m:slow\n",
        "deploys.web.production:1|c\ndeploylong.web.prod:42|g\nsp ace/sl@sh*x:1|c\n",
        "bad\n:1|c\na:|c\nb:1\nc:nan|g\nd:1e999|c\ne:1|c|@0\n",
    ];
    packets.map(Input::of).to_vec()
}

/// Lines of Graphite's plaintext protocol.
pub fn carbon() -> Vec<Input> {
    let lines = [
        "stats.counters.web.http.5xx.count 12.5 1764000000",
        "web.cpu;host=a;dc=eu\t1e3 1764000000.5",
        "deploys.web.production 1 -1",
        "a nan 1764000000",
        "a.b.c 1_000 99999999999",
    ];
    lines.map(Input::of).to_vec()
}

/// Pickles as carbon's relays (protocol 2) and StatsD's backend (protocol 0) write them.
pub fn pickles() -> Vec<Input> {
    let text = b"(l(S'web.requests'\n(L1764000000L\nS'1'\ntta(S'a.b'\n(I1764000000\nF2.5\ntta.".to_vec();
    let mut binary = b"\x80\x02]q\x00(X\x03\x00\x00\x00a.bq\x01J".to_vec();
    binary.extend(1_764_000_000_i32.to_le_bytes());
    binary.extend(b"G");
    binary.extend(2.5_f64.to_be_bytes());
    binary.extend(b"\x86q\x02\x86q\x03e.");
    [text, binary].map(Input::of).to_vec()
}

/// Targets as Grafana and dashboards send them.
pub fn targets() -> Vec<Input> {
    let targets = [
        r#"aliasSub(sumSeries(stats.counters.*.http.{4xx,5xx}.count), "(^.*$)", "\1 A")"#,
        "alias(movingAverage(summarize(web.requests, '1h', 'sum', false), 10), 'x')",
        r#"seriesByTag("name=web.cpu", "dc=~eu.*")|groupByTags('sum', 'host')|scale(0.1)"#,
        "template(hosts.$host.cpu, host='a')",
        "threshold(5, 'max', red)",
        "timeShift(a.b.c, '-1d', resetEnd=True)",
        "-6h",
        "12:30_20251124",
        "noon+yesterday",
    ];
    targets.map(Input::of).to_vec()
}

/// Moments as senders write them.
pub fn moments() -> Vec<Input> {
    ["2025-11-24T16:00:00.123+01:00", "1764000000", "1764000000123", "1764000000123456789", "1.7e9", "-1"]
        .map(Input::of)
        .to_vec()
}

/// Configurations.
pub fn configurations() -> Vec<Input> {
    let hooks = deployline_ingest::hooks::sources().iter().filter_map(|source| {
        let at = source.setup.find("[[hook]]")?;
        Some(Input::of(&source.setup[at..]))
    });
    let rest = r#"
[statsd]
udp = "127.0.0.1:8125"
flush = "10s"
percentiles = [50, 90, 95, 99]
[carbon]
line = "127.0.0.1:2003"
[bus]
kind = "kafka"
brokers = ["127.0.0.1:9092"]
[[retention]]
match = "*"
keep = ["10s:6h", "1m:7d", "10m:1y"]
[[topic]]
names = ["cd.events"]
[[tail]]
path = "/var/log/deployinator.log"
source = "deployinator"
[announce]
series = ["deploys.{service}.{environment}"]
"#;
    hooks.chain([Input::of(rest)]).collect()
}
