//! Writes what a command was asked for to stdout. Messages go through [`crate::log`] instead.

use crate::model::Failure;
use crate::style::Style;
use std::io::{self, ErrorKind, Write};
use sys::Explain;

/// Prints a text; gives the exit status. A reader that has gone away got what it wanted.
pub fn print(text: &str) -> Result<i32, Failure> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        printed => printed.map(|()| 0).within("writing to stdout"),
    }
}

/// Prints a help; its headings stand out on a terminal.
pub fn print_help(text: &str) -> Result<i32, Failure> {
    print(&Style::of(&io::stdout()).with_headings(text))
}

/// Prints a table; its first line stands out on a terminal.
pub fn print_table(text: &str) -> Result<i32, Failure> {
    print(&Style::of(&io::stdout()).table(text))
}

/// Prints a text that ends with exactly one newline.
pub fn print_line(text: &str) -> Result<i32, Failure> {
    print(&format!("{}\n", text.trim_end()))
}
