//! Sends an SMS by the web interface of a mobile router (Huawei's HiLink), which works while its data is down. Its
//! tokens are good for one request each; who logs in locks others out, so that it is done only where it is needed, and
//! undone.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use super::outbox::Kept;
use super::post::passing;
use super::sms;
use crate::config::{Hilink, Login};
use crate::engine::notify::queue::Failure;
use crate::io::client::exchange;
use crate::io::socket::{Stream, words};
use crate::io::{clock, sys};
use crate::units::IfName;

/// These are small machines, but near.
const CONNECTED: Duration = Duration::from_secs(3);
const ANSWERED: Duration = Duration::from_secs(10);
/// For so long it is asked what became of an SMS, at this distance.
const FOLLOWED: Duration = Duration::from_secs(12);
const BETWEEN: Duration = Duration::from_secs(1);
/// What nobody knows the fate of is left alone so long.
const UNKNOWN: Duration = Duration::from_secs(60);

/// The header with which each request spends a token and each answer brings the next; after a login it has another
/// name.
const TOKEN: &str = "__RequestVerificationToken";
const TOKEN_ONE: &str = "__RequestVerificationTokenone";

/// The latest in its inbox, in the order in which some want it said.
const INBOX: &str = "<PageIndex>1</PageIndex><ReadCount>20</ReadCount><BoxType>1</BoxType><SortType>0</SortType>\
                     <Ascending>0</Ascending><UnreadPreferred>0</UnreadPreferred>";

/// The one request that costs.
const SEND: &str = "/api/sms/send-sms";

const NEEDS_LOGIN: u32 = 100_003;
const NO_SESSION: u32 = 125_002;
const WRONG_TOKEN: u32 = 125_003;

/// A router knows one session at a time: two messages at once would end each other's.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Why there is no answer, or another one.
enum Trouble {
    /// It does not do so; the number says why.
    Code(u32),
    /// It could not be asked.
    Unasked(String),
    /// It was asked, and nobody knows what came of it.
    Unanswered(String),
}

/// Sends a message by a mobile router. `state` is the status document, which knows the interface by which it is
/// reached.
///
/// # Errors
///
/// Why it may not have been sent.
pub(super) async fn send(to: &Hilink, message: &Kept, state: &Value) -> Result<(), Failure> {
    have_done(to, Deed::Send(&sms::text(message)), state).await.map(drop)
}

/// Whether somebody has answered with this number.
///
/// # Errors
///
/// Why that is not known.
pub(super) async fn is_answered(to: &Hilink, reply: &str, state: &Value) -> Result<bool, Failure> {
    have_done(to, Deed::Look(reply), state).await
}

/// What is wanted of a router.
#[derive(Clone, Copy)]
enum Deed<'a> {
    Send(&'a str),
    /// Whether an answer with this number has come.
    Look(&'a str),
}

async fn have_done(to: &Hilink, deed: Deed<'_>, state: &Value) -> Result<bool, Failure> {
    let uplinks = state["uplinks"].as_array().into_iter().flatten();
    let interface = uplinks
        .filter(|uplink| uplink["name"] == to.uplink.as_str())
        .find_map(|uplink| uplink["interface"].as_str());
    let interface = interface.or(to.interface.as_ref().map(IfName::as_str));
    let Some(interface) = interface else {
        return Err(passing(format!(
            "it is not known by which interface {} is reached",
            to.uplink
        )));
    };
    let (cookie, token) = (String::new(), String::new());
    let mut modem = Modem { to, interface, cookie, token };
    let _turn = TURN.lock().await;
    let result = modem.have_done(deed).await;
    result.map_err(|trouble| failure(&trouble, &to.server.host))
}

/// A conversation with it.
struct Modem<'a> {
    to: &'a Hilink,
    interface: &'a str,
    cookie: String,
    /// For the next request.
    token: String,
}

impl Modem<'_> {
    async fn have_done(&mut self, deed: Deed<'_>) -> Result<bool, Trouble> {
        self.begin().await?;
        match self.act(deed).await {
            Err(Trouble::Code(NEEDS_LOGIN)) if self.to.login.password.is_empty() => {
                Err(Trouble::Code(NEEDS_LOGIN))
            }
            Err(Trouble::Code(NEEDS_LOGIN)) => {
                self.log_in().await?;
                let result = self.act(deed).await;
                // Else the owner could not open its page.
                let bye = document("<Logout>1</Logout>");
                drop(self.ask("/api/user/logout", Some(bye)).await);
                result
            }
            Err(Trouble::Code(NO_SESSION | WRONG_TOKEN)) => {
                self.begin().await?;
                self.act(deed).await
            }
            result => result,
        }
    }

    async fn act(&mut self, deed: Deed<'_>) -> Result<bool, Trouble> {
        match deed {
            Deed::Send(text) => self.submit(text).await.map(|()| true),
            Deed::Look(reply) => {
                let inbox = self.ask("/api/sms/sms-list", Some(document(INBOX))).await?;
                Ok(is_in(&inbox, self.to.number.reveal(), reply))
            }
        }
    }

    /// Begins a session.
    async fn begin(&mut self) -> Result<(), Trouble> {
        self.cookie.clear();
        let answer = self.ask("/api/webserver/SesTokInfo", None).await?;
        let (Some(cookie), Some(token)) = (tag(&answer, "SesInfo"), tag(&answer, "TokInfo")) else {
            let why = "what answers there is no mobile router of this kind (HiLink)";
            return Err(Trouble::Unasked(why.to_owned()));
        };
        (self.cookie, self.token) = (cookie.to_owned(), token.to_owned());
        Ok(())
    }

    async fn log_in(&mut self) -> Result<(), Trouble> {
        let state = self.ask("/api/user/state-login", None).await?;
        let kind = tag(&state, "password_type").unwrap_or("0");
        let login = &self.to.login;
        let user = if login.user.is_empty() { "admin" } else { &login.user };
        let password = if kind == "4" {
            hashed(user, login, &self.token)
        } else {
            Base64::encode_string(login.password.reveal().as_bytes())
        };
        let user = escaped(user);
        let body = document(&format!(
            "<Username>{user}</Username><Password>{password}</Password><password_type>{kind}</password_type>"
        ));
        self.ask("/api/user/login", Some(body)).await.map(drop)
    }

    /// Has an SMS sent, and waits for what comes of it.
    async fn submit(&mut self, text: &str) -> Result<(), Trouble> {
        let number = self.to.number.reveal();
        // In this order: some take it in no other.
        let body = document(&format!(
            "<Index>-1</Index><Phones><Phone>{number}</Phone></Phones><Sca></Sca><Content>{}</Content>\
             <Length>{}</Length><Reserved>1</Reserved><Date>{}</Date>",
            escaped(text),
            text.len(),
            local_time()
        ));
        self.ask(SEND, Some(body)).await?;
        let unknown =
            || Err(Trouble::Unanswered("it does not say whether the SMS was sent".to_owned()));
        timeout(FOLLOWED, self.follow(number)).await.unwrap_or_else(|_| unknown())
    }

    /// It has the SMS, and has not sent it yet.
    async fn follow(&mut self, number: &str) -> Result<(), Trouble> {
        loop {
            let status = self.ask("/api/sms/send-status", None).await.unwrap_or_default();
            let is_in = |name| tag(&status, name).is_some_and(|phones| phones.contains(number));
            if is_in("SucPhone") {
                return Ok(());
            }
            if is_in("FailPhone") {
                return Err(Trouble::Unasked("the mobile network did not take the SMS".to_owned()));
            }
            sleep(BETWEEN).await;
        }
    }

    /// Asks, or has something done where there is a body.
    async fn ask(&mut self, path: &str, body: Option<String>) -> Result<String, Trouble> {
        let stream = self.connect().await.map_err(Trouble::Unasked)?;
        let request = self.request(path, body).map_err(|e| Trouble::Unasked(e.to_string()))?;
        let answer = timeout(ANSWERED, exchange(request, stream)).await;
        let lost = if path == SEND { Trouble::Unanswered } else { Trouble::Unasked };
        let (head, text) = answer
            .unwrap_or_else(|_| Err("it took the connection and does not answer".to_owned()))
            .map_err(lost)?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(cookie) = header(SET_COOKIE.as_str()) {
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        if let Some(tokens) = header(TOKEN_ONE).or(header(TOKEN)) {
            self.token = tokens.split('#').next().unwrap_or_default().to_owned();
        }
        if !head.status.is_success() {
            let why =
                format!("it answers as no mobile router of this kind ({})", head.status.as_u16());
            return Err(Trouble::Unasked(why));
        }
        let code = tag(&text, "error").and_then(|error| tag(error, "code"));
        match code.and_then(|code| code.trim().parse().ok()) {
            Some(code) => Err(Trouble::Code(code)),
            None => Ok(text),
        }
    }

    /// By its uplink alone: two of them may have the same address.
    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let server = &self.to.server;
        let cannot = |why: &str| format!("cannot be reached by {}: {why}", self.interface);
        let ip: IpAddr = server.host.parse().map_err(|_| cannot("it has no address"))?;
        let bound = || {
            let socket = if ip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind_device(Some(self.interface.as_bytes()))?;
            Ok(socket)
        };
        let socket = bound().map_err(|error| cannot(&words(&error)))?;
        match timeout(CONNECTED, socket.connect(SocketAddr::new(ip, server.port))).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(cannot(&words(&error))),
            Err(_) => Err(cannot("no answer")),
        }
    }

    fn request(
        &mut self,
        path: &str,
        body: Option<String>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let does = body.is_some();
        let mut request = Request::builder()
            .method(if does { "POST" } else { "GET" })
            .uri(path)
            .header(HOST, self.to.server.to_string().trim_end_matches(":80"))
            .header(CONNECTION, "close");
        if !self.cookie.is_empty() {
            request = request.header(COOKIE, &self.cookie);
        }
        if does {
            let token = std::mem::take(&mut self.token);
            request = request.header(TOKEN, token).header(CONTENT_TYPE, "application/xml");
        }
        request.body(Full::new(Bytes::from(body.unwrap_or_default())))
    }
}

fn document(inside: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><request>{inside}</request>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What stands between the first pair of tags of that name.
fn tag<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

/// Whether an answer stands in an inbox.
fn is_in(inbox: &str, number: &str, reply: &str) -> bool {
    inbox.split("<Message>").skip(1).any(|message| {
        let (sender, text) = (tag(message, "Phone"), tag(message, "Content"));
        sms::is_answer(number, sender.unwrap_or_default(), text.unwrap_or_default(), reply)
    })
}

/// A password as it is wanted where its type is 4.
fn hashed(user: &str, login: &Login, token: &str) -> String {
    let once = |text: &str| {
        let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Base64::encode_string(hex.as_bytes())
    };
    once(&format!("{user}{}{token}", once(login.password.reveal())))
}

/// The time as it stands on the phone beside the SMS that was sent.
fn local_time() -> String {
    let at = clock::now().utc.and_then(|utc| sys::local_time(utc.0 / 1000));
    at.map_or_else(
        || "2000-01-01 00:00:00".to_owned(),
        |at| {
            let (day, time) = ((at.year, at.month, at.day), (at.hour, at.minute, at.second));
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                day.0, day.1, day.2, time.0, time.1, time.2
            )
        },
    )
}

fn failure(trouble: &Trouble, host: &str) -> Failure {
    let (why, refused) = match trouble {
        Trouble::Unasked(why) => (why.clone(), false),
        Trouble::Unanswered(why) => {
            let why = format!("{host}: {why}");
            return Failure { unknown: true, pause: Some(UNKNOWN), ..passing(why) };
        }
        Trouble::Code(code) => {
            let (words, refused) = match code {
                100_002 => ("it sends no SMS", true),
                100_003 => ("it wants a login: hilink://USER:PASSWORD@…", true),
                100_004 => ("it is busy", false),
                108_001 | 108_002 | 108_006 => ("it refuses the login", true),
                108_003 => ("somebody else is logged in", false),
                108_007 => ("it is locked after too many wrong logins", true),
                125_002 | 125_003 => ("it forgets the session", false),
                _ => ("it does not send the SMS", false),
            };
            (format!("{words} ({code})"), refused)
        }
    };
    Failure { why: format!("{host}: {why}"), refused, ..passing(String::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_the_page_does() {
        let login = Login { user: "admin".to_owned(), password: "secret".to_owned().into() };
        // By Python's hashlib, as huawei-lte-api has it.
        assert_eq!(
            hashed("admin", &login, "token"),
            "YzU3ZDVmOGY5MGIwN2FhMGYyYTY3NTBiZjYwODc1N2E1OTE2YzNmMzVhZmRlNjEwZTViNmM5ODI3YjA5ZjZhNg=="
        );
    }

    #[test]
    fn tags_are_found_and_texts_cannot_make_them() {
        let answer = "<response><SucPhone>+49151</SucPhone><FailPhone></FailPhone></response>";
        assert_eq!((tag(answer, "SucPhone"), tag(answer, "FailPhone")), (Some("+49151"), Some("")));
        assert_eq!((tag(answer, "code"), tag("<code>1", "code")), (None, None));
        assert_eq!(escaped("<a> & </Content>"), "&lt;a&gt; &amp; &lt;/Content&gt;");
    }
}
