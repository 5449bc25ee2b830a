//! `list`: all containers of a state directory, as a table, as JSON, or only their ids.

use crate::commands::state::Description;
use crate::container::Container;
use crate::container::find::open;
use crate::container::status::Status;
use crate::{Error, Explain, Result, Runtime};
use regex_lite::Regex;
use std::fmt::Write;

/// `list --quiet`: one id a line.
pub fn list_quiet(runtime: &Runtime) -> Result<String> {
    Ok(all_containers(runtime)?
        .iter()
        .fold(String::new(), |text, one| text + one.entry.id() + "\n"))
}

/// `list --format json`: an array of what `state` prints and the owner; `null` if there are none.
pub fn list_json(runtime: &Runtime) -> Result<String> {
    let containers = all_containers(runtime)?;
    if containers.is_empty() {
        return Ok("null".to_owned());
    }
    let users = users();
    let descriptions: Vec<Description> =
        containers.iter().map(|one| describe(one, &users)).collect();
    serde_json::to_string(&descriptions).within("printing the list")
}

/// `list`: a table, with columns as wide as their content.
pub fn list_table(runtime: &Runtime) -> Result<String> {
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let (containers, users) = (all_containers(runtime)?, users());
    let rows: Vec<[String; 6]> = std::iter::once(heading)
        .chain(containers.iter().map(|one| describe(one, &users)).map(|one| {
            let bundle = one.bundle.display().to_string();
            let (id, created) = (one.id.to_owned(), one.created.to_owned());
            [id, one.pid.to_string(), one.status.to_string(), bundle, created, one.owner]
        }))
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0).max(9) + 3
    };
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            // Writing to a string can't fail.
            let _ = write!(line, "{cell:width$}", width = width(column));
        }
        table += line.trim_end();
        table.push('\n');
    }
    Ok(table)
}

/// The ids that the regular expression `pattern` matches anywhere.
pub fn matching(runtime: &Runtime, pattern: &str) -> Result<Vec<String>> {
    let regex = Regex::new(pattern).map_err(|error| {
        Error::call(format!("{pattern:?} is no regular expression"), error).with_object(pattern)
    })?;
    let ids = all_containers(runtime)?.into_iter().map(|one| one.entry.id().to_owned());
    Ok(ids.filter(|id| regex.is_match(id)).collect())
}

fn describe<'a>(container: &'a Container, passwd: &[u8]) -> Description<'a> {
    let owner = container.record.owner;
    let name =
        sys::passwd::user(passwd, owner).map(|user| String::from_utf8_lossy(user.name).into());
    Description { owner: name.unwrap_or_else(|| format!("#{owner}")), ..Description::of(container) }
}

/// The users of this machine. The owner is a number if he is not among them.
fn users() -> Vec<u8> {
    std::fs::read("/etc/passwd").unwrap_or_default()
}

/// All containers but those that are being created. One that is deleted meanwhile is left out.
fn all_containers(runtime: &Runtime) -> Result<Vec<Container>> {
    let store = match runtime.store() {
        Err(_) if !runtime.root_is_given && !runtime.root.exists() => return Ok(Vec::new()),
        store => store?,
    };
    let mut containers = Vec::new();
    for id in store.ids()? {
        match store.get(&id).and_then(open) {
            Ok(container) => containers.push(container),
            Err(error) if error.is_not_found() => {}
            Err(error) => (runtime.warn)(&error.to_string()),
        }
    }
    containers.retain(|container| container.status() != Status::Creating);
    Ok(containers)
}
