//! The table of commands.
//!
//! A row of [`COMMANDS`] leads to the file of a command, or of a few that belong together, in this
//! folder: the file has the flags, the help, and the way from the flags to `runtime`'s options. No
//! file here may do what `runtime` is for.

mod completion;
mod create;
mod criu;
mod events;
mod exec;
pub mod global;
mod lifecycle;
mod man;
mod mounts;
pub mod prepare;
mod run;
mod show;
mod spec;
mod timed;
mod update;

use crate::model::{Command, Program};

/// The program.
pub static PROGRAM: Program = Program { flags: global::FLAGS, commands: COMMANDS };

/// All commands, in the order of the help.
const COMMANDS: &[Command] = &[
    create::CREATE,
    lifecycle::START,
    run::RUN,
    exec::EXEC,
    show::STATE,
    lifecycle::KILL,
    lifecycle::DELETE,
    show::PS,
    lifecycle::PAUSE,
    lifecycle::RESUME,
    update::UPDATE,
    events::EVENTS,
    criu::CHECKPOINT,
    criu::RESTORE,
    mounts::MOUNTS,
    show::LIST,
    spec::SPEC,
    show::FEATURES,
    completion::COMPLETION,
    man::MAN,
];

#[cfg(test)]
mod tests {
    use super::COMMANDS;

    /// The entry point decides before there are tables.
    #[test]
    fn the_entry_point_knows_which_commands_seal() {
        for command in COMMANDS {
            let name = format!("{}\0", command.name);
            let is_known = sys::entry::SEALING.contains(&name.as_bytes());
            assert_eq!(is_known, command.seals, "{}", command.name);
        }
    }
}
