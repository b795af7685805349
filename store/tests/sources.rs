//! Read-through against servers that answer, are slow, break off and talk nonsense, over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use deployline_schemas::UnixMillis;
use deployline_store::{Federation, Point, SourceConfig, SourceKind, Store, StoreConfig};
use tempfile::TempDir;

const NOW_S: i64 = 1_700_000_000;

/// An HTTP server that answers each request, given as `PATH BODY`, as the test says; `None` leaves it unanswered.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Self { url, requests }
    }

    fn n_requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Option<(u16, String)>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut line, mut n_bytes) = (String::new(), 0);
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                n_bytes = length.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; n_bytes];
        reader.read_exact(&mut body).ok()?;
        let request = format!("{path} {}", String::from_utf8_lossy(&body));
        kept.lock().unwrap().push(request.clone());
        let Some((status, text)) = answer(&request) else {
            // Neither an answer nor an end: the client's patience is what is tested.
            thread::sleep(Duration::from_secs(30));
            return None;
        };
        write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()?;
    }
}

/// A Graphite with `a.theirs` and `a.both`.
fn graphite(request: &str) -> Option<(u16, String)> {
    let node = |path: &str| format!(r#"{{"path": "{path}", "name": "x", "is_leaf": "1"}}"#);
    Some(match request {
        _ if request.starts_with("/metrics/find?query=a.") => (
            200,
            format!(
                r#"{{"metrics": [{}, {}, {{"path": "a.deep.", "name": "deep", "is_leaf": "0"}}]}}"#,
                node("a.both"),
                node("a.theirs")
            ),
        ),
        _ if request.starts_with("/metrics/find") => (200, r#"{"metrics": []}"#.to_owned()),
        _ if request.starts_with("/render") => {
            let series = |name: &str, value: f64| {
                let points: Vec<String> = (0..6)
                    .map(|n| {
                        format!(
                            "[{}, {}]",
                            if n == 1 { "null".to_owned() } else { value.to_string() },
                            NOW_S - 60 + 10 * n
                        )
                    })
                    .collect();
                format!(r#"{{"target": "{name}", "tags": {{}}, "datapoints": [{}]}}"#, points.join(","))
            };
            let asked = [("a.both", 1.0), ("a.theirs", 2.5)].into_iter().filter(|(name, _)| request.contains(name));
            (200, format!("[{}]", asked.map(|(name, value)| series(name, value)).collect::<Vec<_>>().join(",")))
        }
        _ => (404, "not here".to_owned()),
    })
}

/// A store with `a.ours` and two datapoints of `a.both`, before a source.
fn federation(config: SourceConfig) -> (TempDir, Federation) {
    let folder = tempfile::tempdir().unwrap();
    let clock: deployline_schemas::time::Clock = Arc::new(|| UnixMillis::from_secs(NOW_S));
    let store = Store::open(&StoreConfig::in_dir(folder.path()), Arc::clone(&clock)).unwrap();
    let (both, ours) = (store.intern("a.both").unwrap(), store.intern("a.ours").unwrap());
    let point = |series, timestamp_s, value| Point { series, timestamp_s, value };
    store.append(&[point(both, NOW_S - 20, 9.0), point(both, NOW_S - 5, 9.5), point(ours, NOW_S - 10, 3.0)]).unwrap();
    (folder, Federation::new(store, &[config], clock))
}

fn read(federation: &Federation, name: &str) -> Vec<(i64, f64)> {
    let series = federation.lookup(name).unwrap_or_else(|| panic!("{name} is not known"));
    federation.read(series, NOW_S - 60, NOW_S).unwrap().iter().map(|(at, value)| (at - NOW_S, value)).collect()
}

fn names(federation: &Federation, pattern: &str) -> Vec<String> {
    federation.matching(pattern).into_iter().map(|(_, name)| name.to_string()).collect()
}

#[test]
fn one_answer_is_merged_from_both_and_ours_counts() {
    let server = Server::start(graphite);
    let (_folder, federation) = federation(SourceConfig::new(SourceKind::Graphite, &server.url));
    assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours", "a.theirs"]);
    let both = [(-60, 1.0), (-40, 1.0), (-30, 1.0), (-20, 9.0), (-10, 1.0), (-5, 9.5)];
    assert_eq!(read(&federation, "a.both"), both);
    assert_eq!(read(&federation, "a.theirs"), [-60, -40, -30, -20, -10].map(|at| (at, 2.5)));
    assert_eq!(read(&federation, "a.ours"), [(-10, 3.0)]);
    let found: Vec<_> = federation.find("a.*").iter().map(|node| (node.path(), node.is_leaf)).collect();
    let expected = [("a.both", true), ("a.deep", false), ("a.ours", true), ("a.theirs", true)];
    assert_eq!(found, expected.map(|(path, is_leaf)| (path.to_owned(), is_leaf)));
    // The same again costs no request.
    let n_requests = server.n_requests();
    assert_eq!(names(&federation, "a.*").len(), 3);
    assert_eq!(read(&federation, "a.both"), both);
    assert_eq!(server.n_requests(), n_requests);
    assert_eq!(federation.source_stats()[0].n_series, 2);
}

#[test]
fn many_series_are_fetched_with_one_request() {
    let server = Server::start(graphite);
    let (_folder, federation) = federation(SourceConfig::new(SourceKind::Graphite, &server.url));
    let matched = federation.matching("a.*");
    let n_requests = server.n_requests();
    federation.prefetch(matched.iter().map(|(series, _)| *series), NOW_S - 60, NOW_S);
    for (series, _) in &matched {
        assert!(!federation.read(*series, NOW_S - 60, NOW_S).unwrap().is_empty());
    }
    assert_eq!(server.n_requests(), n_requests + 1);
}

#[test]
fn a_source_below_a_prefix_is_asked_for_its_own_names() {
    let server = Server::start(graphite);
    let config = SourceConfig { prefix: "old.".to_owned(), ..SourceConfig::new(SourceKind::Graphite, &server.url) };
    let (_folder, federation) = federation(config);
    assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours"]);
    assert_eq!(server.n_requests(), 0);
    assert_eq!(names(&federation, "old.a.*"), ["old.a.both", "old.a.theirs"]);
    assert_eq!(read(&federation, "old.a.both").len(), 5);
    assert_eq!(read(&federation, "a.both").len(), 2);
}

#[test]
fn a_source_that_does_not_answer_costs_its_timeout_once_and_ours_is_served() {
    let server = Server::start(|_| None);
    let config =
        SourceConfig { timeout: Duration::from_secs(1), ..SourceConfig::new(SourceKind::Graphite, &server.url) };
    let (_folder, federation) = federation(config);
    let began = Instant::now();
    assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours"]);
    assert_eq!(read(&federation, "a.both").len(), 2);
    assert_eq!(names(&federation, "b.*"), Vec::<String>::new());
    // One timeout, and then the source is left alone.
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    assert_eq!((server.n_requests(), federation.source_stats()[0].n_failures), (1, 1));
}

#[test]
fn nonsense_errors_and_an_absent_server_cost_the_sources_series_alone() {
    for answer in [(200, "<html>"), (500, "ouch"), (400, "no"), (200, "{}")] {
        let server = Server::start(move |_| Some((answer.0, answer.1.to_owned())));
        let (_folder, federation) = federation(SourceConfig::new(SourceKind::Graphite, &server.url));
        assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours"], "{answer:?}");
        assert_eq!(federation.find("a.*").len(), 2);
        // What it refuses is this request's fault; anything else is the server's.
        assert_eq!(federation.source_stats()[0].n_failures, u64::from(answer.0 != 400), "{answer:?}");
    }
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, federation) = federation(SourceConfig::new(SourceKind::Graphite, format!("http://{absent}")));
    assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours"]);
}

#[test]
fn more_names_than_are_remembered_are_passed_over_and_counted() {
    let server = Server::start(graphite);
    let config = SourceConfig { max_series: 1, ..SourceConfig::new(SourceKind::Graphite, &server.url) };
    let (_folder, federation) = federation(config);
    assert_eq!(names(&federation, "a.*"), ["a.both", "a.ours"]);
    let stats = &federation.source_stats()[0];
    assert_eq!((stats.n_series, stats.n_passed_over), (1, 1));
}

#[test]
fn prometheus_series_and_expressions_are_read_under_tagged_names() {
    let server = Server::start(|request| {
        let metric = r#"{"__name__": "up", "job": "web"}"#;
        let matrix = |metric: &str| {
            format!(
                r#"{{"status": "success", "data": {{"resultType": "matrix", "result": [{{"metric": {metric}, "values": [[{}, "1"], [{}, "NaN"], [{}, "0.5"]]}}]}}}}"#,
                NOW_S - 30,
                NOW_S - 20,
                NOW_S - 10
            )
        };
        Some(match request {
            _ if request.starts_with("/api/v1/series") => {
                (200, format!(r#"{{"status": "success", "data": [{metric}]}}"#))
            }
            _ if request.contains("http_errors_total") => (200, matrix(r#"{"service": "checkout"}"#)),
            _ if request.starts_with("/api/v1/query_range") => (200, matrix(metric)),
            _ => (404, String::new()),
        })
    });
    let mut config =
        SourceConfig { prefix: "prom.".to_owned(), ..SourceConfig::new(SourceKind::Prometheus, &server.url) };
    config.queries.insert("http.errors".to_owned(), "rate(http_errors_total[1m])".to_owned());
    let (_folder, federation) = federation(config);
    assert_eq!(names(&federation, "prom.up"), ["prom.up;job=web"]);
    assert_eq!(names(&federation, "prom.up;job=*"), ["prom.up;job=web"]);
    assert_eq!(names(&federation, "prom.up;job=db"), Vec::<String>::new());
    assert_eq!(read(&federation, "prom.up;job=web"), [(-30, 1.0), (-10, 0.5)]);
    let tagged = federation.find_tagged(Vec::new(), &["name=prom.up".to_owned(), "job=~w".to_owned()]);
    assert_eq!(tagged[0].1.as_ref(), "prom.up;job=web");
    assert_eq!(names(&federation, "prom.http.errors;service=*"), ["prom.http.errors;service=checkout"]);
    assert_eq!(read(&federation, "prom.http.errors;service=checkout"), [(-30, 1.0), (-10, 0.5)]);
}
