//! What happened: typed facts, their words, and how long they are kept.

pub mod facts;
pub mod history;
pub mod timeline;
mod words;
