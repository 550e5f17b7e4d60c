//! Runs a program that a person has named: the message on its standard input, ten seconds, what it says in the log.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::engine::notify::queue::Failure;
use crate::io::clock;

/// A program has so long.
const TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// What it says beyond that is not read.
const MOST: u64 = 4096;

/// Runs it to its end, on a thread of its own: it may take all its time.
pub(super) async fn run(program: &Path, arguments: &[&str], input: Vec<u8>) -> Result<(), Failure> {
    let program = program.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let run = move || to_the_end(&program, &arguments, &input);
    let done = tokio::task::spawn_blocking(run).await;
    done.unwrap_or_else(|_| Err("its thread has ended".to_owned())).map_err(|why| Failure {
        why,
        refused: false,
        pause: None,
        unknown: false,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person has named this program in the configuration"
)]
fn to_the_end(program: &Path, arguments: &[String], input: &[u8]) -> Result<(), String> {
    let shown = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        // All that it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    // Who does not read has closed its end, or gets what fits into the pipe: 64 kB, which is more than a message.
    if let Some(mut stdin) = child.stdin.take() {
        drop(stdin.write_all(input));
    }
    std::thread::scope(|scope| {
        let said = [child.stdout.take().map(pipe), child.stderr.take().map(pipe)];
        for said in said.into_iter().flatten() {
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            scope.spawn(move || log(&name, said));
        }
        ended(&mut child, &shown.to_string())
    })
}

fn pipe(end: impl std::io::Read + Send + 'static) -> Box<dyn std::io::Read + Send> {
    Box::new(end)
}

fn ended(child: &mut Child, shown: &str) -> Result<(), String> {
    let begun = clock::now().mono;
    let group = Pid::from_raw(child.id().cast_signed());
    // Its end is seen and not yet taken: until it is, nobody else has its number.
    let seen = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let in_time = loop {
        match waitid(Id::Pid(group), seen) {
            Ok(WaitStatus::StillAlive) if clock::now().mono.since(begun) < TIME => {
                std::thread::sleep(LOOK);
            }
            Ok(WaitStatus::StillAlive) => break false,
            Ok(_) | Err(_) => break true,
        }
    };
    // What it has left behind would keep its output open.
    let _ = killpg(group, Signal::SIGKILL);
    match child.wait() {
        _ if !in_time => Err(format!("{shown} was ended after {} s", TIME.as_secs())),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} failed: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn log(name: &str, said: Box<dyn std::io::Read + Send>) {
    let mut text = Vec::new();
    drop(said.take(MOST).read_to_end(&mut text));
    for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.trim().is_empty()) {
        tracing::info!("{name}: {}", line.escape_debug());
    }
}
