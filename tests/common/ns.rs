//! Tests on the real kernel: each in user, network and mount namespaces of its own.

use std::fs;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// Tells the re-executed test binary which test it is to run inside.
const INSIDE: &str = "SPARELINK_TEST_INSIDE";

/// Runs `body` inside fresh namespaces, on a tokio runtime of one thread.
///
/// Only a process with a single thread may enter a user namespace, so the test binary starts
/// itself again for this one test. Skips with a printed reason where namespaces are forbidden.
pub(crate) fn inside<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_none() {
        return again(test);
    }
    if let Err(reason) = enter() {
        println!("skipped {test}: {reason}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(body());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test binary starts itself again"
)]
fn again(test: &str) {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    println!("{text}");
    assert!(out.status.success(), "{test} failed inside");
    assert!(text.contains("1 passed"), "{test} did not run");
}

fn enter() -> Result<(), String> {
    let (uid, gid) = (getuid(), getgid());
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    match unshare(own | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            for (file, text) in [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("0 {uid} 1")),
                ("gid_map", format!("0 {gid} 1")),
            ] {
                fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|e| format!("{file}: {e}"))?;
            }
        }
        Err(_) if uid.is_root() => unshare(own).map_err(|e| format!("no namespaces: {e}"))?,
        Err(e) => return Err(format!("no user namespaces for ordinary users: {e}")),
    }
    mount::<str, _, str, str>(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)
        .map_err(|e| format!("no private mounts: {e}"))
}
