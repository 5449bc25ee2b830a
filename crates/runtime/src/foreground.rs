//! A process in the foreground: who gets its terminal, and the event loop that passes on signals,
//! terminal and output until it has ended.

pub(crate) mod console;
pub(crate) mod output;
pub(crate) mod started;
pub(crate) mod supervise;
pub(crate) mod terminal;
