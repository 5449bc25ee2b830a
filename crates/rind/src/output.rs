//! Writes what a command was asked for to stdout. Messages go through [`crate::log`] instead.

use std::io::{self, ErrorKind, Write};

/// Prints a text; gives the exit status. A reader that has gone away got what it wanted.
pub fn print(text: &str) -> i32 {
    let mut stdout = io::stdout();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    i32::from(printed.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe))
}

/// Prints a text that ends with exactly one newline.
pub fn print_line(text: &str) -> i32 {
    print(&format!("{}\n", text.trim_end()))
}
