//! The commands, one file each, which tells the command from its first step to its last.

pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod mounts;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod quantity;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;

use serde::Serialize;
use serde_json::Value;

/// JSON in lines. It goes by a tree, whose printing the program has already: what prints each type so is
/// code of its own.
fn for_people<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_vec(value)?;
    let tree: Value = serde_json::from_slice(&text)?;
    Ok(format!("{tree:#}"))
}
