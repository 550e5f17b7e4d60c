//! Another program loads very many elements into a set. Some kernels (`PREEMPT_NONE`) let nothing else have that
//! processor for seconds then, so this test has the machine to itself.

use std::fs::write;

use anyhow::{Result, ensure};
use sparelink::lab::script::LineEvent;

use crate::figure;
use crate::stage::{Stage, file, shell};

crate::tests![while_others_load_thousands_of_elements];

/// Elements of others' sets.
const ELEMENTS: u32 = 300_000;

async fn while_others_load_thousands_of_elements() -> Result<()> {
    let mut stage = Stage::new().await?;
    let elements: Vec<String> = (0..ELEMENTS)
        .map(|n| format!("{}.{}.{}.{}", 20 + (n >> 16), (n >> 8) & 255, n & 255, 1))
        .collect();
    let set = "table inet blocklist { set addresses { type ipv4_addr; }; }";
    let name = file("blocklist");
    write(
        &name,
        format!("{set}\nadd element inet blocklist addresses {{ {} }}\n", elements.join(", ")),
    )?;
    let script = format!("nft -f {}; echo loaded", name.display());
    let loading = shell(&stage.home.router, &script);
    let severed = stage.happens("cable", LineEvent::Sever);
    let (loaded, severed) = tokio::join!(loading, severed);
    ensure!(loaded?.contains("loaded"), "control: they were loaded");
    stage.on("mifi").await?;
    let late = stage.agent.status().await?.loop_gap_ms;
    let gap = stage.gap_after(severed?).await?;
    figure(&format!("loop late by {late:.1} ms, failover {} ms", gap.as_millis()));
    ensure!(late < 300.0, "the loop was late by {late} ms");
    Ok(())
}
