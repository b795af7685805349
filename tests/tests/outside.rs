//! Series as other programs get them: exported, and in the store's own files.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use deployline_tests::{
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Datapoints of a series: more than a page of the store's files holds.
const N_POINTS: i64 = 1500;

type Rows = BTreeMap<(String, i64), f64>;

/// Whole numbers, decimals, numbers of all digits, and one series with a tag and uneven times.
fn rows(until_s: i64) -> Rows {
    let mut rows = Rows::new();
    for index in 0..N_POINTS {
        let at_s = until_s - 10 * (N_POINTS - index);
        let whole = (index * 7919 % 1000) as f64;
        rows.insert(("outside.whole".to_owned(), at_s), whole);
        rows.insert(("outside.decimal".to_owned(), at_s), whole / 10.0);
        rows.insert(("outside.all_digits".to_owned(), at_s), (index as f64).sin() * 1e3);
        rows.insert(("outside.tagged;host=web,1".to_owned(), at_s + index % 3), 1.0 / (whole + 1.0));
    }
    rows
}

fn start() -> (Server, Rows) {
    let settings = Settings {
        // So that blocks are written within the test.
        store: "window = \"10s\"".to_owned(),
        sections: "[[retention]]\nmatch = \"*\"\nkeep = [\"1s:7d\"]\n".to_owned(),
        ..Settings::default()
    };
    let server = Server::start(&settings).unwrap();
    let expected = rows(now().as_secs());
    let mut stream = TcpStream::connect(server.ports.carbon).unwrap();
    let lines: String = expected.iter().map(|((name, at_s), value)| format!("{name} {value} {at_s}\n")).collect();
    stream.write_all(lines.as_bytes()).unwrap();
    drop(stream);
    let n_taken = || Ok((csv(&server).lines().count() == expected.len() + 1).then_some(()));
    eventually("the datapoints", PATIENCE, n_taken).unwrap();
    (server, expected)
}

fn csv(server: &Server) -> String {
    // The tagged series is asked for by a glob of its own, as everywhere.
    let said = server.cli(&["export", "outside.*", "outside.tagged;host=*"]).unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

fn read(reader: &str, kind: &str, files: &[PathBuf]) -> anyhow::Result<Rows> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = tests.join("../.cache/venv/bin/python");
    let mut command = Command::new(&python);
    command.arg(tests.join("python/read_series.py")).args([reader, kind]).args(files);
    let read = command.output().with_context(|| format!("{}: run `scripts/setup test`", python.display()))?;
    ensure!(read.status.success(), "{reader}: {}", String::from_utf8_lossy(&read.stderr));
    let rows: Vec<(String, i64, String)> = serde_json::from_slice(&read.stdout)?;
    let n_rows = rows.len();
    let row = |(name, at_s, value): (String, i64, String)| anyhow::Ok(((name, at_s), value.parse()?));
    let rows = rows.into_iter().map(row).collect::<anyhow::Result<Rows>>()?;
    ensure!(rows.len() == n_rows, "{reader} has a row twice");
    Ok(rows)
}

#[test]
fn an_export_is_what_was_sent_in_every_form_and_to_every_reader() {
    let (mut server, expected) = start();
    let line = csv(&server).lines().find(|line| line.contains("tagged")).unwrap().to_owned();
    assert!(line.starts_with("\"outside.tagged;host=web,1\","), "{line}");
    let export = |server: &Server, out: &str, more: &[&str]| {
        let said = server
            .cli(&[&["export", "outside.*", "outside.tagged;host=*", "--from", "-7d", "--out", out], more].concat())
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        server.folder().join(out)
    };
    let parquet = export(&server, "online.parquet", &[]);
    for reader in ["pyarrow", "duckdb"] {
        assert_eq!(read(reader, "exports", std::slice::from_ref(&parquet)).unwrap(), expected, "{reader}");
    }
    let jsonl = fs::read_to_string(export(&server, "online.jsonl", &[])).unwrap();
    let object = |line: &str| -> ((String, i64), f64) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = (row["series"].as_str().unwrap().to_owned(), row["timestamp"].as_i64().unwrap());
        // The JSON reader rounds the last bit, so the value is read as text.
        let value = line.rsplit_once(':').unwrap().1.trim_end_matches('}');
        (key, value.parse().unwrap())
    };
    assert_eq!(jsonl.lines().map(object).collect::<Rows>(), expected);

    // The files of a server that runs are its own; of one that does not they are anybody's.
    let offline = ["--offline", "deployline.toml"];
    let refused = server.cli(&[&["export", "outside.*", "--out", "refused.csv"], &offline[..]].concat()).unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("in use by another process"), "{told}");
    assert!(!server.folder().join("refused.csv").exists() && !server.folder().join("refused.csv.partial").exists());
    server.kill9().unwrap();
    let parquet = export(&server, "offline.parquet", &offline);
    assert_eq!(read("duckdb", "exports", &[parquet]).unwrap(), expected);
    let refused = server.cli(&["export", "outside.*", "--out", "x.xlsx"]).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains(".parquet, .csv or .jsonl"));
}

#[test]
fn other_readers_find_in_the_blocks_what_was_sent() {
    let (server, expected) = start();
    for reader in ["pyarrow", "duckdb"] {
        let found = || {
            let folders = fs::read_dir(server.data().join("series/blocks"))?.collect::<Result<Vec<_>, _>>()?;
            let is_whole = |path: &PathBuf| path.extension().is_none();
            let folders = folders.into_iter().map(|folder| folder.path()).filter(is_whole);
            let files: Vec<PathBuf> = folders.map(|folder| folder.join("points.parquet")).collect();
            ensure!(!files.is_empty(), "no block yet");
            let mut found = read(reader, "blocks", &files)?;
            // The server's own series lie beside them.
            found.retain(|(name, _), _| name.starts_with("outside."));
            Ok((found.len() >= expected.len()).then_some(found))
        };
        // A merge may take a file away between the list and the reading; the next look finds all of it.
        assert_eq!(eventually("the blocks", Duration::from_secs(60), found).unwrap(), expected, "{reader}");
    }
}
