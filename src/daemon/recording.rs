//! Recordings: how each begins, and how one is opened to be decided again.

#[cfg(feature = "replay")]
use std::path::Path;

#[cfg(feature = "replay")]
use anyhow::Context as _;

#[cfg(feature = "replay")]
use crate::engine::Engine;
#[cfg(feature = "replay")]
use crate::io::record::Line;
use crate::io::record::{self, Header, Start};

/// What a recording or a part of one begins with.
pub(super) fn header<E>(start: Start<E>) -> Header<E> {
    Header { version: env!("CARGO_PKG_VERSION").to_owned(), format: record::FORMAT, start }
}

/// The engine of a recording, for `replay`.
///
/// # Errors
///
/// When the file cannot be read or is no recording.
#[cfg(feature = "replay")]
pub fn open_recording(
    path: &Path,
) -> anyhow::Result<(Engine, impl Iterator<Item = std::io::Result<Line>>)> {
    let (header, lines) = record::read::<Engine>(path)
        .with_context(|| format!("cannot read the recording {}", path.display()))?;
    let engine = match header.start {
        Start::Born { config, mode, seed, restored, now } => {
            Engine::new(*config, mode, *restored, seed, now)
        }
        Start::Midway(engine) => *engine,
    };
    Ok((engine, lines))
}
