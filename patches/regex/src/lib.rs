//! The crate `regex` by its smaller sibling, whose interface is the same as far as it goes.

pub use regex_lite::*;
