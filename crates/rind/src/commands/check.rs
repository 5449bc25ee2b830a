//! `check`: what this host offers and lacks, and whether a bundle would run here.

use super::global::{cgroup_manager, rootless, runtime};
use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag, refuse};
use crate::{output, table};
use runtime::{CheckOptions, Finding, Report, Standing};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;

/// `check`.
pub const CHECK: Command = Command {
    arguments: "[BUNDLE]",
    positional: (0, 1),
    details: "Without BUNDLE: what this host has for containers, for the user who asks. With it: \
        whether create\nwould take its config here, with all that is wrong at once. Nothing is \
        changed. The exit status is\n0 if nothing is needed that lacks, and 1 if something is; \
        warnings don't count.",
    examples: &[
        ("rind check", "tells what this host lacks, and what to do"),
        ("rind check /tmp/web", "tells all that is wrong with /tmp/web/config.json here"),
    ],
    flags: &[
        flag("bundle", "b", "DIR", "the same as BUNDLE"),
        flag("format", "f", "FORMAT", "text (default) or json").one_of(&["text", "json"]),
    ],
    looks_only: true,
    ..Command::new("check", "tell what this host, or a bundle, lacks to run containers", check)
};

fn check(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = CheckOptions {
        bundle: args.positional.first().map(PathBuf::from).or_else(|| args.path("bundle")),
        manager: cgroup_manager(args)?,
        rootless: rootless(args)?,
        criu: args.path("criu").unwrap_or_else(|| PathBuf::from("criu")),
    };
    let format = args.value("format").unwrap_or("text");
    if !["text", "json"].contains(&format) {
        return refuse("--format", format!("{format:?} is neither text nor json"));
    }
    let report = runtime::check(&runtime(args, log), &options);
    if format == "json" {
        output::print_line(&report.to_json()?)?;
    } else {
        output::print(&text(&report, options.bundle.is_some(), has_colours()))?;
    }
    Ok(i32::from(!report.ok))
}

/// Whether stdout shows colours, and the user wants them: no-color.org.
fn has_colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    std::io::stdout().is_terminal() && !unwanted && !is_dumb
}

fn text(report: &Report, is_bundle: bool, colours: bool) -> String {
    let mut text = String::new();
    let mut section = "";
    let named = |one: &Finding| match one.line {
        Some(line) => format!("{} (line {line})", table::one_line(&one.what)),
        None => table::one_line(&one.what),
    };
    let widest = report.findings.iter().map(|one| table::width(&named(one))).max().unwrap_or(0);
    let width = widest.min(WIDEST);
    for one in &report.findings {
        if one.section != section {
            section = one.section;
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a string can't fail.
            let _ = writeln!(text, "{gap}{}:", table::bold(section, colours));
        }
        let what = table::padded(&named(one), width);
        let line =
            format!("  {}  {what}  {}", mark(one.standing, colours), table::one_line(&one.detail));
        text += line.trim_end();
        text.push('\n');
        for (name, value) in [("consequence", &one.consequence), ("remedy", &one.remedy)] {
            if !value.is_empty() {
                let _ = writeln!(text, "           {name}: {}", table::one_line(value));
            }
        }
    }
    text + "\n" + &verdict(report, is_bundle) + "\n"
}

/// A longer name moves what follows it.
const WIDEST: usize = 44;

fn mark(standing: Standing, colours: bool) -> String {
    let (word, colour) = match standing {
        Standing::Ok => ("ok     ", 32),
        Standing::Warning => ("warning", 33),
        Standing::Lacks => ("lacks  ", 31),
    };
    if colours { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() }
}

fn verdict(report: &Report, is_bundle: bool) -> String {
    let count = |standing| report.findings.iter().filter(|one| one.standing == standing).count();
    let (lacking, warnings) = (count(Standing::Lacks), count(Standing::Warning));
    let verdict = match (is_bundle, report.ok) {
        (true, true) => "this bundle would run here",
        (true, false) => "this bundle would not run here",
        (false, true) => "containers can be run here",
        (false, false) => "containers can't be run here",
    };
    let things = format!("{lacking} {}", if lacking == 1 { "thing lacks" } else { "things lack" });
    let warned = format!("{warnings} {}", if warnings == 1 { "warning" } else { "warnings" });
    match (lacking, warnings) {
        (0, 0) => verdict.to_owned(),
        (0, _) => format!("{verdict}; {warned}"),
        (_, 0) => format!("{verdict}: {things}"),
        _ => format!("{verdict}: {things}; {warned}"),
    }
}
