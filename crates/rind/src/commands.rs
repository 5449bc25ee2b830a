//! The table of commands.
//!
//! A row of [`COMMANDS`] leads to the file of a command, or of a few that belong together, in this
//! folder: the file has the flags, the help, and the way from the flags to `runtime`'s options. No
//! file here may do what `runtime` is for.

mod check;
mod completion;
mod create;
mod criu;
mod events;
mod exec;
mod facts;
pub mod global;
mod inspect;
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
pub static PROGRAM: Program = Program {
    flags: global::FLAGS,
    commands: COMMANDS,
    examples: facts::EXAMPLES,
    synonyms: facts::SYNONYMS,
    of_engines: facts::OF_ENGINES,
    files: facts::FILES,
    environment: facts::ENVIRONMENT,
};

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
    inspect::INSPECT,
    lifecycle::PAUSE,
    lifecycle::RESUME,
    update::UPDATE,
    events::EVENTS,
    criu::CHECKPOINT,
    criu::RESTORE,
    mounts::MOUNTS,
    show::LIST,
    spec::SPEC,
    check::CHECK,
    show::FEATURES,
    completion::COMPLETION,
    man::MAN,
];

#[cfg(test)]
mod tests {
    use super::{COMMANDS, PROGRAM};

    /// The entry point decides before there are tables.
    #[test]
    fn the_entry_point_knows_which_commands_seal() {
        for command in COMMANDS {
            let name = format!("{}\0", command.name);
            let is_known = sys::entry::SEALING.contains(&name.as_bytes());
            assert_eq!(is_known, command.seals, "{}", command.name);
        }
    }

    #[test]
    fn every_command_has_an_example_of_its_own() {
        for command in COMMANDS {
            let own = format!("rind {}", command.name);
            assert!(!command.examples.is_empty(), "{own} has none");
            for (line, about) in command.examples {
                assert!(line.contains(command.name) && !about.is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn what_others_say_leads_to_commands() {
        let is_command = |name: &str| PROGRAM.command(name).is_some();
        for (word, command) in PROGRAM.synonyms {
            assert!(is_command(command), "{word}: {command}");
            assert!(!PROGRAM.of_engines.contains(word), "{word}");
        }
        let own = PROGRAM.of_engines.iter().find(|word| is_command(word));
        assert!(own.is_none(), "{own:?} is what rind does");
        let facts = PROGRAM.files.iter().chain(PROGRAM.environment);
        for name in facts.flat_map(|fact| fact.commands) {
            assert!(is_command(name), "{name}");
        }
    }
}
