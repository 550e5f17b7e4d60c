//! LEDs follow the real agent, in a `/sys/class/leds` of files that stands where the kernel's does. A file
//! keeps what was written last: what the kernel's triggers would do is said by their files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::stage::PRIVATE_DIR;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{SOON, Stage, file, in_router, shell};

crate::tests![
    leds_follow_the_uplinks,
    leds_are_given_back,
    doctor_knows_the_board,
    a_board_that_is_not_known_is_said_once
];

/// Puts a folder of files where LEDs are, and leaves the interfaces beside it as they are.
const LEDS: &str = "
    mkdir -p /run/interfaces /run/leds
    mount --bind /sys/class/net /run/interfaces
    mount -t tmpfs class /sys/class
    mkdir /sys/class/net /sys/class/leds
    mount --bind /run/interfaces /sys/class/net
    mount --bind /run/leds /sys/class/leds
    for led in status first second; do
        mkdir /run/leds/lab:$led; cd /run/leds/lab:$led
        echo 255 > max_brightness; echo 0 > brightness; echo 'none [heartbeat] timer pattern' > trigger
        for file in delay_on delay_off pattern; do echo 0 > $file; done
    done";

/// A home with the LEDs of the lab's board, and one that nobody has fitted.
async fn home() -> Result<(Home, String)> {
    let home = Home::build(&Plan::default()).await?;
    shell(&home.router, LEDS).await?;
    let text = config(&Plan::default(), &Settings::default());
    let leds = "board = \"lab\"\nuplinks = { phone = \"none of ours\" }";
    Ok((home, text.replace("board = \"none\"", leds)))
}

fn led(name: &str) -> PathBuf {
    Path::new(PRIVATE_DIR).join("leds").join(format!("lab:{name}"))
}

/// What an LED shows, in the words of docs/LEDS.md.
fn shows(name: &str) -> String {
    let read = |file| fs::read_to_string(led(name).join(file)).unwrap_or_default();
    let delays = (read("delay_on"), read("delay_off"));
    match (read("trigger").as_str(), read("brightness").as_str()) {
        ("none", "0") => "off".to_owned(),
        ("none", "255") => "steady".to_owned(),
        ("timer", _) if delays == ("500".to_owned(), "1500".to_owned()) => "slow".to_owned(),
        ("timer", _) if delays == ("125".to_owned(), "125".to_owned()) => "fast".to_owned(),
        ("pattern", _) if read("pattern").starts_with("255 250 255 0 0 250 ") => {
            "double".to_owned()
        }
        (trigger, brightness) => format!("{trigger}, {brightness}, {delays:?}"),
    }
}

/// Waits until the LEDs of the whole, the first and the second uplink show that; how long it took.
async fn wait(what: &str, expected: [&str; 3]) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let shown = ["status", "first", "second"].map(shows);
        if shown == expected.map(str::to_owned) {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < 2 * SOON, "{what}: not {expected:?} but {shown:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn leds_follow_the_uplinks() -> Result<()> {
    let (home, text) = home().await?;
    let mut stage = Stage::in_home_as(home, &text).await?;
    wait("all is well", ["steady", "steady", "slow"]).await?;
    let before = wakes(stage.agent.pid())?;
    for (uplink, expected) in [
        ("cable", ["slow", "fast", "steady"]),
        ("mifi", ["double", "fast", "fast"]),
        ("phone", ["fast", "fast", "fast"]),
    ] {
        stage.happens(uplink, LineEvent::Sever).await?;
        wait(&format!("after {uplink}"), expected).await?;
    }
    // The kernel blinks them: nobody wakes for it.
    let waked = wakes(stage.agent.pid())?;
    ensure!(waked > before, "control: the thread has shown something");
    sleep(Duration::from_secs(2)).await;
    let idle = wakes(stage.agent.pid())? - waked;
    ensure!(idle == 0, "{idle} wake-ups in 2 s for LEDs that the kernel blinks");
    for uplink in ["phone", "mifi", "cable"] {
        stage.happens(uplink, LineEvent::Restore).await?;
    }
    stage.on("cable").await?;
    let after = wait("all is well again", ["steady", "steady", "slow"]).await?;
    figure(&format!("{} ms after the status says so", after.as_millis()));

    let log = fs::read_to_string(file("agent.log"))?;
    let said: Vec<&str> = log.lines().filter(|line| line.contains("is left out")).collect();
    ensure!(said.len() == 1 && said[0].contains("none of ours"), "not one warning: {said:#?}");
    Ok(())
}

async fn leds_are_given_back() -> Result<()> {
    let (home, text) = home().await?;
    let mut stage = Stage::in_home_as(home, &text).await?;
    wait("all is well", ["steady", "steady", "slow"]).await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let trigger = || fs::read_to_string(led("status").join("trigger"));
    ensure!(trigger()? == "heartbeat", "after SIGTERM: {}", trigger()?);

    // Who is killed gives nothing back, but has written it down.
    fs::write(led("status").join("trigger"), "none [heartbeat] timer")?;
    stage.start_again().await?;
    wait("all is well", ["steady", "steady", "slow"]).await?;
    stage.agent.end(Signal::SIGKILL).await?;
    ensure!(shows("status") == "steady", "control: {}", shows("status"));
    let said = stage.purge().await?.must(0)?;
    ensure!(said.out.contains("LED lab:status as it was"), "{said:?}");
    ensure!(trigger()? == "heartbeat", "after purge: {}", trigger()?);

    // A reload that wants none of them any more gives them back as well.
    fs::write(led("status").join("trigger"), "none [heartbeat] timer")?;
    stage.start_again().await?;
    wait("all is well", ["steady", "steady", "slow"]).await?;
    stage.agent.configure(&text.replace("board = \"lab\"", "board = \"none\""))?;
    stage.agent.must(&["reload"]).await?;
    let begun = Instant::now();
    while trigger()? != "heartbeat" {
        ensure!(begun.elapsed() < SOON, "after the reload: {}", trigger()?);
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The board is the one that the device tree names.
async fn doctor_knows_the_board() -> Result<()> {
    const TREE: &str = "
        mount -t tmpfs firmware /sys/firmware
        mkdir -p /sys/firmware/devicetree/base
        printf 'raspberrypi,4-model-b\\0brcm,bcm2711\\0' > /sys/firmware/devicetree/base/compatible";
    let home = Home::build(&Plan::default()).await?;
    let path = file("sparelink.toml").display().to_string();
    fs::write(&path, config(&Plan::default(), &Settings::default()))?;
    let program = env!("CARGO_BIN_EXE_sparelink");
    let words = ["doctor", "--config", &path];
    let said = in_router(&home, program, &words).await?;
    ensure!(
        said.out.contains("\nboard: unknown (LEDs off, nothing else depends on it)\n"),
        "{}",
        said.out
    );
    shell(&home.router, TREE).await?;
    let said = in_router(&home, program, &words).await?;
    let expected =
        "\nboard: Raspberry Pi 4 Model B; usually the LAN is eth0, and the uplinks are eth1";
    ensure!(said.out.contains(expected), "{}", said.out);
    Ok(())
}

async fn a_board_that_is_not_known_is_said_once() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    // No device tree, whatever this test runs on.
    shell(&home.router, "[ ! -d /sys/firmware ] || mount -t tmpfs firmware /sys/firmware").await?;
    let text = config(&Plan::default(), &Settings::default());
    let text = text.replace("board = \"none\"", "board = \"auto\"");
    let stage = Stage::in_home_as(home, &text).await?;
    for _ in 0..2 {
        stage.agent.must(&["reload"]).await?;
    }
    let log = fs::read_to_string(file("agent.log"))?;
    let said: Vec<&str> = log.lines().filter(|line| line.contains("board")).collect();
    ensure!(said.len() == 1 && said[0].contains("this board is not known"), "{said:#?}");
    ensure!(!log.contains("WARN"), "nothing is wrong with it:\n{log}");
    Ok(())
}

/// How often the agent's thread for LEDs has waited.
fn wakes(pid: u32) -> Result<u64> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "leds" {
            let status = fs::read_to_string(task.join("status"))?;
            let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            return Ok(line.context("no count")?.trim().parse()?);
        }
    }
    anyhow::bail!("there is no thread for LEDs")
}
