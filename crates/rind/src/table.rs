//! Text in columns, of words that others have chosen: a path or an annotation of a container must not
//! steer the terminal that shows it, nor look like another line.

use crate::log::escaped;

/// The text on one line, with what would steer a terminal or end the line escaped.
pub fn one_line(text: &str) -> String {
    escaped(text)
}

/// How many columns a text takes, where each letter takes one.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text with spaces after it, up to `columns`.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text:columns$}")
}

/// The text in bold, if there are colours.
pub fn bold(text: &str, colours: bool) -> String {
    if colours { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}
