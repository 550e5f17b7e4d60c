//! `replay`: a recording is decided again, and the decisions are compared.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::terminal;
use super::work::print;
use crate::daemon::open_recording;
use crate::engine::output::Output;
use crate::io::record::Line;

/// Runs a recording again; exit code 1 at the first difference.
pub(super) fn replay(path: &Path) -> anyhow::Result<ExitCode> {
    said_if_it_panics(path);
    let (mut engine, lines) = open_recording(path)?;
    let mut text = String::new();
    let (mut inputs, mut outputs) = (0_u64, 0_u64);
    for line in lines {
        match line.with_context(|| format!("{}", path.display()))? {
            Line::In(now, input) => {
                inputs += 1;
                if let Some(extra) = engine.poll_output() {
                    return difference(&text, inputs, None, Some(&extra));
                }
                engine.handle(input, now);
            }
            Line::Out(recorded) => {
                outputs += 1;
                let again = engine.poll_output();
                if again.as_ref() != Some(&recorded) {
                    return difference(&text, inputs, Some(&recorded), again.as_ref());
                }
                if let Output::Record(event) = &recorded {
                    let at = event.utc.map_or_else(
                        || format!("{:>12.3} s", event.at.as_micros() as f64 / 1e6),
                        |utc| utc.to_string(),
                    );
                    text.push_str(&format!("{at}  {}\n", event.fact));
                }
            }
        }
    }
    text.push_str(&format!("{inputs} inputs gave the same {outputs} outputs again\n"));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A recording holds a whole engine, and any number may stand in one that was changed or damaged. What the
/// engine cannot bear is the recording's fault then, and said like one.
fn said_if_it_panics(path: &Path) {
    let path = path.display().to_string();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        terminal::print_error(&format!(
            "error: the recording {path} holds what no agent of this version writes ({place})\n"
        ));
        std::process::exit(2);
    }));
}

fn difference(
    text: &str,
    input: u64,
    recorded: Option<&Output>,
    again: Option<&Output>,
) -> anyhow::Result<ExitCode> {
    let show = |output: Option<&Output>| {
        output.map_or_else(|| Ok("nothing".to_owned()), serde_json::to_string)
    };
    print(&format!(
        "{text}input {input} gives something else now\n  then: {}\n  now:  {}\n",
        show(recorded)?,
        show(again)?,
    ))?;
    Ok(ExitCode::from(1))
}
