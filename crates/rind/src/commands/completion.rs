//! `completion`.

use super::{PROGRAM, global};
use crate::completion;
use crate::log::Log;
use crate::model::{Command, Failure, Parsed, fail};
use crate::output;
use std::path::PathBuf;

/// `completion`.
pub const COMPLETION: Command = Command {
    arguments: "SHELL [WORD...]",
    positional: (1, usize::MAX),
    plain_after: Some(1),
    is_aside: true,
    examples: &[
        ("source <(rind completion bash)", "in ~/.bashrc; zsh likewise"),
        ("rind completion fish | source", "in ~/.config/fish/config.fish"),
    ],
    details: "It is for the shell to read: source <(rind completion bash), or rind completion fish | \
        source.\nGiven words of a command line, it prints what the last of them may become.",
    ..Command::new(
        "completion",
        "print what has bash, zsh or fish complete rind's command line",
        complete,
    )
};

fn complete(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let Some((shell, words)) = args.positional.split_first() else { return Ok(1) };
    let Some(script) = completion::script(shell) else {
        return fail(format!("{shell:?} is none of bash, zsh, fish"));
    };
    if words.is_empty() {
        return output::print(script);
    }
    // Where the list of containers fails there are no ids: a shell that completes has no use for the
    // reason.
    let ids = |root: Option<&str>| {
        let root = root.map(PathBuf::from).or_else(|| args.path("root"));
        let ids = runtime::list_quiet(&global::runtime_at(root, log)).unwrap_or_default();
        ids.lines().map(str::to_owned).collect()
    };
    output::print(&completion::offers(&PROGRAM, shell, words, ids))
}
