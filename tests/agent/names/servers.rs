//! Debian's Knot and BIND: a name there is right soon after a switch, and what they refuse is told.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use super::{RIGHT, line, public, public_home, says, told, until, with};
use crate::programs::Programs;
use crate::runner::{figure, skip};
use crate::stage::{AGENT, SOON, Stage, file};
use sparelink::units::Family;

const KNOT: &str = "/usr/sbin/knotd";
const BIND: &str = "/usr/sbin/named";
pub(super) const AT_KNOT: u16 = 5301;
const AT_BIND: u16 = 5302;
/// Of the key `home`, in base64.
const SECRET: &str = "mBUhXdcs5XI6BVr4NNxrXDSPMUzYoWe+AIgyb5uHXqk=";

/// The names that may be changed in a zone.
const NAMES: [&str; 4] = ["home", "cable", "mifi", "phone"];

/// Starts both servers, each with a zone of its own; `None` where one is missing.
pub(super) async fn start(netns: &Netns) -> Result<Option<(Programs, PathBuf)>> {
    if !Path::new(KNOT).exists() || !Path::new(BIND).exists() {
        skip("there is no Knot or no BIND");
        return Ok(None);
    }
    let dir = file("names");
    drop(std::fs::remove_dir_all(&dir));
    for part in ["knot", "bind"] {
        std::fs::create_dir_all(dir.join(part))?;
        let zone = format!(
            "$ORIGIN {part}.example.\n$TTL 60\n@ SOA ns admin 1 3600 600 86400 60\n@ NS ns\nns A {ECHO4}\n"
        );
        std::fs::write(dir.join(part).join("zone"), zone)?;
    }
    std::fs::write(dir.join("secret"), SECRET)?;
    std::fs::write(dir.join("wrong"), "AAAAXdcs5XI6BVr4NNxrXDSPMUzYoWe+AIgyb5uHXqk=\n")?;
    std::fs::write(dir.join("rubbish"), "not base64!\n")?;
    let at = dir.display();
    let owners = NAMES.map(|name| format!("{name}.knot.example.")).join(", ");
    let knot = format!(
        "server:\n    listen: {ECHO4}@{AT_KNOT}\n    rundir: {at}/knot\n\
         database:\n    storage: {at}/knot\n\
         log:\n  - target: {at}/knot/log\n    any: info\n\
         key:\n  - id: home\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         acl:\n  - id: change\n    key: home\n    action: update\n    update-owner: name\n    \
         update-owner-match: equal\n    update-owner-name: [{owners}]\n\
         zone:\n  - domain: knot.example\n    storage: {at}/knot\n    file: zone\n    acl: change\n"
    );
    std::fs::write(dir.join("knot.conf"), knot)?;
    let mut grants = String::new();
    for name in NAMES {
        write!(grants, "grant home name {name}.bind.example A AAAA; ")?;
    }
    let bind = format!(
        "options {{ directory \"{at}/bind\"; listen-on port {AT_BIND} {{ {ECHO4}; }}; listen-on-v6 {{ none; }}; \
         recursion no; pid-file \"{at}/bind/pid\"; session-keyfile \"{at}/bind/session\"; \
         dnssec-validation no; }};\ncontrols {{ }};\n\
         key \"home\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         zone \"bind.example\" {{ type primary; file \"{at}/bind/zone\"; update-policy {{ {grants} }}; }};\n"
    );
    std::fs::write(dir.join("named.conf"), bind)?;
    let mut programs = Programs(Vec::new());
    programs.start(netns, KNOT, &["-c", &format!("{at}/knot.conf")]).await?;
    let conf = format!("{at}/named.conf");
    let log = format!("{at}/bind/log");
    programs.start(netns, BIND, &["-f", "-u", "root", "-c", &conf, "-L", &log]).await?;
    for (port, zone) in [(AT_KNOT, "knot"), (AT_BIND, "bind")] {
        until(netns, (port, &format!("ns.{zone}.example")), ECHO4, SOON).await?;
    }
    Ok(Some((programs, dir)))
}

/// A name, by DNS UPDATE.
pub(super) fn section(name: &str, port: u16, secret: &Path, more: &str) -> String {
    format!(
        "[[ddns]]\nname = \"{name}\"\nprotocol = \"rfc2136\"\nserver = \"{ECHO4}:{port}\"\n\
         key_name = \"home\"\nsecret_file = \"{}\"\n{more}",
        secret.display()
    )
}

/// The moving name and one for each uplink, at both servers.
fn all_names(dir: &Path) -> String {
    let mut text = String::new();
    for (port, zone) in [(AT_KNOT, "knot"), (AT_BIND, "bind")] {
        for name in NAMES {
            let own = if name == "home" { String::new() } else { format!("uplink = \"{name}\"\n") };
            text += &section(&format!("{name}.{zone}.example"), port, &dir.join("secret"), &own);
        }
    }
    text
}

const ZONES: [(u16, &str); 2] = [(AT_KNOT, "knot"), (AT_BIND, "bind")];

/// No uplink's name says another one's address.
async fn nothing_is_swapped(home: &Home) -> Result<()> {
    for (port, zone) in ZONES {
        for (n, name) in (0..).zip(&NAMES[1..]) {
            let name = format!("{name}.{zone}.example");
            let v4 = says(&home.target, port, &name, Family::V4).await?;
            let v6 = says(&home.target, port, &name, Family::V6).await?;
            let own6 = IpAddr::V6(home.uplinks[usize::from(n)].at.router6);
            ensure!(v4.iter().all(|ip| *ip == IpAddr::V4(public(n))), "{name}: {v4:?}");
            ensure!(v6.iter().all(|ip| *ip == own6), "{name}: {v6:?}");
        }
    }
    Ok(())
}

pub(super) async fn names_follow_at_knot_and_bind() -> Result<()> {
    let home = public_home(&Plan::default()).await?;
    let Some((_programs, dir)) = start(&home.target).await? else { return Ok(()) };
    let mut stage = Stage::configured(home, with(&all_names(&dir)), Path::new(AGENT), &[]).await?;
    let at = |n: u8| IpAddr::V4(public(n));
    for (port, zone) in ZONES {
        for (n, name) in [(0, "home"), (0, "cable"), (1, "mifi"), (2, "phone")] {
            let name = format!("{name}.{zone}.example");
            until(&stage.home.target, (port, &name), at(n), SOON).await?;
            let v6 = IpAddr::V6(stage.home.uplinks[usize::from(n)].at.router6);
            until(&stage.home.target, (port, &name), v6, SOON).await?;
        }
    }
    // The server says it a moment before the agent has read the answer.
    for (_, zone) in ZONES {
        for name in NAMES {
            line(&stage, &format!("{name}.{zone}.example"), "seen by the name server after ")
                .await?;
        }
    }
    let shown = stage.command(&["status"]).await?.must(0)?.out;
    ensure!(shown.contains("home.knot.example → 198.51.100.18 and "), "{shown}");
    ensure!(shown.contains("(cable), seen by the name server after "), "{shown}");
    // Two writes are a minute apart; these were some seconds ago.
    stage.agent.end(nix::sys::signal::Signal::SIGTERM).await?;
    stage.start_again().await?;
    stage.on("cable").await?;
    line(&stage, "home.bind.example", "the name server says so").await?;
    let events = stage.events().await?;
    let begun = events.iter().rposition(|event| event["code"] == "started").unwrap_or(0);
    let again = events[begun..].iter().filter(|event| event["code"] == "name_written").count();
    ensure!(again == 0, "nothing is written that is there already: {events:#?}");

    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let switched = Instant::now();
    let mut took = Vec::new();
    for (port, zone) in ZONES {
        let name = format!("home.{zone}.example");
        let seen = until(&stage.home.target, (port, &name), at(1), RIGHT).await?;
        took.push(seen.saturating_duration_since(switched).as_millis());
    }
    figure(&format!("right at Knot and BIND {took:?} ms after the switch"));
    for (port, zone) in ZONES {
        let v6 = IpAddr::V6(stage.home.uplinks[1].at.router6);
        until(&stage.home.target, (port, &format!("home.{zone}.example")), v6, RIGHT).await?;
        // The line of one that is right.
        line(&stage, &format!("home.{zone}.example"), "(mifi), seen by the name server").await?;
    }
    nothing_is_swapped(&stage.home).await?;
    Ok(())
}

/// Wrong secrets, keys, zones and names; a server that is none, one that hangs: the sections, and what each name's
/// line has to say.
fn refused(dir: &Path) -> (String, Vec<(String, &'static str)>) {
    let file = |name: &str| dir.join(name);
    let other_key = |text: String| text.replace("\"home\"", "\"nobody\"");
    let mut text = String::new();
    let mut expected = Vec::new();
    let mut case = |name: &str, section: String, why: &'static str| {
        text += &section;
        expected.push((name.to_owned(), why));
    };
    for (port, zone) in ZONES {
        let good = file("secret");
        let name = |first: &str| format!("{first}.{zone}.example");
        case(
            &name("home"),
            section(&name("home"), port, &file("wrong"), ""),
            "the secret of key home is another one there",
        );
        case(
            &name("mifi"),
            other_key(section(&name("mifi"), port, &good, "")),
            "it does not know key nobody",
        );
        let why = if zone == "knot" {
            "does not let it change stranger"
        } else {
            "key home may not change stranger"
        };
        case(&name("stranger"), section(&name("stranger"), port, &good, ""), why);
        let elsewhere = format!("home.{zone}.elsewhere.example");
        case(
            &elsewhere,
            section(&elsewhere, port, &good, ""),
            "it is not a name server of this zone",
        );
    }
    case(
        "a.knot.example",
        section("a.knot.example", AT_KNOT, &file("rubbish"), ""),
        "no key in base64",
    );
    case("b.knot.example", section("b.knot.example", AT_KNOT, &file("absent"), ""), "there is no ");
    case(
        "c.knot.example",
        section("c.knot.example", 5303, &file("secret"), ""),
        "took the connection and does not answer",
    );
    case(
        "d.knot.example",
        section("d.knot.example", 5304, &file("secret"), ""),
        "connection refused",
    );
    case(
        "e.knot.example",
        section("e.knot.example", 80, &file("secret"), "")
            .replace(&ECHO4.to_string(), "203.0.113.80"),
        "203.0.113.80: ",
    );
    (text, expected)
}

pub(super) async fn what_a_server_refuses_is_told() -> Result<()> {
    let home = public_home(&Plan::default()).await?;
    let Some((_programs, dir)) = start(&home.target).await? else { return Ok(()) };
    let hangs = home.target.run(tokio::net::TcpListener::bind((ECHO4, 5303))).await??;
    let (text, expected) = refused(&dir);
    let mut stage = Stage::configured(home, with(&text), Path::new(AGENT), &[]).await?;
    for (name, why) in &expected {
        let said = line(&stage, name, why).await?;
        ensure!(!said.contains("not tried again"), "{said}");
        // At times it is being tried.
        let said = line(&stage, name, "; tried again in ").await?;
        ensure!(said.contains(why), "{said}");
        ensure!(!said.contains(&SECRET[..8]), "{said}");
    }
    // And none of it is in the way of a switch.
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let gap = stage.gap_after(severed).await?;
    sleep(Duration::from_secs(1)).await;
    let late = stage.json().await?["loop_gap_ms"].as_f64().unwrap_or(f64::MAX);
    figure(&format!(
        "{} names fail; failover in {} ms, loop late by {late:.1} ms",
        expected.len(),
        gap.as_millis()
    ));
    ensure!(late < 500.0, "the loop was late by {late} ms");
    ensure!(!stage.agent.log().contains(&SECRET[..8]), "a secret is in the log");
    ensure!(told(&stage, "home.knot.example").await?["state"] == "failing");
    drop(hangs);
    Ok(())
}
