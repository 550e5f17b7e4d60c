//! Programs in `hooks.d` beside the configuration: each is run with every message, in the order of their names.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::exec;
use crate::config::{self, Config, NotifyConfig, Service};
use crate::engine::notify::queue::Failure;
use crate::units::Severity;

/// Beside the configuration's file.
const DIR: &str = "hooks.d";

/// Adds the programs beside the configuration's file to its channels, if there is such a directory.
pub fn add_hooks(config: &mut Config, file: &Path) {
    let dir = Some(config::beside(file, DIR)).filter(|dir| dir.is_dir());
    config.notify.extend(dir.map(|dir| NotifyConfig {
        name: "hooks".to_owned(),
        to: Service::Hooks { dir },
        min: Severity::Notice,
        quiet: None,
        secret_file: None,
        escalation: None,
    }));
}

/// Runs them all, with the word for what happened as their only argument. One that fails holds up no other.
pub(super) async fn run(dir: &Path, event: &str, input: &[u8]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for program in programs(dir)? {
        if let Err(failure) = exec::run(&program, &[event], input.to_vec()).await {
            failed.push(failure.why);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(passing(failed.join("; "))) }
}

/// What may be run: files that nobody but their owner, who is root or whoever runs this, can change.
fn programs(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = dir.display();
    let cannot = |error: std::io::Error| passing(format!("cannot read {shown}: {error}"));
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let Ok(meta) = path.metadata() else { continue };
        let mode = meta.permissions().mode();
        if hidden || !meta.is_file() || mode & 0o111 == 0 {
            continue;
        }
        let ours = meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw();
        if !ours || mode & 0o022 != 0 {
            tracing::warn!("{} is not run: others can change it", path.display());
            continue;
        }
        programs.push(path);
    }
    programs.sort();
    Ok(programs)
}

fn passing(why: String) -> Failure {
    Failure { why, refused: false, pause: None, unknown: false }
}
