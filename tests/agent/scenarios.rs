//! The scenario files of the virtual clock, on the real kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sparelink::lab::play::play;
use sparelink::lab::script::Scenario;

use crate::stage::AGENT;

/// What their names begin with here.
pub(crate) const PREFIX: &str = "scenario::";

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn read(path: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Scenario::parse(&text).map_err(|errors| anyhow!("{}: {errors:?}", path.display()))
}

/// Those that the real kernel plays, the longest first.
pub(crate) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir())? {
        let path = entry?.path();
        let scenario = read(&path)?;
        if path.extension().is_some_and(|e| e == "scn") && !scenario.settings.virtual_only {
            let name = path.file_stem().context("a name")?.to_string_lossy();
            names.push((fs::metadata(&path)?.len(), format!("{PREFIX}{name}")));
        }
    }
    names.sort_by(|a, b| b.cmp(a));
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// Plays one of them.
pub(crate) async fn play_file(name: &str) -> Result<()> {
    let scenario = read(&dir().join(format!("{name}.scn")))?;
    play(&scenario, Path::new(AGENT)).await
}
