//! Who may change things from the page of the real agent, and what looking at a password costs it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::http::{Answer, PORT, ask, get, host, watch};
use crate::stage::{AGENT, PROVEN, SOON, Stage};

crate::tests![who_knows_the_password_steers, looking_at_passwords_costs_little];

pub(crate) const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Sets the password as a person would.
pub(crate) async fn passwd(stage: &Stage, typed: &'static str) -> Result<()> {
    let mut command = Command::new(AGENT);
    command.arg("passwd").arg("--config").arg(stage.agent.config_file()).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn()?;
        child.stdin.take().context("no stdin")?.write_all(typed.as_bytes())?;
        anyhow::Ok(child.wait_with_output()?)
    };
    let output = tokio::task::spawn_blocking(run).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(!said.contains(typed) && !String::from_utf8_lossy(&output.stdout).contains(typed));
    Ok(())
}

/// As the page asks.
pub(crate) async fn post(stage: &Stage, path: &str, cookie: &str, body: &Value) -> Result<Answer> {
    let host = host(LAN);
    let headers = format!(
        "Host: {host}\r\nOrigin: http://{host}\r\nSec-Fetch-Site: same-origin\r\nX-Sparelink: 1\r\n\
         Content-Type: application/json\r\nCookie: {cookie}\r\n"
    );
    let line = format!("POST /api/v1/{path}");
    let to = SocketAddr::new(LAN, PORT);
    ask(&stage.home.client, to, &line, &headers, &body.to_string()).await
}

pub(crate) async fn log_in(stage: &Stage, password: &str) -> Result<Answer> {
    post(stage, "login", "", &serde_json::json!({ "password": password })).await
}

/// Guesses until it has to wait: on a busy machine the first second may pass before the next try.
async fn too_soon(stage: &Stage) -> Result<Answer> {
    for _ in 0..6 {
        let answer = log_in(stage, "a wrong password").await?;
        if answer.status == 429 {
            return Ok(answer);
        }
    }
    anyhow::bail!("whoever guesses need not wait")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Result<&'a str> {
    let mut lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).with_context(|| format!("no {name}: {answer:?}"))
}

/// The cookie of a login that worked, as a browser sends it back.
pub(crate) fn cookie(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 200, "{answer:?}");
    let whole = header(answer, "set-cookie")?;
    let (cookie, rest) = whole.split_once(';').context("no flags")?;
    ensure!(rest == " Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict", "{whole}");
    Ok(cookie.to_owned())
}

async fn who_knows_the_password_steers() -> Result<()> {
    let mut stage = Stage::new().await?;
    let switch = serde_json::json!({ "uplink": "mifi", "for_s": 600 });
    let auto = serde_json::json!({ "uplink": "auto" });
    let refused = post(&stage, "switch", "", &switch).await?;
    let hint = refused.json()?["hint"].to_string();
    ensure!(refused.status == 401 && hint.contains("sparelink passwd"), "{refused:?}");
    let nobody = log_in(&stage, PASSWORD).await?;
    ensure!(nobody.status == 409 && nobody.json()?["detail"] == "no password has been set");
    let mut watcher = watch(&stage.home.client, LAN).await?;
    let first = timeout(SOON, watcher.recv()).await?.context("no event")?;
    ensure!(first.data["login"] == serde_json::json!({"needed": true, "set": false, "in": false}));

    passwd(&stage, PASSWORD).await?;
    // Whoever watches is told that there is one now, and nothing of who has logged in.
    let told = async {
        while let Some(seen) = watcher.recv().await {
            if seen.name == "status" && seen.data["login"]["set"] == true {
                return seen.data["login"].get("in").is_none();
            }
        }
        false
    };
    ensure!(timeout(SOON, told).await?, "those who watch do not hear of the password");
    ensure!(log_in(&stage, "a wrong password").await?.status == 401);
    let soon = too_soon(&stage).await?;
    sleep(Duration::from_secs(header(&soon, "retry-after")?.parse()?)).await;
    let session = cookie(&log_in(&stage, PASSWORD).await?)?;
    ensure!(post(&stage, "switch", &session, &switch).await?.status == 200);
    stage.on("mifi").await?;
    ensure!(post(&stage, "switch", &session, &auto).await?.status == 200);
    let probe = serde_json::json!({ "uplink": "phone" });
    ensure!(post(&stage, "probe", &session, &probe).await?.status == 200);
    ensure!(stage.command(&["probe", "phone"]).await?.code == Some(0), "the socket needs no login");
    ensure!(post(&stage, "logout", &session, &Value::Null).await?.status == 200);
    ensure!(post(&stage, "switch", &session, &switch).await?.status == 401, "after the logout");

    let session = cookie(&log_in(&stage, PASSWORD).await?)?;
    ensure!(post(&stage, "switch", &session, &auto).await?.status == 200, "control");
    passwd(&stage, "another password").await?;
    ensure!(post(&stage, "switch", &session, &switch).await?.status == 401, "another password");
    let session = cookie(&log_in(&stage, "another password").await?)?;
    ensure!(post(&stage, "switch", &session, &auto).await?.status == 200, "control");
    stage.agent.end(Signal::SIGTERM).await?;
    stage.start_again().await?;
    stage.agent.wait_proven(PROVEN).await?;
    ensure!(post(&stage, "switch", &session, &switch).await?.status == 401, "after a restart");
    cookie(&log_in(&stage, "another password").await?)?;

    let log = stage.agent.log();
    ensure!(log.contains("login to the page"), "control: {log}");
    let token = session.strip_prefix("sparelink=").context("another cookie")?;
    for secret in [PASSWORD, "another password", "a wrong password", token, "argon2"] {
        ensure!(!log.contains(secret), "{secret} is in the log");
    }
    Ok(())
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
}

async fn looking_at_passwords_costs_little() -> Result<()> {
    let stage = Stage::new().await?;
    passwd(&stage, PASSWORD).await?;
    let pid = stage.agent.pid();
    // The page's own answers first, so that the memory they need is there.
    get(&stage.home.client, LAN, "/api/v1/status").await?;
    let quiet = stage.agent.status().await?.loop_gap_ms;
    let before = resident(pid)?;
    let (mut took, mut most) = (Vec::new(), before);
    for _ in 0..10 {
        let begun = Instant::now();
        let answer = log_in(&stage, PASSWORD);
        tokio::pin!(answer);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer?,
                () = sleep(Duration::from_millis(2)) => most = most.max(resident(pid)?),
            }
        };
        cookie(&answer)?;
        took.push(begun.elapsed().as_millis());
    }
    sleep(Duration::from_secs(1)).await;
    let (after, late) = (resident(pid)?, stage.agent.status().await?.loop_gap_ms);
    took.sort_unstable();
    figure(&format!(
        "a login takes {} ms (worst {}); resident {before} KiB before, {most} at most, {after} after ten; \
         the loop late by {late} ms at worst, {quiet} before",
        took[5], took[9]
    ));
    // As much as one password needs, whatever else the allocator keeps.
    ensure!(most < before + 9 * 1024, "{before} KiB before, {most} at most");
    Ok(())
}
