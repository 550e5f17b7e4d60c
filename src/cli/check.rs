//! `sparelink check`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::{ERROR, Failure};
use super::terminal::{self, Form};
use crate::config::{self, Basics, Config};

/// The name of a file that stands for standard input.
const INPUT: &str = "-";

/// Says that a configuration is right, or lists what is wrong.
pub(super) fn check(file: &Path, form: Form) -> Result<ExitCode, Failure> {
    let read = if file == Path::new(INPUT) {
        config::given(io::stdin().lock())
    } else {
        config::load(file).map(Some)
    };
    match (form, read) {
        (Form::Text, read) => {
            let what = read?.map_or("another file is named in it".to_owned(), |it| chain(&it));
            terminal::print(&format!("{}: ok, {what}\n", file.display()))
        }
        (Form::Json, Ok(config)) => {
            let uplinks = config.iter().flat_map(|config| &config.uplinks);
            let uplinks: Vec<_> = uplinks.map(|uplink| &uplink.name).collect();
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

/// Prints what the script that starts the agent has to know, in the shell's language.
pub(super) fn service(file: &Path) -> Result<ExitCode, Failure> {
    let Basics { enabled, config_file, run_dir, state_dir } = config::basics(file)?;
    let mut text = format!("enabled={}\n", u8::from(enabled));
    for (name, path) in
        [("config_file", config_file), ("run_dir", run_dir), ("state_dir", state_dir)]
    {
        text += &path.map(|path| format!("{name}={}\n", quoted(path))).unwrap_or_default();
    }
    terminal::print(&text)
}

/// One word of a shell's.
fn quoted(path: PathBuf) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
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
