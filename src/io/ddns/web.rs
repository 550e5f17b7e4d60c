//! Names that are changed by HTTP: dyndns2, and a URL that is fetched.

use std::net::IpAddr;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, RETRY_AFTER};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use super::job::{Job, passing, unclear};
use crate::config::{IPV4, IPV6, Login, NAME, SECRET, Secret, Server};
use crate::engine::names::ddns::request::{NameFailure, NameRequest, Record, Seen, Then};
use crate::io::client::{self, connect, exchange, tls};
use crate::units::Family;

/// How long a server has for its answer.
const ANSWERED: Duration = Duration::from_secs(15);
/// What was refused is tried again so seldom.
const REFUSED: Duration = Duration::from_secs(3600);
/// Who is busy is left alone for so long: dyndns2 asks for half an hour.
const BUSY: Duration = Duration::from_secs(30 * 60);
const TOO_MANY: Duration = Duration::from_secs(5 * 60);
/// Whoever wants to be left alone means at least that, and at most.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What need not be written as `%…` in a query (RFC 3986 §2.3, §3.4).
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b',');

/// What a server said: status, for how long it wants to be left alone, and the beginning of the body.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) pause: Option<Duration>,
    pub(super) body: String,
}

/// What is asked of a server.
pub(super) struct Asked<'a> {
    pub(super) server: &'a Server,
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// What proves who asks (`Authorization`).
    pub(super) login: Option<String>,
    /// JSON, or nothing.
    pub(super) body: Option<String>,
}

/// Asks by HTTP.
pub(super) async fn ask(job: &Job<'_>, asked: Asked<'_>) -> Result<Said, NameFailure> {
    let server = asked.server;
    let of_it = |why: String| format!("{}: {why}", server.host);
    let stream = connect(server, job.addresses, &job.way).await.map_err(passing)?;
    let stream = tls::wrap(server, stream).await.map_err(passing)?;
    let mut request = client::request(server, asked.method, asked.path);
    if let Some(login) = &asked.login {
        request = request.header(AUTHORIZATION, login);
    }
    if asked.body.is_some() {
        request = request.header(hyper::header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from(asked.body.unwrap_or_default()));
    let unfit = |_| passing(of_it("that cannot be asked by HTTP".to_owned()));
    let request = request.body(body).map_err(unfit)?;
    match timeout(ANSWERED, exchange(request, stream)).await {
        Ok(Ok((head, body))) => {
            let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let seconds = after.and_then(|text| text.trim().parse().ok());
            let pause = seconds.map(Duration::from_secs);
            let pause = pause.map(|pause| pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
            Ok(Said { status: head.status.as_u16(), pause, body })
        }
        Ok(Err(why)) => Err(unclear(of_it(why))),
        Err(_) => Err(unclear(of_it("it took the connection and does not answer".to_owned()))),
    }
}

/// Whether an HTTP status is one of success; what to do if it is not.
pub(super) fn judge_status(said: &Said, host: &str) -> Result<(), NameFailure> {
    let failure = |why: &str, then: Then| {
        let why = format!("{host}: {why}");
        Err(NameFailure { why, then, sent: said.status >= 500 })
    };
    match said.status {
        200..=299 => Ok(()),
        401 | 403 => failure("it refuses the login", Then::RetryAfter(REFUSED)),
        404 | 410 => failure("there is nothing at this address (404)", Then::RetryAfter(REFUSED)),
        408 | 425 | 429 => {
            let pause = said.pause.unwrap_or(TOO_MANY);
            failure("it was asked too often", Then::RetryAfter(pause))
        }
        status @ 400..=499 => {
            failure(&format!("it refuses that ({status})"), Then::RetryAfter(REFUSED))
        }
        status @ 300..=399 => failure(
            &format!("it sends us elsewhere ({status}); give the address where that leads"),
            Then::RetryAfter(REFUSED),
        ),
        status => {
            let then = said.pause.map_or(Then::Retry, Then::RetryAfter);
            failure(&format!("it has a fault ({status})"), then)
        }
    }
}

/// What the words of dyndns2 mean; `None`: none of them.
fn judge_word(body: &str, host: &str, name: &str) -> Option<Result<(), NameFailure>> {
    let word = body.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let refused = |why: &str| {
        let why = format!("{host}: {why}");
        Some(Err(NameFailure { why, then: Then::Stay, sent: false }))
    };
    match word.as_str() {
        "good" | "nochg" => Some(Ok(())),
        "badauth" => refused("user or password is wrong (badauth)"),
        "!donator" => refused("this is for those who pay (!donator)"),
        "notfqdn" => refused(&format!("{name} is not a whole name (notfqdn)")),
        "nohost" | "!yours" => refused(&format!("there is no {name} in this account ({word})")),
        "numhost" => refused("these are too many names (numhost)"),
        "abuse" => refused(&format!("{name} is blocked for abuse")),
        "badagent" => refused("it takes nothing from this program (badagent)"),
        "ko" => refused("name or token is wrong (KO)"),
        "dnserr" | "911" => {
            let why = format!("{host}: it has a fault ({word})");
            Some(Err(NameFailure { why, then: Then::RetryAfter(BUSY), sent: true }))
        }
        _ => None,
    }
}

/// HTTP's basic login (RFC 7617).
fn basic(login: &Login, secret: &Secret) -> String {
    let password = if secret.is_empty() { &login.password } else { secret };
    let both = format!("{}:{}", login.user, password.reveal());
    format!("Basic {}", Base64::encode_string(both.as_bytes()))
}

const WROTE: Seen = Seen { wrote: true, says: None, others_say: None };

/// The address that is to be said in one IP version.
fn address(request: &NameRequest, family: Family) -> Option<IpAddr> {
    match request.records.get(family) {
        Record::Is(ip) => Some(*ip),
        Record::Keep | Record::None => None,
    }
}

/// Without an address most services would take the one that they see, which may be another uplink's.
fn knows_an_address(request: &NameRequest) -> Result<(), NameFailure> {
    let known = Family::BOTH.into_iter().any(|family| address(request, family).is_some());
    if known { Ok(()) } else { Err(passing("no address is known".to_owned())) }
}

/// By the protocol of dyn.com.
pub(super) async fn dyndns2(
    job: &Job<'_>,
    server: &Server,
    (login, path): (&Login, &Secret),
    secret: &Secret,
) -> Result<Seen, NameFailure> {
    knows_an_address(job.request)?;
    let name = &job.request.name;
    let path = dyndns2_path(path.reveal(), job.request);
    let login = Some(basic(login, secret));
    let (method, body) = (Method::GET, None);
    let said = ask(job, Asked { server, method, path: &path, login, body }).await?;
    judge(&said, &server.host, name).map(|()| WROTE)
}

/// What an answer by dyndns2 means.
pub(super) fn judge(said: &Said, host: &str, name: &str) -> Result<(), NameFailure> {
    // Some say it in words and with a status of failure.
    match judge_word(&said.body, host, name) {
        Some(Err(failure)) => Err(failure),
        Some(Ok(())) if (200..=299).contains(&said.status) => Ok(()),
        word => {
            judge_status(said, host)?;
            let strange = format!("{host}: its answer is not one of dyndns2");
            word.unwrap_or_else(|| Err(unclear(strange)))
        }
    }
}

fn dyndns2_path(path: &str, request: &NameRequest) -> String {
    let ips = Family::BOTH.into_iter().filter_map(|family| address(request, family));
    let ips = ips.map(|ip| ip.to_string()).collect::<Vec<_>>().join(",");
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}hostname={}&myip={ips}", request.name)
}

/// By fetching a URL.
pub(super) async fn url(
    job: &Job<'_>,
    server: &Server,
    (login, template): (&Login, &Secret),
    secret: &Secret,
) -> Result<Seen, NameFailure> {
    knows_an_address(job.request)?;
    let path = filled(template.reveal(), job.request, secret);
    let login = (!login.user.is_empty()).then(|| basic(login, &Secret::default()));
    let (method, body) = (Method::GET, None);
    let said = ask(job, Asked { server, method, path: &path, login, body }).await?;
    judge_status(&said, &server.host)?;
    judge_word(&said.body, &server.host, &job.request.name).unwrap_or(Ok(())).map(|()| WROTE)
}

/// The template with what stands for its placeholders. A part of the query whose address is not known is left out:
/// most services take nothing for what they see themselves.
fn filled(template: &str, request: &NameRequest, secret: &Secret) -> String {
    let ips = [(IPV4, address(request, Family::V4)), (IPV6, address(request, Family::V6))];
    let (path, query) = template.split_once('?').unwrap_or((template, ""));
    let unknown = |part: &&str| ips.iter().any(|(mark, ip)| ip.is_none() && part.contains(mark));
    let query: Vec<&str> = query.split('&').filter(|part| !unknown(part)).collect();
    let mut text = path.to_owned();
    if !query.concat().is_empty() {
        text = format!("{text}?{}", query.join("&"));
    }
    for (mark, ip) in ips {
        text = text.replace(mark, &ip.map_or_else(String::new, |ip| ip.to_string()));
    }
    let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    text.replace(NAME, &encoded(&request.name)).replace(SECRET, &encoded(secret.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::names::ddns::request::Task;
    use crate::units::PerFamily;

    fn request(v4: Option<&str>, v6: Option<&str>) -> NameRequest {
        let record =
            |ip: Option<&str>| ip.map_or(Record::Keep, |ip| Record::Is(ip.parse().unwrap()));
        NameRequest {
            number: 1,
            name: "home.example.net".to_owned(),
            task: Task::Write,
            records: PerFamily { v4: record(v4), v6: record(v6) },
            paths: Vec::new(),
        }
    }

    #[test]
    fn what_the_words_of_dyndns2_mean() {
        // The answer; whether it is done, and what then.
        let rows = [
            ("good 192.0.2.9", None),
            ("nochg 192.0.2.9\n", None),
            ("badauth", Some(Then::Stay)),
            ("!donator", Some(Then::Stay)),
            ("notfqdn", Some(Then::Stay)),
            ("nohost", Some(Then::Stay)),
            ("!yours", Some(Then::Stay)),
            ("numhost", Some(Then::Stay)),
            ("abuse", Some(Then::Stay)),
            ("badagent", Some(Then::Stay)),
            ("KO", Some(Then::Stay)),
            ("dnserr", Some(Then::RetryAfter(BUSY))),
            ("911", Some(Then::RetryAfter(BUSY))),
        ];
        for (answer, expected) in rows {
            let judged = judge_word(answer, "dyn.example", "home.example.net").unwrap();
            assert_eq!(judged.err().map(|failure| failure.then), expected, "{answer}");
        }
        for strange in ["", "<html>", "goody"] {
            assert!(judge_word(strange, "", "").is_none(), "{strange}");
        }
    }

    #[test]
    fn what_a_status_means() {
        let judge = |status, pause: Option<u64>| {
            let pause = pause.map(Duration::from_secs);
            let said = Said { status, pause, body: String::new() };
            judge_status(&said, "dyn.example").err().map(|failure| (failure.then, failure.sent))
        };
        let hour = Then::RetryAfter(REFUSED);
        assert_eq!(judge(200, None), None);
        for status in [301, 400, 401, 403, 404, 418] {
            assert_eq!(judge(status, None), Some((hour, false)), "{status}");
        }
        let seven = Then::RetryAfter(Duration::from_secs(7));
        assert_eq!(judge(429, Some(7)), Some((seven, false)));
        assert_eq!(judge(429, None), Some((Then::RetryAfter(TOO_MANY), false)));
        assert_eq!(judge(500, None), Some((Then::Retry, true)));
        assert_eq!(judge(503, Some(7)), Some((seven, true)));
    }

    #[test]
    fn an_address_that_is_not_known_is_not_asked_for() {
        let duck = "/update?domains={name}&token={secret}&ip={ipv4}&ipv6={ipv6}&verbose=true";
        let secret = Secret::from("a/b c".to_owned());
        let fill = |template: &str, v4, v6| filled(template, &request(v4, v6), &secret);
        assert_eq!(
            fill(duck, Some("192.0.2.9"), Some("2001:db8::9")),
            "/update?domains=home.example.net&token=a%2Fb%20c&ip=192.0.2.9&ipv6=2001:db8::9&verbose=true"
        );
        assert_eq!(
            fill(duck, None, Some("2001:db8::9")),
            "/update?domains=home.example.net&token=a%2Fb%20c&ipv6=2001:db8::9&verbose=true"
        );
        assert_eq!(fill("/{name}/{ipv4}", Some("192.0.2.9"), None), "/home.example.net/192.0.2.9");
        assert_eq!(fill("/?{ipv4}", None, Some("2001:db8::9")), "/");
        let both = request(Some("192.0.2.9"), Some("2001:db8::9"));
        let expected = "/nic/update?hostname=home.example.net&myip=192.0.2.9,2001:db8::9";
        assert_eq!(dyndns2_path("/nic/update", &both), expected);
        let one = request(Some("192.0.2.9"), None);
        assert_eq!(dyndns2_path("/u?a=b", &one), "/u?a=b&hostname=home.example.net&myip=192.0.2.9");
    }
}
