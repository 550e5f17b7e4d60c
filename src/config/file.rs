//! Configurations in files: which file is meant, in which language it is, and what belongs to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::notes::Notes;
use super::openwrt;
use super::uci::{self, Document};

/// The largest configuration file that is read, in bytes; a real one has about a thousand.
const MAX_BYTES: u64 = 1 << 20;
/// Where OpenWrt has its configurations.
pub(super) const UCI_DIR: &str = "/etc/config";
/// That of its networks.
pub(super) const NETWORK: &str = "network";

/// Where what belongs to a configuration is: beside it, and for OpenWrt's own files in `/etc/sparelink`, as in their folder
/// `uci` takes every file for one of its own.
#[must_use]
pub fn beside(config_file: &Path, name: &str) -> PathBuf {
    match config_file.parent() {
        Some(dir) if dir == Path::new(UCI_DIR) => Path::new("/etc/sparelink").join(name),
        _ => config_file.with_file_name(name),
    }
}

/// Whether a file is in the language of OpenWrt's own, which the page does not edit; one that is not there, whether it
/// would be.
#[must_use]
pub fn is_uci(config_file: &Path) -> bool {
    if !config_file.exists() {
        return config_file.parent() == Some(Path::new(UCI_DIR));
    }
    std::fs::read_to_string(config_file).is_ok_and(|text| is_openwrts(config_file, &text))
}

/// In which language a file is: by what stands in it, and where that says nothing, by where it is.
pub(super) fn is_openwrts(path: &Path, text: &str) -> bool {
    openwrt::is_spoken(text) || path.parent() == Some(Path::new(UCI_DIR)) && !openwrt::is_toml(text)
}

/// OpenWrt's networks, which know the devices of a LAN; where there are none, nothing.
pub(super) fn networks(path: &Path) -> Result<Document, Error> {
    match File::open(path) {
        Ok(source) => Ok(uci::read(&whole(source, &path.display().to_string())?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Document::default()),
        Err(error) => Err(unreadable(path.display().to_string(), error)),
    }
}

/// A file, and what it is called.
pub(super) fn read(path: &Path) -> Result<(String, String), Error> {
    let file = path.display().to_string();
    match File::open(path) {
        Ok(source) => whole(source, &file).map(|text| (file, text)),
        Err(error) => Err(unreadable(file, error)),
    }
}

/// All of a text that has a reasonable length.
pub(super) fn whole(source: impl Read, file: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    if let Err(source) = source.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        return Err(unreadable(file.to_owned(), source));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge { file: file.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let notes = Notes::new(&good);
        notes.push(good.len(), "this is not UTF-8 text", "save the file as UTF-8");
        notes.into_error(file)
    })
}

/// Puts into words why a file could not be read.
fn unreadable(file: String, source: io::Error) -> Error {
    const OTHER: &str = "name another file with --config FILE";
    let (what, hint) = if source.kind() == io::ErrorKind::NotFound {
        let hint = "sudo sparelink setup writes one; sparelink run --auto needs none; or name another \
                    file with --config FILE";
        ("there is no such file".to_owned(), hint)
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        ("this file may not be read by you".to_owned(), "try it as root, for example with sudo")
    } else if source.kind() == io::ErrorKind::IsADirectory {
        ("this is a directory, not a file".to_owned(), OTHER)
    } else {
        (format!("the file cannot be read: {source}"), OTHER)
    };
    Error::Unreadable { file, what, hint, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{basics, given, load};

    const UPLINK: &str = "config uplink 'wan'\n\toption network 'wan'\n";

    fn dir(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("sparelink-file-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_file_that_names_itself_or_one_of_its_kind_is_refused() {
        let dir = dir("circle");
        let [one, two, toml] = ["one", "two", "right.toml"].map(|name| dir.join(name));
        let naming =
            |path: &Path| format!("config sparelink\n\toption config_file '{}'\n", path.display());
        for other in [&one, &two] {
            std::fs::write(&one, naming(other)).unwrap();
            std::fs::write(&two, naming(&one)).unwrap();
            let said = load(&one).unwrap_err().to_string();
            assert!(
                said.contains(":2:21: ") && said.contains("is in OpenWrt's language"),
                "{said}"
            );
        }
        std::fs::write(&one, naming(&toml)).unwrap();
        std::fs::write(&toml, "[[uplink]]\nname = \"wan\"\ninterface = \"eth1\"\n").unwrap();
        assert_eq!(load(&one).unwrap().uplinks.len(), 1, "control");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_given_does_not_have_another_file_read() {
        let naming = "config sparelink\n\toption config_file '/proc/self/mem'\n";
        assert_eq!(given(naming.as_bytes()).unwrap(), None);
        assert_eq!(given(UPLINK.as_bytes()).unwrap().unwrap().uplinks.len(), 1);
        let said = given("".as_bytes()).unwrap_err().to_string();
        assert!(said.contains("config uplink"), "an empty file is LuCI's: {said}");
        let said = given("[[uplink]]\n".as_bytes()).unwrap_err().to_string();
        assert!(said.starts_with("standard input:1:"), "{said}");
    }

    #[test]
    fn networks_that_may_not_be_read_are_told() {
        let dir = dir("networks");
        std::fs::write(dir.join("sparelink"), UPLINK).unwrap();
        assert!(load(&dir.join("sparelink")).is_ok(), "there are none");
        // A folder cannot be read either, and root can read all else.
        std::fs::create_dir(dir.join(NETWORK)).unwrap();
        let said = load(&dir.join("sparelink")).unwrap_err().to_string();
        assert!(said.contains("/network: "), "{said}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_not_understood_is_no_wish_to_stop() {
        let dir = dir("service");
        let file = dir.join("sparelink");
        let enabled = |text: &str| {
            std::fs::write(&file, text).unwrap();
            basics(&file).unwrap().enabled
        };
        for (text, is) in [
            ("", false),
            ("config sparelink\n\toption enabled '0'\n", false),
            ("config sparelink\n\toption enabled\n", false),
            ("config sparelink\n\toption enabled 'on'\n", true),
            ("config sparelink\n\toption enabled 'maybe'\n", true),
            ("config sparelink 'ma-in'\n\toption enabled '0'\n", true),
            ("config sparelink\n\toption hold '2m\n\toption enabled '0'\n", true),
        ] {
            assert_eq!(enabled(text), is, "{text}");
        }
        std::fs::write(
            &file,
            format!("config sparelink\n\toption run_dir '/x'\n\toption hold '?'\n{UPLINK}"),
        )
        .unwrap();
        let wrong = basics(&file).unwrap();
        assert_eq!((wrong.run_dir, wrong.state_dir), (Some("/x".into()), None));
        std::fs::write(&file, UPLINK).unwrap();
        assert!(basics(&file).unwrap().state_dir.is_some(), "what the agent itself goes by");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn where_a_file_is_tells_its_language_if_it_does_not() {
        let openwrts = Path::new("/etc/config/sparelink");
        for text in ["", "# nothing\n", "confg uplink 'wan'\n", "c uplink wan\n", "package\n"] {
            assert!(is_openwrts(openwrts, text), "{text}");
            assert!(!is_openwrts(Path::new("/etc/sparelink/sparelink.toml"), text), "{text}");
        }
        for text in ["[[uplink]]\n", "# x\nconfig = 1\n"] {
            assert!(!is_openwrts(openwrts, text), "{text}");
        }
        for text in ["option a 'b'\n", "'config' uplink\n", "list a b\n", UPLINK] {
            assert!(is_openwrts(Path::new("/tmp/x"), text), "{text}");
        }
    }
}
