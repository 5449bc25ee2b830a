//! No two modules of a crate import each other in a circle, so that each can be read without those
//! that use it. A module and those inside it count as one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path below its crate: `["limits", "cpu"]`.
type Module = Vec<String>;

#[test]
fn modules_import_each_other_in_no_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut found = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let graph = imports(&folder.join("src"));
        for circle in circles(&graph) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            found.push(format!("{}: {}", folder.file_name().unwrap().display(), names.join(", ")));
        }
    }
    assert!(found.is_empty(), "modules that import each other:\n{}", found.join("\n"));
}

/// Which modules each one imports.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut files = BTreeMap::new();
    collect(source, &mut Vec::new(), &mut files);
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    let mut graph = BTreeMap::new();
    for (module, file) in &files {
        let text = fs::read_to_string(file).unwrap();
        let code = without_comments_and_tests(&text);
        let mut imported = BTreeSet::new();
        for path in paths(&code, module) {
            // The longest beginning that is a module; the rest is an item of it.
            let whole = (0..=path.len()).rev().map(|end| path[..end].to_vec());
            let target = whole.into_iter().find(|some| modules.contains(some)).unwrap_or_default();
            if !target.starts_with(module) && !module.starts_with(&target) {
                imported.insert(target);
            }
        }
        graph.insert(module.clone(), imported);
    }
    graph
}

fn collect(folder: &Path, above: &mut Module, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            above.push(name);
            collect(&path, above, files);
            above.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module = above.clone();
            if !matches!(&name[..], "lib" | "main" | "mod") {
                module.push(name);
            }
            files.insert(module, path);
        }
    }
}

fn without_comments_and_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// All paths that begin with `crate` or `super`, from the crate's root on.
fn paths(code: &str, module: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_word =
                code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if is_word {
                continue;
            }
            let mut above = module.clone();
            let base = if start == "crate::" {
                Vec::new()
            } else {
                above.pop();
                above
            };
            tree(&code[at + start.len()..], base, &mut found);
        }
    }
    found
}

/// Adds the paths of a use tree, `a::{b, c::d}`, below `base`; gives how much of `text` that is.
fn tree(text: &str, mut base: Module, found: &mut Vec<Module>) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start().len();
                if text[at..].starts_with('}') {
                    return at + 1;
                }
                at += tree(&text[at..], base.clone(), found);
                at += text[at..].find([',', '}']).unwrap_or(0);
                if text[at..].starts_with(',') {
                    at += 1;
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        match word {
            "super" => drop(base.pop()),
            "self" | "" => {}
            word => base.push(word.to_owned()),
        }
        at += end;
        if !text[at..].starts_with("::") {
            found.push(base);
            return at;
        }
        at += 2;
    }
}

/// The groups of modules of which each reaches all others.
fn circles(graph: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reach = |from: &Module| {
        let mut seen: BTreeSet<Module> = BTreeSet::new();
        let mut left = vec![from.clone()];
        while let Some(module) = left.pop() {
            for next in graph.get(&module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        graph.keys().map(|module| (module, reach(module))).collect();
    let mut all = BTreeSet::new();
    for (module, others) in &reached {
        if others.contains(*module) {
            let back = others.iter().filter(|other| reached[*other].contains(*module));
            all.insert(back.cloned().collect::<BTreeSet<_>>());
        }
    }
    all.into_iter().collect()
}
