//! Beside the servers that a shop already has, each of them the real one: VictoriaMetrics and its agent, carbon's own daemon, the original StatsD.

use std::{
    fs,
    io::Write,
    net::{TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use deployline_tests::{
    graphite::Graphite,
    neighbour::{Neighbour, free_port},
    original::Original,
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// The values of a target over the last ten minutes, in order.
fn values(server: &Server, target: &str) -> anyhow::Result<Vec<f64>> {
    let answer = server.get("/render", &[("target", target), ("from", "-10min"), ("format", "json")])?;
    let series: Vec<Value> = answer.json()?;
    let points = series.iter().flat_map(|series| series["datapoints"].as_array().into_iter().flatten());
    Ok(points.filter_map(|point| point[0].as_f64()).collect())
}

/// VictoriaMetrics with a Graphite port, and the folder that it lives in.
fn victoria() -> anyhow::Result<(Neighbour, String, u16)> {
    let (http, graphite) = (free_port()?, free_port()?);
    let folder = tempfile::tempdir()?;
    let url = format!("http://127.0.0.1:{http}");
    let arguments = [
        format!("-httpListenAddr=127.0.0.1:{http}"),
        format!("-graphiteListenAddr=127.0.0.1:{graphite}"),
        format!("-storageDataPath={}", folder.path().join("data").display()),
        "-search.latencyOffset=0s".to_owned(),
        "-search.disableCache".to_owned(),
    ];
    let victoria = Neighbour::start("victoria-metrics", &arguments, folder)?;
    victoria.wait_for_port(http)?;
    Ok((victoria, url, graphite))
}

#[test]
fn series_of_victoriametrics_are_read_as_if_they_were_ours() {
    let (_victoria, url, graphite) = victoria().unwrap();
    let at = now().as_secs() / 10 * 10;
    let mut stream = TcpStream::connect(("127.0.0.1", graphite)).unwrap();
    for n in 0..12 {
        write!(stream, "theirs;host=a {n} {}\nplain {} {}\n", at - 120 + 10 * n, 100 + n, at - 120 + 10 * n).unwrap();
    }
    drop(stream);
    let source = format!(
        "[[source]]\nkind = \"prometheus\"\nurl = \"{url}\"\nprefix = \"vm.\"\nstep = \"10s\"\nfresh = \"1s\"\n\
         [source.queries]\n\"doubled\" = 'sum by (host) (theirs) * 2'\n"
    );
    let server = Server::start(&Settings { sections: source, ..Settings::default() }).unwrap();
    let read = |target: &str| {
        eventually(target, PATIENCE, || Ok(Some(values(&server, target)?).filter(|values| values.len() >= 12))).unwrap()
    };
    // A Prometheus repeats a series' last value for five minutes.
    let first = |values: Vec<f64>| values[..12].to_vec();
    assert_eq!(first(read("seriesByTag('name=vm.theirs','host=a')")), (0..12).map(f64::from).collect::<Vec<_>>());
    assert_eq!(first(read("vm.plain")), (100..112).map(f64::from).collect::<Vec<_>>());
    assert_eq!(first(read("vm.doubled;host=a")), (0..12).map(|n| 2.0 * f64::from(n)).collect::<Vec<_>>());
}

#[test]
fn what_victorias_agent_writes_remotely_is_kept() {
    let server =
        Server::start(&Settings { sections: "[remote_write]\nprefix = \"prom.\"\n".to_owned(), ..Settings::default() })
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The agent scrapes our own counters and writes them back to us, as Prometheus would.
    let scrape = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: shop\n    static_configs:\n      - targets: ['{}']\n        labels: {{ datacenter: 'dc 1' }}\n",
        server.ports.web
    );
    fs::write(folder.path().join("scrape.yml"), scrape).unwrap();
    let http = free_port().unwrap();
    let arguments = [
        format!("-httpListenAddr=127.0.0.1:{http}"),
        format!("-promscrape.config={}", folder.path().join("scrape.yml").display()),
        format!("-remoteWrite.url={}", server.url("/api/v1/write")),
        format!("-remoteWrite.tmpDataPath={}", folder.path().join("queue").display()),
        "-remoteWrite.flushInterval=1s".to_owned(),
    ];
    let _agent = Neighbour::start("vmagent", &arguments, folder).unwrap();
    let target = "seriesByTag('name=prom.up','job=shop','datacenter=dc_1')";
    let up = eventually("samples", PATIENCE, || Ok(Some(values(&server, target)?).filter(|values| values.len() >= 3)))
        .unwrap();
    assert!(up.iter().all(|value| *value == 1.0), "{up:?}");
}

#[test]
fn what_is_no_remote_write_is_refused_and_counted() {
    let server = Server::start(&Settings::default()).unwrap();
    let headers = |kind: &'static str| [("content-type", kind), ("content-encoding", "snappy")];
    let post = |kind, body: &[u8]| server.post("/api/v1/write", &headers(kind), body).unwrap().status;
    assert_eq!(post("application/x-protobuf;proto=io.prometheus.write.v2.Request", b"\x00"), 415);
    assert_eq!(post("application/x-protobuf", b"\x05\x10hell"), 400);
    assert_eq!(post("application/x-protobuf", b"\x00"), 204);
    // One series without a name, with one sample: nobody can keep that.
    let body = b"\x14\x4c\x0a\x12\x12\x10\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\x80\xd0\x95\xff\xbc\x31";
    assert_eq!(post("application/x-protobuf", body), 400);
    let metrics = server.get("/metrics", &[]).unwrap().text();
    assert!(metrics.contains("deployline_remote_write_bad_requests_total 1"), "{metrics}");
}

#[test]
fn carbon_gets_our_series_as_lines_and_pickles() {
    for protocol in ["line", "pickle"] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let carbon = Neighbour::carbon(folder, if protocol == "line" { (port, 0) } else { (0, port) }).unwrap();
        let sections =
            format!("[[forward]]\nto = \"127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\nmatch = [\"ours.*\"]\n");
        let server = Server::start(&Settings { sections, ..Settings::default() }).unwrap();
        let at = now().as_secs();
        let mut stream = TcpStream::connect(server.ports.carbon).unwrap();
        write!(stream, "ours.one 1.25 {at}\nother 7 {at}\nours.two -3 {at}\n").unwrap();
        drop(stream);
        let whisper = |name: &str| carbon.folder().join("storage/whisper").join(name);
        eventually("a whisper file", PATIENCE, || Ok(whisper("ours/two.wsp").is_file().then_some(()))).unwrap();
        assert!(whisper("ours/one.wsp").is_file() && !whisper("other.wsp").exists());
        let kept = || Ok(Some(carbon.fetch(&whisper("ours/one.wsp"), at)?).filter(|text| text.contains("1.25")));
        eventually("the value", PATIENCE, kept).unwrap();
    }
}

#[test]
fn the_original_behind_our_relay_counts_the_same() {
    let graphite = Graphite::listen().unwrap();
    let original = Original::start(&graphite, 2, "graphite: { legacyNamespace: false }").unwrap();
    let relay = format!("relay = [{{ to = \"{}\" }}]", original.statsd);
    let server = Server::start(&Settings { statsd: relay, ..Settings::default() }).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..50 {
        socket.send_to(b"relayed:2|c|@0.5\nrelayed.time:7|ms", server.ports.statsd).unwrap();
    }
    let sum = || {
        let counts =
            graphite.flushes().into_values().filter_map(|flush| flush.get("stats.counters.relayed.count").copied());
        let sum: f64 = counts.sum();
        Ok((sum >= 200.0).then_some(sum))
    };
    assert_eq!(eventually("the relayed counts", PATIENCE, sum).unwrap(), 200.0);
}

#[test]
fn aggregation_rules_make_series_of_series() {
    let sections = "[[aggregation]]\nrule = \"<env>.all.requests (1) = sum <env>.web*.requests\"\n".to_owned();
    let server = Server::start(&Settings { sections, ..Settings::default() }).unwrap();
    let at = now().as_secs();
    let mut stream = TcpStream::connect(server.ports.carbon).unwrap();
    write!(stream, "prod.web1.requests 3 {at}\nprod.web2.requests 4 {at}\nprod.db.requests 9 {at}\n").unwrap();
    drop(stream);
    let sum = || Ok(Some(values(&server, "prod.all.requests")?).filter(|values| !values.is_empty()));
    assert_eq!(eventually("the sum", PATIENCE, sum).unwrap(), [7.0]);
}

#[test]
fn carbons_files_become_sections_that_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    write(
        "storage-schemas.conf",
        "[carbon]\npattern = ^carbon\\.\nretentions = 60:90d\n[default]\npattern = .*\nretentions = 10s:6h,1min:7d\n",
    );
    write("aggregation-rules.conf", "<env>.all.requests (60) = sum <env>.*.requests\n");
    write("rewrite-rules.conf", "[pre]\n^collectd\\. = servers.\n");
    let server = Server::start(&Settings::default()).unwrap();
    let printed = server.cli(&["config", "import", "carbon", &folder.path().display().to_string()]).unwrap();
    assert!(printed.status.success());
    write("deployline.toml", &String::from_utf8(printed.stdout).unwrap());
    let file = folder.path().join("deployline.toml");
    assert_taken(&server, &file);
}

#[track_caller]
fn assert_taken(server: &Server, file: &Path) {
    let checked = server.cli(&["config", "check", &file.display().to_string()]).expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
