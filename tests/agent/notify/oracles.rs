//! What well-known programs send, as a measure for what we send: apprise for push services, huawei-lte-api for the
//! stand-in of a mobile router.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::netns::Netns;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home, Plan};

use super::encrypted::Servers;
use super::hilink::{NUMBER, Router};
use super::with;
use crate::runner::{figure, skip};
use crate::stage::{Stage, file, shell, with_environment};

/// Where `.ci/setup` puts them.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/oracles");
const PYTHON: &str = "/usr/bin/python3";
const APPRISE: &str = "from apprise.cli import main; main()";
const TITLE: &str = "Test of sparelink";
const TEXT: &str = "This channel works.";
const HILINK: u16 = 8088;
/// The folder of the servers.
const SERVERS: &str = "oracle-servers";

/// Whether a program is here, with the reason printed if not.
fn is_here(name: &str) -> bool {
    let here = Path::new(PROGRAMS).join(name).exists();
    if !here {
        skip(&format!("there is no {name}; .ci/setup test brings it"));
    }
    here
}

/// Runs Python in a namespace that nobody serves in meanwhile, for it waits; what it printed.
async fn python(netns: &Netns, words: &[&str], trusts: &str) -> Result<String> {
    let settings = [format!("PYTHONPATH={PROGRAMS}"), format!("REQUESTS_CA_BUNDLE={trusts}")];
    let words = words.iter().map(OsString::from);
    let words = settings.iter().map(OsString::from).chain([PYTHON.into()]).chain(words);
    let mut command: Command = child(Path::new("/usr/bin/env"), &words.collect::<Vec<_>>());
    let output = netns.run(async move { command.output() }).await??;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(said.into_owned())
}

/// A request, without what differs from program to program and changes nothing.
#[derive(Debug, PartialEq)]
struct Request {
    what: String,
    /// What proves who asks, and the kind of the body.
    headers: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
}

impl Request {
    fn new(line: &Value) -> Result<Self> {
        let text = |key: &str| line[key].as_str().context("no text");
        let counts = ["authorization", "x-gotify-key", "content-type"];
        let all = line["headers"].as_object().context("no headers")?;
        let headers = all.iter().filter(|(name, _)| counts.contains(&name.as_str()));
        let headers = headers.map(|(name, value)| {
            // A charset says nothing of JSON and forms (RFC 8259 §11).
            let value = value.as_str().unwrap_or_default().split(';').next().unwrap_or_default();
            (name.clone(), value.to_owned())
        });
        let body = text("body")?;
        let fields: BTreeMap<String, String> = match serde_json::from_str::<Value>(body) {
            Ok(Value::Object(fields)) => fields
                .into_iter()
                .map(|(key, value)| {
                    (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                })
                .collect(),
            _ => body
                .split('&')
                .filter_map(|part| part.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.replace("%20", "+")))
                .collect(),
        };
        // Whom, and what; what more there is, is a service's own ornament.
        let counts = ["token", "user", "topic", "chat_id", "title", "message", "text"];
        let fields = fields.into_iter().filter(|(key, _)| counts.contains(&key.as_str()));
        let what = format!("{} {}{}", text("method")?, text("host")?, text("path")?);
        Ok(Self { what, headers: headers.collect(), fields: fields.collect() })
    }
}

/// The requests that were made since the last time, by what they are.
fn requests(before: usize) -> Result<(BTreeMap<String, Request>, usize)> {
    let text = std::fs::read_to_string(file(SERVERS).join("asked")).unwrap_or_default();
    let all: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let new = all.iter().skip(before).map(Request::new).collect::<Result<Vec<_>>>()?;
    Ok((new.into_iter().map(|one| (one.what.clone(), one)).collect(), all.len()))
}

/// Each URL means the same to apprise and to us, and both ask a service for the same.
pub(super) async fn what_apprise_sends_we_send() -> Result<()> {
    if !is_here("apprise") {
        return Ok(());
    }
    let home = Home::build(&Plan::default()).await?;
    let Some(_servers) = Servers::start(&home, SERVERS).await? else { return Ok(()) };
    let hosts = file("oracle-hosts");
    let services = "api.pushover.net api.telegram.org ntfy.example push.example hook.example";
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{ECHO4} {services}\n"))?;
    let over = format!("mount --bind {} /etc/hosts", hosts.display());
    for netns in [&*home.router, &home.target] {
        shell(netns, &over).await?;
    }
    let (user, token) = ("u".repeat(30), "a".repeat(30));
    let bot = format!("123456789:{}", "A".repeat(35));
    let urls = [
        "ntfys://ntfy.example/our-house".to_owned(),
        "ntfys://anna:s3cret@ntfy.example/our-house".to_owned(),
        "gotifys://push.example/sub/AbCdEf.123456".to_owned(),
        format!("pover://{user}@{token}"),
        format!("tgram://{bot}/4711"),
    ];
    let trusts = file(SERVERS).join("authority.pem").display().to_string();
    let agent = with_environment("trusting-too", &[("SSL_CERT_FILE", &trusts)])?;
    let mut seen = 0;
    let channels = |url: &str| with(&format!("[[notify]]\nto = \"{url}\"\n"));
    let stage = Stage::configured(home, channels(&urls[0]), &agent, &[]).await?;
    for url in &urls {
        stage.agent.configure(&channels(url))?;
        stage.command(&["reload"]).await?.must(0)?;
        stage.command(&["notify", "test"]).await?.must(0)?;
        let (ours, after) = requests(seen)?;
        let words = ["-c", APPRISE, "-t", TITLE, "-b", TEXT, url.as_str()];
        python(&stage.home.target, &words, &trusts).await?;
        let (theirs, last) = requests(after)?;
        seen = last;
        ensure!(ours.len() == 1 && theirs.len() == 1, "{url}: {ours:#?}\n{theirs:#?}");
        let (ours, theirs) = (ours.into_values().next(), theirs.into_values().next());
        same(ours.context("ours")?, theirs.context("theirs")?).with_context(|| url.clone())?;
    }
    figure(&format!("{} URLs", urls.len()));
    Ok(())
}

/// Telegram has no title: apprise makes one of HTML, we have a line for it.
fn same(mut ours: Request, mut theirs: Request) -> Result<()> {
    if let (Some(mine), Some(other)) = (ours.fields.remove("text"), theirs.fields.remove("text")) {
        for text in [&mine, &other] {
            ensure!(text.contains(TITLE) && text.contains(TEXT), "{text}");
        }
    }
    // Pushover's token stands in the form; apprise sends it as a login besides.
    if ours.fields.contains_key("token") && !ours.headers.contains_key("authorization") {
        theirs.headers.remove("authorization");
    }
    ensure!(ours == theirs, "ours: {ours:#?}\ntheirs: {theirs:#?}");
    Ok(())
}

/// The stand-in of a mobile router takes what a program that people use with real ones sends.
pub(super) async fn the_stand_in_of_a_mobile_router_is_taken_for_one() -> Result<()> {
    if !is_here("huawei_lte_api") {
        return Ok(());
    }
    let home = Home::build(&Plan::default()).await?;
    let phone = home.uplink("phone")?;
    let at = SocketAddr::new(phone.at.modem4.into(), HILINK);
    let router = Router::new();
    router.wants_login();
    router.comes_in("+4915100000000", "4711");
    phone.modem.spawn(router.clone().serve(at));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/notify/hilink.py");
    let sent = async |password: &str| {
        let url = format!("http://admin:{password}@{at}/");
        python(&home.router, &[script, &url, NUMBER, TEXT], "").await
    };
    let said = sent("s3cret").await?;
    ensure!(said.trim() == format!("OK {NUMBER} 4711"), "{said}");
    let (sms, logins, wrong) = router.was_asked();
    ensure!(sms == [TEXT] && logins == (1, 1), "{sms:?} {logins:?}");
    ensure!(wrong.is_empty(), "no router takes this: {wrong:#?}");
    // Another password is refused by both.
    let refused = sent("other").await.err().context("a wrong password is taken")?;
    ensure!(format!("{refused:#}").contains("108006"), "{refused:#}");
    Ok(())
}
