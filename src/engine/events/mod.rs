//! What happened: typed facts, their words, and how long they are kept.

pub mod args;
pub mod catalogue;
pub mod causes;
pub mod entry;
pub mod facts;
mod name_words;
pub mod note;
pub mod story;
pub mod timeline;
pub mod undone;
pub mod words;
