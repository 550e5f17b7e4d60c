//! What can be set on the page, and how it comes into the file: comments and layout stay as they are.
//!
//! The file remains the truth. What is wanted becomes the smallest edit of its text, which goes through the checker
//! that every file goes through.

mod difference;
mod edit;
mod model;
mod order;
mod span;

pub use difference::{Line, Sign, difference};
pub use edit::{Edited, edit};
pub use model::*;

#[cfg(test)]
mod tests;
