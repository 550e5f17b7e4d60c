//! The programs beside the configuration are run with every message, in order, whatever one of them does.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use tokio::time::{Instant, sleep};

use super::server::Server;
use super::{home_that_tells, text};
use crate::stage::SOON;

pub(super) async fn programs_beside_the_configuration_are_run() -> Result<()> {
    let mut stage = home_that_tells(&Server::new(), "").await?;
    let dir = stage.agent.config_file().parent().context("no directory")?.join("hooks.d");
    std::fs::create_dir(&dir)?;
    let hook = |name: &str, mode: u32, script: &str| -> Result<()> {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?)
    };
    let here = dir.display();
    hook("10-first", 0o755, "echo it says so >&2; exit 3")?;
    hook("20-second", 0o700, &format!("cat > {here}/.got; echo \"$1\" >> {here}/.events"))?;
    hook("30-open", 0o777, &format!("touch {here}/.open"))?;
    hook("40-notes", 0o644, &format!("touch {here}/.notes"))?;
    stage.command(&["reload"]).await?.must(0)?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let events = once(&dir.join(".events"), "switched\n").await?;
    let document: Value = serde_json::from_str(&std::fs::read_to_string(dir.join(".got"))?)?;
    ensure!(text(&document, "event") == "switched" && text(&document, "uplink") == "mifi");
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    once(&dir.join(".events"), &format!("{events}returned\n")).await?;
    // Each was run once, although the first one fails; it is told.
    let log = stage.agent.log();
    ensure!(
        log.contains("10-first: it says so") && log.contains("10-first failed: exit status: 3")
    );
    ensure!(log.contains("30-open is not run: others can change it"), "{log}");
    ensure!(!dir.join(".open").exists() && !dir.join(".notes").exists());
    let begun = Instant::now();
    loop {
        let shown = stage.command(&["notify"]).await?.must(0)?.out;
        if shown.contains("none waiting") {
            ensure!(shown.contains("hooks (") && shown.contains("10-first failed"), "{shown}");
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "{shown}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until a file has this in it, and no more than this.
async fn once(file: &Path, wanted: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        let found = std::fs::read_to_string(file).unwrap_or_default();
        if found == wanted {
            return Ok(found);
        }
        ensure!(begun.elapsed() < SOON, "{wanted:?} is wanted, and there is {found:?}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}
