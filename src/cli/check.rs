//! `sparelink check`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::{ERROR, Failure};
use super::terminal::{self, Form};
use crate::config::{self, Config};

/// Says that a configuration is right, or lists what is wrong.
pub(super) fn check(file: &Path, form: Form) -> Result<ExitCode, Failure> {
    let read = config::load(file);
    match (form, read) {
        (Form::Text, read) => {
            let config = read?;
            terminal::print(&format!("{}: ok, {}\n", file.display(), chain(&config)))
        }
        (Form::Json, Ok(config)) => {
            let uplinks: Vec<_> = config.uplinks.iter().map(|uplink| &uplink.name).collect();
            tell(&json!({ "ok": true, "uplinks": uplinks, "mistakes": [], "more": 0 }))
        }
        (Form::Json, Err(config::Error::Mistakes { mistakes, more, .. })) => {
            let mistakes: Vec<_> = mistakes.iter().map(mistake).collect();
            tell(&json!({ "ok": false, "mistakes": mistakes, "more": more }))?;
            Ok(ExitCode::from(ERROR))
        }
        // There is no place in a file that is not read.
        (Form::Json, Err(error)) => Err(error.into()),
    }
}

fn mistake(config::Mistake { line, column, text, hint }: &config::Mistake) -> Value {
    json!({ "line": line, "column": column, "text": text, "hint": hint })
}

fn tell(answer: &Value) -> Result<ExitCode, Failure> {
    terminal::print(&format!("{answer}\n"))
}

/// The chain in one line: `3 uplinks: cable > mifi > phone`.
fn chain(config: &Config) -> String {
    let names: Vec<_> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    let noun = if names.len() == 1 { "uplink" } else { "uplinks" };
    format!("{} {noun}: {}", names.len(), names.join(" > "))
}
