use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use super::{From, reader::Reader, *};

struct Bench {
    dir: tempfile::TempDir,
    log: PathBuf,
}

impl Bench {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("deploy.log");
        fs::write(&log, text).unwrap();
        Self { dir, log }
    }

    fn open(&self, from: From) -> Reader {
        Reader::open(self.log.clone(), &self.dir.path().join("tails"), from).unwrap()
    }

    fn append(&self, text: &str) {
        append(&self.log, text);
    }

    fn rotate(&self, to: &str) {
        fs::rename(&self.log, self.dir.path().join(to)).unwrap();
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Everything that is there, each chunk taken.
fn drain(reader: &mut Reader) -> String {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().unwrap() {
        all.extend(chunk.lines);
        reader.advance().unwrap();
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn appended_lines_are_handed_out_once_and_a_partial_one_is_waited_for() {
    let bench = Bench::new("a\nb");
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "a\n");
    bench.append("b\nc\n");
    assert_eq!(drain(&mut reader), "bb\nc\n");
    assert_eq!(drain(&mut reader), "");
}

#[test]
fn what_was_not_taken_is_handed_out_again_after_a_restart_and_what_was_is_not() {
    let bench = Bench::new("a\nb\n");
    let mut reader = bench.open(From::Start);
    reader.next().unwrap().unwrap();
    drop(reader);
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "a\nb\n");
    drop(reader);
    bench.append("c\n");
    let mut reader = bench.open(From::Start);
    let chunk = reader.next().unwrap().unwrap();
    assert_eq!((&chunk.known[..], &chunk.lines[..], chunk.offset), (&b"a\nb\n"[..], &b"c\n"[..], 4));
}

#[test]
fn from_the_end_only_what_comes_is_taken_but_a_file_that_appears_is_read_whole() {
    let bench = Bench::new("old\nhal");
    let mut reader = bench.open(From::End);
    assert_eq!(drain(&mut reader), "");
    bench.append("f\nnew\n");
    // After a restart before anything was taken, too.
    assert_eq!(drain(&mut bench.open(From::End)), "half\nnew\n");
    drop(reader);
    let bench = Bench::new("");
    fs::remove_file(&bench.log).unwrap();
    let mut reader = bench.open(From::End);
    assert_eq!(drain(&mut reader), "");
    bench.append("first\n");
    assert_eq!(drain(&mut reader), "first\n");
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_the_next() {
    let bench = Bench::new("a\n");
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "a\n");
    bench.append("b\nlast without break");
    bench.rotate("deploy.log.1");
    assert_eq!(drain(&mut reader), "b\nlast without break");
    bench.append("c\n");
    assert_eq!(drain(&mut reader), "c\n");
}

#[test]
fn a_file_that_was_rotated_while_nobody_looked_is_found_again() {
    let bench = Bench::new("a\n");
    assert_eq!(drain(&mut bench.open(From::Start)), "a\n");
    bench.append("b\n");
    bench.rotate("deploy.log.1");
    bench.append("c\n");
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "b\nc\n");
    bench.append("d\n");
    drop(reader);
    assert_eq!(drain(&mut bench.open(From::Start)), "d\n");
}

#[test]
fn a_truncated_file_is_read_from_its_start_also_when_it_grew_past_the_place() {
    let bench = Bench::new("a\nb\nc\n");
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "a\nb\nc\n");
    fs::write(&bench.log, "d\n").unwrap();
    assert_eq!(drain(&mut reader), "d\n");
    fs::write(&bench.log, "longer than before\nx\n").unwrap();
    assert_eq!(drain(&mut reader), "longer than before\nx\n");
    fs::write(&bench.log, "and while nobody looked, longer still\n").unwrap();
    assert_eq!(drain(&mut bench.open(From::Start)), "and while nobody looked, longer still\n");
}

#[test]
fn a_line_too_long_is_passed_over_and_the_next_is_not() {
    let long = "x".repeat(200_000);
    let bench = Bench::new(&format!("a\n{long}"));
    let mut reader = bench.open(From::Start);
    assert_eq!(drain(&mut reader), "a\n");
    bench.append(&format!("{long}\nb\n{}\nc\n", "y".repeat(20_000)));
    assert_eq!(drain(&mut reader), "b\nc\n");
}

#[test]
fn many_lines_come_in_chunks_that_a_request_may_have() {
    let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    let bench = Bench::new(&text);
    let mut reader = bench.open(From::Start);
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().unwrap() {
        let n_lines = chunk.lines.iter().filter(|byte| **byte == b'\n').count();
        assert!(n_lines <= 200, "{n_lines}");
        all.extend(chunk.lines);
        reader.advance().unwrap();
    }
    assert_eq!(String::from_utf8(all).unwrap(), text);
}

#[test]
fn what_cannot_work_is_refused() {
    let config = |text: &str| toml::from_str::<TailConfig>(text).unwrap();
    assert_eq!(config("source = 'capistrano'").check(), Err(TailError::NoPath));
    for (text, problem) in [
        ("path = '/l'\nsource = 'github'", "`github` is none of"),
        ("path = '/l'\nsource = 'capistrano'", "`service` is needed"),
    ] {
        let message = config(text).check().unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
    config("path = '/l'\nsource = 'deployinator'").check().unwrap();
}
