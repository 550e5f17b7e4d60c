//! Tests that look at the lab from outside: what it leaves behind, and for whom it works.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::runner::{Place, REFUSED, Test};
use crate::skip;

/// What a test does.
type Body = fn() -> Result<()>;

/// The tests by name.
const TESTS: &[(&str, Body)] = &[
    ("nothing_stays_after_an_ordinary_end", || leaves_nothing(hang_up)),
    ("nothing_stays_after_ctrl_c", || leaves_nothing(|child| end(child, Signal::SIGINT))),
    ("nothing_stays_after_sigterm", || leaves_nothing(|child| end(child, Signal::SIGTERM))),
    ("nothing_stays_after_sigkill", || leaves_nothing(|child| end(child, Signal::SIGKILL))),
    ("nothing_stays_after_its_inside_is_killed", || leaves_nothing(kill_inside)),
    ("it_works_as_an_ordinary_user", works_as_nobody),
    ("the_prompt_does_what_is_typed", prompt),
    ("the_tour_is_told_as_json_and_to_people", tours),
];

/// The tests of this module, which stay in the machine's own namespaces.
pub(super) fn tests() -> Vec<Test> {
    let test =
        |(name, run): &(&str, Body)| Test { place: Place::Outside, ..Test::new(*name, *run) };
    TESTS.iter().map(test).collect()
}

fn hang_up(child: &mut Child) -> Result<()> {
    child.stdin.take().map(drop).context("no standard input")
}

fn kill_inside(child: &mut Child) -> Result<()> {
    let inside = all_processes().find(|pid| parent(*pid) == Some(child.id()));
    let inside = inside.context("nothing inside")?;
    Ok(kill(Pid::from_raw(inside.cast_signed()), Signal::SIGKILL)?)
}

fn end(child: &Child, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(child.id().cast_signed()), signal)?)
}

/// Starts a home with everything in it, ends it, and looks for traces.
fn leaves_nothing(end: fn(&mut Child) -> Result<()>) -> Result<()> {
    let files = files();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--hold")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    if line.trim() != "ready" {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("needs network namespaces") {
            skip(&said);
            return Ok(());
        }
        bail!("the lab did not start: {said}");
    }
    let family = descendants(child.id());
    ensure!(family.len() >= 3, "control: the lab, its inside and its agent: {family:?}");
    let namespaces: BTreeSet<u64> = family.iter().flat_map(|pid| net_namespaces(*pid)).collect();
    let own = net_namespaces(std::process::id());
    let theirs: BTreeSet<u64> = namespaces.difference(&own).copied().collect();
    ensure!(theirs.len() >= 10, "control: a namespace for each box: {theirs:?}");

    end(&mut child)?;
    let start = Instant::now();
    child.wait()?;
    loop {
        let alive: Vec<u32> = family.iter().copied().filter(|pid| is_alive(*pid)).collect();
        let used: Vec<u64> =
            all_processes().flat_map(net_namespaces).filter(|ns| theirs.contains(ns)).collect();
        if alive.is_empty() && used.is_empty() {
            break;
        }
        ensure!(
            start.elapsed() < Duration::from_secs(5),
            "still there: processes {alive:?}, namespaces {used:?}"
        );
        sleep(Duration::from_millis(20));
    }
    let new: Vec<PathBuf> = self::files().difference(&files).cloned().collect();
    let ours = |path: &&PathBuf| path.to_string_lossy().contains("sparelink");
    ensure!(new.iter().filter(ours).count() == 0, "left behind: {new:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains("sparelink"), "left behind: a mount");
    Ok(())
}

/// The lab's files would be here.
fn files() -> BTreeSet<PathBuf> {
    let list =
        |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    list("/tmp").chain(list("/run")).chain(list("/var/tmp")).collect()
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; its parent (init, here) has not looked yet.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

/// A process and all that descend from it.
fn descendants(root: u32) -> BTreeSet<u32> {
    let mut family = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = all_processes()
            .filter(|pid| {
                !family.contains(pid) && parent(*pid).is_some_and(|p| family.contains(&p))
            })
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

/// The network namespaces that a process's threads are in.
fn net_namespaces(pid: u32) -> BTreeSet<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| Some(fs::metadata(thread.path().join("ns/net")).ok()?.ino()))
        .collect()
}

/// As root: becomes `nobody`, without a home. As somebody else, all other tests have shown it.
fn works_as_nobody() -> Result<()> {
    const NOBODY: u32 = 65_534;
    if !geteuid().is_root() {
        skip("this is an ordinary user already");
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY).env_clear().current_dir("/");
    };
    let mut try_it = Command::new(&program);
    nobody(try_it.arg("no test of this name"));
    if try_it.output().is_err() {
        skip(&format!("nobody may not run {}", program.display()));
        return Ok(());
    }
    for test in [
        "every_uplink_reaches_the_internet",
        "an_agent_lives_in_the_router",
        "a_portal_is_in_the_way",
    ] {
        let mut command = Command::new(&program);
        nobody(command.args(["--inside", &format!("lab::{test}")]));
        let output = command.output().with_context(|| format!("as nobody: {test}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(REFUSED) && said.contains("needs network namespaces") {
            skip(said.trim());
            return Ok(());
        }
        ensure!(output.status.success(), "as nobody: {test}: {}: {said}", output.status);
    }
    Ok(())
}

fn tour(words: &[&str]) -> Result<String> {
    let start = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let output =
        command.args(["--lab", "--tour"]).args(words).env_clear().stdin(Stdio::null()).output()?;
    let took = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    ensure!(took < Duration::from_secs(45), "{took:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Both at once: they share nothing.
fn tours() -> Result<()> {
    let json = std::thread::spawn(|| tour(&["--json"]));
    let text = tour(&[])?;
    told_to_people(&text)?;
    match json.join() {
        Ok(json) => told_as_json(&json?),
        Err(_) => bail!("the thread panicked"),
    }
}

fn told_as_json(text: &str) -> Result<()> {
    let mut path = Vec::new();
    for line in text.lines() {
        let step: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        let word = |key: &str| {
            step[key].as_str().map(str::to_owned).with_context(|| format!("no {key}: {line}"))
        };
        word("step")?;
        ensure!(step["gap_ms"].is_u64() && step["lost"].is_u64(), "{line}");
        path.push((word("from")?, word("to")?));
    }
    let expected = [("cable", "mifi"), ("mifi", "phone"), ("phone", "mifi"), ("mifi", "cable")];
    ensure!(path == expected.map(|(a, b)| (a.to_owned(), b.to_owned())), "{path:?}");
    Ok(())
}

fn told_to_people(text: &str) -> Result<()> {
    for words in
        ["cable -> mifi", "mifi -> phone", "phone -> mifi", "mifi -> cable", "waits only 3 s"]
    {
        ensure!(text.contains(words), "no `{words}` in:\n{text}");
    }
    Ok(())
}

/// Types at the prompt, with time to read in between.
fn prompt() -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--lab")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut keyboard = child.stdin.take().context("no standard input")?;
    let script = [
        ("help", 3_000),
        ("sever cable", 1_500),
        ("lose 40 phone", 200),
        ("status", 500),
        ("dance", 100),
        ("unplug attic", 100),
        ("kill agent", 300),
        ("status", 100),
        ("start agent", 2_000),
        ("restore cable", 1_000),
        ("quit", 0),
    ];
    for (line, pause) in script {
        writeln!(keyboard, "{line}")?;
        sleep(Duration::from_millis(pause));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}\n{text}", output.status);
    for words in [
        "pull its cable",
        "-> mifi (the client: ",
        "(in truth: severed)",
        "(in truth: loses 40 %)",
        "`dance` is not understood",
        "there is no uplink `attic`; there are cable, mifi, phone",
        "done: sever cable",
        "agent killed (SIGKILL)",
        "There is no agent",
        "agent started",
    ] {
        ensure!(text.contains(words), "no `{words}` in:\n{text}");
    }
    Ok(())
}
