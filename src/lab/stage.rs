//! How the lab gets a world of its own: the process runs itself again, single-threaded, and that
//! second process leaves the machine's namespaces before it does anything else.
//!
//! ```text
//! sparelink lab ── first: waits, passes signals and the exit code on
//!   └─ the same program again ── inside: user (unless root), net and mount namespaces of its own
//!        └─ the agent, started by way of a third self, so that it dies with its parent
//! ```
//!
//! Each level dies with the one above it (`PR_SET_PDEATHSIG`), nothing has a name that outlives it,
//! and every file lies on a tmpfs that only these processes see: a `kill -9` leaves nothing.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, Uid, getegid, geteuid, getppid};

/// What a process started by the lab is for, and the process that started it: `inside PID`.
const STAGE: &str = "SPARELINK_LAB_STAGE";
/// The private directory of the lab: a tmpfs that no other process sees.
pub const PRIVATE_DIR: &str = "/run";
/// Exit code of "could not even begin".
const EXIT_ERROR: u8 = 2;

/// Runs `f` inside namespaces of its own and returns its exit code.
///
/// Call it first thing in `main` (or in the command that needs it), before any thread is started:
/// the same program is run again with the same arguments, reaches this call again, and then runs
/// `f`. Prints one sentence and returns 2 where the kernel allows no namespaces.
pub fn enter(f: impl FnOnce() -> ExitCode) -> ExitCode {
    enter_with(|| (), |()| f())
}

/// As [`enter`], with something from the machine's own namespaces: `take` is called once, before
/// they are left.
pub fn enter_with<T>(take: impl FnOnce() -> T, f: impl FnOnce(T) -> ExitCode) -> ExitCode {
    match stage() {
        None => match first() {
            Ok(code) => code,
            Err(e) => refuse(&format!("the lab could not start itself again: {e}")),
        },
        Some(Stage { role: Role::Inside, parent }) => {
            let taken = take();
            match isolate(parent) {
                Ok(()) => f(taken),
                Err(why) => refuse(&why),
            }
        }
        Some(Stage { role: Role::Start, parent }) => {
            let error = become_child(parent);
            refuse(&format!("the lab could not start its agent: {error}"))
        }
    }
}

/// A command that runs `program` as a child that is killed when the calling thread's process dies.
///
/// The child has an empty environment and no standard input.
pub fn child(program: &Path, args: &[OsString]) -> Command {
    let mut command = again();
    let me = std::process::id();
    command.env(STAGE, format!("start {me}"));
    command.env("SPARELINK_LAB_ARGC", (args.len() + 1).to_string());
    for (i, arg) in
        std::iter::once(program.as_os_str()).chain(args.iter().map(|a| &**a)).enumerate()
    {
        command.env(format!("SPARELINK_LAB_ARG{i}"), arg);
    }
    command.stdin(Stdio::null());
    command
}

/// What this process is, if the lab started it.
struct Stage {
    role: Role,
    parent: Pid,
}

enum Role {
    /// Leaves the namespaces of the machine and runs the lab.
    Inside,
    /// Ties its life to the lab's and becomes another program.
    Start,
}

fn stage() -> Option<Stage> {
    let text = variable(STAGE)?.into_string().ok()?;
    let (role, parent) = text.split_once(' ')?;
    let role = match role {
        "inside" => Role::Inside,
        "start" => Role::Start,
        _ => return None,
    };
    Some(Stage { role, parent: Pid::from_raw(parent.parse().ok()?) })
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "sparelink: {why}");
    ExitCode::from(EXIT_ERROR)
}

/// This program again, with the arguments it was called with.
#[expect(clippy::disallowed_methods, reason = "the lab runs its own program again, nothing else")]
fn again() -> Command {
    let mut args = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args);
    command
}

/// The outermost process: starts the inner one, passes signals in and the exit code out.
fn first() -> io::Result<ExitCode> {
    let mut child = again().env(STAGE, format!("inside {}", std::process::id())).spawn()?;
    let mut signals = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
    {
        signals.add(signal);
    }
    signals.thread_block()?;
    let status = wait_passing_signals(&mut child, &signals)?;
    signals.thread_unblock()?;
    Ok(exit_code(status))
}

fn wait_passing_signals(child: &mut Child, signals: &SigSet) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id().cast_signed());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let signal = signals.wait()?;
        if signal != Signal::SIGCHLD {
            let _ = kill(pid, signal);
        }
    }
}

/// The child's exit code, or 128 + the signal that ended it, as shells say it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Leaves the namespaces of the machine.
fn isolate(parent: Pid) -> Result<(), String> {
    die_with(parent)?;
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let (uid, gid) = (geteuid(), getegid());
    let as_root = if uid.is_root() { unshare(own) } else { Err(Errno::EPERM) };
    if as_root.is_err() {
        unshare(own | CloneFlags::CLONE_NEWUSER).map_err(|e| no_namespaces(e, uid))?;
        let map = |file: &str, text: String| {
            std::fs::write(file, text).map_err(|e| format!("the lab could not write {file}: {e}"))
        };
        map("/proc/self/setgroups", "deny".to_owned())?;
        map("/proc/self/uid_map", format!("0 {uid} 1"))?;
        map("/proc/self/gid_map", format!("0 {gid} 1"))?;
        die_with(parent)?;
    }
    private_mounts()
        .map_err(|e| format!("the lab could not make its private {PRIVATE_DIR}: {e}"))?;
    // The program is /proc/self/exe, and would be called `exe` in a list of processes.
    let _ = std::fs::write("/proc/self/comm", "sparelink-lab");
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most.min(16_384), most);
    }
    Ok(())
}

fn no_namespaces(error: Errno, uid: Uid) -> String {
    let hint = if uid.is_root() {
        "this container gives root no right to make them"
    } else {
        "run it with sudo, or allow them (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)"
    };
    format!("the lab needs network namespaces and the kernel refuses them ({error}); {hint}")
}

/// Asks the kernel to kill this process when `parent` ends, and checks that it still lives.
fn die_with(parent: Pid) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| format!("prctl(PR_SET_PDEATHSIG): {e}"))?;
    if getppid() == parent {
        Ok(())
    } else {
        Err("the process that started the lab is gone".to_owned())
    }
}

/// Mounts that nobody else sees, among them a fresh tmpfs on [`PRIVATE_DIR`].
fn private_mounts() -> nix::Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), PRIVATE_DIR, Some("tmpfs"), flags, Some("mode=0755,size=64m"))
}

/// Gives the calling thread a mount namespace with a `/sys` that shows its own network namespace.
/// Where the machine's `/sys` is masked (containers) the kernel refuses; then the old one stays.
pub(super) fn own_sysfs() -> nix::Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let _ =
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, NONE);
    Ok(())
}

/// Ties this process to its parent and becomes the program it was started for.
#[expect(clippy::disallowed_methods, reason = "the lab starts its own agent")]
fn become_child(parent: Pid) -> String {
    if let Err(why) = die_with(parent) {
        return why;
    }
    let count = variable("SPARELINK_LAB_ARGC").and_then(|n| n.to_str()?.parse::<usize>().ok());
    let mut words =
        (0..count.unwrap_or(0)).filter_map(|i| variable(&format!("SPARELINK_LAB_ARG{i}")));
    let Some(program) = words.next() else {
        return "no program was named".to_owned();
    };
    Command::new(program).arg0("sparelink").args(words).env_clear().exec().to_string()
}
