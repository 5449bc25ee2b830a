//! Documents and what they speak of: each command line of `rind` is one that it understands, each recipe
//! of `just` is there, no link is dead, docs/commands.md is what `--help` says, and every page is in the
//! book. With `RIND_COMMANDS=1` docs/commands.md is written anew (`just commands`).

use integration_tests::command::run;
use integration_tests::host::run_folder;
use integration_tests::test::{Test, skip};
use integration_tests::{binary, tests};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub const TESTS: &[Test] = tests![
    command_lines_are_understood,
    recipes_are_there,
    links_lead_somewhere,
    commands_page_is_what_the_help_says,
    book_has_every_page,
];

/// The project's own folder, which a guest has a part of at most.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match fs::canonicalize(root.join("justfile")) {
        Ok(justfile) => justfile.with_file_name(""),
        Err(_) => skip("the sources are not here"),
    }
}

/// Every document of the project's: the path, and the text.
fn documents() -> Vec<(PathBuf, String)> {
    let root = root();
    let folders = [root.clone(), root.join("docs"), root.join("docs/engines")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A line of a document, as what it is.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    /// Of a block of code.
    Code(&'a str),
    /// Of a block of output.
    Output,
    Text(&'a str),
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut block: Option<&str> = None;
    // In an indented block with prompts, what has none is output.
    let mut prompts = false;
    let mut all = Vec::new();
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        prompts = (prompts || line.starts_with("    $ ")) && line.starts_with("    ");
        all.push(match (block, fence, line.strip_prefix("    ")) {
            (None, Some(kind), _) => {
                block = Some(kind);
                Line::Output
            }
            (Some(_), Some(_), _) => {
                block = None;
                Line::Output
            }
            (Some("text"), ..) => Line::Output,
            (Some(_), ..) => Line::Code(line),
            (None, None, Some(code)) if prompts && !code.starts_with("$ ") => Line::Output,
            (None, None, Some(code)) if code.starts_with("time=") => Line::Output,
            (None, None, Some(code)) => Line::Code(code),
            _ => Line::Text(line),
        });
    }
    all
}

/// What stands between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Every command line of `program` in a document, as words without the program, and where it is.
fn command_lines(program: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (path, text) in documents() {
        // What it tells of is no command line, and what was written by a test is not to be tested.
        if path.ends_with("docs/errors.md") {
            continue;
        }
        for (number, line) in lines(&text).iter().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            match line {
                Line::Code(code) => {
                    let calls = calls_in(program, code);
                    found.extend(calls.into_iter().map(|words| (place.clone(), words)));
                }
                Line::Text(line) => {
                    for span in quoted(line).filter(|span| span.starts_with(&format!("{program} ")))
                    {
                        let calls = calls_in(program, span);
                        found.extend(calls.into_iter().map(|words| (place.clone(), words)));
                    }
                }
                Line::Output => {}
            }
        }
    }
    // `[FLAG...]` and `...` stand for what is left out.
    found.retain(|(_, words)| {
        !words.iter().any(|word| word.contains("...") || word.starts_with('['))
    });
    found
}

/// The calls of a program in a line of a shell's.
fn calls_in(program: &str, line: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    let mut rest = line.strip_prefix("$ ").unwrap_or(line);
    loop {
        let (words, after) = simple_command(rest);
        let mut words = words.into_iter().skip_while(|word| word == "sudo" || is_variable(word));
        if words.next().as_deref() == Some(program) {
            calls.push(words.collect());
        }
        match after {
            Some(after) => rest = after,
            None => return calls,
        }
    }
}

fn is_variable(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// The words up to where a shell's command ends, and what follows.
fn simple_command(line: &str) -> (Vec<String>, Option<&str>) {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut after = None;
    for (index, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '&' | ';' | '(' | ')' | '>' | '<') => {
                after = line.get(index + 1..);
                break;
            }
            (None, '#') if word.is_empty() => break,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && word != "$" && word != "\\");
    (words, after)
}

/// rind reads each as if it were to be done, and is asked for help instead, or for what is not there.
fn command_lines_are_understood() {
    let lines = command_lines("rind");
    assert!(lines.len() > 40, "{lines:#?}");
    let nothing = run_folder().join("documents");
    fs::create_dir_all(&nothing).unwrap();
    let mut wrong = String::new();
    for (place, mut words) in lines {
        // `rind COMMAND --help` is about any.
        if let Some(word) = words.iter_mut().find(|word| *word == "COMMAND") {
            "run".clone_into(word);
        }
        let mut command = Command::new(binary::rind());
        command.current_dir(&nothing);
        // What follows here may be another program's, and so no flag of rind's.
        let passes_on = words.iter().any(|word| word == "exec" || word == "ps");
        if passes_on {
            command.arg("--root").arg(&nothing).args(&words);
        } else {
            command.args(&words).arg("--help");
        }
        let output = run(command);
        let understood =
            output.code == 0 || (passes_on && output.stderr.contains("does not exist"));
        if !understood {
            writeln!(wrong, "{place}: rind {}\n    {}", words.join(" "), output.stderr).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    fs::remove_dir_all(&nothing).unwrap();
}

fn recipes_are_there() {
    let justfile = fs::read_to_string(root().join("justfile")).unwrap();
    let names = justfile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = names.filter_map(|line| line.split([' ', ':']).next());
    let names: BTreeSet<&str> = names.collect();
    let calls = [command_lines("just"), command_lines("./setup")].concat();
    assert!(calls.len() > 10, "{calls:#?}");
    for (place, words) in calls {
        let recipe = words.first().map_or("", String::as_str);
        assert!(recipe == "RECIPE" || names.contains(recipe), "{place}: no recipe {recipe:?}");
    }
}

/// The targets of the links of a document, with the number of the line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (number, line) in lines(text).iter().enumerate() {
        let Line::Text(line) = line else { continue };
        let bare: String = line.split('`').step_by(2).collect();
        for (_, rest) in bare.match_indices("](").map(|(at, _)| bare.split_at(at + 2)) {
            if let Some((target, _)) = rest.split_once(')') {
                all.push((number + 1, target.to_owned()));
            }
        }
        for rest in
            ["href=\"", "src=\"", "srcset=\""].iter().flat_map(|begin| bare.split(begin).skip(1))
        {
            if let Some((target, _)) = rest.split_once('"') {
                all.push((number + 1, target.to_owned()));
            }
        }
    }
    all
}

/// What a heading is linked by, as GitHub and mdBook make it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in lines(text) {
        let Line::Text(line) = line else { continue };
        let Some((_, heading)) =
            line.split_once("# ").filter(|(marks, _)| marks.trim_matches('#').is_empty())
        else {
            continue;
        };
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut name = anchor.clone();
        let mut number = 0;
        while !anchors.insert(name) {
            number += 1;
            name = format!("{anchor}-{number}");
        }
    }
    anchors
}

fn links_lead_somewhere() {
    let mut dead = String::new();
    let mut count = 0;
    for (path, text) in documents() {
        for (line, link) in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let is_page = target.extension().is_some_and(|extension| extension == "md");
            let has_anchor = || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor);
            if !target.exists() || (is_page && !anchor.is_empty() && !has_anchor()) {
                writeln!(dead, "{}:{line}: {link}", path.display()).unwrap();
            }
        }
    }
    assert!(count > 100, "only {count} links");
    assert!(dead.is_empty(), "dead links:\n{dead}");
}

/// SUMMARY.md is the book's table of contents.
fn book_has_every_page() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let named: BTreeSet<PathBuf> =
        links(&summary.replace("- [", "[")).into_iter().map(|(_, link)| docs.join(link)).collect();
    let pages = documents().into_iter().map(|(path, _)| path);
    let pages = pages.filter(|path| path.starts_with(&docs) && !path.ends_with("SUMMARY.md"));
    assert_eq!(named, pages.collect::<BTreeSet<_>>());
}

fn commands_page_is_what_the_help_says() {
    let file = root().join("docs/commands.md");
    let page = commands_page();
    if env::var_os("RIND_COMMANDS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap();
    assert!(there == page, "`just commands` writes docs/commands.md anew; it should have\n{page}");
}

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(binary::rind());
    command.args(arguments).arg("--help");
    run(command).succeeded().stdout
}

fn commands_page() -> String {
    let mut offers = Command::new(binary::rind());
    offers.args(["completion", "bash", ""]);
    let offers = run(offers).succeeded().stdout;
    let names: Vec<&str> = offers.lines().filter_map(|line| line.split('\t').next()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "help").collect();
    assert!(names.contains(&"exec"), "{names:?}");
    let mut page = COMMANDS.to_owned();
    let general = help(&[]);
    let flags = section(&general, "global flags:").unwrap();
    page.push_str("\n## Global flags\n\n");
    table(&mut page, "Flag", &flags);
    for name in names {
        command(&mut page, name, &help(&[name]));
    }
    page
}

/// What `rind NAME --help` prints, as a chapter.
fn command(page: &mut String, name: &str, help: &str) {
    let mut parts = help.split("\n\n");
    let about = parts.next().unwrap().split_once(" - ").unwrap().1.trim();
    let usage = parts.next().unwrap().strip_prefix("usage: ").unwrap();
    let (first, rest) = about.split_at(1);
    write!(page, "\n## {name}\n\n{}{rest}.\n\n    {usage}\n", first.to_uppercase()).unwrap();
    for part in parts.take_while(|part| !part.lines().next().unwrap().ends_with("s:")) {
        write!(page, "\n{}\n", escaped(&part.trim_end().replace('\n', " "))).unwrap();
    }
    if let Some(flags) = section(help, "flags:") {
        page.push('\n');
        table(page, "Flag", &flags);
    }
    if let Some(examples) = section(help, "examples:") {
        page.push('\n');
        table(page, "Example", &examples);
    }
    if let Some(lines) = section(help, "exit status:") {
        let text: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        write!(page, "\nExit status: {}\n", escaped(&text.join(" "))).unwrap();
    }
}

/// The lines below a heading of the help.
fn section<'a>(help: &'a str, heading: &str) -> Option<Vec<&'a str>> {
    let mut lines = help.lines().skip_while(|line| *line != heading);
    let _ = lines.next()?;
    Some(lines.take_while(|line| line.starts_with("  ")).collect())
}

/// Lines of two columns as a table, the first of them code.
fn table(page: &mut String, heading: &str, lines: &[&str]) {
    write!(page, "| {heading} | |\n| --- | --- |\n").unwrap();
    for line in lines {
        let (left, right) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        let right = escaped(right.trim());
        writeln!(page, "| `{}` | {right} |", left.replace('|', "\\|")).unwrap();
    }
}

/// What Markdown would take for its own.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace('<', "\\<").replace('[', "\\[")
}

/// How the page begins.
const COMMANDS: &str = "\
# Every command

<!-- Written by `just commands` from what `rind COMMAND --help` prints. -->

What `rind COMMAND --help` prints, and the manual pages (`rind man COMMAND | man -l -`) have, on one page. \
Flags are read as Go's flag package reads them: one dash or two, `--flag value` or `--flag=value`, before or \
after the id. [cli.md](cli.md) has each of them in detail, and what differs from runc.
";
