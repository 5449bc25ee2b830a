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

/// Rows with columns as wide as their content, each row after `indent`. The last column isn't padded.
pub fn rows(indent: &str, rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            line += &padded(cell, *width);
            line += "  ";
        }
        text += line.trim_end();
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn columns_are_as_wide_as_their_content() {
        let cells = |row: &[&str]| row.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        let table = [cells(&["a", "b"]), cells(&["ccc", "d\u{1b}[2J\ne"]), cells(&["f"])];
        assert_eq!(rows("  ", &table), "  a    b\n  ccc  d\\u{1b}[2J\\u{a}e\n  f\n");
    }
}
