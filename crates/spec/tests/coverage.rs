//! docs/spec-coverage.md: that every cell says something, and that the tests it names are there.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    fs::read_to_string(project().join("docs/spec-coverage.md")).unwrap()
}

/// The cells of each row of each table, without the heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let rows = lines.filter(|line| !line.starts_with("| Property ") && !line.starts_with("| --- "));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backquotes and is the name of a test.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::"))
}

/// Whether there is a function of a test's name in its file: `MODULE::NAME` or `CRATE/FILE::NAME`.
fn exists(test: &str) -> bool {
    let (file, name) = test.rsplit_once("::").unwrap();
    let files = match file.split_once('/') {
        None => vec![format!("integration_tests/tests/all/{file}.rs")],
        Some((member, file)) => {
            ["src", "tests"].map(|folder| format!("crates/{member}/{folder}/{file}.rs")).into()
        }
    };
    files.into_iter().any(|file| {
        let text = fs::read_to_string(project().join(file)).unwrap_or_default();
        text.contains(&format!("fn {name}("))
    })
}

#[test]
fn every_cell_says_something() {
    let text = document();
    let rows = rows(&text);
    assert!(rows.len() > 100, "only {} rows", rows.len());
    for row in rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(tests(row[2]).next().is_some(), "no test in {row:?}");
    }
}

#[test]
fn every_test_exists() {
    let text = document();
    let forms = ["MODULE::NAME", "CRATE/FILE::NAME"];
    let named = tests(&text).filter(|test| !test.contains(' ') && !forms.contains(test));
    let missing: Vec<&str> = named.filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
