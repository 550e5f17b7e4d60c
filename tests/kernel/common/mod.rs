//! Helpers for tests on the real kernel, in namespaces of their own.
#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]

use std::panic::Location;
use std::path::Path;
use std::process::{Command, Output};

pub(crate) mod ruleset;

/// Tells a re-executed test binary that it stands in its namespaces, and for which test.
const INSIDE: &str = "SPARELINK_TEST_NETNS";

/// Runs `body` with all capabilities in fresh user, network and mount namespaces, as any user.
///
/// A process may enter a user namespace only while it has one thread, and the test harness has
/// several, so the test binary starts itself again through `unshare` (util-linux) for this one
/// `test`, whose name in its file must be given. Root without user namespaces uses its
/// own powers. Skips with a printed reason where neither is allowed.
#[track_caller]
pub(crate) fn in_netns(test: &str, body: impl FnOnce()) {
    let user: &[&str] = &["--user", "--map-root-user", "--net", "--mount"];
    let root: &[&str] = &["--net", "--mount"];
    again(test, &[user, root], body);
}

/// Runs `body` without any capability over the network namespace it stands in, even as root.
#[track_caller]
pub(crate) fn without_capabilities(test: &str, body: impl FnOnce()) {
    again(test, &[&["--user"]], body);
}

/// Runs the test again behind the first set of flags of `unshare` that is allowed here.
#[track_caller]
fn again(test: &str, choices: &[&[&str]], body: impl FnOnce()) {
    // The harness knows it as a test of the module, which is called like its file.
    let file = Path::new(Location::caller().file()).file_stem().unwrap();
    let test = &format!("{}::{test}", file.display());
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == test.as_str()) {
        body();
        return;
    }
    let Some(flags) = choices.iter().find(|flags| allowed(flags)) else {
        note(&format!("skipped {test}: no namespaces here (unshare is missing or forbidden)"));
        return;
    };
    let exe = std::env::current_exe().unwrap();
    let args = ["--exact", test, "--nocapture", "--test-threads=1"];
    let mut unshare = command("unshare");
    let out = unshare.args(*flags).arg(exe).args(args).env(INSIDE, test).output().unwrap();
    let text = text(&out);
    note(&text);
    assert!(out.status.success(), "{test} failed inside its namespaces");
    assert!(text.contains("1 passed"), "{test} is not the name of a test");
}

/// Brings `lo` of this namespace up.
pub(crate) fn loopback_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}

/// A command for tests.
pub(crate) fn command(program: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests compare with other people's tools")]
    Command::new(program)
}

/// Whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    command(program).arg("--version").output().is_ok()
}

/// Tells the person who runs the tests something.
pub(crate) fn note(text: &str) {
    #[expect(clippy::print_stdout, reason = "the harness shows it when it matters")]
    {
        println!("{text}");
    }
}

/// All that a program said.
pub(crate) fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn allowed(flags: &[&str]) -> bool {
    command("unshare").args(flags).arg("true").output().is_ok_and(|out| out.status.success())
}
