//! dyndns2, a URL, and Cloudflare's API, at a small server that refuses whatever differs from what these services take.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{ECHO4, Plan};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::{RIGHT, authority, line, public, public_home, with};
use crate::notify::server::{Asked, read};
use crate::runner::figure;
use crate::stage::{AGENT, SOON, Stage, file, shell};

const PORT: u16 = 8080;
/// `me:s3cret`, as HTTP writes it.
const LOGIN: &str = "Basic bWU6czNjcmV0";
const TOKEN: &str = "t0k3n/1";
const ZONE: &str = "0123456789abcdef0123456789abcdef";

/// What was told: the name, and its addresses.
#[derive(Debug, Default)]
struct Told {
    /// By dyndns2 and by the URL: each time.
    said: Vec<(String, String)>,
    /// Cloudflare's records, by type and name.
    records: BTreeMap<(String, String), String>,
    changes: usize,
    /// Whether the name server of the zone says what was told.
    public: bool,
    /// What no such service would take.
    strange: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct Services(Arc<Mutex<Told>>);

impl Services {
    fn with<T>(&self, f: impl FnOnce(&mut Told) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(self, at: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(at).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let this = self.clone();
            tokio::spawn(async move { this.answer(stream).await });
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let asked = read(&mut stream).await?;
        if asked.path.contains("drips") {
            for _ in 0..600 {
                stream.write_all(b"H").await?;
                sleep(Duration::from_millis(100)).await;
            }
        }
        let (status, body) = self.with(|told| told.judge(&asked));
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Word\r\ncontent-length: {length}\r\n\r\n");
        Ok(stream.write_all((head + &body).as_bytes()).await?)
    }

    /// The last addresses that a name was told, and how often it was.
    fn last(&self, name: &str) -> (usize, String) {
        self.with(|told| {
            let mut of = told.said.iter().filter(|(known, _)| known == name);
            (of.clone().count(), of.next_back().map(|(_, ips)| ips.clone()).unwrap_or_default())
        })
    }

    /// The addresses of a name, as others are told.
    pub(super) fn public(&self, name: &str) -> String {
        if self.with(|told| told.public) { self.last(name).1 } else { String::new() }
    }

    fn record(&self, kind: &str, name: &str) -> Option<String> {
        self.with(|told| told.records.get(&(kind.to_owned(), name.to_owned())).cloned())
    }
}

impl Told {
    fn judge(&mut self, asked: &Asked) -> (u16, String) {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let query: BTreeMap<&str, &str> =
            query.split('&').filter_map(|p| p.split_once('=')).collect();
        let agent = asked.header("user-agent").unwrap_or_default().starts_with("sparelink/");
        let known = match path {
            "/nic/update" => self.dyndns2(asked, &query),
            "/update" => self.url(asked, &query),
            _ => self.cloudflare(asked, path, &query),
        };
        let answer = known.filter(|_| agent);
        answer.unwrap_or_else(|| {
            self.strange.push(format!("{} {} {:?}", asked.method, asked.path, asked.headers));
            (400, "strange".to_owned())
        })
    }

    fn dyndns2(&mut self, asked: &Asked, query: &BTreeMap<&str, &str>) -> Option<(u16, String)> {
        let (name, ips) = (*query.get("hostname")?, *query.get("myip")?);
        let fits = asked.method == "GET"
            && query.len() == 2
            && asked.header("authorization") == Some(LOGIN);
        self.said.push((name.to_owned(), ips.to_owned()));
        let words = match name.split('.').next()? {
            "badauth" => (401, "badauth"),
            "nohost" => (200, "nohost"),
            "busy" => (200, "911"),
            "fault" => (500, ""),
            "many" => (429, ""),
            "elsewhere" => (302, ""),
            "html" => (200, "<html>hello</html>"),
            _ => (200, "good"),
        };
        fits.then(|| (words.0, words.1.to_owned()))
    }

    fn url(&mut self, asked: &Asked, query: &BTreeMap<&str, &str>) -> Option<(u16, String)> {
        let name = *query.get("domains")?;
        let ips =
            format!("{},{}", query.get("ip").unwrap_or(&""), query.get("ipv6").unwrap_or(&""));
        self.said.push((name.to_owned(), ips));
        let token = *query.get("token")? == "t0k3n%2F1";
        (asked.method == "GET" && token && query.len() == 4).then(|| (200, "OK".to_owned()))
    }

    fn cloudflare(
        &mut self,
        asked: &Asked,
        path: &str,
        query: &BTreeMap<&str, &str>,
    ) -> Option<(u16, String)> {
        let ok =
            |result: Value| Some((200, json!({ "success": true, "result": result }).to_string()));
        if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            let errors = json!([{ "code": 9109, "message": "Invalid access token" }]);
            return Some((403, json!({ "success": false, "errors": errors }).to_string()));
        }
        let rest = path.strip_prefix("/client/v4/zones")?;
        if rest.is_empty() {
            return ok(match query.get("name") {
                Some(&"cf.example") => json!([{ "id": ZONE }]),
                _ => json!([]),
            });
        }
        let rest = rest.strip_prefix('/')?.strip_prefix(ZONE)?.strip_prefix("/dns_records")?;
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let id = rest.strip_prefix('/').map(str::to_owned);
        let of_id = |told: &Self| {
            let id = id.clone()?;
            told.records.keys().find(|(kind, name)| id == id_of(kind, name)).cloned()
        };
        match asked.method.as_str() {
            "GET" => {
                let key = ((*query.get("type")?).to_owned(), (*query.get("name")?).to_owned());
                let all = self.records.get(&key);
                let one = |ip| json!({ "id": id_of(&key.0, &key.1), "content": ip, "type": key.0 });
                ok(all.into_iter().map(one).collect())
            }
            "POST" => {
                let text = |key: &str| body[key].as_str().map(str::to_owned);
                let key = (text("type")?, text("name")?);
                ensure_ttl(&body)?;
                (body["proxied"] == false).then_some(())?;
                self.changes += 1;
                self.records.insert(key, text("content")?);
                ok(json!({}))
            }
            "PATCH" => {
                ensure_ttl(&body)?;
                let key = of_id(self)?;
                self.changes += 1;
                self.records.insert(key, body["content"].as_str()?.to_owned());
                ok(json!({}))
            }
            "DELETE" => {
                let key = of_id(self)?;
                self.changes += 1;
                self.records.remove(&key);
                ok(json!({}))
            }
            _ => None,
        }
    }
}

fn ensure_ttl(body: &Value) -> Option<()> {
    (body["ttl"] == 60).then_some(())
}

fn id_of(kind: &str, name: &str) -> String {
    format!("{kind}{name}").chars().filter(char::is_ascii_alphanumeric).collect()
}

fn dyndns2(name: &str, secret: &Path) -> String {
    format!(
        "[[ddns]]\nname = \"{name}.dyn.example\"\nprotocol = \"dyndns2\"\nserver = \"http://{ECHO4}:{PORT}\"\n\
         user = \"me\"\nsecret_file = \"{}\"\n",
        secret.display()
    )
}

async fn until(what: &str, limit: Duration, is: impl Fn() -> bool) -> Result<Instant> {
    let begun = Instant::now();
    while !is() {
        ensure!(begun.elapsed() < limit, "{what} does not come");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(Instant::now())
}

pub(super) async fn services_are_told_as_they_want() -> Result<()> {
    let home = public_home(&Plan::default()).await?;
    let services = Services::default();
    home.target.spawn(services.clone().serve(SocketAddr::new(ECHO4, PORT)));
    authority::serve(&home.target, &services);
    let resolvers = file("names-resolvers");
    std::fs::write(&resolvers, format!("nameserver {ECHO4}\n"))?;
    let over = format!("mount --bind {} /etc/resolv.conf", resolvers.display());
    shell(&home.router, &over).await?;
    let (password, token) = (file("names-password"), file("names-token"));
    std::fs::write(&password, "s3cret\n")?;
    std::fs::write(&token, format!("{TOKEN}\n"))?;
    let names = dyndns2("home", &password)
        + &format!(
            "[[ddns]]\nname = \"home.url.example\"\nprotocol = \"url\"\n\
             server = \"http://{ECHO4}:{PORT}/update?domains={{name}}&token={{secret}}&ip={{ipv4}}&ipv6={{ipv6}}\"\n\
             secret_file = \"{0}\"\n[[ddns]]\nname = \"home.cf.example\"\nprotocol = \"cloudflare\"\n\
             server = \"http://{ECHO4}:{PORT}\"\nsecret_file = \"{0}\"\n",
            token.display()
        );
    let mut stage = Stage::configured(home, with(&names), Path::new(AGENT), &[]).await?;
    let ips = |n: u8, stage: &Stage| {
        let v6 = stage.home.uplinks[usize::from(n)].at.router6;
        (public(n).to_string(), v6.to_string())
    };
    let (v4, v6) = ips(0, &stage);
    let all = format!("{v4},{v6}");
    let mut first = Instant::now();
    for name in ["home.dyn.example", "home.url.example"] {
        first = until(name, SOON, || services.last(name).1 == all).await?;
    }
    until("Cloudflare", SOON, || services.record("AAAA", "home.cf.example").as_ref() == Some(&v6))
        .await?;
    ensure!(services.record("A", "home.cf.example") == Some(v4));
    let taken = "(cable), taken by 203.0.113.7; its name server does not say so yet";
    line(&stage, "home.dyn.example", taken).await?;
    services.with(|told| told.public = true);
    line(&stage, "home.dyn.example", "(cable), seen by the name server after ").await?;
    // Nobody is told twice over a restart, which for dyndns2 is abuse.
    let before = services.with(|told| (told.said.len(), told.changes));
    stage.agent.end(Signal::SIGTERM).await?;
    stage.start_again().await?;
    stage.on("cable").await?;
    line(&stage, "home.cf.example", "the name server says so").await?;
    sleep(Duration::from_secs(3)).await;
    ensure!(before == services.with(|told| (told.said.len(), told.changes)), "told again");

    // Two writes are a minute apart, over a restart too.
    sleep_until(first + Duration::from_secs(62)).await;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let switched = Instant::now();
    let (v4, v6) = ips(1, &stage);
    let all = format!("{v4},{v6}");
    let mut took = Vec::new();
    for name in ["home.dyn.example", "home.url.example"] {
        let told = until(name, RIGHT, || services.last(name).1 == all).await?;
        took.push(told.saturating_duration_since(switched).as_millis());
    }
    let cloudflare = || services.record("AAAA", "home.cf.example").as_ref() == Some(&v6);
    let told = until("Cloudflare", RIGHT, cloudflare).await?;
    took.push(told.saturating_duration_since(switched).as_millis());
    figure(&format!("dyndns2, URL, Cloudflare told {took:?} ms after the switch"));
    ensure!(services.record("A", "home.cf.example") == Some(v4));
    let strange = services.with(|told| told.strange.clone());
    ensure!(strange.is_empty(), "{strange:#?}");
    let log = stage.agent.log();
    ensure!(!log.contains("s3cret") && !log.contains(TOKEN), "a secret is in the log");
    Ok(())
}

pub(super) async fn what_a_service_refuses_is_told_and_stays() -> Result<()> {
    let home = public_home(&Plan::default()).await?;
    let services = Services::default();
    home.target.spawn(services.clone().serve(SocketAddr::new(ECHO4, PORT)));
    let (password, token) = (file("names-password2"), file("names-token2"));
    std::fs::write(&password, "s3cret\n")?;
    std::fs::write(&token, "wrong\n")?;
    let rows = [
        ("badauth", "user or password is wrong (badauth); not tried again before"),
        (
            "nohost",
            "there is no nohost.dyn.example in this account (nohost); not tried again before",
        ),
        ("busy", "it has a fault (911); tried again in 30 min"),
        ("fault", "it has a fault (500); tried again in "),
        ("many", "it was asked too often; tried again in 5 min"),
        ("elsewhere", "it sends us elsewhere (302)"),
        ("html", "its answer is not one of dyndns2; tried again in "),
        ("drips", "does not answer"),
    ];
    let mut text: String = rows.iter().map(|(name, _)| dyndns2(name, &password)).collect();
    text += &format!(
        "[[ddns]]\nname = \"home.cf.example\"\nprotocol = \"cloudflare\"\n\
         server = \"http://{ECHO4}:{PORT}\"\nsecret_file = \"{}\"\n",
        token.display()
    );
    text += &dyndns2("unknown", &password).replace(&ECHO4.to_string(), "nobody.invalid");
    let mut stage = Stage::configured(home, with(&text), Path::new(AGENT), &[]).await?;
    for (name, why) in rows {
        line(&stage, &format!("{name}.dyn.example"), why).await?;
    }
    line(&stage, "home.cf.example", "it refuses the login: Invalid access token; tried again in ")
        .await?;
    let unknown = line(&stage, "unknown.dyn.example", "tried again in ").await?;
    figure(&unknown);
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.gap_after(severed).await?;
    sleep(Duration::from_secs(5)).await;
    for name in ["badauth", "nohost"] {
        let (times, _) = services.last(&format!("{name}.dyn.example"));
        ensure!(times == 1, "{name} was asked {times} times");
    }
    Ok(())
}
