//! How text looks on a terminal: whether it may have colours, and how wide it may be. What isn't a terminal
//! gets plain text, as programs read it.

use std::env::var_os;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// How wide text is where nobody says.
const COLUMNS: usize = 100;

/// The look of what is written to one file.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether there may be colours.
    pub colours: bool,
    /// How many characters a line has room for.
    pub columns: usize,
}

/// A colour, or another way to stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As all else.
    Plain,
    /// For headings.
    Bold,
    /// For what matters less.
    Dim,
    Blue,
    Cyan,
    Green,
}

impl Style {
    /// What `file` allows. Colours need a terminal that has them, and a user who wants them: `NO_COLOR`
    /// (no-color.org) in the environment says that he doesn't.
    pub fn of(file: &(impl IsTerminal + AsFd)) -> Self {
        if !file.is_terminal() {
            return Self { colours: false, columns: COLUMNS };
        }
        let is_wanted = var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_them = var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb");
        let size = sys::terminal::size(file).ok().filter(|size| size.columns > 0);
        Self {
            colours: is_wanted && has_them,
            columns: size.map_or(COLUMNS, |size| size.columns.into()),
        }
    }

    /// The text in this colour.
    pub fn paint(self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Green => 32,
            Paint::Blue => 34,
            Paint::Cyan => 36,
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A text whose headings stand out: the lines that begin at the left and end with a colon.
    pub fn with_headings(self, text: &str) -> String {
        let is_heading = |line: &str| !line.starts_with(' ') && line.trim_end().ends_with(':');
        self.lines(text, |_, line| is_heading(line))
    }

    /// A table whose first line stands out.
    pub fn table(self, text: &str) -> String {
        self.lines(text, |number, _| number == 0)
    }

    fn lines(self, text: &str, stands_out: impl Fn(usize, &str) -> bool) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let lines = text.split_inclusive('\n').enumerate();
        lines.fold(String::with_capacity(text.len() + 64), |mut all, (number, line)| {
            match line.strip_suffix('\n') {
                Some(bare) if stands_out(number, bare) => {
                    all += &self.paint(bare, Paint::Bold);
                    all.push('\n');
                }
                _ => all += line,
            }
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headings_stand_out_and_only_with_colours() {
        let text = "a b\nflags:\n  --x: y:\nend:\n";
        let style = Style { colours: true, columns: 80 };
        let bold = "a b\n\u{1b}[1mflags:\u{1b}[0m\n  --x: y:\n\u{1b}[1mend:\u{1b}[0m\n";
        assert_eq!(style.with_headings(text), bold);
        assert_eq!(style.table("A\nB\n"), "\u{1b}[1mA\u{1b}[0m\nB\n");
        assert_eq!(Style { colours: false, ..style }.with_headings(text), text);
    }
}
