//! Packs the page into the program: every file of `web/`, compressed once and for all, with a tag that
//! changes when the file does.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};

/// What browsers are told each kind of file is.
const KINDS: [(&str, &str); 7] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("webmanifest", "application/manifest+json"),
];

fn main() -> io::Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let to = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    let to = Path::new(&to);
    println!("cargo::rerun-if-changed={}", from.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files: Vec<_> = fs::read_dir(&from)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut table = String::from("[\n");
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let ending = name.rsplit('.').next().unwrap_or_default();
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == ending) else {
            return Err(io::Error::other(format!("web/{name} is of no kind that the page has")));
        };
        let text = fs::read(file.path())?;
        let packed = to.join(format!("{name}.gz"));
        // Without a time in it: the same file gives the same program.
        let mut pack = GzBuilder::new().write(Vec::new(), Compression::best());
        pack.write_all(&text)?;
        fs::write(&packed, pack.finish()?)?;
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let tag = format!("\"{:016x}\"", digest(&text));
        table += &format!(
            "    Asset {{ path: {path:?}, kind: {kind:?}, tag: {tag:?}, packed: include_bytes!({packed:?}) }},\n"
        );
    }
    fs::write(to.join("assets.rs"), table + "]\n")
}

/// FNV-1a, 64 bits: to tell one version from the next, not to withstand anybody.
fn digest(text: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    text.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
