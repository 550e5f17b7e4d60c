//! Messages by MQTT, to Debian's mosquitto.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use super::{TOLD, text, with};
use crate::programs::Programs;
use crate::runner::{figure, skip};
use crate::stage::{Stage, file, with_environment};

pub(super) const BROKER: &str = "/usr/sbin/mosquitto";
/// Plain, by TLS, and a port where something else is.
pub(super) const PLAIN: u16 = 11883;
const TLS: u16 = 18883;

/// A certificate that is its own authority, a user, and the configuration of a broker at this address.
pub(super) fn prepare(dir: &Path, place: IpAddr) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let at = dir.display();
    let script = format!(
        "set -e; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
         -subj /CN=broker -addext subjectAltName=IP:{place} -addext basicConstraints=critical,CA:FALSE \
         -keyout {at}/key -out {at}/certificate 2>/dev/null\n\
         mosquitto_passwd -b -c {at}/passwords box 's3cret'"
    );
    let made = Command::new("/bin/sh").args(["-c", &script]).output()?;
    ensure!(made.status.success(), "{made:?}");
    let config = format!(
        "per_listener_settings false\nallow_anonymous false\npassword_file {at}/passwords\nuser root\n\
         listener {PLAIN} {place}\nlistener {TLS} {place}\ncertfile {at}/certificate\nkeyfile {at}/key\n"
    );
    Ok(std::fs::write(dir.join("config"), config)?)
}

/// What was published, each as JSON.
fn published(dir: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(dir.join("published")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

/// Whether there is a broker to be had.
pub(super) fn there_is_a_broker() -> bool {
    let there = Path::new(BROKER).exists() && Path::new("/usr/bin/mosquitto_sub").exists();
    if !there {
        skip("there is no mosquitto");
    }
    there
}

pub(super) async fn messages_are_published_by_mqtt() -> Result<()> {
    let dir = file("mqtt");
    if !there_is_a_broker() {
        return Ok(());
    }
    prepare(&dir, ECHO4)?;
    let home = Home::build(&Plan::default()).await?;
    let mut programs = Programs(Vec::new());
    let config = dir.join("config").display().to_string();
    programs.start(&home.target, BROKER, &["-c", &config]).await?;
    // Once the broker answers the shell becomes the listener, so that whoever ends it ends that.
    let listener = format!(
        "mosquitto_sub -h {ECHO4} -p {PLAIN} -u box -P s3cret -t home/tls -t 'home/box one' -t home/wrong -t home/plain -q 1"
    );
    let listen = format!(
        "until {listener} -E 2>/dev/null; do sleep 0.1; done; exec {listener} >> {}/published",
        dir.display()
    );
    programs.start(&home.target, "/bin/sh", &["-c", &listen]).await?;
    let trusted = dir.join("certificate").display().to_string();
    let agent = with_environment("trusting", &[("SSL_CERT_FILE", &trusted)])?;
    let section = |to: &str| format!("[[notify]]\nto = \"{to}\"\n");
    let channels = section(&format!("mqtt://box:s3cret@{ECHO4}:{PLAIN}/home/box%20one"))
        + "min = \"notice\"\n"
        + &section(&format!("mqtts://box:s3cret@{ECHO4}:{TLS}/home/tls"))
        + &section(&format!("mqtt://box:wrong@{ECHO4}:{PLAIN}/home/wrong"))
        + &section(&format!("mqtt://{ECHO4}:{PLAIN}/home/nobody"))
        + &section(&format!("mqtts://box:s3cret@{ECHO4}:{PLAIN}/home/plain"))
        + &section(&format!("mqtt://box:s3cret@{ECHO4}:18999/home/dead"));
    let mut stage = Stage::configured(home, with(&channels), &agent, &[]).await?;
    for (name, code, why) in [
        ("mqtt", 0, "mqtt (203.0.113.7): delivered in "),
        ("mqtt-2", 0, "delivered in "),
        ("mqtt-3", 1, "203.0.113.7: the broker refuses the login"),
        ("mqtt-4", 1, "203.0.113.7: the broker refuses the login"),
        ("mqtt-5", 1, "203.0.113.7: "),
        ("mqtt-6", 1, "cannot connect to 203.0.113.7:18999: connection refused"),
    ] {
        let said = stage.command(&["notify", "test", name]).await?.must(code)?.out;
        ensure!(said.contains(why), "{name}: no {why:?} in {said}");
    }
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let begun = Instant::now();
    let all = loop {
        let all = published(&dir)?;
        if all.len() >= 3 {
            break all;
        }
        ensure!(begun.elapsed() < 2 * TOLD, "{all:#?}\n{}", stage.agent.log());
        sleep(Duration::from_millis(20)).await;
    };
    figure(&format!("published {} ms after the switch", begun.elapsed().as_millis()));
    ensure!(all.len() == 3, "what is refused is not published: {all:#?}");
    ensure!(text(&all[0], "title") == "Test of sparelink", "{all:#?}");
    ensure!(text(&all[2], "title").starts_with("On mifi since "), "{all:#?}");
    ensure!(all[2]["state"]["active"] == "mifi", "{all:#?}");
    ensure!(!stage.agent.log().contains("s3cret"), "{}", stage.agent.log());
    Ok(())
}
