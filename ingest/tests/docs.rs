//! The set-ups in the documentation are those that `deployline hook print` prints.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{fmt::Write, fs, path::PathBuf};

use deployline_ingest::hooks;

/// Set, it writes the set-ups instead of comparing them: for whoever changed one.
const WRITE: &str = "DEPLOYLINE_WRITE_DOCS";
/// What stands before them.
const MARK: &str = "<!-- What follows is written by a test from what `deployline hook print` prints. -->\n";

#[test]
fn the_documented_set_ups_are_those_that_are_printed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/hooks.md");
    let document = fs::read_to_string(&path).unwrap();
    let (head, written) = document.split_once(MARK).unwrap();
    let mut expected = String::new();
    for source in hooks::sources() {
        let setup = source.setup_for("http://127.0.0.1:8128");
        write!(expected, "\n### {}: `{}`\n```\n{}\n```\n", source.title, source.name, setup.trim_end()).unwrap();
    }
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{head}{MARK}{expected}")).unwrap();
        return;
    }
    assert!(written == expected, "docs/hooks.md is not what is printed: run this test with {WRITE}=1");
}
