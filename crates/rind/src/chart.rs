//! Draws the chart of `--timing`: a line a step, in the order in which they began, with a bar that shows
//! when it was. It must not print it.

use crate::log::printable;
use crate::style::{Paint, Style};
use std::fmt::Write;
use timing::{Side, Span};

/// Steps shorter than this part of the whole are only summed up.
const PART: u64 = 400;
/// The most characters of a step's name, and the fewest of the room for bars.
const NAME: usize = 54;
const BAR: usize = 12;

/// The chart. `inner` is what the container's process is called.
pub fn draw(title: &str, inner: &str, spans: &[Span], style: Style) -> String {
    let whole = spans.iter().map(|span| span.end).max().unwrap_or(0);
    let (shown, short): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.took() > whole / PART);
    let slowest = slowest(spans);
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let side = width(&mut shown.iter().map(|span| side_name(span.side, inner).len()));
    // Two times, the side, and what is between these and the rest.
    let room = style.columns.saturating_sub(9 + 1 + 9 + 2 + side + 2 + 1 + 1);
    let most = room.saturating_sub(BAR).clamp(16, NAME);
    let name = width(&mut shown.iter().map(|span| label(span).chars().count())).clamp(4, most);
    let bar = room.saturating_sub(name).max(BAR);

    let mut text = format!("{}: {} ms\n", printable(title), milliseconds(whole));
    let head = format!("{:>9} {:>9}  {:side$}  {:name$}", "at ms", "took ms", "", "step");
    text += style.paint(head.trim_end(), Paint::Bold).as_str();
    text.push('\n');
    for span in &shown {
        let label: String = label(span).chars().take(name).collect();
        let stands_out = slowest.is_some_and(|slowest| std::ptr::eq(slowest, *span));
        let label = format!("{label:name$}");
        let label = style.paint(&label, if stands_out { Paint::Bold } else { Paint::Plain });
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{:>9} {:>9}  {:side$}  {label} {}",
            milliseconds(span.begin),
            milliseconds(span.took()),
            side_name(span.side, inner),
            draw_bar(span, whole, bar, style),
        );
    }
    sum_up(&mut text, &short, whole);
    if let Some(slowest) = slowest {
        let share = slowest.took().saturating_mul(100) / whole.max(1);
        let (name, side) = (label(slowest), side_name(slowest.side, inner));
        let took = milliseconds(slowest.took());
        let _ = writeln!(text, "slowest: {name} ({side}), {took} ms, {share} %");
    }
    text
}

/// The step that took longest and didn't wait for another process.
fn slowest(spans: &[Span]) -> Option<&Span> {
    spans.iter().filter(|span| !span.step.waits()).max_by_key(|span| span.took())
}

/// Tells of the steps that have no line of their own.
fn sum_up(text: &mut String, short: &[&Span], whole: u64) {
    if !short.is_empty() {
        let sum = milliseconds(short.iter().fold(0, |sum, span| sum.saturating_add(span.took())));
        let s = if short.len() == 1 { "" } else { "s" };
        let (count, most) = (short.len(), milliseconds(whole / PART));
        let _ = writeln!(text, "{count} more step{s}, none longer than {most} ms, took {sum} ms");
    }
}

/// The name of a step, in one line.
fn label(span: &Span) -> String {
    printable(&span.label).replace(['\n', '\t'], " ")
}

fn draw_bar(span: &Span, whole: u64, width: usize, style: Style) -> String {
    let at = |time: u64| {
        let scaled = u128::from(time) * width as u128 / u128::from(whole.max(1));
        usize::try_from(scaled).unwrap_or(width).min(width)
    };
    let begin = at(span.begin).min(width.saturating_sub(1));
    let length = at(span.end).saturating_sub(begin).max(1);
    let (sign, paint) = match span.side {
        _ if span.step.waits() => (".", Paint::Dim),
        Side::Host => ("#", Paint::Blue),
        Side::Intermediate => ("+", Paint::Cyan),
        Side::Container => ("=", Paint::Green),
    };
    " ".repeat(begin) + &style.paint(&sign.repeat(length), paint)
}

/// What people call a side.
pub fn side_name(side: Side, inner: &str) -> &str {
    match side {
        Side::Host => "rind",
        Side::Intermediate => "intermediate",
        Side::Container => inner,
    }
}

fn milliseconds(nanoseconds: u64) -> String {
    let hundredths = nanoseconds.saturating_add(5000) / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timing::Step;

    fn span(side: Side, step: Step, label: &str, begin: u64, end: u64) -> Span {
        Span { side, step, label: label.to_owned(), begin: begin * 1000, end: end * 1000 }
    }

    #[test]
    fn bars_stand_where_the_steps_were() {
        let spans = [
            span(Side::Host, Step::Config, "reading", 0, 10_000),
            span(Side::Host, Step::Fork, "forking", 10_000, 10_010),
            span(Side::Container, Step::Mount, "mounts[0] /a\nb", 10_000, 40_000),
            span(Side::Host, Step::AwaitInit, "waiting for init", 10_010, 40_000),
        ];
        let style = Style { colours: false, columns: 70 };
        assert_eq!(
            draw("rind run x", "init", &spans, style),
            "rind run x: 40.00 ms
    at ms   took ms        step
     0.00     10.00  rind  reading          ######
    10.00     30.00  init  mounts[0] /a b         ===================
    10.01     29.99  rind  waiting for init       ...................
1 more step, none longer than 0.10 ms, took 0.01 ms
slowest: mounts[0] /a b (init), 30.00 ms, 75 %
"
        );
        assert!(draw("x", "init", &[], style).starts_with("x: 0.00 ms\n"));
        let coloured = draw("x", "init", &spans, Style { colours: true, ..style });
        assert!(coloured.contains("\u{1b}[34m######\u{1b}[0m"), "{coloured}");
    }
}
