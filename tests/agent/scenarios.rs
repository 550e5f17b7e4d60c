//! The scenario files of the virtual clock, on the real kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sparelink::lab::play::play;
use sparelink::lab::script::Scenario;

use crate::runner::{Test, wait};
use crate::stage::AGENT;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn read(path: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Scenario::parse(&text).map_err(|errors| anyhow!("{}: {errors:?}", path.display()))
}

/// Those that the real kernel plays.
pub(crate) fn tests() -> Result<Vec<Test>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "scn") && !read(&path)?.settings.virtual_only {
            files.push(path);
        }
    }
    files.sort();
    files.into_iter().map(test).collect()
}

fn test(path: PathBuf) -> Result<Test> {
    let name = path.file_stem().context("a name")?.to_string_lossy();
    let name = format!("scenario::{name}");
    Ok(Test::new(name, move || wait(play_file(&path))))
}

async fn play_file(path: &Path) -> Result<()> {
    play(&read(path)?, Path::new(AGENT)).await
}
