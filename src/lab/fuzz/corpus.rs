//! The bytes that are known: `fuzz/corpus/TARGET/`, real messages and files, and what once did harm.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A larger file is not read. Those that are kept are a thousandth of it.
pub const MOST_BYTES: u64 = 1 << 20;
/// A folder with more files than this is not played.
pub const MOST_FILES: usize = 256;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The files of a target's folder, in the order of their names.
///
/// # Errors
/// A sentence about the file that is too large or cannot be read, or about the folder.
pub fn read(folder: &Path) -> Result<Vec<Known>, String> {
    let of = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| of(folder, error))? {
        let path = entry.map_err(|error| of(folder, error))?.path();
        if all.len() == MOST_FILES {
            return Err(format!("{}: more than {MOST_FILES} files", folder.display()));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(|error| of(&path, error))?;
        let length = file.metadata().map_err(|error| of(&path, error))?.len();
        if length > MOST_BYTES {
            let most = MOST_BYTES >> 10;
            return Err(format!("{}: {length} bytes are more than {most} KiB", path.display()));
        }
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| of(&path, error))?;
        all.push(Known { path, bytes });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}
