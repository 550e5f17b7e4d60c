//! SMS by a mobile router: a stand-in for its web interface, which refuses whatever differs from what such a router
//! takes, and the real agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::server::{Asked, read};
use crate::figure;
use crate::stage::{SOON, Stage};

const PORT: u16 = 8088;
pub(super) const NUMBER: &str = "+4915112345678";

/// What becomes of an SMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    /// The network does not take it.
    Failed,
    /// The router breaks off.
    Lost,
}

#[derive(Debug)]
struct State {
    /// Sessions so far, of which the last is good; tokens so far, and those that are good for one request each.
    session: u32,
    token: u32,
    good: BTreeSet<String>,
    wants_login: bool,
    logged_in: bool,
    /// Logins, and logouts.
    log: (usize, usize),
    /// The session is lost before the next request that does something.
    forgets: bool,
    fate: Fate,
    sms: Vec<String>,
    /// What has come in, as sender and text.
    inbox: Vec<(String, String)>,
    /// Requests that no router would take.
    wrong: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Router(Arc<Mutex<State>>);

impl Router {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            session: 0,
            token: 0,
            good: BTreeSet::new(),
            wants_login: false,
            logged_in: false,
            log: (0, 0),
            forgets: false,
            fate: Fate::Sent,
            sms: Vec::new(),
            inbox: Vec::new(),
            wrong: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is done for whoever has not logged in.
    pub(super) fn wants_login(&self) {
        self.lock().wants_login = true;
    }

    pub(super) fn comes_in(&self, from: &str, text: &str) {
        self.lock().inbox.push((from.to_owned(), text.to_owned()));
    }

    /// The SMS, the logins and logouts, and the requests that no router would take.
    pub(super) fn was_asked(&self) -> (Vec<String>, (usize, usize), Vec<String>) {
        let state = self.lock();
        (state.sms.clone(), state.log, state.wrong.clone())
    }

    pub(super) async fn serve(self, at: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(at).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let this = self.clone();
            tokio::spawn(async move { this.answer(stream).await });
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let asked = read(&mut stream).await?;
        let answer = self.lock().answer(&asked);
        if let Some((headers, body)) = answer {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all((head + &body).as_bytes()).await?;
        }
        Ok(())
    }
}

fn xml(inside: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{inside}")
}

/// What a body asks for; `None`: it does not begin as XML does.
fn asks(body: &str) -> Option<&str> {
    let (head, rest) = body.split_once("?>")?;
    let head = head.to_ascii_lowercase();
    (head == "<?xml version=\"1.0\" encoding=\"utf-8\"").then(|| rest.trim_start())
}

fn error(code: u32) -> String {
    xml(&format!("<error><code>{code}</code><message></message></error>"))
}

fn inside<'t>(text: &'t str, tag: &str) -> &'t str {
    let rest = text.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    rest.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside)
}

impl State {
    /// Headers and body; `None`: it breaks off.
    fn answer(&mut self, asked: &Asked) -> Option<(String, String)> {
        let path = asked.path.as_str();
        // Its page begins a session, too, and older ones tell a token elsewhere.
        if path == "/" {
            self.session += 1;
            let cookie = format!("Set-Cookie: SessionID=s{};path=/;HttpOnly;\r\n", self.session);
            return Some((cookie, "<html></html>".to_owned()));
        }
        if path == "/api/webserver/token" {
            return Some((String::new(), error(100_002)));
        }
        if path == "/api/webserver/SesTokInfo" {
            if asked.header("cookie") != Some(&format!("SessionID=s{}", self.session)) {
                self.session += 1;
                self.logged_in = false;
            }
            let (session, token) = (self.session, self.issue());
            let inside = format!(
                "<response><SesInfo>SessionID=s{session}</SesInfo><TokInfo>{token}</TokInfo></response>"
            );
            return Some((String::new(), xml(&inside)));
        }
        if asked.header("cookie") != Some(&format!("SessionID=s{}", self.session)) {
            self.wrong.push(format!("no session: {asked:?}"));
            return Some((String::new(), error(125_002)));
        }
        if asked.method == "GET" {
            return Some((String::new(), self.told(path)));
        }
        if std::mem::take(&mut self.forgets) {
            self.session += 1;
            self.good.clear();
            return Some((String::new(), error(125_002)));
        }
        let token = asked.header("__requestverificationtoken").unwrap_or_default();
        if !self.good.remove(token) || asked.header("content-type") != Some("application/xml") {
            self.wrong.push(format!("no token, or not XML: {asked:?}"));
            return Some((String::new(), error(125_003)));
        }
        let mut headers = format!("__RequestVerificationToken: {}\r\n", self.issue());
        let body = self.done(asked, token, &mut headers)?;
        Some((headers, body))
    }

    /// A token that is good for one request.
    fn issue(&mut self) -> String {
        self.token += 1;
        let token = format!("t{}", self.token);
        self.good.insert(token.clone());
        token
    }

    fn told(&mut self, path: &str) -> String {
        let phones = |name: &str, there: bool| {
            format!("<{name}>{}</{name}>", if there { NUMBER } else { "" })
        };
        match path {
            "/api/user/state-login" => {
                xml("<response><State>-1</State><password_type>4</password_type></response>")
            }
            "/api/sms/send-status" => xml(&format!(
                "<response><Phone></Phone>{}{}</response>",
                phones("SucPhone", self.fate == Fate::Sent),
                phones("FailPhone", self.fate == Fate::Failed)
            )),
            path => {
                self.wrong.push(path.to_owned());
                error(100_002)
            }
        }
    }

    fn done(&mut self, asked: &Asked, token: &str, headers: &mut String) -> Option<String> {
        let body = asked.body.as_str();
        let ok = xml("<response>OK</response>");
        match asked.path.as_str() {
            "/api/user/login" => {
                self.log.0 += 1;
                let hash = |text: &str| {
                    let digest = Sha256::digest(text.as_bytes());
                    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                    Base64::encode_string(hex.as_bytes())
                };
                let password = hash(&format!("admin{}{token}", hash("s3cret")));
                let right = format!(
                    "<request><Username>admin</Username><Password>{password}</Password>\
                     <password_type>4</password_type></request>"
                );
                if asks(body) != Some(&right) {
                    return Some(error(108_006));
                }
                self.session += 1;
                self.logged_in = true;
                let (one, two) = (self.issue(), self.issue());
                *headers = format!(
                    "Set-Cookie: SessionID=s{};path=/;HttpOnly;\r\n\
                     __RequestVerificationTokenone: {one}\r\n__RequestVerificationTokentwo: {two}\r\n",
                    self.session
                );
                Some(ok)
            }
            "/api/user/logout" if self.logged_in && inside(body, "Logout") == "1" => {
                self.log.1 += 1;
                self.logged_in = false;
                Some(ok)
            }
            "/api/sms/send-sms" if self.wants_login && !self.logged_in => Some(error(100_003)),
            "/api/sms/send-sms" => {
                let (content, date) = (inside(body, "Content"), inside(body, "Date"));
                let right = format!(
                    "<request><Index>-1</Index><Phones><Phone>{NUMBER}</Phone></Phones><Sca></Sca>\
                     <Content>{content}</Content><Length>{}</Length><Reserved>1</Reserved><Date>{date}</Date></request>",
                    content.len()
                );
                if asks(body) != Some(&right) || date.len() != 19 || content.len() > 160 {
                    self.wrong.push(body.to_owned());
                    return Some(error(100_005));
                }
                self.sms.push(content.to_owned());
                (self.fate != Fate::Lost).then_some(ok)
            }
            "/api/sms/sms-list" if self.wants_login && !self.logged_in => Some(error(100_003)),
            "/api/sms/sms-list" => Some(self.inbox(body)),
            path => {
                self.wrong.push(format!("{path} {body}"));
                Some(error(100_002))
            }
        }
    }

    /// What has come in, as such a router lists it.
    fn inbox(&mut self, body: &str) -> String {
        let right = "<request><PageIndex>1</PageIndex><ReadCount>20</ReadCount><BoxType>1</BoxType>\
                     <SortType>0</SortType><Ascending>0</Ascending><UnreadPreferred>0</UnreadPreferred></request>";
        if asks(body) != Some(right) {
            self.wrong.push(body.to_owned());
            return error(100_005);
        }
        let message = |(n, (phone, text)): (usize, &(String, String))| {
            format!(
                "<Message><Smstat>0</Smstat><Index>{}</Index><Phone>{phone}</Phone><Content>{text}</Content>\
                 <Date>2026-11-28 18:00:00</Date><Sca></Sca><SaveType>0</SaveType><Priority>0</Priority>\
                 <SmsType>1</SmsType></Message>",
                40_000 + n
            )
        };
        let all: String = self.inbox.iter().enumerate().map(message).collect();
        xml(&format!(
            "<response><Count>{}</Count><Messages>{all}</Messages></response>",
            self.inbox.len()
        ))
    }
}

/// Two mobile routers of the same make, with the same address; the message goes by the one that is meant.
pub(super) async fn an_sms_goes_by_the_router_that_is_meant() -> Result<()> {
    let mut plan = Plan::default();
    for uplink in &mut plan.uplinks[1..] {
        uplink.subnet = Some(8);
    }
    let home = Home::build(&plan).await?;
    let at = home.uplink("phone")?.at.modem4;
    ensure!(home.uplink("mifi")?.at.modem4 == at, "control: they have the same address");
    let place = SocketAddr::new(at.into(), PORT);
    let routers: BTreeMap<&str, Router> =
        ["mifi", "phone"].map(|name| (name, Router::new())).into_iter().collect();
    for (name, router) in &routers {
        home.uplink(name)?.modem.spawn(router.clone().serve(place));
    }
    let (mifi, phone) = (routers["mifi"].clone(), routers["phone"].clone());
    let to = |login: &str| format!("hilink://{login}{place}/{NUMBER}?uplink=phone");
    let text = config(&plan, &Settings::default())
        + &format!("[[notify]]\nto = \"{}\"\n", to("admin:s3cret@"))
        + &format!("[[notify]]\nto = \"{}\"\nmin = \"critical\"\n", to("admin:wrong@"));
    let mut stage = Stage::in_home_as(home, &text).await?;
    what_comes_of_a_test(&stage, &phone).await?;
    ensure!(phone.lock().log == (2, 1), "one login was wrong, the other undone: {phone:?}");
    ensure!(mifi.lock().session == 0, "the other one was asked: {mifi:?}");
    // It works while nothing else does.
    {
        let mut state = phone.lock();
        state.sms.clear();
        state.wants_login = false;
    }
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let dark = |status: &sparelink::lab::agent::Status| status.active.is_none();
    stage.agent.wait(SOON, "no Internet", dark).await?;
    let begun = Instant::now();
    while !phone.lock().sms.iter().any(|sms| sms.starts_with("No Internet since ")) {
        ensure!(begun.elapsed() < SOON, "no SMS: {:?}\n{}", phone.lock(), stage.agent.log());
        sleep(Duration::from_millis(50)).await;
    }
    figure(&format!("an SMS without Internet after {} ms", begun.elapsed().as_millis()));
    an_answer_is_seen(&stage, &phone).await?;
    let wrong = phone.lock().wrong.clone();
    ensure!(wrong.is_empty(), "no router takes this: {wrong:#?}");
    let log = stage.agent.log();
    ensure!(!log.contains("s3cret") && !log.contains(NUMBER), "{log}");
    Ok(())
}

/// Somebody is asked whether they have seen it, and the channel goes: nobody is asked any more, again and again.
pub(super) async fn a_channel_that_goes_is_not_asked_for_an_answer() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let phone = Router::new();
    let place = SocketAddr::new(home.uplink("phone")?.at.modem4.into(), PORT);
    home.uplink("phone")?.modem.spawn(phone.clone().serve(place));
    let base = config(&Plan::default(), &Settings::default());
    let text = format!("{base}[[notify]]\nto = \"hilink://{place}/{NUMBER}?uplink=phone\"\n");
    let stage = Stage::in_home_as(home, &text).await?;
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let begun = Instant::now();
    while !phone.lock().sms.iter().any(|sms| sms.contains("Answer ")) {
        ensure!(begun.elapsed() < SOON, "no SMS asks: {:?}\n{}", phone.lock(), stage.agent.log());
        sleep(Duration::from_millis(50)).await;
    }
    stage.agent.configure(&base)?;
    stage.command(&["reload"]).await?.must(0)?;
    // It would have been asked by then.
    sleep(Duration::from_secs(12)).await;
    let before = busy(&stage)?;
    sleep(Duration::from_secs(4)).await;
    let took = busy(&stage)? - before;
    figure(&format!("{} ms of work in 4 s", took.as_millis()));
    ensure!(took < Duration::from_secs(2), "it asks again and again: {took:?}");
    Ok(())
}

/// How long the agent has worked, all of its threads.
fn busy(stage: &Stage) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", stage.agent.pid()))?;
    let after = stat.rsplit_once(')').context("no name")?.1;
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?;
    // A hundred of them a second, on every machine (`USER_HZ`).
    Ok(Duration::from_millis(ticks * 10))
}

/// An answer from the one who was told, with the number that was asked for, is that they have seen it.
async fn an_answer_is_seen(stage: &Stage, phone: &Router) -> Result<()> {
    let asked = phone
        .lock()
        .sms
        .iter()
        .find_map(|sms| Some(sms.split_once("Answer ")?.1.to_owned()))
        .context("no SMS asks")?;
    let number: String = asked.chars().take_while(char::is_ascii_digit).collect();
    phone.lock().inbox = vec![
        ("+4917099999999".to_owned(), number.clone()),
        (NUMBER.to_owned(), "hello".to_owned()),
    ];
    let begun = Instant::now();
    let mut answered = false;
    loop {
        let by = stage.json().await?["messages"]["alarm"]["acknowledged"]["by"].clone();
        ensure!(answered || by.is_null(), "that was not the answer: {by}");
        if by == "by SMS" {
            return Ok(());
        }
        // It has looked once by then.
        if !answered && begun.elapsed() > Duration::from_secs(12) {
            answered = true;
            let answer = (NUMBER.replacen("+49", "0", 1), format!("{number} &amp; thanks"));
            phone.lock().inbox.insert(0, answer);
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "{}", stage.agent.log());
        sleep(Duration::from_millis(100)).await;
    }
}

async fn what_comes_of_a_test(stage: &Stage, phone: &Router) -> Result<()> {
    let test = async |code| stage.command(&["notify", "test", "sms"]).await?.must(code);
    let said = test(0).await?.out;
    ensure!(said.starts_with("sms (…5678): delivered in "), "{said}");
    let sms = phone.lock().sms.clone();
    ensure!(sms == ["Test of sparelink. This channel works."], "{sms:?}");
    ensure!(phone.lock().log == (0, 0), "nobody asked for a login");
    phone.lock().forgets = true;
    test(0).await?;
    ensure!(phone.lock().sms.len() == 2, "another session, and once");
    phone.lock().fate = Fate::Failed;
    let said = test(1).await?.out;
    ensure!(said.contains("the mobile network did not take the SMS"), "{said}");
    phone.lock().fate = Fate::Lost;
    let said = test(1).await?.out;
    ensure!(said.contains("not delivered: 192.168.8.1: "), "{said}");
    let sent = phone.lock().sms.len();
    ensure!(sent == 4, "what may have been sent is not sent again at once: {sent}");
    {
        let mut state = phone.lock();
        state.fate = Fate::Sent;
        state.wants_login = true;
    }
    test(0).await?;
    let said = stage.command(&["notify", "test", "sms-2"]).await?.must(1)?.out;
    ensure!(said.contains("192.168.8.1: it refuses the login (108006)"), "{said}");
    let out = phone.lock().sms.last().cloned().context("no SMS")?;
    ensure!(out == "Test of sparelink. This channel works.", "{out}");
    Ok(())
}
