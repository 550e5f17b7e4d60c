//! What is text, and can be read and compared without a namespace: configuration, command line, changes of the
//! kernel, documents, the source itself.

mod cli;
mod config;
mod converge;
mod manual;
mod papers;
mod tidy;
