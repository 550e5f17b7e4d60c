//! What people get wrong, and what a machine may lack.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::meter::Meter;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::kernel::dump;
use crate::stage::{AGENT, PROVEN, SOON, Stage, file, in_netns, in_router, shell};
use crate::{figure, skip};

crate::tests![
    without_permission_it_says_so_and_touches_nothing,
    without_masquerade_it_says_so_and_touches_nothing,
    a_table_of_somebody_elses_is_named_and_nothing_leaves_without_ours,
    a_second_agent_says_so,
    an_interface_that_does_not_exist_is_waited_for,
    check_tells_every_mistake,
    a_state_directory_that_cannot_be_written_is_a_nuisance,
    a_full_or_read_only_disk_is_said_once,
    five_thousand_route_changes_in_a_burst,
];

/// Runs the agent in a user namespace of its own: then it has no power over the router's network.
const UNSHARE: &str = "/usr/bin/unshare";

async fn without_permission_it_says_so_and_touches_nothing() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    if !Path::new(UNSHARE).exists() {
        skip("there is no unshare (util-linux)");
        return Ok(());
    }
    let path = file("sparelink.toml");
    fs::write(&path, config(&Plan::default(), &Settings::default()))?;
    let (path, run) = (path.display().to_string(), file("run").display().to_string());
    let before = dump(&home).await?;
    let run = ["--user", AGENT, "run", "--config", &path, "--run-dir", &run];
    let said = in_router(&home, UNSHARE, &run).await?.must(2)?;
    ensure!(
        said.err.lines().count() == 1 && said.err.contains("CAP_NET_ADMIN"),
        "not one clear sentence: {said:?}"
    );
    before.must_equal(&dump(&home).await?)
}

/// A program that takes `table inet sparelink` for itself, until it is dropped.
struct Owner(std::process::Child);

impl Owner {
    async fn take(home: &Home) -> Result<Self> {
        let script = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; exec nft -i";
        let mut command = child(Path::new("/bin/sh"), &["-c".into(), script.into()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut nft = home.router.run(async move { command.spawn() }).await??;
        let mut words = nft.stdin.take().context("no input")?;
        words.write_all(b"add table inet sparelink { flags owner; }\n")?;
        words.flush()?;
        nft.stdin = Some(words);
        let begun = Instant::now();
        let this = Self(nft);
        while !shell(&home.router, "nft list tables").await?.contains("sparelink") {
            ensure!(begun.elapsed() < SOON, "control: nobody took the table");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(this)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many packets with the LAN's addresses the modems have seen.
async fn unmasked(home: &Home) -> Result<u64> {
    let mut sum = 0;
    for uplink in &home.uplinks {
        let listed = shell(&uplink.modem, "nft list chain ip eye eye").await?;
        let words: Vec<&str> = listed.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "packets").context("no counter")?;
        sum += words.get(at + 1).context("no number")?.parse::<u64>()?;
    }
    Ok(sum)
}

async fn a_table_of_somebody_elses_is_named_and_nothing_leaves_without_ours() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    for uplink in &home.uplinks {
        let eye = "nft add table ip eye
            nft add chain ip eye eye '{ type filter hook prerouting priority -400; }'
            nft add rule ip eye eye ip saddr 192.168.77.0/24 counter";
        shell(&uplink.modem, eye).await?;
    }
    let owner = Owner::take(&home).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut agent = Agent::start(&home, Path::new(AGENT), &text).await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    let refused = |text: &str| text.contains("belongs to another program");
    let begun = Instant::now();
    loop {
        let told = agent.command(&["history"]).await?.stdout;
        let told = String::from_utf8_lossy(&told);
        if refused(&told) {
            break;
        }
        ensure!(begun.elapsed() < SOON, "not told whose the table is:\n{told}");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(2)).await;
    ensure!(unmasked(&home).await? == 0, "packets left with addresses of the LAN");
    let forwarding = shell(&home.router, "cat /proc/sys/net/ipv4/ip_forward").await?;
    ensure!(forwarding.trim() == "0", "forwarding is on");
    let status: serde_json::Value =
        serde_json::from_slice(&agent.command(&["status", "--json"]).await?.stdout)?;
    let sentence = status["sentence"].as_str().unwrap_or_default();
    ensure!(!sentence.starts_with("Internet works"), "status: {sentence}");

    // Control: it ends, and all is well.
    drop(owner);
    agent.wait_proven(PROVEN).await?;
    let begun = Instant::now();
    while !shell(&home.router, "ip rule").await?.contains("32765") {
        ensure!(begun.elapsed() < Duration::from_secs(30), "no rules after all");
        sleep(Duration::from_millis(100)).await;
    }
    let (from, to) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    sleep(Duration::from_secs(2)).await;
    let flows = meter.flows(from, to);
    ensure!(flows.sent > 5 && flows.lost < flows.sent, "control: {flows:?}");
    Ok(())
}

async fn without_masquerade_it_says_so_and_touches_nothing() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let path = file("sparelink.toml");
    fs::write(&path, config(&Plan::default(), &Settings::default()))?;
    let (path, run) = (path.display().to_string(), file("run").display().to_string());
    let before = dump(&home).await?;
    let run = ["SPARELINK_LACKING=nft_masq", AGENT, "run", "--config", &path, "--run-dir", &run];
    let said = in_router(&home, "/usr/bin/env", &run).await?.must(2)?;
    ensure!(
        said.err.lines().count() == 1 && said.err.contains("CONFIG_NFT_MASQ (module nft_masq)"),
        "not one clear sentence: {said:?}"
    );
    before.must_equal(&dump(&home).await?)
}

async fn a_second_agent_says_so() -> Result<()> {
    let stage = Stage::new().await?;
    let path = file("sparelink.toml").display().to_string();
    let other = file("other").display().to_string();
    let run = ["run", "--config", &path, "--run-dir", &other];
    let said = in_router(&stage.home, AGENT, &run).await?.must(2)?;
    ensure!(
        said.err.contains("another sparelink already runs in this network namespace"),
        "{said:?}"
    );
    ensure!(said.err.lines().count() <= 2, "not one clear sentence: {said:?}");
    ensure!(stage.agent.status().await?.all_proven(), "the first was disturbed");
    Ok(())
}

async fn an_interface_that_does_not_exist_is_waited_for() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    home.apply(&Action::line("phone", LineEvent::Vanish)).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    let is = |condition: &'static str| {
        move |status: &Status| {
            let phone = status.uplink("phone").is_some_and(|u| u.condition == condition);
            phone && status.active.as_deref() == Some("cable")
        }
    };
    agent.wait(PROVEN, "phone absent", is("absent")).await?;
    home.apply(&Action::line("phone", LineEvent::Restore)).await?;
    agent.wait_proven(SOON).await?;
    agent.must(&["switch", "phone"]).await?;
    let moved = |status: &Status| status.active.as_deref() == Some("phone");
    agent.wait(SOON, "traffic on phone", moved).await.map(drop)
}

async fn check_tells_every_mistake() -> Result<()> {
    let home = Home::build(&Plan::named(&["cable".to_owned()])).await?;
    let path = file("checked.toml");
    let name = path.display().to_string();
    let check = ["check", "--config", &name];
    let said = in_router(&home, AGENT, &check).await?.must(2)?;
    ensure!(said.err.contains("checked.toml"), "a file that is not there: {said:?}");
    fs::write(&path, config(&Plan::default(), &Settings::default()))?;
    in_router(&home, AGENT, &check).await?.must(0)?;
    fs::write(
        &path,
        "[[uplink]]\nname = \"cable\"\nintreface = \"wan0\"\n[probe]\nwindow = \"soon\"\ntargets = [\"1.1.1\"]\n",
    )?;
    let said = in_router(&home, AGENT, &check).await?.must(2)?;
    for words in ["checked.toml:3:1", "checked.toml:5:", "checked.toml:6:", "interface"] {
        ensure!(said.err.contains(words), "no `{words}` in:\n{}", said.err);
    }
    let run = ["run", "--config", &name];
    let before = dump(&home).await?;
    let refused = in_router(&home, AGENT, &run).await?.must(2)?;
    ensure!(refused.err.contains("checked.toml:5:"), "{refused:?}");
    before.must_equal(&dump(&home).await?)
}

async fn a_state_directory_that_cannot_be_written_is_a_nuisance() -> Result<()> {
    // A file stands where the directory should be.
    fs::write(file("state"), "in the way")?;
    let mut stage = Stage::new().await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let log = fs::read_to_string(file("agent.log"))?;
    ensure!(said(&log, "WARN", "what was learned").len() == 1, "not one warning:\n{log}");
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// The lines of the log of this severity that hold this.
fn said<'a>(log: &'a str, severity: &str, what: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(severity) && line.contains(what)).collect()
}

async fn a_full_or_read_only_disk_is_said_once() -> Result<()> {
    let disk = file("run");
    fs::create_dir(&disk)?;
    let nothing = MsFlags::empty();
    mount(Some("small"), &disk, Some("tmpfs"), nothing, Some("size=256k"))?;
    let stage = Stage::new().await?;
    let begun = Instant::now();
    // Each of these is kept: four tries.
    let choose = async || {
        for words in [["pause", "phone"], ["resume", "phone"]].repeat(2) {
            stage.agent.must(&words).await?;
        }
        fs::read_to_string(file("agent.log")).map_err(anyhow::Error::from)
    };
    let kept = || fs::read_to_string(stage.agent.run_dir().join("run.json"));

    let log = choose().await?;
    ensure!(said(&log, "", "in RAM only").is_empty(), "control: there is room\n{log}");
    let before = kept()?;
    let filling = fs::write(disk.join("full"), [0; 512 * 1024]);
    ensure!(filling.is_err(), "control: more than fits was written");
    let log = choose().await?;
    let warned = said(&log, "WARN", "what people chose");
    ensure!(warned.len() == 1 && warned[0].contains("No space left"), "full: {warned:#?}");
    ensure!(kept()? == before, "control: nothing could be written");

    fs::remove_file(disk.join("full"))?;
    let log = choose().await?;
    ensure!(said(&log, "INFO", "what people chose: kept on disk again").len() == 1, "{log}");

    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &disk, None::<&str>, read_only, None::<&str>)?;
    let log = choose().await?;
    let warned = said(&log, "WARN", "what people chose");
    ensure!(warned.len() == 2 && warned[1].contains("Read-only"), "read-only: {warned:#?}");
    stage.nothing_lost_since(begun).await
}

/// How many routes somebody adds at once, and takes away again.
const ROUTES: usize = 5_000;
/// By when the agent's state equals the kernel's again; 2 s is promised, the machine is shared.
const CAUGHT_UP: Duration = Duration::from_secs(4);

async fn five_thousand_route_changes_in_a_burst() -> Result<()> {
    let stage = Stage::new().await?;
    let modem = &stage.home.uplink("cable")?.modem;
    in_netns(modem, "/bin/ip", &["addr", "add", "192.168.10.254/24", "dev", "lan"])
        .await?
        .must(0)?;
    let before = stage.agent.status().await?.loop_gap_ms;
    let begun = Instant::now();
    let mut took = Duration::ZERO;
    for (verb, gateway) in [("add", "192.168.10.254"), ("del", "192.168.10.1")] {
        // Somebody's gateway changes amid a flood of other people's routes.
        let mut batch = String::new();
        for n in 0..ROUTES {
            let (a, b) = (n / 250, n % 250);
            batch += &format!("route {verb} 172.{}.{b}.0/24 via 192.168.11.1\n", a + 40);
            if n == ROUTES / 2 {
                let default = "dev wan0 proto dhcp metric 100";
                batch += &format!("route replace default via {gateway} {default}\n");
            }
        }
        fs::write(file("burst"), batch)?;
        let path = file("burst").display().to_string();
        in_router(&stage.home, "/bin/ip", &["-batch", &path]).await?.must(0)?;
        let done = Instant::now();
        for table in ["8301", "8300"] {
            let words = ["route", "show", "table", table];
            loop {
                let said = in_router(&stage.home, "/bin/ip", &words).await?.must(0)?;
                if said.out.contains(&format!("via {gateway} ")) {
                    break;
                }
                ensure!(done.elapsed() < CAUGHT_UP, "{table} has not caught up:\n{}", said.out);
            }
        }
        took = took.max(done.elapsed());
        let count = in_router(&stage.home, "/bin/ip", &["route", "show"]).await?.must(0)?;
        let many = count.out.lines().count() > ROUTES;
        ensure!(many == (verb == "add"), "control: {} routes", count.out.lines().count());
    }
    sleep(Duration::from_secs(1)).await;
    let status = stage.agent.status().await?;
    ensure!(status.all_proven() && status.active.as_deref() == Some("cable"), "{status:?}");
    figure(&format!(
        "caught up {} ms after the burst at worst, loop at most {:.0} ms late ({before:.0} before)",
        took.as_millis(),
        status.loop_gap_ms
    ));
    stage.nothing_lost_since(begun).await
}
