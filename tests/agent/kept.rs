//! What is kept on disk may be anything: the agent starts.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::Status;
use sparelink::lab::script::Settings;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::guard::shell;
use crate::stage::{AGENT, PROVEN, Stage, file, in_router, with_environment};
use crate::{figure, skip};

crate::tests![
    the_agent_starts_whatever_stands_in_its_files,
    a_panic_at_the_start_is_the_last_of_its_kind,
    purge_puts_back_nothing_that_no_plan_names,
    a_stranger_has_the_name_and_the_agent_starts,
];

const FILES: [&str; 4] = ["state/state.json", "run/run.json", "run/sysctls.json", "run/leds.json"];

/// In so many ways.
const WAYS: usize = 10;

/// What is put in the place of each file.
fn spoil(path: &Path, how: usize, good: &str) -> Result<()> {
    drop(fs::remove_file(path));
    drop(fs::remove_dir_all(path));
    match how {
        0 => fs::write(path, "")?,
        1 => fs::write(path, &good[..good.len() / 2])?,
        2 => fs::write(path, [0xff; 5000])?,
        3 => fs::create_dir(path)?,
        4 => symlink("nothing", path)?,
        5 => nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600))?,
        6 => fs::write(path, good.replace("\"format\":1", "\"format\":18446744073709551615"))?,
        7 => fs::write(path, good.replace(['1', '2', '3', '6'], "18446744073709551615"))?,
        8 => fs::write(
            path,
            "{\"switches\":1e308,\"departures\":{\"cable\":[18446744073709551615]}}",
        )?,
        _ => fs::write(path, "null")?,
    }
    Ok(())
}

async fn the_agent_starts_whatever_stands_in_its_files() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.agent.must(&["switch", "mifi"]).await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let path = |name: &str| stage_dir().join(name);
    let good: Vec<String> =
        FILES.iter().map(|name| fs::read_to_string(path(name)).unwrap_or_default()).collect();
    ensure!(good[0].starts_with("{\"format\":1,"), "control: {}", good[0]);
    ensure!(good[1].contains("\"manual\":[\"mifi\""), "control: {}", good[1]);
    let mut starts = 0;
    for how in 0..WAYS {
        for (name, good) in FILES.iter().zip(&good) {
            spoil(&path(name), how, good)?;
        }
        stage.start_again().await?;
        let up = |status: &Status| status.active.is_some();
        stage.agent.wait(PROVEN, "a start", up).await?;
        stage.agent.end(Signal::SIGTERM).await?;
        starts += 1;
    }
    figure(&format!("{starts} starts"));
    // Control: what is as it should be is taken up.
    for (name, good) in FILES.iter().zip(&good) {
        drop((fs::remove_file(path(name)), fs::remove_dir_all(path(name))));
        fs::write(path(name), good)?;
    }
    stage.start_again().await?;
    stage.on("mifi").await
}

/// Where the lab's agent has its files.
fn stage_dir() -> PathBuf {
    file("sparelink.toml").with_file_name("")
}

async fn a_panic_at_the_start_is_the_last_of_its_kind() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.agent.must(&["switch", "mifi"]).await?;
    stage.on("mifi").await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let switches = stage_dir().join("state/state.json");
    let text = fs::read_to_string(&switches)?;
    let count = text.split("\"switches\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    let count = count.context("no switches are kept")?;
    stage.program = with_environment("panics", &[("SPARELINK_PANIC_IF_SWITCHES", count)])?;
    stage.start_again().await?;
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = stage.agent.ended()? {
            break ended;
        }
        ensure!(begun.elapsed() < PROVEN, "control: it does not panic");
        sleep(Duration::from_millis(50)).await;
    };
    ensure!(!ended.success(), "control: {ended}");
    stage.start_again().await?;
    stage.agent.wait_proven(PROVEN).await?;
    ensure!(switches.with_extension("unreadable").exists(), "what was kept is lost");
    stage.on("cable").await
}

async fn purge_puts_back_nothing_that_no_plan_names() -> Result<()> {
    let mut stage = Stage::new().await?;
    let home = file("run/sysctls.json");
    let name = "cat /proc/sys/kernel/hostname; cat /proc/sys/net/ipv4/conf/all/proxy_arp";
    let before = shell(&stage.home, name).await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let kept = fs::read_to_string(&home)?;
    ensure!(kept.contains("ip_forward"), "control: {kept}");
    for planted in [
        "\"kernel/hostname\": \"planted\"",
        "\"kernel/core_pattern\": \"|/bin/planted\"",
        "\"net/ipv4/conf/all/proxy_arp\": \"1\"",
        "\"net/ipv4/conf/../../../kernel/hostname\": \"planted\"",
    ] {
        fs::write(&home, kept.replacen('{', &format!("{{ {planted},"), 1))?;
        let said = stage.purge().await?.must(2)?;
        ensure!(said.err.contains("sysctls.json is not as sparelink writes it"), "{said:?}");
        ensure!(shell(&stage.home, name).await? == before, "{planted} was put back");
    }
    fs::write(&home, kept)?;
    let said = stage.purge().await?.must(0)?;
    ensure!(said.out.contains("nothing of sparelink is left"), "{said:?}");
    Ok(())
}

/// Takes the agents' name as another user, and says so.
const STRANGER: &str = "import os, socket, sys, time
os.setuid(65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind('\\0sparelink')
s.listen(8)
open('/proc/self/fd/1', 'w').write('taken\\n')
time.sleep(120)";

async fn a_stranger_has_the_name_and_the_agent_starts() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let python = Path::new("/usr/bin/python3");
    let words = [OsString::from("-c"), STRANGER.into()];
    if !python.exists() {
        skip("there is no python3");
        return Ok(());
    }
    let mut command = child(python, &words);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut stranger = home.router.run(async move { command.spawn() }).await??;
    let mut said = [0; 6];
    let taken = stranger.stdout.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok());
    if !taken {
        skip("no other user can be had in here");
        return Ok(());
    }
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    ensure!(stage.agent.log().contains("is not believed"), "control: the name was free");
    // The file still lets one agent run.
    let path = file("sparelink.toml").display().to_string();
    let run = stage.agent.run_dir().display().to_string();
    let again = ["run", "--config", &path, "--run-dir", &run];
    let second = in_router(&stage.home, AGENT, &again).await?.must(2)?;
    ensure!(second.err.contains("another sparelink already runs"), "{second:?}");
    stage.agent.end(Signal::SIGTERM).await?;
    stage.purge().await?.must(0)?;
    drop((stranger.kill(), stranger.wait()));
    Ok(())
}
