//! Settings from the page of the real agent: in force at once, undone unless somebody keeps them, also over a death and
//! a power cut.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::Description;
use crate::guard::shell;
use crate::http::{Answer, PORT, ask, host};
use crate::login::{LAN, PASSWORD, cookie, log_in, passwd, post};
use crate::stage::{PROVEN, Stage};

crate::tests![
    a_disk_that_is_full_or_read_only_leaves_the_settings_as_they_are,
    settings_of_the_page_are_in_force_and_undone,
];

const UNCONFIRMED: &str = "The new settings are undone: nobody confirmed them";
/// A minute, of which some has passed, on a busy machine.
const UNDONE: Duration = Duration::from_secs(60);

/// Settings that name whom to call about the phone, which nothing depends on.
fn calling(whom: &str) -> Value {
    let provider = json!({"name": whom, "account": "", "phone": "", "monthly": ""});
    let phone = json!({"was": "phone", "provider": provider});
    json!({"uplinks": [{"was": "cable"}, {"was": "mifi"}, phone]})
}

/// Somebody who has logged in.
struct Person {
    stage: Stage,
    cookie: String,
}

impl Person {
    async fn new() -> Result<Self> {
        let stage = Stage::new().await?;
        passwd(&stage, PASSWORD).await?;
        let cookie = cookie(&log_in(&stage, PASSWORD).await?)?;
        Ok(Self { stage, cookie })
    }

    fn path(&self) -> PathBuf {
        self.stage.agent.config_file()
    }

    fn file(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path())?)
    }

    async fn shown(&self) -> Result<Value> {
        let headers = format!("Host: {}\r\nCookie: {}\r\n", host(LAN), self.cookie);
        let to = SocketAddr::new(LAN, PORT);
        let answer = ask(&self.stage.home.client, to, "GET /api/v1/settings", &headers, "").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Description::read()?.check("GET /api/v1/settings", &answer)?;
        answer.json()
    }

    /// Tries settings of the file as it is now.
    async fn tries(&self, wanted: Value) -> Result<Answer> {
        let revision = self.shown().await?["revision"].clone();
        let body = json!({"revision": revision, "settings": wanted});
        let answer = post(&self.stage, "settings", &self.cookie, &body).await?;
        Description::read()?.check("POST /api/v1/settings", &answer)?;
        Ok(answer)
    }

    /// The same of who is called about the phone.
    async fn calls(&self, whom: &str) -> Result<()> {
        let answer = self.tries(calling(whom)).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    async fn says(&self, word: &str) -> Result<()> {
        let answer =
            post(&self.stage, &format!("settings/{word}"), &self.cookie, &json!({})).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    /// What the history tells of persons.
    async fn deeds(&self) -> Result<Vec<String>> {
        let events = self.stage.events().await?;
        let by_hand = events.iter().filter(|event| event["code"] == "by_hand");
        Ok(by_hand.filter_map(|event| event["text"].as_str()).map(str::to_owned).collect())
    }

    /// Waits until the file is this one.
    async fn becomes(&self, text: &str) -> Result<()> {
        let begun = Instant::now();
        while self.file()? != text {
            ensure!(begun.elapsed() < UNDONE, "the file is still {}", self.file()?);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills the agent, and starts another one with the file as it is now.
    async fn dies_and_comes_back(&mut self) -> Result<()> {
        self.stage.agent.end(Signal::SIGKILL).await?;
        let text = self.file()?;
        let state = text.rfind("[state]").context("no state directory")?;
        self.stage.text = text[..state].to_owned();
        self.stage.start_again().await?;
        self.stage.agent.wait_proven(PROVEN).await?;
        self.cookie = cookie(&log_in(&self.stage, PASSWORD).await?)?;
        Ok(())
    }
}

async fn a_disk_that_is_full_or_read_only_leaves_the_settings_as_they_are() -> Result<()> {
    let person = Person::new().await?;
    let before = person.file()?;
    let folder = person.path().parent().context("no folder")?.display().to_string();
    // A small disk in its place, with all that was there.
    let small = format!(
        "cp -a {folder} {folder}.kept; mount -t tmpfs -o size=4m none {folder}; cp -a {folder}.kept/. {folder}/"
    );
    let full = format!("cat /dev/zero >{folder}/zeros 2>/dev/null || true");
    let emptied = format!("rm {folder}/zeros");
    let read_only = format!("mount -o remount,ro {folder}");
    let writable = format!("mount -o remount,rw {folder}");
    shell(&person.stage.home, &small).await?;
    for (breaks, mends, why) in
        [(&full, &emptied, "the disk is full"), (&read_only, &writable, "the disk is read-only")]
    {
        shell(&person.stage.home, breaks).await?;
        let refused = person.tries(calling("Anna")).await?;
        ensure!(refused.status == 500, "{refused:?}");
        let told = refused.json()?.to_string();
        ensure!(told.contains("it is as before") && told.contains(why), "{told}");
        ensure!(person.file()? == before, "{why}: the file is another");
        shell(&person.stage.home, mends).await?;
        ensure!(person.shown().await?["revision"].is_string(), "{why}: the page shows them");
    }
    person.calls("Anna").await.context("control")?;
    person.says("undo").await?;
    Ok(())
}

async fn settings_of_the_page_are_in_force_and_undone() -> Result<()> {
    let mut person = Person::new().await?;
    let before = person.file()?;
    let order = json!({"uplinks": [{"was": "mifi"}, {"was": "cable"}, {"was": "phone"}]});
    let tried = person.tries(order).await?;
    ensure!(tried.status == 200 && tried.json()?["confirm_within_s"] == 60, "{tried:?}");
    person.stage.on("mifi").await?;
    let status = person.stage.json().await?;
    ensure!(status["settings"]["trial"]["of"] == "page", "{status}");
    person.says("undo").await?;
    person.stage.on("cable").await?;
    ensure!(person.file()? == before);
    let deeds = person.deeds().await?;
    let [set, undone] = &*deeds else { anyhow::bail!("{deeds:?}") };
    ensure!(set.starts_with("Settings changed on the page by 192.168.77."), "{set}");
    ensure!(set.ends_with("on trial for 60 s: order: mifi, cable, phone"), "{set}");
    ensure!(undone.starts_with("The new settings are undone by 192.168.77."), "{undone}");

    // A power cut in the middle: whoever starts next begins with the old file.
    person.calls("Anna").await?;
    ensure!(person.file()? != before, "control");
    let record = person.path().with_file_name("setup-undo.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&record)?)?;
    kept["begun"] = json!(u64::MAX / 2);
    fs::write(&record, kept.to_string())?;
    person.dies_and_comes_back().await?;
    ensure!(person.file()? == before && !record.exists());
    let deeds = person.deeds().await?;
    ensure!(deeds.last().is_some_and(|deed| deed == UNCONFIRMED), "{deeds:?}");

    // Who edits the file meanwhile keeps what they wrote, and what was on trial is over all the same.
    person.calls("Dora").await?;
    let provider = |status: &Value| status["uplinks"][2]["provider"]["name"].clone();
    ensure!(provider(&person.stage.json().await?) == "Dora", "control: it is in force");
    let theirs = format!("# theirs\n{before}");
    fs::write(person.path(), &theirs)?;
    person.says("undo").await?;
    ensure!(person.file()? == theirs && provider(&person.stage.json().await?) == Value::Null);
    fs::write(person.path(), &before)?;

    // A death is no end of the trial: the next agent undoes it in time, and what is kept stays.
    person.calls("Berta").await?;
    let mut kept: Value = serde_json::from_slice(&fs::read(&record)?)?;
    let begun = kept["begun"].as_u64().context("no begin")?;
    kept["begun"] = json!(begun - 35_000_000);
    fs::write(&record, kept.to_string())?;
    person.dies_and_comes_back().await?;
    ensure!(person.file()?.contains("Berta"), "control: it is on trial still");
    person.becomes(&before).await?;
    let deeds = person.deeds().await?;
    ensure!(deeds.last().is_some_and(|deed| deed == UNCONFIRMED), "{deeds:?}");
    person.calls("Carla").await?;
    person.says("keep").await?;
    person.dies_and_comes_back().await?;
    let shown = person.shown().await?;
    ensure!(shown["settings"]["uplinks"][2]["provider"]["name"] == "Carla", "{shown}");
    Ok(())
}
