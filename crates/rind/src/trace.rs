//! Writes what `--timing-file` asks for: a trace in the format of Chrome's tracing ("Trace Event Format"),
//! which <chrome://tracing> and Perfetto (<https://ui.perfetto.dev>) show.

use crate::chart::side_name;
use serde_json::{Value, json};
use timing::{Side, Span};

/// The trace as JSON.
pub fn of(title: &str, inner: &str, spans: &[Span]) -> String {
    let own = std::process::id();
    let pid = |side: Side| match (side, timing::pid(side)) {
        (Side::Host, _) => json!(own),
        // Of a process that nobody has come to know.
        (_, None) => json!(0),
        (_, Some(pid)) => json!(pid),
    };
    let mut events = Vec::new();
    for side in Side::ALL.into_iter().filter(|side| spans.iter().any(|one| one.side == *side)) {
        let name = match side {
            Side::Host => title.to_owned(),
            _ => side_name(side, inner).to_owned(),
        };
        for kind in ["process_name", "thread_name"] {
            events.push(json!({
                "name": kind, "ph": "M", "pid": pid(side), "tid": pid(side), "args": { "name": name },
            }));
        }
        events.push(json!({
            "name": "process_sort_index", "ph": "M", "pid": pid(side), "tid": pid(side),
            "args": { "sort_index": side as u8 },
        }));
    }
    events.extend(spans.iter().map(|span| {
        json!({
            "name": span.label,
            "cat": if span.step.waits() { "wait" } else { "work" },
            "ph": "X",
            "ts": microseconds(span.begin),
            "dur": microseconds(span.took()),
            "pid": pid(span.side),
            "tid": pid(span.side),
        })
    }));
    json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string() + "\n"
}

fn microseconds(nanoseconds: u64) -> Value {
    // A trace of so many nanoseconds that they have no exact number would be of a hundred days.
    #[allow(clippy::cast_precision_loss)]
    let exact = nanoseconds as f64;
    json!(exact / 1000.0)
}
