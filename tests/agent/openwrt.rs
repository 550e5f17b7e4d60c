//! On OpenWrt: what netifd does to the kernel, and what it says over ubus.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sparelink::io::ubus::SOCKET;
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::netifd::{Netifd, networks};
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::stage::PRIVATE_DIR;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{AGENT, PROVEN, SOON, in_netns, shell};

crate::tests![
    a_network_restart_is_followed,
    its_own_file_configures_the_agent,
    networks_are_followed_and_their_reasons_told,
    scripts_ask_and_listen_over_ubus,
    setup_writes_its_language,
    uplinks_without_a_metric_are_all_ready
];

/// A bus that failed is asked again after half a minute at the latest.
const LISTENS: Duration = Duration::from_secs(45);

/// As netifd leaves `main` where no network has a metric: with one default route, the last one's.
async fn without_metrics(home: &Home) -> Result<()> {
    for family in ["-4", "-6"] {
        let spares = home.uplinks.iter().skip(1);
        for uplink in spares {
            shell(&home.router, &format!("ip {family} route del default dev {}", uplink.interface))
                .await?;
        }
    }
    Ok(())
}

/// A bus that takes every call and answers none; dropped, it leaves a socket that refuses.
fn hanging() -> Result<UnixListener> {
    let path = Path::new(SOCKET);
    fs::create_dir_all(path.parent().context("no folder")?)?;
    Ok(UnixListener::bind(path)?)
}

async fn uplinks_without_a_metric_are_all_ready() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    without_metrics(&home).await?;
    let text = config(&plan, &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    let first = &plan.uplinks[0].name;
    agent.wait(PROVEN, "the first in use", |s| s.active.as_deref() == Some(first)).await?;
    sleep(Duration::from_secs(3)).await;
    let alone = agent.status().await?;
    ensure!(
        alone.spares_ready == 0,
        "control: without netifd nobody says where the gateways are: {alone:?}"
    );
    let reason = |s: &Status| s.uplink(&plan.uplinks[1].name).map(|u| u.reason.clone());
    ensure!(reason(&alone).as_deref() == Some("has no gateway"), "{alone:?}");
    // A bus that answers nobody: the kernel alone does not know it, and netifd should.
    let hanging = hanging()?;
    let told = |s: &Status| {
        reason(s).is_some_and(|r| r.contains("option metric: uci set network.NAME.metric=20; "))
    };
    agent.wait(LISTENS, "the metric named", told).await?;
    drop(hanging);
    sleep(Duration::from_secs(2)).await;
    agent.wait(SOON, "the same where it refuses", told).await?;
    let netifd = Netifd::start(networks(&home))?;
    agent.wait_proven(LISTENS).await?;
    home.apply(&Action::line(first, LineEvent::Sever)).await?;
    agent
        .wait(SOON, "a spare in use", |s| s.active.is_some() && s.active.as_deref() != Some(first))
        .await?;
    // What it has said stays true while it is away.
    drop(netifd);
    home.apply(&Action::line(first, LineEvent::Restore)).await?;
    agent.wait_proven(SOON).await?;
    Ok(())
}

/// Uplinks that are named as netifd names them, and what it says of those that are not up.
async fn networks_are_followed_and_their_reasons_told() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    let mut text = config(&plan, &Settings::default());
    for uplink in &plan.uplinks {
        let (by, network) = (
            format!("interface = \"{}\"", uplink.interface),
            format!("network = \"{}\"", uplink.name),
        );
        ensure!(text.contains(&by), "control: {text}");
        text = text.replace(&by, &network);
    }
    let all = networks(&home);
    let spare = plan.uplinks[2].name.as_str();
    let netifd = Netifd::start(all.clone())?;
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    agent.wait_proven(PROVEN).await?;
    let with = |changes: &[(&str, Value)]| {
        let mut all = all.clone();
        for (key, value) in changes {
            all["interface"][2][key] = value.clone();
        }
        all
    };
    let down =
        [("up", false.into()), ("l3_device", Value::Null), ("route", Value::Array(Vec::new()))];
    let down = |more: &[(&'static str, Value)]| with(&[&down, more].concat());
    let off = down(&[("autostart", false.into())]);
    let waits = down(&[("pending", true.into())]);
    let problem = serde_json::json!([{"subsystem": "ppp", "code": "AUTH_FAILED"}]);
    let refused = down(&[("pending", true.into()), ("errors", problem)]);
    let gone = down(&[("available", false.into()), ("device", Value::Null)]);
    for (dump, condition, words) in [
        (waits.clone(), "no_address", "is being set up again, and waits for an address"),
        (off, "switched_off", "switched off"),
        (waits, "no_address", "waits for an address from its provider"),
        (refused, "no_address", "is refused by its provider, by name or password (AUTH_FAILED)"),
        (gone, "absent", "not plugged in"),
        (
            serde_json::json!({"interface": [all["interface"][0], all["interface"][1]]}),
            "absent",
            "netifd knows",
        ),
    ] {
        netifd.say(dump);
        let told = |s: &Status| {
            s.uplink(spare).is_some_and(|u| u.condition == condition && u.reason.contains(words))
        };
        agent.wait(SOON, words, told).await?;
    }
    netifd.say(all);
    agent.wait_proven(PROVEN).await?;
    Ok(())
}

/// `ubus call sparelink status` and `ubus listen sparelink`: no HTTP is needed.
async fn scripts_ask_and_listen_over_ubus() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    let netifd = Netifd::start(networks(&home))?;
    let mut agent =
        Agent::start(&home, AGENT.as_ref(), &config(&plan, &Settings::default())).await?;
    agent.wait_proven(PROVEN).await?;
    let first = &plan.uplinks[0].name;
    let said = netifd.call("status").await?.map_err(|status| anyhow!("refused: {status}"))?;
    ensure!(said["active"] == first.as_str(), "{said}");
    ensure!(said["uplinks"].as_array().is_some_and(|uplinks| uplinks.len() == 3), "{said}");
    ensure!(netifd.call("destroy").await? == Err(3), "only what there is is answered");
    let mut events = netifd.events();
    home.apply(&Action::line(first, LineEvent::Sever)).await?;
    let switched = async {
        loop {
            let event = events.recv().await?;
            if event["id"] == "sparelink" && event["data"]["code"] == "switched" {
                return anyhow::Ok(event);
            }
        }
    };
    let event = timeout(SOON, switched).await.context("no event tells of the switch")??;
    ensure!(event["data"]["text"].is_string(), "{event}");
    let said = netifd.call("status").await?.map_err(|status| anyhow!("refused: {status}"))?;
    ensure!(said["active"] == plan.uplinks[1].name.as_str(), "{said}");
    Ok(())
}

/// The whole configuration in OpenWrt's own language, the LAN and the uplinks by their names there.
async fn its_own_file_configures_the_agent() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let _netifd = Netifd::start(networks(&home))?;
    let dir = Path::new(PRIVATE_DIR).join("uci");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("network"), "config interface 'lan'\n\toption device 'lan0'\n")?;
    let mut text =
        "config sparelink 'main'\n\toption enabled '1'\n\tlist lan 'lan'\n\toption hold '3s'\n\
                    \toption hold_max '3s'\n"
            .to_owned();
    text += &format!("\toption state_dir '{}'\n", dir.join("state").display());
    for uplink in &home.uplinks {
        text += &format!("config uplink '{0}'\n\toption network '{0}'\n", uplink.name);
    }
    let file = dir.join("sparelink");
    fs::write(&file, &text)?;
    let shown = file.display().to_string();
    let checked = in_netns(&home.router, AGENT, &["check", "--uci", &shown]).await?.must(0)?;
    ensure!(checked.out.contains("3 uplinks"), "{checked:?}");
    let both = ["run", "--uci", &shown, "--config", "/etc/x.toml"];
    let both = in_netns(&home.router, AGENT, &both).await?.must(2)?;
    ensure!(both.err.contains("--config /etc/x.toml and --uci"), "{both:?}");
    let run_dir = dir.join("run").display().to_string();
    let start = format!(
        "{AGENT} run --uci {shown} --run-dir {run_dir} >{shown}.log 2>&1 </dev/null & echo $!"
    );
    let pid = shell(&home.router, &start).await?;
    let begun = Instant::now();
    while in_netns(&home.router, AGENT, &["status", "--run-dir", &run_dir]).await?.code != Some(0) {
        ensure!(begun.elapsed() < PROVEN, "{:?}", fs::read_to_string(dir.join("sparelink.log")));
        sleep(Duration::from_millis(200)).await;
    }
    // A wrong file is told with its place, and the old one stays.
    fs::write(&file, text.replace("option network 'cable'", "option netwrk 'cable'"))?;
    let wrong = in_netns(&home.router, AGENT, &["reload", "--run-dir", &run_dir]).await?;
    ensure!(wrong.code != Some(0) && wrong.err.contains("did you mean network?"), "{wrong:?}");
    kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGTERM)?;
    Ok(())
}

/// `service network restart`, and netifd's own start: all rules of others are flushed, every interface is taken down and loses
/// what it had, the LAN's too; seconds later all is there again.
async fn a_network_restart_is_followed() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    let netifd = Netifd::start(networks(&home))?;
    let mut agent =
        Agent::start(&home, AGENT.as_ref(), &config(&plan, &Settings::default())).await?;
    agent.wait_proven(PROVEN).await?;
    let reaches = format!("ping -n -c 1 -W 1 {ECHO4} >/dev/null && echo yes || echo no");
    let online = async || anyhow::Ok(shell(&home.client, &reaches).await?.trim() == "yes");
    ensure!(online().await?, "control: the LAN has the Internet");
    let devices: Vec<&str> = plan.uplinks.iter().map(|uplink| uplink.interface.as_str()).collect();
    let devices = devices.join(" ");
    let keep = format!(
        "cd {PRIVATE_DIR}; for f in 4 6; do ip -$f addr save >a$f; ip -$f route save table main >r$f; done; \
         for f in -4 -6; do ip $f rule flush; ip $f rule add pref 32766 lookup main; done; ip rule add pref 32767 lookup default; \
         for d in lan0 {devices}; do ip link set $d down; ip addr flush dev $d; done"
    );
    shell(&home.router, &keep).await?;
    netifd.say(serde_json::json!({"interface": []}));
    ensure!(!online().await?, "control: there is no LAN");
    sleep(Duration::from_secs(2)).await;
    let back = format!(
        "cd {PRIVATE_DIR}; for d in lan0 {devices}; do ip link set $d up; done; \
         for f in 4 6; do ip -$f addr restore <a$f; ip -$f route restore <r$f; done 2>/dev/null; true"
    );
    shell(&home.router, &back).await?;
    netifd.say(networks(&home));
    let begun = Instant::now();
    while !online().await? {
        ensure!(begun.elapsed() < PROVEN, "the LAN stays without the Internet");
    }
    figure(&format!(
        "the LAN has the Internet {} ms after its bridge is up",
        begun.elapsed().as_millis()
    ));
    agent.wait_proven(PROVEN).await?;
    Ok(())
}

/// `setup` where the package has put its file: in its language, with netifd's names, and what was there is kept elsewhere.
async fn setup_writes_its_language() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let _netifd = Netifd::start(networks(&home))?;
    let dir = Path::new(PRIVATE_DIR).join("setup");
    fs::create_dir_all(&dir)?;
    let file = dir.join("sparelink");
    let before = "config sparelink 'main'\n\toption enabled '0'\n";
    fs::write(&file, before)?;
    let (file, run_dir) = (file.display().to_string(), dir.join("run").display().to_string());
    let setup = ["setup", "--yes", "--config", &file, "--run-dir", &run_dir];
    in_netns(&home.router, AGENT, &setup).await?.must(0)?;
    let text = fs::read_to_string(&file)?;
    for uplink in &home.uplinks {
        let line = format!("\toption network '{}'\n", uplink.name);
        ensure!(text.contains(&line), "{line}: {text}");
    }
    // Nobody has seen it work: it does not start by itself, not at the next boot either.
    ensure!(
        text.contains("\toption enabled '0'\n") && text.contains("\tlist lan 'lan0' # "),
        "{text}"
    );
    let checked = in_netns(&home.router, AGENT, &["check", &file]).await?.must(0)?;
    ensure!(checked.out.contains("3 uplinks"), "{checked:?}");
    ensure!(fs::read_to_string(format!("{file}.old"))? == before, "what was there is kept");
    Ok(())
}
