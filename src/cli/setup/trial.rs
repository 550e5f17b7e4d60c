//! Writes, starts, and waits for the word that it may stay.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::dnsmasq;
use super::plan::Plan;
use crate::cli::failure::{Failure, NO};
use crate::cli::{passwd, terminal};
use crate::config;
use crate::io::service::{self, Manager};
use crate::io::web::password;
use crate::io::{clock, disk, trial};
use crate::time::human;

/// The first line of what setup writes.
pub(super) const HEADER: &str = "Written by sparelink setup.";
const SERVICE: &str = "sparelink";

/// Whether something waits to be kept or undone.
pub(super) fn is_on(file: &Path) -> bool {
    trial::is_on(&trial::record(file))
}

/// Where an older configuration stays.
pub(super) fn old(file: &Path) -> PathBuf {
    config::beside(file, &format!("{}.old", file.file_name().unwrap_or_default().display()))
}

/// Writes the configuration, and keeps an older one.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let text = format!("{} cannot be written: {error}; it is as before", file.display());
        Failure::plain(text)
    };
    let secret = ["[[notify]]", "config notify"].iter().any(|notify| text.contains(notify));
    let put = || {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        // What a person has written stays, however often setup runs.
        let is_ours = |text: String| text.lines().next().is_some_and(|line| line.contains(HEADER));
        if file.exists() && !fs::read_to_string(file).is_ok_and(is_ours) {
            let old = old(file);
            old.parent().map_or(Ok(()), fs::create_dir_all)?;
            // A link that the agent's user has put there is replaced, not followed.
            disk::replace_private(&old, &fs::read(file)?, None)?;
            fs::set_permissions(&old, fs::metadata(file)?.permissions())?;
        }
        if secret {
            return disk::replace_private(file, text.as_bytes(), passwd::owner(file));
        }
        disk::replace(file, text.as_bytes())?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))
    };
    put().map_err(failed)
}

/// Writes everything.
pub(super) fn write_all(file: &Path, plan: &Plan) -> Result<(), Failure> {
    write(file, &plan.text)?;
    if let Some(word) = &plan.password {
        let kept = password::set(&password::file(file), word, passwd::owner(file));
        kept.map_err(|error| Failure::plain(format!("the password is not set: {error}")))?;
    } else if !password::file(file).exists() {
        let code = password::new_code(&password::file(file), passwd::owner(file));
        let code = code.map_err(|error| Failure::plain(format!("there is no code: {error}")))?;
        terminal::print(&format!("To set a password on the page later: the code {code}\n"))?;
    }
    if let Some((file, text)) = &plan.dnsmasq {
        let put = disk::replace(file, text.as_bytes())
            .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o644)));
        put.map_err(|error| Failure::plain(format!("{} is not written: {error}", file.display())))?;
    }
    Ok(())
}

/// Writes and starts on trial: who is not told to keep it undoes it, this process or another one.
pub(super) fn play(
    file: &Path,
    run_dir: &Path,
    plan: &Plan,
    within: Duration,
) -> Result<ExitCode, Failure> {
    let manager = Manager::find();
    let record = trial::record(file);
    let password = password::file(file);
    let mut files = vec![file.to_owned(), password::code_file(&password), password];
    let mut services = vec![SERVICE];
    if let Some((file, _)) = &plan.dnsmasq {
        files.push(file.clone());
        services.push(dnsmasq::SERVICE);
    }
    let (running, stopped): (Vec<&str>, Vec<&str>) =
        services.iter().partition(|service| manager.runs(service));
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let dir = file.parent().map_or(Ok(()), fs::create_dir_all);
    let failed = |error| Failure::plain(format!("setup cannot begin: {error}; nothing is written"));
    let attempt = trial::Attempt {
        by: trial::By::Setup,
        within,
        files: &files,
        becomes: None,
        running: owned(running),
        stopped: owned(stopped),
        // So that the page can show it, and confirm.
        group: passwd::owner(file).map(|(_, group)| group),
    };
    dir.and_then(|()| trial::begin(&record, attempt)).map_err(failed)?;
    if let Err(error) = guard(file, run_dir, within) {
        // Nothing has been changed: what is left of it would only be in the way of the next one.
        drop(trial::keep(&record));
        return Err(failed(error));
    }
    let begun = write_all(file, plan).and_then(|()| {
        let start = || -> io::Result<()> {
            // First who makes the folder that dnsmasq is to read from.
            manager.tell("restart", SERVICE)?;
            if plan.dnsmasq.is_some() {
                manager.tell("restart", dnsmasq::SERVICE)?;
            }
            Ok(())
        };
        start().map_err(|error| Failure::plain(format!("it does not start: {error}")))
    });
    if let Err(failure) = begun {
        take_back(file, run_dir, Duration::ZERO)?;
        return Err(failure);
    }
    terminal::print(&format!(
        "Started. Look whether everything works, then type \"keep\" within {}, or keep it on the\n\
         page, or from elsewhere: sparelink setup --keep. \"undo\" takes everything back now.\n",
        human(within)
    ))?;
    if let Some(page) = &plan.page {
        terminal::print(&format!("Page: {page}\n{}", picture(page)))?;
    }
    match word(within) {
        Word::Keep => keep(file),
        // Somebody else may have been a moment faster.
        Word::Undo => undo(file, run_dir, Duration::ZERO),
        // The session is gone. Whoever undoes it after the time is on the way.
        Word::Nobody => Ok(ExitCode::from(NO)),
    }
}

/// An address as a picture, for whoever has a phone in the hand and a terminal before them.
fn picture(page: &str) -> String {
    #[cfg(feature = "qr")]
    if terminal::is_terminal() {
        return super::qr::picture(page);
    }
    let _ = page;
    String::new()
}

/// Another process that undoes everything when the time is over, whatever becomes of this one.
fn guard(file: &Path, run_dir: &Path, within: Duration) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let within_s = format!("{}s", within.as_secs());
    let file = file.display().to_string();
    let words = ["setup", "--undo", "--within", &within_s, "--config", &file, "--run-dir"];
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    words.push(run_dir.display().to_string());
    service::later(within, &program, &words)
}

/// What the person says in time.
enum Word {
    Keep,
    Undo,
    Nobody,
}

fn word(within: Duration) -> Word {
    let (tell, told) = channel();
    // It is left behind where nobody types: the process ends soon.
    let reads = std::thread::Builder::new().spawn(move || {
        while let Ok(line) = terminal::line("> ") {
            let over = line.is_none();
            if tell.send(line).is_err() || over {
                return;
            }
        }
    });
    if reads.is_err() {
        return Word::Nobody;
    }
    let begun = clock::now().mono;
    loop {
        let left = within.saturating_sub(clock::now().mono.since(begun));
        match told.recv_timeout(left) {
            Ok(Some(line)) if line.trim() == "keep" => return Word::Keep,
            Ok(Some(line)) if line.trim() == "undo" => return Word::Undo,
            Ok(Some(_)) => terminal::print_error("keep or undo, please\n"),
            Err(RecvTimeoutError::Timeout) => return Word::Undo,
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return Word::Nobody,
        }
    }
}

/// What was started stays, also after a boot.
pub(super) fn keep(file: &Path) -> Result<ExitCode, Failure> {
    let record = trial::record(file);
    let is_settings =
        matches!(trial::state(&record), Ok(Some(trial::OnTrial { by: trial::By::Page(_), .. })));
    let kept = trial::keep(&record);
    let kept = kept.map_err(|error| Failure::plain(format!("it cannot be kept: {error}")))?;
    if !kept {
        let text = "nothing is on trial: it was undone already, or never started";
        return Err(Failure::plain(text).with_code(NO));
    }
    if is_settings {
        return terminal::print("kept\n");
    }
    begin_at_boot()
}

/// Everything is as before, if it has been on trial for so long.
pub(super) fn undo(file: &Path, run_dir: &Path, after: Duration) -> Result<ExitCode, Failure> {
    if take_back(file, run_dir, after)? {
        return terminal::print(UNDONE);
    }
    let failed = |error: io::Error| Failure::plain(format!("it cannot be kept: {error}"));
    if trial::was_kept_for(&trial::record(file)).map_err(failed)? {
        begin_at_boot()
    } else {
        terminal::print("nothing is on trial\n")
    }
}

/// What is kept starts at boot, too.
fn begin_at_boot() -> Result<ExitCode, Failure> {
    match Manager::find().tell("enable", SERVICE) {
        Ok(()) => terminal::print("kept\n"),
        Err(error) => terminal::print(&format!("kept; at boot it does not start: {error}\n")),
    }
}

/// Takes everything out of the kernel. procd says that an agent has stopped before it has.
fn purged(program: &str, run_dir: &str) -> io::Result<()> {
    let purge = || service::ask(program, &["purge", "--run-dir", run_dir]).map(drop);
    for _ in 0..10 {
        if purge().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    purge()
}

const UNDONE: &str = "undone: everything is as before\n";

/// Puts files and services back; whether there was something to put back.
fn take_back(file: &Path, run_dir: &Path, after: Duration) -> Result<bool, Failure> {
    let failed = |error: io::Error| {
        let text = format!("not everything could be undone: {error}");
        Failure::new(text, "sparelink setup --undo tries it again")
    };
    let record = trial::record(file);
    let Some(before) = trial::undo(&record, after).map_err(failed)? else { return Ok(false) };
    if before.is_of_another_boot {
        // No service runs with what was tried: they come up with the old files.
        return trial::done(&record).map(|()| true).map_err(failed);
    }
    let manager = Manager::find();
    let mut left = Vec::new();
    for service in &before.stopped {
        left.extend(manager.tell("stop", service).err());
    }
    if before.stopped.iter().any(|service| service == SERVICE) {
        let program = std::env::current_exe().map_err(failed)?.display().to_string();
        let run_dir = run_dir.display().to_string();
        left.extend(purged(&program, &run_dir).err());
    }
    for service in &before.running {
        left.extend(manager.tell("restart", service).err());
    }
    match left.into_iter().next() {
        None => trial::done(&record).map(|()| true).map_err(failed),
        Some(error) => Err(failed(error)),
    }
}
