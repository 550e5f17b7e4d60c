//! The page's password: an argon2id hash (RFC 9106) in the file `password` beside the configuration.
//!
//! The file is one line as password hashes are usually written (the PHC string format):
//! `$argon2id$v=19$m=4096,t=3,p=1$SALT$HASH`. There is no password until somebody sets one, and without
//! one nobody can log in.

use std::io;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64Unpadded, Encoding as _};

use crate::config;
use crate::io::{clock, disk};

/// The file's name, in the configuration file's directory.
const FILE: &str = "password";
/// That of the code by which a first one is set without a shell, beside it.
const CODE_FILE: &str = "password-code";
/// What a code is of: no letter is taken for another one (Crockford's base 32).
const CODE_LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 40 bits, of which some tries an hour find nothing.
const CODE_LENGTH: usize = 8;
/// The fewest characters of a password (NIST SP 800-63B, 3.1.1.2).
const SHORTEST: usize = 8;
/// The most; the page's own field takes no more.
const LONGEST: usize = 256;
/// What one try costs. Routers have 64 MB of memory, of which the agent may take 12: 4 MiB at a time fit, the
/// 19 that servers are advised to take do not. The third pass makes up for some of it.
const MEMORY_KIB: u32 = 4096;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// What a file may ask for at most: it may be edited by hand, and the box must bear it.
const MAX_MEMORY_KIB: u32 = 16_384;
const MAX_PASSES: u32 = 16;
/// Blocks of 1 KiB that are asked for, of which those that are not touched cost nothing. glibc gives back
/// at once only what is larger than 32 MiB (`M_MMAP_THRESHOLD` in mallopt(3)); smaller pieces it comes to
/// keep, and ten logins left 37 MiB behind.
const RESERVED: usize = 33 * 1024;
/// No line that [`set`] writes is longer, in bytes.
const LONGEST_LINE: u64 = 1024;
/// Lengths in bytes.
const SALT: usize = 16;
const HASH: usize = 32;

/// Why a password cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too few characters, and how many.
    #[error("a password needs at least {SHORTEST} characters; this one has {0}")]
    Short(usize),
    #[error("a password may have at most {LONGEST} characters; this one has {0}")]
    Long(usize),
    /// An arrow key, for example.
    #[error("the password has a control character in it, which no browser can type")]
    Control,
}

/// Why the password could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be one.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The system has no random numbers.
    #[error("there are no random bytes for the salt")]
    Salt(#[source] io::Error),
    /// The parameters do not fit together.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::Error),
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is not one that [`set`] wrote.
    #[error("{} is not a password's hash", path.display())]
    Garbled { path: PathBuf },
}

/// Where the password of an agent with this configuration file is.
#[must_use]
pub fn file(config_file: &Path) -> PathBuf {
    config::beside(config_file, FILE)
}

/// Whether this can be a password.
///
/// # Errors
///
/// Why it cannot.
pub fn check(password: &str) -> Result<(), Unfit> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(Unfit::Short(length));
    }
    if length > LONGEST {
        return Err(Unfit::Long(length));
    }
    if password.chars().any(char::is_control) { Err(Unfit::Control) } else { Ok(()) }
}

/// Sets the password. The file is for its owner only: this user and group, else whoever calls.
///
/// # Errors
///
/// When it cannot be a password, or the file cannot be written; the old one stays then.
pub fn set(file: &Path, password: &str, owner: Option<(u32, u32)>) -> Result<(), Error> {
    check(password)?;
    let salt = clock::random::<SALT>().map_err(Error::Salt)?;
    let cost = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH)).map_err(Error::Hash)?;
    let hash = hash(&cost, &salt, password).map_err(Error::Hash)?;
    let (salt, hash) = (Base64Unpadded::encode_string(&salt), Base64Unpadded::encode_string(&hash));
    let text = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}\n");
    disk::replace_private(file, text.as_bytes(), owner)
        .map_err(|source| Error::Write { path: file.to_owned(), source })
}

/// Takes the password away, so that nobody can log in; whether there was one.
///
/// # Errors
///
/// When the file cannot be removed.
pub fn remove(file: &Path) -> Result<bool, Error> {
    disk::remove(file).map_err(|source| Error::Write { path: file.to_owned(), source })
}

/// Where the code is for the password of this file.
#[must_use]
pub fn code_file(password: &Path) -> PathBuf {
    password.with_file_name(CODE_FILE)
}

/// A new code by which the password can be set once on the page, as people read it: `7K2M-9QXD`. It replaces an older
/// one. Only its hash is kept, for `owner` as the password's is.
///
/// # Errors
///
/// When the file cannot be written; an older code stays then.
pub fn new_code(password: &Path, owner: Option<(u32, u32)>) -> Result<String, Error> {
    let random = clock::random::<CODE_LENGTH>().map_err(Error::Salt)?;
    let code: String = random
        .iter()
        .filter_map(|byte| CODE_LETTERS.get(usize::from(byte % 32)).copied().map(char::from))
        .collect();
    set(&code_file(password), &code, owner)?;
    let (first, second) = code.split_at(CODE_LENGTH / 2);
    Ok(format!("{first}-{second}"))
}

/// The code is used: it opens nothing any more.
///
/// # Errors
///
/// When its file cannot be removed.
pub fn use_code(password: &Path) -> Result<(), Error> {
    remove(&code_file(password)).map(drop)
}

/// A code as people type it: in small letters, with or without what is between its halves, and with letters that look
/// like the ones it has.
#[must_use]
pub fn plain_code(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    let plain = letters.map(|letter| match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    });
    plain.take(2 * CODE_LENGTH).collect()
}

fn hash(cost: &Params, salt: &[u8], password: &str) -> argon2::Result<[u8; HASH]> {
    let (mut hash, mut memory) = ([0; HASH], Vec::new());
    if memory.try_reserve_exact(RESERVED).is_err() {
        memory.reserve_exact(cost.block_count());
    }
    memory.resize(cost.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.clone());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory)?;
    Ok(hash)
}

/// A password as it is kept.
#[derive(Clone)]
pub(super) struct Stored {
    line: String,
    cost: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// It says nothing, so that no log does.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored(…)")
    }
}

impl Stored {
    /// Reads it; `None`: there is no password.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, Error> {
        match disk::read_small(file, LONGEST_LINE) {
            Ok(Some(text)) => match std::str::from_utf8(&text).ok().and_then(Self::parse) {
                Some(stored) => Ok(Some(stored)),
                None => Err(Error::Garbled { path: file.to_owned() }),
            },
            Ok(None) => Ok(None),
            Err(source) => Err(Error::Read { path: file.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let rest = line.strip_prefix("$argon2id$v=19$")?;
        let mut parts = rest.split('$');
        let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let mut cost = cost.split(',');
        let mut next =
            |name: &str| cost.next()?.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok();
        let (memory, passes, lanes) = (next("m")?, next("t")?, next("p")?);
        if parts.next().is_some() || cost.next().is_some() {
            return None;
        }
        let bearable = memory <= MAX_MEMORY_KIB && passes <= MAX_PASSES && lanes <= LANES;
        let (salt, hash) =
            (Base64Unpadded::decode_vec(salt).ok()?, Base64Unpadded::decode_vec(hash).ok()?);
        if !bearable || hash.len() != HASH {
            return None;
        }
        let cost = Params::new(memory, passes, lanes, Some(HASH)).ok()?;
        Some(Self { line: line.to_owned(), cost, salt, hash })
    }

    /// Whether that is the password. Takes tenths of a second and the memory that it was hashed with:
    /// not for a thread that others wait for.
    pub(super) fn is(&self, password: &str) -> bool {
        hash(&self.cost, &self.salt, password).is_ok_and(|hash| same(&hash, &self.hash))
    }

    /// Something that differs from that of any other password, and of the same one set again.
    pub(super) fn line(&self) -> &str {
        &self.line
    }
}

/// Whether they are the same, in a time that does not tell where they differ.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    let differ =
        left.iter().zip(right).fold(0, |differ, (l, r)| std::hint::black_box(differ | (l ^ r)));
    left.len() == right.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let name = format!("sparelink-password-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_set_is_known_again_and_nothing_else() {
        let dir = Dir::new("set");
        let file = file(&dir.0.join("sparelink.toml"));
        assert!(Stored::read(&file).unwrap().is_none());
        assert!(!remove(&file).unwrap());
        set(&file, "correct horse", None).unwrap();
        let first = Stored::read(&file).unwrap().unwrap();
        assert!(first.is("correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse", "correct horse\n"] {
            assert!(!first.is(wrong), "{wrong:?}");
        }
        let meta = file.metadata().unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1, "nothing else is left");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=4096,t=3,p=1$") && text.ends_with('\n'));
        assert!(!text.contains("horse"));
        // The same again is another hash.
        set(&file, "correct horse", Some((meta.uid(), meta.gid()))).unwrap();
        let second = Stored::read(&file).unwrap().unwrap();
        assert!(second.is("correct horse") && second.line() != first.line());
        assert_eq!(format!("{second:?}"), "Stored(…)");
        assert!(remove(&file).unwrap());
        assert!(Stored::read(&file).unwrap().is_none());
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let dir = Dir::new("code");
        let file = file(&dir.0.join("sparelink.toml"));
        let code = new_code(&file, None).unwrap();
        assert!(code.len() == 9 && code.chars().nth(4) == Some('-'), "{code}");
        let kept = Stored::read(&code_file(&file)).unwrap().unwrap();
        for typed in [code.clone(), code.to_lowercase().replace('-', ""), format!(" {code} ")] {
            assert!(kept.is(&plain_code(&typed)), "{typed}");
        }
        let ambiguous = code.replace('0', "o").replace('1', "l");
        assert!(kept.is(&plain_code(&ambiguous)), "{ambiguous}");
        let second = new_code(&file, None).unwrap();
        assert_ne!(code, second);
        let kept = Stored::read(&code_file(&file)).unwrap().unwrap();
        assert!(!kept.is(&plain_code(&code)) && kept.is(&plain_code(&second)));
        use_code(&file).unwrap();
        assert!(Stored::read(&code_file(&file)).unwrap().is_none());
    }

    #[test]
    fn a_hash_made_elsewhere_is_understood() {
        // From the reference implementation's own tests (phc-winner-argon2, src/test.c).
        let line = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\
                    nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(Stored::parse(line).unwrap().is("password"));
        assert!(!Stored::parse(line).unwrap().is("passwore"));
        for broken in [
            String::new(),
            "\n".to_owned(),
            "correct horse".to_owned(),
            line.replace("argon2id", "argon2i"),
            line.replace("v=19", "v=16"),
            line.replace("m=256", "m=999999999"),
            line.replace("m=256", "m=-1"),
            line.replace("m=256", "m=0"),
            line.replace("t=2", "t=0"),
            line.replace("t=2", "t=100000"),
            line.replace("p=1", "p=64"),
            line.replace("p=1", "p=1,k=2"),
            line.replace("t=2,", ""),
            format!("{line}$more"),
            format!("{line}\nmore"),
            line[..line.len() - 4].to_owned(),
        ] {
            assert!(Stored::parse(&broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_said_why() {
        assert_eq!(check("1234567"), Err(Unfit::Short(7)));
        assert_eq!(check("äöüäöüä"), Err(Unfit::Short(7)), "characters are counted, not bytes");
        assert_eq!(check("12345678"), Ok(()));
        assert_eq!(check(" two  words "), Ok(()));
        assert_eq!(check(&"x".repeat(256)), Ok(()));
        assert_eq!(check(&"x".repeat(257)), Err(Unfit::Long(257)));
        assert_eq!(check("arrow\u{1b}[Akeys"), Err(Unfit::Control));
        let file = std::env::temp_dir().join("sparelink-nothing-is-written-here");
        assert!(matches!(set(&file, "short", None), Err(Error::Unfit(_))));
        assert!(!file.exists());
    }

    #[test]
    fn the_old_one_stays_where_nothing_can_be_written() {
        let dir = Dir::new("unwritable");
        let file = dir.0.join("gone").join(FILE);
        assert!(matches!(set(&file, "correct horse", None), Err(Error::Write { .. })));
        assert!(matches!(Stored::read(&dir.0), Err(Error::Read { .. })), "a directory");
    }

    #[test]
    fn sameness_looks_at_all_of_it() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }
}
