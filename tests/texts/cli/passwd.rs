//! `sparelink passwd`: what is typed is kept as a hash, and shown to nobody.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::geteuid;

use super::{Dir, stderr, stdout};

const PASSWORD: &str = "correct horse battery";
/// The program has twenty seconds for each answer on a busy machine.
const PAUSE: Duration = Duration::from_millis(5);
const MOST_PAUSES: u32 = 4000;

/// A directory with a configuration, as `/etc/sparelink` would be.
struct Etc(Dir);

impl Etc {
    fn new(name: &str) -> Self {
        let dir = Dir::new(&format!("passwd-{name}"));
        let state = dir.0.join("state");
        fs::create_dir_all(&state).unwrap();
        let uplink = "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n";
        let text = format!("{uplink}[state]\ndir = {state:?}\n");
        fs::write(dir.0.join("sparelink.toml"), text).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.0.join("password")
    }

    #[expect(clippy::disallowed_methods, reason = "the test starts what it tests")]
    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparelink"));
        command.arg("passwd").arg("--config").arg(self.0.0.join("sparelink.toml")).args(flags);
        command
    }

    /// With these bytes for stdin.
    fn passwd(&self, typed: &[u8], flags: &[&str]) -> Output {
        let mut command = self.command(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may be refused before it is read.
        let _ = child.stdin.take().unwrap().write_all(typed);
        child.wait_with_output().unwrap()
    }
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// Exit code and what went wrong, in its first line.
fn refusal(output: &Output) -> (Option<i32>, String) {
    assert_eq!(stdout(output), "");
    let text = stderr(output);
    (output.status.code(), text.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_line_of_stdin_is_kept_as_a_hash() {
    let etc = Etc::new("kept");
    let output = etc.passwd(format!("{PASSWORD}\nanother line\n").as_bytes(), &[]);
    let text = format!("the password is set; its hash is in {}\n", etc.file().display());
    assert_eq!((stdout(&output), output.status.code()), (text, Some(0)), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let first = fs::read_to_string(etc.file()).unwrap();
    assert!(first.starts_with("$argon2id$v=19$m=4096,t=3,p=1$"), "{first}");
    assert!(!first.contains("horse"));
    assert_eq!(etc.file().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    // Without a line's end, or with another system's, it is the same password; it is hashed again.
    for typed in [PASSWORD.to_owned(), format!("{PASSWORD}\r\n")] {
        assert_eq!(etc.passwd(typed.as_bytes(), &[]).status.code(), Some(0));
        assert_ne!(fs::read_to_string(etc.file()).unwrap(), first);
    }
    let names: Vec<_> = fs::read_dir(&etc.0.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "configuration, state, password: {names:?}");
}

#[test]
fn what_cannot_be_a_password_is_said_and_nothing_changes() {
    let etc = Etc::new("unfit");
    assert_eq!(etc.passwd(PASSWORD.as_bytes(), &[]).status.code(), Some(0));
    let before = fs::read_to_string(etc.file()).unwrap();
    let long = "x".repeat(257);
    let far_too_long = "x".repeat(100_000);
    for (typed, told) in [
        (&b""[..], "error: there is no password; nothing has changed"),
        (b"\n", "error: there is no password; nothing has changed"),
        (b"secret7\n", "error: a password needs at least 8 characters; this one has 7"),
        (long.as_bytes(), "error: a password may have at most 256 characters; this one has 257"),
        (
            far_too_long.as_bytes(),
            "error: a password may have at most 256 characters; this one has 4096",
        ),
        (
            b"with an \x1b[A arrow",
            "error: the password has a control character in it, which no browser can type",
        ),
        (
            b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\n",
            "error: the password cannot be read: it is not UTF-8 text",
        ),
    ] {
        assert_eq!(refusal(&etc.passwd(typed, &[])), (Some(2), told.to_owned()));
        assert_eq!(fs::read_to_string(etc.file()).unwrap(), before);
    }
}

#[test]
fn it_is_taken_away_as_well() {
    let etc = Etc::new("remove");
    etc.passwd(PASSWORD.as_bytes(), &[]);
    let output = etc.passwd(b"", &["--remove"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("is deleted; no login to the page is possible now\n"));
    assert!(!etc.file().exists());
    let again = etc.passwd(b"", &["--remove"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(stdout(&again).starts_with("there was no password in "), "{}", stdout(&again));
}

#[test]
fn where_it_cannot_be_written_it_says_so() {
    let etc = Etc::new("unwritable");
    // Something is in the way of the new file; for root, too.
    fs::create_dir(etc.0.0.join("password.new")).unwrap();
    let (code, told) = refusal(&etc.passwd(PASSWORD.as_bytes(), &[]));
    let expected = format!("error: cannot write {}: ", etc.file().display());
    assert!(code == Some(2) && told.starts_with(&expected), "{told}");
    assert!(!etc.file().exists());
    fs::remove_dir(etc.0.0.join("password.new")).unwrap();
    if geteuid().is_root() {
        skipped("a directory without permission: root may write everywhere");
    } else {
        fs::set_permissions(&etc.0.0, Permissions::from_mode(0o500)).unwrap();
        let output = etc.passwd(PASSWORD.as_bytes(), &[]);
        fs::set_permissions(&etc.0.0, Permissions::from_mode(0o700)).unwrap();
        assert!(stderr(&output).contains("hint: try it as root"), "{}", stderr(&output));
    }
    // A slip of the hand in the file's name leaves no password where no agent looks.
    fs::remove_file(etc.0.0.join("sparelink.toml")).unwrap();
    let (code, told) = refusal(&etc.passwd(PASSWORD.as_bytes(), &[]));
    assert!(code == Some(2) && told.starts_with("error: there is no "), "{told}");
    assert!(!etc.file().exists());
}

#[test]
fn a_configuration_with_mistakes_is_no_hindrance() {
    let etc = Etc::new("mistakes");
    fs::write(etc.0.0.join("sparelink.toml"), "[[uplink\n").unwrap();
    assert_eq!(etc.passwd(PASSWORD.as_bytes(), &[]).status.code(), Some(0));
}

#[test]
fn it_belongs_to_whom_the_state_belongs() {
    if !geteuid().is_root() {
        skipped("only root can give files away");
        return;
    }
    let etc = Etc::new("owner");
    let state = etc.0.0.join("state");
    if let Err(error) = chown(&state, Some(1), Some(2)) {
        skipped(&format!("no other user here: {error}"));
        return;
    }
    assert_eq!(etc.passwd(PASSWORD.as_bytes(), &[]).status.code(), Some(0));
    let meta = etc.file().metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (1, 2, 0o600));
}

/// A terminal with the program at it, and what it has shown so far.
struct Terminal {
    screen: fs::File,
    keyboard: OwnedFd,
    child: Child,
    shown: String,
}

impl Terminal {
    fn open(etc: &Etc) -> Self {
        let pty = openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = etc.command(&[]);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        Self { screen: pty.master.into(), keyboard: pty.slave, child, shown: String::new() }
    }

    fn shows(&mut self, words: &str) {
        let mut pauses = 0;
        while !self.shown.contains(words) {
            assert!(pauses < MOST_PAUSES, "no {words:?} in {:?}", self.shown);
            let mut piece = [0; 512];
            match self.screen.read(&mut piece) {
                Ok(length) => self.shown += &String::from_utf8_lossy(&piece[..length]),
                Err(_) => {
                    pauses += 1;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn types(&mut self, prompt: &str, keys: &str) {
        self.shows(prompt);
        self.screen.write_all(keys.as_bytes()).unwrap();
    }

    fn has_echo(&self) -> bool {
        tcgetattr(&self.keyboard).unwrap().local_flags.contains(LocalFlags::ECHO | LocalFlags::ISIG)
    }

    fn ends(&mut self) -> Option<i32> {
        for _ in 0..MOST_PAUSES {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(PAUSE);
        }
        panic!("it does not end: {:?}", self.shown);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn at_a_terminal_it_is_asked_for_twice_and_not_shown() {
    let etc = Etc::new("terminal");
    let mut terminal = Terminal::open(&etc);
    terminal.shows("New password: ");
    assert!(!terminal.has_echo());
    terminal.types("New password: ", &format!("{PASSWORD}\n"));
    terminal.types("Once more: ", &format!("{PASSWORD}\n"));
    terminal.shows("the password is set");
    assert_eq!(terminal.ends(), Some(0));
    assert!(!terminal.shown.contains("horse"), "{}", terminal.shown);
    assert!(terminal.has_echo(), "as it was");
    assert!(etc.file().exists());
}

#[test]
fn who_mistypes_or_gives_up_changes_nothing() {
    let etc = Etc::new("gives-up");
    for (first, second, told) in [
        (format!("{PASSWORD}\n"), Some("correct house battery\n"), "the two are not the same"),
        ("short\n".to_owned(), None, "at least 8 characters; this one has 5"),
        ("\n".to_owned(), None, "there is no password"),
        ("correct\x03".to_owned(), None, "there is no password"),
        (format!("{PASSWORD}\n"), Some("corr\x03"), "there is no password"),
    ] {
        let mut terminal = Terminal::open(&etc);
        terminal.types("New password: ", &first);
        if let Some(second) = second {
            terminal.types("Once more: ", second);
        }
        terminal.shows(told);
        assert_eq!(terminal.ends(), Some(2), "{}", terminal.shown);
        assert!(!terminal.shown.contains("corr"), "{}", terminal.shown);
        assert!(terminal.has_echo(), "as it was");
        assert!(!etc.file().exists());
    }
}
