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
    Ok(each_container(runtime, |container, _| Ok(format!("{}\n", container.entry.id())))?.concat())
}

/// `list --format json`: an array of what `state` prints and the owner; `null` if there are none.
pub fn list_json(runtime: &Runtime) -> Result<String> {
    let users = users(runtime);
    let descriptions = each_container(runtime, |container, status| {
        serde_json::to_string(&describe(container, status, &users)).within("printing the list")
    })?;
    Ok(match &descriptions[..] {
        [] => "null".to_owned(),
        descriptions => format!("[{}]", descriptions.join(",")),
    })
}

/// `list`: a table, with columns as wide as their content.
pub fn list_table(runtime: &Runtime) -> Result<String> {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    let users = users(runtime);
    rows.extend(each_container(runtime, |container, status| {
        let one = describe(container, status, &users);
        let bundle = one.bundle.display().to_string();
        let (id, created) = (one.id.to_owned(), one.created.to_owned());
        Ok([id, one.pid.to_string(), status.to_string(), bundle, created, one.owner])
    })?);
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
    let mut ids = each_container(runtime, |container, _| Ok(container.entry.id().to_owned()))?;
    ids.retain(|id| regex.is_match(id));
    Ok(ids)
}

fn describe<'a>(container: &'a Container, status: Status, passwd: &[u8]) -> Description<'a> {
    let owner = container.record.owner;
    let name =
        sys::passwd::user(passwd, owner).map(|user| String::from_utf8_lossy(user.name).into());
    let owner = name.unwrap_or_else(|| format!("#{owner}"));
    Description { owner, ..Description::of(container, status) }
}

/// The users of this machine. The owner is a number if he is not among them.
fn users(runtime: &Runtime) -> Vec<u8> {
    std::fs::read("/etc/passwd").unwrap_or_else(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            (runtime.warn)(&Error::on("reading", "/etc/passwd", error).to_string());
        }
        Vec::new()
    })
}

/// What `look` finds of each container and its status, but for those that are being created. One that
/// is deleted meanwhile is left out. Only one is open at a time: there may be more containers than
/// descriptors.
fn each_container<T>(
    runtime: &Runtime,
    mut look: impl FnMut(&Container, Status) -> Result<T>,
) -> Result<Vec<T>> {
    let store = match runtime.store() {
        Err(_) if !runtime.root_is_given && !runtime.root.exists() => return Ok(Vec::new()),
        store => store?,
    };
    let mut found = Vec::new();
    for id in store.ids()? {
        match store.get(&id).and_then(open) {
            Ok(container) => match container.status() {
                Ok(Status::Creating) => {}
                Ok(status) => found.push(look(&container, status)?),
                Err(error) => (runtime.warn)(&error.about(&id).to_string()),
            },
            Err(error) if error.is_not_found() => {}
            Err(error) => (runtime.warn)(&error.to_string()),
        }
    }
    Ok(found)
}
